// Tells the kernel what it must not believe any more. Such a call can wait for a request that we
// have not answered yet, so it is made on a thread of its own, never by who answers requests.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

struct fuse_session;

namespace cairn::fuse {

class Notifier {
public:
  Notifier() = default;
  ~Notifier();
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  // Where to tell; it must live until stop(). Before start().
  void use(fuse_session* session) { session_ = session; }
  // Begins with what was pushed before. Not before the kernel and libfuse have agreed on a
  // protocol.
  void start();
  // Drops what has not been told yet and ends the thread.
  void stop();

  // Attributes of a node, and with `data` its pages. `done` is called on the notifier's thread
  // after the kernel has dropped them. Any thread.
  void inode(std::uint64_t node, bool data, std::function<void()> done = {});
  // A name in a directory. Any thread.
  void entry(std::uint64_t parent, std::string name);
  // Calls `done` on the notifier's thread after everything that was pushed before. Any thread.
  void after(std::function<void()> done);

private:
  struct Item {
    std::uint64_t node = 0; // 0: nothing to tell
    std::string name;       // empty: the node itself
    bool data = false;
    std::function<void()> done;
  };
  void run();
  void push(Item item);

  fuse_session* session_ = nullptr; // constant after start()
  std::mutex mutex_;                // guards queue_ and stopping_
  std::condition_variable wake_;
  std::deque<Item> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

} // namespace cairn::fuse
