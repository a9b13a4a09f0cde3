// Shapes of file URLs and their queries.
#include "storage/http/url.h"

#include <gtest/gtest.h>

namespace cairn::storage {
namespace {

TEST(Url, RemoteNames) {
  EXPECT_EQ(remote_name_of("/M00/00/00/a", "group1"), "M00/00/00/a");
  EXPECT_EQ(remote_name_of("/group1/M00/00/00/a", "group1"), "M00/00/00/a");
  EXPECT_EQ(remote_name_of("/group1/x", "group1"), "x") << "the group's, however odd";
  for (const char* other : {"", "/", "/group1", "/group2/M00/00/00/a", "/group11/M00/00/00/a",
                            "/Mxx/00/00/a", "/M00", "//M00/00/00/a", "M00/00/00/a"})
    EXPECT_EQ(remote_name_of(other, "group1"), std::nullopt) << other;
}

TEST(Url, QueryValues) {
  EXPECT_EQ(**query_value("a=1&b=2&a=3", "a"), "1");
  EXPECT_EQ(**query_value("a=1&b=%41+%2b", "b"), "A +");
  EXPECT_EQ(**query_value("a&b", "b"), "");
  EXPECT_EQ(*query_value("ab=1", "a"), std::nullopt);
  EXPECT_EQ(*query_value("", "a"), std::nullopt);
  EXPECT_EQ(query_value("a=%4", "a").code(), Errc::invalid_argument);
  std::string many;
  for (int i = 0; i < 32; ++i) many += "x=1&";
  EXPECT_EQ(*query_value(many + "a=1", "a"), std::nullopt) << "only 32 are looked at";
}

} // namespace
} // namespace cairn::storage
