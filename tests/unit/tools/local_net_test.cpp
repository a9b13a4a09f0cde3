#include "tools/local_net.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace cairn::tools {
namespace {

class LocalNetsTest : public testing::Test {
protected:
  LocalNetsTest() {
    std::string pattern = testing::TempDir() + "cairn-nets-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
  }
  ~LocalNetsTest() override { std::filesystem::remove_all(directory_); }

  LocalNets nets() {
    return LocalNets(
        directory_ / "claims",
        [this](const std::filesystem::path& root) {
          const auto found = owners_.find(root.string());
          return found == owners_.end() ? LocalNets::Owner() : found->second;
        },
        [this](unsigned net) { return !taken_.contains(net); });
  }

  std::filesystem::path directory_;
  std::map<std::string, LocalNets::Owner> owners_; // by root
  std::set<unsigned> taken_;                       // by other programs
};

TEST_F(LocalNetsTest, EveryClusterGetsItsOwn) {
  EXPECT_EQ(*nets().claim_any("/a", 0), 64U);
  owners_["/a"] = {64, true};
  EXPECT_EQ(*nets().claim_any("/b", 0), 65U);
}

TEST_F(LocalNetsTest, WhatIsInUseOtherwiseIsLeftOut) {
  taken_ = {64, 65};
  EXPECT_EQ(*nets().claim_any("/a", 0), 66U);
}

TEST_F(LocalNetsTest, TheTurnWrapsAround) {
  EXPECT_EQ(*nets().claim_any("/a", 127), 191U);
  owners_["/a"] = {191, true};
  EXPECT_EQ(*nets().claim_any("/b", 127), 64U);
}

TEST_F(LocalNetsTest, AStoppedClusterKeepsItsAddresses) {
  EXPECT_EQ(*nets().claim_any("/a", 0), 64U);
  owners_["/a"] = {64, false};
  EXPECT_EQ(*nets().claim_any("/b", 0), 65U);
}

TEST_F(LocalNetsTest, AClaimWhoseRootIsGoneIsNobodys) {
  EXPECT_EQ(*nets().claim_any("/a", 0), 64U);
  EXPECT_EQ(*nets().claim_any("/b", 0), 64U);
}

TEST_F(LocalNetsTest, WhenAllAreClaimedAStoppedOneGivesWay) {
  for (unsigned net = kAutoNetFirst; net <= kAutoNetLast; ++net) {
    const std::string root = "/r" + std::to_string(net);
    ASSERT_EQ(*nets().claim_any(root, 0), net);
    owners_[root] = {net, net != 100};
  }
  EXPECT_EQ(*nets().claim_any("/new", 0), 100U);
  owners_["/new"] = {100, true};
  EXPECT_EQ(nets().claim_any("/newer", 0).code(), Errc::unavailable);
}

TEST_F(LocalNetsTest, ANamedOneIsRefusedWhileAnotherClusterRunsThere) {
  ASSERT_TRUE(nets().claim(7, "/a"));
  owners_["/a"] = {7, true};
  EXPECT_TRUE(nets().claim(7, "/a"));
  EXPECT_EQ(nets().claim(7, "/b").code(), Errc::exists);
  owners_["/a"].running = false;
  EXPECT_TRUE(nets().claim(7, "/b"));
}

TEST_F(LocalNetsTest, ReleaseIsForTheHolderOnly) {
  ASSERT_EQ(*nets().claim_any("/a", 0), 64U);
  owners_["/a"] = {64, true};
  ASSERT_TRUE(nets().release(64, "/b"));
  EXPECT_EQ(*nets().claim_any("/b", 0), 65U);
  ASSERT_TRUE(nets().release(64, "/a"));
  EXPECT_EQ(*nets().claim_any("/c", 0), 64U);
}

} // namespace
} // namespace cairn::tools
