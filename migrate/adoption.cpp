// The log, and what lies in the directories.
#include "migrate/adoption.h"

#include "common/base/crc32.h"
#include "common/base/durable_file.h"
#include "migrate/entry.h"
#include "migrate/source_file.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <fcntl.h>
#include <optional>
#include <unistd.h>

namespace cairn::migrate {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kReadPiece = 1 << 20;
constexpr std::size_t kSourcesMax = 1000;

// Sorts after what it is appended to, in order of numbers.
void append_number(std::string& out, std::uint64_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<char>(value >> (8 * i) & 0xFF));
}

bool is_delete(char op) {
  return std::toupper(static_cast<unsigned char>(op)) == 'D';
}

// Reads sorted "key NUL sequence" rows as pairs of a key and its last operation.
class LastOperations {
public:
  using Visit = std::function<Status(const std::string& key, char op)>;
  explicit LastOperations(Visit visit) : visit_(std::move(visit)) {}

  Status add(const std::string& row, std::uint8_t op) {
    const std::string key = row.substr(0, row.size() - 9);
    if (key != key_) CAIRN_RETURN_IF_ERROR(finish());
    key_ = key;
    op_ = static_cast<char>(op);
    return {};
  }
  Status finish() {
    if (key_.empty()) return {};
    return visit_(key_, op_);
  }

private:
  Visit visit_;
  std::string key_;
  char op_ = 0;
};

} // namespace

std::string_view describe(Finding finding) {
  switch (finding) {
    case Finding::damaged:
      return "damaged";
    case Finding::skipped:
      return "skipped";
    case Finding::missing:
      return "missing";
    case Finding::unnamed:
      return "unnamed";
    case Finding::added:
      return "added";
    case Finding::changed:
      return "changed";
    case Finding::removed:
      return "removed";
  }
  return "unknown";
}

Adoption::Adoption(FastdfsNode node, AdoptOptions options)
    : node_(std::move(node)),
      options_(std::move(options)),
      plain_(options_.memory, fs::temp_directory_path()),
      trunk_(options_.memory, fs::temp_directory_path()) {}

void Adoption::found(Finding finding, const std::string& name, const std::string& why) {
  ++report_.findings[finding];
  if (options_.tell) options_.tell(finding, name, why);
}

Status Adoption::open_paths(bool lock) {
  if (lock)
    if (const int pid = running_fastdfs(node_); pid != 0)
      return Error{Errc::busy,
                   "fdfs_storaged runs as process " + std::to_string(pid) + "; stop it first"};
  for (std::size_t i = 0; i < node_.store_paths.size(); ++i) {
    CAIRN_TRY(path, AdoptedPath::open(static_cast<std::uint8_t>(i), node_.store_paths[i], lock));
    paths_.push_back(std::move(path));
  }
  return {};
}

const AdoptedPath* Adoption::path_of(const RemoteName& name) const {
  return name.store_path() < paths_.size() ? &paths_[name.store_path()] : nullptr;
}

Result<AdoptReport> Adoption::adopt() {
  CAIRN_RETURN_IF_ERROR(open_paths(!options_.dry_run));
  std::error_code ignored;
  if (fs::exists(paths_.front().done_file(), ignored))
    return Error{Errc::exists, "these directories were taken over before; --undo gives them back"};
  CAIRN_RETURN_IF_ERROR(read_log());
  // The plain files first: what was there is written down before anything is added.
  for (const AdoptedPath& path : paths_) CAIRN_RETURN_IF_ERROR(walk(path));
  CAIRN_RETURN_IF_ERROR(take_trunks());
  CAIRN_RETURN_IF_ERROR(take_trunk_links());
  CAIRN_RETURN_IF_ERROR(look_for_missing());
  for (const auto& [source, count] : own_)
    if (report_.own_source.empty() || count > own_[report_.own_source]) report_.own_source = source;
  if (options_.dry_run) return report_;
  for (const AdoptedPath& path : paths_)
    if (::syncfs(path.fd()) != 0) return errno_error("syncfs " + path.data().string(), errno);
  for (auto path = paths_.rbegin(); path != paths_.rend(); ++path)
    CAIRN_RETURN_IF_ERROR(durable_write_file(path->done_file(), ""));
  return report_;
}

// --- the log -------------------------------------------------------------------------------------

Status Adoption::read_log() {
  std::uint64_t sequence = 0;
  CAIRN_TRY(log, read_fastdfs_log(
                     node_, [&](const FastdfsChange& change) { return note(change, sequence++); }));
  report_.log = log;
  return {};
}

