// Names, attributes and directories: each question of the kernel is one of the tracker.
#include "fuse/mount.h"

#include <boost/asio/post.hpp>
#include <fuse_lowlevel.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace cairn::fuse {

using wire::NsOp;

namespace {
constexpr std::uint32_t kPageBytes = 256 * 1024;
// Cookies of directories begin after "." and "..".
constexpr std::uint64_t kFirstOffset = 2;
// A name may lead to a file that is about to go for as long as the tracker's log takes to be
// synced.
constexpr int kHoldTries = 12;
constexpr std::chrono::milliseconds kHoldPause{2};
constexpr std::chrono::milliseconds kHoldPauseMost{50};
} // namespace

Task<void> Mount::lookup(Ask ask, std::uint64_t parent, std::string name) {
  fuse_entry_param nothing{};
  if (known_.lacks(parent, name)) {
    // Somebody who has just been told that another machine has made it must find it: what the
    // tracker has sent until now counts first.
    co_await asio::post(io_.get_executor(), asio::use_awaitable);
    if (!session_->has_unread() && known_.lacks(parent, name))
      nothing.entry_timeout = kept_lifetime();
  }
  if (nothing.entry_timeout > 0) {
    ++statistics_.answered_here;
    if (fuse_req* request = ask->take()) fuse_reply_entry(request, &nothing);
    co_return;
  }
  wire::NsLookup question;
  question.parent = parent;
  question.name = std::move(name);
  const wire::Bytes message = wire::encode(question);
  Said<wire::NsNodeReply> said;
  // Who opens a file that others replace again and again must not always come too late.
  auto pause = kHoldPause;
  for (int tries = 0; tries < kHoldTries && !ask->answered(); ++tries) {
    wire::Bytes copy = message;
    said = co_await this->ask<wire::NsNodeReply>(NsOp::lookup, ask->who(), std::move(copy));
    const bool hold = said && said.reply.attributes.type == wire::NsType::regular &&
                      std::chrono::steady_clock::now() < replaced_until_;
    if (!hold) break;
    const bool held = co_await hold_a_moment(said.reply.attributes.inode, ask->opened());
    if (held) break;
    asio::steady_timer timer(io_.get_executor(), pause);
    co_await timer.async_wait(as_result);
    pause = std::min(pause * 2, kHoldPauseMost);
  }
  if (said) hints_.note(parent, question.name, said.reply.attributes.inode);
  if (said.error != ENOENT) {
    if (said) remember_content(said.reply);
    answer_entry(ask, said, parent);
    if (said) fetch_after_lookup(said.reply);
    co_return;
  }
  // That there is nothing can be believed too: we are told when the name is made.
  nothing.entry_timeout = lifetime(said.position, parent, parent);
  if (nothing.entry_timeout == 0) {
    ask->error(ENOENT);
  } else if (fuse_req* request = ask->take()) {
    fuse_reply_entry(request, &nothing);
  }
}

void Mount::name_origin(wire::OriginMark& mark) {
  PathHints::Path path = hints_.path_of(mark.inode, root_);
  mark.path_is_cut = !path.is_complete;
  mark.path = std::move(path.text);
  if (path.is_complete && !options_.path.empty()) mark.path = options_.path + "/" + mark.path;
}

Task<void> Mount::getattr(Ask ask, std::uint64_t inode) {
  // The kernel asks again after each change that it makes in a directory.
  if (const auto* const known = known_.attributes(inode)) {
    const auto age = std::chrono::steady_clock::now() - known->told;
    const double left = std::chrono::duration<double>(options_.cache - age).count();
    const double believed = std::min(left, kept_lifetime());
    if (believed > 0) {
      ++statistics_.answered_here;
      const struct stat attributes = stat_of(known->now);
      if (fuse_req* request = ask->take()) fuse_reply_attr(request, &attributes, believed);
      co_return;
    }
  }
  // Who asks after a write must not see other times once it is committed.
  if (const NodeRef open = find(inode); open && !open->is_clean()) {
    ask->wait_for(kWaitsForStoring);
    co_await settle(open);
    ask->wait_for(kWaitsForTracker);
  }
  wire::NsInode question;
  question.inode = inode;
  wire::Bytes message = wire::encode(question);
  const auto said =
      co_await this->ask<wire::NsNodeReply>(NsOp::getattr, ask->who(), std::move(message));
  if (!said) {
    ask->error(said.error);
    co_return;
  }
  const fuse_entry_param entry = entry_of(said.reply, said.position, inode);
  if (fuse_req* request = ask->take()) fuse_reply_attr(request, &entry.attr, entry.attr_timeout);
}

