// Small functions of the public types.
#include "cairn/types.h"

#include "common/base/file_id.h"
#include "common/base/text.h"
#include "common/config/client_config.h"

namespace cairn {

namespace {

constexpr std::uint16_t kTrackerPort = 22122;

FileType type_of(FileKind kind) {
  switch (kind) {
    case FileKind::normal:
      return FileType::normal;
    case FileKind::appender:
      return FileType::appender;
    case FileKind::slave:
      return FileType::slave;
    case FileKind::trunk:
      return FileType::trunk;
  }
  return FileType::normal;
}

} // namespace

std::string Address::text() const {
  const std::string shown = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return shown + ":" + std::to_string(port);
}

Result<std::vector<Address>> parse_trackers(std::string_view text) {
  std::vector<Address> addresses;
  for (const std::string_view piece : split(text, ',')) {
    CAIRN_TRY(parsed, parse_host_port(trim(piece), kTrackerPort));
    addresses.emplace_back(std::move(parsed.host), parsed.port);
  }
  return addresses;
}

Result<ClientOptions> load_client_options(const std::filesystem::path& conf_file) {
  CAIRN_TRY(loaded, config::load_client_config(conf_file));
  ClientOptions options;
  for (const auto& tracker : loaded.config.trackers) {
    for (const std::string& host : tracker.hosts) options.trackers.emplace_back(host, tracker.port);
  }
  options.connect_timeout = loaded.config.connect_timeout;
  options.network_timeout = loaded.config.network_timeout;
  options.cluster_secret_file = loaded.config.cluster_secret_file;
  options.access_key_file = loaded.config.access_key_file;
  options.tls = loaded.config.tls_connect.on;
  options.tls_ca_file = loaded.config.tls_connect.ca_file;
  options.tls_check_names = loaded.config.tls_connect.check_names;
  options.tls_certificate_file = loaded.config.tls_certificate_file;
  options.tls_key_file = loaded.config.tls_key_file;
  return options;
}

std::string_view describe(FileType type) {
  switch (type) {
    case FileType::normal:
      return "normal";
    case FileType::appender:
      return "appender";
    case FileType::slave:
      return "slave";
    case FileType::trunk:
      return "trunk";
  }
  return "unknown";
}

std::string_view describe(NodeState state) {
  switch (state) {
    case NodeState::init:
      return "init";
    case NodeState::wait_sync:
      return "wait_sync";
    case NodeState::syncing:
      return "syncing";
    case NodeState::deleted:
      return "deleted";
    case NodeState::offline:
      return "offline";
    case NodeState::online:
      return "online";
    case NodeState::active:
      return "active";
    case NodeState::recovery:
      return "recovery";
  }
  return "unknown";
}

Result<ParsedId> parse_id(std::string_view id) {
  CAIRN_TRY(file, parse_file_id(id));
  ParsedId parsed;
  parsed.group = file.group;
  parsed.name = std::string(file.name.text());
  parsed.type = type_of(file.name.kind());
  if (const auto& fields = file.name.fields()) {
    parsed.source = fields->source.text();
    parsed.time = fields->timestamp;
    parsed.has_checksum = parsed.type == FileType::normal || parsed.type == FileType::trunk;
    if (parsed.has_checksum) {
      parsed.size = fields->size();
      parsed.crc32 = fields->crc32;
    }
  }
  return parsed;
}

} // namespace cairn
