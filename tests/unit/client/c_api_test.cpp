#include "cairn/types.h"
#include "tests/unit/client/c/c_api_check.h"
#include "tests/unit/client/fake_server.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(CApi, AProgramInC) {
  const std::string content = "hello from C\n";
  const std::string id = test::id_of(content);
  test::FakeServer storage(test::answering([&](const test::Frame& frame) -> test::Answer {
    switch (frame.command()) {
      case wire::Command::upload_file:
        return {0, test::stored_reply(id.substr(7))};
      case wire::Command::download_file:
        return {0, content};
      case wire::Command::query_file_info: {
        std::string body(40, '\0');
        body[7] = static_cast<char>(content.size());
        return {0, body};
      }
      default:
        return {};
    }
  }));
  test::FakeServer tracker(test::tracker_of({storage.address()}));
  EXPECT_EQ(c_api_check(tracker.address().text().c_str(), id.c_str(), content.c_str()), 0);
}

} // namespace
} // namespace cairn
