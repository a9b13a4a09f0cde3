// The progress bar.
#include "tools/progress.h"

#include "tools/context.h"

#include <cstdio>
#include <sys/ioctl.h>
#include <unistd.h>

namespace cairn::tools {

namespace {
// Smaller transfers are over before a bar can be read.
constexpr std::uint64_t kWorthShowing = 8 * 1024 * 1024;
constexpr std::chrono::milliseconds kBetween{200};

std::size_t terminal_width() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}
} // namespace

std::string progress_line(const std::string& label, std::uint64_t done, std::uint64_t total,
                          std::chrono::duration<double> elapsed, std::size_t width) {
  const auto percent =
      total == 0
          ? 100
          : static_cast<unsigned>(static_cast<double>(done) * 100 / static_cast<double>(total));
  std::string numbers =
      "  " + std::to_string(percent) + "%  " + human_bytes(done) + " of " + human_bytes(total);
  if (elapsed.count() > 0.5) {
    const double rate = static_cast<double>(done) / elapsed.count();
    numbers += "  " + human_bytes(static_cast<std::uint64_t>(rate)) + "/s";
  }
  const std::size_t room = width > numbers.size() + 1 ? width - numbers.size() - 1 : 0;
  return (label.substr(0, room) + numbers).substr(0, width);
}

ProgressBar::ProgressBar(std::string label, bool wanted)
    : label_(std::move(label)), enabled_(wanted && ::isatty(STDERR_FILENO) == 1) {}

ProgressBar::~ProgressBar() {
  if (shown_) std::fputs("\r\033[K", stderr);
}

Progress ProgressBar::callback() {
  if (!enabled_) return {};
  return [this](std::uint64_t done, std::uint64_t total) { show(done, total); };
}

void ProgressBar::show(std::uint64_t done, std::uint64_t total) {
  if (total < kWorthShowing) return;
  const auto now = Clock::now();
  if (now - last_ < kBetween) return;
  last_ = now;
  shown_ = true;
  const std::string line = progress_line(label_, done, total, now - start_, terminal_width() - 1);
  std::fprintf(stderr, "\r%s\033[K", line.c_str());
  std::fflush(stderr);
}

} // namespace cairn::tools
