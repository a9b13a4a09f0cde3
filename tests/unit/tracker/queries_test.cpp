// FastDFS replies byte by byte, without sockets.
#include "tracker/handlers/queries.h"

#include "common/base/text.h"
#include "common/wire/fastdfs.h"
#include "tests/unit/tracker/fixture.h"
#include "tracker/handlers/layouts.h"

namespace cairn::tracker {

namespace {

using config::CompatStat;

// Text by offset and size, zeros cut; and big-endian numbers.
struct Parts {
  wire::Bytes bytes;

  std::string text(std::size_t at, std::size_t size) const {
    const std::string all(wire::as_text(wire::View(bytes).subspan(at, size)));
    const std::size_t end = all.find('\0');
    // What follows the first zero is zero.
    if (end != std::string::npos) {
      EXPECT_EQ(all.find_first_not_of('\0', end), std::string::npos);
    }
    return all.substr(0, end);
  }
  std::uint64_t number(std::size_t at, std::size_t size = 8) const {
    return wire::load_big_endian(bytes.data() + at, size);
  }
};

class Queries : public ::testing::Test {
protected:
  Queries() {
    cluster.add(100001, "group1", {TestCluster::path(40 * kGiB), TestCluster::path(30 * kGiB)});
    tracker_config.reserved_storage_space.bytes = kGiB;
  }

  Result<wire::Bytes> ask(Result<wire::Bytes> (*query)(Query&, wire::View), wire::Bytes body = {}) {
    Query context{tracker_config,
                  cluster.state,
                  selection,
                  kNow,
                  boost::asio::ip::make_address("192.168.1.1"),
                  [this] { return trackers; }};
    return query(context, body);
  }

  static wire::Bytes file(const std::string& group, const std::string& name) {
    wire::GroupFile request;
    request.group = group;
    request.name = name;
    return wire::encode(request);
  }

  static std::string hex(const Result<wire::Bytes>& bytes) {
    return bytes ? hex_encode(*bytes) : "error";
  }

