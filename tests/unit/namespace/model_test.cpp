// Random operations by several clients on three replicas with faults, every answer compared with
// the reference tree of model.h. Changes are numbered by the namespace itself: replayed in that
// order, each must have had the outcome it had, questions and refusals that of the state they name,
// and no answer may be older than what its client (or anybody) had been told before it asked.
//
// CAIRN_SEEDS=N runs N seeds instead of what fits into some seconds, CAIRN_SEED=S only that one.
#include "tests/unit/namespace/model.h"

#include "common/base/file_id.h"
#include "tests/unit/namespace/memory_store.h"
#include "tracker/log/sim_log.h"
#include "tracker/namespace/check.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <iostream>

namespace cairn::tracker {

namespace {

using model::Operation;
using wire::NsOp;

constexpr std::size_t kReplicas = 3;
constexpr int kClients = 4;
constexpr int kOperations = 40; // of each client
constexpr std::uint64_t kStoredSize = 4096;

// One operation as it went.
struct Record {
  Operation operation;
  bool rmdir = false;
  bool changes = false;
  std::uint64_t floor = 0; // the highest position anybody had been told when it began
  Outcome outcome;
};

struct Replica {
  explicit Replica(SimCluster& cluster, std::uint64_t& clock)
      : log(cluster),
        writer(
            log, store, nullptr, opens, NamespacePolicy(),
            [&clock] {
              return wire::NsTime{static_cast<std::int64_t>(1000 + clock++ / 7), 0};
            },
            [](const std::vector<Published>&, const std::vector<std::uint64_t>&) {}) {}
  MemoryStore store;
  SimLog log;
  OpenTable opens;
  NamespaceWriter writer;
};

std::string stored_id(std::uint64_t number) {
  FileIdFields fields;
  fields.source = SourceRef::from_server_id(1);
  fields.timestamp = static_cast<std::uint32_t>(number);
  fields.size_field = make_size_field(kStoredSize, FileKind::normal, number);
  fields.crc32 = static_cast<std::uint32_t>(number * 7919);
  return "group1/" + make_remote_name(0, 1, 2, fields, extension_block("jpg", number));
}

class Storm {
public:
  explicit Storm(std::uint64_t seed) : cluster_(seed, faults()), random_(seed * 31 + 7) {
    for (std::size_t i = 0; i < kReplicas; ++i) {
      replicas_.push_back(std::make_unique<Replica>(cluster_, clock_));
      cluster_.add(replicas_.back()->log);
    }
  }

  void run() {
    spawn(io_.get_executor(), prepare(), "prepare");
    io_.run();
    ASSERT_NE(root_, 0U);
    for (int i = 0; i < kClients; ++i) spawn(io_.get_executor(), client(), "client");
    spawn(io_.get_executor(), disturb(), "disturb");
    io_.restart();
    io_.run();
    ASSERT_EQ(done_, kClients);
    verify();
  }

  std::uint64_t retries = 0;
  std::uint64_t inodes_max = 0;
  std::uint64_t bytes_max = 0;
  std::uint64_t refused_quota = 0;

private:
  static SimCluster::Faults faults() {
    SimCluster::Faults faults;
    faults.lost = 30;
    faults.answer = 40;
    faults.takeover = 40;
    return faults;
  }

  std::uint64_t pick(std::uint64_t below) { return random_() % below; }
  Replica& leader() {
    for (auto& replica : replicas_) {
      if (cluster_.leader() == &replica->log) return *replica;
    }
    return *replicas_[0];
  }
  static Task<void> yield() {
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
  }

  Task<void> prepare() {
    for (auto& replica : replicas_) {
      const Status started = co_await replica->log.start(replica->store);
      EXPECT_TRUE(started);
    }
    cluster_.set_faults(SimCluster::Faults());
    cluster_.take_over(0);
    const std::uint64_t session = co_await begin_session();
    wire::NsExportChange add;
    add.values.name = "images";
    inodes_max = add.values.quota_inodes = pick(2) == 0 ? 0 : 8 + pick(20);
    bytes_max = add.values.quota_bytes = pick(2) == 0 ? 0 : 100 + pick(600);
    Change change;
    change.op = NsOp::export_add;
    change.caller.session = session;
    change.caller.admin = true;
    change.sequence = 1;
    change.request = wire::encode(add);
    const Outcome outcome = co_await leader().writer.change(std::move(change));
    EXPECT_EQ(outcome.status, 0);
    const auto reply = wire::decode_lenient<wire::NsExportReply>(outcome.body);
    root_ = reply->made.root;
    known_.push_back(root_);
    told_ = outcome.position;
    cluster_.set_faults(faults());
  }

