// Asks other members of the group for what is not on this node's disk: reads that sync has not
// brought yet (G2), and changes that belong to a file's owner.
#pragma once

#include "common/base/file_id.h"
#include "common/net/frame_client.h"
#include "common/net/session.h"
#include "storage/peers/peers.h"
#include "storage/peers/recent.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace cairn::storage {

// A file at another node, open for streaming: the reply's head was read, its bytes were not. Its
// connection goes back to the pool once all bytes were taken, and is cut if it goes before. It must
// not outlive the Remote that opened it.
class RemoteFile {
public:
  RemoteFile(ClientPool::Lease lease, const wire::FetchHead& head, std::uint64_t bytes,
             std::chrono::milliseconds io_timeout);
  RemoteFile(RemoteFile&&) noexcept = default;
  RemoteFile& operator=(RemoteFile&&) = delete;
  ~RemoteFile();

  std::uint64_t file_size = 0; // of the whole file
  std::uint32_t mtime = 0;
  std::uint64_t length = 0; // bytes that follow on the connection

  // Moves the bytes to `to`, through a bounded buffer, so that a slow reader slows the peer down;
  // each side has io_timeout for each piece. If it fails half-way, `to` must be closed by the
  // caller. Errors: closed, timeout; text says which side.
  Task<Status> stream_to(Connection& to);
  // Reads them into memory. Errors: invalid_argument (more than `bytes_max`), closed, timeout.
  Task<Result<wire::Bytes>> read_all(std::uint64_t bytes_max);
  // Reads between 1 and out.size() bytes; 0 only at the end. Errors: closed, timeout.
  Task<Result<std::size_t>> read_some(std::span<std::byte> out);

private:
  std::unique_ptr<ClientPool::Lease> lease_; // null after a move
  std::uint64_t left_ = 0;
  std::chrono::milliseconds io_timeout_;
};

// One per I/O thread; all calls on that thread.
class Remote {
public:
  // `peers` outlives it. `hello` is what this node says of itself, and proves. A peer that is
  // connected has three times `connect_timeout`, at most `io_timeout`, to begin its answer to a
  // fetch: longer counts as unreachable, so that a frozen machine does not hold up reads that
  // another can serve.
  Remote(const Peers& peers, wire::Hello hello, Credentials credentials,
         std::chrono::milliseconds connect_timeout, std::chrono::milliseconds io_timeout);

  // Opens [offset, offset + length) (length 0: to the end) of a file that is not here. Asked in
  // this order: the source, other active members, the rest; who could not be reached a moment ago
  // comes last, and for a file that does not change so does a source that the trackers call
  // offline. Errors: not_found when every member says so (remembered for a second per name, except
  // for names that a client can know before their file is stored: slaves); timeout (110) when
  // nobody reachable has it and somebody could not be asked or failed, and before the first view of
  // the cluster; io_error when the copies of all that could be asked are damaged; invalid_argument
  // (offset beyond the end).
  Task<Result<RemoteFile>> open(const RemoteName& name, std::uint64_t offset, std::uint64_t length);
  // Whether another member has the file or its tombstone: the first undamaged copy or tombstone in
  // the order of open(), else a damaged copy. Errors as open().
  Task<Result<wire::ProbeReply>> probe(const RemoteName& name);
  // The same range from that node only. Errors: what it answers, timeout (it cannot be asked).
  Task<Result<RemoteFile>> open_at(const wire::NodeView& node, const RemoteName& name,
                                   std::uint64_t offset, std::uint64_t length);
  // A native request to that node that may be repeated; its reply. Errors: as open_at().
  Task<Result<wire::Bytes>> ask_node(const wire::NodeView& node, wire::NativeCommand command,
                                     wire::Bytes body);
  // Metadata text from the file's owner, which must be another node. Errors: not_found (no file, no
  // metadata), unavailable (owner unknown or unreachable), invalid_argument (we are the owner).
  Task<Result<std::string>> metadata(const RemoteName& name);

  // Sends a FastDFS request to node `id` as it is and answers its reply: changes of a file at its
  // owner. The request's body is `front` and then what is left of `rest`, streamed if it is not in
  // memory. Errors: unavailable (status 11) when the owner cannot be reached or got only a part of
  // the request, so that nothing was changed; timeout (110) when it got all of it and gave no
  // answer, so that nobody knows; what the owner answers; and what reading `rest` gave. It is never
  // sent twice.
  Task<Result<wire::Bytes>> forward(std::uint32_t id, std::uint8_t command, std::uint8_t flags,
                                    wire::Bytes front, Body& rest);

  ClientPool& pool() { return pool_; }

private:
  // The current map; what was learned under another one is forgotten.
  std::shared_ptr<const PeerMap> current_map();
  std::vector<wire::NodeView> candidates(const PeerMap& map, const RemoteName& name) const;
  // A connection that has said hello. Any error means: this node cannot be asked.
  Task<Result<ClientPool::Lease>> reach(Endpoint endpoint, bool fresh);
  Task<Result<RemoteFile>> fetch(Endpoint endpoint, wire::Fetch request);
  Task<Result<wire::Bytes>> ask(Endpoint endpoint, wire::NativeCommand command, wire::Bytes body);
  // What a failed exchange says about the endpoint: only those that broke the connection count.
  void note_failure(const Endpoint& endpoint, ClientPool::Lease& lease);

  const Peers& peers_;
  ClientPool pool_;
  std::chrono::milliseconds answer_timeout_;
  std::chrono::milliseconds io_timeout_;
  std::shared_ptr<const PeerMap> map_;
  RecentNames missing_; // nobody had them: open()
  RecentNames absent_;  // nobody had them nor a tombstone: probe()
  Reachability reachability_;
};

} // namespace cairn::storage
