// Slots, and which questions may be asked twice.
#include "fuse/channel.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <linux/fuse.h>
#include <unistd.h>
#include <utility>

namespace cairn::fuse {

namespace {

// A question that was there when so many workers died is not given to another one.
constexpr std::uint32_t kTriesMax = 1;

fuse_in_header header_of(const RequestSlot& slot) {
  fuse_in_header header{};
  std::memcpy(&header, slot.message.data(), sizeof header);
  return header;
}

// The kernel waits for no answer to these.
bool has_answer(std::uint32_t opcode) {
  return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT &&
         opcode != FUSE_NOTIFY_REPLY;
}

// Asked twice it comes to the same as once, whether or not it was carried out before.
bool may_repeat(std::uint32_t opcode) {
  switch (opcode) {
    case FUSE_INIT:
    case FUSE_LOOKUP:
    case FUSE_GETATTR:
    case FUSE_SETATTR:
    case FUSE_READLINK:
    case FUSE_OPEN:
    case FUSE_READ:
    case FUSE_STATFS:
    case FUSE_RELEASE:
    case FUSE_FSYNC:
    case FUSE_FLUSH:
    case FUSE_GETXATTR:
    case FUSE_LISTXATTR:
    case FUSE_OPENDIR:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
    case FUSE_RELEASEDIR:
    case FUSE_FSYNCDIR:
    case FUSE_GETLK:
    case FUSE_SETLK:
    case FUSE_SETLKW:
    case FUSE_ACCESS:
    case FUSE_LSEEK:
      return true;
    default:
      return false;
  }
}

// Names in a message, each ended by a zero; the last may be cut.
std::string name_at(const RequestSlot& slot, std::size_t& at) {
  const auto* const begin = reinterpret_cast<const char*>(slot.message.data());
  const std::size_t end = std::min<std::size_t>(header_of(slot).len, slot.message.size());
  if (at >= end) return {};
  const std::size_t length = ::strnlen(begin + at, end - at);
  std::string name(begin + at, length);
  if (at + length == end) name.clear(); // cut
  at += length + 1;
  return name;
}

std::vector<Channel::Doubt> doubts_of(const RequestSlot& slot) {
  const fuse_in_header header = header_of(slot);
  std::vector<Channel::Doubt> out;
  const auto add = [&](std::uint64_t directory, std::string name) {
    if (!name.empty()) out.push_back({directory, std::move(name)});
  };
  out.push_back({header.nodeid, std::string()});
  std::size_t at = sizeof header;
  switch (header.opcode) {
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_SYMLINK:
      add(header.nodeid, name_at(slot, at));
      break;
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_LINK:
    case FUSE_CREATE: {
      at += header.opcode == FUSE_MKNOD    ? sizeof(fuse_mknod_in)
            : header.opcode == FUSE_MKDIR  ? sizeof(fuse_mkdir_in)
            : header.opcode == FUSE_CREATE ? sizeof(fuse_create_in)
                                           : sizeof(fuse_link_in);
      add(header.nodeid, name_at(slot, at));
      break;
    }
    case FUSE_RENAME:
    case FUSE_RENAME2: {
      std::uint64_t directory = 0; // comes first in both
      std::memcpy(&directory, slot.message.data() + at, sizeof directory);
      at += header.opcode == FUSE_RENAME ? sizeof(fuse_rename_in) : sizeof(fuse_rename2_in);
      add(header.nodeid, name_at(slot, at));
      add(directory, name_at(slot, at));
      break;
    }
    default:
      break;
  }
  return out;
}

void answer_error(int fd, std::uint64_t unique, int error) {
  fuse_out_header header{};
  header.len = sizeof header;
  header.error = -error;
  header.unique = unique;
  // ENOENT: it was answered a moment before.
  static_cast<void>(!::write(fd, &header, sizeof header));
}

} // namespace

Channel::Channel(Record& record)
    : record_(record), free_(Record::kRequests, record.requests_top, [&](std::uint32_t number) {
        return record.requests[number].taken != 0;
      }) {}

std::vector<Channel::Doubt> Channel::take_over(int fd) {
  const std::scoped_lock lock(mutex_);
  std::vector<Doubt> doubts;
  std::vector<std::uint32_t> left;
  for (std::uint32_t number = 0; number < record_.requests_top; ++number) {
    RequestSlot& slot = record_.requests[number];
    if (slot.taken == 0) continue;
    const fuse_in_header header = header_of(slot);
    const bool init_done = header.opcode == FUSE_INIT && record_.init_answered != 0;
    if (header.len == 0 || !has_answer(header.opcode) || init_done) {
      give_back(number);
      continue;
    }
    left.push_back(number);
    slots_[header.unique] = number;
  }
  for (const std::uint32_t number : left) {
    RequestSlot& slot = record_.requests[number];
    const fuse_in_header header = header_of(slot);
    const bool again = slot.interrupted == 0 && may_repeat(header.opcode) &&
                       header.len <= RequestSlot::kKept && slot.tries < kTriesMax;
    if (again) {
      ++slot.tries;
      if (header.opcode == FUSE_INIT)
        again_.push_front(number);
      else
        again_.push_back(number);
      continue;
    }
    answer_error(fd, header.unique, slot.interrupted != 0 ? EINTR : EIO);
    for (Doubt& doubt : doubts_of(slot)) doubts.push_back(std::move(doubt));
    slots_.erase(header.unique);
    give_back(number);
  }
  init_again_ = record_.init_answered != 0;
  return doubts;
}

std::size_t Channel::read_again(void* to) {
  const std::scoped_lock lock(mutex_);
  if (init_again_) {
    init_again_ = false;
    fuse_in_header header{};
    std::memcpy(&header, record_.init.data(), sizeof header);
    not_told_ = header.unique;
    std::memcpy(to, record_.init.data(), record_.init_size);
    return record_.init_size;
  }
  if (again_.empty()) return 0;
  const RequestSlot& slot = record_.requests[again_.front()];
  again_.pop_front();
  const std::size_t size = header_of(slot).len;
  std::memcpy(to, slot.message.data(), size);
  return size;
}

ssize_t Channel::read(int fd, void* to, std::size_t size) {
  if (const std::size_t count = read_again(to)) return static_cast<ssize_t>(count);
  std::uint32_t number = FreeSlots::kNone;
  {
    const std::scoped_lock lock(mutex_);
    number = free_.take();
  }
  full_ = number == FreeSlots::kNone;
  if (full_) {
    errno = EAGAIN;
    return -1;
  }
  RequestSlot& slot = record_.requests[number];
  std::memset(slot.message.data(), 0, sizeof(fuse_in_header));
  slot.interrupted = 0;
  slot.tries = 0;
  slot.taken.store(1, std::memory_order_release);
  // The kernel itself writes the record: there is no moment at which a question is known to nobody.
  const std::size_t kept = std::min(size, slot.message.size());
  const iovec parts[2] = {{slot.message.data(), kept},
                          {static_cast<char*>(to) + kept, size - kept}};
  const ssize_t count = ::readv(fd, parts, 2);
  const int error = errno;
  if (count > 0) std::memcpy(to, slot.message.data(), std::min<std::size_t>(kept, count));
  const std::scoped_lock lock(mutex_);
  if (count <= 0 || !keep(number)) give_back(number);
  errno = error;
  return count;
}

bool Channel::keep(std::uint32_t number) {
  const RequestSlot& slot = record_.requests[number];
  const fuse_in_header header = header_of(slot);
  if (header.opcode == FUSE_INTERRUPT) {
    fuse_interrupt_in interrupt{};
    std::memcpy(&interrupt, slot.message.data() + sizeof header, sizeof interrupt);
    const auto found = slots_.find(interrupt.unique);
    if (found != slots_.end()) record_.requests[found->second].interrupted = 1;
  }
  if (!has_answer(header.opcode)) return false;
  if (header.opcode == FUSE_INIT) {
    const auto size = std::min<std::size_t>(header.len, slot.message.size());
    std::memcpy(record_.init.data(), slot.message.data(), size);
    record_.init_size = static_cast<std::uint32_t>(size);
  }
  slots_[header.unique] = number;
  return true;
}

void Channel::give_back(std::uint32_t number) {
  record_.requests[number].taken.store(0, std::memory_order_release);
  free_.give_back(number);
}

void Channel::release(std::uint64_t unique) {
  const std::scoped_lock lock(mutex_);
  const auto found = slots_.find(unique);
  if (found == slots_.end()) return;
  if (header_of(record_.requests[found->second]).opcode == FUSE_INIT) record_.init_answered = 1;
  give_back(found->second);
  slots_.erase(found);
}

ssize_t Channel::write(int fd, const iovec* parts, int count) {
  fuse_out_header header{};
  std::memcpy(&header, parts[0].iov_base, sizeof header);
  if (not_told_ != 0 && header.unique == not_told_) {
    not_told_ = 0;
    return header.len;
  }
  const ssize_t written = ::writev(fd, parts, count);
  const int error = errno;
  if (header.unique != 0) release(header.unique);
  errno = error;
  return written;
}

} // namespace cairn::fuse
