// Locks on open files: granted by the tracker, so they hold between machines.
#include "fuse/mount.h"

#include <fuse_lowlevel.h>

#include <cerrno>
#include <utility>

namespace cairn::fuse {

using wire::NsOp;

void Mount::record_lock(Node& node, const wire::NsLock& request) {
  std::vector<wire::NsLock> kept;
  for (const wire::NsLock& held : node.locks) {
    const bool other = held.owner != request.owner || held.kind != request.kind ||
                       held.end < request.start || held.start > request.end;
    if (other) {
      kept.push_back(held);
      continue;
    }
    // What the new one leaves of it, before and behind.
    if (held.start < request.start) {
      kept.push_back(held);
      kept.back().end = request.start - 1;
    }
    if (held.end > request.end) {
      kept.push_back(held);
      kept.back().start = request.end + 1;
    }
  }
  if (request.type != wire::NsLockType::unlock) kept.push_back(request);
  node.locks = std::move(kept);
}

Task<void> Mount::invalidate_pages(std::uint64_t inode) {
  auto done = std::make_shared<asio::steady_timer>(io_.get_executor(),
                                                   asio::steady_timer::time_point::max());
  auto told = std::make_shared<bool>(false);
  notifier_.inode(node_of(inode), true, [this, done, told] {
    asio::post(io_, [done, told] {
      *told = true;
      done->cancel();
    });
  });
  while (!*told) co_await done->async_wait(as_result);
}

Task<int> Mount::set_lock(Ask ask, NsIdentity who, NodeRef node, wire::NsLock request) {
  // Whoever gets the lock next finds what was written under it.
  if (request.type == wire::NsLockType::unlock) co_await settle(node);
  auto number = std::make_shared<std::uint64_t>(0);
  if (ask && request.wait) {
    ask->on_interrupt([this, number] {
      if (*number != 0) session_->cancel(*number);
    });
  }
  who.flags |= wire::kNsOpened;
  wire::Bytes message = wire::encode(request);
  auto answer =
      co_await session_->call(NsOp::lock, std::move(who), std::move(message), time_limit(), number);
  if (!answer) co_return errno_of(answer.error());
  if (answer->status != 0) co_return answer->status;
  const auto reply = wire::decode_lenient<wire::NsLockReply>(answer->body);
  if (!reply) co_return EIO;
  record_lock(*node, request);
  files_.locks(node->place, node->locks);
  if (request.type == wire::NsLockType::unlock) co_return 0;
  // And we find what was written under it before.
  if (reply->attributes.data_version != node->data_version) {
    pages_.erase(node->inode);
    node->forget_content();
    node->committed_size = reply->attributes.size;
    co_await invalidate_pages(node->inode);
  }
  co_return 0;
}

Task<void> Mount::lock(Ask ask, wire::NsLock request) {
  const NodeRef node = find(request.inode);
  if (!node) {
    ask->error(EBADF);
    co_return;
  }
  if (request.wait) ask->wait_for(kWaitsForLock);
  const int error = co_await set_lock(ask, ask->who(), node, request);
  if (error == 0 && ask->answered() && request.type != wire::NsLockType::unlock) {
    // Granted to somebody who was told that it was not.
    request.type = wire::NsLockType::unlock;
    static_cast<void>(co_await set_lock(Ask(), ask->who(), node, request));
  }
  ask->error(error);
}

Task<void> Mount::getlock(Ask ask, wire::NsLock request) {
  wire::Bytes message = wire::encode(request);
  const auto said =
      co_await this->ask<wire::NsLockReply>(NsOp::getlock, ask->opened(), std::move(message));
  if (!said) {
    ask->error(said.error);
    co_return;
  }
  struct flock out {};
  out.l_type = F_UNLCK;
  out.l_whence = SEEK_SET;
  if (said.reply.type != wire::NsLockType::unlock) {
    out.l_type = said.reply.type == wire::NsLockType::read ? F_RDLCK : F_WRLCK;
    out.l_start = static_cast<off_t>(said.reply.start);
    out.l_len = said.reply.end == UINT64_MAX
                    ? 0
                    : static_cast<off_t>(said.reply.end - said.reply.start + 1);
    // The kernel shows a process; of another machine there is none.
    out.l_pid = said.reply.pid == 0 ? -1 : static_cast<pid_t>(said.reply.pid);
  }
  if (fuse_req* reply = ask->take()) fuse_reply_lock(reply, &out);
}

} // namespace cairn::fuse
