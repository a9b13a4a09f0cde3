#include "cairn/types.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(Trackers, SeveralWithAndWithoutPort) {
  const auto trackers = parse_trackers("10.0.0.1, tracker.example:22123,[::1]:5");
  ASSERT_TRUE(trackers);
  EXPECT_EQ(*trackers,
            (std::vector<Address>{{"10.0.0.1", 22122}, {"tracker.example", 22123}, {"::1", 5}}));
  EXPECT_EQ(trackers->back().text(), "[::1]:5");
  EXPECT_FALSE(parse_trackers(""));
  EXPECT_FALSE(parse_trackers("a,,b"));
}

TEST(ParseId, SaysWhatTheNameSays) {
  const auto normal = parse_id("group1/M00/00/00/oYYBAGMi4zGAYNoxABY-esN9nNw502.jpg");
  ASSERT_TRUE(normal);
  EXPECT_EQ(normal->group, "group1");
  EXPECT_EQ(normal->type, FileType::normal);
  EXPECT_EQ(normal->source, "100001");
  EXPECT_EQ(normal->time, 1'663'230'769);
  EXPECT_TRUE(normal->has_checksum);
  EXPECT_EQ(normal->size, 1'457'786U);
  EXPECT_EQ(normal->crc32, 0xC37D9CDCU);

  const auto appender = parse_id("group1/M00/00/00/CqgWMGIgcUiEPsHJAAAAADY6MCA314.txt");
  ASSERT_TRUE(appender);
  EXPECT_EQ(appender->type, FileType::appender);
  EXPECT_FALSE(appender->has_checksum);

  EXPECT_EQ(parse_id("group1/M00/../x").code(), Errc::invalid_argument);
  EXPECT_EQ(parse_id("nothing").code(), Errc::invalid_argument);
}

} // namespace
} // namespace cairn
