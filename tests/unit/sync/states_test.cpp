// The deciding classes of sync: rules, rate limit, sender and receiver states, small files.
#include "storage/sync/receiver_state.h"
#include "storage/sync/rules.h"
#include "storage/sync/sender_state.h"
#include "storage/sync/small_file.h"
#include "storage/sync/token_bucket.h"
#include "tests/unit/config/temporary_directory.h"

#include <gtest/gtest.h>

namespace cairn::storage {
namespace {

TEST(SyncRules, OwnFilesAreAlwaysListed) {
  const std::vector<GroupMember> members = {{2, true}, {3, true}};
  EXPECT_TRUE(lists_for(5, 5, 3, members));
  EXPECT_FALSE(lists_for(2, 5, 3, members)); // 2 lists its own
}

TEST(SyncRules, TheLowestMemberListsForThoseThatAreGone) {
  const std::vector<GroupMember> seen_by_2 = {{1, false}, {3, true}, {4, true}};
  const std::vector<GroupMember> seen_by_3 = {{1, false}, {2, true}, {4, true}};
  EXPECT_TRUE(lists_for(1, 2, 4, seen_by_2));
  EXPECT_FALSE(lists_for(1, 3, 4, seen_by_3));
  EXPECT_TRUE(lists_for(0, 2, 4, seen_by_2)); // source unknown
}

TEST(SyncRules, ThePeerItselfNeverCounts) {
  // 1 lost its disk: its own files come from the lowest of the others.
  const std::vector<GroupMember> seen_by_2 = {{1, true}, {3, true}};
  EXPECT_TRUE(lists_for(1, 2, 1, seen_by_2));
}

TEST(SyncRules, DeletedNamesStayDeletedButSlavesMayReturn) {
  EXPECT_TRUE(tombstone_wins(FileKind::normal, 10, 20, false)); // clocks of two nodes may disagree
  EXPECT_TRUE(tombstone_wins(FileKind::appender, 10, 20, false));
  EXPECT_FALSE(tombstone_wins(FileKind::slave, 10, 20, false));
  EXPECT_TRUE(tombstone_wins(FileKind::slave, 20, 20, false));
  EXPECT_FALSE(tombstone_wins(FileKind::normal, 10, 20, true)); // out of the trash, later
  EXPECT_TRUE(tombstone_wins(FileKind::normal, 20, 20, true));
}

TEST(SyncRules, OnlyTheOwnersCopyReplaces) {
  EXPECT_TRUE(may_replace(FileKind::appender, 1, 1));
  EXPECT_FALSE(may_replace(FileKind::appender, 2, 1));
  EXPECT_TRUE(may_replace(FileKind::slave, 2, 0));
  EXPECT_FALSE(may_replace(FileKind::normal, 1, 1));
}

TEST(TokenBucket, WaitsForWhatWasTakenTooMuch) {
  const TokenBucket::Time start{};
  TokenBucket bucket(1000);
  EXPECT_EQ(bucket.take(1000, start).count(), 0);
  EXPECT_EQ(bucket.take(500, start).count(), 500);
  EXPECT_EQ(bucket.take(500, start + std::chrono::seconds(1)).count(), 0);
  // A long pause gives a second's worth, not more.
  EXPECT_EQ(bucket.take(2000, start + std::chrono::seconds(100)).count(), 1000);
}

TEST(TokenBucket, ZeroIsNoLimit) {
  TokenBucket bucket(0);
  EXPECT_EQ(bucket.take(std::uint64_t{1} << 40, {}).count(), 0);
}

LogRecord change(ChangeKind kind, std::string name, std::uint64_t seq) {
  LogRecord record;
  record.kind = kind;
  record.name = std::move(name);
  record.seq = seq;
  record.stamp = seq << 16;
  return record;
}

SentBatch batch_through(std::uint64_t seq, std::uint64_t bytes = 0) {
  SentBatch batch;
  batch.bytes = bytes;
  batch.through = {seq, seq, 0};
  batch.ops.push_back(SentOp{change(ChangeKind::put, "f" + std::to_string(seq), seq), 0, true});
  return batch;
}

SenderState tailing(SenderLimits limits = {}, std::uint64_t from = 0) {
  SenderState state(limits, "peer", "log");
  state.tail_from({from, from, 0});
  return state;
}

TEST(SenderState, WindowClosesAndOpens) {
  SenderLimits limits;
  limits.window_bytes = 100;
  limits.batch_bytes = 60;
  SenderState state = tailing(limits);
  ASSERT_TRUE(state.plan(0));
  EXPECT_EQ(state.sent(batch_through(1, 60)), 1U);
  EXPECT_FALSE(state.plan(0)); // 60 + 60 > 100
  ASSERT_TRUE(state.acked({}, 0));
  EXPECT_TRUE(state.plan(0));
  EXPECT_EQ(state.acked_position().seq, 1U);
}

TEST(SenderState, SmallBatchesWaitForEachOther) {
  SenderLimits limits;
  limits.window_bytes = 1000;
  limits.batch_bytes = 100;
  SenderState state = tailing(limits);
  state.sent(batch_through(1, 24));
  state.sent(batch_through(2, 25)); // not small: a quarter of what a batch may hold
  ASSERT_TRUE(state.plan(0));
  state.sent(batch_through(3, 1));
  EXPECT_FALSE(state.plan(0));
  ASSERT_TRUE(state.acked({}, 0));
  EXPECT_TRUE(state.plan(0));
}

TEST(SenderState, AnUnknownPeerIsBroughtUp) {
  SenderState state({}, "peer", "log");
  EXPECT_FALSE(state.begin({}, 0, 10).has_value());
  EXPECT_EQ(state.phase(), wire::SyncPhase::bring_up);
  state.tail_from({10, 0, 0});
  EXPECT_TRUE(state.is_brought_up());
}

TEST(SenderState, APositionOutsideTheLogMeansBringUp) {
  wire::SyncHelloReply reply;
  reply.known = true;
  reply.applied_seq = 5;
  SenderState pruned = tailing({}, 5);
  EXPECT_FALSE(pruned.begin(reply, 6, 10).has_value());
  SenderState ahead = tailing({}, 5);
  EXPECT_FALSE(ahead.begin(reply, 0, 4).has_value());
}

TEST(SenderState, WhatWasNotAcknowledgedIsSentAgain) {
  SenderState state = tailing();
  state.sent(batch_through(7));
  ASSERT_TRUE(state.acked({}, 0));
  state.sent(batch_through(9));
  state.disconnected(); // the peer applied 9, with failures that nobody here has heard of
  wire::SyncHelloReply reply;
  reply.known = true;
  reply.applied_seq = 9;
  EXPECT_EQ(state.begin(reply, 0, 100), std::optional<std::uint64_t>(7));
  // And the other way round: the peer lost what it had not made durable.
  reply.applied_seq = 3;
  EXPECT_EQ(state.begin(reply, 0, 100), std::optional<std::uint64_t>(3));
}

TEST(SenderState, ALostCursorMeansComparing) {
  // What the peer refused before its position is known to nobody.
  SenderState state({}, "peer", "log");
  wire::SyncHelloReply reply;
  reply.known = true;
  reply.applied_seq = 5;
  EXPECT_FALSE(state.begin(reply, 0, 10).has_value());
  EXPECT_TRUE(state.is_brought_up());
}

TEST(SenderState, AMissingFileIsSentWhole) {
  SenderState state = tailing();
  SentBatch batch;
  batch.ops.push_back(SentOp{change(ChangeKind::range, "a", 4), 0, true});
  batch.through = {4, 0, 0};
  state.sent(std::move(batch));
  wire::SyncAck ack;
  ack.failures.push_back({0, Errc::not_found, ""});
  ASSERT_TRUE(state.acked(ack, 1000));
  EXPECT_EQ(state.acked_position().seq, 4U); // the stream goes on
  const auto plan = state.plan(1000);
  ASSERT_TRUE(plan && plan->retries.size() == 1);
  EXPECT_EQ(plan->retries[0].change.kind, ChangeKind::put);

  SentBatch again;
  again.ops.push_back(SentOp{plan->retries[0].change, plan->retries[0].id, true});
  state.sent(std::move(again));
  EXPECT_TRUE(state.plan(1000)->retries.empty()); // on its way
  ASSERT_TRUE(state.acked({}, 1000));
  EXPECT_EQ(state.retries(), 0U);
}

TEST(SenderState, AFailingChangeBacksOffAndBecomesADeadLetter) {
  SenderState state = tailing();
  UnixMs now = 1000;
  state.failed_here(SentOp{change(ChangeKind::put, "a", 1), 0, true}, Errc::io_error, now);
  for (std::uint32_t attempt = 1; attempt < SenderState::kQuickAttempts; ++attempt) {
    EXPECT_TRUE(state.plan(now)->retries.empty());
    now = *state.next_retry();
    const auto plan = state.plan(now);
    ASSERT_EQ(plan->retries.size(), 1U);
    SentBatch batch;
    batch.ops.push_back(SentOp{plan->retries[0].change, plan->retries[0].id, true});
    state.sent(std::move(batch));
    wire::SyncAck ack;
    ack.failures.push_back({0, Errc::io_error, ""});
    ASSERT_TRUE(state.acked(ack, now));
  }
  EXPECT_EQ(state.dead_letters(), 1U);
  EXPECT_EQ(state.take_new_dead_letters().size(), 1U);
  EXPECT_EQ(*state.next_retry() - now, 60'000U);
}

// The last copy of some metadata is damaged, say: what fails before it is sent waits too.
TEST(SenderState, ARetryThatFailsHereBacksOff) {
  SenderState state = tailing();
  UnixMs now = 1000;
  state.failed_here(SentOp{change(ChangeKind::set_meta, "a", 1), 0, true}, Errc::corrupt, now);
  for (std::uint32_t attempt = 1; attempt < SenderState::kQuickAttempts; ++attempt) {
    now = *state.next_retry();
    const auto plan = state.plan(now);
    ASSERT_EQ(plan->retries.size(), 1U);
    const SentOp again{plan->retries[0].change, plan->retries[0].id, true};
    state.failed_here(again, Errc::corrupt, now);
    state.failed_here(again, Errc::corrupt, now); // of another piece
    EXPECT_GT(*state.next_retry(), now);
    EXPECT_TRUE(state.plan(now)->retries.empty());
  }
  EXPECT_EQ(state.dead_letters(), 1U);
  EXPECT_EQ(*state.next_retry() - now, 60'000U);
}

TEST(SenderState, TooManyRetriesHoldNewRecordsBack) {
  SenderLimits limits;
  limits.retries_max = 2;
  SenderState state = tailing(limits);
  state.failed_here(SentOp{change(ChangeKind::put, "a", 1), 0, true}, Errc::no_space, 0);
  EXPECT_TRUE(state.plan(0)->new_records);
  state.failed_here(SentOp{change(ChangeKind::put, "b", 2), 0, true}, Errc::no_space, 0);
  EXPECT_FALSE(state.plan(0)->new_records);
}

TEST(SenderState, TheCursorBringsRetriesBack) {
  SenderState state = tailing({}, 5);
  state.failed_here(SentOp{change(ChangeKind::put, "a", 1), 0, true}, Errc::io_error, 0);
  const wire::Bytes bytes = wire::encode(state.cursor());
  auto cursor = wire::decode_lenient<Cursor>(bytes);
  ASSERT_TRUE(cursor);
  SenderState next({}, "peer", "log");
  next.restore(*cursor);
  EXPECT_EQ(next.acked_position().seq, 5U);
  EXPECT_EQ(next.retries(), 1U);
  SenderState other({}, "another peer", "log");
  other.restore(*cursor);
  EXPECT_EQ(other.retries(), 0U);
}

TEST(SenderState, AnswersToNothingEndTheStream) {
  SenderState state = tailing();
  EXPECT_EQ(state.acked({}, 0).code(), Errc::invalid_argument);
  state.sent(batch_through(1));
  wire::SyncAck ack;
  ack.failures.push_back({9, Errc::io_error, ""});
  EXPECT_EQ(state.acked(ack, 0).code(), Errc::invalid_argument);
}

wire::SyncHello hello_of(std::uint64_t stream, std::string log_id = "log") {
  wire::SyncHello hello;
  hello.source_id = 1;
  hello.source_uuid = "uuid";
  hello.log_id = std::move(log_id);
  hello.stream = stream;
  return hello;
}

wire::SyncBatch batch_of(std::uint64_t stream, std::uint64_t number, std::uint64_t through) {
  wire::SyncBatch batch;
  batch.stream = stream;
  batch.number = number;
  batch.through_seq = through;
  batch.complete_until = static_cast<std::uint32_t>(through);
  return batch;
}

TEST(ReceiverState, ThePositionIsUnknownUntilDone) {
  ReceiverState state;
  EXPECT_FALSE(state.hello(hello_of(7))->known);
  ASSERT_TRUE(state.begin(1, 7, 1));
  EXPECT_EQ(state.applied(1, batch_of(7, 1, 40)), 0U);
  EXPECT_TRUE(state.positions().sources.empty());
  wire::SyncDone done;
  done.stream = 7;
  done.position = 50;
  ASSERT_TRUE(state.done(1, done));
  const auto reply = state.hello(hello_of(8));
  EXPECT_TRUE(reply->known);
  EXPECT_EQ(reply->applied_seq, 50U);
}

TEST(ReceiverState, OldStreamsRepeatsAndGapsAreRefused) {
  ReceiverState state;
  ASSERT_TRUE(state.hello(hello_of(7)));
  ASSERT_TRUE(state.begin(1, 7, 1));
  // The former stream's batch is still being applied: the new one waits, and the old one is over.
  EXPECT_EQ(state.hello(hello_of(8)).code(), Errc::busy);
  state.applied(1, batch_of(7, 1, 1));
  EXPECT_EQ(state.begin(1, 7, 2).code(), Errc::closed);
  ASSERT_TRUE(state.hello(hello_of(8)));
  EXPECT_EQ(state.begin(1, 8, 2).code(), Errc::closed); // a gap
  ASSERT_TRUE(state.begin(1, 8, 1));
  state.applied(1, batch_of(8, 1, 1));
  EXPECT_EQ(state.begin(1, 8, 1).code(), Errc::closed); // a repeat
  EXPECT_EQ(state.begin(2, 8, 1).code(), Errc::closed); // nobody
}

TEST(ReceiverState, AnotherLogCountsAnew) {
  ReceiverState state;
  ASSERT_TRUE(state.hello(hello_of(7)));
  wire::SyncDone done;
  done.stream = 7;
  done.position = 50;
  ASSERT_TRUE(state.done(1, done));
  EXPECT_FALSE(state.hello(hello_of(8, "another log"))->known);
}

TEST(ReceiverState, PositionsSurviveARestart) {
  ReceiverState state;
  ASSERT_TRUE(state.hello(hello_of(7)));
  wire::SyncDone done;
  done.stream = 7;
  ASSERT_TRUE(state.done(1, done));
  ASSERT_TRUE(state.begin(1, 7, 1));
  EXPECT_EQ(state.applied(1, batch_of(7, 1, 12)), 12U);
  ReceiverState next;
  next.restore(state.positions());
  EXPECT_EQ(next.begin(1, 7, 2).code(), Errc::closed); // streams do not
  EXPECT_EQ(next.hello(hello_of(9))->applied_seq, 12U);
  next.forget();
  EXPECT_FALSE(next.hello(hello_of(10))->known);
}

TEST(SmallFile, IsWholeOrRecognised) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "f";
  EXPECT_EQ(read_small_file(path).code(), Errc::not_found);
  ASSERT_TRUE(write_small_file(path, wire::as_view("content")));
  EXPECT_EQ(wire::as_text(*read_small_file(path)), "content");
  directory.write("f", "damaged content");
  EXPECT_EQ(read_small_file(path).code(), Errc::corrupt);
  directory.write("f", "x");
  EXPECT_EQ(read_small_file(path).code(), Errc::corrupt);
}

} // namespace
} // namespace cairn::storage
