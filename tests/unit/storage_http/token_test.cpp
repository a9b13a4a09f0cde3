// The FastDFS token, with the published vector (conformance checklist 88 to 90).
#include "storage/http/token.h"

#include <gtest/gtest.h>

namespace cairn::storage {
namespace {

constexpr std::string_view kName = "M00/00/00/wKgBFF1Tvn6AL_ulAAhuqKakO_M091.png";
constexpr std::string_view kSecret = "FastDFS1234567890";
constexpr std::string_view kToken = "703f2ed50ccb7d63f2b2ac6e0acf901f";
constexpr std::int64_t kSignedAt = 1'700'000'000;
constexpr std::chrono::seconds kTtl{600};

Result<std::chrono::seconds> check(std::string_view token, std::string_view ts, std::int64_t now) {
  return check_token(kName, kSecret, token, ts, now, kTtl);
}

TEST(Token, PublishedVector) {
  EXPECT_EQ(*make_token(kName, kSecret, 1'700'000'000), kToken);
}

TEST(Token, TimeToLive) {
  EXPECT_EQ(*check(kToken, "1700000000", kSignedAt), kTtl);
  EXPECT_EQ(check(kToken, "1700000000", kSignedAt + 600)->count(), 0);
  EXPECT_EQ(check(kToken, "1700000000", kSignedAt + 601).code(), Errc::denied);
  EXPECT_EQ(*check(kToken, "1700000000", kSignedAt - 5000), kTtl) << "the future is accepted";
}

TEST(Token, Refused) {
  for (const char* token :
       {"", "703f", "703F2ED50CCB7D63F2B2AC6E0ACF901F", "703f2ed50ccb7d63f2b2ac6e0acf901e",
        "703f2ed50ccb7d63f2b2ac6e0acf901f0"})
    EXPECT_EQ(check(token, "1700000000", kSignedAt).code(), Errc::denied) << token;
  for (const char* ts : {"", "-1", "01700000000", "1700000000 ", "x", "99999999999999999999999"})
    EXPECT_EQ(check(kToken, ts, kSignedAt).code(), Errc::denied) << ts;
  // Signed correctly, yet it would never expire.
  const std::string persistent = *make_token(kName, kSecret, 0);
  EXPECT_EQ(check(persistent, "0", kSignedAt).code(), Errc::denied);
}

} // namespace
} // namespace cairn::storage
