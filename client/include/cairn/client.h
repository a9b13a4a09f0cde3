// The blocking face of the client library.
//
//   auto options = cairn::load_client_options("/etc/cairn/client.conf");
//   cairn::Client client(*options);
//   auto id = client.upload(cairn::Source::memory("hello"));
//   if (!id) std::cerr << id.error().text() << '\n';
#pragma once

#include "cairn/types.h"

namespace cairn {

// A client with an I/O thread of its own. Any thread may call, many at once; each call blocks its
// caller until it is done. Calls, errors and retries are those of AsyncClient (async_client.h).
// All calls must have returned before the client is destroyed.
class Client {
public:
  explicit Client(ClientOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Stores a file and answers its ID ("group1/M00/…").
  Result<std::string> upload(Source source, UploadOptions options = {});
  // Stores a slave file beside `master_id`.
  Result<std::string> upload_slave(std::string master_id, std::string prefix, std::string extension,
                                   Source source, UploadOptions options = {});
  // Reads a file or a range of it.
  Result<Downloaded> download(std::string id, Sink sink, DownloadOptions options = {});
  Status remove(std::string id, Timeout timeout = {});

  Status append(std::string id, Source source, Timeout timeout = {});
  Status modify(std::string id, std::uint64_t offset, Source source, Timeout timeout = {});
  Status truncate(std::string id, std::uint64_t size, Timeout timeout = {});
  // Makes an appender file a normal one and answers its new ID.
  Result<std::string> regenerate(std::string id, Timeout timeout = {});

  Result<Metadata> get_metadata(std::string id, Timeout timeout = {});
  Status set_metadata(std::string id, Metadata metadata, bool merge, Timeout timeout = {});
  Result<FileInfo> info(std::string id, Timeout timeout = {});
  // Nodes that can serve a file, the tracker's choice first.
  Result<std::vector<Address>> locate(std::string id, Timeout timeout = {});

  Result<std::vector<GroupInfo>> groups(Timeout timeout = {});
  Result<std::vector<StorageInfo>> storages(std::string group, Timeout timeout = {});

  // Administration: as in AsyncClient.
  Result<Cluster> cluster(std::string group = {}, Timeout timeout = {});
  Result<Cluster> cluster_at(Address tracker, std::string group = {}, Timeout timeout = {});
  Result<std::string> admin(std::string json, Timeout timeout = {});
  Result<std::string> admin_at(Address daemon, std::string json, Timeout timeout = {});
  Result<std::vector<std::byte>> native_call(Address daemon, std::uint8_t command,
                                             std::vector<std::byte> body, Timeout timeout = {});

private:
  struct Loop;
  std::unique_ptr<Loop> loop_;
};

} // namespace cairn
