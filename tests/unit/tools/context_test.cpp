#include "tools/context.h"

#include "tools/progress.h"

#include <gtest/gtest.h>

namespace cairn::tools {
namespace {

TEST(ExitCodes, AreThoseOfTheContract) {
  EXPECT_EQ(exit_code(Errc::not_found), 3);
  EXPECT_EQ(exit_code(Errc::denied), 4);
  EXPECT_EQ(exit_code(Errc::exists), 5);
  EXPECT_EQ(exit_code(Errc::timeout), 6);
  EXPECT_EQ(exit_code(Errc::unavailable), 6);
  EXPECT_EQ(exit_code(Errc::corrupt), 8);
  EXPECT_EQ(exit_code(Errc::invalid_argument), 1);
}

TEST(Context, WithoutATrackerItSaysWhatToDo) {
  const Context context{Globals()};
  const auto options = context.client_options();
  ASSERT_FALSE(options);
  EXPECT_NE(options.error().detail.find("CAIRN_TRACKER"), std::string::npos);
}

TEST(HumanBytes, ShortAndRounded) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1536), "1.5 KiB");
  EXPECT_EQ(human_bytes(std::uint64_t{200} << 30), "200 GiB");
  EXPECT_EQ(human_bytes(~std::uint64_t{0}), "16.0 EiB");
}

TEST(Table, ColumnsLineUpAndNumbersStandRight) {
  Table table({"NAME", "COUNT"});
  table.add({"a", "1"});
  table.add({"long name", "100"});
  EXPECT_EQ(table.text(), "NAME       COUNT\na              1\nlong name    100");
}

TEST(ProgressLine, FitsTheTerminal) {
  using std::chrono::seconds;
  EXPECT_EQ(progress_line("file", 50 << 20, 100 << 20, seconds(2), 80),
            "file  50%  50.0 MiB of 100 MiB  25.0 MiB/s");
  EXPECT_EQ(progress_line(std::string(100, 'x'), 0, 100, seconds(0), 40).size(), 39U);
  EXPECT_LE(progress_line("file", 50 << 20, 100 << 20, seconds(2), 10).size(), 10U);
}

} // namespace
} // namespace cairn::tools
