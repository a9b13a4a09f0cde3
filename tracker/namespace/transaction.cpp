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
  while (!operation_.empty()) {
    auto node = operation_.extract(operation_.begin());
    const std::size_t size = node.key().size() + (node.mapped() ? node.mapped()->size() : 0) + 16;
    auto placed = batch_.insert(std::move(node));
    if (placed.inserted)
      bytes_ += size;
    else
      placed.position->second = std::move(placed.node.mapped());
  }
}

wire::MutationBatch Transaction::take_mutations() {
  wire::MutationBatch batch;
  batch.mutations.reserve(batch_.size());
  while (!batch_.empty()) {
    auto node = batch_.extract(batch_.begin());
    batch.mutations.push_back(
        node.mapped() ? wire::Mutation::put(std::move(node.key()), *std::move(node.mapped()))
                      : wire::Mutation::remove(std::move(node.key())));
  }
  return batch;
}

Status Transaction::scan(std::string_view prefix, std::string_view from, const OnRow& row) const {
  const std::string_view start = from < prefix ? prefix : from;
  if (operation_.empty() && batch_.empty()) return base_.scan(prefix, from, row);
  // The two layers as one; of the prefix they hold little.
  Layer over;
  for (const Layer* layer : {&batch_, &operation_}) {
    for (auto at = layer->lower_bound(start); at != layer->end() && at->first.starts_with(prefix);
         ++at)
      over.insert_or_assign(at->first, at->second);
  }
  auto next = over.begin();
  const auto in_range = [&] { return next != over.end(); };
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