  Task<std::uint64_t> begin_session() {
    for (;;) {
      std::function<Result<std::uint64_t>(Evaluation&)> work = [](Evaluation& evaluation) {
        return evaluation.begin_session(SessionRow());
      };
      auto session = co_await leader().writer.internal(std::move(work));
      if (session) co_return *session;
      co_await yield();
    }
  }

  // Crashes and slow followers.
  Task<void> disturb() {
    while (done_ < kClients) {
      for (std::uint64_t i = 0; i < 5 + pick(20); ++i) co_await yield();
      Replica& victim = *replicas_[pick(kReplicas)];
      switch (pick(4)) {
        case 0:
          if (cluster_.leader() == &victim.log) break; // its memory is not taken away in a batch
          victim.store.crash();
          break;
        case 1:
          victim.store.sync();
          break;
        case 2:
          cluster_.take_over(pick(kReplicas));
          break;
        default:
          cluster_.catch_up_some();
      }
    }
  }

  std::string name() { return std::string(1, static_cast<char>('a' + pick(4))); }
  std::uint64_t inode() {
    // Now and then one that nobody has.
    return pick(40) == 0 ? 999'999 : known_[pick(known_.size())];
  }
  std::uint64_t directory() { return pick(3) == 0 ? root_ : inode(); }
  wire::NsExtent extent(std::uint64_t offset) {
    wire::NsExtent out;
    out.offset = offset;
    out.length = 1 + pick(40);
    const std::uint64_t number = ++stored_;
    out.id = stored_id(number);
    numbers_[out.id] = number;
    out.source = pick(100);
    return out;
  }

  std::pair<NsOp, Operation> random_operation() {
    switch (pick(23)) {
      case 0:
      case 1:
      case 2: {
        wire::NsCreate r;
        r.parent = directory();
        r.name = name();
        r.existing = static_cast<wire::NsExisting>(pick(3));
        if (r.existing != wire::NsExisting::keep && pick(3) != 0) {
          r.extents.push_back(extent(pick(20)));
          if (pick(3) == 0) r.extents.push_back(extent(r.extents[0].offset + 40 + pick(10)));
          if (pick(4) == 0) r.size = 300;
        }
        return {NsOp::create, r};
      }
      case 3:
      case 4: {
        wire::NsMkdir r;
        r.parent = directory();
        r.name = name();
        return {NsOp::mkdir, r};
      }
      case 5: {
        wire::NsSymlink r;
        r.parent = directory();
        r.name = name();
        r.target = "x/" + name();
        return {NsOp::symlink, r};
      }
      case 6: {
        wire::NsLink r;
        r.inode = inode();
        r.parent = directory();
        r.name = name();
        return {NsOp::link, r};
      }
      case 7:
      case 8: {
        wire::NsRemove r;
        r.parent = directory();
        r.name = name();
        return {pick(3) == 0 ? NsOp::rmdir : NsOp::unlink, r};
      }
      case 9:
      case 10:
      case 11: {
        wire::NsRename r;
        r.parent = directory();
        r.name = name();
        r.new_parent = directory();
        r.new_name = name();
        r.flags = static_cast<std::uint32_t>(pick(3));
        return {NsOp::rename, r};
      }
      case 12: {
        wire::NsSetattr r;
        r.inode = inode();
        r.set = pick(2) == 0 ? wire::kNsSetSize : wire::kNsSetMode;
        r.size = pick(150);
        r.mode = static_cast<std::uint16_t>(pick(01000));
        return {NsOp::setattr, r};
      }
      case 13:
      case 14:
      case 15: {
        wire::NsCommit r;
        r.inode = inode();
        r.append = pick(3) == 0;
        r.extents.push_back(extent(r.append ? 0 : pick(150)));
        if (pick(3) == 0) {
          wire::NsExtent more = r.extents[0]; // two runs of one stored file
          more.offset += more.length + pick(10);
          more.source += more.length;
          r.extents.push_back(more);
        }
        return {NsOp::commit, r};
      }
      case 16: {
        wire::NsFallocate r;
        r.inode = inode();
        r.mode = static_cast<wire::NsFallocateMode>(pick(5));
        r.offset = pick(120);
        r.length = 1 + pick(60);
        return {NsOp::fallocate, r};
      }
      case 17: {
        wire::NsCopyRange r;
        r.from = inode();
        r.to = inode();
        r.from_offset = pick(100);
        r.to_offset = pick(150);
        r.length = 1 + pick(80);
        return {NsOp::copy_range, r};
      }
      case 18: {
        wire::NsSetXattr r;
        r.inode = inode();
        r.name = "user." + name();
        r.value = wire::to_bytes(name());
        r.mode = static_cast<wire::NsXattrMode>(pick(3));
        return {NsOp::setxattr, r};
      }
      case 19: {
        wire::NsRemoveXattr r;
        r.inode = inode();
        r.name = "user." + name();
        return {NsOp::removexattr, r};
      }
      case 20: {
        wire::NsCreateCopy r;
        r.create.parent = directory();
        r.create.name = name();
        r.create.existing = static_cast<wire::NsExisting>(pick(3));
        r.from = inode();
        return {NsOp::create_copy, r};
      }
      case 21: {
        wire::NsLookup r;
        r.parent = directory();
        r.name = name();
        return {NsOp::lookup, r};
      }
      default: {
        wire::NsReaddir r;
        r.inode = directory();
        return {NsOp::readdir, r};
      }
    }
  }

