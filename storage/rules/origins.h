// Old servers and directories that rules name: pulling what is not here into the store, passing
// through what shall not be kept, and what is known of both. Nothing but what a rules file names is
// ever contacted, and redirects of an old server are not followed.
#pragma once

#include "common/net/disk_pool.h"
#include "common/net/http_client.h"
#include "common/net/http_server.h"
#include "common/rules/model.h"
#include "storage/rules/arriving.h"
#include "storage/rules/live_rules.h"

#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>

namespace boost::asio {
class io_context;
}

namespace cairn::storage {

// The content of an object that is being pulled.
class PullBody {
public:
  virtual ~PullBody() = default;
  // The next bytes; 0 at the end. Errors: those of the origin.
  virtual Task<Result<std::size_t>> read_some(std::span<std::byte> out) = 0;
};

// Stores what was pulled, as an upload is stored.
class ObjectKeeper {
public:
  virtual ~ObjectKeeper() = default;
  // Stores all of `body` under a new name of this group and answers it ("M00/…") when it is
  // durable. Reads through `arriving`, which has begun, and completes it as soon as all is there.
  // `size_max` bytes are taken at most. Errors: those of the body; no_space, io_error, unavailable
  // (the node takes no changes), invalid_argument (too large, or not the promised length).
  virtual Task<Result<std::string>> keep(std::string extension, std::uint64_t size_max,
                                         PullBody& body, Arriving& arriving) = 0;
  virtual std::string group() const = 0;
};

class Origins {
public:
  // Of one origin, for /metrics and `cairn rules top`. They outlive reloads of the rules.
  struct Counters {
    std::atomic<std::uint64_t> pulls{0};  // requests sent
    std::atomic<std::uint64_t> absent{0}; // answered "no such file", or remembered so
    std::atomic<std::uint64_t> failed{0};
    std::atomic<std::uint64_t> stored{0};
    std::atomic<std::uint64_t> passed{0}; // answered without being stored
    std::atomic<std::uint64_t> bytes{0};
    std::atomic<std::size_t> inflight{0};
  };

  // Pulls run on `context`; all references outlive this.
  Origins(boost::asio::io_context& context, LiveRules& live, ObjectKeeper& keeper);

  // An object that is being pulled.
  struct Flight;
  // What a pull gives: a stored object, or one of which the first bytes have come.
  struct Pulled {
    wire::AliasRow row;             // what the name leads to; empty with a flight
    std::shared_ptr<Flight> flight; // null: it is stored
    std::uint64_t length = 0;       // of a flight: bytes of the object
    std::uint64_t mtime = 0;        // of a flight: unix seconds, 0: unknown
  };

  // Fetches `target` (a decoded path) from an origin, stores it, and makes the alias `host`,
  // `path`. Requests for one alias at the same time share one pull, which goes on when its clients
  // leave. Answers as soon as bytes can be passed on, with `stored` when the object is stored (as
  // it does always when the origin does not say how long it is). Errors: not_found (the origin does
  // not have it, remembered for not_found_ttl), busy (inflight), and what went wrong at the origin
  // or the store. `set` and `origin` live as long as `keep_alive`.
  Task<Result<Pulled>> pull(std::shared_ptr<const RulesVersion> keep_alive,
                            const rules::RuleSet& set, const rules::Origin& origin,
                            std::string target, std::string host, std::string path, bool stored);
  // Writes `length` bytes of a flight from `offset` as they come. `write_timeout` is that of the
  // connection; it does not run while the origin is waited for. Errors: those of the connection,
  // and of the pull: then less was written, never the last byte.
  Task<Status> send(std::shared_ptr<Flight> flight, Connection& to,
                    std::chrono::milliseconds write_timeout, std::uint64_t offset,
                    std::uint64_t length);
  // The origin's own answer, not stored. `raw_target` is sent as it is. Errors as pull(); any
  // status below 500 is an answer when `any_status`, else only 200, 206, 304 and 416.
  Task<Result<HttpReply>> pass_through(std::shared_ptr<const RulesVersion> keep_alive,
                                       const rules::RuleSet& set, const rules::Origin& origin,
                                       std::string raw_target, const HttpRequest& request,
                                       bool any_status);

  // By "set/origin".
  std::map<std::string, std::shared_ptr<Counters>> counters() const;
  std::shared_ptr<Counters> counters_of(const rules::RuleSet& set, const rules::Origin& origin);

private:
  bool is_absent(const std::string& key);
  void note_absent(const std::string& key, std::chrono::seconds ttl);
  // The following run on context_.
  Task<Result<Pulled>> pull_here(std::shared_ptr<const RulesVersion> keep_alive,
                                 const rules::RuleSet& set, const rules::Origin& origin,
                                 std::string target, std::string host, std::string path,
                                 bool stored);
  Task<void> fly(std::shared_ptr<Flight> flight, std::shared_ptr<asio::steady_timer> changed);
  Task<Result<wire::AliasRow>> fetch(Flight& flight);
  Task<Result<Arriving::Part>> next_part(std::shared_ptr<Flight> flight, std::uint64_t offset,
                                         std::uint64_t max);

  boost::asio::io_context& context_;
  LiveRules& live_;
  ObjectKeeper& keeper_;
  DiskPool disk_;                                          // of origins that are directories
  std::map<std::string, std::shared_ptr<Flight>> flights_; // on the context's thread
  mutable std::mutex mutex_;                               // guards what follows
  std::map<std::string, std::shared_ptr<Counters>> counters_;
  std::unordered_map<std::string, std::chrono::steady_clock::time_point> absent_;
};

// An HTTP response as a reply that passes its body on. Without a Content-Length at most 8 MiB.
// Errors: those of reading; invalid_argument (too long).
Task<Result<HttpReply>> pass_on(HttpCall call, bool head);

} // namespace cairn::storage
