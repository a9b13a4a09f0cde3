// storage.conf and the log.
#include "migrate/fastdfs_node.h"

#include "common/base/durable_file.h"
#include "common/base/file_id.h"
#include "common/base/text.h"
#include "common/config/conf_file.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <zlib.h>

namespace cairn::migrate {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStorePath = "store_path";
constexpr std::uint64_t kStorePathsMax = 256;
constexpr std::size_t kLineMax = 1024; // FastDFS writes none of more than 256

// 3 for "store_path3"; nothing for other keys.
std::optional<std::size_t> store_path_index(std::string_view key) {
  if (!key.starts_with(kStorePath)) return {};
  const auto number = parse_u64(key.substr(kStorePath.size()));
  if (!number || *number >= kStorePathsMax) return {};
  return static_cast<std::size_t>(*number);
}

Status number_of(const config::ConfValue& value, std::uint64_t most, std::uint64_t& out) {
  const auto parsed = parse_u64(value.value);
  if (!parsed || *parsed == 0 || *parsed > most)
    return Error{Errc::invalid_argument, value.where.text() + ": " + value.key + " = " +
                                             value.value + " is no number up to " +
                                             std::to_string(most)};
  out = *parsed;
  return {};
}

// binlog.000, binlog.001.gz …, by number.
std::map<std::uint64_t, fs::path> log_files(const FastdfsNode& node) {
  std::map<std::uint64_t, fs::path> out;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(node.base_path / "data/sync", ignored)) {
    std::string name = entry.path().filename().string();
    if (!name.starts_with("binlog.")) continue;
    name.erase(0, 7);
    if (name.ends_with(".gz")) name.resize(name.size() - 3);
    const bool digits = !name.empty() && std::ranges::all_of(name, [](unsigned char c) {
      return std::isdigit(c) != 0;
    });
    const auto number = digits ? parse_u64(name) : Result<std::uint64_t>(Errc::not_found);
    if (number) out[*number] = entry.path();
  }
  return out;
}

// "<seconds> <op> <name>[ <extra>]". False: it is no such line.
bool parse_line(std::string_view line, FastdfsChange& out) {
  const auto parts = split(line, ' ');
  if (parts.size() < 3 || parts[1].size() != 1 || parts[2].empty()) return false;
  const auto time = parse_u64(parts[0]);
  if (!time || std::isalpha(static_cast<unsigned char>(parts[1][0])) == 0) return false;
  out.time = static_cast<std::int64_t>(*time);
  out.op = parts[1][0];
  out.name = parts[2];
  const char* behind = parts[2].data() + parts[2].size();
  out.extra = trim(line.substr(static_cast<std::size_t>(behind - line.data())));
  return true;
}

} // namespace

Result<FastdfsNode> read_fastdfs_conf(const fs::path& conf) {
  CAIRN_TRY(file, config::read_conf_file(conf));
  FastdfsNode node;
  std::map<std::size_t, fs::path> paths;
  std::uint64_t count = 1;
  for (const config::ConfValue& value : file.values) {
    if (!value.section.empty()) continue;
    std::uint64_t number = 0;
    if (value.key == "group_name") {
      node.group = value.value;
    } else if (value.key == "base_path") {
      node.base_path = value.value;
    } else if (value.key == "bind_addr") {
      node.bind_addr = value.value;
    } else if (value.key == "tracker_server") {
      node.trackers.push_back(value.value);
    } else if (value.key == "allow_hosts") {
      node.allow_hosts.push_back(value.value);
    } else if (value.key == "port") {
      CAIRN_RETURN_IF_ERROR(number_of(value, 65535, number));
      node.port = static_cast<std::uint16_t>(number);
    } else if (value.key == "store_path_count") {
      CAIRN_RETURN_IF_ERROR(number_of(value, kStorePathsMax, count));
    } else if (value.key == "subdir_count_per_path") {
      CAIRN_RETURN_IF_ERROR(number_of(value, 256, number));
      node.subdir_count = static_cast<std::uint32_t>(number);
    } else if (const auto index = store_path_index(value.key)) {
      paths[*index] = value.value;
    }
  }
  const std::string where = conf.string() + ": ";
  if (node.group.empty() || node.base_path.empty())
    return Error{Errc::invalid_argument,
                 where + "no group_name or no base_path: this is no storage.conf of FastDFS"};
  if (const Status good = validate_group_name(node.group); !good)
    return Error{Errc::invalid_argument, where + "group_name: " + good.error().detail};
  for (std::size_t i = 0; i < count; ++i) {
    const auto found = paths.find(i);
    // As FastDFS has it: the first one may be left out.
    if (found == paths.end() && i > 0)
      return Error{Errc::invalid_argument,
                   where + "store_path" + std::to_string(i) + " is missing"};
    node.store_paths.push_back(found == paths.end() ? node.base_path : found->second);
  }
  return node;
}

int running_fastdfs(const FastdfsNode& node) {
  const auto text = read_small_file(node.base_path / "data/fdfs_storaged.pid");
  if (!text) return 0;
  const auto pid = parse_u64(trim(*text));
  if (!pid || *pid == 0) return 0;
  const auto comm = read_small_file("/proc/" + std::to_string(*pid) + "/comm");
  return comm && trim(*comm).starts_with("fdfs_storaged") ? static_cast<int>(*pid) : 0;
}

