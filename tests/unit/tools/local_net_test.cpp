#include "tools/local_net.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sys/wait.h>
#include <unistd.h>

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

TEST_F(LocalNetsTest, AClusterThatIsJustBeingMadeIsNeitherTakenNorProbed) {
  // Another process claims 64 and lives on; its root says nothing yet.
  int told[2];
  int stop[2];
  ASSERT_EQ(::pipe(told), 0);
  ASSERT_EQ(::pipe(stop), 0);
  const pid_t maker = ::fork();
  ASSERT_GE(maker, 0);
  if (maker == 0) {
    char byte = nets().claim_any("/a", 0) ? 'y' : 'n';
    const bool good = ::write(told[1], &byte, 1) == 1 && ::read(stop[0], &byte, 1) == 1;
    ::_exit(good ? 0 : 1);
  }
  char byte = 0;
  ASSERT_EQ(::read(told[0], &byte, 1), 1);
  ASSERT_EQ(byte, 'y');
  std::set<unsigned> probed;
  LocalNets others(
      directory_ / "claims", [](const std::filesystem::path&) { return LocalNets::Owner(); },
      [&probed](unsigned net) { return probed.insert(net).second; });
  EXPECT_EQ(*others.claim_any("/b", 0), 65U);
  EXPECT_FALSE(probed.contains(64));
  EXPECT_EQ(others.claim(64, "/c").code(), Errc::exists);
  ASSERT_EQ(::write(stop[1], "x", 1), 1);
  ASSERT_EQ(::waitpid(maker, nullptr, 0), maker);
  // It ended without a cluster: the claim is nobody's.
  EXPECT_EQ(*nets().claim_any("/d", 0), 64U);
  for (const int fd : {told[0], told[1], stop[0], stop[1]}) ::close(fd);
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
