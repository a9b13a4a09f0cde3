// When a store path is taken out, and when it comes back.
#include "storage/store/path_health.h"

#include <gtest/gtest.h>

namespace cairn::storage {
namespace {

using namespace std::chrono_literals;
using wire::PathState;

class DiskHealth : public ::testing::Test {
protected:
  // A probe that takes `took`; true when it changed the state.
  bool probe(std::chrono::milliseconds took, const std::string& cause = {}) {
    EXPECT_TRUE(health_.may_probe());
    health_.probe_began(now_, health_.wants_write());
    now_ += took;
    return health_.probe_ended(now_, cause);
  }
  bool tick(std::chrono::milliseconds job = 0ms) { return health_.tick(now_, job); }

  PathHealth health_;
  PathHealth::Clock::time_point now_{1h};
};

TEST_F(DiskHealth, AnErrorMakesReadOnlyAndThreeQuickProbesBringBack) {
  EXPECT_TRUE(health_.met_error("write: I/O error"));
  EXPECT_EQ(health_.state(), PathState::read_only);
  EXPECT_EQ(health_.cause(), "write: I/O error");
  EXPECT_FALSE(health_.met_error("again")); // said once
  EXPECT_TRUE(health_.wants_write());
  EXPECT_FALSE(probe(1ms));
  EXPECT_FALSE(probe(1ms));
  health_.met_error("and again"); // the count begins anew
  EXPECT_FALSE(probe(1ms));
  EXPECT_FALSE(probe(1ms));
  EXPECT_TRUE(probe(1ms));
  EXPECT_EQ(health_.state(), PathState::ok);
  EXPECT_EQ(health_.cause(), "");
  EXPECT_FALSE(health_.wants_write());
}

TEST_F(DiskHealth, SlowProbesDoNotBringBack) {
  health_.met_error("write: I/O error");
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(probe(PathHealth::kQuick + 1ms));
  EXPECT_EQ(health_.state(), PathState::read_only);
}

TEST_F(DiskHealth, AHangingDiskIsOutAndGetsNoSecondProbe) {
  health_.probe_began(now_, false);
  now_ += PathHealth::kAnswerMax;
  EXPECT_FALSE(tick());
  now_ += 1ms;
  EXPECT_TRUE(tick());
  EXPECT_EQ(health_.state(), PathState::failed);
  EXPECT_FALSE(health_.may_probe());
  EXPECT_FALSE(tick());
  // The answer comes after all: that was slow, so it must prove itself.
  EXPECT_TRUE(health_.probe_ended(now_, {}));
  EXPECT_EQ(health_.state(), PathState::read_only);
  probe(1ms);
  probe(1ms);
  EXPECT_TRUE(probe(1ms));
  EXPECT_EQ(health_.state(), PathState::ok);
}

TEST_F(DiskHealth, NoFreeSpaceToAskForIsAFailedPath) {
  EXPECT_TRUE(probe(1ms, "statvfs: I/O error"));
  EXPECT_EQ(health_.state(), PathState::failed);
  // Now probes write, and what cannot be written may be readable.
  EXPECT_TRUE(probe(1ms, "a test write: read-only file system"));
  EXPECT_EQ(health_.state(), PathState::read_only);
  EXPECT_FALSE(probe(1ms));
}

TEST_F(DiskHealth, ALongJobIsReasonForAWriteProbeOnly) {
  EXPECT_FALSE(tick(PathHealth::kSuspicious - 1ms));
  EXPECT_FALSE(health_.wants_write());
  EXPECT_FALSE(tick(PathHealth::kSuspicious));
  EXPECT_TRUE(health_.wants_write());
  EXPECT_FALSE(probe(1ms)); // it was just a long job
  EXPECT_EQ(health_.state(), PathState::ok);
  EXPECT_FALSE(tick(1ms));
  EXPECT_FALSE(health_.wants_write());
}

} // namespace
} // namespace cairn::storage
