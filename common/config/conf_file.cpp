// Reads configuration lines and follows includes.
#include "common/config/conf_file.h"

#include "common/base/text.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>

namespace cairn::config {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kFileSizeMax = 1 << 20;
// With the depth limit, keeps files that include each other several times from multiplying.
constexpr int kFileCountMax = 256;

// One spelling for one file, to notice loops.
fs::path identity(const fs::path& path) {
  std::error_code ignored;
  fs::path result = fs::weakly_canonical(path, ignored);
  return ignored ? path.lexically_normal() : result;
}

// The file name of an include line, or nullopt for a comment.
std::optional<std::string_view> include_target(std::string_view line) {
  constexpr std::string_view kDirective = "#include";
  if (!line.starts_with(kDirective)) return std::nullopt;
  const std::string_view rest = line.substr(kDirective.size());
  if (rest.empty() || (rest.front() != ' ' && rest.front() != '\t')) return std::nullopt;
  std::string_view target = trim(rest);
  if (target.size() >= 2 && target.front() == '"' && target.back() == '"') {
    target = target.substr(1, target.size() - 2);
  }
  return target;
}

class Reader {
public:
  Status read(std::string_view text, const fs::path& name) {
    open_.push_back(identity(name));
    std::string section;
    Location where{name.string(), 0};
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3); // a byte order mark
    for (const std::string_view raw : split(text, '\n')) {
      ++where.line;
      CAIRN_RETURN_IF_ERROR(read_line(trim(raw), name, where, section));
    }
    open_.pop_back();
    return {};
  }

  ConfFile take() { return std::move(result_); }

private:
  static Error bad(const Location& where, std::string_view what) {
    return Error{Errc::invalid_argument, where.text() + ": " + std::string(what)};
  }

  Status read_line(std::string_view line, const fs::path& name, const Location& where,
                   std::string& section) {
    if (line.find('\0') != std::string_view::npos) return bad(where, "a NUL byte");
    if (line.empty()) return {};
    if (line.front() == '#') {
      const auto target = include_target(line);
      return target ? include(*target, name, where) : Status();
    }
    if (line.front() == '[') {
      if (line.size() < 3 || line.back() != ']') return bad(where, "not a [section]");
      section = trim(line.substr(1, line.size() - 2));
      return {};
    }
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) return bad(where, "'=' is missing");
    const std::string_view key = trim(line.substr(0, equals));
    if (key.empty()) return bad(where, "the key before '=' is missing");
    result_.values.push_back(
        {section, std::string(key), std::string(trim(line.substr(equals + 1))), where});
    return {};
  }

  Status include(std::string_view target, const fs::path& name, const Location& where) {
    if (target.empty()) return bad(where, "#include without a file name");
    const fs::path path = name.parent_path() / target; // an absolute target replaces the parent
    const auto is_open = std::find(open_.begin(), open_.end(), identity(path));
    if (is_open != open_.end()) {
      return bad(where, "#include " + path.string() + " includes itself");
    }
    if (open_.size() > static_cast<std::size_t>(kIncludeDepthMax)) {
      return bad(where, "#include deeper than " + std::to_string(kIncludeDepthMax) + " files");
    }
    if (++file_count_ > kFileCountMax) return bad(where, "too many files are included");
    auto text = read_text_file(path);
    if (!text) return Error{text.code(), where.text() + ": " + text.error().detail};
    return read(*text, path);
  }

  ConfFile result_;
  std::vector<fs::path> open_; // the chain of includes we are in
  int file_count_ = 0;
};

} // namespace

Result<std::string> read_text_file(const fs::path& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"),
                                                             &std::fclose);
  if (!file) return errno_error("open " + path.string(), errno);
  std::string text(kFileSizeMax + 1, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  if (std::ferror(file.get()) != 0) return errno_error("read " + path.string(), errno);
  if (text.size() > kFileSizeMax) {
    return Error{Errc::invalid_argument, path.string() + ":1: larger than 1 MiB"};
  }
  return text;
}

Result<ConfFile> parse_conf_text(std::string_view text, const fs::path& name) {
  Reader reader;
  CAIRN_RETURN_IF_ERROR(reader.read(text, name));
  return reader.take();
}

Result<ConfFile> read_conf_file(const fs::path& path) {
  CAIRN_TRY(text, read_text_file(path));
  return parse_conf_text(text, path);
}

} // namespace cairn::config
