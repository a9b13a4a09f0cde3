// The blocking face of the namespace: each call is spawned on an I/O thread and waited for.
#include "cairn/namespace.h"

#include "client/namespace_tree.h"
#include "common/net/io_pool.h"

#include <boost/asio/co_spawn.hpp>

#include <cerrno>
#include <exception>
#include <fcntl.h>
#include <future>
#include <sys/stat.h>
#include <unistd.h>

namespace cairn {

namespace {

template <class T>
Task<void> keep_promise(Task<T> call, std::promise<T>& promise) {
  T value = co_await std::move(call);
  promise.set_value(std::move(value));
}

struct OpenFile {
  explicit OpenFile(int descriptor) : fd(descriptor) {}
  ~OpenFile() { ::close(fd); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  int fd;
};

} // namespace

Result<Content> Content::file(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno_error("open " + path.string(), errno);
  auto file = std::make_shared<OpenFile>(fd);
  struct stat status {};
  if (::fstat(fd, &status) != 0) return errno_error("stat " + path.string(), errno);
  if (!S_ISREG(status.st_mode))
    return Error{Errc::is_directory, path.string() + " is no regular file"};
  ReadAt read = [file, path](std::uint64_t offset,
                             std::span<std::byte> out) -> Result<std::size_t> {
    for (;;) {
      const ssize_t count = ::pread(file->fd, out.data(), out.size(), static_cast<off_t>(offset));
      if (count >= 0) return static_cast<std::size_t>(count);
      if (errno != EINTR) return errno_error("read " + path.string(), errno);
    }
  };
  return Content(static_cast<std::uint64_t>(status.st_size), std::move(read));
}

Content Content::bytes(std::vector<std::byte> bytes) {
  auto kept = std::make_shared<std::vector<std::byte>>(std::move(bytes));
  const std::uint64_t size = kept->size();
  ReadAt read = [kept](std::uint64_t offset, std::span<std::byte> out) -> Result<std::size_t> {
    const std::size_t left = kept->size() - std::min<std::size_t>(kept->size(), offset);
    const std::size_t count = std::min(out.size(), left);
    std::copy_n(kept->begin() + static_cast<std::ptrdiff_t>(offset), count, out.begin());
    return count;
  };
  return Content(size, std::move(read));
}

Content Content::text(std::string_view text) {
  const wire::View view = wire::as_view(text);
  return bytes(std::vector<std::byte>(view.begin(), view.end()));
}

Content Content::reader(std::uint64_t size, ReadAt read) {
  return Content(size, std::move(read));
}

struct Namespace::Loop {
  Loop(ClientOptions client, NamespaceOptions options)
      : pool(1), tree(pool.at(0), std::move(client), std::move(options)) {
    pool.start();
  }
  ~Loop() {
    static_cast<void>(wait(tree.close()));
    pool.stop();
  }

  template <class T>
  T wait(Task<T> call) {
    std::promise<T> promise;
    std::future<T> future = promise.get_future();
    asio::co_spawn(pool.at(0), keep_promise(std::move(call), promise),
                   [&promise](std::exception_ptr failure) {
                     if (failure) promise.set_exception(failure);
                   });
    return future.get();
  }

