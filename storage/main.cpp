// cairn-storage CONF: a storage node.
#include "common/auth/secret.h"
#include "common/config/storage_config.h"
#include "common/daemon/daemon.h"
#include "common/daemon/daemon_tls.h"
#include "storage/server.h"

#include <spdlog/spdlog.h>

int main(int argc, char** argv) {
  using namespace cairn;
  DaemonProgram program;
  program.name = "cairn-storage";
  program.description = "Storage node of Cairn: keeps the files of a group and serves them.";
  program.check = [](const std::filesystem::path& conf) -> Result<std::vector<std::string>> {
    CAIRN_TRY(loaded, config::load_storage_config(conf));
    CAIRN_RETURN_IF_ERROR(auth::ClusterSecret::open(loaded.config.cluster_secret_file));
    CAIRN_TRY(tls, DaemonTls::open(loaded.config));
    for (std::string& line : config::server_warnings(loaded.config, conf))
      loaded.notes.push_back(std::move(line));
    for (std::string& line : tls.warnings()) loaded.notes.push_back(std::move(line));
    return std::move(loaded.notes);
  };
  program.sample = [] { return config::storage_sample(); };
  program.run = [](const std::filesystem::path& conf) -> Status {
    CAIRN_TRY(loaded, config::load_storage_config(conf));
    setup_logging(loaded.config.log_level, loaded.config.log_format);
    for (const std::string& note : loaded.notes) spdlog::info("{}", note);
    for (const std::string& line : config::server_warnings(loaded.config, conf))
      spdlog::warn("{}", line);
    CAIRN_TRY(server, storage::StorageServer::open(std::move(loaded.config)));
    CAIRN_RETURN_IF_ERROR(server->start());
    wait_for_stop([&conf, &server] {
      auto again = config::load_storage_config(conf);
      if (!again) {
        spdlog::error("reload: {}; the running configuration stays", again.error().text());
        return;
      }
      setup_logging(again->config.log_level, again->config.log_format);
      if (auto secrets = server->reload_secrets(); !secrets)
        spdlog::error("reload: {}; the former one stays", secrets.error().text());
      server->refresh_names();
      spdlog::info(
          "reloaded log_level, log_format, the cluster's secret and certificates, host names are "
          "looked up; other settings need a restart");
    });
    server->stop();
    return Status();
  };
  return daemon_main(argc, argv, program);
}
