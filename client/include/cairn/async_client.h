// The awaitable face of the client library, for programs that have an Asio loop.
//
//   boost::asio::io_context io;
//   cairn::AsyncClient client(io, options);
//   auto work = [](cairn::AsyncClient& c) -> boost::asio::awaitable<void> {
//     auto id = co_await c.upload(cairn::Source::memory("hello"), cairn::UploadOptions());
//     …
//   };
//   boost::asio::co_spawn(io, work(client), …);
#pragma once

#include "cairn/types.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

namespace cairn {

template <class T>
using Awaitable = boost::asio::awaitable<T>;

class ClientCore;

// A client that lives on one io_context, run by one thread; every function is called there, as many
// at once as you like. Connections are kept and shared between calls. It may go while calls are
// pending; the io_context must outlive it.
//
// Errors of every call: unavailable and timeout (nobody answered; Error::outcome_unknown tells
// whether a change may have happened all the same), denied, invalid_argument. Reads, and changes
// that may be repeated, are tried on other nodes by themselves; an upload or append only when it
// cannot have been stored.
class AsyncClient {
public:
  AsyncClient(boost::asio::io_context& io, ClientOptions options);
  ~AsyncClient();
  AsyncClient(AsyncClient&&) noexcept;
  AsyncClient& operator=(AsyncClient&&) noexcept;

  // Stores a file and answers its ID ("group1/M00/…"). Errors: not_found (no such group), no_space.
  Awaitable<Result<std::string>> upload(Source source, UploadOptions options);
  // Stores a slave file beside `master_id`; `extension` without dot, may be empty. Of `options`
  // only metadata, timeout and progress count. Errors: not_found (master), exists.
  Awaitable<Result<std::string>> upload_slave(std::string master_id, std::string prefix,
                                              std::string extension, Source source,
                                              UploadOptions options);
  // Reads a file or a range of it; goes on at another node where one breaks off. Errors: not_found,
  // corrupt (checksum), those of the sink.
  Awaitable<Result<Downloaded>> download(std::string id, Sink sink, DownloadOptions options);
  // Errors: not_found.
  Awaitable<Status> remove(std::string id, Timeout timeout = {});

  // Adds to the end of an appender file. Errors: not_found, invalid_argument (not an appender).
  Awaitable<Status> append(std::string id, Source source, Timeout timeout = {});
  // Writes over an appender file from byte `offset`, at most its size.
  Awaitable<Status> modify(std::string id, std::uint64_t offset, Source source,
                           Timeout timeout = {});
  // Cuts or extends (with zeros) an appender file to `size` bytes.
  Awaitable<Status> truncate(std::string id, std::uint64_t size, Timeout timeout = {});
  // Makes an appender file a normal one and answers its new ID; the old one is gone.
  Awaitable<Result<std::string>> regenerate(std::string id, Timeout timeout = {});

  // An empty map for a file without metadata. Errors: not_found (file).
  Awaitable<Result<Metadata>> get_metadata(std::string id, Timeout timeout = {});
  // Replaces the metadata, or with `merge` adds to it.
  Awaitable<Status> set_metadata(std::string id, Metadata metadata, bool merge,
                                 Timeout timeout = {});
  // Errors: not_found.
  Awaitable<Result<FileInfo>> info(std::string id, Timeout timeout = {});
  // Nodes that can serve a file, the tracker's choice first. Errors: not_found (no such group).
  Awaitable<Result<std::vector<Address>>> locate(std::string id, Timeout timeout = {});

  Awaitable<Result<std::vector<GroupInfo>>> groups(Timeout timeout = {});
  // Errors: not_found (no such group).
  Awaitable<Result<std::vector<StorageInfo>>> storages(std::string group, Timeout timeout = {});

  // The trackers' view of all nodes; `group` empty: of all groups. Needs an administrator's rights.
  Awaitable<Result<Cluster>> cluster(std::string group, Timeout timeout = {});
  // The same, of one tracker.
  Awaitable<Result<Cluster>> cluster_at(Address tracker, std::string group, Timeout timeout = {});
  // An administrative request in JSON ({"verb": …}) to the first tracker that answers.
  Awaitable<Result<std::string>> admin(std::string json, Timeout timeout = {});
  // The same, to one daemon.
  Awaitable<Result<std::string>> admin_at(Address daemon, std::string json, Timeout timeout = {});
  // Any request of Cairn's own protocol, to one daemon; body and answer as they are on the wire.
  Awaitable<Result<std::vector<std::byte>>> native_call(Address daemon, std::uint8_t command,
                                                        std::vector<std::byte> body,
                                                        Timeout timeout = {});

private:
  std::shared_ptr<ClientCore> core_;
};

} // namespace cairn
