#include "client/retry.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

using namespace std::chrono_literals;

TEST(Judge, NothingIsStoredBeforeTheLastByteWasSent) {
  for (const Repeat repeat : {Repeat::harmless, Repeat::doubles}) {
    EXPECT_EQ(judge(repeat, Reached::nothing, Errc::timeout), Verdict::try_other);
    EXPECT_EQ(judge(repeat, Reached::part, Errc::closed), Verdict::try_other);
    EXPECT_EQ(judge(repeat, Reached::part, Errc::timeout), Verdict::try_other);
  }
}

TEST(Judge, WithoutAnAnswerAnUploadIsUnknownAndADeleteIsRepeated) {
  EXPECT_EQ(judge(Repeat::doubles, Reached::sent, Errc::closed), Verdict::unknown);
  EXPECT_EQ(judge(Repeat::doubles, Reached::sent, Errc::timeout), Verdict::unknown);
  EXPECT_EQ(judge(Repeat::harmless, Reached::sent, Errc::closed), Verdict::try_other);
}

TEST(Judge, ARefusalSendsTheUploadElsewhere) {
  for (const Errc code : {Errc::unavailable, Errc::no_space, Errc::busy, Errc::no_net})
    EXPECT_EQ(judge(Repeat::doubles, Reached::answer, code), Verdict::try_other);
}

TEST(Judge, ATimeoutAnsweredByTheNodeIsUnknown) {
  // The node stored the file, but a copy or the owner did not answer it.
  EXPECT_EQ(judge(Repeat::doubles, Reached::answer, Errc::timeout), Verdict::unknown);
}

TEST(Judge, AnAnswerThatAllNodesShareIsFinal) {
  for (const Errc code : {Errc::not_found, Errc::invalid_argument, Errc::denied, Errc::exists}) {
    EXPECT_EQ(judge(Repeat::doubles, Reached::answer, code), Verdict::fail);
    EXPECT_EQ(judge(Repeat::harmless, Reached::answer, code), Verdict::fail);
  }
}

TEST(Judge, AReadIsTriedElsewhereWhenTheNodesDiskFails) {
  for (const Errc code : {Errc::io_error, Errc::corrupt, Errc::timeout, Errc::unavailable})
    EXPECT_EQ(judge(Repeat::harmless, Reached::answer, code), Verdict::try_other);
  EXPECT_EQ(judge(Repeat::doubles, Reached::answer, Errc::io_error), Verdict::fail);
}

TEST(UnknownOutcome, SaysSo) {
  const Error error = unknown_outcome(Error(Errc::closed, "10.0.0.1:23000: connection closed"));
  EXPECT_EQ(error.code, Errc::timeout);
  EXPECT_TRUE(error.outcome_unknown);
  EXPECT_NE(error.detail.find("10.0.0.1"), std::string::npos);
}

TEST(Health, UnhealthyOnesAreAskedLastAndComeBack) {
  const Address a("a", 1);
  const Address b("b", 1);
  const Address c("c", 1);
  Health health;
  const auto now = Health::Clock::time_point(1h);
  health.failed(a, now);
  EXPECT_EQ(health.order({a, b, c}, now), (std::vector<Address>{b, c, a}));
  EXPECT_FALSE(health.healthy(a, now + 400ms));
  EXPECT_EQ(health.order({a, b, c}, now + 501ms), (std::vector<Address>{a, b, c}));
}

TEST(Health, EachFailureCostsMoreUntilItAnswers) {
  const Address a("a", 1);
  Health health;
  const auto now = Health::Clock::time_point(1h);
  for (int i = 0; i < 20; ++i) health.failed(a, now);
  EXPECT_FALSE(health.healthy(a, now + 29s));
  EXPECT_TRUE(health.healthy(a, now + 31s));
  health.answered(a);
  health.failed(a, now);
  EXPECT_TRUE(health.healthy(a, now + 501ms));
}

TEST(Deadline, StepsAreCutByTheEnd) {
  const auto now = Deadline::Clock::time_point(1h);
  const Deadline limited(2s, 1s, now);
  EXPECT_EQ(limited.step(now), 1s);
  EXPECT_EQ(limited.step(now + 1500ms), 500ms);
  EXPECT_FALSE(limited.passed(now + 1999ms));
  EXPECT_TRUE(limited.passed(now + 2s));
  const Deadline unlimited(0ms, 1s, now);
  EXPECT_EQ(unlimited.step(now + 100h), 1s);
  EXPECT_FALSE(unlimited.passed(now + 100h));
}

} // namespace
} // namespace cairn