Status Adoption::note(const FastdfsChange& change, std::uint64_t sequence) {
  if (change.name.ends_with("-m")) return {}; // comes and goes with its file
  const auto put = [&](std::string_view text, char op) -> Status {
    const auto name = parse_remote_name(text);
    if (!name) {
      ++report_.log.damaged;
      return {};
    }
    std::string row;
    const std::optional<TrunkLocation>& at = name->trunk();
    if (at) {
      // By the place of the slot: so each trunk file is read once, from its beginning to its end.
      for (const std::uint8_t part : {name->store_path(), name->high(), name->low()})
        append_number(row, part, 1);
      append_number(row, at->file, 4);
      append_number(row, at->offset, 4);
    }
    row += name->canonical();
    row += '\0';
    append_number(row, sequence, 8);
    return (at ? trunk_ : plain_).add(row, static_cast<std::uint8_t>(op));
  };
  if (change.op == 'C') {
    const auto name = parse_remote_name(change.name);
    if (name && name->fields() && own_.size() < kSourcesMax) ++own_[name->fields()->source.text()];
  }
  CAIRN_RETURN_IF_ERROR(put(change.name, change.op));
  // The name that an appender file had before.
  if (std::toupper(static_cast<unsigned char>(change.op)) == 'R' && !change.extra.empty())
    return put(change.extra, 'D');
  return {};
}

Status Adoption::look_for_missing() {
  LastOperations names([this](const std::string& text, char op) -> Status {
    if (is_delete(op)) {
      ++report_.deleted;
      return {};
    }
    const auto name = parse_remote_name(text);
    const AdoptedPath* path = name ? path_of(*name) : nullptr;
    if (path == nullptr) {
      found(Finding::missing, id_of(text), "there is no such store path");
      return {};
    }
    struct stat status {};
    if (::fstatat(path->fd(), name->true_name().data(), &status, AT_SYMLINK_NOFOLLOW) == 0)
      return {};
    if (errno != ENOENT && errno != ENOTDIR) return errno_error(text, errno);
    found(Finding::missing, id_of(text), "FastDFS logged that it was stored, and it is not there");
    return {};
  });
  CAIRN_RETURN_IF_ERROR(plain_.each(
      [&names](const std::string& row, std::uint8_t op) { return names.add(row, op); }));
  return names.finish();
}

// --- what lies there -----------------------------------------------------------------------------

Status Adoption::walk(const AdoptedPath& path) {
  std::optional<AdoptedListWriter> list;
  std::error_code ignored;
  if (!options_.dry_run) {
    CAIRN_RETURN_IF_ERROR(path.make_folder());
    // What a run that was killed has moved away and not put back.
    for (const std::string& below : path.saved_links()) {
      const auto name = parse_remote_name(path.remote(below));
      if (name && !fs::exists(path.data() / below, ignored)) {
        const auto target = target_of(path, path.saved_link(below));
        if (target) CAIRN_RETURN_IF_ERROR(path.link(*target, below));
      }
    }
  }
  if (!options_.dry_run && !fs::exists(path.list_file(), ignored)) {
    CAIRN_TRY(writer, AdoptedListWriter::open(path));
    list.emplace(std::move(writer));
  }
  const auto visit = [&](const std::string& directory, std::vector<DiskName>& entries) -> Status {
    for (const DiskName& entry : entries) {
      const std::string below = directory + "/" + entry.name;
      CAIRN_RETURN_IF_ERROR(look_at(path, below, entry, list ? &*list : nullptr));
    }
    return {};
  };
  CAIRN_RETURN_IF_ERROR(path.each_directory(visit));
  return list ? list->finish() : Status();
}

Status Adoption::look_at(const AdoptedPath& path, const std::string& below, const DiskName& entry,
                         AdoptedListWriter* list) {
  const std::string remote = path.remote(below);
  const auto add = [&](char type) {
    return list != nullptr ? list->add(adopted_name(type, below, entry.status)) : Status();
  };
  const auto skip = [&](const std::string& why) {
    found(Finding::skipped, (path.data() / below).string(), why);
    return add('o');
  };
  if (is_trunk_leaf(entry.name)) {
    trunk_files_.insert(remote);
    return add('f');
  }
  if (entry.name.ends_with("-m") && S_ISREG(entry.status.st_mode)) {
    ++report_.metadata;
    return add('m');
  }
  const auto name = parse_remote_name(remote);
  if (!name || !name->fields()) return skip("it is no name of FastDFS");

  std::error_code ignored;
  const bool was_link = fs::is_symlink(path.saved_link(below), ignored);
  if (S_ISLNK(entry.status.st_mode) || was_link) {
    CAIRN_RETURN_IF_ERROR(add('l'));
    return take_link(path, *name);
  }
  if (!S_ISREG(entry.status.st_mode)) return skip("it is no file");
  const auto size = static_cast<std::uint64_t>(entry.status.st_size);
  // Left by a run that was broken off: it counts when its slot is looked at.
  if (name->kind() == FileKind::trunk && came_from_trunk(path, *name)) return {};
  CAIRN_RETURN_IF_ERROR(add('f'));
  count(*name, size);
  if (name->kind() != FileKind::normal) return {};
  if (size != name->fields()->size()) {
    found(Finding::damaged, id_of(remote),
          "it has " + std::to_string(size) + " bytes, its name says " +
              std::to_string(name->fields()->size()));
    return {};
  }
  return options_.checksum ? check_content(path, *name) : Status();
}

