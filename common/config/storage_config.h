// storage.conf: what a storage node is told.
#pragma once

#include "common/config/options.h"
#include "common/config/server_config.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cairn::config {

// When an upload is answered.
enum class Durability : std::uint8_t {
  durable, // file and log record are on stable storage
  relaxed, // they are written; the kernel decides when they reach the disk
};

// What becomes of an upload that has too few copies in time.
enum class CopiesShort : std::uint8_t {
  accept, // it is answered with success, counted and told
  refuse, // it is refused before its content, or answered with a time-out
};

enum class DistributePath : std::uint8_t { rotate = 0, hash = 1 };

// One `store_path#`.
struct StorePathConfig {
  std::filesystem::path path;
  bool readonly = false; // takes no new files
};

// The token of the FastDFS nginx module.
struct HttpToken {
  bool check = false;
  std::chrono::seconds ttl{600};
  std::string secret;              // never logged
  std::filesystem::path fail_file; // served instead of an error when set
};

// Who may do what over HTTP.
struct HttpAccess {
  HostList allow_hosts;                    // empty: everybody
  HostList trusted_proxies;                // whose X-Forwarded-For is believed; empty: nobody's
  bool signed_reads = false;               // files only by access key or signed URL
  bool uploads = true;                     // by access key or signed URL
  std::uint64_t upload_size_max = 1 << 30; // bytes
  std::uint32_t uploads_max = 64;          // at once
  std::uint32_t address_requests = 0;      // of one client address, per second; 0: no limit
  std::uint64_t address_bytes = 0;         // to one client address, per second; 0: no limit
  std::vector<std::string> referer_allow;  // host patterns; empty: all
  std::vector<std::string> referer_deny;   // host patterns
  bool referer_none = true;                // requests without a Referer pass
  std::vector<std::string> referer_exempt; // extensions that nobody's Referer matters for
  std::vector<std::string> cors_origins;   // "https://shop.example", or "*"
  bool active_content = false;             // HTML and SVG may run in the site's origin
  bool metadata_on_get = false;            // not only on HEAD
};

// Constant after start.
struct StorageConfig : ServerConfig {
  StorageConfig() {
    port = 23000;
    http_port = 8888;
  }

  std::string group_name;
  IpAddrSize response_ip_addr_size = IpAddrSize::automatic;
  std::uint32_t server_id = 0; // 0: derived from the node's UUID
  std::string advertise_addr;  // empty: bind_addr, else the local address towards the tracker
  std::uint32_t store_path_count = 0;            // as written; after loading store_paths.size()
  std::vector<StorePathConfig> store_paths;      // 1 to 256
  std::vector<TrackerAddress> trackers;          // at least one
  std::vector<std::filesystem::path> adopt_from; // where a migrator may have files taken over
  std::uint32_t subdir_count_per_path = 256;
  DistributePath file_distribute_path_mode = DistributePath::rotate;
  std::uint32_t file_distribute_rotate_count = 100;
  std::chrono::seconds heart_beat_interval{1};
  std::chrono::seconds stat_report_interval{60};
  std::uint32_t upload_priority = 10;
  ReservedSpace reserved_storage_space; // what the node keeps free whatever the tracker says
  Durability durability = Durability::durable;
  std::uint32_t copies = 1; // nodes that must have a change before it is acknowledged
  std::chrono::seconds copies_timeout{3};
  CopiesShort copies_short = CopiesShort::accept;
  std::uint64_t journal_size = 256 << 20; // bytes of each of the two files
  std::uint32_t disk_threads = 4;         // per store path, for reads; as many for changes
  std::uint32_t max_uploads = 16384;      // under way at once
  std::uint32_t max_downloads = 32'768;   // under way at once
  std::uint64_t buff_size = 256 * 1024;   // bytes, per connection

  HttpToken http_token;
  HttpAccess http;
  std::string http_default_content_type = "application/octet-stream";
  std::filesystem::path http_mime_types_filename; // empty: built in
  std::string http_cache_control = "public, max-age=86400";

  std::uint64_t sync_window_bytes = 16 << 20; // unacknowledged bytes to one peer
  std::uint64_t sync_batch_bytes = 1 << 20;   // small files sent together
  std::uint64_t sync_bring_up_rate = 0;       // bytes per second to a new member, 0: no limit
  std::uint32_t trash_days = 0; // deleted files can be restored so long; 0: they cannot
  std::chrono::seconds tombstone_retention = std::chrono::hours(24 * 90);
  std::chrono::seconds binlog_retention = std::chrono::hours(24 * 30);
  std::uint64_t binlog_segment_size = 64 << 20; // bytes

  std::chrono::seconds verify_interval = std::chrono::hours(24);   // a verified copy is believed
  std::chrono::seconds scrub_period = std::chrono::hours(24 * 30); // 0: no scrubbing
  std::uint64_t scrub_rate = 16 << 20;                             // bytes per second
  std::chrono::seconds compare_interval = std::chrono::hours(1);   // with peers; 0: never
  std::uint64_t repair_rate = 64 << 20;                            // bytes per second, 0: no limit
  std::chrono::seconds quarantine_retention = std::chrono::hours(24 * 30);
};

// Reads and checks storage.conf. invalid_argument with one "file:line: …" line, or the error of
// reading a file.
Result<Loaded<StorageConfig>> load_storage_config(const std::filesystem::path& path);

// The commented sample, as in conf/storage.conf.
std::string storage_sample();

} // namespace cairn::config
