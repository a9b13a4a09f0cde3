// Asks other members of the group for what is not on this node's disk: reads that sync has not
// brought yet (G2), and changes that belong to a file's owner.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <unordered_map>

#include "common/base/file_id.h"
#include "common/net/frame_client.h"
#include "common/net/session.h"
#include "storage/peers/peers.h"

namespace cairn::storage {

// A file at another node, open for streaming: the reply's head was read, its bytes were not.
struct RemoteFile {
  std::unique_ptr<ClientPool::Lease> lease;
  std::uint64_t file_size = 0; // of the whole file
  std::uint32_t mtime = 0;
  std::uint64_t length = 0;    // bytes that follow on the connection

  // Moves the bytes to `to`; if it fails half-way, `to` must be closed by the caller.
  Task<Status> stream_to(Connection& to);
  // Reads them into memory (length is at most `bytes_max`, else invalid_argument).
  Task<Result<wire::Bytes>> read_all(std::uint64_t bytes_max);
};

// One per I/O thread; all calls on that thread.
class Remote {
 public:
  // `peers` outlives it. `hello` is what this node says of itself.
  Remote(const Peers& peers, wire::Hello hello, std::chrono::milliseconds connect_timeout,
         std::chrono::milliseconds io_timeout);

  // Opens [offset, offset + length) (length 0: to the end) of a file that is not here: at its
  // source, else at any other member. Errors: not_found when every member that could be reached
  // says so and none is unreachable (remembered for a second per name), timeout (110) when nobody
  // reachable has it and somebody cannot be reached, invalid_argument (offset beyond the end).
  Task<Result<RemoteFile>> open(const RemoteName& name, std::uint64_t offset, std::uint64_t length);
  // Whether another member has the file or its tombstone; same order and errors as open().
  Task<Result<wire::ProbeReply>> probe(const RemoteName& name);
  // Metadata text from the file's owner. Errors: not_found, unavailable (owner unreachable).
  Task<Result<std::string>> metadata(const RemoteName& name);

  // Sends a FastDFS request to node `id` as it is and answers its reply: changes of a file at its
  // owner. `body` is the request's body; what of it is not in memory is streamed. Errors:
  // unavailable (status 11) when the owner cannot be reached, else what the owner answers.
  Task<Result<wire::Bytes>> forward(std::uint32_t id, std::uint8_t command, std::uint8_t flags,
                                    wire::Bytes front, Body& rest);

  ClientPool& pool() { return pool_; }

 private:
  Task<Result<ClientPool::Lease>> reach(const wire::NodeView& node);

  const Peers& peers_;
  ClientPool pool_;
  std::chrono::milliseconds io_timeout_;
  // Names nobody had, and until when that is believed.
  std::unordered_map<std::string, std::chrono::steady_clock::time_point> missing_;
};

} // namespace cairn::storage
