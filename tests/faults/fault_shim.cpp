// Loaded into a daemon by LD_PRELOAD (test_*.py here): fails or delays chosen system calls while it
// runs, and writes down what a power cut would undo. It decides nothing; tests/support/faults.py
// says what fails and undoes what was not synced.
//
// CAIRN_SHIM_CONTROL: a file of Control, mapped and read at every call: what is to fail, now.
// CAIRN_SHIM_JOURNAL: a directory. Every change of a regular file or directory entry below
// CAIRN_SHIM_ROOT is appended to `journal.PID` there, with the bytes it overwrites; removed and
// replaced files stay as links PID.CHANGE in `graveyard`. Syncs are noted with the number of the
// last change they cover, and not made. Works for the program named by CAIRN_SHIM_PROGRAM only.
#include <climits>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <libaio.h>
#include <mutex>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

// Kinds of calls, as bits of Control::calls.
enum Call : std::uint32_t {
  kWrite = 1,
  kSync = 2,
  kLink = 4,
  kCreate = 8,
  kRename = 16,
  kUnlink = 32,
  kMkdir = 64,
  kStat = 128,
};

// Written by the test, all at once, before `armed`.
struct Control {
  std::atomic<std::uint32_t> armed;   // 0: nothing fails
  std::uint32_t calls;                // which kinds
  std::int32_t error;                 // errno to fail with; 0: only the delay
  std::uint32_t delay_ms;             // before the call is made or fails
  std::atomic<std::int64_t> skip;     // so many calls go through first
  std::atomic<std::int64_t> times;    // so many fail then; negative: all
  std::atomic<std::uint64_t> matched; // calls of these kinds and this path so far
  std::array<char, 256> path;         // only below this path; empty: everywhere
};

Control* control = nullptr;
int journal_fd = -1;
std::string graveyard;
std::string root;
std::mutex events_mutex; // of what io_submit() has done and nobody has asked for
std::vector<std::pair<io_context_t, io_event>> events;
std::mutex journal_mutex; // the order of the journal is the order of the disk
std::uint64_t next_change = 1;

template <class F>
F real(const char* name) {
  return reinterpret_cast<F>(::dlsym(RTLD_NEXT, name));
}
#define REAL(name) static const auto original = real<decltype(&::name)>(#name)

std::string path_of_fd(int fd) {
  std::array<char, 64> link{};
  std::snprintf(link.data(), link.size(), "/proc/self/fd/%d", fd);
  std::array<char, PATH_MAX> path{};
  const ssize_t size = ::readlink(link.data(), path.data(), path.size() - 1);
  return size > 0 ? std::string(path.data(), static_cast<std::size_t>(size)) : std::string();
}

std::string path_at(int directory, const char* name) {
  if (name[0] == '/') return name;
  std::array<char, PATH_MAX> here{};
  if (directory == AT_FDCWD)
    return std::string(::getcwd(here.data(), here.size()) != nullptr ? here.data() : "") + "/" +
           name;
  return path_of_fd(directory) + "/" + name;
}

bool begin() {
  const char* const program = std::getenv("CAIRN_SHIM_PROGRAM");
  std::array<char, PATH_MAX> self{};
  const ssize_t size = ::readlink("/proc/self/exe", self.data(), self.size() - 1);
  const char* const slash = size > 0 ? std::strrchr(self.data(), '/') : nullptr;
  if (program == nullptr || slash == nullptr || std::strcmp(slash + 1, program) != 0) return false;
  if (const char* const file = std::getenv("CAIRN_SHIM_CONTROL")) {
    const int fd = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC, 0));
    void* const map =
        fd < 0 ? MAP_FAILED
               : ::mmap(nullptr, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) std::abort();
    control = static_cast<Control*>(map);
  }
  if (const char* const directory = std::getenv("CAIRN_SHIM_JOURNAL")) {
    const std::string pid = std::to_string(::getpid());
    const std::string journal = std::string(directory) + "/journal." + pid;
    graveyard = std::string(directory) + "/graveyard/" + pid + ".";
    root = std::getenv("CAIRN_SHIM_ROOT");
    journal_fd = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, journal.c_str(),
                                            O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (journal_fd < 0) std::abort();
  }
  return true;
}
// Below the objects it fills: a constructor function would run before theirs.
[[maybe_unused]] const bool begun = begin();

