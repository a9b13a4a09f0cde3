// Which paths are taken: rsync's filter rules, the first that matches wins.
//
//   --include PATTERN, --exclude PATTERN, --filter '+ PATTERN' or '- PATTERN'
//
// In a pattern `*` and `?` stand for anything but '/', `**` for anything, `[…]` for a set. A
// leading '/' binds it to the root of the tree; a trailing one to directories. A pattern with a '/'
// inside or `**` is compared with the end of the whole path, another with the last name.
// `dir/***` is the directory and all that is in it. What is below an excluded directory is not
// looked at.
#pragma once

#include "common/base/result.h"

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace cairn::migrate {

class Filter {
public:
  // Adds a rule behind the others: "+ PATTERN", "- PATTERN", "include PATTERN", "exclude PATTERN".
  // Errors: invalid_argument.
  Status add(std::string_view rule);
  // From now on only these paths are taken (--files-from), and the directories they are in.
  void only(const std::vector<std::string>& paths);
  // Whether `path` (relative, without '/' at either end) is taken.
  bool takes(std::string_view path, bool is_directory) const;
  bool empty() const { return rules_.empty() && !limited_; }

private:
  struct Rule {
    bool include = false;
    bool anchored = false;
    bool directories_only = false;
    bool whole_path = false; // compared with path ends, not with the last name
    std::string pattern;
  };
  static bool matches(const Rule& rule, std::string_view path, bool is_directory);

  std::vector<Rule> rules_;
  bool limited_ = false;
  std::unordered_set<std::string> listed_;
};

// `text` against a pattern of `*`, `**`, `?`, `[…]` and backslash escapes.
bool wild_match(std::string_view pattern, std::string_view text);

} // namespace cairn::migrate
