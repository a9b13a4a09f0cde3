// Content types by file name extension.
#pragma once

#include "common/base/result.h"

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace cairn {

// Filled at start, then const and for any thread.
class MimeTypes {
public:
  // The built-in table; `fallback` is the answer for everything else.
  explicit MimeTypes(std::string fallback = "application/octet-stream");

  // Adds the types of a mime.types file, of Apache ("image/jpeg jpeg jpg") or of nginx ("types {
  // image/jpeg jpeg jpg; }"); its entries win over the built-in ones. Errors: those of opening;
  // invalid_argument with file and line. Blocks: start-up only.
  Status add_file(const std::filesystem::path& path);
  // As add_file() with the text itself; `name` begins error lines.
  Status add_text(std::string_view text, std::string_view name);

  // The type of a file name or path, by what follows the last dot, without regard to case.
  const std::string& type_of(std::string_view name) const;

private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };

  std::string fallback_;
  std::unordered_map<std::string, std::string, Hash, std::equal_to<>> types_; // lower case
};

} // namespace cairn
