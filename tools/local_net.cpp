// Claims on loopback networks.
#include "tools/local_net.h"

#include "common/base/text.h"
#include "tools/local_process.h"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cairn::tools {

namespace {

// Linux has no higher process numbers.
constexpr std::uint64_t kPidMax = std::uint64_t{1} << 22;

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

std::optional<LocalNets::Claim> LocalNets::holder(unsigned net) const {
  const auto text = read_small_file(claim_file(net));
  if (!text || text->empty()) return std::nullopt;
  const std::size_t end = text->find('\n');
  Claim claim;
  claim.root = text->substr(0, end);
  if (end == std::string::npos) return claim;
  const auto pid = parse_u64(trim(std::string_view(*text).substr(end + 1)));
  if (pid && *pid > 0 && *pid < kPidMax) {
    const auto maker = static_cast<pid_t>(*pid);
    claim.being_made = maker != ::getpid() && ::kill(maker, 0) == 0;
  }
  return claim;
}

Status LocalNets::write_claim(unsigned net, const std::filesystem::path& root) const {
  return write_small_file(claim_file(net), root.string() + "\n" + std::to_string(::getpid()), 0600);
}

Result<unsigned> LocalNets::claim_any(const std::filesystem::path& root, unsigned turn) {
  CAIRN_TRY(lock, Lock::take(directory_));
  std::vector<unsigned> stopped;
  for (unsigned i = 0; i < kAutoNets; ++i) {
    const unsigned net = kAutoNetFirst + (turn + i) % kAutoNets;
    if (const auto claim = holder(net)) {
      // Not even probed: a probe that binds would be in the way of daemons just starting.
      if (claim->being_made && claim->root != root) continue;
      const Owner known = look_(claim->root);
      if (known.net == net) {
        if (!known.running) stopped.push_back(net);
        continue;
      }
    }
    if (!usable_(net)) continue;
    CAIRN_RETURN_IF_ERROR(write_claim(net, root));
    return net;
  }
  // A stopped cluster may be restarting: its addresses are touched only when there are no others.
  for (const unsigned net : stopped) {
    if (!usable_(net)) continue;
    CAIRN_RETURN_IF_ERROR(write_claim(net, root));
    return net;
  }
  return Error{Errc::unavailable,
               "every network 127.64 to 127.191 is used by a local cluster; stop one"};
}

Status LocalNets::claim(unsigned net, const std::filesystem::path& root) {
  CAIRN_TRY(lock, Lock::take(directory_));
  const auto claim = holder(net);
  if (claim && claim->root != root) {
    const Owner known = look_(claim->root);
    if (claim->being_made || (known.net == net && known.running))
      return Error{Errc::exists, "127." + std::to_string(net) + " is used by the cluster in " +
                                     claim->root.string()};
  }
  return write_claim(net, root);
}

Status LocalNets::release(unsigned net, const std::filesystem::path& root) {
  CAIRN_TRY(lock, Lock::take(directory_));
  const auto claim = holder(net);
  if (claim && claim->root == root) ::unlink(claim_file(net).c_str());
  return {};
}

} // namespace cairn::tools
