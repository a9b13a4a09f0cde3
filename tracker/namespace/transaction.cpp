// Two layers of changes over a base.
#include "tracker/namespace/transaction.h"

#include <utility>

namespace cairn::tracker {

Result<std::optional<std::string>> Transaction::get(std::string_view key) const {
  if (const auto found = operation_.find(key); found != operation_.end()) return found->second;
  if (const auto found = batch_.find(key); found != batch_.end()) return found->second;
  return base_.get(key);
}

void Transaction::put(std::string key, std::string value) {
  operation_.insert_or_assign(std::move(key), std::optional<std::string>(std::move(value)));
}

void Transaction::remove(std::string key) {
  operation_.insert_or_assign(std::move(key), std::nullopt);
}

void Transaction::keep() {
  for (auto& [key, value] : operation_) {
    const std::size_t size = key.size() + (value ? value->size() : 0) + 16;
    const auto [at, made] = batch_.insert_or_assign(key, std::move(value));
    if (made) bytes_ += size;
  }
  operation_.clear();
}

wire::MutationBatch Transaction::mutations() const {
  wire::MutationBatch batch;
  batch.mutations.reserve(batch_.size());
  for (const auto& [key, value] : batch_)
    batch.mutations.push_back(value ? wire::Mutation::put(key, *value)
                                    : wire::Mutation::remove(key));
  return batch;
}

Status Transaction::scan(std::string_view prefix, std::string_view from, const OnRow& row) const {
  const std::string_view start = from < prefix ? prefix : from;
  if (operation_.empty() && batch_.empty()) return base_.scan(prefix, from, row);
  // The two layers as one; they are small.
  Layer over(batch_.lower_bound(start), batch_.end());
  for (auto at = operation_.lower_bound(start); at != operation_.end(); ++at)
    over.insert_or_assign(at->first, at->second);
  auto next = over.begin();
  const auto in_range = [&] { return next != over.end() && next->first.starts_with(prefix); };
  bool go_on = true;
  const auto base_row = [&](std::string_view key, std::string_view value) {
    for (; go_on && in_range() && next->first < key; ++next) {
      if (next->second) go_on = row(next->first, *next->second);
    }
    if (!go_on) return false;
    if (in_range() && next->first == key) {
      if (next->second) go_on = row(key, *next->second);
      ++next;
      return go_on;
    }
    go_on = row(key, value);
    return go_on;
  };
  CAIRN_RETURN_IF_ERROR(base_.scan(prefix, from, base_row));
  for (; go_on && in_range(); ++next) {
    if (next->second) go_on = row(next->first, *next->second);
  }
  return {};
}

} // namespace cairn::tracker
