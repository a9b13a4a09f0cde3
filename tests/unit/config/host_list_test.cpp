// Which addresses a list matches.
#include "common/config/host_list.h"

#include <gtest/gtest.h>

namespace cairn::config {
namespace {

HostList list_of(std::string_view entries) {
  HostList list;
  const Status status = list.add(entries);
  EXPECT_TRUE(status) << status.error().text();
  return list;
}

TEST(HostList, EmptyListHasNobody) {
  const HostList list;
  EXPECT_TRUE(list.empty());
  EXPECT_FALSE(list.contains("127.0.0.1"));
}

TEST(HostList, AddressesAndNetworks) {
  const HostList list = list_of("10.0.0.1, 192.168.5.64/26,fd00:1::/32 , ::1");
  EXPECT_TRUE(list.contains("10.0.0.1"));
  EXPECT_FALSE(list.contains("10.0.0.2"));
  EXPECT_FALSE(list.contains("192.168.5.63"));
  EXPECT_TRUE(list.contains("192.168.5.64"));
  EXPECT_TRUE(list.contains("192.168.5.127"));
  EXPECT_FALSE(list.contains("192.168.5.128"));
  EXPECT_TRUE(list.contains("fd00:1:ffff::9"));
  EXPECT_FALSE(list.contains("fd00:2::"));
  EXPECT_TRUE(list.contains("::1"));
  EXPECT_TRUE(list.contains("::ffff:10.0.0.1"));
  EXPECT_TRUE(list.contains("fd00:1::1%eth0"));
  EXPECT_FALSE(list.contains(""));
  EXPECT_FALSE(list.contains("localhost"));
  EXPECT_EQ(list.entries().size(), 4U);
}

TEST(HostList, HostBitsOfANetworkDoNotMatter) {
  EXPECT_TRUE(list_of("10.9.8.7/8").contains("10.0.0.1"));
  EXPECT_TRUE(list_of("0.0.0.0/0").contains("203.0.113.9"));
  EXPECT_FALSE(list_of("0.0.0.0/0").contains("2001:db8::1"));
}

TEST(HostList, Bytes) {
  const HostList list = list_of("10.0.0.0/8");
  const std::array<std::uint8_t, 4> v4{10, 1, 2, 3};
  const std::array<std::uint8_t, 16> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 1, 2, 3};
  const std::array<std::uint8_t, 16> v6{10, 1};
  EXPECT_TRUE(list.contains(std::span<const std::uint8_t>(v4)));
  EXPECT_TRUE(list.contains(std::span<const std::uint8_t>(mapped)));
  EXPECT_FALSE(list.contains(std::span<const std::uint8_t>(v6)));
  EXPECT_FALSE(list.contains(std::span<const std::uint8_t>(v4).first(3)));
}

TEST(HostList, FastDfsRanges) {
  const HostList list = list_of("10.0.1.[1-15,20],10.0.2.[7]");
  EXPECT_FALSE(list.contains("10.0.1.0"));
  EXPECT_TRUE(list.contains("10.0.1.1"));
  EXPECT_TRUE(list.contains("10.0.1.15"));
  EXPECT_FALSE(list.contains("10.0.1.16"));
  EXPECT_TRUE(list.contains("10.0.1.20"));
  EXPECT_TRUE(list.contains("10.0.2.7"));
  EXPECT_FALSE(list.contains("10.0.2.8"));
}

TEST(HostList, NamesCountOnceResolved) {
  const HostList list = list_of("localhost, host[08-10].invalid");
  EXPECT_FALSE(list.empty());
  EXPECT_TRUE(list.has_names());
  EXPECT_FALSE(list.contains("127.0.0.1"));
  std::vector<std::string> missing;
  for (const auto& change : list.resolve_names())
    if (!change.found) missing.push_back(change.name);
  EXPECT_EQ(missing,
            (std::vector<std::string>{"host08.invalid", "host09.invalid", "host10.invalid"}));
  EXPECT_TRUE(list.contains("127.0.0.1") || list.contains("::1"));
}

TEST(HostList, NamesMayMoveAndFailuresChangeNothing) {
  const HostList list = list_of("web.example, 10.9.9.9");
  const HostList copy = list;
  Result<std::vector<std::string>> answer{Errc::not_found};
  const auto look_up = [&](const std::string& name) {
    EXPECT_EQ(name, "web.example");
    return answer;
  };
  const auto changes = [&] {
    std::string text;
    for (const auto& change : copy.resolve_names(look_up)) {
      text += change.name + (change.found ? " =" : " !");
      for (const auto& address : change.addresses) text += " " + address;
    }
    return text;
  };
  EXPECT_EQ(changes(), "web.example !");
  EXPECT_EQ(changes(), "") << "told once";
  answer = std::vector<std::string>{"10.0.0.2", "10.0.0.1", "fd00::1"};
  EXPECT_EQ(changes(), "web.example = 10.0.0.1 10.0.0.2 fd00::1");
  // A name server gives them in another order each time.
  answer = std::vector<std::string>{"fd00::1", "10.0.0.1", "10.0.0.2"};
  EXPECT_EQ(changes(), "");
  EXPECT_TRUE(list.contains("10.0.0.2"));
  EXPECT_TRUE(list.contains("fd00::1"));
  answer = std::vector<std::string>{"10.0.0.3"};
  EXPECT_EQ(changes(), "web.example = 10.0.0.3");
  EXPECT_FALSE(list.contains("10.0.0.2"));
  EXPECT_TRUE(list.contains("10.0.0.3"));
  answer = Error{Errc::not_found};
  EXPECT_EQ(changes(), "web.example ! 10.0.0.3");
  EXPECT_TRUE(list.contains("10.0.0.3")) << "the last good answer stays";
  answer = std::vector<std::string>{"10.0.0.3"};
  EXPECT_EQ(changes(), "web.example = 10.0.0.3");
  answer = std::vector<std::string>{};
  EXPECT_EQ(changes(), "web.example ! 10.0.0.3");
  EXPECT_TRUE(list.contains("10.9.9.9"));
}

TEST(HostList, ACopyThatGetsMoreNamesIsAnother) {
  const HostList list = list_of("a.example");
  HostList more = list;
  ASSERT_TRUE(more.add("b.example"));
  const auto look_up = [](const std::string& name) -> Result<std::vector<std::string>> {
    return std::vector<std::string>{name == "a.example" ? "10.0.0.1" : "10.0.0.2"};
  };
  more.resolve_names(look_up);
  EXPECT_TRUE(more.contains("10.0.0.2"));
  EXPECT_TRUE(list.contains("10.0.0.1"));
  EXPECT_FALSE(list.contains("10.0.0.2"));
}

TEST(HostList, Everybody) {
  const HostList list = list_of("*");
  EXPECT_TRUE(list.everybody());
  EXPECT_TRUE(list.contains("203.0.113.9"));
  EXPECT_TRUE(list.contains("2001:db8::1"));
}

TEST(HostList, Malformed) {
  for (const char* bad :
       {"", ",", "10.0.0.1,", "10.0.0", "10.0.0.256", "10.0.0.0/33", "::/129", "10.0.0.0/",
        "host/8", "10.0.1.[1-", "10.0.1.[]", "10.0.1.[5-1]", "10.0.1.[1-300]", "a b", "**",
        "10.0.0.*", "h[0-9999999]", "h[0-9999,0-9999]"}) {
    HostList list;
    EXPECT_EQ(list.add(bad).code(), Errc::invalid_argument) << bad;
  }
}

} // namespace
} // namespace cairn::config
