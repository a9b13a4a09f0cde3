// The grammar: words, quotes, blocks, includes, and where errors are.
#include "common/rules/syntax.h"

#include <gtest/gtest.h>

namespace cairn::rules {
namespace {

Source files(std::vector<SourceFile> all) {
  Source source;
  source.files = std::move(all);
  source.mains = 1;
  return source;
}

std::vector<Directive> parsed(const std::string& text) {
  Problems problems;
  auto directives = parse(files({{"f", text}}), problems);
  EXPECT_TRUE(problems.empty()) << problems.front().text();
  return directives;
}

std::string error_of(const std::string& text) {
  Problems problems;
  parse(files({{"f", text}}), problems);
  return problems.empty() ? "" : problems.front().text();
}

TEST(Syntax, WordsQuotesAndEscapesAreNginxs) {
  const auto directives =
      parsed("a b\t\"c d;{\" 'e \"f' \"q\\\"r\\\\s\\d\\t\" ${x}y; # comment ; }\n z;");
  ASSERT_EQ(directives.size(), 2u);
  const auto& words = directives[0].words;
  ASSERT_EQ(words.size(), 6u);
  EXPECT_EQ(words[2].text, "c d;{");
  EXPECT_TRUE(words[2].quoted);
  EXPECT_EQ(words[3].text, "e \"f");
  EXPECT_EQ(words[4].text, "q\"r\\s\\d\t");
  EXPECT_EQ(words[5].text, "${x}y");
  EXPECT_EQ(directives[1].where(), (Position{"f", 2, 2}));
}

TEST(Syntax, BlocksNest) {
  const auto directives = parsed("rules a { location /x{ b c; } d; }");
  ASSERT_EQ(directives.size(), 1u);
  ASSERT_EQ(directives[0].block.size(), 2u);
  EXPECT_EQ(directives[0].block[0].words[1].text, "/x");
  EXPECT_EQ(directives[0].block[0].block[0].words[1].text, "c");
}

TEST(Syntax, ErrorsHaveLineAndColumn) {
  EXPECT_EQ(error_of("a b;\n  c \"d"), "f:2:5: error: this quote is never closed");
  EXPECT_EQ(error_of("a {\n b;\n"), "f:3:1: error: the file ends inside a block: '}' is missing");
  EXPECT_EQ(error_of("a;\n}"), "f:2:1: error: '}' without a block");
  EXPECT_EQ(error_of("a {\n b }"), "f:2:4: error: ';' is missing before '}'");
  EXPECT_EQ(error_of("a b"), "f:1:3: error: ';' is missing behind 'b'");
  EXPECT_EQ(error_of(";"), "f:1:1: error: a directive is missing before ';'");
  EXPECT_EQ(error_of("a \"b\"c;"),
            "f:1:6: error: a blank, ';' or '{' belongs behind a closing quote");
  EXPECT_NE(error_of(std::string("a\0b;", 4)), "");
}

TEST(Syntax, AnUnquotedRegexWithBracesIsRefusedWithAHint) {
  for (const char* text :
       {"location ~ ^/\\d{4}/ { }", "location ~* ^/a{2} { }", "require $y ~ ^\\d{4}$;"}) {
    const std::string error = error_of(text);
    EXPECT_NE(error.find("must be quoted"), std::string::npos) << text << ": " << error;
  }
  EXPECT_EQ(error_of("location ~ \"^/\\d{4}/\" { }"), "");
}

TEST(Syntax, TheByteOrderMarkOfAnEditorIsNotSeen) {
  const auto found = parsed("\xEF\xBB\xBFrules a {\r\n}\r\n");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].words[0].text, "rules");
}

TEST(Syntax, AnErrorInLine300IsFoundThere) {
  std::string text;
  for (int i = 1; i < 300; ++i) text += "a b;\n";
  EXPECT_EQ(error_of(text + "a }"), "f:300:3: error: ';' is missing before '}'");
}

TEST(Syntax, IncludesAreReadInPlaceAndLoopsAreFound) {
  Problems problems;
  Source source = files({{"f", "a; include g; c;"}, {"g", "b;"}});
  const auto directives = parse(source, problems);
  ASSERT_TRUE(problems.empty());
  ASSERT_EQ(directives.size(), 3u);
  EXPECT_EQ(directives[1].where(), (Position{"g", 1, 1}));

  parse(files({{"f", "include g;"}, {"g", "\n include f;"}}), problems);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].text(), "g:2:10: error: 'f' includes itself");

  problems.clear();
  parse(files({{"f", "include nothing;"}}), problems);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].text(), "f:1:9: error: cannot read 'nothing'");
}

TEST(Syntax, CollectIncludesReadsEveryFileOnce) {
  std::map<std::string, std::string> disk{{"g", "include h; rules x { map $uri $m file=t.map; }"},
                                          {"h", "include g;"},
                                          {"t.map", "a b"}};
  std::vector<std::string> read;
  Source source = files({{"f", "include g;"}});
  collect_includes(source, [&](const std::string& name) -> std::optional<std::string> {
    read.push_back(name);
    const auto found = disk.find(name);
    return found == disk.end() ? std::nullopt : std::optional(found->second);
  });
  EXPECT_EQ(read, (std::vector<std::string>{"g", "h", "t.map"}));
  EXPECT_NE(source.find("t.map"), nullptr);
}

TEST(Syntax, HostileInputIsBounded) {
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "a{";
  EXPECT_NE(error_of(deep).find("nested too deeply"), std::string::npos);
  std::string long_word(100'000, 'a');
  long_word.push_back(';');
  EXPECT_NE(error_of(long_word).find("longer than 64 KiB"), std::string::npos);
  EXPECT_NE(error_of(std::string(9 * 1024 * 1024, ' ')).find("8 MiB"), std::string::npos);
}

} // namespace
} // namespace cairn::rules
