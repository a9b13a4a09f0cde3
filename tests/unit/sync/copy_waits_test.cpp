// Who is told when, as peers get further, refuse changes, come and go.
#include "storage/sync/copy_waits.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <random>

namespace cairn::storage {
namespace {

using namespace std::chrono_literals;

class CopyWaitsTest : public testing::Test {
protected:
  // Starts a wait on the loop; the answer is there once it has ended.
  std::shared_ptr<std::optional<unsigned>> wait(std::uint64_t seq, unsigned copies,
                                                std::chrono::milliseconds timeout = 1h) {
    auto answer = std::make_shared<std::optional<unsigned>>();
    asio::co_spawn(loop, run(seq, copies, timeout, answer), asio::detached);
    settle();
    return answer;
  }
  Task<void> run(std::uint64_t seq, unsigned copies, std::chrono::milliseconds timeout,
                 std::shared_ptr<std::optional<unsigned>> answer) {
    *answer = co_await waits.wait(seq, copies, timeout);
  }
  // Runs what can run now.
  void settle() {
    loop.restart();
    loop.poll();
  }
  void has(std::uint32_t peer, CopyWaits::PeerPosition position) {
    waits.peer_has(peer, std::move(position));
    settle();
  }

  asio::io_context loop;
  CopyWaits waits;
};

TEST_F(CopyWaitsTest, OneCopyIsThisNode) {
  EXPECT_EQ(*wait(5, 1), 1U);
  EXPECT_EQ(waits.reachable(), 1U);
}

TEST_F(CopyWaitsTest, WaitsUntilAPeerHasIt) {
  has(1, {true, 4, {}});
  const auto answer = wait(5, 2);
  EXPECT_FALSE(*answer);
  has(1, {true, 5, {}});
  EXPECT_EQ(*answer, 2U);
  EXPECT_EQ(*wait(5, 2), 2U);
}

TEST_F(CopyWaitsTest, WhatAPeerHasCountsAlsoWhenItIsGone) {
  has(1, {true, 9, {}});
  has(1, {false, 9, {}});
  EXPECT_EQ(*wait(9, 2), 2U);
  EXPECT_EQ(waits.reachable(), 1U);
}

TEST_F(CopyWaitsTest, TooFewPeersAreToldAtOnce) {
  EXPECT_EQ(*wait(5, 2), 1U);
  has(1, {true, 5, {}});
  EXPECT_EQ(*wait(5, 3), 2U);
}

TEST_F(CopyWaitsTest, AChangeThatAPeerRefusedIsNoCopy) {
  has(1, {true, 4, {}});
  const auto answer = wait(5, 2);
  has(1, {true, 8, {5}});
  EXPECT_FALSE(*answer);
  EXPECT_EQ(*wait(6, 2), 2U);
  has(1, {true, 8, {}});
  EXPECT_EQ(*answer, 2U);
}

TEST_F(CopyWaitsTest, APeerThatLeavesIsWaitedForNoLonger) {
  has(1, {true, 0, {}});
  const auto dropped = wait(5, 2);
  has(1, {false, 0, {}});
  EXPECT_EQ(*dropped, 1U);
  has(1, {true, 0, {}});
  const auto removed = wait(5, 2);
  EXPECT_FALSE(*removed);
  waits.peer_gone(1);
  settle();
  EXPECT_EQ(*removed, 1U);
}

TEST_F(CopyWaitsTest, TheTimeIsBounded) {
  has(1, {true, 0, {}});
  const auto answer = wait(5, 2, 5ms);
  EXPECT_FALSE(*answer);
  loop.restart();
  loop.run();
  EXPECT_EQ(*answer, 1U);
  // Nobody is left behind: what comes now wakes nobody.
  has(1, {true, 5, {}});
}

// Against a model that knows what every peer has.
TEST_F(CopyWaitsTest, NobodyIsToldTooEarlyOrNever) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  constexpr std::uint32_t kPeers = 3;
  std::array<CopyWaits::PeerPosition, kPeers> peers;
  struct Waiting {
    std::uint64_t seq;
    unsigned copies;
    std::shared_ptr<std::optional<unsigned>> answer;
    bool told = false;
  };
  std::vector<Waiting> all;
  for (int step = 0; step < 3000; ++step) {
    const auto which = static_cast<std::uint32_t>(random() % kPeers);
    CopyWaits::PeerPosition& peer = peers[which];
    switch (random() % 4) {
      case 0:
        peer.follows = random() % 4 != 0;
        break;
      case 1:
        peer.through += random() % 8;
        break;
      case 2:
        peer.lacks.clear();
        if (random() % 2 == 0) peer.lacks.push_back(random() % (peer.through + 1));
        break;
      default:
        all.push_back({random() % 2000, 1 + static_cast<unsigned>(random() % 4), nullptr, false});
        all.back().answer = wait(all.back().seq, all.back().copies);
    }
    has(which, peer);
    for (Waiting& one : all) {
      if (one.told) continue;
      unsigned have = 1;
      unsigned could = 1;
      for (const auto& p : peers) {
        const bool got = p.through >= one.seq &&
                         std::find(p.lacks.begin(), p.lacks.end(), one.seq) == p.lacks.end();
        have += got ? 1 : 0;
        could += got || p.follows ? 1 : 0;
      }
      one.told = one.answer->has_value();
      if (one.told) continue;
      EXPECT_TRUE(have < one.copies && could >= one.copies)
          << "a change at " << one.seq << " with " << have << " of " << one.copies << " waits";
    }
  }
  for (std::uint32_t peer = 0; peer < kPeers; ++peer) has(peer, {false, 0, {}});
  for (const Waiting& one : all) EXPECT_TRUE(one.answer->has_value());
}

} // namespace
} // namespace cairn::storage
