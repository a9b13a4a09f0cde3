// A logger per folder ("storage.sync"). Included by .cpp files only: spdlog is slow to compile.
#pragma once

#include <spdlog/spdlog.h>

#include <memory>
#include <string>

namespace cairn {

// The logger of that name, made from the default one (its sink and level) when there is none yet.
// Keep the reference: `static spdlog::logger& log = logger("storage.sync");` inside a function, so
// that setup_logging() has run.
inline spdlog::logger& logger(const std::string& name) {
  if (auto known = spdlog::get(name)) return *known;
  auto made = spdlog::default_logger()->clone(name);
  try {
    spdlog::register_logger(made);
  } catch (const spdlog::spdlog_ex&) {
    made = spdlog::get(name); // another thread was faster
  }
  return *made;
}

} // namespace cairn
