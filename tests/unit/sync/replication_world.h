// Two or three real nodes without sockets: what one's sender logic gives goes to the other's
// receiver directly, with lost connections, lost positions and repeated batches in between.
#pragma once

#include "common/base/crc32.h"
#include "storage/sync/catalogue.h"
#include "storage/sync/change_source.h"
#include "storage/sync/receiver.h"
#include "storage/sync/sender_state.h"
#include "tests/unit/config/temporary_directory.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <set>

namespace cairn::storage {

template <class T>
T run(Task<T> task) {
  // Outlives the call: a pool's thread that has handed over the result may still be in post().
  thread_local asio::io_context context(1);
  context.restart();
  std::optional<T> result;
  const auto wrap = [](Task<T> inner, std::optional<T>& out) -> Task<void> {
    out.emplace(co_await std::move(inner));
  };
  asio::co_spawn(context, wrap(std::move(task), result), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
  context.run();
  return std::move(*result);
}

inline wire::Bytes random_bytes_of(std::mt19937_64& random, std::size_t size) {
  wire::Bytes bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

inline RemoteName name_of(const std::string& text) {
  return *parse_remote_name(text);
}

// A storage node without a server.
class Node {
public:
  // `durable`: what it logs counts once it is committed.
  explicit Node(std::uint32_t node_id, bool durable = false)
      : id(node_id), uuid("node" + std::to_string(node_id)), durable_(durable) {
    config.base_path = directory_.path() / "base";
    config.group_name = "group1";
    config.disk_threads = 2;
    for (const char* path : {"p0", "p1"}) {
      std::filesystem::create_directories(directory_.path() / path);
      config.store_paths.push_back({directory_.path() / path, false});
    }
    config.store_path_count = 2;
    config.reserved_storage_space.bytes = 0;
    open();
  }

  void open() {
    std::filesystem::create_directories(config.base_path / "data");
    store = *Store::open(config);
    store->set_node_id(id);
    store->sweep();
    store->refresh_usage();
    BinlogOptions options;
    options.durable = durable_;
    options.segment_size = 4096; // many segments
    binlog = *Binlog::open(config.base_path / "data" / "binlog", std::move(options));
    store->attach(*binlog);
    catalogue = *Catalogue::open(config.base_path / "data" / "catalogue", roots(), *store, *binlog);
    catalogue->start();
    open_receiver();
  }

  // Positions that were not saved are lost with it, as in a crash.
  void open_receiver() {
    ReceiverOptions options;
    options.group = config.group_name;
    options.own_uuid = uuid;
    options.threads_per_path = 2;
    options.has_trash = config.trash_days != 0;
    options.owner_of = [](const RemoteName& name) {
      return name.fields() ? name.fields()->source.server_id().value_or(0) : 0;
    };
    receiver.reset();
    receiver = *SyncReceiver::open(config.base_path / "data" / "sync", *store, *binlog,
                                   std::move(options));
  }

  void restart() {
    close();
    open();
  }

  void close() {
    receiver.reset();
    catalogue.reset();
    binlog.reset();
    store.reset();
  }

  // The disks are replaced by empty ones.
  void lose_everything() {
    close();
    for (const auto& path : config.store_paths) {
      std::filesystem::remove_all(path.path);
      std::filesystem::create_directories(path.path);
    }
    std::filesystem::remove_all(config.base_path);
    open();
  }

  std::vector<std::filesystem::path> roots() const {
    std::vector<std::filesystem::path> paths;
    for (const auto& path : config.store_paths) paths.push_back(path.path);
    return paths;
  }

  // Everything a client could see: name -> content and metadata.
  std::map<std::string, std::string> files() const {
    std::map<std::string, std::string> all;
    for (std::size_t i = 0; i < config.store_paths.size(); ++i) {
      const auto data = config.store_paths[i].path / "data";
      for (const auto& entry : std::filesystem::recursive_directory_iterator(data)) {
        if (!entry.is_regular_file()) continue;
        const std::string name =
            "M0" + std::to_string(i) + "/" + std::filesystem::relative(entry.path(), data).string();
        const auto parsed = parse_remote_name(name);
        if (!parsed) continue;
        std::ifstream in(entry.path(), std::ios::binary);
        std::string content((std::istreambuf_iterator<char>(in)), {});
        const auto metadata = store->get_metadata(*parsed);
        all[name] = content + "|" + (metadata ? *metadata : std::string());
      }
    }
    return all;
  }

  std::map<std::string, std::uint64_t> catalogued() {
    std::map<std::string, std::uint64_t> all;
    EXPECT_TRUE(catalogue->wait_for(binlog->end_seq(), std::chrono::seconds(20)));
    std::string after;
    for (;;) {
      auto rows = catalogue->list(after, 7);
      EXPECT_TRUE(rows) << rows.error().text();
      if (!rows || rows->empty()) break;
      for (const CatalogueRow& row : *rows) {
        all[row.summary.name] = row.summary.size;
        EXPECT_EQ(*store->content_crc32(name_of(row.summary.name), true), row.summary.crc32)
            << row.summary.name;
        EXPECT_EQ(store->metadata_stamp(name_of(row.summary.name)), row.summary.meta_stamp)
            << row.summary.name;
      }
      after = rows->back().summary.name;
    }
    EXPECT_EQ(all.size(), catalogue->count());
    return all;
  }

  const std::uint32_t id;
  const std::string uuid;
  config::StorageConfig config;
  std::unique_ptr<Store> store;
  std::unique_ptr<Binlog> binlog;
  std::unique_ptr<Catalogue> catalogue;
  std::unique_ptr<SyncReceiver> receiver;

  const std::filesystem::path& directory() const { return directory_.path(); }

private:
  const bool durable_;
  TemporaryDirectory directory_;
};

// One node's sender logic to another node, over a wire that is a queue.
class Stream {
public:
  Stream(Node& from, Node& to, std::vector<GroupMember> others)
      : from_(from), to_(to), others_(std::move(others)) {
    reset();
  }

  // As after a restart of the sending node, with the cursor it had saved.
  void reset() {
    disconnect();
    const Cursor cursor = saved_;
    SenderLimits limits;
    limits.batch_bytes = 64 * 1024;
    limits.window_bytes = 256 * 1024;
    state_ = std::make_unique<SenderState>(limits, to_.uuid, "log");
    if (!cursor.peer_uuid.empty()) state_->restore(cursor);
    source_ = std::make_unique<ChangeSource>(*from_.store, *from_.binlog, *from_.catalogue);
  }
  void save_cursor() {
    if (state_->may_save(from_.binlog->committed_seq())) saved_ = state_->cursor();
  }
  void lose_cursor() { saved_ = Cursor(); }

  void disconnect() {
    if (state_) state_->disconnected();
    for (wire::SyncBatch& batch : wire_) stale_.push_back(std::move(batch));
    wire_.clear();
    connected_ = false;
  }

  void connect() {
    wire::SyncHello hello;
    hello.source_id = from_.id;
    hello.source_uuid = from_.uuid;
    hello.group = "group1";
    hello.log_id = "log";
    hello.stream = stream_ = random_u64() | 1;
    const auto reply = run(to_.receiver->hello(hello));
    ASSERT_TRUE(reply) << reply.error().text();
    auto from = state_->begin(*reply, from_.binlog->begin_seq(), from_.binlog->end_seq());
    if (from) {
      const auto position = source_->start_tail(*from);
      if (position)
        state_->tail_from(*position);
      else
        from.reset();
    }
    if (!from) {
      GroupSnapshot group;
      group.own_id = from_.id;
      group.members = others_;
      group.source_of = [](const RemoteName& name) {
        return name.fields() ? name.fields()->source.server_id().value_or(0) : 0;
      };
      ASSERT_TRUE(source_->start_bring_up(group, to_.id));
      ++bring_ups;
    }
    connected_ = true;
    // What a broken connection still held must not touch anything now.
    for (wire::SyncBatch& batch : stale_)
      EXPECT_EQ(run(to_.receiver->apply(from_.id, std::move(batch))).code(), Errc::closed);
    stale_.clear();
  }

  // Reads and queues one thing; false: there is nothing now.
  bool send() {
    if (!connected_) connect();
    auto plan = state_->plan(now_ms);
    if (!plan) return false;
    plan->ahead = ahead;
    auto at_once = source_->next_cached(*plan);
    if (at_once) ++cached;
    auto out = at_once ? *std::move(at_once) : source_->next(*plan);
    if (!out && out.code() == Errc::unavailable) return true;
    EXPECT_TRUE(out) << out.error().text();
    if (!out) return false;
    for (const FailedOp& failed : out->failed) state_->failed_here(failed.op, failed.code, now_ms);
    for (const std::uint64_t id : out->resolved) state_->resolved(id);
    switch (out->kind) {
      case Outgoing::Kind::nothing:
        return out->moved;
      case Outgoing::Kind::batch:
        out->batch.stream = stream_;
        out->batch.number = state_->sent(std::move(out->sent));
        wire_.push_back(std::move(out->batch));
        return true;
      case Outgoing::Kind::have: {
        while (!wire_.empty()) deliver(true);
        out->have.stream = stream_;
        const auto reply = run(to_.receiver->have(from_.id, std::move(out->have)));
        EXPECT_TRUE(reply && source_->wanted(*reply));
        return true;
      }
      case Outgoing::Kind::done:
        while (!wire_.empty()) deliver(true);
        out->done.stream = stream_;
        EXPECT_TRUE(run(to_.receiver->done(from_.id, out->done)));
        source_->accepted();
        state_->tail_from(out->position);
        return true;
    }
    return false;
  }

  // The oldest batch arrives; `heard`: its answer too.
  void deliver(bool heard) {
    if (wire_.empty()) return;
    wire::SyncBatch batch = std::move(wire_.front());
    wire_.pop_front();
    const auto ack = run(to_.receiver->apply(from_.id, std::move(batch)));
    ASSERT_TRUE(ack) << ack.error().text();
    failures += ack->failures.size();
    if (heard)
      ASSERT_TRUE(state_->acked(*ack, now_ms));
    else
      disconnect();
  }

  // Until nothing is left; false: it does not come to an end.
  bool drain() {
    for (int i = 0; i < 20'000; ++i) {
      const bool sent = send();
      while (!wire_.empty()) deliver(true);
      if (sent) continue;
      const auto retry = state_->next_retry();
      if (!retry) return true;
      now_ms = std::max(now_ms, *retry);
    }
    return false;
  }

  SenderState& state() { return *state_; }
  bool is_connected() const { return connected_; }

  UnixMs now_ms = 1000;
  std::uint64_t ahead = 0; // SendPlan::ahead
  int cached = 0;          // answers of next_cached()
  int bring_ups = 0;
  std::size_t failures = 0;

private:
  Node& from_;
  Node& to_;
  std::vector<GroupMember> others_;
  std::unique_ptr<SenderState> state_;
  std::unique_ptr<ChangeSource> source_;
  std::deque<wire::SyncBatch> wire_;
  std::vector<wire::SyncBatch> stale_;
  Cursor saved_;
  std::uint64_t stream_ = 0;
  bool connected_ = false;
};

// All nodes, all streams, and random changes.
class World {
public:
  // `trash`: half of the deletes go there, and some come back.
  World(std::uint64_t seed, std::uint32_t count, bool trash = false)
      : random_(seed), trash_(trash) {
    for (std::uint32_t i = 1; i <= count; ++i) nodes_.push_back(std::make_unique<Node>(i));
    for (auto& node : nodes_) {
      node->config.trash_days = trash ? 3 : 0;
      node->open_receiver();
    }
    for (auto& from : nodes_) {
      std::vector<GroupMember> others;
      for (auto& node : nodes_)
        if (node != from) others.push_back({node->id, true});
      for (auto& to : nodes_)
        if (to != from) streams_[{from->id, to->id}] = std::make_unique<Stream>(*from, *to, others);
    }
  }

  Node& node(std::uint32_t id) { return *nodes_[id - 1]; }
  Stream& stream(std::uint32_t from, std::uint32_t to) { return *streams_[{from, to}]; }
  std::uint64_t pick(std::uint64_t below) { return random_() % below; }

  wire::Bytes content() {
    const std::uint64_t kind = pick(20);
    const std::size_t size = kind == 0   ? 0
                             : kind == 1 ? 300'000 + pick(900'000) // in pieces
                                         : 1 + pick(3000);
    return random_bytes_of(random_, size);
  }

  void change() {
    Node& at = *nodes_[pick(nodes_.size())];
    Store& store = *at.store;
    switch (pick(trash_ ? 12 : 10)) {
      case 0:
      case 1:
      case 2: {
        NewFile file;
        file.extension = "bin";
        file.appender = pick(2) == 0;
        const auto made = store.create(file, static_cast<std::uint8_t>(pick(2)), content());
        ASSERT_TRUE(made) << made.error().text();
        names_.push_back(made->name);
        break;
      }
      case 3:
      case 4:
      case 5: {
        const std::string name = some_name(at.id);
        if (name.empty() || name_of(name).kind() != FileKind::appender) break;
        const auto opened = store.open_file(name_of(name));
        if (!opened) break;
        const std::uint64_t what = pick(8);
        if (what < 3) {
          check(store.append(name_of(name), content()));
        } else if (what < 5) {
          check(store.modify(name_of(name), pick(opened->size + 1), content()));
        } else if (what < 7) {
          check(store.truncate(name_of(name), pick(opened->size + 1000)));
        } else {
          const auto made = store.regenerate(name_of(name));
          ASSERT_TRUE(made) << made.error().text();
          names_.push_back(made->name);
        }
        break;
      }
      case 6: {
        const std::string name = some_name(0);
        if (name.empty()) break;
        if (pick(2) == 0 || !store.exists(name_of(name))) break;
        Origin here;
        here.to_trash = trash_ && pick(2) == 0;
        check(store.remove(name_of(name), here, true));
        if (name_of(name).kind() != FileKind::slave) removed_.insert(name);
        break;
      }
      case 7: {
        const std::string name = some_name(0);
        if (name.empty() || !store.exists(name_of(name))) break;
        const std::string text = "k" + std::to_string(pick(3)) + "\x02" + std::to_string(pick(99));
        check(store.set_metadata(name_of(name), text, pick(2) == 0, Origin()));
        break;
      }
      case 8: {
        const std::string name = some_name(at.id);
        if (name.empty() || name_of(name).kind() != FileKind::normal) break;
        const auto made = store.link(name_of(name), "lnk", nullptr, Origin());
        if (made) names_.push_back(made->name);
        break;
      }
      case 10:
      case 11: {
        const auto path = static_cast<std::uint8_t>(pick(2));
        const auto in_trash = store.list_trash(path, "", 1000);
        if (in_trash.empty()) break;
        const auto name = name_of(in_trash[pick(in_trash.size())].name);
        // Others may have less of an appender file.
        if (name.kind() == FileKind::appender && name.fields()->source.server_id() != at.id) break;
        const auto made = store.restore_from_trash(name);
        if (made.code() == Errc::exists) break;
        check(made);
        removed_.erase(name.canonical());
        ++restored;
        break;
      }
      default: {
        const std::string name = some_name(at.id);
        if (name.empty() || name_of(name).kind() != FileKind::normal) break;
        const auto slave = slave_name(name_of(name), "_s", "png");
        if (!slave) break;
        const auto made = store.put(name_of(*slave), content(), Origin());
        if (made) names_.push_back(made->name);
        break;
      }
    }
  }

  void disturb() {
    auto at = streams_.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(pick(streams_.size())));
    Stream& stream = *at->second;
    switch (pick(24)) {
      case 0:
        stream.disconnect();
        break;
      case 1:
        stream.deliver(false);
        break;
      case 2: // the sender restarts with a cursor of some time ago
        stream.reset();
        break;
      case 3:
        stream.lose_cursor();
        break;
      case 4: // the receiver restarts with positions of some time ago
        for (auto& [ends, other] : streams_)
          if (ends.second == at->first.second) other->disconnect();
        node(at->first.second).open_receiver();
        break;
      case 5:
        EXPECT_TRUE(node(at->first.second).receiver->save());
        break;
      case 6:
        stream.save_cursor();
        break;
      case 7:
      case 8:
      case 9:
      case 10:
      case 11:
        stream.deliver(true);
        break;
      default:
        stream.send();
        break;
    }
  }

  // kill -9 of a node, and its next start.
  void restart(std::uint32_t id) {
    for (auto& [ends, stream] : streams_)
      if (ends.first == id || ends.second == id) stream->disconnect();
    node(id).restart();
    for (auto& [ends, stream] : streams_)
      if (ends.first == id) stream->reset();
  }

  // A node comes back with empty disks. What only it had is lost with them, so everything has been
  // synced before.
  void replace_disks(std::uint32_t id) {
    heal();
    for (auto& [ends, stream] : streams_) stream->disconnect();
    node(id).lose_everything();
    // Its own log is a new one; in this test all logs have one name, so the others must forget it.
    for (auto& [ends, stream] : streams_) {
      if (ends.first != id) continue;
      EXPECT_TRUE(node(ends.second).receiver->forget_positions());
      stream->lose_cursor();
      stream->reset();
    }
  }

  void heal() {
    // A file that is resent whole may unlock what another stream waits with.
    for (int round = 0; round < 3; ++round)
      for (auto& [ends, stream] : streams_) EXPECT_TRUE(stream->drain());
  }

  // Of what files() gives: enough to see what differs.
  static std::string described(const std::string& file) {
    const std::size_t end = file.rfind('|');
    return std::to_string(end) + " bytes (" +
           std::to_string(crc32(0, wire::as_view(file.substr(0, end)))) + ") and metadata '" +
           file.substr(end + 1) + "'";
  }

  void expect_equal() {
    const auto expected = nodes_.front()->files();
    for (auto& other : nodes_) {
      const auto files = other->files();
      for (const auto& [name, content] : expected) {
        const auto found = files.find(name);
        EXPECT_TRUE(found != files.end()) << name << " is not at node " << other->id;
        if (found == files.end()) continue;
        EXPECT_TRUE(found->second == content)
            << name << " differs at node " << other->id << ": " << described(found->second)
            << " and " << described(content);
      }
      for (const auto& [name, content] : files)
        EXPECT_TRUE(expected.contains(name)) << name << " is only at node " << other->id;
      for (const std::string& name : removed_)
        EXPECT_FALSE(files.contains(name)) << name << " came back at node " << other->id;
      const auto catalogued = other->catalogued();
      EXPECT_EQ(catalogued.size(), files.size());
      for (const auto& [name, size] : catalogued) EXPECT_TRUE(files.contains(name)) << name;
    }
  }

  std::set<std::string>& removed() { return removed_; }
  int restored = 0;

private:
  void check(const Result<Change>& made) { ASSERT_TRUE(made) << made.error().text(); }

  // A file made by `owner` (0: by anybody); may be gone.
  std::string some_name(std::uint32_t owner) {
    for (int i = 0; i < 10 && !names_.empty(); ++i) {
      const std::string& name = names_[pick(names_.size())];
      const auto parsed = name_of(name);
      if (owner == 0 || parsed.fields()->source.server_id() == owner) return name;
    }
    return {};
  }

  std::mt19937_64 random_;
  const bool trash_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::unique_ptr<Stream>> streams_;
  std::vector<std::string> names_;
  std::set<std::string> removed_;
};

// A number from the environment.
inline std::uint64_t number_of(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

} // namespace cairn::storage
