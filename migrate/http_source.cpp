// GET, and what lines and pages say.
#include "migrate/http_source.h"

#include "common/auth/signature.h"
#include "common/base/text.h"
#include "common/base/write_all.h"
#include "common/net/http_client.h"
#include "common/net/http_range.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cairn::migrate {

namespace {

constexpr std::chrono::seconds kWait{30}; // for the head, and for every piece of the body
constexpr std::size_t kPiece = 256 * 1024;
constexpr std::uint64_t kPageMax = 64 << 20;

// An unnamed file, closed with its owner.
class Spill {
public:
  explicit Spill(const std::filesystem::path& folder)
      : fd_(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) {}
  ~Spill() {
    if (fd_ >= 0) ::close(fd_);
  }
  Spill(const Spill&) = delete;
  Spill& operator=(const Spill&) = delete;

  Status write(std::span<const std::byte> bytes) const {
    return write_all(fd_, bytes, "write a temporary file");
  }
  // The same file for who reads.
  Result<std::shared_ptr<SourceFile>> reader() const {
    return SourceFile::open("/proc/self/fd/" + std::to_string(fd_), true);
  }
  explicit operator bool() const { return fd_ >= 0; }

private:
  int fd_;
};

Status check_status(int status) {
  switch (status) {
    case 200:
      return {};
    case 304:
      return Errc::already;
    case 404:
    case 410:
      return Error{Errc::not_found, "the server answers " + std::to_string(status)};
    case 401:
    case 403:
      return Error{Errc::denied, "the server answers " + std::to_string(status)};
    default:
      return Error{Errc::io_error, "the server answers " + std::to_string(status)};
  }
}

HttpAsk get(const HttpServer& server, std::string_view path) {
  HttpAsk ask;
  ask.target = server.prefix + "/" + auth::percent_encode(path, true);
  ask.host = server.host;
  return ask;
}

// "" for a path that would lead out of its directory.
std::string cleaned(std::string path) {
  while (path.starts_with('/')) path.erase(0, 1);
  if (path.empty() || path.ends_with('/') || path.find('\0') != std::string::npos) return {};
  for (const std::string_view part : split(path, '/'))
    if (part.empty() || part == "." || part == "..") return {};
  return path;
}

} // namespace

Result<HttpServer> parse_http_server(std::string_view url) {
  const Error bad(Errc::invalid_argument,
                  "'" + std::string(url) + "' is no server; it is http://HOST[:PORT][/PREFIX]");
  if (!is_http_url(url)) return bad;
  url.remove_prefix(7);
  const std::size_t slash = url.find('/');
  const std::string_view authority = url.substr(0, slash);
  const auto parsed = parse_host_port(authority, 80);
  if (!parsed) return bad;
  HttpServer out;
  out.at.host = parsed->host;
  out.at.port = parsed->port;
  out.host = authority;
  if (slash != std::string_view::npos) out.prefix = url.substr(slash);
  while (out.prefix.ends_with('/')) out.prefix.pop_back();
  return out;
}

Task<Result<HttpFile>> http_fetch(HttpServer server, std::string path,
                                  std::optional<FileTime> since, std::uint64_t memory_max,
                                  std::filesystem::path spill) {
  HttpAsk ask = get(server, path);
  if (since) ask.headers.emplace_back("If-Modified-Since", format_http_date(since->seconds));
  CAIRN_CO_TRY(call, co_await HttpCall::send(server.at, std::move(ask), kWait));
  CAIRN_CO_RETURN_IF_ERROR(check_status(call.status()));
  HttpFile out;
  out.entry.mode = 0644;
  out.entry.uid = ::geteuid();
  out.entry.gid = ::getegid();
  if (const auto time = parse_http_date(call.header("last-modified"), std::time(nullptr)))
    out.entry.mtime_s = *time;
  std::unique_ptr<Spill> spilled;
  wire::Buffer buffer(kPiece);
  for (;;) {
    CAIRN_CO_TRY(count, co_await call.read_some(buffer.span()));
    if (count == 0) break;
    const auto piece = buffer.view().first(count);
    out.entry.size += count;
    if (!spilled && out.entry.size > memory_max) {
      spilled = std::make_unique<Spill>(spill);
      if (!*spilled) co_return errno_error(spill.string(), errno);
      CAIRN_CO_RETURN_IF_ERROR(spilled->write(out.bytes));
      out.bytes = {};
    }
    if (spilled)
      CAIRN_CO_RETURN_IF_ERROR(spilled->write(piece));
    else
      out.bytes.insert(out.bytes.end(), piece.begin(), piece.end());
  }
  if (call.length() && *call.length() != out.entry.size)
    co_return Error{Errc::closed, "the server has sent less than it said"};
  if (spilled) {
    CAIRN_CO_TRY(file, spilled->reader());
    out.file = std::move(file);
  }
  co_return out;
}

