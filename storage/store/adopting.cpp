// Files that lie on this machine already become stored files without being sent.
#include "storage/store/adopting.h"

#include "common/base/write_all.h"
#include "storage/store/store.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <memory>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace cairn::storage {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kPiece = 256 * 1024;
constexpr int kNameAttempts = 10;

using Hash = std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)>;

bool unchanged(const struct stat& before, const struct stat& now) {
  return before.st_size == now.st_size && before.st_mtim.tv_sec == now.st_mtim.tv_sec &&
         before.st_mtim.tv_nsec == now.st_mtim.tv_nsec;
}

} // namespace

Result<File> open_below(const std::vector<fs::path>& directories, const std::string& path) {
  for (const fs::path& directory : directories) {
    std::error_code failure;
    // As its own configuration names it, links in the way included; below it there are none.
    std::string root = fs::canonical(directory, failure).string();
    if (failure) continue;
    if (!root.ends_with('/')) root += '/';
    if (!path.starts_with(root)) continue;
    const File base(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!base) return errno_error(root, errno);
    open_how how{};
    how.flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    File file(static_cast<int>(
        ::syscall(SYS_openat2, base.get(), path.c_str() + root.size(), &how, sizeof how)));
    if (!file)
      return errno == ELOOP || errno == EXDEV
                 ? Error{Errc::denied, path + " leads through a symbolic link"}
                 : errno_error(path, errno);
    return file;
  }
  return Error{Errc::denied, path + " is not below a directory of adopt_from"};
}

std::optional<std::uint8_t> Store::path_on(std::uint64_t device) const {
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    struct stat info {};
    const Path& path = *paths_[i];
    if (!path.readonly && path.state == static_cast<std::uint8_t>(wire::PathState::ok) &&
        ::fstat(path.data_fd, &info) == 0 && info.st_dev == device)
      return static_cast<std::uint8_t>(i);
  }
  return std::nullopt;
}

Result<Adopted> Store::adopt(const NewFile& file, std::uint8_t store_path, const File& source,
                             bool may_link) {
  if (store_path >= paths_.size())
    return Error{Errc::invalid_argument, "store path index " + std::to_string(store_path)};
  Path& path = *paths_[store_path];
  struct stat before {};
  struct stat disk {};
  if (::fstat(source.get(), &before) != 0 || ::fstat(path.data_fd, &disk) != 0)
    return errno_error("stat of a file to adopt", errno);
  if (!S_ISREG(before.st_mode)) return Error{Errc::is_directory, "it is no regular file"};
  const bool same_disk = before.st_dev == disk.st_dev;

  Adopted out;
  File own; // of the stored file, unless that is `source`
  if (same_disk && !path.cannot_clone) {
    CAIRN_TRY(fresh, unnamed(path));
    if (::ioctl(fresh.get(), FICLONE, source.get()) == 0) {
      out.how = wire::AdoptHow::clone;
      own = std::move(fresh);
    } else if (errno == EOPNOTSUPP || errno == ENOTTY) {
      path.cannot_clone = true; // a file system that has no such thing: not asked again
    }
  }
  if (!own && may_link && same_disk) out.how = wire::AdoptHow::link;
  std::optional<Place> room;
  if (!own && out.how == wire::AdoptHow::copy) {
    CAIRN_TRY(held, choose_path(store_path, static_cast<std::uint64_t>(before.st_size)));
    if (held.store_path != store_path) return adopt(file, held.store_path, source, false);
    room.emplace(std::move(held));
    CAIRN_TRY(fresh, unnamed(path));
    own = std::move(fresh);
  }

  // What is named is what is read here: the checksum in the name is of these bytes.
  FileSums sums;
  const Hash hash(::EVP_MD_CTX_new(), &::EVP_MD_CTX_free);
  CAIRN_ASSERT(hash != nullptr && ::EVP_DigestInit_ex(hash.get(), ::EVP_sha256(), nullptr) == 1);
  const int from = out.how == wire::AdoptHow::clone ? own.get() : source.get();
  wire::Buffer buffer(std::clamp<std::size_t>(static_cast<std::size_t>(before.st_size), 1, kPiece));
  for (off_t at = 0;;) {
    const ssize_t count = ::pread(from, buffer.data(), buffer.size(), at);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_error("read a file to adopt", errno);
    if (count == 0) break;
    const wire::View piece = buffer.view().first(static_cast<std::size_t>(count));
    sums.append(piece);
    CAIRN_ASSERT(::EVP_DigestUpdate(hash.get(), piece.data(), piece.size()) == 1);
    if (out.how == wire::AdoptHow::copy)
      if (Status written = write_all(own.get(), piece, "write"); !written)
        return fail(path, std::move(written).error());
    at += count;
  }
  struct stat after {};
  if (::fstat(source.get(), &after) != 0) return errno_error("stat of a file to adopt", errno);
  if (!unchanged(before, after) || sums.size() != static_cast<std::uint64_t>(before.st_size))
    return Error{Errc::busy, "it was changed while it was read"};
  out.sha256.resize(32);
  CAIRN_ASSERT(::EVP_DigestFinal_ex(hash.get(), reinterpret_cast<unsigned char*>(out.sha256.data()),
                                    nullptr) == 1);

  const int named = own ? own.get() : source.get();
  const Directory directory = next_directory(path);
  const auto time = static_cast<std::uint32_t>(std::time(nullptr));
  for (int attempt = 0; attempt < kNameAttempts; ++attempt) {
    std::string name = new_name(store_path, directory, FileKind::normal, sums.size(), sums.crc32(),
                                time, file.extension);
    const std::string true_name = name.substr(4);
    if (out.how == wire::AdoptHow::link) {
      // Some of its failures say nothing of the disk: then it is copied.
      if (::faccessat(path.data_fd, true_name.substr(0, 5).c_str(), F_OK, 0) != 0)
        CAIRN_RETURN_IF_ERROR(make_directory(path, true_name));
      const std::string self = "/proc/self/fd/" + std::to_string(named);
      if (::linkat(AT_FDCWD, self.c_str(), path.data_fd, true_name.c_str(), AT_SYMLINK_FOLLOW) !=
          0) {
        if (errno == EEXIST) continue;
        return adopt(file, store_path, source, false);
      }
      path.dirty = true;
    } else {
      const Status linked = link_under(path, named, true_name);
      if (linked.code() == Errc::exists) continue;
      CAIRN_RETURN_IF_ERROR(linked);
      set_mtime(named, time);
    }
    if (sums.size() > FileSums::kBlockSizeMin) {
      sums.note_change({0, sums.size()}, time);
      save_sums(true_name, path, named, sums);
    }
    save_mark(true_name, path, named, file.mark);
    note_written(named);
    CAIRN_TRY(change, log_new(path, std::move(name), sums.size(), sums.crc32(), time, file.mark));
    out.change = std::move(change);
    if (::fstat(source.get(), &after) != 0) return errno_error("stat of a file to adopt", errno);
    out.ctime = after.st_ctim;
    return out;
  }
  return Error{Errc::busy, "no free name in " + path.root.string()};
}

} // namespace cairn::storage
