// libfuse's table of operations: each decodes a question and begins the answer.
#include "fuse/mount.h"

#include <boost/asio/post.hpp>
#include <fuse_lowlevel.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <fstream>
#include <span>
#include <sstream>
#include <sys/file.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <utility>

namespace cairn::fuse {

namespace {

using wire::NsOp;

constexpr unsigned kBackgroundMax = 128;
constexpr int kReadAheadKib = 1024;

Mount& self_of(fuse_req_t request) {
  return *static_cast<Mount*>(fuse_req_userdata(request));
}

// The kernel reads ahead 128 KiB on a FUSE mount whatever is agreed at its start; more is a knob of
// its device, for those who may turn it.
void raise_read_ahead(const std::string& directory) {
  std::ifstream mounts("/proc/self/mountinfo");
  std::string device;
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string id, parent, numbers, root, where;
    words >> id >> parent >> numbers >> root >> where;
    if (where == directory) device = numbers;
  }
  if (device.empty()) return;
  std::ofstream("/sys/class/bdi/" + device + "/read_ahead_kb") << kReadAheadKib;
}

} // namespace

NsIdentity Mount::identity(fuse_req* request, bool groups) {
  NsIdentity who;
  const fuse_ctx* context = fuse_req_ctx(request);
  who.uid = context->uid;
  who.gid = context->gid;
  who.flags = wire::kNsChecked | wire::kNsWatch;
  // Asked of /proc: only where an export may want to check for itself, and never for root.
  if (groups && who.uid != 0) {
    std::array<gid_t, 256> list{};
    const int count = fuse_req_getgroups(request, static_cast<int>(list.size()), list.data());
    if (count > 0)
      who.groups.assign(list.begin(),
                        list.begin() + std::min(count, static_cast<int>(list.size())));
  }
  return who;
}

void Mount::watch_interrupt(fuse_req* request, std::uint64_t number) {
  // A number and no pointer: the answer may be given while libfuse calls this.
  fuse_req_interrupt_func(
      request,
      [](fuse_req_t which, void* data) {
        Mount& self = self_of(which);
        const auto id = reinterpret_cast<std::uintptr_t>(data);
        asio::post(self.io_, [&self, id] {
          spawn(self.io_.get_executor(), self.interrupted(id), "interrupt");
        });
      },
      reinterpret_cast<void*>(static_cast<std::uintptr_t>(number)));
}

void Mount::init(void* self, fuse_conn_info* connection) {
  Mount& mount = *static_cast<Mount*>(self);
  const auto want = [connection](unsigned capability) {
    connection->want |= connection->capable & capability;
  };
  want(FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS | FUSE_CAP_ATOMIC_O_TRUNC |
       FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO | FUSE_CAP_READDIRPLUS |
       FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPLICIT_INVAL_DATA);
  if (mount.options_.acl) want(FUSE_CAP_POSIX_ACL);
  if (mount.options_.writeback) want(FUSE_CAP_WRITEBACK_CACHE);
  // Data comes from sockets: a pipe in between costs more than it saves. Pages are dropped when we
  // say so, not by comparing times.
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
                                             FUSE_CAP_SPLICE_MOVE | FUSE_CAP_AUTO_INVAL_DATA);
  connection->max_background = kBackgroundMax;
  connection->congestion_threshold = kBackgroundMax * 3 / 4;
  connection->time_gran = 1;
  raise_read_ahead(mount.options_.directory);
  if (mount.on_ready_) mount.on_ready_();
}

namespace {

wire::NsTime time_of(const timespec& from) {
  return wire::NsTime{from.tv_sec, static_cast<std::uint32_t>(from.tv_nsec)};
}

wire::NsLock lock_of(std::uint64_t inode, std::uint64_t owner, const struct flock& from) {
  wire::NsLock out;
  out.inode = inode;
  out.owner = owner;
  out.type = from.l_type == F_RDLCK   ? wire::NsLockType::read
             : from.l_type == F_WRLCK ? wire::NsLockType::write
                                      : wire::NsLockType::unlock;
  out.start = static_cast<std::uint64_t>(from.l_start);
  out.end =
      from.l_len == 0 ? UINT64_MAX : static_cast<std::uint64_t>(from.l_start + from.l_len) - 1;
  out.pid = static_cast<std::uint32_t>(from.l_pid);
  return out;
}

bool is_writable(int flags) {
  return (flags & O_ACCMODE) != O_RDONLY;
}

} // namespace

