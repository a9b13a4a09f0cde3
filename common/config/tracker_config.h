// tracker.conf: what a tracker is told.
#pragma once

#include "common/base/text.h"
#include "common/config/options.h"
#include "common/config/server_config.h"
#include "common/config/storage_ids.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace cairn::config {

// Values as on the FastDFS wire and in its configuration files.
enum class StoreLookup : std::uint8_t { round_robin = 0, specified = 1, most_free = 2 };
enum class StoreServer : std::uint8_t { round_robin = 0, first_by_ip = 1, first_by_priority = 2 };
enum class StorePath : std::uint8_t { round_robin = 0, most_free = 2 };
enum class DownloadServer : std::uint8_t { round_robin = 0, source_first = 1 };
// Layout of the reply to "fetch all" (105).
enum class FetchAllLayout : std::uint8_t { classic, extended };
// Whose statistics structures (commands 90 to 92) are answered.
enum class CompatStat : std::uint8_t { v5, v6_11, v6_12, v6_13, v6_15 };

// A cache in front of the storage nodes.
struct PurgeCache {
  HostPort address;
  bool is_nginx = false; // has no list of its URLs: they are fetched anew one by one
};

// Constant after start.
struct TrackerConfig : ServerConfig {
  TrackerConfig() {
    port = 22122;
    http_port = 22180;
  }

  StoreLookup store_lookup = StoreLookup::round_robin;
  std::string store_group; // for StoreLookup::specified
  StoreServer store_server = StoreServer::round_robin;
  StorePath store_path = StorePath::round_robin;
  DownloadServer download_server = DownloadServer::round_robin;
  ReservedSpace reserved_storage_space;
  std::chrono::seconds check_active_interval{10};
  std::chrono::seconds storage_sync_file_max_delay{86'400};
  std::chrono::seconds storage_sync_file_max_time{300};
  IpAddrSize response_ip_addr_size = IpAddrSize::automatic;
  FetchAllLayout fetch_all_layout = FetchAllLayout::classic;
  CompatStat compat_stat_version = CompatStat::v6_15;

  // Memory for blocks of names and inodes that were read, bytes.
  std::uint64_t namespace_cache = 256 << 20;
  // How long the stored data of removed files stays, for readers that still know where it was.
  std::chrono::seconds delete_grace{600};
  // How old a stored file of the namespace is before it can be taken for one that a crash left
  // between its upload and its name.
  std::chrono::seconds orphan_age{3600};
  // Without a write for so long, a fragmented file is rewritten.
  std::chrono::seconds rewrite_idle{10};
  std::uint64_t rewrite_rate = 32 << 20;   // bytes a second; 0: none is rewritten
  std::vector<PurgeCache> purge_caches;    // key `purge_cache`: that are told what has changed
  std::optional<HostPort> metadata_holder; // key `metadata`; nullopt: this tracker holds it
  std::string tracker_id;                  // empty: derived from the address
  bool use_storage_id = false;             // only: storage_ids_filename has to exist
  std::filesystem::path storage_ids_filename;
  std::vector<StorageIdEntry> storage_ids; // read from storage_ids_filename
};

// Reads and checks tracker.conf. invalid_argument with one "file:line: …" line, or the error of
// reading a file.
Result<Loaded<TrackerConfig>> load_tracker_config(const std::filesystem::path& path);

// The commented sample, as in conf/tracker.conf.
std::string tracker_sample();

} // namespace cairn::config
