// storage_ids.conf (checklist 100).
#include "common/config/storage_ids.h"

#include <gtest/gtest.h>

namespace cairn::config {
namespace {

TEST(StorageIds, Forms) {
  const auto entries = parse_storage_ids(
      "# id group address\n\n"
      "100001   group1  192.168.0.196\n"
      "100002\tgroup1  192.168.0.197,10.0.0.2:23001  rw=read\r\n"
      "100003 group2 [2409:8a20::1,fe80::2]:23002 rw=none\n"
      "100004 group2 node-4.example:23000 rw=write\n"
      "16777215 group2 [2409:8a20::9] rw=both",
      "ids");
  ASSERT_TRUE(entries) << entries.error().text();
  ASSERT_EQ(entries->size(), 5U);
  EXPECT_EQ((*entries)[0], (StorageIdEntry{100001, "group1", {"192.168.0.196"}, 0, true, true}));
  EXPECT_EQ((*entries)[1],
            (StorageIdEntry{100002, "group1", {"192.168.0.197", "10.0.0.2"}, 23001, true, false}));
  EXPECT_EQ((*entries)[2],
            (StorageIdEntry{100003, "group2", {"2409:8a20::1", "fe80::2"}, 23002, false, false}));
  EXPECT_EQ((*entries)[3],
            (StorageIdEntry{100004, "group2", {"node-4.example"}, 23000, false, true}));
  EXPECT_EQ((*entries)[4], (StorageIdEntry{16777215, "group2", {"2409:8a20::9"}, 0, true, true}));
}

TEST(StorageIds, ErrorsNameTheLine) {
  for (const char* bad :
       {"1 group1", "0 g 10.0.0.1", "16777216 g 10.0.0.1", "x g 10.0.0.1", "1 g-1 10.0.0.1",
        "1 g 10.0.0.1:x", "1 g 10.0.0.300", "1 g a,b,c", "1 g 10.0.0.1 rw=maybe", "1 g 10.0.0.1 ro",
        "1 g [::1", "1 g ,", "1 g 10.0.0.1\n1 g 10.0.0.2", "1 g 10.0.0.1\n2 g 10.0.0.1"}) {
    const auto entries = parse_storage_ids(bad, "ids");
    ASSERT_FALSE(entries) << bad;
    const std::string line =
        std::string_view(bad).find('\n') == std::string_view::npos ? "ids:1: " : "ids:2: ";
    EXPECT_TRUE(entries.error().detail.starts_with(line)) << entries.error().detail;
  }
  EXPECT_TRUE(parse_storage_ids("1 g 10.0.0.1:1\n2 g 10.0.0.1:2", "ids"));
}

} // namespace
} // namespace cairn::config
