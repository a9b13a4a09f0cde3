// The namespace by path: what the blocking face (cairn/namespace.h) and other parts of Cairn call.
// Lives on one io_context.
#pragma once

#include "cairn/namespace.h"
#include "client/core.h"
#include "client/namespace_data.h"
#include "client/namespace_session.h"

#include <memory>
#include <string>
#include <vector>

namespace cairn {

class NsTree {
public:
  NsTree(asio::io_context& io, ClientOptions client, NamespaceOptions options);

  // Errors of all calls: an errno as the code; see NsSession::ask().
  Task<Status> open();
  Task<Status> close();

  Task<Result<wire::NsResolveReply>> resolve(std::string path, bool follow);
  Task<Result<FileStatus>> stat(std::string path, bool follow);
  // The page after `cookie`, which is moved on; `end` tells the last.
  Task<Result<std::vector<DirectoryEntry>>> page(std::uint64_t inode, std::uint64_t& cookie,
                                                 bool& end);
  Task<Status> read(std::string path, Sink::Writer sink, std::uint64_t offset, std::uint64_t length,
                    Progress progress);
  // Every inode after `after`, a page at a time, as an administrator; `end` tells the last.
  Task<Result<std::vector<DirectoryEntry>>> walk(std::uint64_t& after, bool& end);
  // All extents of a file.
  Task<Result<std::vector<wire::NsExtent>>> extents(wire::NsNodeReply node);

  Task<Result<FileStatus>> write(std::string path, Content content, WriteOptions options);
  Task<Result<FileStatus>> name(std::string path, std::vector<StoredPart> parts, std::uint64_t size,
                                WriteOptions options);
  Task<Result<FileStatus>> mkdir(std::string path, std::uint32_t mode, bool parents);
  Task<Result<FileStatus>> symlink(std::string target, std::string path);
  Task<Result<FileStatus>> link(std::string existing, std::string path);
  Task<Status> remove(std::string path, bool directory);
  Task<Status> rename(std::string from, std::string to, std::uint32_t flags);
  Task<Result<FileStatus>> set(std::string path, SetStatus change, bool follow);
  Task<Result<FileStatus>> clone(std::string from, std::string to);

  Task<Result<std::vector<ExportInfo>>> exports(std::string name);
  Task<Result<ExportInfo>> add_export(std::string name, ExportChange values);
  Task<Result<ExportInfo>> set_export(std::string name, ExportChange values);
  Task<Status> remove_export(std::string name);
  Task<Result<std::vector<TrashItem>>> trash(std::string export_name, std::string prefix,
                                             std::int64_t removed_since);
  Task<Status> restore(std::uint64_t inode, std::string path, bool parents);

  NsSession& session() { return *session_; }
  NsData& data() { return data_; }
  NsIdentity identity() const;
  Timeout timeout() const { return options_.timeout; }

private:
  struct Place {
    std::uint64_t parent = 0;
    std::string name;
  };
  // The directory of a path, and its last part. Errors: also invalid_argument (no last part).
  Task<Result<Place>> place(std::string path, bool make_parents);
  // For stored files of a new file there.
  wire::OriginMark origin(std::string_view path) const;

  std::shared_ptr<ClientCore> core_;
  NamespaceOptions options_;
  std::shared_ptr<NsSession> session_;
  NsData data_;
};

// The extension of a file name that its stored files can carry, so that a web server knows their
// type; empty: none.
std::string stored_extension(const std::string& name);

// An answer as the public header has it.
FileStatus status_of(const wire::NsNodeReply& node);

} // namespace cairn
