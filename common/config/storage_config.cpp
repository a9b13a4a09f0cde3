// The option list of the storage node.
#include "common/config/storage_config.h"

#include "common/base/file_id.h"
#include "common/config/http_access_options.h"
#include "common/config/server_options.h"

#include <algorithm>

namespace cairn::config {
namespace {

using C = StorageConfig;
using std::chrono::hours;
using std::chrono::seconds;

constexpr int kStorePathMax = 256;

Result<StorePathConfig*> store_path_at(C& config, int index) {
  if (index >= kStorePathMax) {
    return Error{Errc::invalid_argument, "store paths are numbered 0 to 255"};
  }
  const auto needed = static_cast<std::size_t>(index) + 1;
  if (config.store_paths.size() < needed) config.store_paths.resize(needed);
  return &config.store_paths[needed - 1];
}

void add_store_paths(OptionList<C>& list) {
  list.heading("Disks");
  list.indexed(
          "store_path#", "path",
          "Directories for files, store_path0, store_path1 and so on: one a disk. The "
          "numbers are part of file IDs: never renumber, and give every node of a group the "
          "same number of paths.",
          [](C& config, std::string_view value, int index, const SetContext& context) -> Status {
            CAIRN_TRY(entry, store_path_at(config, index));
            entry->path = detail::absolute_in(context, value);
            return {};
          },
          [](const C&) { return std::string(); })
      .example = "/var/lib/cairn/storage/path0";
  list.indexed(
      "store_path#_readonly", "on | off", "The path takes no new files.",
      [](C& config, std::string_view value, int index, const SetContext&) -> Status {
        CAIRN_TRY(readonly, parse_bool(value));
        CAIRN_TRY(entry, store_path_at(config, index));
        entry->readonly = readonly;
        return {};
      },
      [](const C&) { return std::string("off"); });
  list.custom(
      "store_path_count", "1 to 256", "A check on the number of paths above; may be left out.",
      [](C& config, std::string_view value) -> Status {
        CAIRN_TRY(count, detail::integer_in(value, 1, kStorePathMax));
        config.store_path_count = static_cast<std::uint32_t>(count);
        return {};
      },
      [](const C& config) {
        return config.store_path_count == 0 ? "" : std::to_string(config.store_path_count);
      });
  Option& adopt_from = list.custom(
      "adopt_from", "an absolute path",
      "Below this directory of the machine, say /srv/old/images, a migrator that knows the "
      "cluster's "
      "secret may have files taken over without sending them (cairn-migrate run --mode adopt); no "
      "symbolic link is followed there. Without it nothing can be.",
      [](C& config, std::string_view value) -> Status {
        const std::filesystem::path path(value);
        if (!path.is_absolute())
          return Error{Errc::invalid_argument, "'" + path.string() + "' is no absolute path"};
        config.adopt_from.push_back(path);
        return {};
      },
      [](const C&) { return std::string(); });
  adopt_from.repeatable = true;
  list.integer("subdir_count_per_path", &C::subdir_count_per_path, 1, 256, "directories",
               "Directories on each of the two levels below a store path.");
  list.choice("file_distribute_path_mode", &C::file_distribute_path_mode,
              {{"0", DistributePath::rotate}, {"1", DistributePath::hash}},
              "The directory of a new file: 0 in turn, 1 by a hash of the name.");
  list.integer("file_distribute_rotate_count", &C::file_distribute_rotate_count, 1, 1'000'000,
               "files", "For mode 0: files in one directory before the next one is used.");
  reserved_space_option(list, "Space that uploads leave free on every path.");
  list.choice("durability", &C::durability,
              {{"durable", Durability::durable}, {"relaxed", Durability::relaxed}},
              "durable: an upload is answered when it is on stable storage. relaxed: when it is "
              "written; what the kernel had not yet flushed is lost with the power.");
  list.integer("copies", &C::copies, 1, 31, "nodes",
               "So many nodes of the group have a change before it is answered.");
  list.duration("copies_timeout", &C::copies_timeout, seconds(1), seconds(60),
                "Copies are waited for so long.");
  list.choice("copies_short", &C::copies_short,
              {{"accept", CopiesShort::accept}, {"refuse", CopiesShort::refuse}},
              "What becomes of a change that too few nodes have: accept answers success, counts it "
              "and warns; refuse takes no change while too few nodes are there, and answers a "
              "time-out (status 110, HTTP 504) to one that is stored but has too few copies.");
  list.bytes(
      "journal_size", &C::journal_size, 0, 4LL << 30,
      "Each of the two files under base_path that take small uploads durably with one flush; "
      "set aside at the first start. Smaller ones are emptied more often. 0: none, every "
      "commit syncs the store paths.");
  list.integer("disk_threads", &C::disk_threads, 1, 256, "threads",
               "Disk threads a store path for reads, and as many for changes.");
  list.integer("max_uploads", &C::max_uploads, 1, 1'000'000, "uploads",
               "Uploads and other changes under way at once; more are refused as busy.");
  list.integer(
      "max_downloads", &C::max_downloads, 1, 1'000'000, "downloads",
      "Downloads under way at once, with those to slow readers; more are refused as busy.");
  list.bytes("buff_size", &C::buff_size, 4096, 64 << 20, "Buffer of a connection.");
}

void add_http(OptionList<C>& list) {
  list.heading("HTTP");
  list.custom(
      "http.anti_steal.check_token", "on | off", "Demand the token of the FastDFS nginx module.",
      [](C& config, std::string_view value) -> Status {
        CAIRN_TRY(check, parse_bool(value));
        config.http_token.check = check;
        return {};
      },
      [](const C& config) { return std::string(config.http_token.check ? "on" : "off"); });
  list.custom(
      "http.anti_steal.token_ttl", detail::duration_form(seconds(1), hours(24 * 365)),
      "How long a token is good.",
      [](C& config, std::string_view value) -> Status {
        CAIRN_TRY(ttl, detail::duration_in(value, seconds(1), hours(24 * 365)));
        config.http_token.ttl = ttl;
        return {};
      },
      [](const C& config) { return detail::duration_shown(config.http_token.ttl); });
  list.custom(
      "http.anti_steal.secret_key", "text", "The secret in tokens.",
      [](C& config, std::string_view value) -> Status {
        config.http_token.secret = value;
        return {};
      },
      [](const C&) { return std::string(); });
  list.indexed(
      "http.anti_steal.token_check_fail", "path",
      "A file to send instead of an error when the token is wrong.",
      [](C& config, std::string_view value, int, const SetContext& context) -> Status {
        config.http_token.fail_file = detail::absolute_in(context, value);
        return {};
      },
      [](const C&) { return std::string(); });
  list.text("http.default_content_type", &C::http_default_content_type,
            "Content-Type of an unknown file name extension.");
  list.path("http.mime_types_filename", &C::http_mime_types_filename,
            "A mime.types file; default: a built-in table.");
  list.text("http_cache_control", &C::http_cache_control, "Cache-Control of files.");
}

void add_integrity(OptionList<C>& list) {
  list.heading("Integrity");
  list.duration("verify_interval", &C::verify_interval, seconds(1), hours(24 * 365),
                "A copy is compared with its checksum before it is sent, unless that was done so "
                "lately and its size and change time are the same.");
  list.duration(
      "scrub_period", &C::scrub_period, seconds(0), hours(24 * 3650),
      "All files are read and compared with their checksums once in this time; 0: never.");
  list.bytes("scrub_rate", &C::scrub_rate, 64 << 10, std::uint64_t{1} << 40,
             "Bytes per second that scrubbing reads at most; it waits while others use the disk.");
  list.duration("compare_interval", &C::compare_interval, seconds(0), hours(24 * 365),
                "The files of this node are compared with those of its peers once in this time, "
                "and what differs is repaired; 0: never.");
  list.bytes("repair_rate", &C::repair_rate, 0, std::uint64_t{1} << 40,
             "Bytes per second that are fetched from peers to replace damaged and missing copies; "
             "0: no limit.");
  list.duration("quarantine_retention", &C::quarantine_retention, hours(1), hours(24 * 3650),
                "Damaged copies that were replaced are kept so long in data/.quarantine/.");
}

OptionList<C> make_options() {
  OptionList<C> list;
  add_server_options(list, "/var/lib/cairn/storage");

  list.heading("Cluster");
  Option& group = list.custom(
      "group_name", "1 to 16 letters and digits", "The group this node belongs to.",
      [](C& config, std::string_view value) -> Status {
        CAIRN_RETURN_IF_ERROR(validate_group_name(value));
        config.group_name = value;
        return {};
      },
      [](const C& config) { return config.group_name; });
  group.required = true;
  group.example = "group1";
  trackers_option(list);
  list.custom(
      "server_id", "1 to 16777215",
      "The number of this node in file IDs; default: derived from its UUID at the first start.",
      [](C& config, std::string_view value) -> Status {
        CAIRN_TRY(id, detail::integer_in(value, 1, kServerIdMax));
        config.server_id = static_cast<std::uint32_t>(id);
        return {};
      },
      [](const C& config) {
        return config.server_id == 0 ? "" : std::to_string(config.server_id);
      });
  list.custom(
      "advertise_addr", "numeric address",
      "The address clients are told; default: bind_addr, or the local address of the connection "
      "to the tracker.",
      [](C& config, std::string_view value) -> Status {
        if (!is_ip_address(value)) {
          return Error{Errc::invalid_argument, "'" + std::string(value) + "' is no address"};
        }
        config.advertise_addr = value;
        return {};
      },
      [](const C& config) { return config.advertise_addr; });
  list.choice(
      "response_ip_addr_size", &C::response_ip_addr_size,
      {{"auto", IpAddrSize::automatic},
       {"16", IpAddrSize::v4},
       {"46", IpAddrSize::v6},
       {"IPv4", IpAddrSize::v4},
       {"IPv6", IpAddrSize::v6}},
      "Bytes of the address in the reply of file info (the same as at the trackers); auto: 46 "
      "once a node has an IPv6 address.");
  list.integer("upload_priority", &C::upload_priority, 0, 1'000'000, "",
               "Lower is preferred when the tracker has store_server = 2.");
  list.duration("heart_beat_interval", &C::heart_beat_interval, seconds(1), hours(1),
                "Time between heartbeats; well below the tracker's check_active_interval.");
  list.duration("stat_report_interval", &C::stat_report_interval, seconds(1), hours(24),
                "Time between reports of disk usage.");

  add_store_paths(list);

  list.heading("Sync");
  list.bytes("sync_window_bytes", &C::sync_window_bytes, 64 << 10, std::uint64_t{4} << 30,
             "Bytes on their way to one peer before an acknowledgement is awaited.");
  list.bytes("sync_batch_bytes", &C::sync_batch_bytes, 4096, 4 << 20,
             "Small files are sent together up to so many bytes.");
  list.bytes("sync_bring_up_rate", &C::sync_bring_up_rate, 0, std::uint64_t{1} << 40,
             "Bytes per second at which a new member, or one with an empty disk, is brought up; 0: "
             "no limit.");
  list.integer(
      "trash_days", &C::trash_days, 0, 3650, "days",
      "Deleted files wait so long in data/.trash/, from where `cairn trash restore` brings "
      "them back; they use space meanwhile. The same at every node of the group. 0: no "
      "trash.");
  list.duration("tombstone_retention", &C::tombstone_retention, hours(24), hours(24 * 3650),
                "A node absent for longer joins as a new one.");
  list.duration("binlog_retention", &C::binlog_retention, hours(1), hours(24 * 3650),
                "Log segments are kept so long for members that are absent.");
  list.bytes("binlog_segment_size", &C::binlog_segment_size, 1 << 20, std::uint64_t{4} << 30,
             "Size of one file of the log.");
  add_integrity(list);
  add_http(list);
  add_http_access_options(list);
  return list;
}

const OptionList<C>& options() {
  static const OptionList<C> list = make_options();
  return list;
}

std::vector<IgnoredKey> make_ignored() {
  auto keys = common_ignored_keys();
  const std::string disk = "disk_threads is the number of threads a path";
  const std::string sync = "sync runs always and has a window of bytes";
  const std::string dedup = "Cairn has no FastDHT";
  const std::string log = "the log is made durable before an upload is answered";
  for (const char* key : {"disk_rw_separated", "disk_reader_threads", "disk_writer_threads"}) {
    keys.push_back({key, disk});
  }
  for (const char* key : {"sync_min_threads", "sync_max_threads", "sync_wait_msec", "sync_interval",
                          "sync_start_time", "sync_end_time", "write_mark_file_freq",
                          "disk_recovery_threads", "file_sync_skip_invalid_record"}) {
    keys.push_back({key, sync});
  }
  for (const char* key :
       {"check_file_duplicate", "file_signature_method", "key_namespace", "keep_alive"}) {
    keys.push_back({key, dedup});
  }
  for (const char* key :
       {"fsync_after_written_bytes", "sync_binlog_buff_interval", "sync_stat_file_interval"}) {
    keys.push_back({key, log});
  }
  keys.push_back({"compress_binlog", "old log segments are removed"});
  keys.push_back({"compress_binlog_time", "old log segments are removed"});
  keys.push_back({"check_store_path_mark", "the mark of a store path is always checked"});
  keys.push_back({"client_bind", "outgoing connections are bound by the kernel"});
  keys.push_back({"http.domain_name", "advertise_addr is what clients are told"});
  keys.push_back({"http.server_port", "http_port is this node's HTTP port"});
  keys.push_back({"http.disabled", "http_port = 0 turns HTTP off"});
  keys.push_back({"http.trunk_size", "files are sent by the kernel"});
  keys.push_back({"http.multi_range.enabled", "several ranges are always served"});
  return keys;
}

Status check_store_paths(Loaded<C>& loaded, const ConfFile& file) {
  C& config = loaded.config;
  if (config.store_paths.empty()) config.store_paths.resize(1);
  if (config.store_paths.size() == 1 && config.store_paths[0].path.empty()) {
    config.store_paths[0].path = config.base_path;
    loaded.notes.push_back(loaded.file.string() +
                           ": store_path0 is missing: files go to base_path, as in FastDFS");
  }
  for (std::size_t i = 0; i < config.store_paths.size(); ++i) {
    const std::string key = "store_path" + std::to_string(i);
    const auto& path = config.store_paths[i].path;
    if (path.empty()) return error_at(file, loaded.file, key, "is missing");
    for (std::size_t j = 0; j < i; ++j) {
      if (config.store_paths[j].path != path) continue;
      return error_at(file, loaded.file, key, "is the same as store_path" + std::to_string(j));
    }
  }
  const auto count = static_cast<std::uint32_t>(config.store_paths.size());
  if (config.store_path_count != 0 && config.store_path_count != count) {
    return error_at(file, loaded.file, "store_path_count",
                    std::to_string(count) + " store paths are given, from store_path0 on");
  }
  config.store_path_count = count;
  return {};
}

Status finish(Loaded<C>& loaded, const ConfFile& file) {
  CAIRN_RETURN_IF_ERROR(finish_server_config(loaded.config, file, loaded.file));
  CAIRN_RETURN_IF_ERROR(check_store_paths(loaded, file));
  const HttpToken& token = loaded.config.http_token;
  if (token.check && token.secret.empty()) {
    return error_at(file, loaded.file, "http.anti_steal.check_token",
                    "needs http.anti_steal.secret_key");
  }
  return {};
}

} // namespace

Result<Loaded<StorageConfig>> load_storage_config(const std::filesystem::path& path) {
  static const std::vector<IgnoredKey> ignored = make_ignored();
  return load(path, options(), ignored, &finish);
}

std::string storage_sample() {
  const C defaults;
  return sample_text(
      "Configuration of cairn-storage. Lines that begin with # are comments; keys written as "
      "comments show the default. A duration is seconds, or has a suffix s, m, h or d; a size "
      "may have K, M, G or T.",
      options().options(), &defaults);
}

} // namespace cairn::config
