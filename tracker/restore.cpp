// Read, check, renumber, rename.
#include "tracker/restore.h"

#include "common/base/crc32.h"
#include "common/config/tracker_config.h"
#include "common/daemon/daemon.h"
#include "common/wire/mutation.h"
#include "common/wire/namespace_backup.h"
#include "tracker/handlers/meta_views.h"
#include "tracker/namespace/batch.h"
#include "tracker/namespace/check.h"

#include <algorithm>
#include <ctime>
#include <fcntl.h>
#include <fstream>
#include <system_error>
#include <unistd.h>

namespace cairn::tracker {

namespace {

namespace fs = std::filesystem;

// Numbers given out after the backup and before the loss are fewer.
constexpr std::uint64_t kJump = std::uint64_t{1} << 32;
constexpr std::size_t kPiece = 1 << 20;
constexpr std::size_t kRemovedAtOnce = 10'000;

class BackupReader {
public:
  explicit BackupReader(const fs::path& file) : name_(file.string()), in_(file, std::ios::binary) {}

  Status exactly(std::span<std::byte> out) {
    in_.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size()));
    if (static_cast<std::size_t>(in_.gcount()) == out.size()) return {};
    return Error{Errc::corrupt, name_ + " ends too early: it is no whole backup"};
  }
  Result<std::uint32_t> number() {
    std::array<std::byte, 4> bytes{};
    CAIRN_RETURN_IF_ERROR(exactly(bytes));
    return static_cast<std::uint32_t>(wire::load_big_endian(bytes.data(), bytes.size()));
  }
  Result<wire::BackupReply> head() {
    if (!in_) return Error{Errc::not_found, "cannot read " + name_};
    wire::Bytes magic(wire::kBackupMagic.size());
    CAIRN_RETURN_IF_ERROR(exactly(magic));
    CAIRN_TRY(size, number());
    if (wire::as_text(magic) != wire::kBackupMagic || size > wire::kBackupHeadMax)
      return Error{Errc::invalid_argument, name_ + " is no backup of the metadata"};
    wire::Bytes bytes(size);
    CAIRN_RETURN_IF_ERROR(exactly(bytes));
    CAIRN_TRY(sum, number());
    if (sum != crc32(0, bytes)) return damaged();
    return wire::decode_lenient<wire::BackupReply>(bytes);
  }
  // The next file of the backup, to `path`.
  Status file(std::uint64_t size, const fs::path& path) {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    wire::Bytes piece(kPiece);
    std::uint32_t sum = 0;
    for (std::uint64_t left = size; left > 0;) {
      const auto some = std::span(piece).first(std::min<std::uint64_t>(left, piece.size()));
      CAIRN_RETURN_IF_ERROR(exactly(some));
      sum = crc32(sum, some);
      out.write(reinterpret_cast<const char*>(some.data()),
                static_cast<std::streamsize>(some.size()));
      left -= some.size();
    }
    out.close();
    if (!out) return Error{Errc::io_error, "cannot write " + path.string()};
    CAIRN_TRY(wanted, number());
    if (wanted != sum) return damaged();
    return {};
  }
  Status end() {
    in_.peek();
    if (in_.eof()) return {};
    return Error{Errc::corrupt, name_ + " goes on behind its end"};
  }

private:
  Error damaged() const { return Error{Errc::corrupt, name_ + " is damaged"}; }

  std::string name_;
  std::ifstream in_;
};

Status apply(MetaStore& store, wire::MutationBatch batch) {
  LogEntry entry;
  entry.position = store.applied();
  if (entry.position.epoch == 0) entry.position.epoch = 1;
  ++entry.position.index;
  entry.batch = wire::encode(batch);
  return store.apply({&entry, 1}, true);
}

