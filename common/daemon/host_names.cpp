// Looking up again.
#include "common/daemon/host_names.h"

#include "common/daemon/log.h"

#include <algorithm>

namespace cairn {

namespace {

spdlog::logger& log() {
  static spdlog::logger& one = logger("daemon.names");
  return one;
}

std::string joined(const std::vector<std::string>& addresses) {
  std::string text;
  for (const std::string& address : addresses) text += (text.empty() ? "" : ",") + address;
  return text.empty() ? "none" : text;
}

} // namespace

HostNames::HostNames(Lists lists, std::chrono::seconds interval)
    : lists_(std::move(lists)), interval_(interval) {}

HostNames::~HostNames() {
  stop();
}

void HostNames::look_up() {
  for (const auto& [key, list] : lists_) {
    for (const auto& change : list.resolve_names()) {
      if (!change.found)
        log().warn("a host name is not found list={} name={} counting={}", key, change.name,
                   joined(change.addresses));
      else if (!first_)
        log().info("a host name has other addresses list={} name={} counting={}", key, change.name,
                   joined(change.addresses));
    }
  }
  first_ = false;
}

void HostNames::start() {
  const bool any = std::any_of(lists_.begin(), lists_.end(),
                               [](const auto& one) { return one.second.has_names(); });
  if (any && !thread_.joinable()) thread_ = std::thread([this] { run(); });
}

void HostNames::refresh() {
  const std::lock_guard lock(mutex_);
  wanted_ = true;
  wake_.notify_all();
}

void HostNames::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void HostNames::run() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      const auto woken = [this] { return wanted_ || stopping_; };
      if (interval_.count() > 0)
        wake_.wait_for(lock, interval_, woken);
      else
        wake_.wait(lock, woken);
      if (stopping_) return;
      wanted_ = false;
    }
    look_up();
  }
}

} // namespace cairn
