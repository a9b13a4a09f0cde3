// Waiting until stored files are on as many nodes as wanted: all files that wait are asked for
// together, one request a node. Lives on the io_context of its ClientCore.
#pragma once

#include "client/core.h"

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace cairn::migrate {

struct CopyCount {
  unsigned have = 1;
  unsigned wanted = 1; // as many as there were registered members for, at most

  CopyCount() {}
  CopyCount(unsigned h, unsigned w) : have(h), wanted(w) {}
};

class Copies : public std::enable_shared_from_this<Copies> {
public:
  Copies(asio::any_io_executor executor, std::shared_ptr<ClientCore> core)
      : executor_(std::move(executor)), core_(std::move(core)) {}

  // Who made the names: a node of this cluster, which then has the file, or another one.
  enum class Named : std::uint8_t { here, elsewhere };
  // The copies of the file of `ids` that has the fewest, once each has `wanted` or `most` is over.
  // Nodes that are away are not waited for.
  Task<CopyCount> wait(std::vector<std::string> ids, unsigned wanted,
                       std::chrono::milliseconds most, Named named = Named::here);
  // Nobody here knows the cluster's secret, so nodes do not tell what they have.
  bool blind() const { return blind_; }

private:
  struct File {
    std::string group;
    std::string name;
    std::set<std::uint32_t> holders; // by storage ID
    unsigned wanted = 1;             // capped
    bool over = false;
    std::chrono::steady_clock::time_point until;
    std::shared_ptr<asio::steady_timer> done;
  };

  Task<void> run();
  Task<Status> refresh_view();
  Task<void> ask(const wire::NodeView& node);
  // How many holders are worth waiting for, and how many there should be.
  unsigned reachable(const File& file) const;

  asio::any_io_executor executor_;
  std::shared_ptr<ClientCore> core_;
  std::vector<std::shared_ptr<File>> waiting_;
  std::vector<wire::NodeView> nodes_;
  std::chrono::steady_clock::time_point viewed_{};
  bool running_ = false;
  bool blind_ = false;
};

} // namespace cairn::migrate