// True: the call is to fail with errno as set here.
bool fails(Call call, const std::string& path) {
  if (control == nullptr || control->armed.load() == 0 || (control->calls & call) == 0)
    return false;
  const std::string prefix(control->path.data());
  if (path.compare(0, prefix.size(), prefix) != 0) return false;
  control->matched.fetch_add(1);
  if (control->skip.fetch_sub(1) > 0) return false;
  if (control->times.load() >= 0 && control->times.fetch_sub(1) <= 0) return false;
  if (control->delay_ms > 0) ::usleep(control->delay_ms * 1000);
  if (control->error == 0) return false;
  errno = control->error;
  return true;
}
bool fails_fd(Call call, int fd) {
  return control != nullptr && control->armed.load() != 0 && fails(call, path_of_fd(fd));
}

bool is_ours(const std::string& path) {
  return journal_fd >= 0 && path.compare(0, root.size(), root) == 0;
}

// One record: a line "kind change inode a b path\n" and, for kind W, b raw bytes. The caller holds
// journal_mutex. Kinds: N new unnamed file, C new file, L link, R rename, U unlink, M mkdir, T a is
// the size before, W the bytes before at offset a; S file, D directory, A all was synced up to
// change a.
void note(char kind, std::uint64_t inode, std::uint64_t a, std::uint64_t b, const std::string& path,
          const void* bytes = nullptr, std::size_t size = 0) {
  std::array<char, 128> head{};
  const int count = std::snprintf(
      head.data(), head.size(), "%c %llu %llu %llu %llu ", kind,
      static_cast<unsigned long long>(next_change++), static_cast<unsigned long long>(inode),
      static_cast<unsigned long long>(a), static_cast<unsigned long long>(b));
  std::string record(head.data(), static_cast<std::size_t>(count));
  record += path + "\n";
  if (size > 0) record.append(static_cast<const char*>(bytes), size);
  for (std::size_t done = 0; done < record.size();) {
    const long wrote = ::syscall(SYS_write, journal_fd, record.data() + done, record.size() - done);
    if (wrote <= 0) std::abort(); // a journal with holes would prove nothing
    done += static_cast<std::size_t>(wrote);
  }
}

// Before `size` bytes at `offset` change: W inode offset length path, then the former bytes that
// lie there; a is the former size of the file for kind T. Caller holds journal_mutex.
void note_write(int fd, std::uint64_t offset, std::uint64_t size) {
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return;
  const std::string path = path_of_fd(fd);
  if (!is_ours(path)) return;
  const auto had = static_cast<std::uint64_t>(info.st_size);
  std::vector<char> old(offset < had ? std::min(size, had - offset) : 0);
  // The file may be open for writing only.
  std::array<char, 64> link{};
  std::snprintf(link.data(), link.size(), "/proc/self/fd/%d", fd);
  if (!old.empty()) {
    const int reader =
        static_cast<int>(::syscall(SYS_openat, AT_FDCWD, link.data(), O_RDONLY | O_CLOEXEC, 0));
    if (reader < 0 || ::pread(reader, old.data(), old.size(), static_cast<off_t>(offset)) !=
                          static_cast<ssize_t>(old.size()))
      std::abort();
    ::syscall(SYS_close, reader);
  }
  note('T', info.st_ino, had, 0, path);
  if (!old.empty()) note('W', info.st_ino, offset, old.size(), path, old.data(), old.size());
}

void note_sync(char kind, std::uint64_t inode, std::uint64_t covered, const std::string& path) {
  const std::lock_guard lock(journal_mutex);
  note(kind, inode, covered, 0, path);
}

std::uint64_t last_change() {
  const std::lock_guard lock(journal_mutex);
  return next_change - 1;
}

