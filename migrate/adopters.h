// Has storage nodes take over files that lie on their own machine, many in one request. Lives on
// the io_context of its ClientCore.
#pragma once

#include "client/core.h"
#include "common/wire/adopt_files.h"
#include "migrate/batches.h"

#include <memory>
#include <string>
#include <vector>

namespace cairn::migrate {

class Adopters {
public:
  // `copies` nodes must have each file before it is answered. `may_link`: see wire::AdoptFiles.
  Adopters(asio::any_io_executor executor, std::shared_ptr<ClientCore> core, unsigned copies,
           bool may_link);

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
  using Together = Batches<wire::AdoptFile, Adopted>;

  Task<void> send(Together::Wishes wishes);
  // The next node that has this file at hand. Errors: unavailable (none has).
  Task<Result<Address>> node_for(const wire::AdoptFile& file);

  std::shared_ptr<ClientCore> core_;
  const unsigned copies_;
  const bool may_link_;
  const std::shared_ptr<Together> together_;
  std::vector<Address> nodes_; // that have adopted before; used in turn
  std::size_t next_node_ = 0;
};

} // namespace cairn::migrate
