// Secret files: what is taken, and what is refused.
#include "common/auth/secret.h"

#include "tests/unit/config/temporary_directory.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

namespace cairn::auth {

namespace {

const std::string kOne(64, 'a');
const std::string kTwo(64, 'b');

} // namespace

TEST(Secrets, OneOrTwoLines) {
  const auto one = parse_secrets("# the cluster's\n\n" + kOne + "\n");
  ASSERT_TRUE(one) << one.error().text();
  ASSERT_EQ(one->size(), 1U);
  EXPECT_EQ(one->front().text(), kOne);
  const auto two = parse_secrets(kOne + "\r\n" + kTwo);
  ASSERT_TRUE(two);
  ASSERT_EQ(two->size(), 2U);
  EXPECT_EQ((*two)[1].text(), kTwo);
  EXPECT_FALSE(parse_secrets(""));
  EXPECT_FALSE(parse_secrets("# " + kOne));
  EXPECT_FALSE(parse_secrets(kOne + "\n" + kTwo + "\n" + kOne));
}

TEST(Secrets, AShortOneIsRefusedAndNotShown) {
  const auto made = parse_secrets("sesame-open-the-door");
  ASSERT_EQ(made.code(), Errc::invalid_argument);
  EXPECT_EQ(made.error().detail.find("sesame"), std::string::npos);
}

TEST(Secrets, AFileThatOthersCanReadIsRefused) {
  TemporaryDirectory dir;
  const auto file = dir.write("secret", kOne + "\n");
  for (const mode_t mode : {0644, 0604, 0602, 0620, 0660, 0601}) {
    ASSERT_EQ(::chmod(file.c_str(), mode), 0);
    const auto read = read_secret_file(file);
    EXPECT_EQ(read.code(), Errc::denied) << std::oct << mode;
    EXPECT_NE(read.error().detail.find(file.string()), std::string::npos);
  }
  for (const mode_t mode : {0600, 0400, 0640}) {
    ASSERT_EQ(::chmod(file.c_str(), mode), 0);
    EXPECT_TRUE(read_secret_file(file)) << std::oct << mode;
  }
  EXPECT_EQ(read_secret_file(dir.path()).code(), Errc::invalid_argument);
  EXPECT_EQ(read_secret_file(dir.path() / "none").code(), Errc::not_found);
}

TEST(Secrets, ReloadKeepsTheFormerOnesOnAnError) {
  TemporaryDirectory dir;
  const auto file = dir.write("secret", kOne + "\n");
  ASSERT_EQ(::chmod(file.c_str(), 0600), 0);
  const auto secret = ClusterSecret::open(file);
  ASSERT_TRUE(secret);
  EXPECT_TRUE((*secret)->is_set());
  const auto before = (*secret)->get();
  static_cast<void>(dir.write("secret", "short\n"));
  EXPECT_FALSE((*secret)->reload());
  EXPECT_EQ((*secret)->get(), before);
  static_cast<void>(dir.write("secret", kTwo + "\n" + kOne + "\n"));
  EXPECT_TRUE((*secret)->reload());
  ASSERT_EQ((*secret)->get()->size(), 2U);
  EXPECT_EQ((*secret)->get()->front().text(), kTwo);
  EXPECT_EQ(before->front().text(), kOne); // who began with it may finish
}

TEST(Secrets, NoFileMeansNone) {
  const auto none = ClusterSecret::open({});
  ASSERT_TRUE(none);
  EXPECT_FALSE((*none)->is_set());
  EXPECT_TRUE((*none)->reload());
}

TEST(Secrets, MadeOnesDiffer) {
  EXPECT_EQ(make_secret().size(), 64U);
  EXPECT_NE(make_secret(), make_secret());
}

} // namespace cairn::auth
