// A queue and its thread.
#include "fuse/notifier.h"

#include <fuse_lowlevel.h>

#include <utility>

namespace cairn::fuse {

Notifier::~Notifier() {
  stop();
}

void Notifier::start() {
  thread_ = std::thread([this] { run(); });
}

void Notifier::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Notifier::push(Item item) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    queue_.push_back(std::move(item));
  }
  wake_.notify_one();
}

void Notifier::inode(std::uint64_t node, bool data, std::function<void()> done) {
  Item item;
  item.node = node;
  item.data = data;
  item.done = std::move(done);
  push(std::move(item));
}

void Notifier::entry(std::uint64_t parent, std::string name) {
  Item item;
  item.node = parent;
  item.name = std::move(name);
  push(std::move(item));
}

void Notifier::after(std::function<void()> done) {
  Item item;
  item.done = std::move(done);
  push(std::move(item));
}

void Notifier::run() {
  for (;;) {
    Item item;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      item = std::move(queue_.front());
      queue_.pop_front();
    }
    // ENOENT: the kernel does not know it, which is what was wanted. A negative offset: attributes
    // only.
    if (!item.name.empty())
      fuse_lowlevel_notify_inval_entry(session_, item.node, item.name.data(), item.name.size());
    else if (item.node != 0)
      fuse_lowlevel_notify_inval_inode(session_, item.node, item.data ? 0 : -1, 0);
    if (item.done) item.done();
  }
}

} // namespace cairn::fuse
