// Text forms: what is accepted, what is refused, and that what we write is read back.
#include "common/base/text.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <thread>

namespace cairn {
namespace {

using namespace std::chrono_literals;

TEST(Text, TrimAndSplit) {
  EXPECT_EQ(trim(" \ta b\r\n"), "a b");
  EXPECT_EQ(trim(" \t"), "");
  EXPECT_EQ(split("a,,b", ','), (std::vector<std::string_view>{"a", "", "b"}));
  EXPECT_EQ(split("", ','), (std::vector<std::string_view>{""}));
}

TEST(Text, Numbers) {
  EXPECT_EQ(*parse_u64("0"), 0U);
  EXPECT_EQ(*parse_u64("18446744073709551615"), UINT64_MAX);
  for (const char* bad : {"", "-1", "+1", " 1", "1 ", "0x10", "18446744073709551616", "1a"}) {
    EXPECT_EQ(parse_u64(bad).code(), Errc::invalid_argument) << bad;
  }
}

TEST(Text, Sizes) {
  const std::array<std::pair<const char*, std::uint64_t>, 10> good{{{"0", 0},
                                                                    {"512", 512},
                                                                    {"8B", 8},
                                                                    {"256KB", 262'144},
                                                                    {"64 MB", 67'108'864},
                                                                    {"1g", 1'073'741'824},
                                                                    {"20G", 21'474'836'480},
                                                                    {"4KiB", 4096},
                                                                    {"2T", 2'199'023'255'552},
                                                                    {"128k", 131'072}}};
  for (const auto& [text, value] : good) EXPECT_EQ(*parse_size(text), value) << text;
  for (const char* bad : {"", "K", "1X", "1.5G", "1KK", "-1K", "1 ", "99999999999T", "1Kb b"}) {
    EXPECT_EQ(parse_size(bad).code(), Errc::invalid_argument) << bad;
  }
  for (const std::uint64_t value : {0ULL, 1ULL, 1023ULL, 1024ULL, 1536ULL, 67'108'864ULL}) {
    EXPECT_EQ(*parse_size(format_size(value)), value);
  }
  EXPECT_EQ(format_size(64 << 20), "64M");
}

TEST(Text, Booleans) {
  for (const char* word : {"true", "TRUE", "yes", "On", "1"})
    EXPECT_TRUE(*parse_bool(word)) << word;
  for (const char* word : {"false", "No", "off", "0"}) EXPECT_FALSE(*parse_bool(word)) << word;
  for (const char* word : {"", "2", "y", "tru"}) EXPECT_FALSE(parse_bool(word)) << word;
}

TEST(Text, Percent) {
  EXPECT_DOUBLE_EQ(*parse_percent("20%"), 20);
  EXPECT_DOUBLE_EQ(*parse_percent("12.5 %"), 12.5);
  for (const char* bad : {"20", "%", "101%", "-1%", "nan%", "1e1%", "2x%"}) {
    EXPECT_FALSE(parse_percent(bad)) << bad;
  }
}

TEST(Text, TimesAndDurations) {
  EXPECT_EQ(*parse_time_of_day("02:05"), 125min);
  EXPECT_EQ(*parse_time_of_day("23:59"), 1439min);
  for (const char* bad : {"24:00", "1:60", "0100", "1:", ":30", "01:5", "01:30:00", ""}) {
    EXPECT_FALSE(parse_time_of_day(bad)) << bad;
  }
  EXPECT_EQ(*parse_duration("30"), 30s);
  EXPECT_EQ(*parse_duration("30s"), 30s);
  EXPECT_EQ(*parse_duration("5m"), 300s);
  EXPECT_EQ(*parse_duration("24h"), 86'400s);
  EXPECT_EQ(*parse_duration("90d"), 7'776'000s);
  for (const char* bad : {"", "s", "5x", "5ms", "-5", "1.5h", "99999999999d"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
  for (const auto value : {0s, 1s, 90s, 300s, 86'400s, 86'401s}) {
    EXPECT_EQ(*parse_duration(format_duration(value)), value);
  }
  EXPECT_EQ(format_duration(7'776'000s), "90d");
}

TEST(Text, Hex) {
  const std::array bytes{std::byte{0x00}, std::byte{0xFf}, std::byte{0x1a}};
  EXPECT_EQ(hex_encode(bytes), "00ff1a");
  EXPECT_EQ(*hex_decode("00FF1a"), std::vector(bytes.begin(), bytes.end()));
  EXPECT_FALSE(hex_decode("0"));
  EXPECT_FALSE(hex_decode("0g"));
}

TEST(Text, Base64RoundTrip) {
  for (std::size_t size = 0; size < 64; ++size) {
    std::vector<std::byte> bytes(size);
    random_bytes(bytes);
    const std::string text = base64url_encode(bytes);
    EXPECT_EQ(text.size(), (size * 4 + 2) / 3);
    EXPECT_EQ(*base64url_decode(text), bytes);
  }
}

// Checklist 76, with the buffers the names use.
TEST(Text, Base64OfAMillionTimesTwentyBytes) {
  std::array<std::byte, 20> bytes{};
  std::array<std::byte, 20> back{};
  std::array<char, 27> text{};
  for (int i = 0; i < 1'000'000; ++i) {
    for (std::size_t at = 0; at < bytes.size(); at += 4) {
      const std::uint64_t word = random_u64();
      for (std::size_t k = 0; k < 4; ++k) bytes[at + k] = static_cast<std::byte>(word >> (8 * k));
    }
    base64url_encode_to(bytes, text);
    ASSERT_TRUE(base64url_decode_to({text.data(), text.size()}, back));
    ASSERT_EQ(bytes, back);
  }
}

TEST(Text, Base64RefusesWhatItDoesNotWrite) {
  for (const char* bad : {"A", "AB", "AAB", "AA==", "A+AA", "A/AA", "AAA.", "AA A"}) {
    EXPECT_FALSE(base64url_decode(bad)) << bad;
  }
  EXPECT_TRUE(base64url_decode("AQ"));
}

TEST(Text, PercentDecodesOnce) {
  EXPECT_EQ(*percent_decode("a%2eb%2F"), "a.b/");
  EXPECT_EQ(*percent_decode("%252e"), "%2e");
  EXPECT_EQ(*percent_decode("a+b"), "a+b");
  EXPECT_EQ(percent_decode("%00")->size(), 1U);
  EXPECT_EQ(*percent_decode("%41"), "A");
  for (const char* bad : {"%", "%4", "a%4", "%zz", "%4g"}) EXPECT_FALSE(percent_decode(bad)) << bad;
}

TEST(Text, HostPort) {
  EXPECT_EQ(*parse_host_port("10.0.0.1:23000"), (HostPort{"10.0.0.1", 23000}));
  EXPECT_EQ(*parse_host_port("[2001:db8::1]:1"), (HostPort{"2001:db8::1", 1}));
  EXPECT_EQ(*parse_host_port("a-1.example:65535"), (HostPort{"a-1.example", 65535}));
  EXPECT_EQ(*parse_host_port("::1", 9), (HostPort{"::1", 9}));
  EXPECT_EQ(*parse_host_port("[::1]", 9), (HostPort{"::1", 9}));
  EXPECT_EQ(*parse_host_port("host", 9), (HostPort{"host", 9}));
  EXPECT_EQ((HostPort{"::1", 9}).text(), "[::1]:9");
  EXPECT_FALSE(parse_host_port("host"));
  for (const char* bad : {"", ":1", "h:", "h:0", "h:65536", "h:1x", "h h:1", "[::1", "[::1]1",
                          "[h]:1", "1.2.3:1", "256.1.1.1:1", "::g", "-h:1", "a/b:1"}) {
    EXPECT_FALSE(parse_host_port(bad, 9)) << bad;
  }
}

TEST(Text, RandomDiffersBetweenThreads) {
  std::uint64_t other = 0;
  std::thread([&] { other = random_u64(); }).join();
  const std::set<std::uint64_t> all{other, random_u64(), random_u64(), random_u64()};
  EXPECT_EQ(all.size(), 4U);
}

TEST(Text, Uuid) {
  const std::string uuid = uuid_v4();
  ASSERT_EQ(uuid.size(), 36U);
  EXPECT_EQ(uuid[8], '-');
  EXPECT_EQ(uuid[14], '4');
  EXPECT_NE(std::string("89ab").find(uuid[19]), std::string::npos);
  EXPECT_NE(uuid, uuid_v4());
}

} // namespace
} // namespace cairn
