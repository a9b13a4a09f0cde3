// The part of the namespace that a job writes into: single operations by parent and name, many on
// their way at once. Lives on one io_context.
#pragma once

#include "client/namespace_tree.h"
#include "common/wire/origin_mark.h"
#include "migrate/adopters.h"
#include "migrate/copies.h"
#include "migrate/entry.h"
#include "migrate/ledger.h"
#include "migrate/uploads.h"

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace cairn::migrate {

// "EXPORT[/PATH]", as the command line gives it; ":/EXPORT/PATH" and "/EXPORT/PATH" mean the same.
// Or "group://GROUP", for files that keep their IDs.
struct DestinationPath {
  std::string group; // "group://GROUP": not empty, and what follows is
  std::string export_name;
  std::string path; // below the export's root

  std::string text() const {
    if (!group.empty()) return "group://" + group;
    return export_name + (path.empty() ? "" : "/" + path);
  }
};
// Errors: invalid_argument.
Result<DestinationPath> parse_destination(std::string_view text);

class Destination {
public:
  Destination(asio::io_context& io, ClientOptions client, DestinationPath where, Timeout timeout);

  // Attaches, and finds the directory of `where`; with `make` it is made when it is missing.
  // Errors: not_found, denied, unavailable, exists (it is no directory).
  Task<Status> open(bool make);
  Task<void> close();

  const std::string& cluster_uuid() { return tree_.session().attached().cluster_uuid; }
  unsigned copies() { return tree_.session().attached().copies; }
  std::uint64_t extent_bytes() { return tree_.session().attached().extent_bytes; }
  std::uint64_t root() const { return root_; }
  // There was nothing in the directory when it was opened.
  bool was_empty() const { return was_empty_; }
  bool blind() const { return copies_->blind(); }
  // Owners are kept only by who may give files away.
  bool keeps_owner() const { return identity_.uid == 0; }

  // Errors of the following: an errno as the code, as NsSession::ask().
  Task<Result<wire::NsNodeReply>> lookup(std::uint64_t parent, std::string name);
  Task<Result<wire::NsNodeReply>> getattr(std::uint64_t inode);
  Task<Result<wire::NsReaddirReply>> readdir(std::uint64_t inode, std::uint64_t after);
  Task<Result<std::vector<wire::NsExtent>>> extents(wire::NsNodeReply node);
  Task<Result<wire::NsNodeReply>> mkdir(std::uint64_t parent, std::string name, Entry seen);
  Task<Result<wire::NsNodeReply>> symlink(std::uint64_t parent, std::string name, Entry seen);
  Task<Result<wire::NsNodeReply>> mknod(std::uint64_t parent, std::string name, Entry seen);
  Task<Result<wire::NsNodeReply>> link(std::uint64_t inode, std::uint64_t parent, std::string name);
  // A file of this content; in place of the content of one that is there, unless `exclusive`.
  Task<Result<wire::NsNodeReply>> create(std::uint64_t parent, std::string name, Entry seen,
                                         std::vector<wire::NsExtent> extents, bool exclusive);
  // The same, with the content that `from` has; nothing is stored. Errors: busy (it has another one
  // by now), ESTALE (it has gone), ENOSYS (an older tracker).
  Task<Result<wire::NsNodeReply>> create_copy(std::uint64_t parent, std::string name, Entry seen,
                                              Holder from, bool exclusive);
  Task<Status> rename(std::uint64_t parent, std::string from, std::string to);
  Task<Status> remove(std::uint64_t parent, std::string name, bool directory);
  // Mode, owner and times.
  Task<Result<wire::NsNodeReply>> set_attributes(std::uint64_t inode, Entry seen);

  // What a stored file says of the file at `path` (below the destination) that it is uploaded for;
  // the ranges are to be added. All parts of one file carry the same mark otherwise: by its time
  // they are known to belong together. (Unmarked files would be nobody's: never cleared away after
  // a crash, and lost when the namespace has to be rebuilt.)
  wire::OriginMark origin(std::string_view path, const Entry& seen);
  // Stores bytes that the caller keeps, on as many nodes as the export demands. The checksum in the
  // answer has been compared. Errors: those of an upload; corrupt (the node has stored other
  // bytes).
  Task<Result<Stored>> upload(wire::View bytes, std::uint32_t crc32, std::string extension,
                              std::string mark);
  // Stores `source`, however long. `mark` is encoded here and above.
  Task<Result<Stored>> upload(Source source, std::string extension, std::string mark);
  // Has a node on this machine take over the file at `path` (absolute); it must be as `seen`.
  // Errors: denied (no node here may), busy (it was changed), those of the node.
  Task<Result<Adopters::Adopted>> adopt(std::string path, Entry seen, std::string extension,
                                        std::string mark, bool may_link);
  // Asks all nodes for files that may have been stored long ago.
  Task<CopyCount> wait_for_copies(std::vector<std::string> ids);
  Task<void> discard(std::vector<wire::NsExtent> extents);
  // Streams content to `sink`.
  Task<Status> read(std::vector<wire::NsExtent> extents, std::uint64_t size, Sink::Writer sink);

private:
  template <class Reply, class Request>
  Task<Result<Reply>> ask(wire::NsOp op, Request request) {
    co_return co_await tree_.session().ask<Reply>(op, identity_, std::move(request), timeout_);
  }
  wire::NsCreate create_request(std::uint64_t parent, std::string name, const Entry& seen,
                                bool exclusive);
  // Mode, owner and times that `made` did not get when it was made.
  Task<Result<wire::NsNodeReply>> complete(wire::NsNodeReply made, Entry seen);

  DestinationPath where_;
  Timeout timeout_;
  std::shared_ptr<ClientCore> core_;
  asio::any_io_executor executor_;
  std::shared_ptr<Copies> copies_;
  std::shared_ptr<Adopters> adopters_; // made by the first adopt()
  std::shared_ptr<Uploads> uploads_;   // made by the first upload()
  NsTree tree_;
  NsIdentity identity_;
  std::uint64_t root_ = 0;
  bool was_empty_ = false;
};

// The mode, owner and times of `node` are those of `seen` (owners only with `owner`).
bool has_attributes(const wire::NsAttributes& node, const Entry& seen, bool owner);

} // namespace cairn::migrate
