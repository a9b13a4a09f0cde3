// The names of one directory in the order of their bytes, however many there are: what does not fit
// into the given memory is sorted in runs on disk and merged.
#pragma once

#include "common/base/result.h"

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cairn::migrate {

class SortedNames {
public:
  // Keeps about `bytes_max` in memory; runs go into unnamed files in `folder`.
  SortedNames(std::size_t bytes_max, std::filesystem::path folder);

  // `type` is d_type of readdir(3). Errors: those of writing a run.
  Status add(std::string_view name, std::uint8_t type);
  // Calls `visit` for each name in order, until it answers an Error, which is passed on. Once.
  Status each(const std::function<Status(const std::string& name, std::uint8_t type)>& visit);
  std::uint64_t count() const { return count_; }

private:
  using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;
  using Name = std::pair<std::string, std::uint8_t>;

  Status spill();

  std::size_t bytes_max_;
  std::filesystem::path folder_;
  std::vector<Name> names_;
  std::size_t bytes_ = 0;
  std::uint64_t count_ = 0;
  std::vector<File> runs_;
};

} // namespace cairn::migrate
