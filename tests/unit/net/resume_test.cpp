#include "common/net/resume.h"

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include <string>

namespace cairn {
namespace {

class Resume : public testing::Test {
protected:
  auto note(const char* what) {
    return [this, what] { said_ += what; };
  }

  asio::io_context one_, two_;
  std::string said_;
};

TEST_F(Resume, AloneItIsPostedAtOnce) {
  ResumeTogether::post(one_.get_executor(), note("a"));
  EXPECT_EQ(one_.poll(), 1U);
  EXPECT_EQ(said_, "a");
}

TEST_F(Resume, TogetherWithOnePostForEachExecutorInOrder) {
  {
    const ResumeTogether together;
    ResumeTogether::post(one_.get_executor(), note("a"));
    ResumeTogether::post(two_.get_executor(), note("x"));
    {
      const ResumeTogether inner;
      ResumeTogether::post(one_.get_executor(), note("b"));
    }
    ResumeTogether::post(one_.get_executor(), note("c"));
    EXPECT_EQ(one_.poll() + two_.poll(), 0U) << "nothing before the end";
  }
  one_.restart();
  two_.restart();
  EXPECT_EQ(one_.poll(), 1U);
  EXPECT_EQ(two_.poll(), 1U);
  EXPECT_EQ(said_, "abcx");
}

TEST_F(Resume, WhatWaitsCanGoFirst) {
  ResumeTogether::flush(); // nobody collects
  const ResumeTogether together;
  ResumeTogether::post(one_.get_executor(), note("a"));
  ResumeTogether::flush();
  EXPECT_EQ(one_.poll(), 1U);
  ResumeTogether::post(one_.get_executor(), note("b"));
  one_.restart();
  EXPECT_EQ(one_.poll(), 0U);
  EXPECT_EQ(said_, "a");
}

} // namespace
} // namespace cairn
