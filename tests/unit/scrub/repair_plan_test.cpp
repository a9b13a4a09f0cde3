// What is done about a copy, given what the members say of theirs.
#include "storage/scrub/repair_plan.h"

#include "storage/scrub/comparer.h"

#include <gtest/gtest.h>

namespace cairn::storage {
namespace {

using Action = RepairPlan::Action;

constexpr std::uint32_t kSelf = 1;

wire::CopyFacts copy(std::uint32_t crc = 5) {
  wire::CopyFacts facts;
  facts.presence = wire::Presence::present;
  facts.crc_known = true;
  facts.size = 10;
  facts.crc32 = crc;
  facts.stamp = 1000;
  facts.is_listed = true;
  return facts;
}
wire::CopyFacts damaged(std::uint32_t crc = 5) {
  auto facts = copy(crc);
  facts.damaged = true;
  return facts;
}
wire::CopyFacts absent() {
  return wire::CopyFacts();
}
wire::CopyFacts deleted(std::uint64_t stamp) {
  wire::CopyFacts facts;
  facts.presence = wire::Presence::deleted;
  facts.deleted_stamp = stamp;
  facts.deleted_by = 9;
  return facts;
}
PeerCopy peer(std::uint32_t id, const wire::CopyFacts& facts) {
  return PeerCopy{id, true, facts};
}
PeerCopy silent(std::uint32_t id) {
  return PeerCopy{id, false, {}};
}

RepairPlan plan(FileKind kind, const wire::CopyFacts& own, std::uint32_t owner,
                const std::vector<PeerCopy>& peers) {
  return plan_content(kind, own, kSelf, owner, peers);
}

TEST(RepairPlan, AGoodCopyStays) {
  EXPECT_EQ(plan(FileKind::normal, copy(), 2, {peer(2, copy()), silent(3)}).action, Action::none);
  EXPECT_EQ(plan(FileKind::normal, copy(), kSelf, {peer(2, damaged()), peer(3, absent())}).action,
            Action::none);
}

TEST(RepairPlan, ADamagedOrMissingCopyIsFetchedFromOneThatIsWhole) {
  const auto from_third =
      plan(FileKind::normal, damaged(), kSelf, {peer(2, damaged()), peer(3, copy()), silent(4)});
  EXPECT_EQ(from_third.action, Action::fetch);
  EXPECT_EQ(from_third.from, 1U);
  auto lost = absent();
  lost.is_listed = true;
  EXPECT_EQ(plan(FileKind::slave, lost, 3, {peer(2, damaged()), peer(3, copy())}).from, 1U);
}

TEST(RepairPlan, TheLastCopyIsNeverReplaced) {
  EXPECT_EQ(plan(FileKind::normal, damaged(), kSelf, {peer(2, damaged())}).action, Action::lost);
  EXPECT_EQ(plan(FileKind::normal, damaged(), kSelf, {}).action, Action::lost);
  EXPECT_EQ(plan(FileKind::normal, damaged(), kSelf, {peer(2, absent()), silent(3)}).action,
            Action::wait);
  // An appender's owner is ahead of its peers: they lack what it acknowledged.
  EXPECT_EQ(plan(FileKind::appender, damaged(8), kSelf, {peer(2, copy(5))}).action, Action::lost);
  EXPECT_EQ(plan(FileKind::appender, damaged(5), kSelf, {peer(2, copy(5))}).action, Action::fetch);
}

TEST(RepairPlan, OthersFollowTheOwnerOfAFileThatChanges) {
  const auto behind = plan(FileKind::appender, copy(5), 3, {peer(2, copy(5)), peer(3, copy(8))});
  EXPECT_EQ(behind.action, Action::fetch);
  EXPECT_EQ(behind.from, 1U);
  EXPECT_EQ(plan(FileKind::appender, copy(8), kSelf, {peer(2, copy(5))}).action, Action::none);
  EXPECT_EQ(plan(FileKind::appender, copy(8), 3, {peer(2, copy(5)), silent(3)}).action,
            Action::none);
  EXPECT_EQ(plan(FileKind::appender, damaged(5), 3, {peer(2, absent()), peer(3, copy(8))}).from,
            1U);
}

TEST(RepairPlan, DeleteWins) {
  const auto gone = plan(FileKind::normal, copy(), 2, {peer(2, deleted(1)), peer(3, copy())});
  EXPECT_EQ(gone.action, Action::remove);
  EXPECT_EQ(gone.deleted_by, 9U);
  EXPECT_EQ(plan(FileKind::normal, absent(), 2, {peer(2, deleted(1)), peer(3, copy())}).action,
            Action::remove)
      << "the tombstone must come here, so that the file does not";
  EXPECT_EQ(plan(FileKind::normal, deleted(1), 2, {peer(3, copy())}).action, Action::none);
  EXPECT_EQ(plan(FileKind::normal, damaged(), 2, {peer(2, deleted(1)), silent(3)}).action,
            Action::remove);
  // The name of a slave file may have been used again.
  EXPECT_EQ(plan(FileKind::slave, copy(), 2, {peer(2, deleted(999))}).action, Action::none);
  EXPECT_EQ(plan(FileKind::slave, copy(), 2, {peer(2, deleted(1001))}).action, Action::remove);
}

TEST(RepairPlan, ARestoreOutlivesTheDeleteBeforeIt) {
  const auto restored = [](std::uint64_t stamp) {
    auto facts = copy();
    facts.reused_stamp = stamp;
    return facts;
  };
  EXPECT_EQ(plan(FileKind::normal, restored(200), 2, {peer(2, deleted(100))}).action, Action::none);
  EXPECT_EQ(plan(FileKind::normal, deleted(100), 2, {peer(2, restored(200))}).action,
            Action::fetch);
  // Deleted after it, or deleted and never restored.
  EXPECT_EQ(plan(FileKind::normal, restored(200), 2, {peer(2, deleted(300))}).action,
            Action::remove);
  EXPECT_EQ(plan(FileKind::normal, copy(), 2, {peer(2, deleted(100))}).action, Action::remove);
}

TEST(RepairPlan, NobodyHasIt) {
  EXPECT_EQ(plan(FileKind::normal, absent(), 2, {peer(2, absent())}).action, Action::none);
  EXPECT_EQ(plan(FileKind::normal, absent(), 2, {silent(2)}).action, Action::wait);
}

TEST(RepairPlan, Metadata) {
  auto own = copy();
  own.meta_stamp = 50;
  own.meta_crc32 = 1;
  auto newer = copy();
  newer.meta_stamp = 60;
  auto same = own;
  const std::vector<PeerCopy> peers = {peer(2, same), peer(3, newer)};
  EXPECT_EQ(plan_metadata(own, peers), 1U);
  EXPECT_EQ(plan_metadata(own, std::vector<PeerCopy>{peer(2, same)}), std::nullopt);
  own.meta_damaged = true;
  EXPECT_EQ(plan_metadata(own, std::vector<PeerCopy>{peer(2, same)}), 0U);
  same.meta_damaged = true;
  EXPECT_EQ(plan_metadata(own, std::vector<PeerCopy>{peer(2, same), silent(3)}), std::nullopt);
  auto older = copy();
  older.meta_stamp = 40;
  EXPECT_EQ(plan_metadata(copy(), std::vector<PeerCopy>{peer(2, older)}), 0U);
}

TEST(Differences, OfTwoLists) {
  const auto row = [](std::string name, std::uint32_t crc) {
    wire::FileSummary file;
    file.name = std::move(name);
    file.crc32 = crc;
    return file;
  };
  const auto found = compare_rows({row("a", 1), row("b", 1), row("d", 1)},
                                  {row("b", 2), row("c", 1), row("d", 1), row("e", 1)});
  EXPECT_EQ(found.only_here, std::vector<std::string>{"a"});
  EXPECT_EQ(found.here_and_there, std::vector<std::string>{"b"});
  EXPECT_EQ(found.only_there, (std::vector<std::string>{"c", "e"}));
}

} // namespace
} // namespace cairn::storage
