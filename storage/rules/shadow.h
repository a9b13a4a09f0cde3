// Comparing answers with those of the old server, for a share of the real requests and without
// letting anybody wait for it.
#pragma once

#include "common/net/http_client.h"
#include "common/net/http_server.h"
#include "common/rules/model.h"
#include "storage/rules/live_rules.h"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace boost::asio {
class io_context;
}

namespace cairn::storage {

// What of an answer is compared.
struct ShadowAnswer {
  int status = 0;
  std::optional<std::uint64_t> length;
  std::optional<std::uint32_t> crc32; // of the whole content, when it is known or was read
  std::string type;
  std::string last_modified;
  std::string cache_control;
};

// What differs, as "status 200 -> 404, length 10 -> 12"; empty: nothing. Redirects and errors are
// compared by their status only. A checksum that one side does not know is not compared.
std::string differences(const ShadowAnswer& old_answer, const ShadowAnswer& ours);

// What `reply` looks like from outside.
ShadowAnswer answer_of(const HttpReply& reply);

class Shadow {
public:
  struct Totals {
    std::uint64_t compared = 0;
    std::uint64_t equal = 0;
    std::uint64_t differing = 0;
    std::uint64_t failed = 0;  // the old server did not answer
    std::uint64_t dropped = 0; // too many comparisons at once
  };
  struct Difference {
    std::string url;
    std::string text;
    std::int64_t time = 0; // unix seconds
  };

  // The old server is asked on `context`, which outlives this.
  explicit Shadow(boost::asio::io_context& context) : context_(context) {}

  // Asks the origin of `set.shadow` for `target` and compares. Any thread; returns at once.
  void compare(std::shared_ptr<const RulesVersion> keep_alive, const rules::RuleSet& set,
               std::string host, std::string target, ShadowAnswer ours);

  // By set.
  std::map<std::string, Totals> totals() const;
  // The last hundred of a set.
  std::vector<Difference> differences_of(const std::string& set) const;

private:
  Task<void> run(std::shared_ptr<const RulesVersion> keep_alive, const rules::RuleSet& set,
                 std::string host, std::string target, ShadowAnswer ours);

  boost::asio::io_context& context_;
  mutable std::mutex mutex_; // guards what follows
  struct State {
    Totals totals;
    std::deque<Difference> last;
    std::size_t running = 0;
  };
  std::map<std::string, State> sets_;
};

} // namespace cairn::storage
