// Looks up the host names in address lists again, now and then and on demand, so that a name may
// move to another address while a daemon runs. On a thread of its own: a name server that does not
// answer holds up nothing but the end of the process.
#pragma once

#include "common/config/host_list.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace cairn {

class HostNames {
public:
  // Lists by the key of the configuration that fills them.
  using Lists = std::vector<std::pair<std::string, config::HostList>>;

  // `interval` 0: on demand only.
  HostNames(Lists lists, std::chrono::seconds interval);
  ~HostNames();
  HostNames(const HostNames&) = delete;
  HostNames& operator=(const HostNames&) = delete;

  // Looks all of them up; blocks. A line in the log for each name that is not found, and for each
  // one that has moved. Before start().
  void look_up();
  // Begins to do so at the interval. Without names there is no thread.
  void start();
  // Does so once soon. Any thread.
  void refresh();
  // Ends it; waits for a look-up that is under way.
  void stop();

private:
  void run();

  const Lists lists_;
  const std::chrono::seconds interval_;
  bool first_ = true; // what is found at the start is no news
  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  bool wanted_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

} // namespace cairn
