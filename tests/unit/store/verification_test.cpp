// Checksums of files on a real disk: damage is found wherever it is, changes keep the checksums
// right and never vouch for damage, a good copy takes the place of a damaged one.
#include "tests/unit/store/store_fixture.h"

#include <ctime>
#include <fcntl.h>
#include <fstream>
#include <random>
#include <sys/xattr.h>
#include <unistd.h>

namespace cairn::storage {
namespace {

namespace fs = std::filesystem;

class Verification : public StoreTest {
protected:
  Verification() { open(); }

  void open() {
    StoreTest::open();
    store_->on_suspect(
        [this](const RemoteName& name, const std::string&) { suspects_.insert(name.canonical()); });
  }

  wire::Bytes content(std::size_t size) {
    wire::Bytes bytes(size);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random_());
    return bytes;
  }

  RemoteName upload(std::size_t size, bool appender = false) {
    NewFile file;
    file.appender = appender;
    file.extension = "dat";
    const wire::Bytes bytes = content(size);
    if (size <= 64 * 1024) return *parse_remote_name(store_->create(file, 0, bytes)->name);
    auto staged = *store_->stage(0);
    EXPECT_TRUE(staged.write(bytes));
    return *parse_remote_name(store_->publish(file, std::move(staged))->name);
  }

  fs::path path_of(const RemoteName& name) const { return data() / name.true_name(); }

  // As a bad disk or a careless person would.
  void flip(const RemoteName& name, std::uint64_t offset) {
    const File file(::open(path_of(name).c_str(), O_RDWR | O_CLOEXEC));
    char byte = 0;
    ASSERT_EQ(::pread(file.get(), &byte, 1, static_cast<off_t>(offset)), 1);
    byte = static_cast<char>(byte ^ 0x20);
    ASSERT_EQ(::pwrite(file.get(), &byte, 1, static_cast<off_t>(offset)), 1);
    // The change time counts ticks of the clock: a verdict from this very tick would hold.
    fs::last_write_time(path_of(name), fs::last_write_time(path_of(name)) + std::chrono::hours(1));
  }

  Status verify(const RemoteName& name) {
    CAIRN_TRY(opened, store_->open_file(name));
    return store_->verify(name, opened, 0, opened.size);
  }
  Status verify(const RemoteName& name, std::uint64_t offset, std::uint64_t length) {
    CAIRN_TRY(opened, store_->open_file(name));
    return store_->verify(name, opened, offset, length);
  }
  bool is_known_good(const RemoteName& name) {
    const auto opened = store_->open_file(name);
    return opened && store_->verdict(*opened, 0, opened->size) == Verdict::good;
  }