std::optional<std::string> listed_path(const HttpServer& server, std::string_view line) {
  line = trim(line);
  if (line.empty() || line.front() == '#') return {};
  bool absolute = line.starts_with('/');
  if (is_http_url(line)) {
    const std::string whole = "http://" + server.host;
    if (!line.starts_with(whole)) return {};
    line.remove_prefix(whole.size());
    absolute = true;
  }
  line = line.substr(0, line.find_first_of("?#"));
  if (absolute) {
    const std::string below = server.prefix + "/";
    if (!line.starts_with(below)) return {};
    line.remove_prefix(below.size());
  }
  auto decoded = percent_decode(line);
  if (!decoded) return {};
  std::string path = cleaned(*std::move(decoded));
  if (path.empty()) return {};
  return path;
}

std::optional<std::string_view> logged_request(std::string_view line) {
  const std::size_t open = line.find('"');
  if (open == std::string_view::npos) return {};
  const std::size_t close = line.find('"', open + 1);
  if (close == std::string_view::npos) return {};
  const auto request = split(line.substr(open + 1, close - open - 1), ' ');
  if (request.size() < 2 || (request[0] != "GET" && request[0] != "HEAD")) return {};
  const std::string_view status = trim(line.substr(close + 1)).substr(0, 4);
  if (status != "200 " && status != "206 " && status != "304 ") return {};
  return request[1];
}

std::vector<std::string> index_names(std::string_view page) {
  std::vector<std::string> out;
  constexpr std::string_view kHref = "href=";
  for (std::size_t at = page.find(kHref); at != std::string_view::npos;
       at = page.find(kHref, at + 1)) {
    const std::size_t begin = at + kHref.size() + 1;
    if (begin >= page.size()) break;
    const char quote = page[begin - 1];
    if (quote != '"' && quote != '\'') continue;
    const std::size_t end = page.find(quote, begin);
    if (end == std::string_view::npos) break;
    std::string_view link = page.substr(begin, end - begin);
    if (link.starts_with("./")) link.remove_prefix(2);
    // Sorting links have a query; the way up, other servers and other directories are no names.
    const bool is_directory = link.ends_with('/');
    const std::string_view name = is_directory ? link.substr(0, link.size() - 1) : link;
    if (name.empty() || name.find_first_of("/?#:") != std::string_view::npos || name == "..")
      continue;
    std::string decoded;
    for (std::size_t i = 0; i < name.size(); ++i) {
      // As HTML writes it in attributes.
      if (name.substr(i).starts_with("&amp;")) {
        decoded += '&';
        i += 4;
      } else {
        decoded += name[i];
      }
    }
    auto plain = percent_decode(decoded);
    if (!plain || plain->find('/') != std::string::npos) continue;
    std::string clean = cleaned(*std::move(plain));
    if (!clean.empty()) out.push_back(clean + (is_directory ? "/" : ""));
  }
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Task<Result<std::string>> http_index(HttpServer server, std::string directory) {
  HttpAsk ask = get(server, directory);
  CAIRN_CO_TRY(call, co_await HttpCall::send(server.at, std::move(ask), kWait));
  CAIRN_CO_RETURN_IF_ERROR(check_status(call.status()));
  std::string page;
  wire::Buffer buffer(kPiece);
  for (;;) {
    CAIRN_CO_TRY(count, co_await call.read_some(buffer.span()));
    if (count == 0) co_return page;
    if (page.size() + count > kPageMax)
      co_return Error{Errc::io_error, "an index page of more than 64 MiB"};
    page += wire::as_text(buffer.view().first(count));
  }
}

} // namespace cairn::migrate
