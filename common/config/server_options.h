// The options tracker.conf and storage.conf share; included only by the two lists.
#pragma once

#include "common/config/options.h"
#include "common/config/server_config.h"

#include <string>
#include <string_view>
#include <utility>

namespace cairn::config {

inline std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

// Adds the numeric addresses of a comma list to `addresses`.
Status add_bind_addresses(std::vector<std::string>& addresses, std::string_view value);

// A repeatable list of addresses to listen on.
template <class Config>
void bind_option(OptionList<Config>& list, std::string key,
                 std::vector<std::string> ServerConfig::*member, std::string help) {
  Option& option = list.custom(
      std::move(key), "addresses, separated by commas", std::move(help),
      [member](Config& config, std::string_view value) {
        return add_bind_addresses(config.*member, value);
      },
      [member](const Config& config) { return joined(config.*member); });
  option.repeatable = true;
  option.clear = [member](void* config) { (static_cast<Config*>(config)->*member).clear(); };
}

// A repeatable HostList, whose default the first value replaces.
template <class Config>
void hosts_option(OptionList<Config>& list, std::string key, HostList ServerConfig::*member,
                  std::string help) {
  Option& option = list.custom(
      std::move(key), "addresses, networks, ranges, names, separated by commas", std::move(help),
      [member](Config& config, std::string_view value) { return (config.*member).add(value); },
      [member](const Config& config) { return joined((config.*member).entries()); });
  option.repeatable = true;
  option.clear = [member](void* config) { static_cast<Config*>(config)->*member = HostList(); };
}

// "error" and so on; the eight syslog names of FastDFS are accepted.
template <class Config>
void log_level_option(OptionList<Config>& list) {
  list.choice("log_level", &Config::log_level,
              {{"error", LogLevel::error},
               {"warn", LogLevel::warn},
               {"info", LogLevel::info},
               {"debug", LogLevel::debug},
               {"emerg", LogLevel::error},
               {"alert", LogLevel::error},
               {"crit", LogLevel::error},
               {"warning", LogLevel::warn},
               {"notice", LogLevel::info}},
              "Least important lines that are logged.");
}

// A required, repeatable list of trackers in member `trackers`.
template <class Config>
void trackers_option(OptionList<Config>& list) {
  Option& option = list.custom(
      "tracker_server", "HOST[,HOST]:PORT, port 22122 if absent",
      "A tracker; name every one. Two hosts are two addresses of the same machine.",
      [](Config& config, std::string_view value) -> Status {
        CAIRN_TRY(address, parse_tracker_address(value));
        config.trackers.push_back(std::move(address));
        return {};
      },
      [](const Config&) { return std::string(); });
  option.repeatable = true;
  option.required = true;
  option.example = "127.0.0.1:22122";
}

template <class Config>
void reserved_space_option(OptionList<Config>& list, std::string help) {
  list.custom(
      "reserved_storage_space", "bytes, or percent of the disk", std::move(help),
      [](Config& config, std::string_view value) -> Status {
        CAIRN_TRY(reserved, parse_reserved_space(value));
        config.reserved_storage_space = reserved;
        return {};
      },
      [](const Config& config) { return config.reserved_storage_space.text(); });
}

// The keys that say how connections are made, in member `tls_connect`; `on_key` switches TLS on.
template <class Config>
void tls_connect_options(OptionList<Config>& list, std::string on_key, std::string help) {
  const auto flag = [&list](std::string key, bool TlsConnect::*member, std::string text) {
    list.custom(
        std::move(key), "on | off", std::move(text),
        [member](Config& config, std::string_view value) -> Status {
          CAIRN_TRY(on, parse_bool(value));
          config.tls_connect.*member = on;
          return {};
        },
        [member](const Config& config) {
          return std::string(config.tls_connect.*member ? "on" : "off");
        });
  };
  flag(std::move(on_key), &TlsConnect::on, std::move(help));
  list.custom(
      "tls_ca_file", "path",
      "Certificates (PEM) of the authorities we trust, or the very certificates of the nodes.",
      [](Config& config, std::string_view value) -> Status {
        config.tls_connect.ca_file = std::filesystem::path(value);
        return {};
      },
      [](const Config& config) { return config.tls_connect.ca_file.string(); });
  flag("tls_check_names", &TlsConnect::check_names,
       "The certificate must be of the address or name that was connected to. off: any one that "
       "tls_ca_file vouches for; for an authority that signs nothing else.");
}

template <class Config>
void tls_mode_option(OptionList<Config>& list, std::string key, TlsMode ServerConfig::*member,
                     std::string help) {
  list.choice(
      std::move(key), static_cast<TlsMode Config::*>(member),
      {{"off", TlsMode::off}, {"optional", TlsMode::optional}, {"required", TlsMode::required}},
      std::move(help));
}

// Adds all options of ServerConfig but reserved space.
template <class Config>
void add_server_options(OptionList<Config>& list, std::string base_path_example) {
  list.heading("Network");
  bind_option(list, "bind_addr", &ServerConfig::bind_addr,
              "Numeric addresses to listen on; 0.0.0.0 is every IPv4 address, :: every IPv6 one. "
              "Who may connect is a matter of allow_hosts.");
  list.integer("port", &Config::port, 1, 65'535, "",
               "TCP port of the FastDFS and Cairn protocols.");
  bind_option(list, "http_bind_addr", &ServerConfig::http_bind_addr,
              "Numeric addresses for HTTP. Default: those of bind_addr.");
  list.integer("http_port", &Config::http_port, 0, 65'535, "", "TCP port of HTTP; 0: no HTTP.");
  hosts_option(list, "allow_hosts", &ServerConfig::allow_hosts,
               "Who may use the FastDFS protocol, which knows no passwords: 10.0.0.1, 10.0.0.0/8, "
               "fd00::/8, 10.0.1.[1-15,20], web[01-08].example. Everybody (*) needs "
               "allow_strangers = on beside it.");
  list.flag("allow_strangers", &Config::allow_strangers,
            "Permits allow_hosts = *: everybody who reaches the port may write and delete.");
  list.choice("fastdfs_clients", &Config::fastdfs_clients,
              {{"on", FastdfsClients::on},
               {"read-only", FastdfsClients::read_only},
               {"off", FastdfsClients::off}},
              "What FastDFS clients from allow_hosts may do on bind_addr:port.");
  Option& listener = list.custom(
      "listener", "ADDRESS:PORT [fastdfs_clients=on|read-only|off] [tls=off|optional|required]",
      "One more address and port of both protocols, for example for an outside network; may be "
      "given several times. Without tls= it is as on the first port.",
      [](Config& config, std::string_view value) -> Status {
        CAIRN_TRY(parsed, parse_listener(value));
        config.listeners.push_back(std::move(parsed));
        return {};
      },
      [](const Config&) { return std::string(); });
  listener.repeatable = true;
  hosts_option(list, "admin_hosts", &ServerConfig::admin_hosts,
               "Who may see /metrics, /status and the console.");
  list.duration("names_interval", &Config::names_interval, std::chrono::seconds(0),
                std::chrono::hours(24),
                "How often the host names in lists like allow_hosts are looked up again; 0: at the "
                "start and on SIGHUP only.");
  list.duration("connect_timeout", &Config::connect_timeout, std::chrono::seconds(1),
                std::chrono::hours(1), "Longest time to connect to another node.");
  list.duration("network_timeout", &Config::network_timeout, std::chrono::seconds(1),
                std::chrono::hours(1), "Longest time to wait for bytes once a message has begun.");
  list.integer(
      "max_connections", &Config::max_connections, 1, 10'000'000, "connections",
      "Open at once on a port; the limit of open files may allow fewer. More are told that "
      "the node is busy (status 16, HTTP 503).");
  list.integer("max_connections_per_address", &Config::max_connections_per_address, 0, 10'000'000,
               "connections", "The same for each client address; 0: no limit of its own.");
  list.bytes(
      "max_request_memory", &Config::max_request_memory, 4 << 20, std::uint64_t{1} << 40,
      "Memory for the content of all requests together; beyond it they are refused as busy.");
  list.integer("work_threads", &Config::work_threads, 0, 1024, "threads",
               "Network threads of a storage node; 0: one per core. At most 64 are started.");

  list.heading("This node");
  Option& base_path =
      list.path("base_path", &Config::base_path, "Directory of this node's own state.");
  base_path.required = true;
  base_path.example = std::move(base_path_example);
  Option& disabled = list.custom(
      "disabled", "off", "FastDFS: refuse to start.",
      [](Config&, std::string_view value) -> Status {
        CAIRN_TRY(on, parse_bool(value));
        if (on) return Error{Errc::invalid_argument, "this configuration is switched off"};
        return {};
      },
      [](const Config&) { return std::string("off"); });
  disabled.hidden = true;
  log_level_option(list);
  list.choice("log_format", &Config::log_format,
              {{"logfmt", LogFormat::logfmt}, {"json", LogFormat::json}}, "Form of log lines.");
  list.path("cluster_secret_file", &Config::cluster_secret_file,
            "File (mode 0600) with the secret by which nodes know each other.");

  list.heading("TLS");
  tls_mode_option(list, "tls", &ServerConfig::tls,
                  "TLS on the FastDFS and Cairn port: optional takes both, required refuses plain "
                  "connections.");
  tls_mode_option(list, "http_tls", &ServerConfig::http_tls, "The same on the HTTP port.");
  list.path("tls_certificate_file", &Config::tls_certificate_file,
            "Our certificate and those between it and its authority, PEM. Read again on SIGHUP.");
  list.path("tls_key_file", &Config::tls_key_file, "Its key (mode 0600), PEM, no passphrase.");
  list.path("tls_client_ca_file", &Config::tls_client_ca_file,
            "When set, who connects by TLS must show a certificate of these authorities (PEM).");
  list.path("http_tls_client_ca_file", &Config::http_tls_client_ca_file,
            "The same on the HTTP port.");
  tls_connect_options(list, "tls_connect",
                      "Connections to trackers and storage nodes are made by TLS, and not at all "
                      "without it. They show tls_certificate_file.");
}

} // namespace cairn::config
