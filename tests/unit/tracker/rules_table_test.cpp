// Rules and aliases in the store: versions, refusals, exact names, pages, reopening.
#include "tracker/rules/rules_table.h"

#include "common/net/disk_pool.h"
#include "tracker/log/embedded_log.h"
#include "tracker/log/meta_store.h"

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

namespace cairn::tracker {
namespace {

class RulesTableTest : public ::testing::Test {
protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "cairn-rules-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
    open();
  }
  void TearDown() override {
    close();
    std::filesystem::remove_all(path_);
  }

  void open() {
    auto store = MetaStore::open(path_);
    ASSERT_TRUE(store) << store.error().detail;
    store_ = *std::move(store);
    disk_.emplace("test", 1);
    log_.emplace(*disk_);
    table_.emplace(*log_, *store_, *disk_);
    ASSERT_TRUE(table_->open());
    struct Start {
      static Task<void> run(EmbeddedLog& log, MetaStore& meta) {
        EXPECT_TRUE(co_await log.start(meta));
      }
    };
    spawn(context_.get_executor(), Start::run(*log_, *store_), "start");
    context_.restart();
    context_.run();
  }
  void close() {
    table_.reset();
    log_.reset();
    disk_.reset();
    store_.reset();
  }

  template <class T>
  T run(Task<T> task) {
    std::optional<T> result;
    struct Wait {
      static Task<void> run(Task<T> inner, std::optional<T>& out) {
        out.emplace(co_await std::move(inner));
      }
    };
    spawn(context_.get_executor(), Wait::run(std::move(task), result), "test");
    context_.restart();
    context_.run();
    return *std::move(result);
  }

  wire::RulesPutReply put_rules(const std::string& body) {
    wire::RulesPut request;
    request.files.push_back({"f", "rules s { location / { return 200 \"" + body + "\"; } }"});
    request.mains = 1;
    auto reply = run(table_->put(std::move(request), 1234));
    EXPECT_TRUE(reply);
    return *std::move(reply);
  }

  Result<std::uint64_t> change(wire::AliasChange how, std::vector<wire::AliasRow> rows) {
    wire::AliasPut request;
    request.change = how;
    request.rows = std::move(rows);
    auto reply = run(table_->change(std::move(request)));
    if (!reply) return std::move(reply).error();
    return reply->changed;
  }

  wire::AliasRow get(const std::string& host, const std::string& path) {
    wire::AliasGet request;
    request.names.push_back({host, path, "", 0});
    auto reply = run(table_->aliases(std::move(request)));
    EXPECT_TRUE(reply);
    return reply->rows.at(0);
  }

  std::filesystem::path path_;
  asio::io_context context_;
  std::unique_ptr<MetaStore> store_;
  std::optional<DiskPool> disk_;
  std::optional<EmbeddedLog> log_;
  std::optional<RulesTable> table_;
};

TEST_F(RulesTableTest, VersionsGrowAndTheLastTenStay) {
  for (std::uint64_t version = 1; version <= 12; ++version)
    EXPECT_EQ(put_rules(std::to_string(version)).version, version);
  close();
  open();
  EXPECT_EQ(table_->version(), 12u);
  auto now = run(table_->rules(wire::RulesGet()));
  ASSERT_TRUE(now);
  EXPECT_EQ(now->version, 12u);
  EXPECT_EQ(now->time, 1234u);
  EXPECT_NE(now->files.at(0).text.find("\"12\""), std::string::npos);
  wire::RulesGet known;
  known.known = 12;
  EXPECT_TRUE(run(table_->rules(known))->files.empty());
  wire::RulesGet old;
  old.version = 3;
  EXPECT_NE(run(table_->rules(old))->files.at(0).text.find("\"3\""), std::string::npos);
  old.version = 2;
  EXPECT_EQ(run(table_->rules(old)).code(), Errc::not_found);
}

TEST_F(RulesTableTest, BadRulesAreRefusedWhole) {
  put_rules("good");
  wire::RulesPut bad;
  bad.files.push_back({"f", "rules s { location / { objekt x; } }"});
  bad.mains = 1;
  auto reply = run(table_->put(bad, 1));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->version, 0u);
  ASSERT_FALSE(reply->problems.empty());
  EXPECT_NE(reply->problems[0].text.find("f:1:24: error"), std::string::npos);
  EXPECT_EQ(table_->version(), 1u);

