// Patterns.
#include "migrate/filter.h"

#include "common/base/text.h"

namespace cairn::migrate {

namespace {

// The set that begins behind '[' in `pattern`; `pattern` is moved behind its ']'. Without a ']' it
// matches nothing.
bool in_set(std::string_view& pattern, char c) {
  bool negated = false;
  bool found = false;
  std::size_t at = 0;
  if (at < pattern.size() && (pattern[at] == '!' || pattern[at] == '^')) {
    negated = true;
    ++at;
  }
  for (bool first = true; at < pattern.size(); first = false) {
    if (pattern[at] == ']' && !first) {
      pattern.remove_prefix(at + 1);
      return found != negated && c != '/';
    }
    if (pattern[at] == '\\' && at + 1 < pattern.size()) ++at;
    const char low = pattern[at++];
    char high = low;
    if (at + 1 < pattern.size() && pattern[at] == '-' && pattern[at + 1] != ']') {
      high = pattern[at + 1];
      at += 2;
    }
    const auto value = static_cast<unsigned char>(c);
    found = found ||
            (static_cast<unsigned char>(low) <= value && value <= static_cast<unsigned char>(high));
  }
  pattern = {};
  return false;
}

} // namespace

bool wild_match(std::string_view pattern, std::string_view text) {
  // Where to go on when what follows the last star does not fit: the usual way without recursion.
  // A `**` may be gone back to also when a `*` behind it has failed.
  struct Resume {
    std::string_view pattern;
    std::string_view text;
    bool set = false;
  };
  Resume star;
  Resume stars;
  for (;;) {
    bool fits = false;
    if (pattern.starts_with("**")) {
      while (pattern.starts_with('*')) pattern.remove_prefix(1);
      stars = {pattern, text, true};
      star.set = false;
      continue;
    }
    if (pattern.starts_with('*')) {
      pattern.remove_prefix(1);
      star = {pattern, text, true};
      continue;
    }
    if (pattern.empty() && text.empty()) return true;
    if (!pattern.empty() && !text.empty()) {
      char c = pattern.front();
      pattern.remove_prefix(1);
      if (c == '?') {
        fits = text.front() != '/';
      } else if (c == '[') {
        fits = in_set(pattern, text.front());
      } else {
        if (c == '\\' && !pattern.empty()) {
          c = pattern.front();
          pattern.remove_prefix(1);
        }
        fits = c == text.front();
      }
    }
    if (fits) {
      text.remove_prefix(1);
      continue;
    }
    if (star.set && !star.text.empty() && star.text.front() != '/') {
      star.text.remove_prefix(1);
      pattern = star.pattern;
      text = star.text;
      continue;
    }
    star.set = false;
    if (!stars.set || stars.text.empty()) return false;
    stars.text.remove_prefix(1);
    pattern = stars.pattern;
    text = stars.text;
  }
}

Status Filter::add(std::string_view rule) {
  Rule out;
  std::string_view pattern;
  if (rule.starts_with("+ ") || rule.starts_with("include ")) {
    out.include = true;
    pattern = rule.substr(rule.find(' ') + 1);
  } else if (rule.starts_with("- ") || rule.starts_with("exclude ")) {
    pattern = rule.substr(rule.find(' ') + 1);
  } else {
    return Error{Errc::invalid_argument,
                 "a filter rule is '+ PATTERN' or '- PATTERN', not '" + std::string(rule) + "'"};
  }
  if (pattern.empty()) return Error{Errc::invalid_argument, "a filter rule without a pattern"};
  if (pattern.starts_with('/')) {
    out.anchored = true;
    pattern.remove_prefix(1);
  }
  // "dir/***": the directory itself, and everything below it.
  if (pattern.ends_with("/***")) {
    Rule itself = out;
    itself.pattern = pattern.substr(0, pattern.size() - 4);
    itself.directories_only = true;
    itself.whole_path = itself.anchored || itself.pattern.find('/') != std::string::npos;
    rules_.push_back(itself);
    pattern.remove_suffix(1);
  }
  if (pattern.ends_with('/')) {
    out.directories_only = true;
    pattern.remove_suffix(1);
  }
  out.pattern = pattern;
  out.whole_path = out.anchored || pattern.find('/') != std::string_view::npos ||
                   pattern.find("**") != std::string_view::npos;
  rules_.push_back(std::move(out));
  return {};
}

void Filter::only(const std::vector<std::string>& paths) {
  limited_ = true;
  for (std::string_view path : paths) {
    while (path.starts_with("./")) path.remove_prefix(2);
    while (path.starts_with('/')) path.remove_prefix(1);
    while (path.ends_with('/')) path.remove_suffix(1);
    for (;;) {
      listed_.emplace(path);
      const std::size_t slash = path.rfind('/');
      if (slash == std::string_view::npos) break;
      path = path.substr(0, slash);
    }
  }
}

bool Filter::matches(const Rule& rule, std::string_view path, bool is_directory) {
  if (rule.directories_only && !is_directory) return false;
  if (!rule.whole_path) {
    const std::size_t slash = path.rfind('/');
    return wild_match(rule.pattern,
                      slash == std::string_view::npos ? path : path.substr(slash + 1));
  }
  for (;;) {
    if (wild_match(rule.pattern, path)) return true;
    const std::size_t slash = path.find('/');
    if (rule.anchored || slash == std::string_view::npos) return false;
    path.remove_prefix(slash + 1);
  }
}

bool Filter::takes(std::string_view path, bool is_directory) const {
  if (limited_ && !listed_.contains(std::string(path))) return false;
  for (const Rule& rule : rules_)
    if (matches(rule, path, is_directory)) return rule.include;
  return true;
}

} // namespace cairn::migrate
