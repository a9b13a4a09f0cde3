#include "tools/command_line.h"

#include <gtest/gtest.h>

#include <map>

namespace cairn::tools {
namespace {

CommandLine parse(std::vector<const char*> arguments,
                  const std::map<std::string, std::string>& environment = {}) {
  arguments.insert(arguments.begin(), "cairn");
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data(),
                            [&environment](const char* name) -> const char* {
                              const auto found = environment.find(name);
                              return found == environment.end() ? nullptr : found->second.c_str();
                            });
}

TEST(CommandLine, GlobalOptionsStandBeforeAndAfterTheVerb) {
  for (const auto& line : {parse({"-t", "a:1", "--json", "--timeout", "5s", "status"}),
                           parse({"status", "-t", "a:1", "--json", "--timeout", "5s"})}) {
    EXPECT_TRUE(line.run) << line.text;
    EXPECT_EQ(line.globals.trackers, "a:1");
    EXPECT_TRUE(line.globals.json);
    EXPECT_EQ(line.globals.timeout, std::chrono::seconds(5));
  }
  const auto nested = parse({"meta", "get", "group1/x", "--conf", "/etc/c.conf", "-q"});
  EXPECT_TRUE(nested.run) << nested.text;
  EXPECT_EQ(nested.globals.conf, "/etc/c.conf");
  EXPECT_TRUE(nested.globals.quiet);
}

TEST(CommandLine, TheEnvironmentFillsWhatIsNotGiven) {
  const std::map<std::string, std::string> environment{{"CAIRN_TRACKER", "e:1"},
                                                       {"CAIRN_CONF", "/e.conf"}};
  EXPECT_EQ(parse({"status"}, environment).globals.trackers, "e:1");
  EXPECT_EQ(parse({"status"}, environment).globals.conf, "/e.conf");
  EXPECT_EQ(parse({"status", "-t", "a:1"}, environment).globals.trackers, "a:1");
}

TEST(CommandLine, EveryVerbOfTheContractIsUnderstood) {
  const std::vector<std::vector<const char*>> lines{
      {"upload", "a", "b", "--group", "g", "--ext", "jpg", "--appender", "--meta", "k=v", "--meta",
       "l=w", "--copies", "1"},
      {"upload", "-"},
      {"upload", "--meta", "k=v", "a"},
      {"download", "ID", "-o", "-", "--offset", "1K", "--length", "10"},
      {"delete", "ID", "ID"},
      {"append", "ID", "file"},
      {"append", "ID", "-"},
      {"info", "ID"},
      {"meta", "get", "ID"},
      {"meta", "set", "ID", "k=v", "l=w", "--merge"},
      {"where", "ID"},
      {"status"},
      {"check"},
      {"check", "--group", "g"},
      {"node", "drain", "group1-storage2"},
      {"node", "undrain", "7"},
      {"node", "may-stop", "7"},
      {"node", "remove", "7"},
      {"node", "remove", "7", "--yes"},
      {"node", "alias", "add", "7", "10.0.0.1"},
      {"node", "alias", "rm", "10.0.0.1"},
      {"node", "alias", "ls"},
      {"group", "ls"},
      {"group", "add", "g"},
      {"group", "rm", "g"},
      {"bench", "upload", "--conns", "64", "--size", "64K", "--count", "10", "--json"},
      {"bench", "download"},
      {"bench", "delete"},
      {"bench", "mixed", "--threads", "2"},
      {"local",          "up",   "--root",         "d",  "--trackers",     "3",
       "--groups",       "2",    "--storages",     "3",  "--paths",        "2",
       "--net",          "auto", "--copies",       "2",  "--storage-conf", "durability=relaxed",
       "--storage-conf", "a=b",  "--tracker-conf", "c=d"},
      {"local", "down", "--root", "d"},
      {"local", "status", "--root", "d"},
      {"local", "kill", "--root", "d", "tracker1"},
      {"local", "kill", "tracker1", "--root", "d"},
      {"local", "start", "--root", "d", "tracker1"},
  };
  for (const auto& line : lines) {
    const auto parsed = parse(line);
    EXPECT_TRUE(parsed.run) << line[0] << ": " << parsed.text;
  }
}

TEST(CommandLine, AWrongOneIsUsage) {
  const std::vector<std::vector<const char*>> lines{
      {},
      {"frobnicate"},
      {"upload"},
      {"upload", "a", "--nonsense"},
      {"download"},
      {"download", "ID", "--offset", "minus"},
      {"status", "--timeout", "soon"},
      {"meta"},
      {"local", "up"},
      {"local", "up", "--root", "d", "--trackers", "0"},
      {"bench", "upload", "--conns", "0"},
  };
  for (const auto& line : lines) {
    const auto parsed = parse(line);
    EXPECT_FALSE(parsed.run) << (line.empty() ? "" : line[0]);
    EXPECT_EQ(parsed.exit_code, kUsage);
    EXPECT_FALSE(parsed.text.empty());
  }
}

TEST(CommandLine, HelpAndVersionAreGood) {
  EXPECT_EQ(parse({"--help"}).exit_code, kGood);
  EXPECT_NE(parse({"--help"}).text.find("upload"), std::string::npos);
  EXPECT_EQ(parse({"upload", "--help"}).exit_code, kGood);
  EXPECT_EQ(parse({"--version"}).text.rfind("cairn ", 0), 0U);
}

TEST(SplitPair, AtTheFirstEqualsSign) {
  EXPECT_EQ(split_pair("a=b=c"), std::pair(std::string("a"), std::string("b=c")));
  EXPECT_EQ(split_pair("a="), std::pair(std::string("a"), std::string()));
  EXPECT_FALSE(split_pair("=b"));
  EXPECT_FALSE(split_pair("ab"));
}

} // namespace
} // namespace cairn::tools
