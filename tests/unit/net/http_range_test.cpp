// Ranges, conditions, dates and dispositions.
#include "common/net/http_range.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

using Kind = RangeAnswer::Kind;
using Ranges = std::vector<ByteRange>;

constexpr std::int64_t kNow = 1'700'000'000; // Tue, 14 Nov 2023 22:13:20 GMT

TEST(HttpRange, SingleRanges) {
  const std::pair<const char*, ByteRange> good[] = {
      {"bytes=0-0", {0, 0}},          {"bytes=0-", {0, 999}},
      {"bytes=500-", {500, 999}},     {"bytes=-1", {999, 999}},
      {"bytes=-5000", {0, 999}},      {"bytes=10-19", {10, 19}},
      {"bytes=990-5000", {990, 999}}, {"BYTES=1-2", {1, 2}},
      {"bytes= 1-2 ", {1, 2}},        {"bytes=0-99999999999999999999999", {0, 999}},
  };
  for (const auto& [header, range] : good) {
    const RangeAnswer answer = parse_range(header, 1000);
    EXPECT_EQ(answer.kind, Kind::partial) << header;
    EXPECT_EQ(answer.ranges, Ranges{range}) << header;
  }
}

TEST(HttpRange, UnsatisfiableAndMalformed) {
  for (const char* header :
       {"bytes=1000-", "bytes=1000-2000", "bytes=-0", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-4",
        "bytes=1", "bytes=1-2-3", "bytes=1 - 2", "bytes=0x1-2", "bytes=+1-2",
        "bytes=99999999999999999999999-", "bytes=1-2,x", "bytes=--5"}) {
    EXPECT_EQ(parse_range(header, 1000).kind, Kind::unsatisfiable) << header;
  }
}

TEST(HttpRange, IgnoredOnes) {
  for (const char* header : {"", "items=0-5", "0-5", "bytes"})
    EXPECT_EQ(parse_range(header, 1000).kind, Kind::whole) << header;
}

TEST(HttpRange, EmptyFile) {
  EXPECT_EQ(parse_range("bytes=0-", 0).kind, Kind::unsatisfiable);
  EXPECT_EQ(parse_range("bytes=0-0", 0).kind, Kind::unsatisfiable);
  EXPECT_EQ(parse_range("bytes=-5", 0).kind, Kind::whole);
}

TEST(HttpRange, SeveralRanges) {
  EXPECT_EQ(parse_range("bytes=0-0, 5-6 ,,-1", 1000).ranges, (Ranges{{0, 0}, {5, 6}, {999, 999}}));
  // Those beyond the end are dropped while one remains.
  EXPECT_EQ(parse_range("bytes=2000-,0-1", 1000).ranges, (Ranges{{0, 1}}));
  EXPECT_EQ(parse_range("bytes=2000-,3000-", 1000).kind, Kind::unsatisfiable);
}

TEST(HttpRange, FloodsGetTheWholeFile) {
  EXPECT_EQ(parse_range("bytes=0-,0-", 1000).kind, Kind::whole);
  EXPECT_EQ(parse_range("bytes=0-599,400-999", 1000).kind, Kind::whole);
  std::string many = "bytes=0-0";
  for (std::size_t i = 1; i < kRangesMax; ++i) many += ",2-2";
  EXPECT_EQ(parse_range(many, 1000).ranges.size(), kRangesMax);
  EXPECT_EQ(parse_range(many + ",3-3", 1000).kind, Kind::whole);
  // Sums must not wrap around.
  EXPECT_EQ(parse_range("bytes=0-,1-,2-", UINT64_MAX).kind, Kind::whole);
}

TEST(HttpRange, ContentRange) {
  EXPECT_EQ(content_range({0, 99}, 1234), "bytes 0-99/1234");
  EXPECT_EQ(content_range_unsatisfied(7), "bytes */7");
}

