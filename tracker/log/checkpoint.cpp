// A copy of a store that is in use. LevelDB never changes a table that it has written: those are
// linked. A table that came while we looked is copied: it is whole if the manifest names it, but a
// compaction may still be writing it, and the copy, once it is opened, would write a table of its
// own under the same number, over the one in the store if they were linked.
// The manifest goes before the listing, so that every table it names is there; nothing is removed
// meanwhile (PinningEnv) and nothing applied, so the write-ahead logs that follow it are complete.
// What a compaction adds to the manifest behind our back is cut off with its tail.
#include "common/base/durable_file.h"
#include "common/base/text.h"
#include "tracker/log/meta_store.h"
#include "tracker/log/pinning_env.h"

#include <leveldb/db.h>

#include <charconv>
#include <fcntl.h>
#include <fstream>
#include <set>
#include <string_view>
#include <system_error>
#include <unistd.h>

namespace cairn::tracker {

namespace {

namespace fs = std::filesystem;

Status sync_path(const fs::path& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
  if (fd < 0) return errno_error("open " + path.string(), errno);
  const int result = ::fsync(fd);
  const int cause = errno;
  ::close(fd);
  if (result != 0) return errno_error("sync " + path.string(), cause);
  return {};
}

class Pinned {
public:
  explicit Pinned(PinningEnv& env) : env_(env) { env_.pin(); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  ~Pinned() { env_.unpin(); }

private:
  PinningEnv& env_;
};

// Numbers of the tables that make up the store now: lines " 17:4096['a' .. 'd']" for each level.
std::set<std::uint64_t> tables_of(leveldb::DB& db) {
  std::string text;
  std::set<std::uint64_t> tables;
  if (!db.GetProperty("leveldb.sstables", &text)) return tables;
  for (const std::string_view line : split(text, '\n')) {
    std::uint64_t number = 0;
    if (!line.starts_with(' ')) continue;
    const char* const end = line.data() + line.size();
    const auto [after, error] = std::from_chars(line.data() + 1, end, number);
    if (error == std::errc() && after != end && *after == ':') tables.insert(number);
  }
  return tables;
}

std::uint64_t number_of(const fs::path& name) {
  const std::string stem = name.stem().string();
  std::uint64_t number = 0;
  std::from_chars(stem.data(), stem.data() + stem.size(), number);
  return number;
}

Error failed(const std::string& what, const std::error_code& code) {
  return errno_error(what, code.value());
}

} // namespace

Status MetaStore::copy_files(const fs::path& to, std::vector<fs::path>& copied) {
  std::error_code failure;
  const auto copy = [&](const fs::path& name) -> Status {
    fs::copy_file(directory_ / name, to / name, failure);
    if (failure) return failed("copy " + (directory_ / name).string(), failure);
    copied.push_back(to / name);
    return {};
  };
  const std::set<std::uint64_t> whole = tables_of(*db_);
  std::ifstream current(directory_ / "CURRENT");
  std::string manifest;
  if (!std::getline(current, manifest) || manifest.empty())
    return Error{Errc::io_error, "cannot read " + (directory_ / "CURRENT").string()};
  CAIRN_RETURN_IF_ERROR(copy(manifest));
  CAIRN_RETURN_IF_ERROR(copy("CURRENT"));
  std::vector<fs::path> names;
  for (fs::directory_iterator at(directory_, failure), end; !failure && at != end;
       at.increment(failure))
    names.push_back(at->path().filename());
  if (failure) return failed("read " + directory_.string(), failure);
  for (const fs::path& name : names) {
    const bool is_table = name.extension() == ".ldb" || name.extension() == ".sst";
    if (!is_table && name.extension() != ".log") continue;
    if (!whole.contains(number_of(name)) || !is_table) {
      CAIRN_RETURN_IF_ERROR(copy(name));
      continue;
    }
    fs::create_hard_link(directory_ / name, to / name, failure);
    if (failure) return failed("link " + (to / name).string(), failure);
  }
  return {};
}

Result<LogPos> MetaStore::checkpoint(const fs::path& directory) {
  std::error_code failure;
  if (!fs::create_directories(directory, failure)) {
    if (failure) return failed("make " + directory.string(), failure);
    return Error{Errc::exists, directory.string() + " is there already"};
  }
  std::vector<fs::path> copied;
  LogPos position;
  {
    const Pinned pinned(*env_);
    Status done;
    {
      const std::lock_guard lock(apply_mutex_);
      done = copy_files(directory, copied);
      position = applied_;
    }
    if (!done) {
      fs::remove_all(directory, failure);
      return std::move(done).error();
    }
  }
  for (const fs::path& path : copied) CAIRN_RETURN_IF_ERROR(sync_path(path, O_RDONLY));
  CAIRN_RETURN_IF_ERROR(sync_path(directory, O_RDONLY | O_DIRECTORY));
  return position;
}

} // namespace cairn::tracker
