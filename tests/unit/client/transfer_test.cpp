#include "client/transfer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace cairn {
namespace {

// A directory that goes with the test.
class TransferTest : public testing::Test {
protected:
  TransferTest() {
    std::string pattern = testing::TempDir() + "cairn-transfer-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
  }
  ~TransferTest() override { std::filesystem::remove_all(directory_); }

  std::string content(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }

  std::filesystem::path directory_;
};

TEST_F(TransferTest, AFileIsReadTwice) {
  const auto file = directory_ / "a";
  std::ofstream(file) << "hello";
  auto source = Source::file(file);
  ASSERT_TRUE(source);
  EXPECT_EQ(source->size(), 5U);
  for (int i = 0; i < 2; ++i) {
    wire::Bytes bytes(5);
    ASSERT_TRUE(source->body().rewind());
    ASSERT_TRUE(source->body().read(bytes));
    EXPECT_EQ(wire::as_text(bytes), "hello");
  }
}

TEST_F(TransferTest, AFileThatShrinksIsAnError) {
  const auto file = directory_ / "a";
  std::ofstream(file) << "hello";
  auto source = Source::file(file);
  ASSERT_TRUE(source);
  std::filesystem::resize_file(file, 2);
  wire::Bytes bytes(5);
  EXPECT_EQ(source->body().read(bytes).code(), Errc::io_error);
}

TEST_F(TransferTest, OnlyRegularFilesAreSources) {
  EXPECT_EQ(Source::file(directory_).code(), Errc::is_directory);
  EXPECT_EQ(Source::file(directory_ / "none").code(), Errc::not_found);
}

TEST_F(TransferTest, AReaderWithoutRewindCanBeReadOnce) {
  int calls = 0;
  const Source source = Source::reader(4, [&calls](std::span<std::byte> out) {
    ++calls;
    out[0] = std::byte{'x'};
    return Result<std::size_t>(1);
  });
  EXPECT_TRUE(source.body().repeatable());
  wire::Bytes bytes(4);
  ASSERT_TRUE(source.body().read(bytes));
  EXPECT_EQ(calls, 4);
  EXPECT_FALSE(source.body().repeatable());
}

TEST_F(TransferTest, AReaderThatEndsEarlyIsAnError) {
  const Source source =
      Source::reader(4, [](std::span<std::byte>) { return Result<std::size_t>(0); });
  wire::Bytes bytes(4);
  EXPECT_EQ(source.body().read(bytes).code(), Errc::io_error);
}

TEST_F(TransferTest, ADownloadedFileAppearsWhenItIsComplete) {
  const auto file = directory_ / "a";
  std::ofstream(file) << "before";
  {
    auto sink = Sink::file(file);
    ASSERT_TRUE(sink);
    ASSERT_TRUE(sink->body().write(wire::as_view("wrong")));
    ASSERT_TRUE(sink->body().restart());
    ASSERT_TRUE(sink->body().write(wire::as_view("new")));
    EXPECT_EQ(content(file), "before");
    ASSERT_TRUE(sink->body().commit());
    EXPECT_EQ(content(file), "new");
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_), {}), 1);
}

TEST_F(TransferTest, AnUnfinishedDownloadLeavesNothing) {
  {
    auto sink = Sink::file(directory_ / "a");
    ASSERT_TRUE(sink);
    ASSERT_TRUE(sink->body().write(wire::as_view("half")));
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
}

TEST_F(TransferTest, ADeviceIsWrittenToNotReplaced) {
  auto sink = Sink::file("/dev/null");
  ASSERT_TRUE(sink);
  ASSERT_TRUE(sink->body().write(wire::as_view("gone")));
  ASSERT_TRUE(sink->body().commit());
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
}

TEST_F(TransferTest, MemoryStartsEmptyAndCanRestart) {
  std::vector<std::byte> bytes(3);
  const Sink sink = Sink::memory(bytes);
  EXPECT_TRUE(bytes.empty());
  ASSERT_TRUE(sink.body().write(wire::as_view("abc")));
  ASSERT_TRUE(sink.body().restart());
  ASSERT_TRUE(sink.body().write(wire::as_view("de")));
  EXPECT_EQ(wire::as_text(bytes), "de");
}

TEST_F(TransferTest, AWriterCannotTakeBackWhatItWrote) {
  const Sink sink = Sink::writer([](std::span<const std::byte>) { return Status(); });
  EXPECT_TRUE(sink.body().restart());
  ASSERT_TRUE(sink.body().write(wire::as_view("a")));
  EXPECT_FALSE(sink.body().restart());
}

} // namespace
} // namespace cairn
