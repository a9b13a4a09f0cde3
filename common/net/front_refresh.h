// Has a cache in front fetch URLs anew that has no list of them: stock nginx, as conf/nginx sets it
// up. A HEAD with X-Cairn-Refresh makes it pass the cache by, ask a storage node with GET, and keep
// the answer, also a 404, in the place of the old one.
#pragma once

#include "common/net/frame_client.h"
#include "common/net/task.h"
#include "common/wire/cache_purge.h"

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace cairn {

struct Refreshed {
  std::size_t taken = 0;               // URLs that the front has fetched anew
  std::vector<wire::FrontUrl> unasked; // it did not answer any more: to be asked again
  // Errors: of the connection, with `unasked`; denied (it answers out of its cache: it does not
  // take this from us), unavailable (no storage node has given it an answer), then without, since
  // asking again at once would not help.
  Status status;
};

// Asks for all of them, a few at a time. `timeout` is that of each answer.
Task<Refreshed> refresh_urls(Endpoint front, std::vector<wire::FrontUrl> urls,
                             std::chrono::milliseconds timeout);

// One text for each URL with its headers.
std::string front_url_key(const wire::FrontUrl& url);

} // namespace cairn
