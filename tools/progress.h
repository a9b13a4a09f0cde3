// A progress bar for one large transfer, on a terminal only.
#pragma once

#include "cairn/types.h"

#include <chrono>
#include <cstdint>
#include <string>

namespace cairn::tools {

// The bar's line: "photo.iso  43%  1.2 GiB of 2.8 GiB  98 MiB/s", cut to `width` columns.
std::string progress_line(const std::string& label, std::uint64_t done, std::uint64_t total,
                          std::chrono::duration<double> elapsed, std::size_t width);

// Shows the bar on standard error while it lives, when that is a terminal and `wanted`.
class ProgressBar {
public:
  ProgressBar(std::string label, bool wanted);
  ~ProgressBar(); // clears the line
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // To be given to a transfer; empty when nothing is to be shown. The bar must outlive it.
  Progress callback();

private:
  using Clock = std::chrono::steady_clock;
  void show(std::uint64_t done, std::uint64_t total);

  std::string label_;
  bool enabled_;
  bool shown_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_{};
};

} // namespace cairn::tools
