// What tracker.conf and storage.conf have in common, and the small types both use.
#pragma once

#include "common/base/result.h"
#include "common/base/text.h"
#include "common/config/host_list.h"
#include "common/config/options.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::config {

enum class LogLevel : std::uint8_t { error, warn, info, debug };
enum class LogFormat : std::uint8_t { logfmt, json };

// Space that uploads leave free: bytes, or a share of the whole.
struct ReservedSpace {
  bool is_percent = false;
  double percent = 0;                              // 0 to 100, when is_percent
  std::uint64_t bytes = std::uint64_t{1024} << 20; // else

  // The bytes to keep free of `total` bytes.
  std::uint64_t of(std::uint64_t total) const;
  // "1G", "20%".
  std::string text() const;
  friend bool operator==(const ReservedSpace&, const ReservedSpace&) = default;
};

// "1024MB" or "20%".
Result<ReservedSpace> parse_reserved_space(std::string_view text);

// One or more addresses of one machine, and a port if one is written.
struct Addresses {
  std::vector<std::string> hosts; // at least one; IPv6 without brackets
  std::optional<std::uint16_t> port;
};

// `host[,host2][:port]`, IPv6 as "[v6]:port" or "[v6,v6]:port".
Result<Addresses> parse_addresses(std::string_view text);

// A tracker as `tracker_server` names it: one or more addresses (inner and outer) and one port.
struct TrackerAddress {
  std::vector<std::string> hosts; // at least one; IPv6 without brackets
  std::uint16_t port = 22122;

  // The first address.
  HostPort endpoint() const { return {hosts.front(), port}; }
  // As it is written: "10.0.0.1,192.168.0.1:22122", "[::1]:22122".
  std::string text() const;
  friend bool operator==(const TrackerAddress&, const TrackerAddress&) = default;
};

// `host[,host2]:port` with names, IPv4, or "[v6,v6]:port". Without a port: 22122.
Result<TrackerAddress> parse_tracker_address(std::string_view text);

// What FastDFS clients may do, who carry no credentials.
enum class FastdfsClients : std::uint8_t {
  on,        // everything their protocol knows, from allow_hosts
  read_only, // downloads and questions, from allow_hosts
  off,       // nothing: nodes, administrators and access keys only
};

// Whether a port speaks TLS.
enum class TlsMode : std::uint8_t {
  off,      // plain connections only
  optional, // both; the first byte tells
  required, // plain connections are refused
};

// What client.conf and the daemons say about connections they make.
struct TlsConnect {
  bool on = false;
  std::filesystem::path ca_file; // whom to trust; not empty when `on`
  bool check_names = true;       // a certificate must be of the host that was asked for
};

// One more address and port for the FastDFS and Cairn protocols.
struct ListenerConfig {
  std::string host; // numeric
  std::uint16_t port = 0;
  FastdfsClients fastdfs_clients = FastdfsClients::on;
  std::optional<TlsMode> tls; // nothing: as ServerConfig::tls

  // As it is written: "10.0.0.1:23001 fastdfs_clients=off".
  std::string text() const;
};

// "ADDRESS:PORT [fastdfs_clients=on|read-only|off] [tls=off|optional|required]". Errors:
// invalid_argument.
Result<ListenerConfig> parse_listener(std::string_view text);

// Width of an IP address field in replies to FastDFS clients: 16 or 46 bytes; automatic is 46 once
// a storage node has an IPv6 address.
enum class IpAddrSize : std::uint8_t { automatic, v4 = 16, v6 = 46 };

// Members of both daemons. Constant after start.
struct ServerConfig {
  std::vector<std::string> bind_addr{"0.0.0.0"}; // numeric addresses to listen on
  std::uint16_t port = 0;                        // set by the program's aggregate
  std::vector<std::string> http_bind_addr;       // after loading never empty (bind_addr)
  std::uint16_t http_port = 0;                   // 0: no HTTP
  std::filesystem::path base_path;               // state of this node

  HostList allow_hosts = loopback_hosts();             // who may speak the FastDFS protocol
  bool allow_strangers = false;                        // permits `allow_hosts = *`
  FastdfsClients fastdfs_clients = FastdfsClients::on; // on bind_addr:port
  std::vector<ListenerConfig> listeners;               // beside bind_addr:port
  HostList admin_hosts = loopback_hosts();             // who may see /metrics, /status, console
  std::chrono::seconds names_interval{60};             // names in lists of hosts; 0: on SIGHUP only

  std::chrono::seconds connect_timeout{5};
  std::chrono::seconds network_timeout{60};
  std::uint32_t max_connections = 65'536;             // a port
  std::uint32_t max_connections_per_address = 16'384; // 0: no limit of its own
  std::uint64_t max_request_memory = 256 << 20;       // bytes of all requests together
  std::uint32_t work_threads = 0;                     // 0: one per core; see work_thread_count()
  LogLevel log_level = LogLevel::info;
  LogFormat log_format = LogFormat::logfmt;
  std::filesystem::path cluster_secret_file; // empty: none

  TlsMode tls = TlsMode::off;                 // on `port` and where a listener says nothing else
  TlsMode http_tls = TlsMode::off;            // on `http_port`
  std::filesystem::path tls_certificate_file; // set when any port speaks TLS
  std::filesystem::path tls_key_file;         // as above
  std::filesystem::path tls_client_ca_file;   // `port`: clients must show one of its certificates
  std::filesystem::path http_tls_client_ca_file; // the same for `http_port`
  TlsConnect tls_connect;                        // to trackers and storage nodes

  // Whether any port of the FastDFS and Cairn protocols speaks TLS.
  bool any_tls() const;
  // `work_threads`, or the number of cores (1 to kWorkThreadsMax) when that is 0.
  std::uint32_t work_thread_count() const;
};

inline constexpr std::uint32_t kWorkThreadsMax = 64;

// The rules between keys of ServerConfig, and defaults that depend on others: for load(). `name` is
// the file that was read.
Status finish_server_config(ServerConfig& config, const ConfFile& file,
                            const std::filesystem::path& name);

// What is allowed but should be known, a line each: strangers are let in, or there is no secret.
std::vector<std::string> server_warnings(const ServerConfig& config,
                                         const std::filesystem::path& name);

// FastDFS keys of both servers that have no effect here.
std::vector<IgnoredKey> common_ignored_keys();

} // namespace cairn::config
