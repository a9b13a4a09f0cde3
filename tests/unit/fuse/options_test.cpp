// Command lines as people, fstab and systemd write them.
#include "fuse/options.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>

namespace cairn::fuse {
namespace {

Result<MountOptions> parse(std::vector<std::string> arguments,
                           std::map<std::string, std::string> environment = {}, bool root = false) {
  if (arguments.empty() || !arguments[0].starts_with("mount.")) {
    arguments.insert(arguments.begin(), "cairn-mount");
  }
  return parse_mount_options(
      arguments,
      [&environment](const char* name) -> const char* {
        const auto found = environment.find(name);
        return found == environment.end() ? nullptr : found->second.c_str();
      },
      root);
}

bool has(const MountOptions& options, std::string_view word) {
  return std::ranges::find(options.kernel, word) != options.kernel.end();
}

TEST(MountOptions, TrackersExportAndPath) {
  const auto options = parse({"10.0.0.1,[::1]:22123:/images/2012/03/", "/mnt"});
  ASSERT_TRUE(options);
  ASSERT_EQ(options->trackers.size(), 2U);
  EXPECT_EQ(options->trackers[0], Address("10.0.0.1", 22122));
  EXPECT_EQ(options->trackers[1], Address("::1", 22123));
  EXPECT_EQ(options->export_name, "images");
  EXPECT_EQ(options->path, "2012/03");
  EXPECT_EQ(options->directory, "/mnt");
  EXPECT_FALSE(options->foreground);
  EXPECT_FALSE(options->soft);
}

TEST(MountOptions, WithoutAPathAllExports) {
  const auto options = parse({"-f", "tracker", "/mnt"});
  ASSERT_TRUE(options);
  EXPECT_TRUE(options->foreground);
  EXPECT_EQ(options->export_name, "");
  EXPECT_EQ(options->path, "");
}

TEST(MountOptions, GenericOptionsAreAccepted) {
  const auto options =
      parse({"tracker:/images", "/mnt", "-o",
             "rw,dev,nosuid,exec,noatime,relatime,default_permissions,allow_other,max_read=65536,"
             "fsname=a\\,b,"
             "subtype=x,_netdev,nofail,noauto,x-systemd.automount,x-systemd.idle-timeout=60"});
  ASSERT_TRUE(options) << options.error().detail;
  EXPECT_TRUE(has(*options, "nosuid"));
  EXPECT_TRUE(has(*options, "dev"));
  EXPECT_TRUE(has(*options, "noatime"));
  EXPECT_TRUE(has(*options, "allow_other"));
  EXPECT_TRUE(has(*options, "max_read=65536"));
  EXPECT_TRUE(has(*options, "fsname=a\\,b"));
  EXPECT_TRUE(has(*options, "subtype=x"));
  EXPECT_FALSE(has(*options, "subtype=cairn"));
}

TEST(MountOptions, OptionsOfCairn) {
  const auto options = parse({"-o", "soft,timeout=7", "-osoft,cache=3,uid=5,gid=6,umask=027,ro,acl",
                              "tracker:/images", "/mnt"});
  ASSERT_TRUE(options) << options.error().detail;
  EXPECT_TRUE(options->soft);
  EXPECT_EQ(options->timeout, std::chrono::seconds(7));
  EXPECT_EQ(options->cache, std::chrono::seconds(3));
  EXPECT_EQ(options->uid, 5U);
  EXPECT_EQ(options->gid, 6U);
  EXPECT_EQ(options->umask, 027U);
  EXPECT_TRUE(options->read_only);
  EXPECT_TRUE(has(*options, "ro"));
  EXPECT_TRUE(options->acl);
}

TEST(MountOptions, NothingIsBelievedBeyondTheLease) {
  const auto options = parse({"tracker:/images", "/mnt", "-o", "cache=3600"});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->cache, std::chrono::seconds(10));
}

TEST(MountOptions, RootMountsForEverybody) {
  EXPECT_TRUE(has(*parse({"tracker", "/mnt"}, {}, true), "allow_other"));
  EXPECT_FALSE(has(*parse({"tracker", "/mnt"}, {}, false), "allow_other"));
}

TEST(MountOptions, WhatIsUnknownIsAnError) {
  for (const char* wrong :
       {"nonsense", "timeout=x", "timeout=0", "umask=9", "uid=-1", "remount", "nonsense=1"}) {
    EXPECT_FALSE(parse({"tracker", "/mnt", "-o", wrong})) << wrong;
  }
  EXPECT_FALSE(parse({"tracker"}));
  EXPECT_FALSE(parse({"-x", "tracker", "/mnt"}));
}

TEST(MountOptions, AsMountCallsIt) {
  const auto options =
      parse({"mount.cairn", "tracker:/images", "/mnt", "-s", "-n", "-o", "rw,nonsense"});
  ASSERT_TRUE(options) << options.error().detail;
  EXPECT_FALSE(options->foreground);
  const auto fake = parse({"mount.cairn", "tracker:/images", "/mnt", "-f"});
  ASSERT_TRUE(fake);
  EXPECT_TRUE(fake->fake);
}

TEST(MountOptions, TheEnvironmentNamesTrackersAndCredentials) {
  EXPECT_FALSE(parse({":/images", "/mnt"}));
  const auto trackers = parse({":/images", "/mnt"}, {{"CAIRN_TRACKER", "10.0.0.9:1"}});
  ASSERT_TRUE(trackers);
  EXPECT_EQ(trackers->trackers.at(0), Address("10.0.0.9", 1));
  const auto conf = parse({"tracker:/images", "/mnt"}, {{"CAIRN_CONF", "/etc/cairn/client.conf"}});
  ASSERT_TRUE(conf);
  EXPECT_EQ(conf->conf, "/etc/cairn/client.conf");
  const auto given = parse({":/images", "/mnt", "-o", "conf=/a.conf"}, {{"CAIRN_CONF", "/b.conf"}});
  ASSERT_TRUE(given);
  EXPECT_EQ(given->conf, "/a.conf");
}

// The manual page has every option that --help has.
TEST(MountOptions, TheManualPageIsComplete) {
  std::ifstream file(CAIRN_SOURCE_DIR "/fuse/cairn-mount.8");
  const std::string page((std::istreambuf_iterator<char>(file)), {});
  std::istringstream help{std::string(mount_help())};
  bool options = false;
  int seen = 0;
  for (std::string line; std::getline(help, line);) {
    if (line.starts_with("options of Cairn")) options = true;
    if (!options || !line.starts_with("  ") || line.starts_with("   ")) continue;
    const std::string name = line.substr(2, line.find_first_of("=, ", 2) - 2);
    EXPECT_NE(page.find(name), std::string::npos) << name;
    ++seen;
  }
  EXPECT_GT(seen, 10);
}

} // namespace
} // namespace cairn::fuse