  IoPool pool;
  NsTree tree;
};

Namespace::Namespace(ClientOptions client, NamespaceOptions options)
    : loop_(std::make_unique<Loop>(std::move(client), std::move(options))) {}
Namespace::~Namespace() = default;

Status Namespace::open() {
  return loop_->wait(loop_->tree.open());
}

Result<FileStatus> Namespace::stat(std::string path, bool follow) {
  return loop_->wait(loop_->tree.stat(std::move(path), follow));
}

Status Namespace::list_pages(
    std::string path, const std::function<Status(const std::vector<DirectoryEntry>&)>& page) {
  CAIRN_TRY(directory, stat(std::move(path)));
  if (!directory.is_directory()) return Error{static_cast<Errc>(ENOTDIR), "not a directory"};
  std::uint64_t cookie = 0;
  for (bool end = false; !end;) {
    CAIRN_TRY(entries, loop_->wait(loop_->tree.page(directory.inode, cookie, end)));
    CAIRN_RETURN_IF_ERROR(page(entries));
  }
  return {};
}

Result<std::vector<DirectoryEntry>> Namespace::list(std::string path) {
  std::vector<DirectoryEntry> all;
  CAIRN_RETURN_IF_ERROR(
      list_pages(std::move(path), [&](const std::vector<DirectoryEntry>& page) -> Status {
        all.insert(all.end(), page.begin(), page.end());
        return {};
      }));
  return all;
}

Status Namespace::read(std::string path, Sink::Writer sink, std::uint64_t offset,
                       std::uint64_t length, Progress progress) {
  return loop_->wait(
      loop_->tree.read(std::move(path), std::move(sink), offset, length, std::move(progress)));
}

Result<FileStatus> Namespace::write(std::string path, Content content, WriteOptions options) {
  return loop_->wait(loop_->tree.write(std::move(path), std::move(content), std::move(options)));
}

Result<FileStatus> Namespace::name(std::string path, std::vector<StoredPart> parts,
                                   std::uint64_t size, WriteOptions options) {
  return loop_->wait(loop_->tree.name(std::move(path), std::move(parts), size, std::move(options)));
}

Result<FileStatus> Namespace::mkdir(std::string path, std::uint32_t mode, bool parents) {
  return loop_->wait(loop_->tree.mkdir(std::move(path), mode, parents));
}

Result<FileStatus> Namespace::symlink(std::string target, std::string path) {
  return loop_->wait(loop_->tree.symlink(std::move(target), std::move(path)));
}

Result<FileStatus> Namespace::link(std::string existing, std::string path) {
  return loop_->wait(loop_->tree.link(std::move(existing), std::move(path)));
}

Status Namespace::remove(std::string path) {
  return loop_->wait(loop_->tree.remove(std::move(path), false));
}

Status Namespace::remove_directory(std::string path) {
  return loop_->wait(loop_->tree.remove(std::move(path), true));
}

Status Namespace::rename(std::string from, std::string to, bool noreplace, bool exchange) {
  const std::uint32_t flags =
      (noreplace ? wire::kNsRenameNoreplace : 0) | (exchange ? wire::kNsRenameExchange : 0);
  return loop_->wait(loop_->tree.rename(std::move(from), std::move(to), flags));
}

Result<FileStatus> Namespace::set(std::string path, SetStatus change, bool follow) {
  return loop_->wait(loop_->tree.set(std::move(path), change, follow));
}

Result<FileStatus> Namespace::clone(std::string from, std::string to) {
  return loop_->wait(loop_->tree.clone(std::move(from), std::move(to)));
}

Status Namespace::walk(const std::function<Status(const std::vector<DirectoryEntry>&)>& page) {
  std::uint64_t after = 0;
  for (bool end = false; !end;) {
    CAIRN_TRY(entries, loop_->wait(loop_->tree.walk(after, end)));
    CAIRN_RETURN_IF_ERROR(page(entries));
  }
  return {};
}

Result<std::vector<ExportInfo>> Namespace::exports(std::string name) {
  return loop_->wait(loop_->tree.exports(std::move(name)));
}

Result<ExportInfo> Namespace::add_export(std::string name, ExportChange values) {
  return loop_->wait(loop_->tree.add_export(std::move(name), std::move(values)));
}

Result<ExportInfo> Namespace::set_export(std::string name, ExportChange values) {
  return loop_->wait(loop_->tree.set_export(std::move(name), std::move(values)));
}

Status Namespace::remove_export(std::string name) {
  return loop_->wait(loop_->tree.remove_export(std::move(name)));
}

Result<std::vector<TrashItem>> Namespace::trash(std::string export_name, std::string prefix,
                                                std::int64_t removed_since) {
  return loop_->wait(loop_->tree.trash(std::move(export_name), std::move(prefix), removed_since));
}

Status Namespace::restore(std::uint64_t inode, std::string path, bool parents) {
  return loop_->wait(loop_->tree.restore(inode, std::move(path), parents));
}

} // namespace cairn
