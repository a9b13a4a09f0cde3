// What caches in front have to forget: told to the tracker that holds the metadata, which tells the
// caches (common/net/cache_purger.h). And which URLs storage nodes have answered to caches that
// have no list of theirs.
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

// tracker -> storage node: FrontUrls -> FrontUrlsReply. Errors: invalid_argument (a pattern that is
// none, too many tags).
inline constexpr auto kFrontUrls = static_cast<NativeCommand>(215);

// In one reply.
inline constexpr std::size_t kFrontUrlsMost = 2000;

// Those with one of the tags; with a pattern instead, those that match it.
struct FrontUrls {
  std::vector<CacheWord> tags;
  std::string pattern;     // regular expression of path and arguments; empty: by tags
  std::uint64_t after = 0; // FrontUrlsReply::last of the page before; 0: from the beginning

  static constexpr auto fields() {
    using M = FrontUrls;
    return std::tuple{list(&M::tags), string(&M::pattern), integer(&M::after)};
  }
};

struct FrontHeader {
  std::string name;
  std::string value;

  static constexpr auto fields() {
    return std::tuple{string(&FrontHeader::name), string(&FrontHeader::value)};
  }
};

// A URL as a front has asked for it.
struct FrontUrl {
  std::string host;                 // the Host header
  std::string target;               // path and arguments, escaped as they came
  std::vector<FrontHeader> headers; // that the answer depends on ("Vary")

  static constexpr auto fields() {
    using M = FrontUrl;
    return std::tuple{string(&M::host), string(&M::target), list(&M::headers)};
  }
};

struct FrontUrlsReply {
  std::vector<FrontUrl> urls;
  std::uint64_t last = 0; // number of the last of them
  bool more = false;

  static constexpr auto fields() {
    using M = FrontUrlsReply;
    return std::tuple{list(&M::urls), integer(&M::last), integer(&M::more)};
  }
};

} // namespace cairn::wire