  TestCluster cluster;
  config::TrackerConfig tracker_config;
  Selection selection{SelectionRules()};
  std::vector<TrackerSeen> trackers{TrackerSeen{"10.0.0.1:22122", true, true, 3, 5, kNow}};
};

const std::string kGroupHex = "67726f75703100000000000000000000"; // "group1", 16 bytes

} // namespace

TEST_F(Queries, UploadTarget) {
  // 192.168.1.1 in 15 bytes, port 23000, store path 0.
  EXPECT_EQ(hex(ask(query_store)),
            kGroupHex + "3139322e3136382e312e3100000000" + "00000000000059d8" + "00");
  EXPECT_EQ(ask(query_store_in_group, file("group1", ""))->size(), 40U);
  EXPECT_EQ(ask(query_store, wire::Bytes(1)).code(), Errc::invalid_argument);
  EXPECT_EQ(ask(query_store_in_group, wire::Bytes(15)).code(), Errc::invalid_argument);
  EXPECT_EQ(ask(query_store_in_group, file("group9", "")).code(), Errc::not_found);
  EXPECT_EQ(ask(query_store_in_group, file(std::string(16, 'g'), "")).code(), Errc::not_found);

  tracker_config.response_ip_addr_size = config::IpAddrSize::v6;
  const Parts wide{*ask(query_store)};
  ASSERT_EQ(wide.bytes.size(), 70U);
  EXPECT_EQ(wide.text(16, 45), "192.168.1.1");
  EXPECT_EQ(wide.number(61), 23000U);
}

TEST_F(Queries, WidthFollowsTheFirstIpv6Address) {
  wire::Join join = TestCluster::join_of(100002, "group1", 2);
  join.host = "2001:db8::1";
  ASSERT_TRUE(cluster.join(join));
  EXPECT_EQ(ask(query_store)->size(), 70U);
  tracker_config.response_ip_addr_size = config::IpAddrSize::v4;
  EXPECT_EQ(ask(query_store)->size(), 40U);
}

TEST_F(Queries, UploadTargets) {
  cluster.add(100002, "group1", {TestCluster::path(40 * kGiB), TestCluster::path(30 * kGiB)});
  const Parts all{*ask(query_store_all)};
  ASSERT_EQ(all.bytes.size(), 17U + 2 * 23U);
  EXPECT_EQ(all.text(16, 15), "192.168.1.1");
  EXPECT_EQ(all.number(31), 23000U);
  EXPECT_EQ(all.text(39, 15), "192.168.1.2");
  EXPECT_EQ(all.number(62, 1), 0U);
  tracker_config.response_ip_addr_size = config::IpAddrSize::v6;
  EXPECT_EQ(ask(query_store_in_group_all, file("group1", ""))->size(), 17U + 2 * 53U);
}

TEST_F(Queries, FetchTargets) {
  const std::string name(name_of(100001, kNow - 100'000).text());
  EXPECT_EQ(hex(ask(query_fetch_one, file("group1", name))),
            kGroupHex + "3139322e3136382e312e3100000000" + "00000000000059d8");
  EXPECT_EQ(hex(ask(query_update, file("group1", name))),
            hex(ask(query_fetch_one, file("group1", name))));
  for (auto* query : {query_fetch_one, query_update, query_fetch_all}) {
    EXPECT_EQ(ask(query, file("group1", std::string(21, 'x'))).code(), Errc::invalid_argument);
    EXPECT_EQ(ask(query, file("group1", std::string(128, 'x'))).code(), Errc::invalid_argument);
    EXPECT_EQ(ask(query, file("group1", "M00/00/00/../../../../etc/passwd")).code(),
              Errc::invalid_argument);
    EXPECT_EQ(ask(query, file("group2", name)).code(), Errc::not_found);
    EXPECT_EQ(ask(query, wire::Bytes(3)).code(), Errc::invalid_argument);
  }
}

TEST_F(Queries, FetchAllLayouts) {
  const std::string name(name_of(100003, kNow - 100'000).text());
  const auto size = [&] { return ask(query_fetch_all, file("group1", name))->size(); };
  const std::vector<wire::PathUsage> paths{TestCluster::path(kGiB), TestCluster::path(kGiB)};
  EXPECT_EQ(size(), 39U);
  cluster.add(100002, "group1", paths);
  EXPECT_EQ(size(), 39U + 15);
  cluster.add(100003, "group1", paths);
  // 69 bytes would look like one IPv6 entry to Java: two are answered, the source among them.
  const Parts three{*ask(query_fetch_all, file("group1", name))};
  ASSERT_EQ(three.bytes.size(), 39U + 15);
  EXPECT_EQ(three.text(39, 15), "192.168.1.3");
  cluster.add(100004, "group1", paths);
  EXPECT_EQ(size(), 39U + 3 * 15);
  tracker_config.fetch_all_layout = config::FetchAllLayout::extended;
  EXPECT_EQ(size(), 39U + 3 * 23);
  tracker_config.response_ip_addr_size = config::IpAddrSize::v6;
  EXPECT_EQ(size(), 69U + 3 * 53);
  tracker_config.fetch_all_layout = config::FetchAllLayout::classic;
  EXPECT_EQ(size(), 69U + 3 * 45);
}

TEST_F(Queries, FetchAllShowsPortsThatDiffer) {
  wire::Join join = TestCluster::join_of(100002, "group1", 2);
  join.port = 23001;
  ASSERT_TRUE(cluster.join(join));
  ASSERT_TRUE(cluster.command(MarkBroughtUp{100002, false}));
  cluster.beat(100002, {TestCluster::path(kGiB), TestCluster::path(kGiB)});
  const std::string name(name_of(100001, kNow - 100'000).text());
  const Parts both{*ask(query_fetch_all, file("group1", name))};
  ASSERT_EQ(both.bytes.size(), 39U + 23);
  EXPECT_EQ(both.number(39 + 15), 23001U);
}

TEST_F(Queries, GroupStats) {
  // Version, size, offset of "storage count"; which pair of counts stands after the port.
  struct Layout {
    CompatStat version;
    std::size_t size;
    std::size_t storage_count_at;
    bool with_http_port;
  };
  for (const Layout& layout :
       {Layout{CompatStat::v5, 105, 41, true}, Layout{CompatStat::v6_11, 105, 41, true},
        Layout{CompatStat::v6_12, 105, 41, true}, Layout{CompatStat::v6_13, 105, 41, false},
        Layout{CompatStat::v6_15, 113, 49, false}}) {
    tracker_config.compat_stat_version = layout.version;
    const Parts group{*ask(list_group, file("group1", ""))};
    ASSERT_EQ(group.bytes.size(), layout.size);
    EXPECT_EQ(group.text(0, 17), "group1");
    EXPECT_EQ(group.number(17), 200 * 1024U);
    EXPECT_EQ(group.number(25), 70 * 1024U);
    if (layout.size == 113) {
      EXPECT_EQ(group.number(33), 1024U);
    }
    const std::size_t at = layout.storage_count_at;
    EXPECT_EQ(group.number(at - 8), 0U);     // trunk space
    EXPECT_EQ(group.number(at), 1U);         // nodes
    EXPECT_EQ(group.number(at + 8), 23000U); // port
    EXPECT_EQ(group.number(at + 16), layout.with_http_port ? 8888U : 1U);
    EXPECT_EQ(group.number(at + 24), 1U);   // active, or writable
    EXPECT_EQ(group.number(at + 40), 2U);   // store paths
    EXPECT_EQ(group.number(at + 48), 256U); // sub-directories
    EXPECT_EQ(group.number(at + 56), layout.size == 113 ? ~std::uint64_t{0} : 0U);
  }
  EXPECT_EQ(ask(list_all_groups)->size(), 113U);
  ASSERT_TRUE(cluster.command(AddGroup{"group2"}));
  EXPECT_EQ(ask(list_all_groups)->size(), 226U);
  EXPECT_EQ(ask(list_group, file("group3", "")).code(), Errc::not_found);
  EXPECT_EQ(ask(list_group, wire::Bytes(17)).code(), Errc::invalid_argument);
}

TEST_F(Queries, NodeStats) {
  wire::Heartbeat heartbeat;
  heartbeat.id = 100001;
  heartbeat.uuid = TestCluster::uuid(100001);
  heartbeat.paths = {TestCluster::path(40 * kGiB), TestCluster::path(30 * kGiB)};
  heartbeat.counters.connections_now = 7;
  heartbeat.counters.upload_total = 1001;
  heartbeat.counters.delete_success = 1002;
  heartbeat.counters.file_write_success = 1003;
  heartbeat.counters.last_synced_timestamp = 1004;
  ASSERT_TRUE(cluster.state.heartbeat(heartbeat, 100001, cluster.now));

  // Offsets from the table of layouts: version, width, size, ID, IP, version text, join time,
  // free MB, upload priority, port, counters.
  struct Layout {
    CompatStat version;
    config::IpAddrSize width;
    std::size_t size, id, ip, text, join_time, free_mb, priority, port, counters;
  };
  using Width = config::IpAddrSize;
  for (const Layout& at :
       {Layout{CompatStat::v5, Width::v4, 612, 1, 17, 177, 183, 207, 215, 247, 263},
        Layout{CompatStat::v6_11, Width::v4, 642, 1, 17, 207, 213, 237, 245, 277, 293},
        Layout{CompatStat::v6_12, Width::v4, 644, 1, 17, 207, 215, 239, 247, 279, 295},
        Layout{CompatStat::v6_13, Width::v4, 509, 2, 18, 80, 88, 112, 120, 152, 160},
        Layout{CompatStat::v6_15, Width::v6, 517, 2, 18, 80, 88, 112, 128, 160, 168},
        Layout{CompatStat::v6_15, Width::v4, 487, 2, 18, 50, 58, 82, 98, 130, 138}}) {
    tracker_config.compat_stat_version = at.version;
    tracker_config.response_ip_addr_size = at.width;
    const Parts node{*ask(list_storages, file("group1", "100001"))};
    ASSERT_EQ(node.bytes.size(), at.size);
    EXPECT_EQ(node.number(0, 1), 7U); // active
    if (at.id == 2) {
      EXPECT_EQ(node.number(1, 1), 6U); // readable and writable
    }
    EXPECT_EQ(node.text(at.id, 16), "100001");
    EXPECT_EQ(node.text(at.ip, 16), "192.168.1.1");
    EXPECT_EQ(node.text(at.text, at.join_time - at.text), "0.1.0");
    EXPECT_EQ(node.number(at.join_time), cluster.now.unix_s);
    EXPECT_EQ(node.number(at.join_time + 8), kNow - 5);
    EXPECT_EQ(node.number(at.free_mb - 8), 200 * 1024U);
    EXPECT_EQ(node.number(at.free_mb), 70 * 1024U);
    EXPECT_EQ(node.number(at.priority), 10U);
    EXPECT_EQ(node.number(at.priority + 8), 2U);
    EXPECT_EQ(node.number(at.priority + 16), 256U);
    EXPECT_EQ(node.number(at.port), 23000U);
    EXPECT_EQ(node.number(at.counters + 4, 4), 7U);
    EXPECT_EQ(node.number(at.counters + 12), 1001U);
    EXPECT_EQ(node.number(at.counters + 100), 1002U);
    EXPECT_EQ(node.number(at.counters + 308), 1003U);
    EXPECT_EQ(node.number(at.counters + 332), 1004U);
    EXPECT_EQ(node.number(at.counters + 340), cluster.now.unix_s);
    EXPECT_EQ(node.number(at.size - 1, 1), 0U);
  }
  EXPECT_EQ(ask(list_storages, file("group1", ""))->size(), 487U);
  EXPECT_EQ(ask(list_storages, file("group1", "192.168.1.1"))->size(), 487U);
  EXPECT_EQ(ask(list_storages, file("group1", "100009")).code(), Errc::not_found);
  EXPECT_EQ(ask(list_storages, file("group1", std::string(16, '1'))).code(),
            Errc::invalid_argument);
  EXPECT_EQ(ask(list_storages, file("group9", "")).code(), Errc::not_found);
}

TEST_F(Queries, StorageIds) {
  const auto text = [](const Result<wire::Bytes>& reply) {
    return reply ? std::string(wire::as_text(wire::View(*reply).subspan(8))) : "error";
  };
  EXPECT_EQ(text(ask(fetch_storage_ids, wire::Bytes(5))), "100001 group1 192.168.1.1:23000\n");
  EXPECT_EQ(text(ask(fetch_storage_ids, wire::Bytes(4))), "100001 group1 192.168.1.1:23000\n");
  EXPECT_EQ(ask(fetch_storage_ids, wire::Bytes(6)).code(), Errc::invalid_argument);
  wire::Bytes beyond(4);
  beyond[3] = std::byte{1};
  EXPECT_EQ(ask(fetch_storage_ids, beyond).code(), Errc::invalid_argument);
  beyond[0] = std::byte{0xFF}; // negative
  EXPECT_EQ(ask(fetch_storage_ids, beyond).code(), Errc::invalid_argument);

  EXPECT_EQ(wire::as_text(*ask(get_storage_id, file("group1", "192.168.1.1:23000"))), "100001");
  EXPECT_EQ(wire::as_text(*ask(get_storage_id, file("group1", "192.168.1.1"))), "100001");
  EXPECT_EQ(wire::as_text(*ask(get_storage_id, file("group1", ""))), "100001"); // the caller
  EXPECT_EQ(ask(get_storage_id, file("group1", "192.168.1.1:1")).code(), Errc::not_found);
  const Parts brief{*ask(get_storage_status, file("group1", "192.168.1.1"))};
  ASSERT_EQ(brief.bytes.size(), 67U);
  EXPECT_EQ(brief.number(0, 1), 7U);
  EXPECT_EQ(brief.number(1, 4), 23000U);
  EXPECT_EQ(brief.text(5, 16), "100001");
  EXPECT_EQ(brief.text(21, 46), "192.168.1.1");
}

TEST_F(Queries, StorageIdsByPages) {
  for (std::uint32_t id = 200'000; id < 200'600; ++id)
    ASSERT_TRUE(cluster.join(TestCluster::join_of(id, "g" + std::to_string(id % 100), 2)));
  std::uint64_t start = 0;
  std::string lines;
  int pages = 0;
  for (std::uint64_t total = 1; start < total; ++pages) {
    wire::Bytes body;
    wire::Writer(body).integer(start, 4);
    const Parts page{*ask(fetch_storage_ids, body)};
    total = page.number(0, 4);
    EXPECT_EQ(total, 601U);
    ASSERT_GT(page.number(4, 4), 0U);
    start += page.number(4, 4);
    lines += wire::as_text(wire::View(page.bytes).subspan(8));
  }
  EXPECT_GT(pages, 1);
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 601);
}

TEST_F(Queries, Parameters) {
  const std::string text(wire::as_text(*ask(get_parameters)));
  EXPECT_LT(text.size(), 1024U);
  EXPECT_NE(text.find("use_storage_id=true\nid_type_in_filename=id\n"), std::string::npos);
  EXPECT_NE(text.find("\nreserved_storage_space=1024MB\n"), std::string::npos);
  EXPECT_NE(text.find("\nstorage_sync_file_max_delay=86400\n"), std::string::npos);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 26);
  EXPECT_EQ(std::count(text.begin(), text.end(), '='), 26);
}

TEST_F(Queries, Monitoring) {
  EXPECT_EQ(ask(set_trunk_server, file("group1", "")).code(), Errc::unsupported);
  EXPECT_EQ(ask(set_trunk_server, wire::Bytes(3)).code(), Errc::invalid_argument);
  EXPECT_EQ(ask(refuse_storage_command).code(), Errc::denied);
  EXPECT_EQ(ask(active_test)->size(), 0U);
  EXPECT_EQ(ask(active_test, wire::Bytes(1)).code(), Errc::invalid_argument);
  EXPECT_EQ(wire::as_text(*ask(get_leader)), "10.0.0.1:22122");
  const Parts seen{*ask(tracker_cluster_stat, wire::Bytes(3))};
  ASSERT_EQ(seen.bytes.size(), 91U);
  EXPECT_EQ(seen.number(0, 1), 1U);
  EXPECT_EQ(seen.text(1, 52), "10.0.0.1:22122");
  EXPECT_EQ(seen.number(53, 1), 1U);
  EXPECT_EQ(seen.number(54, 1), 1U);
  EXPECT_EQ(seen.number(59, 4), 3U);
  EXPECT_EQ(seen.number(75), kNow);
  trackers.front().holder = false;
  EXPECT_EQ(ask(get_leader).code(), Errc::not_found);
  EXPECT_EQ(ask(tracker_cluster_stat, wire::Bytes(3)).code(), Errc::unsupported);
  EXPECT_EQ(ask(storage_cluster_stat, wire::Bytes(4))->size(), 6U + 106);
  EXPECT_EQ(ask(storage_volume_stat, wire::Bytes(4))->size(), 5U + 59);
  EXPECT_EQ(ask(storage_volume_stat, wire::Bytes(3)).code(), Errc::invalid_argument);
}

} // namespace cairn::tracker
