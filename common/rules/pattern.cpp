// RE2 behind the names that nginx's users write.
#include "common/rules/pattern.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <re2/re2.h>

namespace cairn::rules {

namespace {

// Of one compiled pattern with its caches. A URL rule needs a few KiB; what needs more is a bomb.
constexpr std::int64_t kPatternBytesMax = 1024 * 1024;
constexpr std::size_t kPatternTextMax = 16 * 1024;

// "(?<name>" as RE2 spells it: "(?P<name>". Leaves "(?<=" and "(?<!" to be refused.
std::string respell(std::string_view text) {
  std::string out;
  bool in_class = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      out.append(text.substr(i, 2));
      ++i;
      continue;
    }
    if (text[i] == '[' && !in_class) {
      in_class = true;
      out.push_back('[');
      // "[]…" and "[^]…": the first bracket is a member.
      if (text.substr(i + 1, 1) == "^") out.push_back(text[++i]);
      if (text.substr(i + 1, 1) == "]") out.append("\\").push_back(text[++i]);
      continue;
    }
    if (text[i] == ']') in_class = false;
    if (!in_class && text.substr(i, 3) == "(?<" && i + 3 < text.size() && text[i + 3] != '=' &&
        text[i + 3] != '!') {
      out.append("(?P<");
      i += 2;
      continue;
    }
    out.push_back(text[i]);
  }
  return out;
}

// What a person who writes PCRE can do about RE2's refusal.
std::string explain(const re2::RE2& compiled, std::string_view text) {
  std::string message = compiled.error();
  if (compiled.error_code() == re2::RE2::ErrorPatternTooLarge)
    return message + ": repetitions of repetitions need too much memory";
  for (const std::string_view construct : {"(?=", "(?!", "(?<=", "(?<!"})
    if (text.find(construct) != std::string_view::npos)
      return "look-ahead and look-behind ('" + std::string(construct) +
             "') are not supported: say it with 'require', or with the order of the locations";
  if (compiled.error_code() == re2::RE2::ErrorBadEscape && compiled.error_arg().size() > 1 &&
      std::isdigit(static_cast<unsigned char>(compiled.error_arg()[1])) != 0)
    return "back references ('" + compiled.error_arg() + "') are not supported";
  return message;
}

bool is_repeat(char c) {
  return c == '*' || c == '+' || c == '?' || c == '{';
}

// The literal text behind a leading '^', and whether the pattern ends there. `branches`: a '|'
// outside of groups would start a second alternative.
std::pair<std::string, bool> literal_prefix_of(std::string_view text) {
  if (text.empty() || text[0] != '^') return {};
  int depth = 0;
  bool in_class = false;
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (in_class) {
      in_class = text[i] != ']';
    } else if (text[i] == '[') {
      in_class = true;
      // A first ']' is a member.
      if (text.substr(i + 1, 1) == "^") ++i;
      if (text.substr(i + 1, 1) == "]") ++i;
    } else if (text[i] == '(') {
      ++depth;
    } else if (text[i] == ')') {
      --depth;
    } else if (text[i] == '|' && depth == 0) {
      return {};
    }
  }
  std::string prefix;
  std::size_t i = 1;
  while (i < text.size()) {
    char c = text[i];
    std::size_t length = 1;
    if (std::strchr(".[]()|*+?{}^$", c) != nullptr) break;
    if (c == '\\') {
      // Only escaped punctuation is a literal; \d, \b, \Q … are not.
      if (i + 1 >= text.size() || std::ispunct(static_cast<unsigned char>(text[i + 1])) == 0) break;
      c = text[i + 1];
      length = 2;
    }
    if (i + length < text.size() && is_repeat(text[i + length])) break;
    prefix.push_back(c);
    i += length;
  }
  return {std::move(prefix), i == text.size()};
}

} // namespace

Pattern::Pattern() = default;
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;

Result<Pattern> Pattern::compile(std::string_view text, bool ignore_case) {
  if (text.size() > kPatternTextMax)
    return Error{Errc::invalid_argument, "a regular expression longer than 16 KiB"};
  re2::RE2::Options options;
  // URLs are bytes: a bad UTF-8 sequence must not keep '.' from matching it.
  options.set_encoding(re2::RE2::Options::EncodingLatin1);
  options.set_case_sensitive(!ignore_case);
  options.set_log_errors(false);
  options.set_max_mem(kPatternBytesMax);
  Pattern pattern;
  pattern.text_ = text;
  pattern.ignore_case_ = ignore_case;
  pattern.compiled_ = std::make_unique<re2::RE2>(respell(text), options);
  const re2::RE2& compiled = *pattern.compiled_;
  if (!compiled.ok())
    return Error{Errc::invalid_argument,
                 "regular expression '" + std::string(text) + "': " + explain(compiled, text)};
  const int groups = compiled.NumberOfCapturingGroups();
  if (groups >= static_cast<int>(Captures::kGroupsMax))
    return Error{Errc::invalid_argument,
                 "regular expression '" + std::string(text) + "' has more than 31 groups"};
  pattern.group_count_ = static_cast<std::size_t>(groups);
  for (const auto& [name, number] : compiled.NamedCapturingGroups())
    pattern.names_.emplace_back(name, static_cast<std::size_t>(number));
  if (!ignore_case)
    std::tie(pattern.literal_prefix_, pattern.is_prefix_only_) = literal_prefix_of(text);
  return pattern;
}

bool Pattern::search(std::string_view text) const {
  return compiled_->Match(text, 0, text.size(), re2::RE2::UNANCHORED, nullptr, 0);
}

bool Pattern::search(std::string_view text, Captures& captures) const {
  std::array<re2::StringPiece, Captures::kGroupsMax> groups;
  const std::size_t count = group_count_ + 1;
  if (!compiled_->Match(text, 0, text.size(), re2::RE2::UNANCHORED, groups.data(),
                        static_cast<int>(count)))
    return false;
  captures.count = count;
  for (std::size_t i = 0; i < count; ++i)
    captures.groups[i] = std::string_view(groups[i].data(), groups[i].size());
  return true;
}

} // namespace cairn::rules
