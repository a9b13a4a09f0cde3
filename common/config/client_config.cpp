// The option list of clients.
#include "common/config/client_config.h"

#include "common/config/server_options.h"

namespace cairn::config {
namespace {

using C = ClientConfig;
using std::chrono::hours;
using std::chrono::seconds;

constexpr std::uint32_t kPoolCountMax = 1'000'000;

OptionList<C> make_options() {
  OptionList<C> list;
  trackers_option(list);
  list.duration("connect_timeout", &C::connect_timeout, seconds(1), hours(1),
                "Longest time to connect.");
  list.duration("network_timeout", &C::network_timeout, seconds(1), hours(1),
                "Longest time to wait for an answer, or for bytes of it.");
  list.path("base_path", &C::base_path, "A directory of the client's own, where one is needed.");
  list.path("cluster_secret_file", &C::cluster_secret_file,
            "File (mode 0600) with the cluster's secret; only administration needs it.");
  list.path("access_key_file", &C::access_key_file,
            "File (mode 0600) with an access key, ID and secret in one line, as `cairn key add` "
            "prints them. For machines that are not in allow_hosts, and for signed URLs.");
  log_level_option(list);

  list.heading("TLS");
  tls_connect_options(list, "tls", "Connect by TLS, and not at all without it.");
  list.path("tls_certificate_file", &C::tls_certificate_file,
            "Our certificate (PEM), for nodes that ask for one.");
  list.path("tls_key_file", &C::tls_key_file, "Its key (mode 0600), PEM, no passphrase.");

  list.heading("Connections");
  list.flag("use_connection_pool", &C::use_connection_pool, "Keep connections for further use.");
  list.duration("connection_pool_max_idle_time", &C::connection_pool_max_idle_time, seconds(1),
                hours(24), "Connections unused for so long are closed.");
  list.integer("connection_pool.max_count_per_entry", &C::connection_pool_max_count_per_entry, 0,
               kPoolCountMax, "connections", "Most connections to one server; 0: no limit.");
  // What the Java client calls the same.
  list.flag("connection_pool.enabled", &C::use_connection_pool, "").hidden = true;
  list.duration("connection_pool.max_idle_time", &C::connection_pool_max_idle_time, seconds(1),
                hours(24), "")
      .hidden = true;
  return list;
}

const OptionList<C>& options() {
  static const OptionList<C> list = make_options();
  return list;
}

std::vector<IgnoredKey> make_ignored() {
  std::vector<IgnoredKey> keys;
  const std::string ids = "trackers tell clients what they need to know";
  for (const char* key : {"load_fdfs_parameters_from_tracker", "use_storage_id",
                          "storage_ids_filename", "storage_sync_file_max_delay",
                          "fetch_storage_ids.have_allow_empty_field", "connect_first_by"}) {
    keys.push_back({key, ids});
  }
  const std::string http = "storage nodes serve HTTP and check tokens";
  for (const char* key :
       {"http.tracker_server_port", "http.tracker_http_port", "http.anti_steal_token",
        "http.secret_key", "http.default_content_type", "http.mime_types_filename",
        "http.anti_steal.check_token", "http.anti_steal.token_ttl", "http.anti_steal.secret_key",
        "http.anti_steal.token_check_fail", "http.multi_range.enabled"}) {
    keys.push_back({key, http});
  }
  keys.push_back({"charset", "names and metadata are bytes"});
  keys.push_back({"connection_pool.max_wait_time_in_ms", "connect_timeout is the longest wait"});
  keys.push_back({"sync_log_buff_interval", "logs go to standard error"});
  return keys;
}

Status finish(Loaded<C>& loaded, const ConfFile& file) {
  const C& config = loaded.config;
  if (config.tls_connect.on && config.tls_connect.ca_file.empty())
    return error_at(file, loaded.file, "tls", "on needs tls_ca_file: whom to trust");
  if (config.tls_certificate_file.empty() != config.tls_key_file.empty())
    return error_at(file, loaded.file,
                    config.tls_key_file.empty() ? "tls_certificate_file" : "tls_key_file",
                    "tls_certificate_file and tls_key_file go together");
  return {};
}

} // namespace

Result<Loaded<ClientConfig>> load_client_config(const std::filesystem::path& path) {
  static const std::vector<IgnoredKey> ignored = make_ignored();
  return load(path, options(), ignored, &finish);
}

std::string client_sample() {
  const C defaults;
  return sample_text(
      "Configuration of Cairn's clients: the command line, the mount, the library. Lines that "
      "begin with # are comments; keys written as comments show the default. A duration is "
      "seconds, or has a suffix s, m, h or d.",
      options().options(), &defaults);
}

} // namespace cairn::config
