#include "tools/local_process.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <signal.h>
#include <string>
#include <unistd.h>

namespace cairn::tools {
namespace {

using namespace std::chrono_literals;

TEST(PidText, GoesAndComesBack) {
  const ProcessRef process{4711, 123456};
  EXPECT_EQ(parse_pid_text(pid_text(process)), process);
  for (const char* bad : {"", "4711", "4711 x", "1 5", "0 5", "-4 5", "4711 5 6"})
    EXPECT_FALSE(parse_pid_text(bad)) << bad;
}

TEST(ProcessStat, TheCommandMayHoldAnything) {
  std::string text =
      "4711 (a) b (c) S 1 4711 4711 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 1\n";
  const auto stat = parse_process_stat(text);
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->state, 'S');
  EXPECT_EQ(stat->start_ticks, 98765U);
  EXPECT_FALSE(parse_process_stat("4711 (a"));
  EXPECT_FALSE(parse_process_stat("4711 (a) S 1 2"));
}

class ProcessTest : public testing::Test {
protected:
  ProcessTest() {
    std::string pattern = testing::TempDir() + "cairn-process-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
  }
  ~ProcessTest() override { std::filesystem::remove_all(directory_); }

  std::string content(const std::string& name) { return *read_small_file(directory_ / name); }

  std::filesystem::path directory_;
};

TEST_F(ProcessTest, ADaemonIsAloneWithItsLog) {
  const auto script = directory_ / "script";
  std::ofstream(script) << "readlink /proc/$$/fd/0; pwd; ps -o sid= -p $$ | tr -d ' '; echo $$; "
                           "exec sleep 100\n";
  const auto process = start_daemon("/bin/sh", script.string(), directory_ / "log");
  ASSERT_TRUE(process) << process.error().text();
  EXPECT_TRUE(is_running(*process));
  // Wait for what the script says.
  std::string log;
  for (int i = 0; i < 500 && std::count(log.begin(), log.end(), '\n') < 4; ++i) {
    ::usleep(10'000);
    log = content("log");
  }
  const std::string pid = std::to_string(process->pid);
  EXPECT_EQ(log, "/dev/null\n/\n" + pid + "\n" + pid + "\n");
  // Once the shell has become sleep, what is open was handed down.
  const std::set<std::string> wanted{"0", "1", "2"};
  std::set<std::string> open;
  for (int i = 0; i < 500 && open != wanted; ++i) {
    if (i > 0) ::usleep(10'000);
    open.clear();
    for (const auto& one : std::filesystem::directory_iterator("/proc/" + pid + "/fd"))
      open.insert(one.path().filename().string());
  }
  EXPECT_EQ(open, wanted);

  EXPECT_FALSE(is_running({process->pid, process->start_ticks + 1}));
  const auto pid_file = directory_ / "pid";
  ASSERT_TRUE(write_small_file(pid_file, pid_text(*process), 0644));
  EXPECT_EQ(running_process(pid_file), *process);
  EXPECT_TRUE(stop_process(*process, 10s));
  EXPECT_FALSE(is_running(*process));
  EXPECT_FALSE(running_process(pid_file));
}

TEST_F(ProcessTest, OneThatIgnoresTermIsKilled) {
  const auto script = directory_ / "script";
  std::ofstream(script) << "trap '' TERM; echo ready; while :; do sleep 0.1; done\n";
  const auto process = start_daemon("/bin/sh", script.string(), directory_ / "log");
  ASSERT_TRUE(process);
  for (int i = 0; i < 500 && content("log").empty(); ++i) ::usleep(10'000);
  EXPECT_FALSE(stop_process(*process, 100ms));
  EXPECT_FALSE(is_running(*process));
}

TEST_F(ProcessTest, AProgramThatIsNotThereIsAnError) {
  const auto process = start_daemon(directory_ / "none", "x", directory_ / "log");
  EXPECT_EQ(process.code(), Errc::not_found);
  EXPECT_EQ(find_program("cairn-no-such-program").code(), Errc::not_found);
  EXPECT_TRUE(find_program("sh"));
}

TEST_F(ProcessTest, TheLastLines) {
  std::ofstream(directory_ / "a") << "one\ntwo\nthree\n";
  EXPECT_EQ(last_lines(directory_ / "a", 2), "    two\n    three\n");
  EXPECT_EQ(last_lines(directory_ / "a", 9), "    one\n    two\n    three\n");
  EXPECT_EQ(last_lines(directory_ / "none", 2), "");
}

} // namespace
} // namespace cairn::tools