void Adoption::count(const RemoteName& name, std::uint64_t size) {
  switch (name.kind()) {
    case FileKind::normal:
      ++report_.normal;
      break;
    case FileKind::appender:
      ++report_.appender;
      break;
    case FileKind::slave:
      ++report_.slave;
      break;
    case FileKind::trunk:
      ++report_.trunk;
      break;
  }
  report_.bytes += size;
  const std::string source = name.fields()->source.text();
  if (report_.sources.size() < kSourcesMax || report_.sources.contains(source))
    ++report_.sources[source];
}

Status Adoption::check_content(const AdoptedPath& path, const RemoteName& name) {
  const std::string id = id_of(name.canonical());
  const auto file = SourceFile::open((path.data() / name.true_name()).string(), false);
  if (!file) {
    found(Finding::damaged, id, file.error().text());
    return {};
  }
  std::vector<std::byte> buffer(kReadPiece);
  std::uint32_t crc = 0;
  LegacyCrc32 legacy;
  for (std::uint64_t at = 0; at < (*file)->entry().size;) {
    const auto now = std::span(buffer).first(static_cast<std::size_t>(
        std::min<std::uint64_t>(buffer.size(), (*file)->entry().size - at)));
    if (const Status read = (*file)->read(at, now); !read) {
      found(Finding::damaged, id, read.error().text());
      return {};
    }
    crc = crc32(crc, now);
    legacy.update(now);
    at += now.size();
  }
  if (crc != name.fields()->crc32 && legacy.value() != name.fields()->crc32)
    found(Finding::damaged, id, "the content does not match the checksum in its name");
  return {};
}

// --- symbolic links ------------------------------------------------------------------------------

// FastDFS writes them as absolute paths. A tree that was moved since is understood by their end.
Result<fs::path> Adoption::target_of(const AdoptedPath& path, const fs::path& link) const {
  std::error_code failure;
  const std::string target = fs::read_symlink(link, failure).string();
  if (failure) return errno_error(link.string(), failure.value());
  constexpr std::string_view kData = "/data/";
  const std::size_t data = target.rfind(kData);
  const Error nowhere(Errc::not_found, "a symbolic link to " + printable(target));
  if (data == std::string::npos) return nowhere;
  const AdoptedPath* where = &path;
  for (std::size_t i = 0; i < node_.store_paths.size(); ++i)
    if (fs::path(target.substr(0, data)) == node_.store_paths[i]) where = &paths_[i];
  const auto name = parse_remote_name(where->remote(target.substr(data + kData.size())));
  if (!name) return nowhere;
  return where->data() / name->true_name();
}

Status Adoption::take_link(const AdoptedPath& path, const RemoteName& name) {
  const std::string below(name.true_name());
  const fs::path here = path.data() / below;
  const fs::path saved = path.saved_link(below);
  std::error_code ignored;
  const bool is_saved = fs::is_symlink(saved, ignored);
  const auto target = target_of(path, is_saved ? saved : here);
  struct stat status {};
  if (!target || ::lstat(target->c_str(), &status) != 0 || !S_ISREG(status.st_mode)) {
    found(Finding::damaged, id_of(name.canonical()),
          target ? "a symbolic link to " + printable(target->string()) + ", which is no file"
                 : target.error().detail);
    return {};
  }
  if (!options_.dry_run) {
    if (!is_saved && ::rename(here.c_str(), saved.c_str()) != 0)
      return errno_error(saved.string(), errno);
    const Status linked = path.link(*target, below);
    if (!linked && linked.code() != Errc::exists) return linked;
  }
  ++report_.links;
  report_.bytes += static_cast<std::uint64_t>(status.st_size);
  return {};
}

} // namespace cairn::migrate
