// The grammar of rules files, which is nginx's: directives end with ';' or have a block in braces,
// words are quoted with ' or ", '#' begins a comment. What the directives mean is for compile.h.
#pragma once

#include "common/rules/problem.h"

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::rules {

// One word of a directive, unquoted and with nginx's escapes resolved: \" \' \\ become the
// character, \t \r \n the control character; any other backslash stays, for regular expressions.
struct Word {
  std::string text;
  bool quoted = false;
  Position where; // of its first character, or of its quote

  friend bool operator==(const Word&, const Word&) = default;
};

struct Directive {
  std::vector<Word> words; // at least one: the name
  bool has_block = false;
  // The brace stood directly behind the last, unquoted word, as in "\d{4}".
  bool brace_touches = false;
  std::vector<Directive> block;

  const std::string& name() const { return words.front().text; }
  const Position& where() const { return words.front().where; }
};

// One file as text. Names are as the files name each other.
struct SourceFile {
  std::string name;
  std::string text;
};

// What a set of rules is made of: `files`, of which the first `mains` are read in order; the others
// are included by them (rules, or tables of a map).
struct Source {
  std::vector<SourceFile> files;
  std::size_t mains = 0;

  // nullptr: there is no such file.
  const SourceFile* find(std::string_view name) const;
};

// Limits of the grammar, so that a hostile or broken file costs little.
inline constexpr std::size_t kSourceBytesMax = 8 * 1024 * 1024; // of all files together
inline constexpr std::size_t kBlockDepthMax = 8;
inline constexpr std::size_t kIncludeDepthMax = 16;
inline constexpr std::size_t kWordBytesMax = 64 * 1024;
inline constexpr std::size_t kDirectivesMax = 1'000'000;

// Parses the main files and what they include. What is wrong is appended to `problems`; the first
// error of a file ends its parsing, so later directives may be missing. Pure.
std::vector<Directive> parse(const Source& source, Problems& problems);

// Reads files until every included one is there: for callers that have the main files only. `read`
// answers the text of a file by its name, or nullopt; what cannot be read is left out and reported
// by parse(). Map tables ("map … file=NAME") are included files too.
void collect_includes(Source& source,
                      const std::function<std::optional<std::string>(const std::string&)>& read);

} // namespace cairn::rules