  wire::RulesPut late;
  late.expected = 7;
  EXPECT_EQ(run(table_->put(late, 1)).code(), Errc::exists);
  wire::RulesPut huge;
  huge.files.push_back({"f", std::string(2'000'000, ' ')});
  EXPECT_EQ(run(table_->put(huge, 1)).code(), Errc::invalid_argument);
  // No files: no rules.
  EXPECT_EQ(run(table_->put(wire::RulesPut(), 1))->version, 2u);
  EXPECT_TRUE(run(table_->rules(wire::RulesGet()))->files.empty());
}

TEST_F(RulesTableTest, AliasesAreExactAndHostsComeFirst) {
  EXPECT_EQ(*change(wire::AliasChange::put,
                    {{"", "/a\xFF b", "id:group1/M00/x", 7}, {"h", "/a\xFF b", "path:/e/x", 0}}),
            2u);
  EXPECT_EQ(get("", "/a\xFF b").target, "id:group1/M00/x");
  EXPECT_EQ(get("", "/a\xFF b").mtime, 7u);
  EXPECT_EQ(get("h", "/a\xFF b").target, "path:/e/x");
  EXPECT_EQ(get("other", "/a\xFF b").target, "id:group1/M00/x");
  EXPECT_EQ(get("", "/A\xFF b").target, "");
  close();
  open();
  EXPECT_EQ(get("h", "/a\xFF b").target, "path:/e/x");

  EXPECT_EQ(*change(wire::AliasChange::put_if_absent,
                    {{"", "/a\xFF b", "id:group1/M00/y", 0}, {"", "/n", "id:group1/M00/n", 0}}),
            1u);
  EXPECT_EQ(get("", "/a\xFF b").target, "id:group1/M00/x");
  EXPECT_EQ(*change(wire::AliasChange::remove, {{"", "/n", "", 0}, {"", "/none", "", 0}}), 1u);
  EXPECT_EQ(get("", "/n").target, "");
}

TEST_F(RulesTableTest, BadAliasesChangeNothing) {
  for (const wire::AliasRow& bad :
       std::vector<wire::AliasRow>{{"", "a", "id:x", 0},
                                   {"", "", "id:x", 0},
                                   {"", std::string("/a\0b", 4), "id:x", 0},
                                   {"H", "/a", "id:x", 0},
                                   {"", "/a", "alias:/b", 0},
                                   {"", "/a", "", 0},
                                   {"", "/a", "id:", 0},
                                   {"", "/" + std::string(5'000, 'x'), "id:x", 0},
                                   {"", "/a", "id:" + std::string(5'000, 'x'), 0}}) {
    const auto changed = change(wire::AliasChange::put, {{"", "/good", "id:x", 0}, bad});
    EXPECT_EQ(changed.code(), Errc::invalid_argument) << bad.path.substr(0, 20);
  }
  EXPECT_EQ(get("", "/good").target, "");
  EXPECT_EQ(change(wire::AliasChange::put, std::vector<wire::AliasRow>(5'000)).code(),
            Errc::invalid_argument);
}

TEST_F(RulesTableTest, ListsInPages) {
  std::vector<wire::AliasRow> rows;
  for (int i = 0; i < 25; ++i)
    rows.push_back({"", "/p/" + std::to_string(100 + i), "id:group1/M00/x", 0});
  rows.push_back({"", "/q", "id:group1/M00/x", 0});
  rows.push_back({"h", "/p/100", "id:group1/M00/h", 0});
  ASSERT_TRUE(change(wire::AliasChange::put, rows));
  wire::AliasList request;
  request.prefix = "/p/";
  request.limit = 10;
  std::vector<std::string> found;
  for (;;) {
    auto page = run(table_->list(request));
    ASSERT_TRUE(page);
    if (page->rows.empty()) break;
    for (const auto& row : page->rows) found.push_back(row.path);
    request.after = found.back();
  }
  ASSERT_EQ(found.size(), 25u);
  EXPECT_EQ(found.front(), "/p/100");
  EXPECT_EQ(found.back(), "/p/124");
}

} // namespace
} // namespace cairn::tracker
