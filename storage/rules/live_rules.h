// The rules in force at this node: taken from the trackers, swapped as a whole, counted by rule. A
// copy on disk serves a start without trackers.
#pragma once

#include "common/config/storage_config.h"
#include "common/net/frame_client.h"
#include "common/rules/book.h"
#include "common/wire/rules.h"
#include "storage/rules/alias_cache.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace boost::asio {
class io_context;
}

namespace cairn::storage {

// One version with its counters. Requests keep the version they began with.
struct RulesVersion {
  struct Counters {
    std::atomic<std::uint64_t> hits{0};    // requests the rule decided
    std::atomic<std::uint64_t> misses{0};  // its object was not there
    std::atomic<std::uint64_t> refused{0}; // require, referer, token
  };

  std::uint64_t version = 0;
  std::shared_ptr<const rules::RuleBook> book; // null: there are no rules
  std::unordered_map<const rules::Location*, std::unique_ptr<Counters>> counters;

  // nullptr for a decision without a location.
  Counters* of(const rules::Location* location) const {
    const auto found = counters.find(location);
    return found == counters.end() ? nullptr : found->second.get();
  }
};

// Runs on one io_context, from which the trackers are asked; get() and alias() are for any thread.
class LiveRules {
public:
  // `config` outlives this. `hello` is said to trackers, proving `credentials`.
  LiveRules(boost::asio::io_context& context, const config::StorageConfig& config,
            wire::Hello hello, Credentials credentials);
  ~LiveRules();
  LiveRules(const LiveRules&) = delete;
  LiveRules& operator=(const LiveRules&) = delete;

  // Reads the copy on disk, if there is one. Blocks; before start().
  void load_copy();
  // Begins to follow the trackers.
  void start();
  // Ends it; coroutines end with the context.
  void stop();
  // Closes the connections to trackers. After the context's thread has ended, before the context
  // goes.
  void close() { trackers_.close(); }

  // Never null.
  std::shared_ptr<const RulesVersion> get() const;
  // What an alias leads to: from the cache, or asked of a tracker. A row without a target: there is
  // no such alias. When no tracker answers, what was known before counts. Errors: unavailable.
  Task<Result<wire::AliasRow>> alias(std::string host, std::string path);
  // Makes an alias unless there is one, which is then the answer.
  Task<Result<wire::AliasRow>> add_alias(wire::AliasRow row);
  // The alias led to nothing: the tracker is asked next time.
  void forget_alias(const std::string& host, const std::string& path);

  std::size_t cached_aliases() const { return cache_.size(); }
  // Why the last rules of the trackers are not in force; empty when they are.
  std::string failure() const;

private:
  Task<void> follow();
  Task<Result<wire::Bytes>> ask(wire::NativeCommand command, wire::Bytes body);
  Task<Result<wire::AliasRow>> ask_alias(std::string host, std::string path);
  Task<Result<wire::AliasRow>> ask_add(wire::AliasRow row);
  // Errors: invalid_argument (the rules do not load here).
  Status take(const wire::RulesReply& reply);

  boost::asio::io_context& context_;
  const config::StorageConfig& config_;
  ClientPool trackers_;       // on the context's thread
  std::size_t preferred_ = 0; // the tracker that answered last
  bool stopping_ = false;
  AliasCache cache_;
  mutable std::mutex mutex_; // guards what follows
  std::shared_ptr<const RulesVersion> current_ = std::make_shared<RulesVersion>();
  std::string failure_;
};

} // namespace cairn::storage
