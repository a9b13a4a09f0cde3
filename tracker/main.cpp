// cairn-tracker CONF
#include "common/auth/secret.h"
#include "common/config/tracker_config.h"
#include "common/daemon/daemon.h"
#include "common/daemon/daemon_tls.h"
#include "tracker/restore.h"
#include "tracker/server.h"

#include <cstdio>
#include <string_view>
#include <utility>

int main(int argc, char** argv) {
  cairn::DaemonProgram program;
  program.name = "cairn-tracker";
  program.description = "The tracker of a Cairn cluster: tells clients which storage node to use.";
  program.check = [](const std::filesystem::path& conf) -> cairn::Result<std::vector<std::string>> {
    CAIRN_TRY(loaded, cairn::config::load_tracker_config(conf));
    CAIRN_RETURN_IF_ERROR(cairn::auth::ClusterSecret::open(loaded.config.cluster_secret_file));
    CAIRN_TRY(tls, cairn::DaemonTls::open(loaded.config));
    for (std::string& line : cairn::config::server_warnings(loaded.config, conf))
      loaded.notes.push_back(std::move(line));
    for (std::string& line : tls.warnings()) loaded.notes.push_back(std::move(line));
    return std::move(loaded.notes);
  };
  program.sample = cairn::config::tracker_sample;
  program.run = [](const std::filesystem::path& conf) -> cairn::Status {
    CAIRN_TRY(loaded, cairn::config::load_tracker_config(conf));
    return cairn::tracker::serve_tracker(std::move(loaded));
  };
  // What `cairn namespace restore` runs: it needs no daemon.
  if (argc >= 4 && argc <= 5 && std::string_view(argv[1]) == "--restore") {
    const bool replace = argc == 5 && std::string_view(argv[4]) == "--replace";
    if (argc == 5 && !replace) {
      std::fprintf(stderr, "cairn-tracker: --restore FILE CONF [--replace]\n");
      return 1;
    }
    const auto said = cairn::tracker::restore_metadata(argv[2], argv[3], replace);
    std::fprintf(said ? stdout : stderr, "%s%s\n",
                 said ? "" : "cairn-tracker: ", said ? said->c_str() : said.error().text().c_str());
    return said ? 0 : 1;
  }
  return cairn::daemon_main(argc, argv, program);
}
