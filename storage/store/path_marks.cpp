// Marks on the disks.
#include "storage/store/path_marks.h"

#include "common/base/durable_file.h"
#include "common/base/text.h"

#include <filesystem>
#include <map>
#include <sstream>
#include <sys/stat.h>

namespace cairn::storage {

namespace {

namespace fs = std::filesystem;

struct Mark {
  std::string uuid;
  bool mounted = false;
};

fs::path list_file(const config::StorageConfig& config) {
  return config.base_path / "data" / "path_marks";
}

fs::path mark_file(const config::StorePathConfig& path) {
  return path.path / "data" / ".mark";
}

// Whether another file system begins there.
bool is_mount_point(const fs::path& path) {
  struct stat here {};
  struct stat above {};
  return ::stat(path.c_str(), &here) == 0 && ::stat((path / "..").c_str(), &above) == 0 &&
         here.st_dev != above.st_dev;
}

// By index. A list that cannot be read is like none: it is written anew.
std::map<std::size_t, Mark> known_marks(const config::StorageConfig& config) {
  std::map<std::size_t, Mark> marks;
  const auto text = read_small_file(list_file(config));
  if (!text) return marks;
  std::istringstream lines(*text);
  std::size_t index = 0;
  Mark mark;
  while (lines >> index >> mark.uuid >> mark.mounted) marks[index] = mark;
  return marks;
}

std::string mark_of(const config::StorePathConfig& path) {
  const auto text = read_small_file(mark_file(path));
  return text ? std::string(trim(*text)) : std::string();
}

} // namespace

Result<std::vector<std::uint8_t>> changed_paths(const config::StorageConfig& config) {
  std::vector<std::uint8_t> changed;
  const auto known = known_marks(config);
  for (std::size_t i = 0; i < config.store_paths.size(); ++i) {
    const auto found = known.find(i);
    if (found == known.end()) continue; // the first start with it
    const config::StorePathConfig& path = config.store_paths[i];
    const std::string mark = mark_of(path);
    if (mark == found->second.uuid) continue;
    if (!mark.empty())
      return Error{Errc::busy, "store_path" + std::to_string(i) + " " + path.path.string() +
                                   " is the disk of another store path (its data/.mark says so); "
                                   "store paths cannot be renumbered"};
    if (found->second.mounted && !is_mount_point(path.path))
      return Error{Errc::unavailable,
                   "store_path" + std::to_string(i) + " " + path.path.string() +
                       " is not mounted; mount its disk, or remove its line from " +
                       list_file(config).string() + " if it is to be a plain directory"};
    changed.push_back(static_cast<std::uint8_t>(i));
  }
  return changed;
}

Status mark_paths(const config::StorageConfig& config) {
  std::ostringstream list;
  for (std::size_t i = 0; i < config.store_paths.size(); ++i) {
    const config::StorePathConfig& path = config.store_paths[i];
    std::string mark = mark_of(path);
    if (mark.empty() && path.readonly) continue;
    if (mark.empty()) {
      mark = uuid_v4();
      CAIRN_RETURN_IF_ERROR(durable_write_file(mark_file(path), mark + "\n"));
    }
    list << i << ' ' << mark << ' ' << is_mount_point(path.path) << '\n';
  }
  const auto before = read_small_file(list_file(config));
  if (before && *before == list.str()) return Status();
  return durable_write_file(list_file(config), list.str());
}

} // namespace cairn::storage