  Task<void> client() {
    const std::uint64_t session = co_await begin_session();
    std::uint64_t sequence = 0;
    for (int i = 0; i < kOperations; ++i) {
      auto chosen = random_operation();
      const NsOp op = chosen.first;
      Record record;
      record.operation = std::move(chosen.second);
      record.rmdir = op == NsOp::rmdir;
      record.changes = wire::is_change(op);
      record.floor = told_;
      const wire::Bytes request =
          std::visit([](const auto& r) { return wire::encode(r); }, record.operation);
      Change change;
      change.op = op;
      change.caller.session = session;
      change.sequence = record.changes ? ++sequence : 0;
      change.request = request;
      for (;;) {
        Replica& at = leader();
        if (record.changes) {
          Change again = change;
          record.outcome = co_await at.writer.change(std::move(again));
        } else {
          Caller caller = change.caller;
          wire::Bytes bytes = request;
          record.outcome = co_await at.writer.ask(op, std::move(caller), std::move(bytes));
        }
        if (record.outcome.status != EAGAIN) break;
        ++retries;
        co_await yield();
      }
      EXPECT_GE(record.outcome.position, record.floor) << "an answer from the past";
      told_ = std::max(told_, record.outcome.position);
      if (record.changes && record.outcome.status == 0 && pick(4) == 0) {
        // The answer was lost on its way: the same again must answer the same.
        for (;;) {
          Change again = change;
          const Outcome repeated = co_await leader().writer.change(std::move(again));
          if (repeated.status == EAGAIN) {
            co_await yield();
            continue;
          }
          EXPECT_EQ(repeated.status, 0);
          EXPECT_EQ(repeated.position, record.outcome.position);
          EXPECT_EQ(repeated.body, record.outcome.body);
          break;
        }
      }
      const std::uint64_t made = made_by(record);
      if (made != 0) known_.push_back(made);
      records_.push_back(std::move(record));
      if (pick(3) == 0) co_await yield();
    }
    ++done_;
  }

  static std::uint64_t made_by(const Record& record) {
    if (record.outcome.status != 0) return 0;
    const bool makes = std::holds_alternative<wire::NsCreate>(record.operation) ||
                       std::holds_alternative<wire::NsCreateCopy>(record.operation) ||
                       std::holds_alternative<wire::NsMkdir>(record.operation) ||
                       std::holds_alternative<wire::NsSymlink>(record.operation);
    if (!makes) return 0;
    return wire::decode_lenient<wire::NsNodeReply>(record.outcome.body)->attributes.inode;
  }

