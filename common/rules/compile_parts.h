// What the compilers of sets, locations, maps and tests share. Internal to common/rules.
#pragma once

#include "common/rules/model.h"
#include "common/rules/problem.h"
#include "common/rules/syntax.h"

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::rules {

// Notes errors and warnings at a place.
class Reporter {
public:
  explicit Reporter(Problems& problems) : problems_(problems) {}

  void error(const Position& where, std::string message) {
    problems_.push_back({Severity::error, where, std::move(message)});
  }
  void warning(const Position& where, std::string message) {
    problems_.push_back({Severity::warning, where, std::move(message)});
  }
  // The directive has between `least` and `most` words behind its name, and no block.
  bool takes(const Directive& directive, std::size_t least, std::size_t most);
  // "on" or "off"; nullopt (and an error) for anything else.
  std::optional<bool> flag(const Word& word);
  std::optional<std::uint64_t> number(const Word& word, std::uint64_t least, std::uint64_t most);
  // "500ms", "2s", "5m".
  std::optional<std::chrono::milliseconds> duration(const Word& word);
  std::optional<Template> text(const Word& word);
  std::optional<Template> text(const Word& word, std::string_view part);
  std::optional<Pattern> pattern(const Word& word, std::string_view text, bool ignore_case);

private:
  Problems& problems_;
};

// The words behind the name.
std::span<const Word> arguments_of(const Directive& directive);

// Fills a location from its block; names of origins are looked up in `set`, which is complete but
// for its locations.
void compile_location(const Directive& directive, const RuleSet& set, Location& location,
                      Reporter& report);
// `cache`, `referer`, `token`, `header`: true when the directive is one of them.
bool compile_default(const Directive& directive, Defaults& defaults, Reporter& report);
void compile_map(const Directive& directive, const Source& source, RuleSet& set, Reporter& report);
void compile_origin(const Directive& directive, RuleSet& set, Reporter& report);
void compile_test(const Directive& directive, RuleSet& set, Reporter& report);

// A whole percentage, "30%", in ten-thousandths ("0.5%" is 50).
std::optional<std::uint32_t> percentage(const Word& word, Reporter& report);
// The index of the origin that a word names; an error when there is none.
std::optional<std::size_t> origin_of(const Word& word, const RuleSet& set, Reporter& report);

} // namespace cairn::rules
