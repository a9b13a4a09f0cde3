// Rules of the namespace that the model checker does not know: permissions, orphans, trash, quotas,
// sessions, names, and what malformed requests get.
#include "common/wire/origin_mark.h"
#include "tests/unit/namespace/fixture.h"
#include "tracker/namespace/locks.h"
#include "tracker/namespace/watch.h"

#include <cerrno>

namespace cairn::tracker {

namespace {

using wire::NsOp;

using NamespaceRules = NamespaceFixture;

TEST_F(NamespaceRules, PermissionBitsDecide) {
  EXPECT_EQ(create("a", user_).code(), Errc::denied);
  ASSERT_EQ(set_mode(root_, 01777, root_caller_), Errc::ok);
  const auto mine = create("mine", user_, 0600);
  ASSERT_TRUE(mine);
  EXPECT_EQ(mine->attributes.uid, 1000U);
  Caller other = user_;
  other.uid = other.gid = 1001;
  wire::NsAccess read;
  read.inode = mine->attributes.inode;
  read.mask = 4;
  EXPECT_TRUE(ask<wire::NsNodeReply>(NsOp::access, read, user_));
  EXPECT_EQ(ask<wire::NsNodeReply>(NsOp::access, read, other).code(), Errc::denied);
  EXPECT_TRUE(ask<wire::NsNodeReply>(NsOp::access, read, root_caller_));
  // The directory is sticky: another user may not remove what is not theirs.
  EXPECT_EQ(static_cast<int>(unlink("mine", other).code()), EPERM);
  EXPECT_EQ(static_cast<int>(set_mode(mine->attributes.inode, 0666, other)), EPERM);
  EXPECT_TRUE(unlink("mine", user_));
  expect_sound();
}

TEST_F(NamespaceRules, SetGroupIdIsInheritedAndLost) {
  ASSERT_EQ(set_mode(root_, 02777, root_caller_), Errc::ok);
  wire::NsMkdir mkdir;
  mkdir.parent = root_;
  mkdir.name = "d";
  const auto made = change<wire::NsNodeReply>(NsOp::mkdir, mkdir, user_);
  EXPECT_EQ(made->attributes.mode & kSetGid, kSetGid);
  EXPECT_EQ(made->attributes.gid, 0U);
  // A user who is not of the group cannot have a set-group-ID program.
  const auto file = create("f", user_, 02755);
  EXPECT_EQ(file->attributes.mode & kSetGid, 0U);
  const auto suid = create("s", root_caller_, 04777);
  wire::NsCommit write;
  write.inode = suid->attributes.inode;
  wire::NsExtent extent;
  extent.length = 10;
  extent.id = id_of(5);
  write.extents.push_back(extent);
  const auto written = change<wire::NsCommitReply>(NsOp::commit, write, user_);
  ASSERT_TRUE(written);
  EXPECT_EQ(written->attributes.mode & kSetUid, 0U);
}

TEST_F(NamespaceRules, AccessListsDecide) {
  ASSERT_EQ(set_mode(root_, 0777, root_caller_), Errc::ok);
  const auto file = create("f", root_caller_, 0640);
  Acl acl{{AclTag::user_obj, 6, 0},
          {AclTag::user, 6, 1000},
          {AclTag::group_obj, 4, 0},
          {AclTag::mask, 4, 0},
          {AclTag::other, 0, 0}};
  wire::NsSetXattr set;
  set.inode = file->attributes.inode;
  set.name = kAccessAcl;
  set.value = wire::to_bytes(format_acl(acl));
  EXPECT_EQ(change<wire::NsNodeReply>(NsOp::setxattr, set, user_).code(), static_cast<Errc>(EPERM));
  const auto listed = change<wire::NsNodeReply>(NsOp::setxattr, set, root_caller_);
  ASSERT_TRUE(listed);
  EXPECT_NE(listed->attributes.flags & wire::kNsHasAcl, 0);
  wire::NsAccess access;
  access.inode = file->attributes.inode;
  access.mask = 4;
  EXPECT_TRUE(ask<wire::NsNodeReply>(NsOp::access, access, user_));
  access.mask = 2; // the mask takes the write right away
  EXPECT_EQ(ask<wire::NsNodeReply>(NsOp::access, access, user_).code(), Errc::denied);
  expect_sound();
}

TEST_F(NamespaceRules, OpenFilesOutliveTheirNames) {
  const auto file = create("f", root_caller_, 0644, 0, 1);
  const std::uint64_t inode = file->attributes.inode;
  ASSERT_TRUE(opens_.open(session_, inode));
  const auto gone = unlink("f", root_caller_);
  EXPECT_TRUE(gone->orphan);
  wire::NsInode which;
  which.inode = inode;
  EXPECT_EQ(ask<wire::NsNodeReply>(NsOp::getattr, which, root_caller_)->attributes.nlink, 0U);
  EXPECT_EQ(due(9'000'000), 0U);
  expect_sound();
  const auto reap = [inode](Evaluation& e) -> Result<std::uint64_t> {
    CAIRN_RETURN_IF_ERROR(e.reap(inode));
    return std::uint64_t{0};
  };
  ASSERT_TRUE(internal(reap)); // still open
  EXPECT_TRUE(ask<wire::NsNodeReply>(NsOp::getattr, which, root_caller_));
  EXPECT_TRUE(opens_.close(session_, inode));
  ASSERT_TRUE(internal(reap));
  EXPECT_EQ(static_cast<int>(ask<wire::NsNodeReply>(NsOp::getattr, which, root_caller_).code()),
            ESTALE);
  EXPECT_EQ(due(1'000'001), 0U) << "the grace time";
  EXPECT_EQ(due(1'000'000 + 601), 1U);
  expect_sound();
}

TEST_F(NamespaceRules, TrashKeepsAndGivesBack) {
  wire::NsExportChange set;
  set.values.name = "images";
  set.values.trash_seconds = 100;
  set.set = wire::kNsExportTrash;
  ASSERT_TRUE(change<wire::NsExportReply>(NsOp::export_set, set, admin_));
  const auto file = create("f", root_caller_, 0644, 0, 1);
  ASSERT_TRUE(unlink("f", root_caller_));
  expect_sound();
  wire::NsTrashList list;
  list.export_name = "images";
  const auto trash = ask<wire::NsTrashListReply>(NsOp::trash_list, list, admin_);
  ASSERT_EQ(trash->items.size(), 1U);
  EXPECT_EQ(trash->items[0].path, "f");
  wire::NsTrashRestore restore;
  restore.inode = trash->items[0].inode;
  restore.parent = root_;
  restore.name = "back";
  const auto back = change<wire::NsNodeReply>(NsOp::trash_restore, restore, root_caller_);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->extents.size(), 1U);
  ASSERT_TRUE(unlink("back", root_caller_));
  const auto empty = [](std::uint64_t now) {
    return [now](Evaluation& e) { return e.empty_trash(now, 10); };
  };
  EXPECT_EQ(*internal(empty(1'000'050)), 0U);
  EXPECT_EQ(*internal(empty(1'000'100)), 1U);
  EXPECT_EQ(due(2'000'000), 1U);
  expect_sound();
}

TEST_F(NamespaceRules, SharedDataStaysUntilItsLastUse) {
  const auto a = create("a", root_caller_, 0644, 0, 1);
  const auto b = create("b", root_caller_);
  wire::NsCopyRange copy;
  copy.from = a->attributes.inode;
  copy.to = b->attributes.inode;
  copy.length = 1000;
  ASSERT_TRUE(change<wire::NsCopyRangeReply>(NsOp::copy_range, copy, root_caller_));
  ASSERT_TRUE(unlink("a", root_caller_));
  EXPECT_EQ(due(9'000'000), 0U);
  expect_sound();
  // The origin mark says `a`, which has gone: it is in use all the same.
  wire::NsReferenced question;
  wire::NsReferencedItem item;
  item.id = id_of(1);
  item.inode = a->attributes.inode;
  item.session = 999;
  question.items.push_back(item);
  EXPECT_EQ(ask<wire::NsReferencedReply>(NsOp::referenced, question, admin_)->answers, "1");
  ASSERT_TRUE(unlink("b", root_caller_));
  EXPECT_EQ(due(9'000'000), 1U);
  EXPECT_EQ(ask<wire::NsReferencedReply>(NsOp::referenced, question, admin_)->answers, "d");
  expect_sound();
}

TEST_F(NamespaceRules, DataOfOthersIsNeverDeleted) {
  wire::NsCreate request;
  request.parent = root_;
  request.name = "adopted";
  wire::NsExtent extent;
  extent.length = 1000;
  extent.id = id_of(1);
  extent.owned = false;
  request.extents.push_back(extent);
  ASSERT_TRUE(change<wire::NsNodeReply>(NsOp::create, request, root_caller_));
  ASSERT_TRUE(unlink("adopted", root_caller_));
  EXPECT_EQ(due(9'000'000), 0U);
  expect_sound();
}

TEST_F(NamespaceRules, ACommitThatIsMadeTwiceKeepsItsData) {
  const auto file = create("f", root_caller_);
  wire::NsCommit commit;
  commit.inode = file->attributes.inode;
  wire::NsExtent extent;
  extent.length = 1000;
  extent.id = id_of(1);
  commit.extents.push_back(extent);
  ASSERT_TRUE(change<wire::NsCommitReply>(NsOp::commit, commit, root_caller_));
  ASSERT_TRUE(change<wire::NsCommitReply>(NsOp::commit, commit, root_caller_));
  EXPECT_EQ(due(9'000'000), 0U);
  commit.if_data_version = 1;
  EXPECT_EQ(change<wire::NsCommitReply>(NsOp::commit, commit, root_caller_).code(), Errc::busy);
  extent.source = 500; // beyond the stored file's 1000 bytes
  commit.if_data_version = 0;
  commit.extents = {extent};
  EXPECT_EQ(change<wire::NsCommitReply>(NsOp::commit, commit, root_caller_).code(),
            Errc::invalid_argument);
  expect_sound();
}

TEST_F(NamespaceRules, NamesAndValuesHaveLimits) {
  EXPECT_TRUE(create(std::string(255, 'x'), root_caller_));
  EXPECT_EQ(create(std::string(256, 'x'), root_caller_).code(), Errc::name_too_long);
  EXPECT_EQ(create("a/b", root_caller_).code(), Errc::invalid_argument);
  const auto odd = create("\xff\xfe\x01 odd", root_caller_);
  ASSERT_TRUE(odd);
  wire::NsLookup lookup;
  lookup.parent = root_;
  lookup.name = "\xff\xfe\x01 odd";
  EXPECT_EQ(ask<wire::NsNodeReply>(NsOp::lookup, lookup, root_caller_)->attributes.inode,
            odd->attributes.inode);
  wire::NsSetXattr set;
  set.inode = odd->attributes.inode;
  set.name = "user.big";
  set.value = wire::Bytes(64 * 1024);
  EXPECT_TRUE(change<wire::NsNodeReply>(NsOp::setxattr, set, root_caller_));
  set.value = wire::Bytes(64 * 1024 + 1);
  EXPECT_EQ(static_cast<int>(change<wire::NsNodeReply>(NsOp::setxattr, set, root_caller_).code()),
            E2BIG);
  expect_sound();
}

TEST_F(NamespaceRules, AThousandLevelsAndALongListing) {
  std::uint64_t at = root_;
  std::string path = "images";
  for (int i = 0; i < 1000; ++i) {
    wire::NsMkdir mkdir;
    mkdir.parent = at;
    mkdir.name = "d";
    const auto made = change<wire::NsNodeReply>(NsOp::mkdir, mkdir, root_caller_);
    ASSERT_TRUE(made);
    at = made->attributes.inode;
    path += "/d";
  }
  wire::NsResolve resolve;
  resolve.path = path;
  EXPECT_EQ(ask<wire::NsResolveReply>(NsOp::resolve, resolve, root_caller_)->node.attributes.inode,
            at);
  wire::NsRename loop;
  loop.parent = root_;
  loop.name = "d";
  loop.new_parent = at;
  loop.new_name = "x";
  EXPECT_EQ(change<wire::NsRenameReply>(NsOp::rename, loop, root_caller_).code(),
            Errc::invalid_argument);
  // Cookies hold while entries come and go.
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(create("n" + std::to_string(i), root_caller_));
  wire::NsReaddir page;
  page.inode = root_;
  page.entries_max = 100;
  std::set<std::string> seen;
  for (int turn = 0;; ++turn) {
    const auto reply = ask<wire::NsReaddirReply>(NsOp::readdir, page, root_caller_);
    for (const auto& entry : reply->entries) {
      EXPECT_TRUE(seen.insert(entry.name).second) << entry.name;
      page.after = entry.cookie;
    }
    if (reply->end) break;
    ASSERT_TRUE(unlink("n" + std::to_string(turn), root_caller_));
    ASSERT_TRUE(unlink("n" + std::to_string(250 + turn), root_caller_));
  }
  EXPECT_TRUE(seen.contains("n299"));
  EXPECT_GE(seen.size(), 295U);
}

TEST_F(NamespaceRules, SessionsEndAndOldRequestsAreRefused) {
  const std::uint64_t over = session_;
  ASSERT_TRUE(internal([over](Evaluation& e) -> Result<std::uint64_t> {
    CAIRN_RETURN_IF_ERROR(e.end_session(over));
    return std::uint64_t{0};
  }));
  EXPECT_EQ(static_cast<int>(create("late", root_caller_).code()), ESTALE);
  for (const auto& [key, value] : store_.rows()) EXPECT_NE(key[0], 'N');
}

TEST_F(NamespaceRules, AnExportKeepsToItself) {
  wire::NsExportChange add;
  add.values.name = "other";
  add.owner_uid = 5;
  const auto other = change<wire::NsExportReply>(NsOp::export_add, add, admin_);
  Caller confined = root_caller_;
  confined.root = other->made.root;
  wire::NsInode which;
  which.inode = root_;
  EXPECT_EQ(static_cast<int>(ask<wire::NsNodeReply>(NsOp::getattr, which, confined).code()),
            ESTALE);
  wire::NsResolve escape;
  escape.path = "../../images";
  EXPECT_EQ(ask<wire::NsResolveReply>(NsOp::resolve, escape, confined).code(), Errc::not_found);
  EXPECT_EQ(change<wire::NsExportReply>(NsOp::export_add, add, root_caller_).code(),
            static_cast<Errc>(EPERM));
  for (const char* name : {"", ".hidden", "_x", "a/b", "metrics", "M0A", "healthz"}) {
    add.values.name = name;
    EXPECT_EQ(change<wire::NsExportReply>(NsOp::export_add, add, admin_).code(),
              Errc::invalid_argument)
        << name;
  }
}

TEST_F(NamespaceRules, MalformedRequestsAreRefused) {
  for (int op = 0; op < 256; ++op) {
    for (std::size_t size : {0U, 1U, 7U, 8U, 40U, 200U}) {
      Batch batch(store_, opens_, policy_, now_);
      ASSERT_TRUE(batch.begin());
      Change one;
      one.op = static_cast<NsOp>(op);
      one.caller = admin_;
      one.sequence = ++sequence_;
      one.request = wire::Bytes(size, std::byte{0xFF});
      // Nothing at all is a list of no deletions.
      const bool valid = one.op == NsOp::deleted && size == 0;
      if (!wire::is_change(one.op) || valid) continue;
      EXPECT_NE(batch.run(one).status, 0) << op << " " << size;
    }
  }
  expect_sound();
}

TEST(NamespaceRows, FileIdsComeBack) {
  for (const std::string& id :
       {id_of(1), std::string("images/M00/00/0A/wKgDrE34E8wAAAAAAAAGkEIYJK42378.sh"),
        std::string("group0/M00/02/44/wKgDrE34E8wAAAAAAAAGkEIYJK42378_small.jpg"),
        std::string("group65536/M7F/FF/FE/wKgDrE34E8wAAAAAAAAGkEIYJK42378.sh")}) {
    const auto ref = encode_ref(id);
    ASSERT_TRUE(ref) << id;
    EXPECT_EQ(*decode_ref(*ref), id);
    const std::size_t most = id == id_of(1) ? 34 : 70;
    EXPECT_LE(ref->size(), most);
  }
  EXPECT_FALSE(encode_ref("group1/../../etc/passwd"));
  EXPECT_FALSE(decode_ref("\x01"));
}

TEST(LockTable, RangesSplitJoinAndWait) {
  LockTable locks;
  wire::NsLock lock;
  lock.inode = 1;
  lock.owner = 10;
  lock.type = wire::NsLockType::write;
  lock.start = 0;
  lock.end = 99;
  using Verdict = LockTable::Verdict;
  EXPECT_EQ(locks.set(1, lock, 1), Verdict::granted);
  wire::NsLock other = lock;
  other.start = 50;
  other.end = UINT64_MAX;
  EXPECT_EQ(locks.set(2, other, 2), Verdict::refused);
  other.wait = true;
  EXPECT_EQ(locks.set(2, other, 3), Verdict::waits);
  // 2 waits for 1; 1 waiting for what 2 has would be a cycle.
  wire::NsLock far = other;
  far.inode = 2;
  far.wait = false;
  EXPECT_EQ(locks.set(2, far, 4), Verdict::granted);
  far.wait = true;
  EXPECT_EQ(locks.set(1, far, 5), Verdict::deadlock);
  wire::NsLock middle = lock;
  middle.type = wire::NsLockType::unlock;
  middle.start = 40;
  EXPECT_EQ(locks.set(1, middle, 6), Verdict::granted);
  EXPECT_EQ(locks.take_granted(), std::vector<std::uint64_t>{3});
  lock.start = lock.end = 45;
  EXPECT_EQ(locks.set(3, lock, 7), Verdict::granted);
  locks.ended(2);
  lock.start = 200;
  lock.end = UINT64_MAX;
  EXPECT_EQ(locks.set(3, lock, 8), Verdict::granted);
  EXPECT_EQ(locks.count(3), 2U) << "45 and 200 to the end are not neighbours";
  EXPECT_EQ(locks.count(1), 1U);
}

TEST_F(NamespaceRules, WhatIsCondemnedCannotBeNamed) {
  const std::vector<std::string> refs{*encode_ref(id_of(77))};
  const auto condemn = [&](Evaluation& evaluation) -> Result<std::uint64_t> {
    evaluation.condemn(refs);
    return std::uint64_t{0};
  };
  const auto acquit = [&](Evaluation& evaluation) -> Result<std::uint64_t> {
    evaluation.acquit(refs);
    return std::uint64_t{0};
  };
  ASSERT_TRUE(internal(condemn));
  EXPECT_EQ(create("late", root_caller_, 0644, 0, 77).code(), static_cast<Errc>(ESTALE));
  const auto empty = create("late", root_caller_);
  ASSERT_TRUE(empty);
  wire::NsCommit commit;
  commit.inode = empty->attributes.inode;
  wire::NsExtent extent;
  extent.length = 1000;
  extent.id = id_of(77);
  commit.extents.push_back(extent);
  EXPECT_EQ(change<wire::NsCommitReply>(NsOp::commit, commit, root_caller_).code(),
            static_cast<Errc>(ESTALE));
  ASSERT_TRUE(internal(acquit));
  EXPECT_TRUE(change<wire::NsCommitReply>(NsOp::commit, commit, root_caller_));
  expect_sound();
}

TEST_F(NamespaceRules, WhatFollowsFromOtherRowsIsMended) {
  ASSERT_TRUE(create("a", root_caller_, 0644, 0, 1));
  const auto b = create("b", root_caller_, 0644, 0, 2);
  ASSERT_TRUE(b);
  wire::NsCopyRange share;
  share.from = b->attributes.inode;
  share.to = create("c", root_caller_)->attributes.inode;
  share.length = 1000;
  ASSERT_TRUE(change<wire::NsCopyRangeReply>(NsOp::copy_range, share, root_caller_));
  // As faults of our own would leave it.
  wire::MutationBatch damage;
  const std::string ref = *encode_ref(id_of(2));
  damage.mutations.push_back(wire::Mutation::put(key::references(ref), encode_count(9)));
  damage.mutations.push_back(wire::Mutation::put(key::garbage(1, ref), ""));
  const auto entry = decode_entry(**store_.get(key::entry(root_, "a")));
  damage.mutations.push_back(wire::Mutation::remove(key::cookie(root_, entry->cookie)));
  auto usage = decode_row<wire::NsExport>(**store_.get(key::quota(root_)));
  usage->used_bytes += 12345;
  damage.mutations.push_back(wire::Mutation::put(key::quota(root_), encode_row(*usage)));
  auto inode = decode_inode(entry->ino, **store_.get(key::inode(entry->ino)));
  inode->bytes += 5;
  damage.mutations.push_back(wire::Mutation::put(key::inode(entry->ino), encode(*inode)));
  damage.mutations.push_back(
      wire::Mutation::put(key::entry(root_, "ghost"), encode(DirEntry{999, NsType::regular, 998})));
  LogEntry log_entry;
  log_entry.position = LogPos{1, store_.applied().index + 1};
  log_entry.batch = wire::encode(damage);
  ASSERT_TRUE(store_.apply({&log_entry, 1}, true));

  auto report = check_tables(store_);
  ASSERT_TRUE(report);
  EXPECT_GE(report->faults.size(), 6U);
  // One row changes between the look and the repair: it is left as it is.
  for (RowFix& fix : report->fixes)
    if (fix.key == key::quota(root_)) fix.found = "something else";
  const auto mend = [&](Evaluation& evaluation) { return evaluation.mend(report->fixes); };
  const auto mended = internal(mend);
  ASSERT_TRUE(mended);
  EXPECT_EQ(*mended, report->fixes.size() - 1);
  report = check_tables(store_);
  EXPECT_EQ(report->faults.size(), 1U);
  ASSERT_TRUE(internal(mend));
  expect_sound();
}

TEST(OriginMark, ComesBackAsItWas) {
  wire::OriginMark mark;
  mark.realm = wire::origin_realm("0b0c");
  mark.session = 77;
  mark.inode = 1ULL << 40;
  mark.written = 1'700'000'000'000'000;
  mark.file_size = 300;
  mark.mode = 0644;
  mark.uid = UINT32_MAX;
  mark.ranges = {{0, 100}, {200, 100}};
  mark.export_name = "images";
  mark.path = "2012/03/a\xff.jpg";
  const std::string bytes = wire::encode_origin(mark);
  EXPECT_LE(bytes.size(), 60U) << "beyond that ext4 takes a block for it";
  const auto back = wire::decode_origin(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, mark);
  for (std::size_t size = 0; size < bytes.size() - mark.path.size(); ++size)
    EXPECT_FALSE(wire::decode_origin(bytes.substr(0, size))) << size;

  // What does not fit is cut where it hurts least.
  mark.path = std::string(4000, 'd') + "/name";
  mark.ranges.assign(wire::kOriginRangesMax + 1, wire::OriginRange{5, 1});
  const auto cut = wire::decode_origin(wire::encode_origin(mark));
  ASSERT_TRUE(cut);
  EXPECT_TRUE(cut->path_is_cut && cut->path.ends_with("/name") && cut->ranges.empty());
}

TEST(Watches, OthersHearWhatTheyWatch) {
  Watches watches;
  watches.watch(1, 100, 5);
  watches.watch(2, 100, 5);
  Published event;
  event.position = 6;
  event.session = 1;
  event.event.inode = 100;
  const auto told = watches.publish({event});
  ASSERT_EQ(told.size(), 1U) << "not who did it";
  EXPECT_EQ(told[0].session, 2U);
  // An answer from before the event is told of it at once.
  EXPECT_EQ(watches.watch(3, 100, 5).events.size(), 1U);
  EXPECT_EQ(watches.watch(3, 100, 6).events.size(), 0U);
  // One from before all that is remembered cannot be told what it missed: it is not to be kept.
  Watches full;
  event.event.inode = 7;
  for (std::size_t i = 0; i <= Watches::kEventsMax; ++i) {
    event.position = 10 + i;
    full.publish({event});
  }
  const Watches::Told late = full.watch(3, 100, 9);
  ASSERT_EQ(late.events.size(), 1U);
  EXPECT_EQ(late.events[0].kind, wire::NsEventKind::forgotten);
  EXPECT_EQ(late.events[0].inode, 100U);
  EXPECT_EQ(late.position, event.position);
  EXPECT_TRUE(full.watch(3, 101, 10).events.empty());
  Watches::Told missed;
  EXPECT_TRUE(watches.missed(2, 5, missed));
  EXPECT_EQ(missed.events.size(), 1U);
  EXPECT_FALSE(watches.missed(9, 5, missed));
}

} // namespace
} // namespace cairn::tracker
