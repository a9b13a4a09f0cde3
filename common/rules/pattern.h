// Regular expressions of rules: RE2, so that no URL makes one slow. PCRE's spelling is taken as far
// as RE2 knows the construct; "(?<name>…)" and "(?P<name>…)" are both captures. Text is bytes.
#pragma once

#include "common/base/result.h"

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace re2 {
class RE2;
}

namespace cairn::rules {

// Captures of one match; views into the text that was matched. Group 0 is the whole match.
struct Captures {
  static constexpr std::size_t kGroupsMax = 32;
  std::array<std::string_view, kGroupsMax> groups;
  std::size_t count = 0;
};

class Pattern {
public:
  Pattern(); // matches nothing, and must not be asked
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;
  ~Pattern();

  // Errors: invalid_argument, with what to do: syntax, constructs RE2 does not have (look-around,
  // back references, possessive repeats), more than 31 groups, a pattern that needs too much memory
  // ("(a{1000}){1000}").
  static Result<Pattern> compile(std::string_view text, bool ignore_case);

  // Searches as nginx does: unanchored unless the pattern says otherwise. Time linear in the text.
  bool search(std::string_view text) const;
  bool search(std::string_view text, Captures& captures) const;

  const std::string& text() const { return text_; } // as written
  bool ignores_case() const { return ignore_case_; }
  // Named groups and their numbers, by name.
  const std::vector<std::pair<std::string, std::size_t>>& names() const { return names_; }
  // Numbered groups, the named ones among them.
  std::size_t group_count() const { return group_count_; }
  // Text that every match begins with at offset 0; empty when there is none to be seen.
  const std::string& literal_prefix() const { return literal_prefix_; }
  // True when beginning with literal_prefix() is all the pattern asks for ("^/a/").
  bool is_prefix_only() const { return is_prefix_only_; }

private:
  std::string text_;
  bool ignore_case_ = false;
  std::unique_ptr<re2::RE2> compiled_;
  std::vector<std::pair<std::string, std::size_t>> names_;
  std::size_t group_count_ = 0;
  std::string literal_prefix_;
  bool is_prefix_only_ = false;
};

} // namespace cairn::rules
