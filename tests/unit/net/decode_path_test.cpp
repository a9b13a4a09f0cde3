// Percent-decoding of URL paths.
#include "common/net/http_server.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(DecodePath, DecodesOnce) {
  EXPECT_EQ(*decode_path("/a/b"), "/a/b");
  EXPECT_EQ(*decode_path("/%4d00/%2e%2E"), "/M00/..");
  EXPECT_EQ(*decode_path("/%252f"), "/%2f");
  EXPECT_EQ(*decode_path("/a+b"), "/a+b");
  EXPECT_EQ(*decode_path("%41"), "A");
}

TEST(DecodePath, Refuses) {
  for (const char* bad : {"/%2f", "/%2F", "/%00", "/%", "/%4", "/%4x", "/%x4", "/a%"})
    EXPECT_EQ(decode_path(bad).code(), Errc::invalid_argument) << bad;
}

} // namespace
} // namespace cairn
