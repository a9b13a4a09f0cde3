// Parsing of log lines.
#include "tools/access_log.h"

#include "common/base/text.h"

#include <cctype>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <unistd.h>
#include <vector>
#include <zlib.h>

namespace cairn::tools {

namespace {

constexpr std::size_t kLineMax = 64 * 1024;
constexpr unsigned kReadBuffer = 256 * 1024;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// The text up to the next unescaped quote, from behind an opening one; moves behind the closing
// one.
std::string_view quoted(std::string_view line, std::size_t& at) {
  const std::size_t begin = at;
  while (at < line.size() && line[at] != '"') at += line[at] == '\\' ? 2 : 1;
  const std::size_t end = std::min(at, line.size());
  at = std::min(end + 1, line.size());
  return line.substr(begin, end - begin);
}

std::string_view field(std::string_view line, std::size_t& at) {
  while (at < line.size() && line[at] == ' ') ++at;
  const std::size_t begin = at;
  while (at < line.size() && line[at] != ' ') ++at;
  return line.substr(begin, at - begin);
}

std::string quote_regex(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::strchr("\\^$.|?*+()[]{}", c) != nullptr && c != '\0') out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

// A directory of a path.
std::string segment_shape(std::string_view segment) {
  if (segment.empty()) return {};
  if (segment.find_first_not_of("0123456789") == std::string_view::npos)
    return segment.size() <= 8 ? "\\d{" + std::to_string(segment.size()) + "}" : "\\d+";
  if (segment.size() >= 8 &&
      segment.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos)
    return "[0-9A-Fa-f]{" + std::to_string(segment.size()) + "}";
  // Digits inside a name become a run of any length.
  std::string out;
  for (std::size_t i = 0; i < segment.size();) {
    if (!is_digit(segment[i])) {
      out += quote_regex(segment.substr(i, 1));
      ++i;
      continue;
    }
    while (i < segment.size() && is_digit(segment[i])) ++i;
    out += "\\d+";
  }
  return out;
}

std::string file_shape(std::string_view name) {
  if (name.empty()) return {};
  const std::size_t dot = name.rfind('.');
  const std::string_view stem = name.substr(0, dot);
  std::string out = "[^/]+";
  // "x_100x100.jpg" and "123.jpg" are shapes of their own.
  const std::size_t line = stem.rfind('_');
  const std::size_t cross = stem.rfind('x');
  if (!stem.empty() && stem.find_first_not_of("0123456789") == std::string_view::npos) {
    out = "\\d+";
  } else if (line != std::string_view::npos && cross != std::string_view::npos &&
             cross > line + 1 && cross + 1 < stem.size()) {
    const bool size =
        stem.substr(line + 1, cross - line - 1).find_first_not_of("0123456789") ==
            std::string_view::npos &&
        stem.substr(cross + 1).find_first_not_of("0123456789") == std::string_view::npos;
    if (size) out = "[^/]+_\\d+x\\d+";
  }
  if (dot != std::string_view::npos) out += "\\." + quote_regex(to_lower(name.substr(dot + 1)));
  return out;
}

struct CloseFile {
  void operator()(gzFile_s* file) const { gzclose_r(file); }
};

// Plain text and what logrotate has compressed. Errors: of opening.
Result<std::unique_ptr<gzFile_s, CloseFile>> open_log(const std::string& file) {
  const int fd = file == "-" ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                             : open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno_error("open " + file, errno);
  std::unique_ptr<gzFile_s, CloseFile> in(gzdopen(fd, "rb"));
  if (in) {
    gzbuffer(in.get(), kReadBuffer);
    return in;
  }
  close(fd);
  return Error{Errc::io_error, "read " + file + ": no memory"};
}

} // namespace

std::optional<LogLine> parse_log_line(std::string_view line) {
  std::size_t at = line.find('"');
  if (at == std::string_view::npos) return std::nullopt;
  ++at;
  const std::string_view request = quoted(line, at);
  LogLine out;
  std::size_t inner = 0;
  out.method = field(request, inner);
  out.target = field(request, inner);
  if (out.method.empty() || out.target.empty()) return std::nullopt;
  const auto status = parse_u64(field(line, at));
  if (!status || *status < 100 || *status > 599) return std::nullopt;
  out.status = static_cast<int>(*status);
  if (const auto bytes = parse_u64(field(line, at))) out.bytes = *bytes;
  while (at < line.size() && line[at] == ' ') ++at;
  if (at < line.size() && line[at] == '"') {
    ++at;
    out.referer = quoted(line, at);
    if (out.referer == "-") out.referer = {};
  }
  return out;
}

Status for_each_line(const std::string& file, const std::function<bool(std::string_view)>& line) {
  CAIRN_TRY(in, open_log(file));
  std::vector<char> buffer(1024 * 1024);
  std::string rest; // of a line that goes on in the next piece
  bool dropping = false;
  for (;;) {
    const int count = gzread(in.get(), buffer.data(), static_cast<unsigned>(buffer.size()));
    if (count < 0) {
      int code = 0;
      const std::string why = gzerror(in.get(), &code);
      if (code == Z_ERRNO) return errno_error("read " + file, errno);
      return Error{Errc::corrupt, "read " + file + ": " + why};
    }
    if (count == 0) break;
    std::string_view piece(buffer.data(), static_cast<std::size_t>(count));
    while (!piece.empty()) {
      const std::size_t end = piece.find('\n');
      const std::string_view part = piece.substr(0, end);
      if (!dropping && rest.size() + part.size() <= kLineMax) {
        rest.append(part);
      } else if (!dropping) {
        rest.append(part.substr(0, kLineMax - rest.size()));
        dropping = true;
      }
      if (end == std::string_view::npos) break;
      piece.remove_prefix(end + 1);
      if (!rest.empty() && rest.back() == '\r') rest.pop_back();
      if (!line(rest)) return Status();
      rest.clear();
      dropping = false;
    }
  }
  // A compressed log that ends in the middle.
  if (int code = 0; gzerror(in.get(), &code) != nullptr && code == Z_BUF_ERROR)
    return Error{Errc::corrupt, "read " + file + ": it ends too early"};
  if (!rest.empty()) line(rest);
  return Status();
}

std::string shape_of(std::string_view path) {
  std::string out;
  std::size_t at = 0;
  while (at < path.size()) {
    const std::size_t slash = path.find('/', at + 1);
    const std::string_view segment =
        path.substr(at + 1, slash == std::string_view::npos ? slash : slash - at - 1);
    out += "/" + (slash == std::string_view::npos ? file_shape(segment) : segment_shape(segment));
    if (slash == std::string_view::npos) break;
    at = slash;
  }
  return out;
}

} // namespace cairn::tools
