// Has storage nodes take over files that lie on their own machine, many in one request. Lives on
// the io_context of its ClientCore.
#pragma once

#include "client/core.h"
#include "common/wire/adopt_files.h"

#include <boost/asio/steady_timer.hpp>

#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace cairn::migrate {

class Adopters : public std::enable_shared_from_this<Adopters> {
public:
  // `copies` nodes must have each file before it is answered. `may_link`: see wire::AdoptFiles.
  Adopters(asio::any_io_executor executor, std::shared_ptr<ClientCore> core, unsigned copies,
           bool may_link)
      : executor_(std::move(executor)),
        core_(std::move(core)),
        copies_(copies),
        may_link_(may_link) {}

  struct Adopted {
    std::string id;
    wire::Bytes sha256;
    wire::AdoptHow how = wire::AdoptHow::copy;
    unsigned have = 1;
    unsigned wanted = 1;
    std::int64_t ctime_s = 0; // of the old file afterwards
    std::uint32_t ctime_ns = 0;

    Adopted() {}
  };
  // Errors: unavailable (no node could), those that the node tells of this file.
  Task<Result<Adopted>> adopt(wire::AdoptFile file);

private:
  struct Wish {
    wire::AdoptFile file;
    Result<Adopted> answer = Errc::unavailable;
    bool over = false;
    std::shared_ptr<asio::steady_timer> done;
  };
  using Wishes = std::vector<std::shared_ptr<Wish>>;

  Task<void> work();
  Task<void> send(Wishes wishes);
  // The next node that has this file at hand. Errors: unavailable (none has).
  Task<Result<Address>> node_for(const wire::AdoptFile& file);

  asio::any_io_executor executor_;
  std::shared_ptr<ClientCore> core_;
  const unsigned copies_;
  const bool may_link_;
  std::deque<std::shared_ptr<Wish>> waiting_;
  unsigned workers_ = 0;
  std::vector<Address> nodes_; // that have adopted before; used in turn
  std::size_t next_node_ = 0;
};

} // namespace cairn::migrate
