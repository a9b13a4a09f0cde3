// What both faces of the client library share: options, sources and sinks of bytes, and what the
// cluster answers. No Asio here, and nothing of the wire.
//
// Option types have constructors on purpose: GCC 12 destroys an aggregate twice that is built
// inside a co_await expression.
#pragma once

#include "cairn/result.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn {

// A daemon: a host name or numeric address (IPv6 without brackets) and its TCP port.
struct Address {
  std::string host;
  std::uint16_t port = 0;

  Address() {}
  Address(std::string h, std::uint16_t p) : host(std::move(h)), port(p) {}

  // "10.0.0.1:22122", "[::1]:22122".
  std::string text() const;
  bool operator==(const Address&) const = default;
  auto operator<=>(const Address&) const = default;
};

// "HOST:PORT[,HOST:PORT…]"; without a port 22122. Errors: invalid_argument.
Result<std::vector<Address>> parse_trackers(std::string_view text);

// How a client behaves. Constant once the client is made.
struct ClientOptions {
  std::vector<Address> trackers;                     // at least one
  std::chrono::milliseconds connect_timeout{5'000};  // per address
  std::chrono::milliseconds network_timeout{30'000}; // without a byte of progress
  // For a whole operation, retries included, where the call names none; 0: no limit. Deadlines are
  // kept to about half a second.
  std::chrono::milliseconds operation_timeout{0};
  unsigned attempts_max = 4; // storage nodes tried by one operation, at least 1
  // File with the cluster's secret; only administration needs it.
  std::filesystem::path cluster_secret_file;
  // File with an access key ("ID SECRET"), for machines that are not in allow_hosts.
  std::filesystem::path access_key_file;

  ClientOptions() {}
};

// Options from a client.conf. Errors: invalid_argument with "file:line: …", not_found.
Result<ClientOptions> load_client_options(const std::filesystem::path& conf_file);

// Time for one call; the default is ClientOptions::operation_timeout.
struct Timeout {
  std::chrono::milliseconds value{0};

  Timeout() {}
  template <class Rep, class Period>
  Timeout(std::chrono::duration<Rep, Period> time)
      : value(std::chrono::duration_cast<std::chrono::milliseconds>(time)) {}
};

// Names and values of a file: at most 64 and 256 bytes each, without the bytes 1 and 2.
using Metadata = std::map<std::string, std::string>;

// Called on the client's I/O thread now and then with the bytes moved so far and of how many; must
// not block nor call the client.
using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

// Where the bytes of an upload come from. A copy refers to the same source.
class Source {
public:
  // Fills part of `out` and answers how much; 0 only when there is nothing left, which is an error
  // before the promised size. Called on a helper thread, never twice at once.
  using Reader = std::function<Result<std::size_t>(std::span<std::byte> out)>;
  // Goes back to the first byte.
  using Rewind = std::function<Status()>;

  // A regular file; it is opened here, and its size now is what is sent. Errors: not_found, denied,
  // is_directory.
  static Result<Source> file(const std::filesystem::path& path);
  // Bytes that the caller keeps alive until the call is over.
  static Source memory(std::span<const std::byte> bytes);
  static Source memory(std::string_view bytes);
  // A copy of its own.
  static Source bytes(std::vector<std::byte> bytes);
  // Exactly `size` bytes of `reader`. Without `rewind` an upload that failed after reading some of
  // them cannot be tried on another node.
  static Source reader(std::uint64_t size, Reader reader, Rewind rewind = {});

  // Bytes in all.
  std::uint64_t size() const;

  struct Body; // of the library
  Body& body() const { return *body_; }

private:
  explicit Source(std::shared_ptr<Body> body) : body_(std::move(body)) {}
  std::shared_ptr<Body> body_;
};

// Where the bytes of a download go. A copy refers to the same sink.
class Sink {
public:
  // Takes all of `bytes`. Called on a helper thread, in order, never twice at once.
  using Writer = std::function<Status(std::span<const std::byte> bytes)>;

  // A file that appears under its name, replacing another, once the download is complete and
  // verified. Errors: those of creating a file beside it.
  static Result<Sink> file(const std::filesystem::path& path);
  // A vector the caller keeps alive; replaced by what is downloaded.
  static Sink memory(std::vector<std::byte>& bytes);
  // Bytes as they come: on an error some have been written.
  static Sink writer(Writer writer);

  struct Body; // of the library
  Body& body() const { return *body_; }

private:
  explicit Sink(std::shared_ptr<Body> body) : body_(std::move(body)) {}
  std::shared_ptr<Body> body_;
};

struct UploadOptions {
  std::string group;     // empty: the tracker chooses
  std::string extension; // without the dot, at most 6 characters of A-Z a-z 0-9 - _ .
  bool appender = false; // the file may grow later
  Metadata metadata;
  // Nodes of the group that must have the file before the upload is answered; 0: as many as the
  // group is configured for. At most 31.
  unsigned copies = 0;
  bool copies_of_members = false; // not more copies than the group has members
  // Called when `copies` is not 0: the nodes that have the file, and how many should. Fewer: the
  // others get it later (a group may refuse such uploads; the error then is timeout).
  std::function<void(unsigned have, unsigned wanted)> on_copies;
  Timeout timeout;
  Progress progress;

  UploadOptions() {}
};

struct DownloadOptions {
  std::uint64_t offset = 0;
  std::uint64_t length = 0; // 0: to the end
  // Compare the CRC32 of a whole normal file with the one in its name (errors: corrupt).
  bool verify = true;
  Timeout timeout;
  Progress progress;

  DownloadOptions() {}
};

// What was downloaded.
struct Downloaded {
  std::uint64_t size = 0;  // bytes
  std::uint32_t crc32 = 0; // of these bytes
  bool verified = false;   // they match the checksum in the file's name

  Downloaded() {}
};

enum class FileType : std::uint8_t { normal, appender, slave, trunk };

// "normal", "appender", "slave", "trunk".
std::string_view describe(FileType type);

// What a file ID says by itself.
struct ParsedId {
  std::string group;
  std::string name; // "M00/…"
  FileType type = FileType::normal;
  std::string source;      // storage ID or address of the first node; empty: the name says nothing
  std::int64_t time = 0;   // unix seconds: when it was uploaded (slave: its master)
  std::uint64_t size = 0;  // of a normal or trunk file
  std::uint32_t crc32 = 0; // of a normal or trunk file
  bool has_checksum = false; // size and crc32 hold

  ParsedId() {}
};

// Takes a file ID apart. Errors: invalid_argument.
Result<ParsedId> parse_id(std::string_view id);

// What the cluster says about a file.
struct FileInfo {
  std::uint64_t size = 0;  // bytes
  std::int64_t mtime = 0;  // unix seconds
  std::uint32_t crc32 = 0; // of the content
  std::string source_host; // address of the node that took the upload; empty: unknown
  ParsedId id;

  FileInfo() {}
};

// A group, as trackers tell it to any client.
struct GroupInfo {
  std::string name;
  std::uint64_t total_mb = 0;
  std::uint64_t free_mb = 0;
  std::uint64_t storage_count = 0;
  std::uint64_t readable_count = 0;
  std::uint64_t writable_count = 0;
  std::uint64_t store_path_count = 0;

  GroupInfo() {}
};

enum class NodeState : std::uint8_t {
  init = 0,
  wait_sync = 1,
  syncing = 2,
  deleted = 4,
  offline = 5,
  online = 6,
  active = 7,
  recovery = 9,
};

// "active", "offline", …
std::string_view describe(NodeState state);

// A storage node, as trackers tell it to any client.
struct StorageInfo {
  NodeState state = NodeState::offline;
  std::string id;
  std::string host;
  std::uint16_t port = 0;
  std::string version;
  std::int64_t start_time = 0; // unix seconds
  std::uint64_t total_mb = 0;
  std::uint64_t free_mb = 0;
  std::uint64_t store_path_count = 0;

  StorageInfo() {}
};

// A storage node in a cluster view.
struct ClusterNode {
  std::uint32_t id = 0;
  std::string uuid;
  std::string group;
  Address address;
  std::uint16_t http_port = 0;
  NodeState state = NodeState::offline;
  bool draining = false;
  unsigned store_path_count = 0;

  ClusterNode() {}
};

// All nodes that one tracker knows, removed ones included.
struct Cluster {
  std::uint64_t version = 0;
  std::string uuid;
  std::vector<ClusterNode> nodes;

  Cluster() {}
};

} // namespace cairn
