// What caches in front have to forget: told to the tracker that holds the metadata, which tells the
// caches (common/net/cache_purger.h).
#pragma once

#include "common/wire/native.h"

namespace cairn::wire {

// storage node or administrator -> tracker: CachesChanged -> CachesChangedReply. Errors:
// unavailable (the metadata holder cannot be asked), invalid_argument.
inline constexpr auto kCachesChanged = static_cast<NativeCommand>(196);

// Of at most so many words at a time.
inline constexpr std::size_t kCacheWordsMax = 1000;

struct CacheWord {
  std::string text;

  static constexpr auto fields() { return std::tuple{string(&CacheWord::text)}; }
};

struct CachesChanged {
  std::vector<CacheWord> tags;     // common/base/cache_tag.h
  std::vector<CacheWord> patterns; // regular expressions of paths with arguments, without blanks

  static constexpr auto fields() {
    using M = CachesChanged;
    return std::tuple{list(&M::tags), list(&M::patterns)};
  }
};

struct CachesChangedReply {
  std::uint32_t caches = 0; // that are being told

  static constexpr auto fields() { return std::tuple{integer(&CachesChangedReply::caches)}; }
};

} // namespace cairn::wire