TEST(HttpDate, ThreeForms) {
  constexpr std::int64_t kTime = 784'111'777;
  EXPECT_EQ(format_http_date(kTime), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT", kNow), kTime);
  EXPECT_EQ(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT", kNow), kTime);
  EXPECT_EQ(parse_http_date("Sun Nov  6 08:49:37 1994", kNow), kTime);
  EXPECT_EQ(parse_http_date("Wednesday, 01-Jan-70 00:00:00 GMT", kNow), 3'155'760'000)
      << "2070 is within 50 years of 2023";
}

TEST(HttpDate, EveryFormattedDateIsReadBack) {
  for (std::int64_t time = 0; time < 4'294'967'296; time += 7'654'321)
    EXPECT_EQ(parse_http_date(format_http_date(time), kNow), time);
}

TEST(HttpDate, Refused) {
  for (const char* bad :
       {"", "0", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 GMT+1",
        "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT", "Xxx, 06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37Z", "Sun Nov 66 08:49:37 1994"}) {
    EXPECT_EQ(parse_http_date(bad, kNow), std::nullopt) << bad;
  }
}

TEST(HttpConditions, EntityTags) {
  const Validators strong{"\"abc\"", kNow - 1000};
  const Validators weak{"W/\"abc\"", kNow - 1000};
  const auto evaluate = [](std::string_view match, std::string_view none_match,
                           const Validators& validators) {
    ConditionHeaders headers;
    headers.if_match = match;
    headers.if_none_match = none_match;
    return evaluate_preconditions(headers, validators, kNow);
  };
  EXPECT_EQ(evaluate("\"abc\"", "", strong), Precondition::proceed);
  EXPECT_EQ(evaluate("*", "", strong), Precondition::proceed);
  EXPECT_EQ(evaluate("\"x\", \"abc\"", "", strong), Precondition::proceed);
  EXPECT_EQ(evaluate("\"x\"", "", strong), Precondition::failed);
  EXPECT_EQ(evaluate("abc", "", strong), Precondition::failed);
  EXPECT_EQ(evaluate("W/\"abc\"", "", strong), Precondition::failed) << "If-Match is strong";
  EXPECT_EQ(evaluate("\"abc\"", "", weak), Precondition::failed);

  EXPECT_EQ(evaluate("", "\"abc\"", strong), Precondition::not_modified);
  EXPECT_EQ(evaluate("", "*", strong), Precondition::not_modified);
  EXPECT_EQ(evaluate("", "W/\"abc\"", strong), Precondition::not_modified);
  EXPECT_EQ(evaluate("", "\"a,c\" , \"abc\"", weak), Precondition::not_modified);
  EXPECT_EQ(evaluate("", "\"x\"", strong), Precondition::proceed);
  EXPECT_EQ(evaluate("", "\"abc", strong), Precondition::proceed);
  EXPECT_EQ(evaluate("\"x\"", "\"abc\"", strong), Precondition::failed) << "If-Match goes first";
}

TEST(HttpConditions, Dates) {
  const Validators validators{"\"abc\"", kNow - 1000};
  const std::string same = format_http_date(kNow - 1000);
  const std::string before = format_http_date(kNow - 1001);
  const std::string after = format_http_date(kNow - 999);
  const auto modified_since = [&](std::string_view date, std::string_view none_match = {}) {
    ConditionHeaders headers;
    headers.if_modified_since = date;
    headers.if_none_match = none_match;
    return evaluate_preconditions(headers, validators, kNow);
  };
  EXPECT_EQ(modified_since(same), Precondition::not_modified);
  EXPECT_EQ(modified_since(after), Precondition::not_modified);
  EXPECT_EQ(modified_since(before), Precondition::proceed);
  EXPECT_EQ(modified_since("yesterday"), Precondition::proceed);
  EXPECT_EQ(modified_since(same, "\"x\""), Precondition::proceed) << "If-None-Match replaces it";

  const auto unmodified_since = [&](std::string_view date, std::string_view match = {}) {
    ConditionHeaders headers;
    headers.if_unmodified_since = date;
    headers.if_match = match;
    return evaluate_preconditions(headers, validators, kNow);
  };
  EXPECT_EQ(unmodified_since(same), Precondition::proceed);
  EXPECT_EQ(unmodified_since(before), Precondition::failed);
  EXPECT_EQ(unmodified_since("yesterday"), Precondition::proceed);
  EXPECT_EQ(unmodified_since(before, "\"abc\""), Precondition::proceed) << "If-Match replaces it";
}

TEST(HttpConditions, IfRange) {
  const Validators old{"\"abc\"", kNow - 1000};
  const Validators fresh{"\"abc\"", kNow};
  const Validators weak{"W/\"abc\"", kNow - 1000};
  EXPECT_TRUE(if_range_holds("", old, kNow));
  EXPECT_TRUE(if_range_holds("\"abc\"", old, kNow));
  EXPECT_FALSE(if_range_holds("\"x\"", old, kNow));
  EXPECT_FALSE(if_range_holds("W/\"abc\"", weak, kNow));
  EXPECT_FALSE(if_range_holds("\"abc\"", weak, kNow));
  EXPECT_FALSE(if_range_holds("*", old, kNow));
  EXPECT_TRUE(if_range_holds(format_http_date(kNow - 1000), old, kNow));
  EXPECT_FALSE(if_range_holds(format_http_date(kNow - 999), old, kNow));
  EXPECT_FALSE(if_range_holds(format_http_date(kNow), fresh, kNow)) << "may change again";
}

TEST(ContentDisposition, QuotesWhatStrangersSend) {
  EXPECT_EQ(content_disposition("a.jpg"), "attachment; filename=\"a.jpg\"");
  EXPECT_EQ(content_disposition("a\"b.jpg"), "attachment; filename=\"a\\\"b.jpg\"");
  EXPECT_EQ(content_disposition("x\r\nSet-Cookie: a=b"),
            "attachment; filename=\"xSet-Cookie: a=b\"");
  EXPECT_EQ(content_disposition("../..\\a"), "attachment; filename=\".._.._a\"");
  EXPECT_EQ(content_disposition("h\xC3\xA9 \xE4\xB8\xAD.png"),
            "attachment; filename=\"h_ _.png\"; filename*=UTF-8''h%C3%A9%20%E4%B8%AD.png");
  EXPECT_EQ(content_disposition("a\xFF.png"), "attachment; filename=\"a_.png\"") << "no UTF-8";
}

} // namespace
} // namespace cairn
