// cairn-storage CONF: a storage node.
#include "common/config/storage_config.h"
#include "common/daemon/daemon.h"
#include "storage/server.h"

#include <spdlog/spdlog.h>

int main(int argc, char** argv) {
  using namespace cairn;
  DaemonProgram program;
  program.name = "cairn-storage";
  program.description = "Storage node of Cairn: keeps the files of a group and serves them.";
  program.check = [](const std::filesystem::path& conf) -> Result<std::vector<std::string>> {
    CAIRN_TRY(loaded, config::load_storage_config(conf));
    return std::move(loaded.notes);
  };
  program.sample = [] { return config::storage_sample(); };
  program.run = [](const std::filesystem::path& conf) -> Status {
    CAIRN_TRY(loaded, config::load_storage_config(conf));
    setup_logging(loaded.config.log_level, loaded.config.log_format);
    for (const std::string& note : loaded.notes) spdlog::info("{}", note);
    CAIRN_TRY(server, storage::StorageServer::open(std::move(loaded.config)));
    CAIRN_RETURN_IF_ERROR(server->start());
    wait_for_stop([&conf] {
      auto again = config::load_storage_config(conf);
      if (!again) {
        spdlog::error("reload: {}; the running configuration stays", again.error().text());
        return;
      }
      setup_logging(again->config.log_level, again->config.log_format);
      spdlog::info("reloaded log_level and log_format; other settings need a restart");
    });
    server->stop();
    return Status();
  };
  return daemon_main(argc, argv, program);
}
