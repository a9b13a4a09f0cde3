// `cairn purge`: what the command line gives it.
#pragma once

#include <string>
#include <vector>

namespace cairn::tools {

class Context;

struct PurgeArgs {
  std::vector<std::string> objects;  // file IDs, or /EXPORT/PATH
  std::vector<std::string> patterns; // regular expressions of URLs: paths with arguments
};
// Has the caches in front forget every URL that an object was served under, or that matches.
int run_purge(Context& context, const PurgeArgs& args);

} // namespace cairn::tools
