// What both daemons' configurations share.
#include "common/config/server_config.h"

#include "common/config/server_options.h"

#include <algorithm>
#include <cmath>
#include <thread>
#include <utility>

namespace cairn::config {

std::uint64_t ReservedSpace::of(std::uint64_t total) const {
  if (!is_percent) return bytes;
  return static_cast<std::uint64_t>(std::floor(static_cast<double>(total) * (percent / 100)));
}

std::string ReservedSpace::text() const {
  if (!is_percent) return format_size(bytes);
  std::string text = std::to_string(percent); // six decimals
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text + "%";
}

Result<ReservedSpace> parse_reserved_space(std::string_view text) {
  ReservedSpace reserved;
  if (!text.empty() && text.back() == '%') {
    CAIRN_TRY(percent, parse_percent(text));
    reserved.is_percent = true;
    reserved.percent = percent;
    return reserved;
  }
  CAIRN_TRY(bytes, parse_size(text));
  reserved.bytes = bytes;
  return reserved;
}

Result<Addresses> parse_addresses(std::string_view text) {
  Addresses result;
  std::string_view list = text;
  std::string_view port;
  const bool brackets = !text.empty() && text.front() == '[';
  if (brackets) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) {
      return Error{Errc::invalid_argument, "'" + std::string(text) + "' has '[' without ']'"};
    }
    list = text.substr(1, close - 1);
    port = text.substr(close + 1);
  } else if (const std::size_t colon = text.find(':');
             colon != std::string_view::npos && colon == text.rfind(':')) {
    list = text.substr(0, colon);
    port = text.substr(colon);
  }
  for (const std::string_view raw : split(list, ',')) {
    const std::string_view host = trim(raw);
    // Parsed with a port of its own, so that only the host is judged.
    CAIRN_TRY(parsed, parse_host_port(host, 1));
    if (parsed.host != host) {
      return Error{Errc::invalid_argument, "'" + std::string(text) + "' is not HOST[,HOST]:PORT"};
    }
    result.hosts.push_back(std::move(parsed.host));
  }
  if (!port.empty()) {
    CAIRN_TRY(parsed, parse_host_port("h" + std::string(port)));
    result.port = parsed.port;
  }
  return result;
}

std::string TrackerAddress::text() const {
  std::string list;
  bool v6 = false;
  for (const std::string& host : hosts) {
    list += (list.empty() ? "" : ",") + host;
    v6 |= host.find(':') != std::string::npos;
  }
  return (v6 ? "[" + list + "]" : list) + ":" + std::to_string(port);
}

Result<TrackerAddress> parse_tracker_address(std::string_view text) {
  CAIRN_TRY(addresses, parse_addresses(text));
  return TrackerAddress{std::move(addresses.hosts), addresses.port.value_or(22122)};
}

namespace {

constexpr std::pair<std::string_view, FastdfsClients> kFastdfsWords[] = {
    {"on", FastdfsClients::on},
    {"read-only", FastdfsClients::read_only},
    {"off", FastdfsClients::off}};

constexpr std::pair<std::string_view, TlsMode> kTlsWords[] = {
    {"off", TlsMode::off}, {"optional", TlsMode::optional}, {"required", TlsMode::required}};

// Sets `value` to what `word`, "KEY=WORD", says; false: it is something else.
template <class T, class Words, class Out>
bool take_word(std::string_view word, std::string_view key, const Words& words, Out& value) {
  if (!word.starts_with(key)) return false;
  for (const auto& [name, meaning] : words) {
    if (word.substr(key.size()) != name) continue;
    value = T(meaning);
    return true;
  }
  return false;
}

} // namespace

std::string ListenerConfig::text() const {
  std::string line = HostPort{host, port}.text();
  for (const auto& [word, value] : kFastdfsWords) {
    if (value == fastdfs_clients) line.append(" fastdfs_clients=").append(word);
  }
  for (const auto& [word, value] : kTlsWords) {
    if (tls == value) line.append(" tls=").append(word);
  }
  return line;
}

Result<ListenerConfig> parse_listener(std::string_view text) {
  ListenerConfig listener;
  bool first = true;
  for (const std::string_view piece : split(text, ' ')) {
    const std::string_view word = trim(piece);
    if (word.empty()) continue;
    if (std::exchange(first, false)) {
      CAIRN_TRY(address, parse_host_port(word));
      if (!is_ip_address(address.host))
        return Error{Errc::invalid_argument, "'" + address.host + "' is not a numeric address"};
      listener.host = std::move(address.host);
      listener.port = address.port;
      continue;
    }
    if (!take_word<FastdfsClients>(word, "fastdfs_clients=", kFastdfsWords,
                                   listener.fastdfs_clients) &&
        !take_word<TlsMode>(word, "tls=", kTlsWords, listener.tls))
      return Error{Errc::invalid_argument,
                   "'" + std::string(word) +
                       "' is not fastdfs_clients=on, read-only or off, nor tls=off, optional or "
                       "required"};
  }
  return listener;
}

bool ServerConfig::any_tls() const {
  return tls != TlsMode::off ||
         std::any_of(listeners.begin(), listeners.end(), [](const ListenerConfig& one) {
           return one.tls.value_or(TlsMode::off) != TlsMode::off;
         });
}

