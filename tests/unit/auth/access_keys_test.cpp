// Access keys: where they hold, how they travel, and that an old table does not win.
#include "common/auth/access_keys.h"

#include <gtest/gtest.h>

namespace cairn::auth {

namespace {

AccessKey key_of(std::string id) {
  AccessKey key;
  key.id = std::move(id);
  key.secret = make_key_secret();
  key.rights = kRead;
  return key;
}

KeyTable table_of(std::uint64_t version, std::vector<AccessKey> keys) {
  KeyTable table;
  table.cluster_uuid = "cluster";
  table.version = version;
  table.keys = std::move(keys);
  return table;
}

SecretList one_secret(char letter) {
  SecretList list;
  list.emplace_back(std::string(32, letter));
  return list;
}

} // namespace

TEST(AccessKeys, PrefixesCountWholeParts) {
  AccessKey key = key_of("K");
  EXPECT_TRUE(key.covers("anything/at/all"));
  key.prefixes = {{"group1/M00"}, {"group2"}};
  EXPECT_TRUE(key.covers("group1/M00"));
  EXPECT_TRUE(key.covers("group1/M00/00/01/a.jpg"));
  EXPECT_TRUE(key.covers("group2"));
  EXPECT_TRUE(key.covers("group2/M01/x"));
  EXPECT_FALSE(key.covers("group1"));
  EXPECT_FALSE(key.covers("group1/M001"));
  EXPECT_FALSE(key.covers("group22/M00"));
  EXPECT_FALSE(key.covers(""));
}

TEST(AccessKeys, PrefixesAreCleanPaths) {
  EXPECT_EQ(parse_key_prefix("/group1/M00/")->path, "group1/M00");
  for (const char* bad : {"", "/", "a//b", "a/../b", "a/./b", "..", "a b", "a\n"})
    EXPECT_FALSE(parse_key_prefix(bad)) << bad;
}

TEST(AccessKeys, Rights) {
  EXPECT_EQ(*parse_rights("read, write"), kRead | kWrite);
  EXPECT_EQ(*parse_rights("all"), kFastdfsAll);
  EXPECT_EQ(*parse_rights("all,admin"), kEverything);
  EXPECT_FALSE(parse_rights(""));
  EXPECT_FALSE(parse_rights("read,root"));
  EXPECT_EQ(rights_text(kRead | kDelete), "read,delete");
}

TEST(AccessKeys, TheFormerSecretHoldsUntilItsTime) {
  AccessKey key = key_of("K");
  key.former_secret = "former";
  key.former_until = 100;
  EXPECT_EQ(key.secrets(99).size(), 2U);
  EXPECT_EQ(key.secrets(100).size(), 1U);
  EXPECT_FALSE(key.has_expired(1'000'000));
  key.expires = 50;
  EXPECT_FALSE(key.has_expired(49));
  EXPECT_TRUE(key.has_expired(50));
}

TEST(AccessKeys, TheTableTravelsSealed) {
  const KeyTable table = table_of(3, {key_of("A"), key_of("B")});
  const wire::Bytes sealed = seal_keys(table, one_secret('s'));
  EXPECT_EQ(wire::as_text(sealed).find(table.keys[0].secret), std::string_view::npos);
  const auto opened = unseal_keys(sealed, one_secret('s'));
  ASSERT_TRUE(opened) << opened.error().text();
  EXPECT_EQ(opened->keys, table.keys);
  EXPECT_EQ(opened->version, 3U);
  EXPECT_EQ(unseal_keys(sealed, one_secret('t')).code(), Errc::denied);
  EXPECT_EQ(unseal_keys(sealed, {}).code(), Errc::denied);
  // During a rotation either of two opens it.
  SecretList both = one_secret('n');
  both.emplace_back(std::string(32, 's'));
  EXPECT_TRUE(unseal_keys(sealed, both));
}

TEST(AccessKeys, APlainTableIsForThoseWithoutASecret) {
  const wire::Bytes plain = seal_keys(table_of(1, {key_of("A")}), {});
  EXPECT_TRUE(unseal_keys(plain, {}));
  EXPECT_EQ(unseal_keys(plain, one_secret('s')).code(), Errc::denied);
  EXPECT_FALSE(unseal_keys({}, {}));
}

TEST(KeyRing, AnOlderTableDoesNotBringAKeyBack) {
  KeyRing ring;
  EXPECT_TRUE(ring.take(table_of(1, {key_of("A"), key_of("B")})));
  EXPECT_NE(ring.find("A"), nullptr);
  EXPECT_TRUE(ring.take(table_of(2, {key_of("B")})));
  EXPECT_EQ(ring.find("A"), nullptr);
  EXPECT_FALSE(ring.take(table_of(1, {key_of("A")})));
  EXPECT_EQ(ring.find("A"), nullptr);
  EXPECT_EQ(ring.size(), 1U);
  // A cluster that was made anew counts from the beginning.
  KeyTable other = table_of(1, {key_of("C")});
  other.cluster_uuid = "another";
  EXPECT_TRUE(ring.take(std::move(other)));
  EXPECT_NE(ring.find("C"), nullptr);
}

TEST(AccessKeys, IdsAndSecretsDiffer) {
  EXPECT_EQ(make_key_id().size(), 20U);
  EXPECT_NE(make_key_id(), make_key_id());
  EXPECT_EQ(make_key_secret().size(), 43U);
}

} // namespace cairn::auth
