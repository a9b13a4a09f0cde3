// What the namespace reads: ordered keys and values. The tracker's LevelDB is one, a map in the
// tests another, a transaction over either a third.
#pragma once

#include "common/base/result.h"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace cairn::tracker {

class KeyValueView {
public:
  virtual ~KeyValueView() = default;

  // The value, or nullopt. Errors: io_error, corrupt.
  virtual Result<std::optional<std::string>> get(std::string_view key) const = 0;

  // Takes a row; false ends the scan.
  using OnRow = std::function<bool(std::string_view key, std::string_view value)>;
  // All rows whose key begins with `prefix`, in order of keys, from the first that is not below
  // `from`. Errors: io_error, corrupt.
  virtual Status scan(std::string_view prefix, std::string_view from, const OnRow& row) const = 0;
};

} // namespace cairn::tracker
