// The reader of FastDFS-style configuration files: lines `key = value`, nothing about what keys
// mean (options.h does that).
//
//   # a comment (at the start of a line only: a value may hold '#')
//   key = value          # not a comment: this text is part of the value
//   #include other.conf  relative to the file that includes
//   [section]            keys that follow belong to it, until the next one or the end of the file
#pragma once

#include "common/base/result.h"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::config {

// Where something was written; the text form is what every error line begins with.
struct Location {
  std::string file;
  int line = 0; // from 1

  std::string text() const { return file + ":" + std::to_string(line); }
};

// One `key = value` line.
struct ConfValue {
  std::string section; // empty outside sections
  std::string key;
  std::string value; // trimmed; may be empty
  Location where;

  // "key", or "section.key".
  std::string full_key() const { return section.empty() ? key : section + "." + key; }
};

// All values of a file and what it includes, in the order of reading; repeated keys are kept.
struct ConfFile {
  std::vector<ConfValue> values;
};

inline constexpr int kIncludeDepthMax = 8;

// A whole text file of at most 1 MiB (else invalid_argument); the errno of a failed open or read.
Result<std::string> read_text_file(const std::filesystem::path& path);

// Reads `path`. Lines with `key` and no `=`, NUL bytes, unfinished sections, includes deeper than
// kIncludeDepthMax or in a loop, and files over 1 MiB are invalid_argument with "file:line: what";
// an unreadable file is the errno of open (for an include with the including line).
Result<ConfFile> read_conf_file(const std::filesystem::path& path);

// Parses `text` as if it were the file `name`; its includes are looked up beside `name`.
Result<ConfFile> parse_conf_text(std::string_view text, const std::filesystem::path& name);

} // namespace cairn::config
