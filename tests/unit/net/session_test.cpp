// What a connection may do: by its address, and by an access key.
#include "common/net/session.h"

#include "common/auth/access_keys.h"
#include "common/net/rate_limit.h"

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace cairn {

namespace {

// A session on a socket that goes nowhere.
struct Fixture {
  asio::io_context io;
  Connection connection{tcp::socket(io)};
  Session session{connection};
};

std::shared_ptr<const auth::AccessKey> key(auth::Rights rights, std::string prefix) {
  auth::AccessKey made;
  made.id = "CK1";
  made.rights = rights;
  made.prefixes.push_back({std::move(prefix)});
  return std::make_shared<const auth::AccessKey>(std::move(made));
}

} // namespace

TEST(SessionRights, AKeyHoldsBelowItsPrefixes) {
  Fixture fixture;
  Session& session = fixture.session;
  session.key = key(auth::kRead | auth::kWrite, "group1/M00/0A");
  session.rights = session.key->rights;
  EXPECT_TRUE(session.may(auth::kRead, "group1/M00/0A/FF/a.jpg"));
  EXPECT_FALSE(session.may(auth::kRead, "group1/M00/0B/FF/a.jpg"));
  EXPECT_FALSE(session.may(auth::kWrite, "group1"));
  EXPECT_FALSE(session.may(auth::kDelete, "group1/M00/0A/FF/a.jpg"));
}

TEST(SessionRights, WhatTheAddressMayDoItMayDoEverywhere) {
  Fixture fixture;
  Session& session = fixture.session;
  session.allowed = true;
  session.everywhere = auth::kFastdfsRead;
  session.key = key(auth::kWrite, "group2");
  session.rights = auth::kFastdfsRead | auth::kWrite;
  EXPECT_TRUE(session.may(auth::kRead, "group1/M00/00/00/a"));
  EXPECT_FALSE(session.may(auth::kWrite, "group1/M00/00/00/a"));
  EXPECT_TRUE(session.may(auth::kWrite, "group2/M00/00/00/a"));
}

TEST(SessionRights, AKeyIsAskedForAnew) {
  Fixture fixture;
  Session& session = fixture.session;
  auth::KeyRing ring;
  SessionOptions options;
  options.keys = &ring;
  session.key = key(auth::kRead, "group1");
  session.rights = session.key->rights;
  EXPECT_EQ(detail::refresh_key(session, options).code(), Errc::denied); // it was removed
  auth::KeyTable table;
  table.cluster_uuid = "c";
  table.version = 1;
  table.keys.push_back(*key(auth::kRead | auth::kDelete, "group1"));
  ASSERT_TRUE(ring.take(table));
  ASSERT_TRUE(detail::refresh_key(session, options));
  EXPECT_TRUE(session.may(auth::kDelete, "group1/M00/00/00/a"));
  table.version = 2;
  table.keys.front().expires = 1;
  ASSERT_TRUE(ring.take(table));
  EXPECT_EQ(detail::refresh_key(session, options).code(), Errc::denied); // it has expired
}

TEST(SessionRights, AKeyIsCountedAgainstItsLimits) {
  Fixture fixture;
  RateLimiter limiter;
  SessionOptions options;
  options.key_limits = &limiter;
  EXPECT_TRUE(detail::take_request(fixture.session, options)); // without a key there is no limit
  auth::AccessKey limited;
  limited.id = "CK2";
  limited.requests_rate = 2;
  fixture.session.key = std::make_shared<const auth::AccessKey>(limited);
  EXPECT_TRUE(detail::take_request(fixture.session, options));
  EXPECT_TRUE(detail::take_request(fixture.session, options));
  EXPECT_EQ(detail::take_request(fixture.session, options).code(), Errc::busy);
}

} // namespace cairn