// Keeps what `path` names, so that its removal can be undone: answers the number of the link, 0
// when there is nothing. Caller holds journal_mutex.
std::uint64_t bury(const std::string& path) {
  if (graveyard.empty()) std::abort();
  const std::string name = graveyard + std::to_string(next_change);
  return ::syscall(SYS_linkat, AT_FDCWD, path.c_str(), AT_FDCWD, name.c_str(), 0) == 0 ? next_change
                                                                                       : 0;
}

std::uint64_t inode_of(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

template <class Do>
auto journaled_write(int fd, std::uint64_t offset, std::uint64_t size, Do perform) {
  if (journal_fd < 0) return perform();
  const std::lock_guard lock(journal_mutex);
  note_write(fd, offset, size);
  return perform();
}

// Where write() would put its bytes.
std::uint64_t position(int fd) {
  struct stat info {};
  if ((::fcntl(fd, F_GETFL) & O_APPEND) != 0 && ::fstat(fd, &info) == 0)
    return static_cast<std::uint64_t>(info.st_size);
  const off_t at = ::lseek(fd, 0, SEEK_CUR);
  return at < 0 ? 0 : static_cast<std::uint64_t>(at);
}

std::uint64_t total(const iovec* pieces, int count) {
  std::uint64_t bytes = 0;
  for (int i = 0; i < count; ++i) bytes += pieces[i].iov_len;
  return bytes;
}

int open_at(int directory, const char* name, int flags, mode_t mode) {
  const bool creates = (flags & (O_CREAT | O_TMPFILE)) != 0 && (flags & O_TMPFILE) != O_TMPFILE;
  const bool unnamed = (flags & O_TMPFILE) == O_TMPFILE;
  if (control != nullptr && control->armed.load() != 0 && (creates || unnamed) &&
      fails(kCreate, path_at(directory, name)))
    return -1;
  const auto perform = [&] {
    return static_cast<int>(::syscall(SYS_openat, directory, name, flags, mode));
  };
  if (journal_fd < 0 || (!unnamed && (flags & (O_CREAT | O_TRUNC)) == 0)) return perform();
  const std::string path = path_at(directory, name);
  if (!is_ours(path)) return perform();
  const std::lock_guard lock(journal_mutex);
  if (unnamed) {
    const int fd = perform();
    struct stat info {};
    if (fd >= 0 && ::fstat(fd, &info) == 0) note('N', info.st_ino, 0, 0, path);
    return fd;
  }
  struct stat before {};
  const bool existed = ::stat(path.c_str(), &before) == 0;
  if (existed && (flags & O_TRUNC) != 0) {
    const int old =
        static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path.c_str(), O_RDWR | O_CLOEXEC, 0));
    if (old >= 0) {
      note_write(old, 0, static_cast<std::uint64_t>(before.st_size));
      ::syscall(SYS_close, old);
    }
  }
  const int fd = perform();
  if (fd >= 0 && !existed && creates) note('C', inode_of(path), 0, 0, path);
  return fd;
}

} // namespace

extern "C" {

ssize_t write(int fd, const void* bytes, size_t size) {
  REAL(write);
  if (fails_fd(kWrite, fd)) return -1;
  if (journal_fd < 0) return original(fd, bytes, size);
  return journaled_write(fd, position(fd), size, [&] { return original(fd, bytes, size); });
}

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  REAL(pwrite);
  if (fails_fd(kWrite, fd)) return -1;
  return journaled_write(fd, static_cast<std::uint64_t>(offset), size,
                         [&] { return original(fd, bytes, size, offset); });
}
ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t offset) {
  return pwrite(fd, bytes, size, offset);
}

ssize_t writev(int fd, const iovec* pieces, int count) {
  REAL(writev);
  if (fails_fd(kWrite, fd)) return -1;
  return journaled_write(fd, position(fd), total(pieces, count),
                         [&] { return original(fd, pieces, count); });
}

ssize_t pwritev(int fd, const iovec* pieces, int count, off_t offset) {
  REAL(pwritev);
  if (fails_fd(kWrite, fd)) return -1;
  return journaled_write(fd, static_cast<std::uint64_t>(offset), total(pieces, count),
                         [&] { return original(fd, pieces, count, offset); });
}
ssize_t pwritev64(int fd, const iovec* pieces, int count, off64_t offset) {
  return pwritev(fd, pieces, count, offset);
}

