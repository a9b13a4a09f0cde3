// Questions that are answered without waiting for the disk: what is in memory counts, what is not
// is asked again where waiting is allowed.
#include "tracker/log/resident.h"

#include "common/net/disk_pool.h"
#include "common/wire/mutation.h"
#include "tests/unit/config/temporary_directory.h"
#include "tracker/handlers/meta_views.h"
#include "tracker/handlers/namespace_writer.h"
#include "tracker/log/embedded_log.h"

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <linux/magic.h>
#include <random>
#include <sys/vfs.h>
#include <unistd.h>

namespace cairn::tracker {
namespace {

namespace fs = std::filesystem;

constexpr int kRows = 3000;

std::string key_of(int number) {
  std::string key = "C000000";
  for (std::size_t at = key.size(); number != 0; number /= 10)
    key[--at] = static_cast<char>('0' + number % 10);
  return key;
}

// A store of one table of about 3 MiB, of which little is in memory where the disk allows that.
class Resident : public testing::Test {
protected:
  void SetUp() override {
    std::mt19937 random(5);
    {
      auto store = *MetaStore::open(where());
      wire::MutationBatch batch;
      for (int i = 0; i < kRows; ++i) {
        std::string value(1000, ' ');
        for (char& letter : value) letter = static_cast<char>(random());
        values.push_back(value);
        batch.mutations.push_back(wire::Mutation::put(key_of(i), value));
      }
      LogEntry entry;
      entry.position = LogPos{1, 1};
      entry.batch = wire::encode(batch);
      ASSERT_TRUE(store->apply({&entry, 1}, true));
    }
    ASSERT_TRUE(MetaStore::open(where())); // makes a table of its log
    for (const auto& file : fs::directory_iterator(where())) {
      const int fd = ::open(file.path().c_str(), O_RDONLY | O_CLOEXEC);
      ::fsync(fd);
      ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
      ::close(fd);
    }
  }
  fs::path where() const { return directory.path() / "meta"; }

  TemporaryDirectory directory;
  std::vector<std::string> values;
};

TEST_F(Resident, WhatIsNotInMemoryIsMissedAndNeverWrong) {
  auto store = *MetaStore::open(where());
  for (int i = 0; i < kRows; i += 100) {
    for (const bool again : {false, true}) {
      {
        const ResidentOnly only;
        const auto value = store->get(key_of(i));
        if (again) {
          EXPECT_FALSE(only.missed()) << key_of(i);
        }
        if (only.missed()) {
          EXPECT_FALSE(value);
        } else {
          ASSERT_TRUE(value) << value.error().text();
          EXPECT_EQ(*value, values[static_cast<std::size_t>(i)]);
        }
      }
      // As a thread that may wait.
      const auto value = store->get(key_of(i));
      ASSERT_TRUE(value) << value.error().text();
      EXPECT_EQ(*value, values[static_cast<std::size_t>(i)]);
    }
  }
  // An answer that nothing is there is none where something could not be read.
  const ResidentOnly only;
  const auto nothing = store->get("Z");
  EXPECT_TRUE(only.missed() || nothing.code() == Errc::not_found);
}

TEST(ResidentFile, IsReadAsFarAsItIsInMemory) {
  const TemporaryDirectory directory;
  const std::string name = directory.write("table", std::string(1 << 20, 'x'));
  const int fd = ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
  ::fsync(fd);
  ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  ::close(fd);
  struct statfs system {};
  ASSERT_EQ(::statfs(name.c_str(), &system), 0);

  leveldb::RandomAccessFile* opened = nullptr;
  {
    const ResidentOnly only;
    EXPECT_FALSE(open_table(name, &opened).ok());
    EXPECT_TRUE(only.missed());
  }
  ASSERT_TRUE(open_table(name, &opened).ok());
  const std::unique_ptr<leveldb::RandomAccessFile> file(opened);
  std::string scratch(8192, ' ');
  leveldb::Slice result;
  const auto read = [&](std::uint64_t offset) {
    const bool good = file->Read(offset, 5000, &result, scratch.data()).ok();
    if (good) {
      EXPECT_EQ(result.ToString(), std::string(5000, 'x'));
    }
    return good;
  };
  {
    const ResidentOnly only;
    EXPECT_FALSE(only.missed());
    EXPECT_FALSE(read(500'000));
    EXPECT_TRUE(only.missed());
  }
  EXPECT_TRUE(read(500'000)); // who may wait
  const ResidentOnly only;
  // A tmpfs cannot tell: there all of it is for who may wait.
  EXPECT_EQ(read(500'000), system.f_type != TMPFS_MAGIC);
  EXPECT_EQ(only.missed(), system.f_type == TMPFS_MAGIC);
}

// Views that always lack something, or what the store says.
class Views final : public StoreViews {
public:
  Views(const MetaStore& store, bool lacks) : views_(store), lacks_(lacks) {}
  std::unique_ptr<KeyValueView> view() const override { return views_.view(); }
  bool look_without_disk(const std::function<void()>& look) const override {
    return views_.look_without_disk(look) && !lacks_;
  }

private:
  MetaViews views_;
  const bool lacks_;
};

TEST_F(Resident, AQuestionThatComesAloneIsAnsweredAtOnce) {
  auto store = *MetaStore::open(where());
  for (const bool lacks : {false, true}) {
    asio::io_context context;
    DiskPool disk("test", 1);
    EmbeddedLog log(disk);
    const Views views(*store, lacks);
    OpenTable opens;
    const auto clock = [] { return wire::NsTime{1000, 0}; };
    const auto committed = [](const std::vector<Published>&, const std::vector<std::uint64_t>&) {};
    NamespaceWriter writer(log, views, &disk, opens, NamespacePolicy(), clock, committed);
    std::vector<std::uint8_t> statuses;
    const auto ask = [](NamespaceWriter& of, EmbeddedLog& over, MetaStore& at,
                        std::vector<std::uint8_t>& out) -> Task<void> {
      const Status started = co_await over.start(at);
      EXPECT_TRUE(started);
      std::function<Result<std::uint64_t>(Evaluation&)> nothing =
          [](Evaluation&) -> Result<std::uint64_t> { return std::uint64_t{0}; };
      const auto formatted = co_await of.internal(std::move(nothing)); // makes the root
      EXPECT_TRUE(formatted);
      for (const std::uint64_t inode : {wire::kNsRootInode, std::uint64_t{77}}) {
        wire::NsInode question;
        question.inode = inode;
        wire::Bytes message = wire::encode(question);
        const Outcome outcome = co_await of.ask(wire::NsOp::getattr, Caller(), std::move(message));
        out.push_back(outcome.status);
      }
    };
    spawn(context.get_executor(), ask(writer, log, *store, statuses), "ask");
    context.run();
    EXPECT_EQ(statuses, (std::vector<std::uint8_t>{0, ESTALE}));
    EXPECT_EQ(writer.counters().questions, 2U);
    if (lacks)
      EXPECT_EQ(writer.counters().at_once, 0U);
    else
      EXPECT_GE(writer.counters().at_once, 1U); // the second may come too soon
  }
}

} // namespace
} // namespace cairn::tracker