std::uint32_t ServerConfig::work_thread_count() const {
  const std::uint32_t wanted =
      work_threads != 0 ? work_threads : std::thread::hardware_concurrency();
  return std::clamp<std::uint32_t>(wanted, 1, kWorkThreadsMax);
}

Status add_bind_addresses(std::vector<std::string>& addresses, std::string_view value) {
  for (const std::string_view raw : split(value, ',')) {
    const std::string_view address = trim(raw);
    if (!is_ip_address(address)) {
      return Error{Errc::invalid_argument,
                   "'" + std::string(address) + "' is not a numeric address"};
    }
    addresses.emplace_back(address);
  }
  return {};
}

Status finish_server_config(ServerConfig& config, const ConfFile& file,
                            const std::filesystem::path& name) {
  if (config.allow_hosts.everybody() && !config.allow_strangers) {
    return error_at(file, name, "allow_hosts",
                    "'*', or networks as wide, lets everybody write and delete; name the networks "
                    "of your clients, or "
                    "set allow_strangers = on");
  }
  if (config.http_bind_addr.empty()) config.http_bind_addr = config.bind_addr;
  const bool any_tls = config.any_tls() || config.http_tls != TlsMode::off;
  if (any_tls && (config.tls_certificate_file.empty() || config.tls_key_file.empty()))
    return error_at(file, name, config.any_tls() ? "tls" : "http_tls",
                    "TLS needs tls_certificate_file and tls_key_file");
  if (config.tls_connect.on && config.tls_connect.ca_file.empty())
    return error_at(file, name, "tls_connect", "on needs tls_ca_file: whom to trust");
  if (config.tls == TlsMode::required && !config.tls_connect.on)
    return error_at(file, name, "tls",
                    "required needs tls_connect = on: the other nodes take nothing else either");
  return {};
}

std::vector<std::string> server_warnings(const ServerConfig& config,
                                         const std::filesystem::path& name) {
  std::vector<std::string> lines;
  std::vector<std::string> hosts = config.bind_addr;
  for (const ListenerConfig& one : config.listeners) hosts.push_back(one.host);
  const HostList loopback = loopback_hosts();
  const bool outside = std::any_of(hosts.begin(), hosts.end(), [&](const std::string& host) {
    return !loopback.contains(std::string_view(host));
  });
  if (outside && config.allow_hosts.everybody())
    lines.push_back(name.string() +
                    ": warning: allow_hosts lets everybody who reaches the port write and delete");
  if (outside && config.admin_hosts.everybody())
    lines.push_back(name.string() +
                    ": warning: admin_hosts shows /metrics, /status and the console to everybody");
  const auto plain_gets_by = [](TlsMode mode, const std::filesystem::path& ca) {
    return !ca.empty() && mode != TlsMode::required;
  };
  if (plain_gets_by(config.tls, config.tls_client_ca_file))
    lines.push_back(name.string() +
                    ": warning: tls_client_ca_file asks nothing of plain connections: tls is not "
                    "required");
  if (plain_gets_by(config.http_tls, config.http_tls_client_ca_file))
    lines.push_back(name.string() +
                    ": warning: http_tls_client_ca_file asks nothing of plain connections: "
                    "http_tls is not required");
  if (outside && config.cluster_secret_file.empty())
    lines.push_back(name.string() +
                    ": warning: no cluster_secret_file: nodes and administrators "
                    "of other machines are refused (cairn init makes one)");
  return lines;
}

std::vector<IgnoredKey> common_ignored_keys() {
  const std::string io = "Cairn has its own network threads";
  const std::string unit = "the service manager does it";
  const std::string log = "logs go to standard error";
  std::vector<IgnoredKey> keys{
      {"address_family", "the addresses in bind_addr decide"},
      {"use_io_uring", io},
      {"use_send_zc", io},
      {"accept_threads", io},
      {"thread_stack_size", io},
      {"run_by_group", unit},
      {"run_by_user", unit},
      {"use_connection_pool", "connections between nodes are always kept"},
      {"connection_pool_max_idle_time", "connections between nodes are always kept"},
      {"sync_log_buff_interval", log},
      {"if_alias_prefix", "addresses are written, never guessed"},
      // FastDFS 4 to 6.10.
      {"rotate_error_log", log},
      {"error_log_rotate_time", log},
      {"compress_old_error_log", log},
      {"compress_error_log_days_before", log},
      {"rotate_error_log_size", log},
      {"use_access_log", log},
      {"rotate_access_log", log},
      {"access_log_rotate_time", log},
      {"compress_old_access_log", log},
      {"compress_access_log_days_before", log},
      {"rotate_access_log_size", log},
  };
  for (const char* key : {"rotate_everyday", "rotate_time", "compress_old", "compress_days_before",
                          "rotate_on_size", "keep_days", "delete_old_time"}) {
    const std::string full = std::string("log_file_") + key;
    keys.push_back({full, log});
    for (const char* section : {"error-log.", "access-log."}) {
      keys.push_back({section + full, log});
      keys.push_back({std::string(section) + key, log});
    }
  }
  for (const char* key : {"enabled", "time_precision", "time_used_precision"}) {
    keys.push_back({std::string("access-log.") + key, log});
  }
  return keys;
}

} // namespace cairn::config
