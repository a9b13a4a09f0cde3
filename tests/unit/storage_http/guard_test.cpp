// Host patterns.
#include "storage/http/guard.h"

#include <gtest/gtest.h>

namespace cairn::storage {

TEST(HostPattern, StarsStandForAnyText) {
  EXPECT_TRUE(fits_pattern("shop.example", "shop.example"));
  EXPECT_TRUE(fits_pattern("*.example", "a.b.example"));
  EXPECT_TRUE(fits_pattern("*", ""));
  EXPECT_TRUE(fits_pattern("a*b*c", "axxbyybc"));
  EXPECT_TRUE(fits_pattern("www.*", "www.shop.example"));
  EXPECT_FALSE(fits_pattern("*.example", "example"));
  EXPECT_FALSE(fits_pattern("shop.example", "shop.example.evil"));
  EXPECT_FALSE(fits_pattern("*.example", "x.example.evil"));
  EXPECT_FALSE(fits_pattern("", "x"));
  EXPECT_FALSE(fits_pattern(std::string("*a*a*a*a*b"), std::string(200, 'a')));
}

} // namespace cairn::storage
