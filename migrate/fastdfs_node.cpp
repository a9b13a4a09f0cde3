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

// binlog.000, binlog.001.gz …, in order.
std::vector<fs::path> log_files(const FastdfsNode& node) {
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
  std::vector<fs::path> files;
  for (auto& [number, path] : out) files.push_back(std::move(path));
  return files;
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

Result<FastdfsLog> read_fastdfs_log(const FastdfsNode& node,
                                    const std::function<Status(const FastdfsChange&)>& visit) {
  FastdfsLog out;
  for (const fs::path& path : log_files(node)) {
    // Reads what is not compressed as it is.
    const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(::gzopen(path.c_str(), "rb"), &::gzclose);
    if (!file) return errno_error(path.string(), errno);
    ++out.files;
    std::array<char, 64 * 1024> buffer{};
    std::string line;
    const auto take = [&]() -> Status {
      ++out.lines;
      FastdfsChange change;
      if (line.size() > kLineMax || !parse_line(trim(line), change)) {
        ++out.damaged;
        return {};
      }
      return visit(change);
    };
    for (;;) {
      const int count = ::gzread(file.get(), buffer.data(), static_cast<unsigned>(buffer.size()));
      if (count <= 0) break;
      for (std::string_view rest(buffer.data(), static_cast<std::size_t>(count)); !rest.empty();) {
        const std::size_t end = rest.find('\n');
        const std::string_view part = rest.substr(0, end);
        // Of a line that is none in any case no more is kept than shows that.
        if (line.size() <= kLineMax) line += part.substr(0, kLineMax + 1);
        rest.remove_prefix(std::min(rest.size(), part.size() + 1));
        if (end == std::string_view::npos) continue;
        CAIRN_RETURN_IF_ERROR(take());
        line.clear();
      }
    }
    if (!line.empty()) ++out.damaged; // the last one was cut off
    int code = Z_OK;
    const char* what = ::gzerror(file.get(), &code);
    if (code != Z_OK && code != Z_BUF_ERROR && code != Z_STREAM_END) {
      if (code == Z_ERRNO) return errno_error(path.string(), errno);
      return Error{Errc::io_error, path.string() + ": " + what};
    }
  }
  return out;
}

} // namespace cairn::migrate
