// native 196: what storage nodes and administrators have seen change, for the caches in front.
#include "common/wire/cache_purge.h"

#include "common/net/cache_purger.h"
#include "tracker/handlers/commands.h"
#include "tracker/handlers/namespace_service.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace cairn::tracker {

namespace {

constexpr std::size_t kPatternMax = 1024;

bool is_tag(const wire::CacheWord& word) {
  return word.text.size() == 16 && std::ranges::all_of(word.text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// It becomes a word of a header, and of an expression of the cache.
bool is_pattern(const wire::CacheWord& word) {
  return !word.text.empty() && word.text.size() <= kPatternMax &&
         std::ranges::all_of(word.text, [](char c) {
           return std::isgraph(static_cast<unsigned char>(c)) != 0 && c != '"';
         });
}

} // namespace

Task<Result<Reply>> caches_changed(Tracker& tracker, Session& session, Body& body) {
  NamespaceService* const service = tracker.namespace_service();
  if (service == nullptr) {
    if (tracker.link(session).role == wire::Role::tracker)
      co_return Error{Errc::unsupported, "this tracker holds no metadata"};
    wire::Bytes bytes(body.whole().begin(), body.whole().end());
    CAIRN_CO_TRY(reply, co_await tracker.forward(body.command(), std::move(bytes)));
    co_return Reply(std::move(reply));
  }
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::CachesChanged>(body.whole()));
  if (request.tags.size() + request.patterns.size() > wire::kCacheWordsMax ||
      !std::ranges::all_of(request.tags, is_tag) ||
      !std::ranges::all_of(request.patterns, is_pattern))
    co_return Error{Errc::invalid_argument, "tags are 16 hex digits, patterns have no blanks"};
  wire::CachesChangedReply reply;
  if (CachePurger* purger = service->purger()) {
    reply.caches = static_cast<std::uint32_t>(purger->caches());
    for (const wire::CacheWord& word : request.tags) purger->changed(word.text);
    for (const wire::CacheWord& word : request.patterns) purger->changed_urls(word.text);
  }
  co_return Reply(wire::encode(reply));
}

} // namespace cairn::tracker
