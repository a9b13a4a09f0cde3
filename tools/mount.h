// What `cairn mount` is given.
#pragma once

#include "tools/context.h"

#include <nlohmann/json_fwd.hpp>

#include <filesystem>
#include <string_view>

namespace cairn::tools {

struct MountStatsArgs {
  std::filesystem::path directory; // where it is mounted
};
// Prints the statistics of a mount as Prometheus text, or with --json as a document. Exit 3 when
// nothing of Cairn is mounted there.
int run_mount_stats(Context& context, const MountStatsArgs& args);

// Prometheus text as a document: {"family": number} for families without labels, else {"family":
// {"first label's value": number}}. What is not a sample is left out.
nlohmann::json metrics_document(std::string_view text);

} // namespace cairn::tools
