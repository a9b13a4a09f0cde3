// The cluster that a command line names.
#include "client/command_options.h"

#include <utility>

namespace cairn {

Result<ClientOptions> command_options(const std::filesystem::path& conf,
                                      std::string_view trackers) {
  ClientOptions options;
  if (!conf.empty()) {
    CAIRN_TRY(loaded, load_client_options(conf));
    options = std::move(loaded);
  }
  if (!trackers.empty()) {
    CAIRN_TRY(named, parse_trackers(trackers));
    options.trackers = std::move(named);
  }
  if (options.trackers.empty())
    return Error{Errc::invalid_argument,
                 "no tracker is named: give -t HOST:PORT or --conf FILE, or set CAIRN_TRACKER or "
                 "CAIRN_CONF"};
  return options;
}

} // namespace cairn