  void verify() {
    cluster_.set_faults(SimCluster::Faults());
    const Status level = cluster_.catch_up();
    ASSERT_TRUE(level) << level.error().text();
    for (auto& replica : replicas_) {
      ASSERT_EQ(replica->store.rows(), replicas_[0]->store.rows());
      const auto report = check_tables(replica->store);
      ASSERT_TRUE(report) << report.error().text();
      ASSERT_TRUE(report->faults.empty()) << report->faults[0];
    }
    std::ranges::stable_sort(records_, [](const Record& a, const Record& b) {
      // At one position the change comes first: the others saw the state after it.
      const bool a_made = a.changes && a.outcome.status == 0;
      const bool b_made = b.changes && b.outcome.status == 0;
      return std::tuple(a.outcome.position, !a_made) < std::tuple(b.outcome.position, !b_made);
    });
    model::Tree tree(root_, inodes_max, bytes_max);
    std::uint64_t last = 0;
    for (const Record& record : records_) {
      const bool made = record.changes && record.outcome.status == 0;
      if (made) {
        ASSERT_GT(record.outcome.position, last) << "two changes at one position";
        last = record.outcome.position;
        ASSERT_GT(last, record.floor) << "a change before it was asked for";
      }
      const int expected = tree.apply(record.operation, record.rmdir, made_by(record), numbers_);
      ASSERT_EQ(static_cast<int>(record.outcome.status), expected)
          << "operation " << record.operation.index() << " at " << record.outcome.position << ": "
          << wire::as_text(record.outcome.body).substr(0, record.outcome.status == 0 ? 0 : 80);
      if (expected == EDQUOT) ++refused_quota;
      if (const auto* r = std::get_if<wire::NsReaddir>(&record.operation); r && expected == 0)
        compare_listing(record, *tree.find(r->inode));
      if (made) compare_directories(record, tree);
    }
    compare(tree);
  }

  // How a change of names says it has left directories is how they are then.
  static void compare_directories(const Record& record, const model::Tree& tree) {
    std::vector<wire::NsAttributes> told;
    std::set<std::uint64_t> expected;
    const auto named = [&](std::uint64_t parent) {
      auto reply = wire::decode_lenient<wire::NsNodeReply>(record.outcome.body);
      ASSERT_TRUE(reply);
      told = std::move(reply->directories);
      const bool kept =
          !reply->created && (std::holds_alternative<wire::NsCreate>(record.operation) ||
                              std::holds_alternative<wire::NsCreateCopy>(record.operation));
      if (!kept) expected.insert(parent);
    };
    if (const auto* const create = std::get_if<wire::NsCreate>(&record.operation)) {
      named(create->parent);
    } else if (const auto* const copy = std::get_if<wire::NsCreateCopy>(&record.operation)) {
      named(copy->create.parent);
    } else if (const auto* const mkdir = std::get_if<wire::NsMkdir>(&record.operation)) {
      named(mkdir->parent);
    } else if (const auto* const symlink = std::get_if<wire::NsSymlink>(&record.operation)) {
      named(symlink->parent);
    } else if (const auto* const link = std::get_if<wire::NsLink>(&record.operation)) {
      named(link->parent);
    } else if (const auto* const remove = std::get_if<wire::NsRemove>(&record.operation)) {
      told = wire::decode_lenient<wire::NsRemoveReply>(record.outcome.body)->directories;
      expected.insert(remove->parent);
    } else if (const auto* const rename = std::get_if<wire::NsRename>(&record.operation)) {
      told = wire::decode_lenient<wire::NsRenameReply>(record.outcome.body)->directories;
      // Two names of one file: nothing has changed.
      if (!told.empty()) expected = {rename->parent, rename->new_parent};
    }
    std::set<std::uint64_t> seen;
    for (const wire::NsAttributes& directory : told) {
      seen.insert(directory.inode);
      const model::Node* const node = tree.find(directory.inode);
      ASSERT_NE(node, nullptr);
      ASSERT_EQ(directory.type, wire::NsType::directory);
      ASSERT_EQ(directory.nlink, node->nlink);
      ASSERT_EQ(directory.mode, node->mode);
      ASSERT_EQ(directory.version, record.outcome.position);
    }
    ASSERT_EQ(seen, expected);
    ASSERT_EQ(told.size(), expected.size());
  }

