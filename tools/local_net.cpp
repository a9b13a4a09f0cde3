// Claims on loopback networks.
#include "tools/local_net.h"

#include "tools/local_process.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cairn::tools {

namespace {

constexpr unsigned kAutoNets = kAutoNetLast - kAutoNetFirst + 1;

// Held while claims are read and changed; the kernel drops it with the process.
class Lock {
public:
  static Result<Lock> take(const std::filesystem::path& directory) {
    if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
      return errno_error("make " + directory.string(), errno);
    struct stat status {};
    if (::lstat(directory.c_str(), &status) != 0) return errno_error(directory.string(), errno);
    // /tmp is everybody's: somebody else's directory or link there is not ours to trust.
    if (!S_ISDIR(status.st_mode) || status.st_uid != ::geteuid())
      return Error{Errc::denied, directory.string() + " belongs to somebody else; remove it"};
    const std::filesystem::path file = directory / "lock";
    const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return errno_error("open " + file.string(), errno);
    while (::flock(fd, LOCK_EX) != 0) {
      if (errno == EINTR) continue;
      const int error = errno;
      ::close(fd);
      return errno_error("lock " + file.string(), error);
    }
    return Lock(fd);
  }
  Lock(Lock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Lock& operator=(Lock&&) = delete;
  ~Lock() {
    if (fd_ >= 0) ::close(fd_);
  }

private:
  explicit Lock(int fd) : fd_(fd) {}
  int fd_;
};

} // namespace

LocalNets::LocalNets(std::filesystem::path directory, Look look, Usable usable)
    : directory_(std::move(directory)), look_(std::move(look)), usable_(std::move(usable)) {}

std::filesystem::path LocalNets::standard_directory() {
  // Not $XDG_RUNTIME_DIR: a shell that has it and one that has not must see each other's claims.
  return "/tmp/cairn-local-" + std::to_string(::geteuid());
}

std::filesystem::path LocalNets::claim_file(unsigned net) const {
  return directory_ / ("net-" + std::to_string(net));
}

std::optional<std::filesystem::path> LocalNets::holder(unsigned net) const {
  const auto text = read_small_file(claim_file(net));
  if (!text || text->empty()) return std::nullopt;
  return std::filesystem::path(*text);
}

Status LocalNets::write_claim(unsigned net, const std::filesystem::path& root) const {
  return write_small_file(claim_file(net), root.string(), 0600);
}

Result<unsigned> LocalNets::claim_any(const std::filesystem::path& root, unsigned turn) {
  CAIRN_TRY(lock, Lock::take(directory_));
  std::optional<unsigned> stopped;
  for (unsigned i = 0; i < kAutoNets; ++i) {
    const unsigned net = kAutoNetFirst + (turn + i) % kAutoNets;
    if (const auto owner = holder(net)) {
      const Owner known = look_(*owner);
      if (known.net == net) {
        if (!known.running && !stopped && usable_(net)) stopped = net;
        continue;
      }
    }
    if (!usable_(net)) continue;
    CAIRN_RETURN_IF_ERROR(write_claim(net, root));
    return net;
  }
  if (!stopped)
    return Error{Errc::unavailable,
                 "every network 127.64 to 127.191 is used by a local cluster; stop one"};
  CAIRN_RETURN_IF_ERROR(write_claim(*stopped, root));
  return *stopped;
}

Status LocalNets::claim(unsigned net, const std::filesystem::path& root) {
  CAIRN_TRY(lock, Lock::take(directory_));
  const auto owner = holder(net);
  if (owner && *owner != root) {
    const Owner known = look_(*owner);
    if (known.net == net && known.running)
      return Error{Errc::exists,
                   "127." + std::to_string(net) + " is used by the cluster in " + owner->string()};
  }
  return write_claim(net, root);
}

Status LocalNets::release(unsigned net, const std::filesystem::path& root) {
  CAIRN_TRY(lock, Lock::take(directory_));
  if (holder(net) == root) ::unlink(claim_file(net).c_str());
  return {};
}

} // namespace cairn::tools