// Sessions end, and numbers jump.
Status renumber(MetaStore& store) {
  const MetaViews views(store);
  const auto view = views.view();
  for (const std::string_view table : {"S", "N", "H"}) {
    wire::MutationBatch batch;
    Status failure;
    const auto on_row = [&](std::string_view key, std::string_view) {
      batch.mutations.push_back(wire::Mutation::remove(std::string(key)));
      if (batch.mutations.size() < kRemovedAtOnce) return true;
      failure = apply(store, std::exchange(batch, {}));
      return failure.has_value();
    };
    CAIRN_RETURN_IF_ERROR(view->scan(table, {}, on_row));
    CAIRN_RETURN_IF_ERROR(std::move(failure));
    if (!batch.mutations.empty()) CAIRN_RETURN_IF_ERROR(apply(store, std::move(batch)));
  }
  CAIRN_TRY(state, read_state(*view));
  state.session += kJump;
  state.session_floor = state.session;
  state.next += kJump;
  wire::MutationBatch batch;
  batch.mutations.push_back(wire::Mutation::put(std::string(key::kState), encode_row(state)));
  return apply(store, std::move(batch));
}

Status sync_tree(const fs::path& directory) {
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno_error("open " + directory.string(), errno);
  const bool good = ::syncfs(fd) == 0;
  ::close(fd);
  if (!good) return errno_error("sync " + directory.string(), errno);
  return {};
}

// Unpacks and checks; answers what to tell.
Result<std::string> prepare(const fs::path& file, const fs::path& directory) {
  BackupReader reader(file);
  CAIRN_TRY(head, reader.head());
  for (const wire::BackupFile& one : head.files) {
    if (one.name.empty() || one.name.find('/') != std::string::npos || one.name.starts_with('.'))
      return Error{Errc::corrupt, "the backup has a file of the name '" + one.name + "'"};
    CAIRN_RETURN_IF_ERROR(reader.file(one.size, directory / one.name));
  }
  CAIRN_RETURN_IF_ERROR(reader.end());
  CAIRN_TRY(store, MetaStore::open(directory));
  const MetaViews views(*store);
  CAIRN_TRY(report, check_tables(*views.view()));
  CAIRN_RETURN_IF_ERROR(renumber(*store));
  std::string said = "restored " + std::to_string(report.inodes) +
                     " files and directories of log " + "position " + std::to_string(head.index);
  if (!report.faults.empty())
    said += "; " + std::to_string(report.faults.size()) + " faults in it: see `cairn fsck`";
  return said;
}

} // namespace

Result<std::string> restore_metadata(const fs::path& file, const fs::path& conf, bool replace) {
  CAIRN_TRY(loaded, config::load_tracker_config(conf));
  if (loaded.config.metadata_holder)
    return Error{Errc::invalid_argument, conf.string() + " is of a tracker without metadata"};
  CAIRN_TRY(lock, DataLock::take(loaded.config.base_path));
  const fs::path data = loaded.config.base_path / "data";
  const fs::path target = data / "meta";
  const fs::path fresh = data / "meta.restoring";
  std::error_code failure;
  if (fs::exists(target, failure) && !replace)
    return Error{Errc::exists,
                 target.string() + " is there; with --replace it is kept as meta.old"};
  fs::remove_all(fresh, failure);
  fs::create_directory(fresh, failure);
  if (failure) return errno_error("make " + fresh.string(), failure.value());
  fs::permissions(fresh, fs::perms::owner_all, failure);
  auto said = prepare(file, fresh);
  if (!said) {
    fs::remove_all(fresh, failure);
    return said;
  }
  if (fs::exists(target, failure)) {
    const fs::path old = data / ("meta.old." + std::to_string(std::time(nullptr)));
    fs::rename(target, old, failure);
    if (failure) return errno_error("rename " + target.string(), failure.value());
    *said += "; what was there is now " + old.string();
  }
  CAIRN_RETURN_IF_ERROR(sync_tree(fresh));
  fs::rename(fresh, target, failure);
  if (failure) return errno_error("rename " + fresh.string(), failure.value());
  CAIRN_RETURN_IF_ERROR(sync_tree(data));
  return said;
}

} // namespace cairn::tracker
