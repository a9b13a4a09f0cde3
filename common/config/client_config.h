// client.conf: what clients (CLI, mount, migrator, library) are told.
#pragma once

#include "common/config/options.h"
#include "common/config/server_config.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cairn::config {

// Constant after loading.
struct ClientConfig {
  std::vector<TrackerAddress> trackers; // at least one
  std::chrono::seconds connect_timeout{5};
  std::chrono::seconds network_timeout{30};
  std::filesystem::path base_path; // empty: none needed
  bool use_connection_pool = true;
  std::chrono::seconds connection_pool_max_idle_time{3600};
  std::uint32_t connection_pool_max_count_per_entry = 500; // 0: no limit
  LogLevel log_level = LogLevel::info;
  std::filesystem::path cluster_secret_file; // empty: none; for administration
  std::filesystem::path access_key_file;     // empty: none
  TlsConnect tls_connect;
  std::filesystem::path tls_certificate_file; // shown to those who ask; empty: none
  std::filesystem::path tls_key_file;         // its key
};

// Reads and checks client.conf. invalid_argument with one "file:line: …" line, or the error of
// reading a file.
Result<Loaded<ClientConfig>> load_client_config(const std::filesystem::path& path);

// The commented sample, as in conf/client.conf.
std::string client_sample();

} // namespace cairn::config
