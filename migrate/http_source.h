// An old web server as a source: files by GET, and what there is from a list of paths, from an
// access log, or from the index pages that the server makes.
#pragma once

#include "common/net/frame_client.h"
#include "common/net/task.h"
#include "migrate/entry.h"
#include "migrate/source_file.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::migrate {

// "http://HOST[:PORT][/PREFIX]".
struct HttpServer {
  Endpoint at;
  std::string host;   // as the Host header has it
  std::string prefix; // of every path, without '/' at its end
};
// Errors: invalid_argument.
Result<HttpServer> parse_http_server(std::string_view url);
inline bool is_http_url(std::string_view text) {
  return text.starts_with("http://");
}

// What one GET gave. Of a long file the bytes are in an unnamed file.
struct HttpFile {
  Entry entry; // size and time; the time is 0 when the server does not tell
  std::vector<std::byte> bytes;
  std::shared_ptr<SourceFile> file; // null: `bytes` is all
};

// Fetches `path` (relative, not encoded). `since`: only if it was changed after that. Longer files
// than `memory_max` go into `spill`. Errors: not_found (404, 410), already (not changed), denied,
// io_error (another answer than 200), unavailable, timeout, closed (the server).
Task<Result<HttpFile>> http_fetch(HttpServer server, std::string path,
                                  std::optional<FileTime> since, std::uint64_t memory_max,
                                  std::filesystem::path spill);

// The path of what a line of a list or an access log names, if it is below the server's prefix:
// a path relative to it, an absolute one, or a whole URL. Queries are cut off, percent signs
// decoded. Nothing: it is none, or would lead out.
std::optional<std::string> listed_path(const HttpServer& server, std::string_view line);
// The request of a line in common or combined log format, if it was a GET or HEAD that was answered
// with 200, 206 or 304.
std::optional<std::string_view> logged_request(std::string_view line);

// What an index page (as nginx and Apache make them) links to in its own directory: names, those of
// directories with a '/' behind.
std::vector<std::string> index_names(std::string_view page);

// The index page of a directory ("" or with '/' at its end). Errors: those of http_fetch().
Task<Result<std::string>> http_index(HttpServer server, std::string directory);

} // namespace cairn::migrate
