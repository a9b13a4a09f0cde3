// Making, reading, removing; and the three commands.
#include "tracker/handlers/namespace_backup.h"

#include "common/base/text.h"
#include "common/daemon/log.h"
#include "tracker/handlers/commands.h"
#include "tracker/handlers/namespace_service.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace cairn::tracker {

namespace {

namespace fs = std::filesystem;
constexpr std::chrono::seconds kForgotten{60};

Result<std::vector<wire::BackupFile>> files_in(const fs::path& directory) {
  std::vector<wire::BackupFile> files;
  std::error_code failure;
  for (fs::directory_iterator at(directory, failure), end; !failure && at != end;
       at.increment(failure)) {
    wire::BackupFile file;
    file.name = at->path().filename().string();
    file.size = at->file_size(failure);
    files.push_back(std::move(file));
  }
  if (failure) return errno_error("read " + directory.string(), failure.value());
  std::ranges::sort(files, {}, &wire::BackupFile::name);
  return files;
}

Result<wire::Bytes> read_piece(const fs::path& path, std::uint64_t offset, std::size_t length) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno_error("open " + path.string(), errno);
  wire::Bytes bytes(length);
  std::size_t have = 0;
  while (have < length) {
    const ssize_t count =
        ::pread(fd, bytes.data() + have, length - have, static_cast<off_t>(offset + have));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    have += static_cast<std::size_t>(count);
  }
  ::close(fd);
  if (have != length) return Error{Errc::io_error, path.string() + " cannot be read"};
  return bytes;
}

} // namespace

NamespaceBackup::NamespaceBackup(MetaStore& store, DiskPool& pool, fs::path directory)
    : store_(store), pool_(pool), directory_(std::move(directory)), number_(random_u64()) {
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
}

Task<Result<wire::BackupReply>> NamespaceBackup::begin(std::string cluster_uuid) {
  if (open_ || making_) co_return Error{Errc::busy, "a backup is being read"};
  making_ = true;
  auto work = [this]() -> Result<wire::BackupReply> {
    CAIRN_TRY(position, store_.checkpoint(directory_));
    wire::BackupReply made;
    made.epoch = position.epoch;
    made.index = position.index;
    CAIRN_TRY(files, files_in(directory_));
    made.files = std::move(files);
    return made;
  };
  auto made = co_await pool_.run(std::move(work));
  making_ = false;
  if (!made) {
    co_await remove();
    co_return std::move(made).error();
  }
  open_ = true;
  read_ = std::chrono::steady_clock::now();
  content_ = *std::move(made);
  content_.backup = ++number_;
  content_.cluster_uuid = std::move(cluster_uuid);
  content_.time =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(
                                     std::chrono::system_clock::now().time_since_epoch())
                                     .count());
  logger("tracker.namespace")
      .info("backup begins index={} files={}", content_.index, content_.files.size());
  co_return content_;
}

Task<Result<wire::Bytes>> NamespaceBackup::read(wire::BackupRead request) {
  if (!open_ || request.backup != number_)
    co_return Error{Errc::not_found, "the backup was given up"};
  const auto file = std::ranges::find(content_.files, request.name, &wire::BackupFile::name);
  if (file == content_.files.end() || request.offset > file->size)
    co_return Error{Errc::not_found, "no such file in the backup"};
  read_ = std::chrono::steady_clock::now();
  const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(
      {request.length, wire::kBackupPieceMax, file->size - request.offset}));
  auto work = [path = directory_ / request.name, offset = request.offset, length] {
    return read_piece(path, offset, length);
  };
  co_return co_await pool_.run(std::move(work));
}

Task<void> NamespaceBackup::remove() {
  auto work = [path = directory_] {
    std::error_code ignored;
    fs::remove_all(path, ignored);
    return true;
  };
  static_cast<void>(co_await pool_.run(std::move(work)));
}

Task<Status> NamespaceBackup::end(std::uint64_t backup) {
  if (!open_ || backup != number_) co_return Status();
  open_ = false;
  making_ = true; // nobody begins while the directory goes
  co_await remove();
  making_ = false;
  co_return Status();
}

Task<void> NamespaceBackup::expire() {
  if (!open_ || std::chrono::steady_clock::now() < read_ + kForgotten) co_return;
  logger("tracker.namespace").warn("backup was not read to its end");
  static_cast<void>(co_await end(number_));
}

namespace {

Result<NamespaceBackup*> backup_of(Tracker& tracker) {
  NamespaceService* service = tracker.namespace_service();
  if (service != nullptr && service->backup() != nullptr) return service->backup();
  return Error{Errc::unavailable, "the metadata is held by another tracker: ask that one"};
}

} // namespace

Task<Result<Reply>> begin_backup(Tracker& tracker, Session&, Body&) {
  CAIRN_CO_TRY(backup, backup_of(tracker));
  std::string uuid = tracker.cluster().facts().cluster_uuid();
  CAIRN_CO_TRY(reply, co_await backup->begin(std::move(uuid)));
  co_return Reply(wire::encode(reply));
}

Task<Result<Reply>> read_backup(Tracker& tracker, Session&, Body& body) {
  CAIRN_CO_TRY(backup, backup_of(tracker));
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::BackupRead>(body.whole()));
  CAIRN_CO_TRY(bytes, co_await backup->read(std::move(request)));
  co_return Reply(std::move(bytes));
}

Task<Result<Reply>> end_backup(Tracker& tracker, Session&, Body& body) {
  CAIRN_CO_TRY(backup, backup_of(tracker));
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::BackupEnd>(body.whole()));
  CAIRN_CO_RETURN_IF_ERROR(co_await backup->end(request.backup));
  co_return Reply();
}

} // namespace cairn::tracker
