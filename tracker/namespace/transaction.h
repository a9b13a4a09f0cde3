// Changes on top of a view that nobody else sees yet: a batch of operations on its way to the log.
// Each operation is all or nothing; later ones of the batch see what earlier ones did.
#pragma once

#include "common/wire/mutation.h"
#include "tracker/namespace/key_value.h"

#include <cstddef>
#include <map>

namespace cairn::tracker {

class Transaction final : public KeyValueView {
public:
  // `base` outlives the transaction and does not change meanwhile.
  explicit Transaction(const KeyValueView& base) : base_(base) {}

  Result<std::optional<std::string>> get(std::string_view key) const override;
  Status scan(std::string_view prefix, std::string_view from, const OnRow& row) const override;

  void put(std::string key, std::string value);
  void remove(std::string key);

  // Ends the operation since the last keep() or drop(): its changes join the batch, or are undone.
  void keep();
  void drop() { operation_.clear(); }
  // True when the operation has changed nothing so far.
  bool unchanged() const { return operation_.empty(); }

  // True when no kept operation changed anything.
  bool empty() const { return batch_.empty(); }
  // Bytes of the kept changes, about.
  std::size_t bytes() const { return bytes_; }
  // The kept changes, one a key; none are left here.
  wire::MutationBatch take_mutations();

private:
  using Layer = std::map<std::string, std::optional<std::string>, std::less<>>;

  const KeyValueView& base_;
  Layer batch_;
  Layer operation_;
  std::size_t bytes_ = 0;
};

} // namespace cairn::tracker
