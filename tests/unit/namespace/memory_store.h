// A replica's tables in memory, which a crash brings back to what was synced.
#pragma once

#include "common/wire/mutation.h"
#include "tracker/handlers/namespace_writer.h"
#include "tracker/log/replicated_log.h"
#include "tracker/namespace/key_value.h"

#include <map>
#include <string>

namespace cairn::tracker {

class MemoryStore final : public LogApplier, public StoreViews, public KeyValueView {
public:
  LogPos applied() const override { return now_.applied; }
  std::uint64_t hash() const override { return now_.hash; }

  Status apply(std::span<const LogEntry> entries, bool) override {
    for (const LogEntry& entry : entries) {
      if (entry.position.index <= now_.applied.index) continue;
      CAIRN_TRY(batch, wire::decode_lenient<wire::MutationBatch>(entry.batch));
      for (const auto& mutation : batch.mutations) {
        if (mutation.kind == wire::MutationKind::put)
          now_.rows[mutation.key] = mutation.value;
        else
          now_.rows.erase(mutation.key);
      }
      now_.applied = entry.position;
      now_.hash = chain_hash(now_.hash, entry.batch);
    }
    return {};
  }

  void sync() { synced_ = now_; }
  void crash() { now_ = synced_; }

  std::unique_ptr<KeyValueView> view() const override { return std::make_unique<View>(*this); }
  Result<std::optional<std::string>> get(std::string_view key) const override {
    const auto found = now_.rows.find(key);
    if (found == now_.rows.end()) return std::optional<std::string>();
    return std::optional<std::string>(found->second);
  }
  Status scan(std::string_view prefix, std::string_view from, const OnRow& row) const override {
    for (auto at = now_.rows.lower_bound(from < prefix ? prefix : from);
         at != now_.rows.end() && at->first.starts_with(prefix); ++at) {
      if (!row(at->first, at->second)) break;
    }
    return {};
  }
  const std::map<std::string, std::string, std::less<>>& rows() const { return now_.rows; }

private:
  struct State {
    std::map<std::string, std::string, std::less<>> rows;
    LogPos applied;
    std::uint64_t hash = 0;
  };
  struct View final : KeyValueView {
    explicit View(const MemoryStore& of) : store(of) {}
    Result<std::optional<std::string>> get(std::string_view key) const override {
      return store.get(key);
    }
    Status scan(std::string_view prefix, std::string_view from, const OnRow& row) const override {
      return store.scan(prefix, from, row);
    }
    const MemoryStore& store;
  };

  State now_;
  State synced_;
};

} // namespace cairn::tracker