namespace {

// Calls `visit` for each line of a file of the log from byte `offset` on, with the byte behind it.
// True: the last line was cut off. Errors: io_error, not_found (the file is shorter), of `visit`.
Result<bool> each_line(
    const fs::path& path, std::uint64_t offset,
    const std::function<Status(std::string_view line, std::uint64_t end)>& visit) {
  // Reads what is not compressed as it is.
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(::gzopen(path.c_str(), "rbe"), &::gzclose);
  if (!file) return errno_error(path.string(), errno);
  if (offset > 0 && ::gzseek(file.get(), static_cast<z_off_t>(offset), SEEK_SET) < 0)
    return Error{Errc::not_found, path.string() + " is shorter than it was"};
  std::vector<char> buffer(64 * 1024);
  std::string line;
  for (;;) {
    const int count = ::gzread(file.get(), buffer.data(), static_cast<unsigned>(buffer.size()));
    if (count <= 0) break;
    for (std::string_view rest(buffer.data(), static_cast<std::size_t>(count)); !rest.empty();) {
      const std::size_t end = rest.find('\n');
      const std::string_view part = rest.substr(0, end);
      // Of a line that is none in any case no more is kept than shows that.
      if (line.size() <= kLineMax) line += part.substr(0, kLineMax + 1);
      offset += part.size();
      rest.remove_prefix(std::min(rest.size(), part.size() + 1));
      if (end == std::string_view::npos) continue;
      ++offset;
      CAIRN_RETURN_IF_ERROR(visit(line, offset));
      line.clear();
    }
  }
  int code = Z_OK;
  const char* what = ::gzerror(file.get(), &code);
  if (code != Z_OK && code != Z_BUF_ERROR && code != Z_STREAM_END) {
    if (code == Z_ERRNO) return errno_error(path.string(), errno);
    return Error{Errc::io_error, path.string() + ": " + what};
  }
  return !line.empty();
}

} // namespace

Result<FastdfsLog> read_fastdfs_log(const FastdfsNode& node,
                                    const std::function<Status(const FastdfsChange&)>& visit) {
  FastdfsLog out;
  for (const auto& [number, path] : log_files(node)) {
    ++out.files;
    const auto take = [&](std::string_view line, std::uint64_t) -> Status {
      ++out.lines;
      FastdfsChange change;
      if (line.size() > kLineMax || !parse_line(trim(line), change)) {
        ++out.damaged;
        return {};
      }
      return visit(change);
    };
    CAIRN_TRY(cut, each_line(path, 0, take));
    if (cut) ++out.damaged;
  }
  return out;
}

// --- places in the log ---------------------------------------------------------------------------

std::string FastdfsPosition::text() const {
  return std::to_string(file) + " " + std::to_string(offset);
}

Result<FastdfsPosition> parse_fastdfs_position(std::string_view text) {
  const auto parts = split(text, ' ');
  const auto file = parts.size() == 2 ? parse_u64(parts[0]) : Result<std::uint64_t>(Errc::corrupt);
  const auto offset = file ? parse_u64(parts[1]) : Result<std::uint64_t>(Errc::corrupt);
  if (!file || !offset) return Error{Errc::corrupt, "a damaged place in the log of FastDFS"};
  FastdfsPosition out;
  out.file = *file;
  out.offset = *offset;
  return out;
}

FastdfsPosition fastdfs_log_end(const FastdfsNode& node) {
  FastdfsPosition out;
  const auto files = log_files(node);
  if (files.empty()) return out;
  // What is compressed is not written to any more: the next one will be.
  const auto& [number, path] = *files.rbegin();
  const bool is_closed = path.extension() == ".gz";
  std::error_code failure;
  const std::uint64_t size = is_closed ? 0 : fs::file_size(path, failure);
  out.file = number + (is_closed ? 1 : 0);
  out.offset = failure ? 0 : size;
  return out;
}

bool fastdfs_log_reaches(const FastdfsNode& node, const FastdfsPosition& at) {
  if (at == FastdfsPosition()) return true; // the beginning, wherever that is by now
  const auto files = log_files(node);
  const auto found = files.find(at.file);
  if (found == files.end()) return at.offset == 0 && files.contains(at.file - 1);
  if (found->second.extension() == ".gz") return true;
  std::error_code failure;
  return fs::file_size(found->second, failure) >= at.offset && !failure;
}

Status follow_fastdfs_log(const FastdfsNode& node, FastdfsPosition& at,
                          const std::function<Status(const FastdfsChange&)>& visit) {
  if (!fastdfs_log_reaches(node, at))
    return Error{Errc::not_found, "the log of FastDFS does not go on where it was left"};
  const auto files = log_files(node);
  for (auto file = files.lower_bound(at.file); file != files.end(); ++file) {
    if (file->first != at.file) {
      at.file = file->first;
      at.offset = 0;
    }
    const auto take = [&](std::string_view line, std::uint64_t end) -> Status {
      FastdfsChange change;
      // A damaged line tells nothing; the directories are looked through as a whole in the end.
      if (line.size() <= kLineMax && parse_line(trim(line), change))
        CAIRN_RETURN_IF_ERROR(visit(change));
      at.offset = end;
      return {};
    };
    CAIRN_TRY(cut, each_line(file->second, at.offset, take));
    static_cast<void>(cut);
  }
  return {};
}

} // namespace cairn::migrate
