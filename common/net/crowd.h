// Back-pressure in front of memory: how many requests of clients an I/O thread has in memory and is
// busy with. While those are many the next ones stay in their sockets, so that 10,000 uploading
// connections do not take 10,000 bodies of memory for work that waits for the disk anyway.
#pragma once

#include "common/net/task.h"

#include <boost/asio/execution_context.hpp>

#include <cstddef>
#include <list>

namespace cairn {

class Connection;

// One per io_context; everything is called on its thread.
class Crowd : public asio::execution_context::service {
public:
  static inline asio::execution_context::id id;

  // Requests inside at which the next ones wait.
  static constexpr std::size_t kInsideMax = 256;

  explicit Crowd(asio::execution_context& context) : asio::execution_context::service(context) {}

  // Whether a request that has not been read should wait for its turn().
  bool is_full() const { return inside_ + called_ >= kInsideMax || !waiting_.empty(); }
  // Waits until one of those inside leaves, in the order of coming, but for a second at most:
  // whatever hangs must not stop the others.
  Task<void> turn();

private:
  friend class CrowdMark;

  struct Waiter;

  void shutdown() override {}
  void leave();

  std::size_t inside_ = 0;
  std::size_t called_ = 0;     // have got their turn and do not run yet
  std::list<Waiter*> waiting_; // that nobody has called, in the order of coming
};

// Counts one request, whole in memory, until it is answered. Null: nothing is counted.
class CrowdMark {
public:
  explicit CrowdMark(Crowd* crowd) : crowd_(crowd) {
    if (crowd_ != nullptr) ++crowd_->inside_;
  }
  CrowdMark(const CrowdMark&) = delete;
  CrowdMark& operator=(const CrowdMark&) = delete;
  ~CrowdMark() {
    if (crowd_ != nullptr) crowd_->leave();
  }

private:
  Crowd* crowd_;
};

// That of the thread which serves the connection.
Crowd& crowd_of(Connection& connection);

} // namespace cairn