int ftruncate(int fd, off_t size) {
  REAL(ftruncate);
  if (fails_fd(kWrite, fd)) return -1;
  struct stat info {};
  if (journal_fd < 0 || ::fstat(fd, &info) != 0) return original(fd, size);
  const auto cut = info.st_size > size ? info.st_size - size : 0;
  return journaled_write(fd, static_cast<std::uint64_t>(size), static_cast<std::uint64_t>(cut),
                         [&] { return original(fd, size); });
}
int ftruncate64(int fd, off64_t size) {
  return ftruncate(fd, size);
}

int fallocate(int fd, int mode, off_t offset, off_t size) {
  REAL(fallocate);
  if (fails_fd(kWrite, fd)) return -1;
  return journaled_write(fd, static_cast<std::uint64_t>(offset), static_cast<std::uint64_t>(size),
                         [&] { return original(fd, mode, offset, size); });
}
int fallocate64(int fd, int mode, off64_t offset, off64_t size) {
  return fallocate(fd, mode, offset, size);
}

// With a journal nothing is really synced: the journal is the disk. What was changed before the
// call is durable when that has taken its time: else a power loss would rarely find anything to
// undo.
static void sync_slowly(char kind, std::uint64_t inode, const std::string& path) {
  constexpr useconds_t kFlush = 1000; // microseconds
  const std::uint64_t covered = last_change();
  ::usleep(kFlush);
  note_sync(kind, inode, covered, path);
}

static int sync_one(int fd, int (*original)(int)) {
  if (fails_fd(kSync, fd)) return -1;
  if (journal_fd < 0) return original(fd);
  struct stat info {};
  const std::string path = path_of_fd(fd);
  if (::fstat(fd, &info) != 0 || !is_ours(path)) return original(fd);
  sync_slowly(S_ISDIR(info.st_mode) ? 'D' : 'S', info.st_ino, path);
  return 0;
}

// Asynchronous writes are done by pwrite() above, at once. Nothing else is submitted in Cairn.
int io_submit(io_context_t context, long count, iocb** requests) {
  for (long i = 0; i < count; ++i) {
    iocb* const request = requests[i];
    if (request->aio_lio_opcode != IO_CMD_PWRITE) std::abort();
    const ssize_t done =
        pwrite(request->aio_fildes, request->u.c.buf, request->u.c.nbytes, request->u.c.offset);
    io_event event{};
    event.obj = request;
    event.res = static_cast<unsigned long>(done < 0 ? -errno : done);
    const std::lock_guard lock(events_mutex);
    events.emplace_back(context, event);
  }
  return static_cast<int>(count);
}
int io_getevents(io_context_t context, long, long, io_event* out, timespec*) {
  const std::lock_guard lock(events_mutex);
  for (auto event = events.begin(); event != events.end(); ++event) {
    if (event->first != context) continue;
    *out = event->second;
    events.erase(event);
    return 1;
  }
  return 0;
}

int fsync(int fd) {
  REAL(fsync);
  return sync_one(fd, original);
}
int fdatasync(int fd) {
  REAL(fdatasync);
  return sync_one(fd, original);
}
int syncfs(int fd) noexcept {
  REAL(syncfs);
  if (fails_fd(kSync, fd)) return -1;
  if (journal_fd < 0) return original(fd);
  sync_slowly('A', 0, path_of_fd(fd));
  return 0;
}

int open(const char* name, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const auto mode = static_cast<mode_t>(va_arg(arguments, unsigned));
  va_end(arguments);
  return open_at(AT_FDCWD, name, flags, mode);
}
int open64(const char* name, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const auto mode = static_cast<mode_t>(va_arg(arguments, unsigned));
  va_end(arguments);
  return open_at(AT_FDCWD, name, flags, mode);
}
int openat(int directory, const char* name, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const auto mode = static_cast<mode_t>(va_arg(arguments, unsigned));
  va_end(arguments);
  return open_at(directory, name, flags, mode);
}
int openat64(int directory, const char* name, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const auto mode = static_cast<mode_t>(va_arg(arguments, unsigned));
  va_end(arguments);
  return open_at(directory, name, flags, mode);
}