fuse_custom_io Mount::io() {
  fuse_custom_io io{};
  io.read = [](int fd, void* to, std::size_t size, void* self) {
    return static_cast<Mount*>(self)->channel_.read(fd, to, size);
  };
  io.writev = [](int fd, iovec* parts, int count, void* self) {
    return static_cast<Mount*>(self)->channel_.write(fd, parts, count);
  };
  return io;
}

fuse_lowlevel_ops Mount::operations() {
  fuse_lowlevel_ops ops{};
  ops.init = &Mount::init;
  ops.lookup = [](fuse_req_t req, fuse_ino_t parent, const char* name) {
    Mount& self = self_of(req);
    self.begin(req, "lookup", true, [&self, parent, name = std::string(name)](Ask ask) mutable {
      return self.lookup(std::move(ask), self.inode_of(parent), std::move(name));
    });
  };
  ops.forget = [](fuse_req_t req, fuse_ino_t node, std::uint64_t) {
    self_of(req).forgotten(node);
    fuse_reply_none(req);
  };
  ops.forget_multi = [](fuse_req_t req, std::size_t count, fuse_forget_data* all) {
    for (const fuse_forget_data& one : std::span(all, count)) self_of(req).forgotten(one.ino);
    fuse_reply_none(req);
  };
  ops.getattr = [](fuse_req_t req, fuse_ino_t node, fuse_file_info*) {
    Mount& self = self_of(req);
    self.begin(req, "getattr", false, [&self, node](Ask ask) {
      return self.getattr(std::move(ask), self.inode_of(node));
    });
  };
  ops.setattr = [](fuse_req_t req, fuse_ino_t node, struct stat* to, int valid,
                   fuse_file_info* file) {
    Mount& self = self_of(req);
    wire::NsSetattr request;
    request.inode = self.inode_of(node);
    const auto bit = [valid](int flag) { return (valid & flag) != 0; };
    if (bit(FUSE_SET_ATTR_MODE)) request.set |= wire::kNsSetMode;
    if (bit(FUSE_SET_ATTR_UID)) request.set |= wire::kNsSetUid;
    if (bit(FUSE_SET_ATTR_GID)) request.set |= wire::kNsSetGid;
    if (bit(FUSE_SET_ATTR_SIZE)) request.set |= wire::kNsSetSize;
    if (bit(FUSE_SET_ATTR_ATIME_NOW))
      request.set |= wire::kNsSetAtimeNow;
    else if (bit(FUSE_SET_ATTR_ATIME))
      request.set |= wire::kNsSetAtime;
    if (bit(FUSE_SET_ATTR_MTIME_NOW))
      request.set |= wire::kNsSetMtimeNow;
    else if (bit(FUSE_SET_ATTR_MTIME))
      request.set |= wire::kNsSetMtime;
    request.mode = static_cast<std::uint16_t>(to->st_mode & 07777U);
    request.uid = to->st_uid;
    request.gid = to->st_gid;
    request.size = static_cast<std::uint64_t>(to->st_size);
    request.atime = time_of(to->st_atim);
    request.mtime = time_of(to->st_mtim);
    const bool opened = file != nullptr;
    self.begin(req, "setattr", true, [&self, request, opened](Ask ask) {
      return self.setattr(std::move(ask), request, opened);
    });
  };
  ops.readlink = [](fuse_req_t req, fuse_ino_t node) {
    Mount& self = self_of(req);
    self.begin(req, "readlink", false, [&self, node](Ask ask) {
      return self.readlink(std::move(ask), self.inode_of(node));
    });
  };
  ops.mknod = [](fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
    Mount& self = self_of(req);
    wire::NsMknod request;
    request.parent = self.inode_of(parent);
    request.name = name;
    request.type = static_cast<wire::NsType>((mode & S_IFMT) >> 12U);
    request.mode = static_cast<std::uint16_t>(mode & 07777U);
    request.rdev = std::uint64_t{major(device)} << 32U | minor(device);
    self.begin(req, "mknod", true,
               [&self, at = request.parent, called = request.name,
                message = wire::encode(request)](Ask ask) mutable {
                 return self.make(std::move(ask), NsOp::mknod, at, std::move(called),
                                  std::move(message));
               });
  };
  ops.mkdir = [](fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode) {
    Mount& self = self_of(req);
    wire::NsMkdir request;
    request.parent = self.inode_of(parent);
    request.name = name;
    request.mode = static_cast<std::uint16_t>(mode & 07777U);
    self.begin(req, "mkdir", true,
               [&self, at = request.parent, called = request.name,
                message = wire::encode(request)](Ask ask) mutable {
                 return self.make(std::move(ask), NsOp::mkdir, at, std::move(called),
                                  std::move(message));
               });
  };
  ops.symlink = [](fuse_req_t req, const char* target, fuse_ino_t parent, const char* name) {
    Mount& self = self_of(req);
    wire::NsSymlink request;
    request.parent = self.inode_of(parent);
    request.name = name;
    request.target = target;
    self.begin(req, "symlink", true,
               [&self, at = request.parent, called = request.name,
                message = wire::encode(request)](Ask ask) mutable {
                 return self.make(std::move(ask), NsOp::symlink, at, std::move(called),
                                  std::move(message));
               });
  };
  ops.link = [](fuse_req_t req, fuse_ino_t node, fuse_ino_t parent, const char* name) {
    Mount& self = self_of(req);
    wire::NsLink request;
    request.inode = self.inode_of(node);
    request.parent = self.inode_of(parent);
    request.name = name;
    self.begin(req, "link", true,
               [&self, at = request.parent, called = request.name,
                message = wire::encode(request)](Ask ask) mutable {
                 return self.make(std::move(ask), NsOp::link, at, std::move(called),
                                  std::move(message));
               });
  };
  ops.unlink = [](fuse_req_t req, fuse_ino_t parent, const char* name) {
    Mount& self = self_of(req);
    self.begin(req, "unlink", true, [&self, parent, name = std::string(name)](Ask ask) mutable {
      return self.remove(std::move(ask), NsOp::unlink, self.inode_of(parent), std::move(name));
    });
  };
  ops.rmdir = [](fuse_req_t req, fuse_ino_t parent, const char* name) {
    Mount& self = self_of(req);
    self.begin(req, "rmdir", true, [&self, parent, name = std::string(name)](Ask ask) mutable {
      return self.remove(std::move(ask), NsOp::rmdir, self.inode_of(parent), std::move(name));
    });
  };
  ops.rename = [](fuse_req_t req, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
                  const char* new_name, unsigned flags) {
    Mount& self = self_of(req);
    wire::NsRename request;
    request.parent = self.inode_of(parent);
    request.name = name;
    request.new_parent = self.inode_of(new_parent);
    request.new_name = new_name;
    request.flags = flags; // as in rename(2); the tracker refuses what it does not know
    self.begin(req, "rename", true,
               [&self, request](Ask ask) { return self.rename(std::move(ask), request); });
  };
  ops.statfs = [](fuse_req_t req, fuse_ino_t node) {
    Mount& self = self_of(req);
    self.begin(req, "statfs", false,
               [&self, node](Ask ask) { return self.statfs(std::move(ask), self.inode_of(node)); });
  };

  // --- directories
  ops.opendir = [](fuse_req_t req, fuse_ino_t, fuse_file_info* file) {
    Mount& self = self_of(req);
    self.begin(req, "opendir", false, [&self, info = *file](Ask ask) {
      return self.open_directory(std::move(ask), info);
    });
  };
  ops.readdir = [](fuse_req_t req, fuse_ino_t node, std::size_t size, off_t offset,
                   fuse_file_info* file) {
    Mount& self = self_of(req);
    self.begin(req, "readdir", true, [&self, node, size, offset, handle = file->fh](Ask ask) {
      return self.readdir(std::move(ask), self.inode_of(node), handle, size,
                          static_cast<std::uint64_t>(offset), false);
    });
  };
  ops.readdirplus = [](fuse_req_t req, fuse_ino_t node, std::size_t size, off_t offset,
                       fuse_file_info* file) {
    Mount& self = self_of(req);
    self.begin(req, "readdirplus", true, [&self, node, size, offset, handle = file->fh](Ask ask) {
      return self.readdir(std::move(ask), self.inode_of(node), handle, size,
                          static_cast<std::uint64_t>(offset), true);
    });
  };
  ops.releasedir = [](fuse_req_t req, fuse_ino_t, fuse_file_info* file) {
    Mount& self = self_of(req);
    self.directories_.erase(file->fh);
    fuse_reply_err(req, 0);
  };
  // Names are durable when they are answered.
  ops.fsyncdir = [](fuse_req_t req, fuse_ino_t, int, fuse_file_info*) { fuse_reply_err(req, 0); };

  // --- extended attributes
  ops.getxattr = [](fuse_req_t req, fuse_ino_t node, const char* name, std::size_t size) {
    Mount& self = self_of(req);
    // Before each write(2) the kernel asks for this one, which nobody can have set.
    if (std::string_view(name) == "security.capability") {
      fuse_reply_err(req, ENODATA);
      return;
    }
    if (node == FUSE_ROOT_ID && name == kStatisticsAttribute) {
      self.begin(req, "getxattr", false,
                 [&self, size](Ask ask) { return self.answer_statistics(std::move(ask), size); });
      return;
    }
    self.begin(req, "getxattr", true,
               [&self, node, size, name = std::string(name)](Ask ask) mutable {
                 return self.getxattr(std::move(ask), self.inode_of(node), std::move(name), size);
               });
  };
  ops.listxattr = [](fuse_req_t req, fuse_ino_t node, std::size_t size) {
    Mount& self = self_of(req);
    self.begin(req, "listxattr", true, [&self, node, size](Ask ask) {
      return self.listxattr(std::move(ask), self.inode_of(node), size);
    });
  };
  ops.setxattr = [](fuse_req_t req, fuse_ino_t node, const char* name, const char* value,
                    std::size_t size, int flags) {
    Mount& self = self_of(req);
    if (std::string_view(name) == "security.capability") {
      fuse_reply_err(req, EOPNOTSUPP);
      return;
    }
    wire::NsSetXattr request;
    request.inode = self.inode_of(node);
    request.name = name;
    request.value = wire::to_bytes(std::string_view(value, size));
    request.mode = (flags & 1) != 0   ? wire::NsXattrMode::create // XATTR_CREATE
                   : (flags & 2) != 0 ? wire::NsXattrMode::replace
                                      : wire::NsXattrMode::either;
    self.begin(req, "setxattr", true,
               [&self, inode = request.inode, message = wire::encode(request)](Ask ask) mutable {
                 return self.change_xattr(std::move(ask), NsOp::setxattr, inode,
                                          std::move(message));
               });
  };
  ops.removexattr = [](fuse_req_t req, fuse_ino_t node, const char* name) {
    Mount& self = self_of(req);
    wire::NsRemoveXattr request;
    request.inode = self.inode_of(node);
    request.name = name;
    self.begin(req, "removexattr", true,
               [&self, inode = request.inode, message = wire::encode(request)](Ask ask) mutable {
                 return self.change_xattr(std::move(ask), NsOp::removexattr, inode,
                                          std::move(message));
               });
  };

  // --- files
  ops.create = [](fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode,
                  fuse_file_info* file) {
    Mount& self = self_of(req);
    wire::NsCreate request;
    request.parent = self.inode_of(parent);
    request.name = name;
    request.mode = static_cast<std::uint16_t>(mode & 07777U);
    request.existing = (file->flags & O_EXCL) != 0    ? wire::NsExisting::fail
                       : (file->flags & O_TRUNC) != 0 ? wire::NsExisting::truncate
                                                      : wire::NsExisting::keep;
    request.open = true;
    self.begin(req, "create", true, [&self, request, flags = file->flags](Ask ask) {
      return self.create(std::move(ask), request, flags);
    });
  };
  ops.open = [](fuse_req_t req, fuse_ino_t node, fuse_file_info* file) {
    Mount& self = self_of(req);
    self.begin(req, "open", true, [&self, node, flags = file->flags](Ask ask) {
      return self.open_file(std::move(ask), self.inode_of(node), flags);
    });
  };
  ops.release = [](fuse_req_t req, fuse_ino_t node, fuse_file_info* file) {
    Mount& self = self_of(req);
    const bool flock = file->flock_release != 0;
    self.begin(req, "release", false, [&self, node, flock, owner = file->lock_owner](Ask ask) {
      return self.release(std::move(ask), self.inode_of(node), flock, owner);
    });
  };
  ops.read = [](fuse_req_t req, fuse_ino_t node, std::size_t size, off_t offset, fuse_file_info*) {
    Mount& self = self_of(req);
    self.begin(req, "read", false, [&self, node, size, offset](Ask ask) {
      return self.read(std::move(ask), self.inode_of(node), static_cast<std::uint64_t>(offset),
                       size);
    });
  };
  ops.write = [](fuse_req_t req, fuse_ino_t node, const char* from, std::size_t size, off_t offset,
                 fuse_file_info* file) {
    Mount& self = self_of(req);
    // Pages that the kernel writes back have their place already.
    const bool append =
        (file->flags & O_APPEND) != 0 && file->writepage == 0 && !self.options_.writeback;
    self.begin(req, "write", false,
               [&self, node, offset, append,
                bytes = wire::to_bytes(std::string_view(from, size))](Ask ask) mutable {
                 return self.write(std::move(ask), self.inode_of(node),
                                   static_cast<std::uint64_t>(offset), std::move(bytes), append);
               });
  };
  // The handle is the flags of its open: whether it can write is all that matters here.
  ops.flush = [](fuse_req_t req, fuse_ino_t node, fuse_file_info* file) {
    Mount& self = self_of(req);
    const bool writable = is_writable(static_cast<int>(file->fh));
    self.begin(req, "flush", false, [&self, node, writable, owner = file->lock_owner](Ask ask) {
      return self.flush(std::move(ask), self.inode_of(node), writable, owner);
    });
  };
  ops.fsync = [](fuse_req_t req, fuse_ino_t node, int, fuse_file_info*) {
    Mount& self = self_of(req);
    self.begin(req, "fsync", false, [&self, node](Ask ask) {
      return self.flush(std::move(ask), self.inode_of(node), true, 0);
    });
  };
  ops.fallocate = [](fuse_req_t req, fuse_ino_t node, int mode, off_t offset, off_t length,
                     fuse_file_info*) {
    Mount& self = self_of(req);
    wire::NsFallocate request;
    request.inode = self.inode_of(node);
    request.offset = static_cast<std::uint64_t>(offset);
    request.length = static_cast<std::uint64_t>(length);
    switch (mode) {
      case 0:
        request.mode = wire::NsFallocateMode::allocate;
        break;
      case FALLOC_FL_KEEP_SIZE:
        request.mode = wire::NsFallocateMode::keep_size;
        break;
      case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
        request.mode = wire::NsFallocateMode::punch;
        break;
      case FALLOC_FL_ZERO_RANGE:
        request.mode = wire::NsFallocateMode::zero;
        break;
      case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
        request.mode = wire::NsFallocateMode::zero_keep_size;
        break;
      default:
        fuse_reply_err(req, EOPNOTSUPP);
        return;
    }
    self.begin(req, "fallocate", false,
               [&self, request](Ask ask) { return self.fallocate(std::move(ask), request); });
  };
  ops.copy_file_range = [](fuse_req_t req, fuse_ino_t from, off_t from_offset, fuse_file_info*,
                           fuse_ino_t to, off_t to_offset, fuse_file_info*, std::size_t length,
                           int) {
    Mount& self = self_of(req);
    wire::NsCopyRange request;
    request.from = self.inode_of(from);
    request.from_offset = static_cast<std::uint64_t>(from_offset);
    request.to = self.inode_of(to);
    request.to_offset = static_cast<std::uint64_t>(to_offset);
    request.length = length;
    self.begin(req, "copy_file_range", false,
               [&self, request](Ask ask) { return self.copy_range(std::move(ask), request); });
  };
  ops.lseek = [](fuse_req_t req, fuse_ino_t node, off_t offset, int whence, fuse_file_info*) {
    Mount& self = self_of(req);
    if (whence != SEEK_DATA && whence != SEEK_HOLE) {
      fuse_reply_err(req, EINVAL);
      return;
    }
    wire::NsSeek request;
    request.inode = self.inode_of(node);
    request.offset = static_cast<std::uint64_t>(offset);
    request.hole = whence == SEEK_HOLE;
    self.begin(req, "lseek", false,
               [&self, request](Ask ask) { return self.seek(std::move(ask), request); });
  };

  // --- locks
  ops.getlk = [](fuse_req_t req, fuse_ino_t node, fuse_file_info* file, struct flock* lock) {
    Mount& self = self_of(req);
    const wire::NsLock request = lock_of(self.inode_of(node), file->lock_owner, *lock);
    self.begin(req, "getlk", false,
               [&self, request](Ask ask) { return self.getlock(std::move(ask), request); });
  };
  ops.setlk = [](fuse_req_t req, fuse_ino_t node, fuse_file_info* file, struct flock* lock,
                 int sleep) {
    Mount& self = self_of(req);
    wire::NsLock request = lock_of(self.inode_of(node), file->lock_owner, *lock);
    request.wait = sleep != 0;
    self.begin(req, "setlk", false,
               [&self, request](Ask ask) { return self.lock(std::move(ask), request); });
  };
  ops.flock = [](fuse_req_t req, fuse_ino_t node, fuse_file_info* file, int op) {
    Mount& self = self_of(req);
    wire::NsLock request;
    request.inode = self.inode_of(node);
    request.kind = wire::NsLockKind::flock;
    request.owner = file->lock_owner;
    request.end = UINT64_MAX;
    const int kind = op & ~LOCK_NB;
    request.type = kind == LOCK_SH   ? wire::NsLockType::read
                   : kind == LOCK_EX ? wire::NsLockType::write
                                     : wire::NsLockType::unlock;
    request.wait = (op & LOCK_NB) == 0;
    self.begin(req, "flock", false,
               [&self, request](Ask ask) { return self.lock(std::move(ask), request); });
  };
  return ops;
}

} // namespace cairn::fuse