Task<void> Mount::setattr(Ask ask, wire::NsSetattr change, bool opened) {
  if (change.set == 0) {
    co_await getattr(std::move(ask), change.inode);
    co_return;
  }
  // Written before, so it counts before: a size cuts it, a time is later than its.
  const NodeRef open = find(change.inode);
  if (open && !open->is_clean()) {
    ask->wait_for(kWaitsForStoring);
    co_await settle(open);
    ask->wait_for(kWaitsForTracker);
  }
  wire::Bytes message = wire::encode(change);
  NsIdentity who = opened ? ask->opened() : ask->who();
  const auto said =
      co_await this->ask<wire::NsNodeReply>(NsOp::setattr, std::move(who), std::move(message));
  if (!said) {
    known_.forget_attributes(change.inode, 0);
    ask->error(said.error);
    co_return;
  }
  if (said.reply.attributes.type == wire::NsType::directory)
    note_directory(said.reply.attributes, said.position);
  if ((change.set & wire::kNsSetSize) != 0) {
    if (open) {
      changed_here(*open, said.reply.attributes);
    } else {
      pages_.erase(change.inode);
    }
  }
  const fuse_entry_param entry = entry_of(said.reply, said.position, change.inode);
  if (fuse_req* request = ask->take()) fuse_reply_attr(request, &entry.attr, entry.attr_timeout);
}

Task<void> Mount::make(Ask ask, NsOp op, std::uint64_t parent, std::string name,
                       wire::Bytes message) {
  known_.may_have(parent, name);
  const auto said = co_await this->ask<wire::NsNodeReply>(op, ask->who(), std::move(message));
  if (said) hints_.note(parent, name, said.reply.attributes.inode);
  note_directories(said, {parent});
  const std::uint64_t made = said.reply.attributes.inode;
  if (said && op == NsOp::mkdir && lifetime(said.position, made, made) > 0) known_.made(made);
  answer_entry(ask, said, parent);
}

Task<void> Mount::remove(Ask ask, NsOp op, std::uint64_t parent, std::string name) {
  wire::NsRemove change;
  change.parent = parent;
  change.name = std::move(name);
  wire::Bytes message = wire::encode(change);
  const auto said = co_await this->ask<wire::NsRemoveReply>(op, ask->who(), std::move(message));
  note_directories(said, {parent});
  if (said && op == NsOp::rmdir) known_.forget(said.reply.inode);
  ask->error(said.error);
}

Task<void> Mount::rename(Ask ask, wire::NsRename change) {
  known_.may_have(change.new_parent, change.new_name);
  wire::Bytes message = wire::encode(change);
  const auto said =
      co_await this->ask<wire::NsRenameReply>(NsOp::rename, ask->who(), std::move(message));
  note_directories(said, {change.parent, change.new_parent});
  if (said) {
    // A directory that has moved has another "..", and one that was replaced has gone.
    known_.forget_attributes(said.reply.node.attributes.inode, said.position);
    known_.forget_attributes(said.reply.replaced, said.position);
    hints_.note(change.new_parent, change.new_name, said.reply.node.attributes.inode);
    if ((change.flags & wire::kNsRenameExchange) != 0)
      hints_.note(change.parent, change.name, said.reply.replaced);
  }
  ask->error(said.error);
}

Task<void> Mount::readlink(Ask ask, std::uint64_t inode) {
  wire::NsInode question;
  question.inode = inode;
  wire::Bytes message = wire::encode(question);
  const auto said =
      co_await this->ask<wire::NsText>(NsOp::readlink, ask->who(), std::move(message));
  if (!said)
    ask->error(said.error);
  else if (fuse_req* request = ask->take())
    fuse_reply_readlink(request, said.reply.text.c_str());
}

Task<void> Mount::statfs(Ask ask, std::uint64_t inode) {
  wire::NsInode question;
  question.inode = inode;
  wire::Bytes message = wire::encode(question);
  const auto said =
      co_await this->ask<wire::NsStatfsReply>(NsOp::statfs, ask->who(), std::move(message));
  if (!said) {
    ask->error(said.error);
    co_return;
  }
  constexpr std::uint64_t kBlock = 4096;
  struct statvfs out {};
  out.f_bsize = out.f_frsize = kBlock;
  out.f_blocks = said.reply.bytes_total / kBlock;
  out.f_bfree = out.f_bavail = said.reply.bytes_free / kBlock;
  out.f_files = said.reply.inodes_total;
  out.f_ffree = out.f_favail = said.reply.inodes_free;
  out.f_namemax = wire::kNsNameMax;
  if (fuse_req* request = ask->take()) fuse_reply_statfs(request, &out);
}

// --- directories ---------------------------------------------------------------------------------

Task<void> Mount::open_directory(Ask ask, fuse_file_info info) {
  const std::uint64_t handle = next_directory_++;
  directories_.emplace(handle, std::make_unique<Directory>());
  info.fh = handle;
  fuse_req* request = ask->take();
  // A caller that was killed never closes it.
  if (request == nullptr || fuse_reply_open(request, &info) != 0) directories_.erase(handle);
  co_return;
}

