// The three programs' configurations: defaults, samples, and FastDFS's own files (checklist 97-99).
#include "common/config/client_config.h"
#include "common/config/storage_config.h"
#include "common/config/tracker_config.h"
#include "tests/unit/config/temporary_directory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

namespace cairn::config {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

const fs::path kSource = CAIRN_SOURCE_DIR;
const fs::path kData = kSource / "tests/unit/config/data";

std::string text_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

// The last lines of minimal files.
const std::string kTracker = "base_path = /b\n";
const std::string kStorage =
    "base_path = /b\ngroup_name = group1\ntracker_server = 10.0.0.1:22122\nstore_path0 = /s\n";

// The error line without the directory of the file, or "" when it loads.
template <class Loader>
std::string error_of(Loader loader, const std::string& text) {
  TemporaryDirectory dir;
  const auto loaded = loader(dir.write("x.conf", text));
  if (loaded) return "";
  const std::string detail = loaded.error().detail;
  const std::string prefix = dir.path().string() + "/";
  return detail.starts_with(prefix) ? detail.substr(prefix.size()) : detail;
}

TEST(Samples, AreTheGeneratedOnesAndLoad) {
  EXPECT_EQ(text_of(kSource / "conf/tracker.conf"), tracker_sample());
  EXPECT_EQ(text_of(kSource / "conf/storage.conf"), storage_sample());
  EXPECT_EQ(text_of(kSource / "conf/client.conf"), client_sample());
  EXPECT_TRUE(load_tracker_config(kSource / "conf/tracker.conf"));
  EXPECT_TRUE(load_storage_config(kSource / "conf/storage.conf"));
  EXPECT_TRUE(load_client_config(kSource / "conf/client.conf"));
}

// Turns the comment in front of every key of a sample off: each default must itself be a valid
// value and mean the default.
std::string uncommented(const std::string& sample) {
  std::string result;
  std::istringstream in(sample);
  for (std::string line; std::getline(in, line);) {
    const bool key = line.size() > 1 && line[0] == '#' && line[1] != ' ';
    result += (key ? line.substr(1) : line) + "\n";
  }
  return result;
}

TEST(Samples, DefaultsReadBackAsDefaults) {
  TemporaryDirectory dir;
  const auto tracker = load_tracker_config(dir.write("t", uncommented(tracker_sample())));
  ASSERT_TRUE(tracker) << tracker.error().text();
  EXPECT_EQ(tracker->config.port, 22122);
  EXPECT_EQ(tracker->config.reserved_storage_space, ReservedSpace());
  const auto storage = load_storage_config(dir.write("s", uncommented(storage_sample())));
  ASSERT_TRUE(storage) << storage.error().text();
  EXPECT_EQ(storage->config.tombstone_retention, StorageConfig().tombstone_retention);
  EXPECT_EQ(storage->config.sync_window_bytes, StorageConfig().sync_window_bytes);
  const auto client = load_client_config(dir.write("c", uncommented(client_sample())));
  ASSERT_TRUE(client) << client.error().text();
}

TEST(TrackerConfig, Defaults) {
  TemporaryDirectory dir;
  const auto loaded = load_tracker_config(dir.write("t.conf", "base_path = state\n"));
  ASSERT_TRUE(loaded) << loaded.error().text();
  const TrackerConfig& c = loaded->config;
  EXPECT_TRUE(loaded->notes.empty());
  EXPECT_EQ(c.base_path, dir.path() / "state");
  EXPECT_EQ(c.bind_addr, std::vector<std::string>{"0.0.0.0"});
  EXPECT_EQ(c.http_bind_addr, c.bind_addr);
  EXPECT_EQ(c.port, 22122);
  EXPECT_EQ(c.http_port, 22180);
  EXPECT_TRUE(c.allow_hosts.contains("127.8.9.1"));
  EXPECT_TRUE(c.allow_hosts.contains("::1"));
  EXPECT_FALSE(c.allow_hosts.contains("10.0.0.1"));
  EXPECT_FALSE(c.admin_hosts.contains("10.0.0.1"));
  EXPECT_EQ(c.network_timeout, 60s);
  EXPECT_EQ(c.max_connections, 65'536U);
  EXPECT_GE(c.work_thread_count(), 1U);
  EXPECT_EQ(c.store_lookup, StoreLookup::round_robin);
  EXPECT_EQ(c.reserved_storage_space.of(std::uint64_t{1} << 40), std::uint64_t{1} << 30);
  EXPECT_EQ(c.check_active_interval, 10s);
  EXPECT_EQ(c.storage_sync_file_max_delay, 86'400s);
  EXPECT_EQ(c.storage_sync_file_max_time, 300s);
  EXPECT_EQ(c.compat_stat_version, CompatStat::v6_15);
  EXPECT_FALSE(c.metadata_holder);
}

TEST(TrackerConfig, Values) {
  TemporaryDirectory dir;
  dir.write("ids", "100001 group1 10.0.0.5 rw=read\n");
  const auto loaded = load_tracker_config(dir.write(
      "t.conf", kTracker +
                    "bind_addr = 10.0.0.1, ::1\nbind_addr = 10.0.0.2\nhttp_bind_addr = 127.0.0.1\n"
                    "allow_hosts = 10.0.0.0/8\nallow_hosts = 192.168.1.[1-3]\nstore_lookup = 1\n"
                    "store_group = group2\nstore_server = 2\nstore_path = 2\ndownload_server = 1\n"
                    "reserved_storage_space = 12.5%\nmetadata = 10.0.0.9\nlog_level = NOTICE\n"
                    "log_format = json\nresponse_ip_addr_size = IPv6\nfetch_all_layout = new\n"
                    "compat_stat_version = 6.11\nuse_storage_id = true\n"
                    "storage_ids_filename = ids\nwork_threads = 1000\n"));
  ASSERT_TRUE(loaded) << loaded.error().text();
  const TrackerConfig& c = loaded->config;
  EXPECT_EQ(c.bind_addr, (std::vector<std::string>{"10.0.0.1", "::1", "10.0.0.2"}));
  EXPECT_EQ(c.http_bind_addr, std::vector<std::string>{"127.0.0.1"});
  EXPECT_TRUE(c.allow_hosts.contains("10.1.1.1"));
  EXPECT_TRUE(c.allow_hosts.contains("192.168.1.3"));
  EXPECT_FALSE(c.allow_hosts.contains("127.0.0.1")); // the default is replaced
  EXPECT_EQ(c.store_group, "group2");
  EXPECT_EQ(c.reserved_storage_space.of(1000), 125U);
  EXPECT_EQ(c.reserved_storage_space.text(), "12.5%");
  EXPECT_EQ(c.metadata_holder, (HostPort{"10.0.0.9", 22122}));
  EXPECT_EQ(c.log_level, LogLevel::info);
  EXPECT_EQ(c.response_ip_addr_size, IpAddrSize::v6);
  EXPECT_EQ(c.fetch_all_layout, FetchAllLayout::extended);
  EXPECT_EQ(c.compat_stat_version, CompatStat::v6_11);
  ASSERT_EQ(c.storage_ids.size(), 1U);
  EXPECT_FALSE(c.storage_ids[0].writable);
  EXPECT_EQ(c.work_thread_count(), 64U);
}

TEST(TrackerConfig, Errors) {
  const auto error = [](const std::string& text) { return error_of(load_tracker_config, text); };
  EXPECT_EQ(error("port = 1\n"), "x.conf: base_path is missing");
  EXPECT_EQ(error("bind_addr = eth0\n"), "x.conf:1: bind_addr: 'eth0' is not a numeric address");
  EXPECT_EQ(error(kTracker + "store_lookup = 1\n"), "x.conf:2: store_lookup: 1 needs store_group");
  EXPECT_NE(error(kTracker + "store_lookup = 3\n"), "");
  EXPECT_NE(error(kTracker + "store_path = 1\n"), "");
  EXPECT_NE(error(kTracker + "metadata = 10.0.0.1:x\n"), "");
  EXPECT_EQ(error("disabled = true\n"), "x.conf:1: disabled: this configuration is switched off");
  EXPECT_TRUE(error(kTracker + "use_storage_id = on\nstorage_ids_filename = gone\n")
                  .starts_with("x.conf:3: storage_ids_filename: "));
  EXPECT_EQ(error(kTracker + "chek_active_interval = 5\n"),
            "x.conf:2: chek_active_interval: unknown key; did you mean check_active_interval?");
}

TEST(ServerConfig, EverybodyNeedsToBeSaidTwice) {
  for (const std::string& text :
       {kTracker + "allow_hosts = *\n", kTracker + "allow_hosts=*\nallow_strangers = off\n"}) {
    const std::string error = error_of(load_tracker_config, text);
    EXPECT_TRUE(error.starts_with("x.conf:2: allow_hosts: ")) << error;
    EXPECT_NE(error.find("allow_strangers = on"), std::string::npos) << error;
  }
  // In either order.
  EXPECT_EQ(error_of(load_tracker_config, "allow_strangers=on\n" + kTracker + "allow_hosts=*\n"),
            "");
  EXPECT_EQ(error_of(load_tracker_config, kTracker + "allow_hosts=*\nallow_strangers=on\n"), "");
}

TEST(StorageConfig, Defaults) {
  TemporaryDirectory dir;
  const auto loaded = load_storage_config(dir.write("s.conf", kStorage));
  ASSERT_TRUE(loaded) << loaded.error().text();
  const StorageConfig& c = loaded->config;
  EXPECT_EQ(c.port, 23000);
  EXPECT_EQ(c.http_port, 8888);
  EXPECT_EQ(c.group_name, "group1");
  EXPECT_EQ(c.server_id, 0U);
  ASSERT_EQ(c.store_paths.size(), 1U);
  EXPECT_EQ(c.store_path_count, 1U);
  EXPECT_EQ(c.store_paths[0].path, "/s");
  ASSERT_EQ(c.trackers.size(), 1U);
  EXPECT_EQ(c.trackers[0].endpoint(), (HostPort{"10.0.0.1", 22122}));
  EXPECT_EQ(c.subdir_count_per_path, 256U);
  EXPECT_EQ(c.file_distribute_rotate_count, 100U);
  EXPECT_EQ(c.heart_beat_interval, 1s);
  EXPECT_EQ(c.upload_priority, 10U);
  EXPECT_EQ(c.durability, Durability::durable);
  EXPECT_EQ(c.disk_threads, 4U);
  EXPECT_EQ(c.buff_size, 256U << 10);
  EXPECT_FALSE(c.http_token.check);
  EXPECT_EQ(c.http_token.ttl, 600s);
  EXPECT_EQ(c.tombstone_retention, 24h * 90);
}

TEST(StorageConfig, StorePaths) {
  const auto error = [](const std::string& text) { return error_of(load_storage_config, text); };
  EXPECT_EQ(error(kStorage + "store_path1 = /t\nstore_path1_readonly = on\nstore_path_count=2\n"),
            "");
  EXPECT_EQ(error(kStorage + "store_path2 = /t\n"), "x.conf: store_path1: is missing");
  EXPECT_EQ(error(kStorage + "store_path1 = /s/\n"),
            "x.conf:5: store_path1: is the same as store_path0");
  EXPECT_EQ(error(kStorage + "store_path_count = 2\n"),
            "x.conf:5: store_path_count: 1 store paths are given, from store_path0 on");
  EXPECT_EQ(error(kStorage + "store_path1_readonly = on\n"), "x.conf: store_path1: is missing");
  EXPECT_NE(error(kStorage + "store_path256 = /t\n"), "");
  EXPECT_NE(error(kStorage + "store_path01 = /t\n"), "");

  TemporaryDirectory dir;
  const auto none =
      load_storage_config(dir.write("s.conf", "base_path=/b\ngroup_name=g\ntracker_server=h:1\n"));
  ASSERT_TRUE(none);
  EXPECT_EQ(none->config.store_paths[0].path, "/b");
  EXPECT_EQ(none->notes.size(), 1U);
}

TEST(StorageConfig, Errors) {
  const auto error = [](const std::string& text) { return error_of(load_storage_config, text); };
  EXPECT_EQ(error("base_path=/b\ngroup_name=g\n"), "x.conf: tracker_server is missing");
  EXPECT_EQ(error("base_path=/b\ntracker_server=h:1\n"), "x.conf: group_name is missing");
  EXPECT_TRUE(error("group_name = a-b\n").starts_with("x.conf:1: group_name: "));
  EXPECT_NE(error(kStorage + "server_id = 16777216\n"), "");
  EXPECT_NE(error(kStorage + "server_id = 0\n"), "");
  EXPECT_NE(error(kStorage + "advertise_addr = name\n"), "");
  EXPECT_NE(error(kStorage + "durability = maybe\n"), "");
  EXPECT_NE(error(kStorage + "tracker_server = 10.0.0.1:0\n"), "");
  EXPECT_EQ(error(kStorage + "http.anti_steal.check_token = on\n"),
            "x.conf:5: http.anti_steal.check_token: needs http.anti_steal.secret_key");
}

TEST(TrackerAddress, Forms) {
  EXPECT_EQ(parse_tracker_address("10.0.0.1:1")->text(), "10.0.0.1:1");
  EXPECT_EQ(parse_tracker_address("10.0.0.1")->port, 22122);
  EXPECT_EQ(*parse_tracker_address("10.0.0.1, b.example:7"),
            (TrackerAddress{{"10.0.0.1", "b.example"}, 7}));
  EXPECT_EQ(parse_tracker_address("[2409::1,fe80::2]:7")->text(), "[2409::1,fe80::2]:7");
  EXPECT_EQ(parse_tracker_address("::1")->hosts, std::vector<std::string>{"::1"});
  for (const char* bad : {"", ":1", "a:", "a:1:2", "[::1", "a,:1", "a:1,b:2", "[a:1]:2"}) {
    EXPECT_FALSE(parse_tracker_address(bad)) << bad;
  }
}

// Files as operators of FastDFS 5 and 6 have them. As they are, they open the node to everybody:
// that alone is refused.
class FastDfsFiles : public testing::TestWithParam<const char*> {
protected:
  fs::path file(const char* name) const { return kData / GetParam() / name; }
};

TEST_P(FastDfsFiles, ClosedUnlessStrangersAreAllowed) {
  TemporaryDirectory dir;
  for (const char* name : {"tracker.conf", "storage.conf"}) {
    const std::string text = text_of(file(name));
    const auto load_error = [&](const std::string& content) {
      return name == std::string("tracker.conf") ? error_of(load_tracker_config, content)
                                                 : error_of(load_storage_config, content);
    };
    EXPECT_NE(load_error(text).find("allow_hosts: '*'"), std::string::npos) << load_error(text);
    EXPECT_EQ(load_error("allow_strangers = on\n" + text), "");
  }
}

TEST_P(FastDfsFiles, Values) {
  TemporaryDirectory dir;
  const std::string on = "allow_strangers = on\n";
  const auto tracker = load_tracker_config(dir.write("t.conf", on + text_of(file("tracker.conf"))));
  ASSERT_TRUE(tracker) << tracker.error().text();
  EXPECT_EQ(tracker->config.store_lookup, StoreLookup::most_free);
  EXPECT_EQ(tracker->config.check_active_interval, 120s);
  EXPECT_TRUE(tracker->config.reserved_storage_space.is_percent);
  EXPECT_TRUE(tracker->config.allow_hosts.everybody());
  EXPECT_GT(tracker->notes.size(), 15U);

  const auto storage = load_storage_config(dir.write("s.conf", on + text_of(file("storage.conf"))));
  ASSERT_TRUE(storage) << storage.error().text();
  EXPECT_EQ(storage->config.heart_beat_interval, 30s);
  EXPECT_EQ(storage->config.trackers.size(), 2U);
  EXPECT_EQ(storage->config.buff_size, 256U << 10);
  EXPECT_GT(storage->notes.size(), 20U);
  for (const std::string& note : storage->notes) {
    EXPECT_NE(note.find(" has no effect: "), std::string::npos) << note;
  }

  const auto client = load_client_config(file("client.conf"));
  ASSERT_TRUE(client) << client.error().text();
  EXPECT_EQ(client->config.trackers.size(), 2U);
  EXPECT_FALSE(client->config.use_connection_pool);
}

INSTANTIATE_TEST_SUITE_P(Versions, FastDfsFiles, testing::Values("fastdfs5", "fastdfs6"));

TEST(ClientConfig, DefaultsAndJavaKeys) {
  TemporaryDirectory dir;
  auto loaded = load_client_config(dir.write("c", "tracker_server = 10.0.0.1:22122\n"));
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->config.connect_timeout, 5s);
  EXPECT_EQ(loaded->config.network_timeout, 30s);
  EXPECT_TRUE(loaded->config.use_connection_pool);
  EXPECT_EQ(loaded->config.connection_pool_max_idle_time, 3600s);
  loaded = load_client_config(
      dir.write("c",
                "connect_timeout = 2\ncharset = UTF-8\nhttp.tracker_http_port = 8080\n"
                "http.anti_steal_token = no\nhttp.secret_key = FastDFS1234567890\n"
                "tracker_server = 10.0.11.243:22122\ntracker_server = 10.0.11.244:22122\n"
                "connection_pool.enabled = false\nconnection_pool.max_count_per_entry = 7\n"
                "connection_pool.max_idle_time = 60\n"
                "connection_pool.max_wait_time_in_ms = 1000\n"));
  ASSERT_TRUE(loaded) << loaded.error().text();
  EXPECT_FALSE(loaded->config.use_connection_pool);
  EXPECT_EQ(loaded->config.connection_pool_max_count_per_entry, 7U);
  EXPECT_EQ(loaded->config.connection_pool_max_idle_time, 60s);
  EXPECT_EQ(loaded->notes.size(), 5U);
  EXPECT_EQ(error_of(load_client_config, "connect_timeout = 2\n"),
            "x.conf: tracker_server is missing");
}

} // namespace
} // namespace cairn::config
