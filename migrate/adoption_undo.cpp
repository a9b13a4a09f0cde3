// Giving the directories back as they were found.
#include "migrate/adoption.h"
#include "migrate/entry.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <optional>
#include <sys/xattr.h>
#include <unistd.h>

namespace cairn::migrate {

namespace {

namespace fs = std::filesystem;

constexpr const char* kAdded = ".cairn-added";
// What a storage node makes beside the files and nobody needs any more.
constexpr std::array kOurs = {".tmp", ".sums", ".mark"};
// What may hold the only copy of something.
constexpr std::array kKept = {".trash", ".quarantine", ".returned"};

// Takes away what a storage node has noted in the attributes of a file.
void strip_attributes(const fs::path& file) {
  std::array<char, 4096> names{};
  const ssize_t size = ::llistxattr(file.c_str(), names.data(), names.size());
  for (ssize_t at = 0; at < size;) {
    const std::string name(names.data() + at);
    if (name.starts_with("user.cairn")) ::lremovexattr(file.c_str(), name.c_str());
    at += static_cast<ssize_t>(name.size()) + 1;
  }
}

// Removes directories in which there is nothing, and answers whether all of it is gone.
bool remove_empty(const fs::path& folder) {
  std::error_code ignored;
  bool empty = true;
  for (const auto& entry : fs::directory_iterator(folder, ignored))
    empty = fs::is_directory(entry.symlink_status()) && remove_empty(entry.path()) && empty;
  return empty && (fs::remove(folder, ignored), !fs::exists(folder, ignored));
}

// What was in one directory, by printable name.
using Known = std::map<std::string, AdoptedName, std::less<>>;

// The list, a directory at a time, in step with the walk.
class KnownDirectories {
public:
  static Result<KnownDirectories> open(const AdoptedPath& path) {
    CAIRN_TRY(reader, AdoptedListReader::open(path));
    KnownDirectories out(std::move(reader));
    CAIRN_TRY(first, out.reader_.next());
    out.next_ = std::move(first);
    return out;
  }
  // What was in `directory`; what was in those before it goes to `removed`.
  Result<Known> take(const std::string& directory,
                     const std::function<void(const AdoptedName&)>& removed) {
    Known out;
    while (next_ && next_->below.substr(0, directory.size()) <= directory) {
      if (next_->below.starts_with(directory))
        out.emplace(next_->below, *next_);
      else
        removed(*next_);
      CAIRN_TRY(next, reader_.next());
      next_ = std::move(next);
    }
    return out;
  }

private:
  explicit KnownDirectories(AdoptedListReader reader) : reader_(std::move(reader)) {}
  AdoptedListReader reader_;
  std::optional<AdoptedName> next_;
};

} // namespace

Result<AdoptReport> Adoption::give_back() {
  CAIRN_RETURN_IF_ERROR(open_paths(!options_.dry_run));
  std::error_code ignored;
  const bool any = std::ranges::any_of(
      paths_, [&](const AdoptedPath& path) { return fs::exists(path.folder(), ignored); });
  if (!any) return Error{Errc::not_found, "these directories were not taken over"};
  for (const AdoptedPath& path : paths_) CAIRN_RETURN_IF_ERROR(give_back(path));
  return report_;
}

Status Adoption::give_back(const AdoptedPath& path) {
  std::error_code ignored;
  if (!options_.dry_run) {
    // From here on it is not taken over any more, should this be broken off.
    ::unlink(path.done_file().c_str());
    CAIRN_RETURN_IF_ERROR(restore_links(path));
  }
  if (fs::exists(path.list_file(), ignored)) {
    CAIRN_TRY(known_directories, KnownDirectories::open(path));
    const auto removed = [this, &path](const AdoptedName& name) {
      found(Finding::removed, id_of(path.remote(name.below)), "it was deleted since");
    };
    const auto visit = [&](const std::string& directory, std::vector<DiskName>& entries) -> Status {
      CAIRN_TRY(known, known_directories.take(directory, removed));
      for (const DiskName& entry : entries) {
        const std::string below = directory + "/" + entry.name;
        const auto was = known.find(printable(below));
        if (was == known.end()) {
          CAIRN_RETURN_IF_ERROR(added_since(path, below));
          continue;
        }
        if (was->second.type != 'l' && was->second.type != 'o' &&
            !was->second.is_as_before(entry.status))
          found(Finding::changed, id_of(path.remote(below)), "it was changed since");
        if (!options_.dry_run && S_ISREG(entry.status.st_mode))
          strip_attributes(path.data() / below);
        known.erase(was);
      }
      for (const auto& [below, name] : known)
        if (name.type != 'l') removed(name);
      return {};
    };
    CAIRN_RETURN_IF_ERROR(path.each_directory(visit));
    CAIRN_TRY(rest, known_directories.take("~", removed)); // behind the last directory
    static_cast<void>(rest);
  }
  return options_.dry_run ? Status() : forget(path);
}

Status Adoption::restore_links(const AdoptedPath& path) {
  for (const std::string& below : path.saved_links()) {
    // Over the hard link: at no time there is nothing.
    if (::rename(path.saved_link(below).c_str(), (path.data() / below).c_str()) != 0)
      return errno_error(below, errno);
    ++report_.links;
  }
  return {};
}

Status Adoption::added_since(const AdoptedPath& path, const std::string& below) {
  const auto name = parse_remote_name(path.remote(below));
  if (name && came_from_trunk(path, *name)) {
    ++report_.trunk;
    if (!options_.dry_run && ::unlinkat(path.fd(), below.c_str(), 0) != 0)
      return errno_error(below, errno);
    return {};
  }
  const fs::path aside = path.data() / kAdded / below;
  found(Finding::added, id_of(path.remote(below)),
        options_.keep_added ? "it was stored since, and stays"
                            : "it was stored since: now " + aside.string());
  if (options_.dry_run || options_.keep_added) return {};
  std::error_code failure;
  fs::create_directories(aside.parent_path(), failure);
  if (!failure) fs::rename(path.data() / below, aside, failure);
  if (failure) return errno_error("cannot move " + below + " aside", failure.value());
  return {};
}

Status Adoption::forget(const AdoptedPath& path) {
  std::error_code ignored;
  for (const char* name : kKept) {
    const fs::path folder = path.data() / name;
    if (fs::exists(folder, ignored) && !remove_empty(folder))
      found(Finding::skipped, folder.string(), "it has files in it, and is kept");
  }
  for (const char* name : kOurs) fs::remove_all(path.data() / name, ignored);
  if (::syncfs(path.fd()) != 0) return errno_error("syncfs " + path.data().string(), errno);
  fs::remove_all(path.folder(), ignored);
  return {};
}

} // namespace cairn::migrate