int linkat(int from_directory, const char* from, int directory, const char* name,
           int flags) noexcept {
  REAL(linkat);
  const std::string path = path_at(directory, name);
  if (fails(kLink, path)) return -1;
  if (!is_ours(path)) return original(from_directory, from, directory, name, flags);
  const std::lock_guard lock(journal_mutex);
  const int done = original(from_directory, from, directory, name, flags);
  if (done == 0) note('L', inode_of(path), 0, 0, path);
  return done;
}

static int rename_at(int from_directory, const char* from, int directory, const char* name,
                     unsigned flags) {
  const std::string source = path_at(from_directory, from);
  const std::string path = path_at(directory, name);
  if (fails(kRename, path)) return -1;
  const auto perform = [&] {
    return static_cast<int>(::syscall(SYS_renameat2, from_directory, from, directory, name, flags));
  };
  if (!is_ours(path)) return perform();
  const std::lock_guard lock(journal_mutex);
  const std::uint64_t grave = bury(path);
  const int done = perform();
  // R: `source` came to be `path`, which was `grave` before. The path of the record holds both.
  if (done == 0) note('R', inode_of(path), grave, source.size(), source + path);
  return done;
}
int rename(const char* from, const char* name) noexcept {
  return rename_at(AT_FDCWD, from, AT_FDCWD, name, 0);
}
int renameat(int from_directory, const char* from, int directory, const char* name) noexcept {
  return rename_at(from_directory, from, directory, name, 0);
}
int renameat2(int from_directory, const char* from, int directory, const char* name,
              unsigned flags) noexcept {
  return rename_at(from_directory, from, directory, name, flags);
}

static int unlink_at(int directory, const char* name, int flags) {
  const std::string path = path_at(directory, name);
  if (fails(kUnlink, path)) return -1;
  const auto perform = [&] {
    return static_cast<int>(::syscall(SYS_unlinkat, directory, name, flags));
  };
  if (!is_ours(path)) return perform();
  const std::lock_guard lock(journal_mutex);
  const std::uint64_t grave = bury(path);
  const int done = perform();
  if (done == 0 && grave != 0) note('U', 0, grave, 0, path);
  return done;
}
int unlink(const char* name) noexcept {
  return unlink_at(AT_FDCWD, name, 0);
}
int unlinkat(int directory, const char* name, int flags) noexcept {
  return unlink_at(directory, name, flags);
}
int remove(const char* name) noexcept {
  if (unlink_at(AT_FDCWD, name, 0) == 0) return 0;
  return errno == EISDIR ? unlink_at(AT_FDCWD, name, AT_REMOVEDIR) : -1;
}

static int mkdir_at(int directory, const char* name, mode_t mode) {
  const std::string path = path_at(directory, name);
  if (fails(kMkdir, path)) return -1;
  const auto perform = [&] {
    return static_cast<int>(::syscall(SYS_mkdirat, directory, name, mode));
  };
  if (!is_ours(path)) return perform();
  const std::lock_guard lock(journal_mutex);
  const int done = perform();
  if (done == 0) note('M', 0, 0, 0, path);
  return done;
}
int mkdir(const char* name, mode_t mode) noexcept {
  return mkdir_at(AT_FDCWD, name, mode);
}
int mkdirat(int directory, const char* name, mode_t mode) noexcept {
  return mkdir_at(directory, name, mode);
}

int fstatvfs(int fd, struct statvfs* out) noexcept {
  REAL(fstatvfs);
  return fails_fd(kStat, fd) ? -1 : original(fd, out);
}
int fstatvfs64(int fd, struct statvfs64* out) noexcept {
  REAL(fstatvfs64);
  return fails_fd(kStat, fd) ? -1 : original(fd, out);
}

} // extern "C"