  std::set<std::string> suspects_;
  std::mt19937_64 random_{20261122};
};

TEST_F(Verification, WhatWasJustWrittenIsKnownToBeGood) {
  EXPECT_TRUE(is_known_good(upload(100)));
  EXPECT_TRUE(is_known_good(upload(3'000'000)));
  const RemoteName appender = upload(500, true);
  EXPECT_TRUE(is_known_good(appender));
  ASSERT_TRUE(store_->append(appender, content(700)));
  EXPECT_TRUE(is_known_good(appender)) << "a change keeps what was known";
}

TEST_F(Verification, EveryFlippedByteIsFound) {
  for (const std::size_t size : {1, 5000, 1 << 20, (1 << 20) + 1, 3'300'000}) {
    for (const bool appender : {false, true}) {
      const RemoteName name = upload(size, appender);
      ASSERT_TRUE(verify(name));
      const std::uint64_t offset = random_() % size;
      flip(name, offset);
      EXPECT_EQ(verify(name).code(), Errc::corrupt) << size << " at " << offset;
      EXPECT_TRUE(suspects_.contains(name.canonical()));
      EXPECT_EQ(verify(name).code(), Errc::corrupt) << "and it stays found";
      open(); // nothing is remembered: it is found again
      EXPECT_EQ(verify(name).code(), Errc::corrupt) << size << " at " << offset;
      const auto all = [](std::uint64_t) { return true; };
      EXPECT_EQ(store_->scrub(name, all).code(), Errc::corrupt);
    }
  }
}

TEST_F(Verification, ScrubbingFindsWhatVerdictsHide) {
  const auto all = [](std::uint64_t) { return true; };
  for (const bool appender : {false, true}) {
    const RemoteName name = upload(2'500'000, appender);
    EXPECT_TRUE(store_->scrub(name, all));
    EXPECT_TRUE(is_known_good(name) || appender);
    std::uint64_t seen = 0;
    EXPECT_TRUE(store_->scrub(name, [&](std::uint64_t bytes) {
      seen += bytes;
      return true;
    }));
    EXPECT_EQ(seen, 2'500'000U);
    EXPECT_EQ(store_->scrub(name, [](std::uint64_t) { return false; }).code(), Errc::unavailable);
  }
}

TEST_F(Verification, ARangeCostsItsBlocksOnly) {
  const RemoteName name = upload(4 << 20);
  flip(name, 3 << 20);
  open();
  EXPECT_TRUE(verify(name, 0, 2 << 20));
  const auto opened = store_->open_file(name);
  EXPECT_EQ(store_->verdict(*opened, 100, 1000), Verdict::good);
  EXPECT_EQ(store_->verdict(*opened, 2 << 20, 1000), Verdict::unknown);
  EXPECT_EQ(verify(name, (3 << 20) - 10, 20).code(), Errc::corrupt);
}

TEST_F(Verification, TruncatedAndExtendedCopiesAreFound) {
  for (const bool appender : {false, true}) {
    for (const int change : {-1, 1}) {
      const RemoteName name = upload(2'000'000, appender);
      fs::resize_file(path_of(name), static_cast<std::uintmax_t>(2'000'000 + change));
      EXPECT_EQ(verify(name).code(), Errc::corrupt) << appender << change;
      EXPECT_TRUE(suspects_.contains(name.canonical()));
    }
  }
}

TEST_F(Verification, ChecksumsOfALargeFileAreMadeAnewWhenTheyAreMissing) {
  const RemoteName name = upload(3 << 20);
  ASSERT_EQ(::removexattr(path_of(name).c_str(), "user.cairn.sums"), 0);
  open();
  EXPECT_EQ(store_->sums_of(name).code(), Errc::not_found);
  EXPECT_TRUE(verify(name, 0, 10));
  const auto sums = store_->sums_of(name);
  ASSERT_TRUE(sums);
  EXPECT_EQ(sums->crc32(), name.fields()->crc32);
  // Damaged ones are not believed: the name knows.
  ASSERT_EQ(::setxattr(path_of(name).c_str(), "user.cairn.sums", "rubbish", 7, 0), 0);
  open();
  EXPECT_TRUE(verify(name));
}

TEST_F(Verification, RandomChangesKeepTheChecksumsRight) {
  for (int round = 0; round < 20; ++round) {
    const RemoteName name = upload(random_() % 3'000'000, true);
    std::uint64_t size = fs::file_size(path_of(name));
    for (int step = 0; step < 12; ++step) {
      const std::uint64_t length = random_() % 1'500'000;
      switch (random_() % 4) {
        case 0:
          ASSERT_TRUE(store_->append(name, content(length)));
          break;
        case 1:
          ASSERT_TRUE(store_->modify(name, random_() % (size + 1), content(length)));
          break;
        case 2:
          ASSERT_TRUE(store_->truncate(name, random_() % 4'000'000));
          break;
        default: {
          Origin origin;
          origin.id = 7;
          const std::uint64_t offset = random_() % (size + 1);
          ASSERT_TRUE(store_->apply_range(name, offset, content(length),
                                          offset + length + random_() % 1000, origin));
        }
      }
      size = fs::file_size(path_of(name));
      const auto sums = store_->sums_of(name);
      ASSERT_TRUE(sums);
      ASSERT_EQ(sums->size(), size) << round << "." << step;
      ASSERT_EQ(sums->crc32(), *store_->content_crc32(name, true)) << round << "." << step;
    }
    open();
    ASSERT_TRUE(verify(name));
  }
}

TEST_F(Verification, AChangeNeverVouchesForDamage) {
  const auto damaged = [&](std::uint64_t offset) {
    RemoteName name = upload(2'500'000, true);
    flip(name, offset);
    return name;
  };
  // Into the same block, and behind its end.
  EXPECT_EQ(store_->modify(damaged(5000), 100, content(50)).code(), Errc::corrupt);
  EXPECT_EQ(store_->truncate(damaged(5000), 300'000).code(), Errc::corrupt);
  EXPECT_EQ(store_->append(damaged(2'499'999), content(10)).code(), Errc::corrupt);
  EXPECT_EQ(store_->regenerate(damaged(5000)).code(), Errc::corrupt);
  // Elsewhere it is allowed, and the damage stays found.
  const RemoteName name = damaged(5000);
  ASSERT_TRUE(store_->append(name, content(10)));
  EXPECT_EQ(verify(name).code(), Errc::corrupt);
  // To a peer's change: send the whole file.
  Origin origin;
  origin.id = 7;
  EXPECT_EQ(store_->apply_range(damaged(5000), 100, content(50), 2'500'000, origin).code(),
            Errc::not_found);
}

TEST_F(Verification, ACrashInTheMiddleOfAChangeIsNoDamage) {
  const RemoteName name = upload(2'500'000, true);
  auto sums = store_->sums_of(name);
  ASSERT_TRUE(sums);
  // As begin_change() leaves it, and some of the bytes.
  sums->pending = FileSums::Span{1'000'000, 1'200'000};
  const wire::Bytes record = sums->encode();
  ASSERT_EQ(::setxattr(path_of(name).c_str(), "user.cairn.sums", record.data(), record.size(), 0),
            0);
  flip(name, 1'100'000);
  open();
  EXPECT_TRUE(verify(name));
  const auto settled = store_->sums_of(name);
  ASSERT_TRUE(settled);
  EXPECT_FALSE(settled->pending);
  EXPECT_EQ(settled->crc32(), *store_->content_crc32(name, true));
  // But outside of it.
  flip(name, 50);
  EXPECT_EQ(verify(name).code(), Errc::corrupt);
}

TEST_F(Verification, WhatAPowerLossTookBackIsNoDamage) {
  const RemoteName name = upload(2'500'000, true);
  ASSERT_TRUE(store_->append(name, content(700'000)));
  ASSERT_TRUE(binlog_->commit_blocking(binlog_->end_seq()));
  // The checksums reached the disk, the bytes did not.
  fs::resize_file(path_of(name), 2'600'000);
  open();
  EXPECT_EQ(verify(name).code(), Errc::corrupt) << "after a clean stop";
  open();
  ASSERT_TRUE(store_->recover_after_crash());
  EXPECT_TRUE(verify(name));
  EXPECT_EQ(store_->sums_of(name)->size(), 2'600'000U);
  EXPECT_EQ(store_->sums_of(name)->crc32(), *store_->content_crc32(name, true));
  // Not bytes that were not changed lately.
  const RemoteName other = upload(2'500'000, true);
  auto sums = *store_->sums_of(other);
  sums.recent = {2'400'000, 2'500'000};
  sums.recent_time = static_cast<std::uint64_t>(std::time(nullptr));
  const wire::Bytes record = sums.encode();
  ASSERT_EQ(::setxattr(path_of(other).c_str(), "user.cairn.sums", record.data(), record.size(), 0),
            0);
  flip(other, 5);
  open();
  ASSERT_TRUE(store_->recover_after_crash());
  EXPECT_EQ(verify(other).code(), Errc::corrupt);
}

TEST_F(Verification, AGoodCopyTakesThePlaceOfADamagedOne) {
  const RemoteName name = upload(2'000'000);
  std::ifstream in(path_of(name), std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(in)), {});
  flip(name, 77);
  const auto seen = store_->copy_of(name);
  ASSERT_EQ(verify(name).code(), Errc::corrupt);
  const auto staged = [&] {
    auto file = *store_->stage(0);
    EXPECT_TRUE(file.write(wire::as_view(good)));
    return file;
  };
  Origin origin;
  origin.id = 7;
  origin.mtime = 12345;
  // Not in the place of another one than was looked at.
  CopyStamp other = *seen;
  other.change_ns += 1;
  auto refused = store_->replace_copy(name, staged(), other, origin);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->seq, 0U);
  ASSERT_EQ(verify(name).code(), Errc::corrupt);

  const auto done = store_->replace_copy(name, staged(), seen, origin);
  ASSERT_TRUE(done);
  EXPECT_NE(done->seq, 0U);
  EXPECT_TRUE(verify(name));
  EXPECT_TRUE(is_known_good(name));
  const fs::path quarantine = config_.store_paths[0].path / "data" / ".quarantine";
  EXPECT_EQ(std::distance(fs::directory_iterator(quarantine), fs::directory_iterator()), 1);
  EXPECT_EQ(store_->prune_quarantine(0), 1U);
  EXPECT_EQ(store_->prune_quarantine(0xFFFF'FFFF), 0U);

  // A missing one.
  fs::remove(path_of(name));
  const auto again = store_->replace_copy(name, staged(), std::nullopt, origin);
  ASSERT_TRUE(again);
  EXPECT_NE(again->seq, 0U);
  EXPECT_TRUE(verify(name));
  // Never a deleted one.
  ASSERT_TRUE(store_->remove(name, Origin()));
  EXPECT_EQ(store_->replace_copy(name, staged(), std::nullopt, origin).code(), Errc::exists);
}

TEST_F(Verification, DamagedMetadataAreFound) {
  const RemoteName name = upload(100);
  ASSERT_TRUE(store_->set_metadata(name,
                                   "width\x02"
                                   "100\x01height\x02"
                                   "50",
                                   false, Origin()));
  ASSERT_TRUE(store_->get_metadata(name));
  const std::uint64_t stamp = store_->metadata_stamp(name);
  const fs::path side = path_of(name).string() + "-m";
  std::fstream file(side, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(9);
  file.put('7');
  file.close();
  EXPECT_EQ(store_->get_metadata(name).code(), Errc::corrupt);
  EXPECT_TRUE(suspects_.contains(name.canonical()));
  EXPECT_EQ(store_->metadata_stamp(name), stamp) << "the stamp is still known";
  // The same change from a peer makes it right.
  Origin origin;
  origin.id = 7;
  origin.stamp = stamp;
  ASSERT_TRUE(store_->set_metadata(name,
                                   "width\x02"
                                   "100\x01height\x02"
                                   "50",
                                   false, origin));
  EXPECT_TRUE(store_->get_metadata(name));
}

} // namespace
} // namespace cairn::storage
