// A group of storage nodes as the destination of files that keep their IDs. Lives on one
// io_context.
#pragma once

#include "cairn/async_client.h"
#include "client/core.h"
#include "common/wire/named_file.h"
#include "migrate/copies.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cairn::migrate {

class GroupDestination {
public:
  GroupDestination(asio::io_context& io, ClientOptions client, std::string group, Timeout timeout);

  const std::string& group() const { return group_; }
  // Errors: not_found (no such group), unavailable.
  Task<Status> open();
  void close() { core_->close(); }
  // Once it is open.
  const std::string& cluster_uuid() const { return cluster_uuid_; }
  bool blind() const { return copies_->blind(); }

  // Names of the following are those in the group: "M00/HH/LL/…".

  // Stores the content under its name, on two nodes where the group has as many. Errors: those of
  // wire::PutNamed; denied (the cluster's secret is needed); unavailable.
  Task<Result<wire::PutNamedReply>> put(wire::PutNamed request, Source content);
  // Errors: not_found.
  Task<Status> remove(std::string name);
  Task<Status> set_metadata(std::string name, Metadata metadata);
  Task<Result<Metadata>> get_metadata(std::string name);
  Task<Result<FileInfo>> info(std::string name);
  // Makes an appender file what `content` is. It is not that at once: first it has as many of its
  // bytes as it had, then the others. Errors: not_found.
  Task<Status> rewrite(std::string name, std::uint64_t size,
                       std::function<Source(std::uint64_t offset, std::uint64_t length)> content);
  // Errors: not_found, corrupt, those of the sink.
  Task<Status> read(std::string name, Sink sink);
  // Of the whole file `name` on all nodes.
  Task<CopyCount> wait_for_copies(std::vector<std::string> ids);
  std::string id(const std::string& name) const { return group_ + "/" + name; }

private:
  // The nodes of the group that take files, the next one first.
  Task<Result<std::vector<Address>>> nodes(Deadline deadline);

  const std::string group_;
  const Timeout timeout_;
  std::shared_ptr<ClientCore> core_;
  AsyncClient client_;
  std::shared_ptr<Copies> copies_;
  std::string cluster_uuid_;
  std::size_t turn_ = 0;
};

} // namespace cairn::migrate