Task<void> Mount::readdir(Ask ask, std::uint64_t inode, std::uint64_t handle, std::size_t size,
                          std::uint64_t offset, bool plus) {
  std::vector<char> out(size);
  std::size_t used = 0;
  bool full = false;
  const auto add = [&](const std::string& name, const fuse_entry_param& entry, std::uint64_t next) {
    const std::size_t left = out.size() - used;
    const auto at = static_cast<off_t>(next);
    fuse_req* request = ask->peek();
    const std::size_t need =
        plus ? fuse_add_direntry_plus(request, out.data() + used, left, name.c_str(), &entry, at)
             : fuse_add_direntry(request, out.data() + used, left, name.c_str(), &entry.attr, at);
    full = need > left;
    if (!full) used += need;
  };
  while (!full) {
    if (ask->answered()) co_return;
    // One that a former worker opened is read on from where it was.
    auto found = directories_.try_emplace(handle).first;
    if (!found->second) found->second = std::make_unique<Directory>();
    const std::uint64_t after = offset > kFirstOffset ? offset - kFirstOffset : 0;
    Directory* directory = found->second.get();
    // A page from the beginning is always asked for: that is what rewinddir(3) is for.
    const bool here = directory->position != 0 && directory->next == after &&
                      directory->plus == plus && offset != 0 &&
                      (directory->end || !directory->entries.empty());
    if (!here) {
      wire::NsReaddir question;
      question.inode = inode;
      question.after = after;
      question.bytes_max = kPageBytes;
      question.attributes = plus;
      wire::Bytes message = wire::encode(question);
      auto said =
          co_await this->ask<wire::NsReaddirReply>(NsOp::readdir, ask->who(), std::move(message));
      if (!said) {
        ask->error(said.error);
        co_return;
      }
      found = directories_.find(handle);
      if (found == directories_.end() || ask->answered()) {
        ask->error(EBADF);
        co_return;
      }
      directory = found->second.get();
      directory->entries.assign(std::make_move_iterator(said.reply.entries.begin()),
                                std::make_move_iterator(said.reply.entries.end()));
      directory->next = after;
      directory->end = said.reply.end;
      directory->plus = plus;
      directory->parent = said.reply.parent;
      directory->position = std::max<std::uint64_t>(said.position, 1);
    }
    for (; offset < kFirstOffset && !full; ++offset) {
      fuse_entry_param entry{}; // without a node: the kernel knows both already
      entry.attr.st_ino = offset == 0 || inode == root_ ? inode : directory->parent;
      entry.attr.st_mode = S_IFDIR;
      add(offset == 0 ? "." : "..", entry, offset + 1);
      if (full) break;
    }
    while (!full && !directory->entries.empty()) {
      const wire::NsEntry& from = directory->entries.front();
      fuse_entry_param entry{};
      if (plus && !from.node.empty()) {
        entry = entry_of(from.node.front(), directory->position, inode);
        hints_.note(inode, from.name, from.inode);
        remember_content(from.node.front());
      }
      entry.attr.st_ino = from.inode;
      if (!plus) entry.attr.st_mode = static_cast<unsigned>(from.type) << 12U;
      add(from.name, entry, from.cookie + kFirstOffset);
      if (full) break;
      directory->next = from.cookie;
      offset = from.cookie + kFirstOffset;
      directory->entries.pop_front();
    }
    if (full || directory->end || used > 0) break;
  }
  if (fuse_req* request = ask->take()) fuse_reply_buf(request, out.data(), used);
}

// --- extended attributes -------------------------------------------------------------------------

void Mount::answer_bytes(const Ask& ask, wire::View bytes, std::size_t size) {
  if (size != 0 && bytes.size() > size) {
    ask->error(ERANGE);
    return;
  }
  fuse_req* request = ask->take();
  if (request == nullptr) return;
  if (size == 0)
    fuse_reply_xattr(request, bytes.size());
  else
    fuse_reply_buf(request, reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Task<void> Mount::answer_statistics(Ask ask, std::size_t size) {
  Statistics::Now now;
  now.connected = session_->connected();
  now.open_files = nodes_.size();
  now.unstored_bytes = unstored_;
  now.waiting = requests_.size() - 1; // without this one
  const std::string text = statistics_.text(now);
  answer_bytes(ask, wire::as_view(text), size);
  co_return;
}

Task<void> Mount::getxattr(Ask ask, std::uint64_t inode, std::string name, std::size_t size) {
  wire::NsGetXattr question;
  question.inode = inode;
  question.name = std::move(name);
  wire::Bytes message = wire::encode(question);
  const auto said =
      co_await this->ask<wire::NsBlob>(NsOp::getxattr, ask->who(), std::move(message));
  if (!said)
    ask->error(said.error);
  else
    answer_bytes(ask, said.reply.bytes, size);
}

Task<void> Mount::listxattr(Ask ask, std::uint64_t inode, std::size_t size) {
  wire::NsInode question;
  question.inode = inode;
  wire::Bytes message = wire::encode(question);
  const auto said =
      co_await this->ask<wire::NsNames>(NsOp::listxattr, ask->who(), std::move(message));
  if (!said) {
    ask->error(said.error);
    co_return;
  }
  std::string all;
  for (const wire::NsText& name : said.reply.names) all += name.text + '\0';
  answer_bytes(ask, wire::as_view(all), size);
}

Task<void> Mount::change_xattr(Ask ask, NsOp op, std::uint64_t inode, wire::Bytes message) {
  const auto said = co_await this->ask<wire::NsNodeReply>(op, ask->who(), std::move(message));
  known_.forget_attributes(inode, said.position); // an access list has changed its mode
  ask->error(said.error);
}

} // namespace cairn::fuse
