// What is remembered for fronts, for how long, and how much of it.
#include "storage/http/front_memory.h"

#include <gtest/gtest.h>

#include <string>

namespace cairn::storage {

namespace {

using std::chrono::seconds;

wire::FrontUrl url_of(std::string target, std::string host = "h") {
  wire::FrontUrl url;
  url.host = std::move(host);
  url.target = std::move(target);
  return url;
}

std::string targets(const wire::FrontUrlsReply& reply) {
  std::string text;
  for (const wire::FrontUrl& url : reply.urls) text += url.target + " ";
  return text;
}

} // namespace

TEST(FrontMemory, FindsUrlsByTagAndByPattern) {
  FrontMemory memory;
  const FrontMemory::Time now{};
  memory.note(url_of("/a"), "t1,t2,t1", seconds(10), now);
  memory.note(url_of("/b"), "t2", seconds(10), now);
  memory.note(url_of("/a", "other"), "t3", seconds(10), now);
  EXPECT_EQ(targets(memory.with_tags({{"t1"}}, 0, 10, now)), "/a ");
  EXPECT_EQ(targets(memory.with_tags({{"t1"}, {"t2"}, {"none"}}, 0, 10, now)), "/a /b ");
  const auto is_a = [](const std::string& target) { return target == "/a"; };
  EXPECT_EQ(memory.fitting(is_a, 0, 10, now).urls.size(), 2U);
  // Asked for again with another answer: only its last tags count.
  memory.note(url_of("/a"), "t4", seconds(10), now);
  EXPECT_EQ(targets(memory.with_tags({{"t1"}}, 0, 10, now)), "");
  EXPECT_EQ(targets(memory.with_tags({{"t2"}, {"t4"}}, 0, 10, now)), "/b /a ");
  EXPECT_EQ(memory.size(), 3U);
}

TEST(FrontMemory, HeadersOfTheRequestMakeItAnother) {
  FrontMemory memory;
  const FrontMemory::Time now{};
  wire::FrontUrl varied = url_of("/a");
  varied.headers.push_back({"Origin", "http://x"});
  memory.note(url_of("/a"), "t", seconds(10), now);
  memory.note(varied, "t", seconds(10), now);
  const auto found = memory.with_tags({{"t"}}, 0, 10, now);
  ASSERT_EQ(found.urls.size(), 2U);
  EXPECT_EQ(found.urls[1].headers.at(0).value, "http://x");
}

TEST(FrontMemory, ForgetsAfterItsTimeAndTheOldestFirst) {
  FrontMemory memory(3);
  const FrontMemory::Time now{};
  for (const char* target : {"/a", "/b", "/c", "/d"})
    memory.note(url_of(target), "t", seconds(10), now);
  EXPECT_EQ(targets(memory.with_tags({{"t"}}, 0, 10, now)), "/b /c /d ");
  EXPECT_EQ(memory.with_tags({{"t"}}, 0, 10, now + seconds(10)).urls.size(), 0U);
  EXPECT_EQ(memory.size(), 0U);
  // What a front says is bounded, and "not at all" is not remembered.
  memory.note(url_of("/a"), "t", seconds(1'000'000), now);
  memory.note(url_of("/b"), "t", seconds(0), now);
  memory.note(url_of("/c"), "", seconds(10), now);
  memory.note(url_of("/" + std::string(10'000, 'x')), "t", seconds(10), now);
  EXPECT_EQ(targets(memory.with_tags({{"t"}}, 0, 10, now)), "/a ");
  EXPECT_EQ(memory.with_tags({{"t"}}, 0, 10, now + FrontMemory::kKeptMost).urls.size(), 0U);
}

TEST(FrontMemory, IsBoundedInBytes) {
  FrontMemory memory(1'000'000, 1 << 20);
  const FrontMemory::Time now{};
  for (int i = 0; i < 5'000; ++i)
    memory.note(url_of("/" + std::to_string(i) + std::string(1'000, 'x')), "t", seconds(10), now);
  EXPECT_GT(memory.size(), 100U);
  EXPECT_LT(memory.size(), 1'000U);
}

TEST(FrontMemory, AnswersInPages) {
  FrontMemory memory;
  const FrontMemory::Time now{};
  for (int i = 0; i < 25; ++i) memory.note(url_of("/" + std::to_string(i)), "t", seconds(10), now);
  std::string all;
  wire::FrontUrlsReply page;
  int pages = 0;
  do {
    page = memory.with_tags({{"t"}}, page.last, 10, now);
    EXPECT_LE(page.urls.size(), 10U);
    all += targets(page);
    ++pages;
  } while (page.more);
  EXPECT_EQ(pages, 3);
  EXPECT_EQ(all, targets(memory.with_tags({{"t"}}, 0, 1000, now)));
  const auto any = [](const std::string&) { return true; };
  EXPECT_EQ(targets(memory.fitting(any, page.last - 1, 10, now)), "/24 ");
}

} // namespace cairn::storage
