// The option mechanism, on a small aggregate of its own.
#include "common/config/options.h"

#include <gtest/gtest.h>

namespace cairn::config {
namespace {

struct Small {
  std::uint16_t port = 1;
  bool on = false;
  std::uint64_t size = 1024;
  std::chrono::seconds wait{5};
  std::filesystem::path dir;
  std::vector<std::string> names{"default"};
  std::vector<int> indexes;
};

OptionList<Small> small_options() {
  OptionList<Small> list;
  list.heading("All");
  list.integer("port", &Small::port, 1, 65'535, "", "A port.");
  list.flag("on", &Small::on, "A switch.");
  list.bytes("size", &Small::size, 1, 1 << 20, "A size.");
  list.duration("wait", &Small::wait, std::chrono::seconds(1), std::chrono::hours(1), "A time.");
  Option& dir = list.path("dir", &Small::dir, "A directory.");
  dir.required = true;
  dir.example = "/d";
  Option& names = list.custom(
      "name", "text", "Names.",
      [](Small& small, std::string_view value) -> Status {
        small.names.emplace_back(value);
        return {};
      },
      [](const Small& small) { return small.names.front(); });
  names.repeatable = true;
  names.clear = [](void* small) { static_cast<Small*>(small)->names.clear(); };
  list.indexed(
      "path#_x", "n", "Paths.",
      [](Small& small, std::string_view, int index, const SetContext&) -> Status {
        small.indexes.push_back(index);
        return {};
      },
      [](const Small&) { return std::string(); });
  return list;
}

const std::vector<IgnoredKey> kIgnored{{"old_key", "it is old"}, {"log.level", "no logs"}};

// "" when `text` applies, else the error line.
std::string applied(std::string_view text, Small& small, std::vector<std::string>& notes) {
  const auto file = parse_conf_text(text, "/etc/small.conf");
  EXPECT_TRUE(file);
  const auto list = small_options();
  const Status status = apply(*file, "/etc/small.conf", list.options(), kIgnored, &small, notes);
  return status ? "" : status.error().detail;
}

std::string error_of(std::string_view text) {
  Small small;
  std::vector<std::string> notes;
  return applied(text, small, notes);
}

TEST(Options, Values) {
  Small small;
  std::vector<std::string> notes;
  EXPECT_EQ(applied("port=65535\non = YES\nsize = 4 KB\nwait = 2m\ndir = a/../b\nname=x\nname=y\n"
                    "path0_x = 1\npath12_x = 1\nold_key = 5\nold_key=6\n[log]\nlevel = 3\n",
                    small, notes),
            "");
  EXPECT_EQ(small.port, 65'535);
  EXPECT_TRUE(small.on);
  EXPECT_EQ(small.size, 4096U);
  EXPECT_EQ(small.wait, std::chrono::seconds(120));
  EXPECT_EQ(small.dir, "/etc/b");
  EXPECT_EQ(small.names, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(small.indexes, (std::vector<int>{0, 12}));
  EXPECT_EQ(notes,
            (std::vector<std::string>{"/etc/small.conf:10: old_key has no effect: it is old",
                                      "/etc/small.conf:13: log.level has no effect: no logs"}));
}

TEST(Options, EmptyValuesKeepTheDefault) {
  Small small;
  std::vector<std::string> notes;
  EXPECT_EQ(applied("dir=/d\nport =\nname =\n", small, notes), "");
  EXPECT_EQ(small.port, 1);
  EXPECT_EQ(small.names, std::vector<std::string>{"default"});
}

TEST(Options, Errors) {
  EXPECT_EQ(error_of(""), "/etc/small.conf: dir is missing");
  EXPECT_EQ(error_of("dir ="), "/etc/small.conf: dir is missing");
  EXPECT_EQ(error_of("\nprot = 1"), "/etc/small.conf:2: prot: unknown key; did you mean port?");
  EXPECT_EQ(error_of("old_kay = 1"),
            "/etc/small.conf:1: old_kay: unknown key; did you mean old_key?");
  EXPECT_EQ(error_of("something_else = 1"), "/etc/small.conf:1: something_else: unknown key");
  EXPECT_EQ(error_of("[x]\nport = 1"),
            "/etc/small.conf:2: x.port: unknown key; did you mean port?");
  EXPECT_EQ(error_of("port = 1\nport = 2"),
            "/etc/small.conf:2: port: given twice (first in line 1)");
  EXPECT_EQ(error_of("port = 65536"),
            "/etc/small.conf:1: port: '65536' is not in range: 1 to 65535");
  EXPECT_EQ(error_of("port = 1 # one"), "/etc/small.conf:1: port: '1 # one' is not a number");
  EXPECT_EQ(error_of("on = maybe"), "/etc/small.conf:1: on: 'maybe' is not one of: on | off");
  EXPECT_EQ(error_of("size = 2M"), "/etc/small.conf:1: size: '2M' is not in range: bytes, 1 to 1M");
  EXPECT_EQ(error_of("wait = 0"),
            "/etc/small.conf:1: wait: '0' is not in range: duration, 1s to 1h");
  EXPECT_EQ(error_of("path_x = 0").substr(0, 37), "/etc/small.conf:1: path_x: unknown ke");
  EXPECT_NE(error_of("path01_x = 0"), "");
}

TEST(Options, Sample) {
  const Small defaults;
  const auto list = small_options();
  EXPECT_EQ(sample_text("Intro.", list.options().first(3), &defaults),
            "# Intro.\n\n# == All ==\n\n# A port.\n# (1 to 65535)\n#port = 1\n\n"
            "# A switch.\n# (on | off)\n#on = off\n");
  const std::string all = sample_text("Intro.", list.options(), &defaults);
  EXPECT_NE(all.find("\n# (path; required)\ndir = /d\n"), std::string::npos) << all;
  EXPECT_NE(all.find("\n# (text; may be repeated)\n#name = default\n"), std::string::npos) << all;
  EXPECT_NE(all.find("\n#path0_x =\n"), std::string::npos) << all;
}

} // namespace
} // namespace cairn::config
