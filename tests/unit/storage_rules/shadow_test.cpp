// What counts as a difference between two answers.
#include "storage/rules/shadow.h"

#include <gtest/gtest.h>

namespace cairn::storage {
namespace {

ShadowAnswer good() {
  ShadowAnswer answer;
  answer.status = 200;
  answer.length = 10;
  answer.crc32 = 7;
  answer.type = "image/jpeg";
  answer.last_modified = "Sun, 13 Mar 2011 07:06:40 GMT";
  answer.cache_control = "public";
  return answer;
}

TEST(Shadow, EqualAnswersHaveNoDifference) {
  EXPECT_EQ(differences(good(), good()), "");
  ShadowAnswer unknown = good();
  unknown.crc32.reset();
  EXPECT_EQ(differences(good(), unknown), "");
}

TEST(Shadow, EachFieldIsCompared) {
  const auto changed = [](auto change) {
    ShadowAnswer ours = good();
    change(ours);
    return differences(good(), ours);
  };
  EXPECT_EQ(changed([](auto& a) { a.status = 404; }), "status 200 -> 404");
  EXPECT_EQ(changed([](auto& a) { a.length = 11; }), "length 10 -> 11");
  EXPECT_NE(changed([](auto& a) { a.crc32 = 8; }), "");
  EXPECT_EQ(changed([](auto& a) { a.type = "x"; }), "type image/jpeg -> x");
  EXPECT_NE(changed([](auto& a) { a.last_modified = ""; }), "");
  EXPECT_EQ(changed([](auto& a) { a.cache_control = "no-store"; }),
            "cache-control public -> no-store");
}

TEST(Shadow, ErrorsAreComparedByStatusOnly) {
  ShadowAnswer before;
  before.status = 404;
  before.length = 153;
  ShadowAnswer ours;
  ours.status = 404;
  ours.length = 13;
  EXPECT_EQ(differences(before, ours), "");
}

TEST(Shadow, AReplyIsReadFromOutside) {
  HttpReply reply;
  reply.headers = {{"ETag", "\"0000000a-7d0\""}, {"Content-Type", "image/png"}};
  HttpBodyPart part;
  part.length = 2000;
  reply.body.push_back(std::move(part));
  const ShadowAnswer answer = answer_of(reply);
  EXPECT_EQ(answer.crc32, 10u);
  EXPECT_EQ(answer.length, 2000u);
  EXPECT_EQ(answer.type, "image/png");
  reply.headers = {{"ETag", "\"12345678-1-2-3\""}};
  EXPECT_EQ(answer_of(reply).crc32, std::nullopt);
}

} // namespace
} // namespace cairn::storage
