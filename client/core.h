// The client's engine: connections, the choice of daemons, and one request after another until one
// holds. Shared by both faces. Lives on one io_context; every function is called on its thread, and
// each call keeps the core alive with a shared_ptr of its own.
#pragma once

#include "cairn/types.h"
#include "client/identity.h"
#include "client/placement.h"
#include "client/retry.h"
#include "client/tracker_replies.h"
#include "client/transfer.h"
#include "common/net/disk_pool.h"
#include "common/net/frame_client.h"

#include <boost/asio/io_context.hpp>

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace cairn {

class ClientCore : public std::enable_shared_from_this<ClientCore> {
public:
  using Self = std::shared_ptr<ClientCore>;

  ClientCore(asio::io_context& io, ClientOptions options);

  // Closes the idle connections and keeps none any more, so that the loop can come to its end.
  void close() {
    plain_.close();
    native_.close();
  }

  // The time a call may take.
  Deadline deadline(Timeout timeout) const;
  const ClientOptions& options() const { return options_; }

  // --- one request
  // ---------------------------------------------------------------------------------

  // How one request to one daemon went.
  struct Exchange {
    Reached reached = Reached::nothing;
    Result<wire::Bytes> reply = Errc::unavailable;

    Exchange() {}
    Exchange(Reached r, Error error) : reached(r), reply(std::move(error)) {}
    Exchange(Reached r, wire::Bytes bytes) : reached(r), reply(std::move(bytes)) {}

    // The error for people; only when there is no reply. The protocol gives a status without words.
    Error error() &&;
  };

  // What is to be sent: `head` is the body, or its beginning when there is a source. A class with a
  // constructor: see the trap in cairn/types.h.
  struct Request {
    std::uint8_t command;
    wire::Bytes head;
    std::optional<Source> source;
    Progress progress;
    bool native = false; // on a connection that has introduced itself
    std::uint8_t flags = 0;

    Request(wire::Command c, wire::Bytes h)
        : command(static_cast<std::uint8_t>(c)), head(std::move(h)) {}
    Request(std::uint8_t c, wire::Bytes h) : command(c), head(std::move(h)) {}
  };

  // Sends `request` to `address` and reads the reply, on a pooled connection if there is one. Keeps
  // the book of health.
  Task<Exchange> exchange(Address address, const Request& request, Deadline deadline);

  // --- trackers
  // ------------------------------------------------------------------------------------

  // Asks the trackers in turn until one answers with success. The error is the answer of one that
  // was reached, if any was.
  Task<Result<wire::Bytes>> ask_tracker(const Request& request, Deadline deadline);

  // From now on uploads and reads remember for a moment what trackers said, and all who ask for
  // cluster_view() share one. For programs that make many small requests.
  void remember_placement() { placement_.emplace(kViewBelieved, kPlaceBelieved); }
  // All nodes, as known for at most a second. Errors: those of the trackers.
  Task<Result<Placement::View>> cluster_view(Deadline deadline);

  // A node for an upload that is not in `tried`. Errors: those of the trackers; unavailable.
  Task<Result<StorePlace>> place_for_upload(std::string group, const std::set<Address>& tried,
                                            Deadline deadline);
  // Like place_for_upload() for a change to (or, with `update` false, a read of) an existing file.
  Task<Result<Address>> node_for_file(const ParsedId& id, bool update,
                                      const std::set<Address>& tried, Deadline deadline);
  // All nodes that may serve a file, the tracker's choice first.
  Task<Result<std::vector<Address>>> nodes_for_file(const ParsedId& id, bool update,
                                                    Deadline deadline);

  // --- operations
  // ----------------------------------------------------------------------------------

  // `mark`: what the file is for (encode_origin()); empty: it belongs to whoever has its ID.
  Task<Result<std::string>> upload(Source source, UploadOptions options, std::string mark = {});
  Task<Result<std::string>> upload_slave(std::string master_id, std::string prefix,
                                         std::string extension, Source source,
                                         UploadOptions options);
  Task<Result<Downloaded>> download(std::string id, Sink sink, DownloadOptions options);

  // One change to (or read of) an existing file by a request with a reply that fits in memory,
  // tried on other nodes as `repeat` permits.
  Task<Result<wire::Bytes>> file_request(ParsedId id, bool update, Repeat repeat, Request request,
                                         Deadline deadline);

  Task<Status> set_metadata(ParsedId id, Metadata metadata, bool merge, Deadline deadline);

  // A native request to one daemon.
  Task<Result<wire::Bytes>> native_call(Address daemon, std::uint8_t command, wire::Bytes body,
                                        Deadline deadline);

private:
  static constexpr std::chrono::milliseconds kViewBelieved{1000};
  static constexpr std::chrono::milliseconds kPlaceBelieved{200};
  struct Incoming;

  Task<Exchange> try_exchange(const Address& address, const Request& request, Deadline deadline,
                              bool fresh, bool& stale);
  Task<Status> send_source(FrameClient& client, const Request& request, Deadline deadline);
  Task<Exchange> receive_part(const Address& address, const ParsedId& id, Incoming& incoming,
                              Deadline deadline);
  Task<Status> rewind(const Request& request);
  Task<Status> deliver(Sink& sink, std::span<const std::byte> bytes);
  Task<Error> lost_or_unknown_group(std::string group, Deadline deadline);
  // Asks the trackers for a node of `group` (empty: of any). A tracker that has just started knows
  // no node until the first heartbeats: worth waiting a moment for. Errors: unavailable (there is
  // none), not_found (no such group).
  Task<Result<wire::Bytes>> ask_for_node(const Request& request, std::string group,
                                         Deadline deadline);
  void note(const Address& address, Reached reached, Errc code);

  ClientOptions options_;
  Identity identity_; // before the pools that prove it
  ClientPool plain_;  // FastDFS protocol; says hello where there is an access key
  ClientPool native_; // after hello
  Health health_;
  std::optional<Placement> placement_;
  DiskPool helpers_; // files and callbacks
};

// The parts of "group1/M00/…" as an upload's reply gives them. Errors: invalid_argument.
Result<std::string> stored_id(wire::View reply);

} // namespace cairn
