// The option list of the tracker.
#include "common/config/tracker_config.h"

#include "common/base/file_id.h"
#include "common/config/server_options.h"

namespace cairn::config {
namespace {

using C = TrackerConfig;
using std::chrono::hours;
using std::chrono::seconds;

OptionList<C> make_options() {
  OptionList<C> list;
  add_server_options(list, "/var/lib/cairn/tracker");
  list.text("tracker_id", &C::tracker_id, "Name of this tracker in logs; default: its address.");
  list.custom(
      "metadata", "local | HOST:PORT",
      "Where the cluster's durable facts and the namespace are: local at exactly one tracker, at "
      "the others the address of that one.",
      [](C& config, std::string_view value) -> Status {
        config.metadata_holder.reset();
        if (value == "local") return {};
        CAIRN_TRY(holder, parse_host_port(value, std::uint16_t{22122}));
        config.metadata_holder = std::move(holder);
        return {};
      },
      [](const C& config) {
        return config.metadata_holder ? config.metadata_holder->text() : "local";
      });

  list.heading("Choosing a node");
  list.choice("store_lookup", &C::store_lookup,
              {{"0", StoreLookup::round_robin},
               {"1", StoreLookup::specified},
               {"2", StoreLookup::most_free}},
              "The group of an upload: 0 in turn, 1 always store_group, 2 most free space.");
  list.custom(
      "store_group", "group name", "The group for store_lookup = 1.",
      [](C& config, std::string_view value) -> Status {
        CAIRN_RETURN_IF_ERROR(validate_group_name(value));
        config.store_group = value;
        return {};
      },
      [](const C& config) { return config.store_group; });
  list.choice("store_server", &C::store_server,
              {{"0", StoreServer::round_robin},
               {"1", StoreServer::first_by_ip},
               {"2", StoreServer::first_by_priority}},
              "The node of an upload: 0 in turn, 1 lowest address, 2 lowest upload_priority.");
  list.choice("store_path", &C::store_path,
              {{"0", StorePath::round_robin}, {"2", StorePath::most_free}},
              "The store path of an upload: 0 in turn, 2 most free space.");
  list.choice("download_server", &C::download_server,
              {{"0", DownloadServer::round_robin}, {"1", DownloadServer::source_first}},
              "The node of a download: 0 in turn, 1 the source while it is up.");
  reserved_space_option(list, "Groups with less free space take no uploads.");
  list.duration("check_active_interval", &C::check_active_interval, seconds(1), hours(1),
                "A node without a heartbeat for so long is offline.");
  list.duration("storage_sync_file_max_delay", &C::storage_sync_file_max_delay, seconds(0),
                hours(24 * 365), "After so long every node is taken to have a file.");
  list.duration("storage_sync_file_max_time", &C::storage_sync_file_max_time, seconds(0), hours(24),
                "Longest time to sync a single file.");

  list.heading("Namespace");
  list.bytes(
      "namespace_cache", &C::namespace_cache, std::uint64_t{8} << 20, std::uint64_t{1} << 40,
      "Memory for what was read of names and inodes lately, taken as it is needed. A million "
      "files in use are 200 MiB.");
  list.duration("delete_grace", &C::delete_grace, seconds(0), hours(24 * 90),
                "How long the stored data of removed and overwritten files stays, for readers that "
                "still know where it was.");
  list.duration("orphan_age", &C::orphan_age, seconds(1), hours(24 * 90),
                "What was stored for the namespace and has no name after so long, its writer being "
                "gone, is removed. Looked for as often.");
  list.duration("rewrite_idle", &C::rewrite_idle, seconds(1), hours(24),
                "A file that was written in many small pieces is stored anew when it has not been "
                "written for so long.");
  list.bytes("rewrite_rate", &C::rewrite_rate, 0, std::uint64_t{1} << 40,
             "Bytes a second that are stored anew at most; 0: fragmented files stay as they are.");
  list.custom(
          "purge_cache", "[nginx://]HOST[:PORT]",
          "A cache in front of the storage nodes that is told what was deleted, changed or "
          "renamed: "
          "Varnish (conf/varnish), or nginx (conf/nginx), which fetches anew what it was asked for "
          "lately. Port 80 when there is none.",
          [](C& config, std::string_view value) -> Status {
            constexpr std::string_view kNginx = "nginx://";
            PurgeCache cache;
            cache.is_nginx = value.starts_with(kNginx);
            if (cache.is_nginx) value.remove_prefix(kNginx.size());
            CAIRN_TRY(address, parse_host_port(value, std::uint16_t{80}));
            cache.address = std::move(address);
            config.purge_caches.push_back(std::move(cache));
            return {};
          },
          [](const C&) { return std::string(); })
      .repeatable = true;

  list.heading("FastDFS clients");
  list.choice("response_ip_addr_size", &C::response_ip_addr_size,
              {{"auto", IpAddrSize::automatic},
               {"16", IpAddrSize::v4},
               {"46", IpAddrSize::v6},
               {"IPv4", IpAddrSize::v4},
               {"IPv6", IpAddrSize::v6}},
              "Bytes of an address in replies; auto: 46 once a node has an IPv6 address.");
  list.choice("fetch_all_layout", &C::fetch_all_layout,
              {{"old", FetchAllLayout::classic}, {"new", FetchAllLayout::extended}},
              "Layout of the reply to command 105.");
  list.choice("compat_stat_version", &C::compat_stat_version,
              {{"5", CompatStat::v5},
               {"6.11", CompatStat::v6_11},
               {"6.12", CompatStat::v6_12},
               {"6.13", CompatStat::v6_13},
               {"6.15", CompatStat::v6_15}},
              "The FastDFS version whose statistics structures are sent.");
  list.flag("use_storage_id", &C::use_storage_id,
            "FastDFS: server IDs instead of addresses. Cairn always has IDs; on only means that "
            "storage_ids_filename must exist.");
  list.path("storage_ids_filename", &C::storage_ids_filename,
            "A storage_ids.conf of FastDFS whose IDs are to be known.");
  return list;
}

const OptionList<C>& options() {
  static const OptionList<C> list = make_options();
  return list;
}

std::vector<IgnoredKey> make_ignored() {
  auto keys = common_ignored_keys();
  const std::string trunk = "Cairn has packed volumes instead of trunk files";
  const std::string ids = "nodes always have IDs";
  for (const char* key :
       {"use_trunk_file", "slot_min_size", "slot_max_size", "trunk_file_size",
        "trunk_alloc_alignment_size", "trunk_free_space_merge", "delete_unused_trunk_files",
        "trunk_create_file_advance", "trunk_create_file_time_base", "trunk_create_file_interval",
        "trunk_create_file_space_threshold", "trunk_init_check_occupying",
        "trunk_init_reload_from_binlog", "trunk_compress_binlog_min_interval",
        "trunk_compress_binlog_interval", "trunk_compress_binlog_time_base",
        "trunk_binlog_max_backups"}) {
    keys.push_back({key, trunk});
  }
  for (const char* key :
       {"id_type_in_filename", "trust_storage_server_id", "storage_ip_changed_auto_adjust"}) {
    keys.push_back({key, ids});
  }
  keys.push_back({"store_slave_file_use_link", "slave files are always files of their own"});
  keys.push_back({"min_buff_size", "buffers grow with the message"});
  keys.push_back({"max_buff_size", "buffers grow with the message"});
  for (const char* key : {"http.server_port", "http.check_alive_interval", "http.check_alive_type",
                          "http.check_alive_uri", "http.disabled"}) {
    keys.push_back({key, "http_port is the tracker's HTTP port"});
  }
  return keys;
}

Status finish(Loaded<C>& loaded, const ConfFile& file) {
  C& config = loaded.config;
  CAIRN_RETURN_IF_ERROR(finish_server_config(config, file, loaded.file));
  if (config.store_lookup == StoreLookup::specified && config.store_group.empty()) {
    return error_at(file, loaded.file, "store_lookup", "1 needs store_group");
  }
  if (config.storage_ids_filename.empty()) {
    if (!config.use_storage_id) return {};
    return error_at(file, loaded.file, "use_storage_id", "on needs storage_ids_filename");
  }
  auto entries = read_storage_ids(config.storage_ids_filename);
  if (entries) {
    config.storage_ids = std::move(*entries);
    return {};
  }
  // FastDFS samples name the file also where it is not used.
  if (entries.code() != Errc::not_found || config.use_storage_id) {
    return error_at(file, loaded.file, "storage_ids_filename", entries.error().detail);
  }
  loaded.notes.push_back(config.storage_ids_filename.string() +
                         ": no such file; storage_ids_filename has no effect");
  config.storage_ids_filename.clear();
  return {};
}

} // namespace

Result<Loaded<TrackerConfig>> load_tracker_config(const std::filesystem::path& path) {
  static const std::vector<IgnoredKey> ignored = make_ignored();
  return load(path, options(), ignored, &finish);
}

std::string tracker_sample() {
  const C defaults;
  return sample_text(
      "Configuration of cairn-tracker. Lines that begin with # are comments; keys written as "
      "comments show the default. A duration is seconds, or has a suffix s, m, h or d; a size "
      "may have K, M, G or T.",
      options().options(), &defaults);
}

} // namespace cairn::config