  static void compare_listing(const Record& record, const model::Node& directory) {
    const auto reply = wire::decode_lenient<wire::NsReaddirReply>(record.outcome.body);
    ASSERT_TRUE(reply);
    std::map<std::string, std::uint64_t> seen;
    for (const auto& entry : reply->entries) seen[entry.name] = entry.inode;
    ASSERT_EQ(seen, directory.entries);
    ASSERT_EQ(reply->entries.size(), directory.entries.size());
  }

  // Everything there is now, node by node.
  void compare(const model::Tree& tree) {
    const KeyValueView& view = replicas_[0]->store;
    for (const auto& [inode, node] : tree.nodes()) {
      Evaluation evaluation(view, Caller(), wire::NsTime());
      wire::NsInode which;
      which.inode = inode;
      const auto bytes = evaluation.run(NsOp::getattr, wire::encode(which));
      ASSERT_TRUE(bytes) << inode;
      const auto reply = wire::decode_lenient<wire::NsNodeReply>(*bytes);
      ASSERT_EQ(reply->attributes.type, node.type);
      ASSERT_EQ(reply->attributes.nlink, node.nlink);
      ASSERT_EQ(reply->attributes.mode, node.mode);
      ASSERT_EQ(reply->target, node.target);
      if (node.type != wire::NsType::regular) continue;
      ASSERT_EQ(reply->attributes.size, node.size);
      wire::NsGetExtents all;
      all.inode = inode;
      const auto extents = evaluation.run(NsOp::extents, wire::encode(all));
      ASSERT_TRUE(extents);
      std::map<std::uint64_t, std::uint8_t> content;
      const auto layout = wire::decode_lenient<wire::NsExtentsReply>(*extents);
      for (const auto& run : layout->extents) {
        for (std::uint64_t i = 0; i < run.length; ++i)
          content[run.offset + i] = model::stored_byte(numbers_.at(run.id), run.source + i);
      }
      ASSERT_EQ(content, node.bytes) << inode;
    }
    const auto state = check_tables(view);
    ASSERT_EQ(state->inodes, tree.nodes().size() + 1);
  }

  asio::io_context io_;
  SimCluster cluster_;
  std::mt19937_64 random_;
  std::uint64_t clock_ = 0;
  std::vector<std::unique_ptr<Replica>> replicas_;
  std::uint64_t root_ = 0;
  std::vector<std::uint64_t> known_;
  std::uint64_t told_ = 0;
  std::uint64_t stored_ = 0;
  std::map<std::string, std::uint64_t> numbers_; // of stored files
  std::vector<Record> records_;
  int done_ = 0;
};

std::uint64_t number_of(const char* variable) {
  const char* text = std::getenv(variable);
  return text == nullptr ? 0 : std::strtoull(text, nullptr, 10);
}

TEST(NamespaceModel, EveryAnswerIsThatOfTheTree) {
  const std::uint64_t only = number_of("CAIRN_SEED");
  const std::uint64_t seeds = number_of("CAIRN_SEEDS");
  // With --full as long as a unit test may take; CAIRN_SEEDS has no limit.
  const bool full = std::getenv("CAIRN_TEST_FULL") != nullptr;
  const std::uint64_t seeds_max = full ? 100'000 : 3000;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(full ? 100 : 20);
  std::uint64_t retries = 0;
  std::uint64_t quota = 0;
  std::uint64_t seed = only != 0 ? only : 1;
  for (;; ++seed) {
    Storm storm(seed);
    storm.run();
    retries += storm.retries;
    quota += storm.refused_quota;
    if (HasFatalFailure() || HasNonfatalFailure()) {
      std::cout << "failed with CAIRN_SEED=" << seed << '\n';
      return;
    }
    if (only != 0) break;
    if (seeds != 0 ? seed >= seeds : seed >= seeds_max || std::chrono::steady_clock::now() > end)
      break;
  }
  std::cout << "seeds 1 to " << seed << ", " << retries << " retries, " << quota
            << " refused by quota\n";
  if (only == 0) {
    EXPECT_GT(retries, seed) << "the faults must bite";
    EXPECT_GT(quota, 0U);
  }
}

} // namespace
} // namespace cairn::tracker
