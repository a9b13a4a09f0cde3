// One operation of the namespace on one state: reads rows, and for a change writes rows into a
// transaction. No clock, no disk, no socket, and nothing is remembered from one operation to the
// next; batch.h runs many of them, and says what happens around an operation.
#pragma once

#include "tracker/namespace/check.h"
#include "tracker/namespace/key_value.h"
#include "tracker/namespace/permissions.h"
#include "tracker/namespace/rows.h"
#include "tracker/namespace/transaction.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::tracker {

// An errno of Linux as an Error; Errc's numbers are errnos, but it names only some.
inline Error errno_of(int number, std::string text = {}) {
  return Error{static_cast<Errc>(number), std::move(text)};
}

// Which inodes are open somewhere. Called by evaluations, from one thread.
class OpenFiles {
public:
  virtual ~OpenFiles() = default;
  // True: `ino` is open, so it must stay. False: it is not, and cannot be opened any more until the
  // batch is over.
  virtual bool hold(std::uint64_t ino) = 0;
  // `session` has `ino` open from now on; once more than before.
  virtual void opened(std::uint64_t session, std::uint64_t ino) = 0;
};

struct RewriteJob;

// What an administrator configures.
struct NamespacePolicy {
  std::uint64_t grace_ms = 10 * 60 * 1000; // from the last reference to the deletion of stored data
  std::uint64_t orphan_age_s = 60 * 60;    // of stored files, before they are taken for left behind
  std::uint64_t rewrite_idle_ms = 10'000;  // without a write, before a fragmented file is rewritten
  std::uint64_t rewrite_rate = 32 << 20;   // bytes a second; 0: nothing is rewritten
};

class Evaluation {
public:
  // A question at `now`. `view` outlives the evaluation.
  Evaluation(const KeyValueView& view, Caller caller, NsTime now);
  // A change into `transaction`, which is number `position` and happens at `now`. `state` is
  // counted on; all of them outlive the evaluation.
  Evaluation(Transaction& transaction, Caller caller, OpenFiles& opens, StateRow& state,
             const NamespacePolicy& policy, NsTime now);

  // Decodes the request of `op`, answers its encoded reply. Errors: the errno of the operation; the
  // transaction's operation is to be dropped then.
  Result<wire::Bytes> run(wire::NsOp op, wire::View request);

  // What others must hear of.
  std::vector<wire::NsEvent>& events() { return events_; }
  // Inodes that lost their last name and stay because they are open.
  const std::vector<std::uint64_t>& orphans() const { return orphans_; }

  // Makes the root if there is none.
  Status format();
  // Begins and ends sessions. `end` also forgets their answers.
  Result<std::uint64_t> begin_session(const SessionRow& row);
  Status end_session(std::uint64_t session);
  // Destroys an inode without a name that nobody has open any more. Not an error: it has gone
  // already, or is open again.
  Status reap(std::uint64_t ino);
  // Destroys up to `limit` files whose time in the trash is over; answers how many.
  Result<std::uint64_t> empty_trash(std::uint64_t now_s, std::uint64_t limit);

  // Puts rows right that check_tables() has found wrong and that have not changed since; answers
  // how many.
  Result<std::uint64_t> mend(const std::vector<RowFix>& fixes);
  // Swaps the extents of a part of a file for `now`, which hold the same bytes; times and
  // data_version stay. Errors: EBUSY (they are not those that the job has read any more: the file
  // was written meanwhile, or has gone), EDQUOT (filled holes count), ESTALE (the new stored file
  // was taken for left behind).
  Status rewrite(std::uint64_t ino, const RewriteJob& job, const std::vector<Extent>& now);
  // The file is as good as it can be made, unless it was written after `written_ms`.
  Status settle_fragments(std::uint64_t ino, std::uint64_t written_ms);
  // From now on no change can name these stored files, until acquit().
  void condemn(const std::vector<std::string>& refs);
  void acquit(const std::vector<std::string>& refs);

  // An inode that the caller may know of. Errors: ESTALE.
  Result<Inode> load(std::uint64_t ino);
  Status permit(const Inode& inode, unsigned wanted);
  Result<wire::NsNodeReply> node(const Inode& inode);
  // What stat(2) tells of it.
  wire::NsAttributes attributes(const Inode& inode) const;

private:
  using NsExport = wire::NsExport;

  template <class Reply, class Request>
  Result<wire::Bytes> call(Result<Reply> (Evaluation::*function)(const Request&),
                           wire::View request);
  template <class Request>
  Result<wire::Bytes> call(Status (Evaluation::*function)(const Request&), wire::View request);
  Result<wire::Bytes> dispatch(wire::NsOp op, wire::View request);

  // --- questions (eval_questions.cpp)
  Result<wire::NsNodeReply> lookup(const wire::NsLookup& request);
  Result<wire::NsNodeReply> getattr(const wire::NsInode& request);
  Result<wire::NsResolveReply> resolve(const wire::NsResolve& request);
  Result<wire::NsReaddirReply> readdir(const wire::NsReaddir& request);
  Result<wire::NsText> readlink(const wire::NsInode& request);
  Result<wire::NsExtentsReply> extents(const wire::NsGetExtents& request);
  Result<wire::NsBlob> getxattr(const wire::NsGetXattr& request);
  Result<wire::NsNames> listxattr(const wire::NsInode& request);
  Result<wire::NsStatfsReply> statfs(const wire::NsInode& request);
  Result<wire::NsNodeReply> access(const wire::NsAccess& request);
  Result<wire::NsText> path_of(const wire::NsInode& request);
  Result<wire::NsSeekReply> seek(const wire::NsSeek& request);

  // --- names (eval_names.cpp)
  Result<wire::NsNodeReply> create(const wire::NsCreate& request);
  Result<wire::NsNodeReply> create_copy(const wire::NsCreateCopy& request);
  Result<wire::NsNodeReply> mkdir(const wire::NsMkdir& request);
  Result<wire::NsNodeReply> mknod(const wire::NsMknod& request);
  Result<wire::NsNodeReply> symlink(const wire::NsSymlink& request);
  Result<wire::NsNodeReply> link(const wire::NsLink& request);
  Result<wire::NsRemoveReply> unlink(const wire::NsRemove& request);
  Result<wire::NsRemoveReply> rmdir(const wire::NsRemove& request);
  Result<wire::NsRenameReply> rename(const wire::NsRename& request);

  // --- attributes and data (eval_data.cpp)
  Result<wire::NsNodeReply> setattr(const wire::NsSetattr& request);
  Result<wire::NsCommitReply> commit(const wire::NsCommit& request);
  Result<wire::NsNodeReply> fallocate(const wire::NsFallocate& request);
  Result<wire::NsCopyRangeReply> copy_range(const wire::NsCopyRange& request);
  Result<wire::NsNodeReply> setxattr(const wire::NsSetXattr& request);
  Result<wire::NsNodeReply> removexattr(const wire::NsRemoveXattr& request);

  // --- exports and upkeep (eval_exports.cpp)
  Result<wire::NsExportsReply> exports(const wire::NsExports& request);
  Result<wire::NsExportReply> export_add(const wire::NsExportChange& request);
  Result<wire::NsExportReply> export_set(const wire::NsExportChange& request);
  Status export_remove(const wire::NsExportName& request);
  Result<wire::NsTrashListReply> trash_list(const wire::NsTrashList& request);
  Result<wire::NsNodeReply> trash_restore(const wire::NsTrashRestore& request);
  Status trash_purge(const wire::NsTrashRestore& request);
  Result<wire::NsDueReply> due(const wire::NsDue& request);
  Status deleted(const wire::NsDeleted& request);
  Result<wire::NsReferencedReply> referenced(const wire::NsReferenced& request);
  Result<wire::NsWalkReply> walk(const wire::NsWalk& request);

  // --- rows (evaluation.cpp)
  Result<Inode> load_directory(std::uint64_t ino);
  Result<std::optional<DirEntry>> find_entry(std::uint64_t parent, std::string_view name);
  void store(const Inode& inode);
  // Stamps a change of attributes (and of content).
  void touch(Inode& inode, wire::NsEventKind kind = wire::NsEventKind::attributes);
  void note_entry(std::uint64_t parent, std::string_view name);
  Result<Acl> acl_of(const Inode& inode, std::string_view name);
  bool owns(const Inode& inode) const { return caller_.is_root() || caller_.uid == inode.uid; }
  Result<std::string> path(std::uint64_t parent, std::string_view name, std::uint64_t until);
  Result<bool> is_below(std::uint64_t ino, std::uint64_t ancestor);
  Result<bool> has_rows(std::string_view prefix);
  std::uint64_t unix_ms() const;

  // --- exports
  Result<NsExport*> export_of(std::uint64_t root);
  void store_export(const NsExport& row);
  // May anything be changed in the export of `inode`? Errors: EROFS.
  Status writable(const Inode& inode);
  // Errors: EDQUOT when it grows above a limit.
  Status charge(std::uint64_t root, std::int64_t bytes, std::int64_t inodes);

  // --- names
  static Status check_name(std::string_view name);
  // Directory `parent` in which the caller may make `name`, which is checked.
  Result<Inode> parent_for_new(std::uint64_t parent, std::string_view name);
  struct Owner {
    std::uint32_t set = 0;
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    NsTime atime, mtime;
  };
  Result<Inode> make_inode(const Inode& parent, NsType type, std::uint16_t mode,
                           const Owner& owner);
  void add_entry(Inode& parent, std::string_view name, const Inode& inode, std::uint64_t cookie);
  // What create() does once the parent and the content are known. `fresh`: nothing has referred to
  // the stored files before.
  Result<wire::NsNodeReply> make_file(const wire::NsCreate& request, Inode parent,
                                      std::vector<Extent> extents, std::uint64_t size, bool fresh);
  // The answer to a change that has made `inode` an entry of `parent`.
  Result<wire::NsNodeReply> named(const Inode& inode, const Inode& parent);
  void remove_entry(Inode& parent, std::string_view name, const DirEntry& entry);
  Status may_remove(const Inode& parent, const Inode& victim);
  // One name less: `parent` no longer has `inode` as `name`.
  Result<bool> lose_name(Inode& inode, const Inode& parent, std::string_view name);
  Status destroy(Inode& inode);
  // Without a name, but open.
  void keep_as_orphan(const Inode& inode);
  Result<bool> keep_in_trash(Inode& inode, std::uint64_t parent, std::string_view name);
  Result<wire::NsRemoveReply> remove(const wire::NsRemove& request, bool directory);
  void move_parent(Inode& inode, std::uint64_t from, std::string_view name, std::uint64_t to,
                   std::string_view new_name);

  // --- extents (extents.cpp)
  Result<Extent> from_wire(const wire::NsExtent& extent) const;
  static Result<wire::NsExtent> to_wire(const Extent& extent);
  // All extents that have bytes between `from` and `to`.
  Result<std::vector<Extent>> overlapping(const Inode& inode, std::uint64_t from, std::uint64_t to,
                                          std::size_t limit = SIZE_MAX) const;
  // What was between `from` and `to` becomes `now`, which lies in there.
  Status replace(Inode& inode, std::uint64_t from, std::uint64_t to, std::vector<Extent> now,
                 bool fresh);
  static Result<std::uint64_t> left_behind(const Extent& extent, std::uint64_t from,
                                           std::uint64_t to);
  void count_reference(const Extent& extent, int by, bool fresh);
  Status settle_references();
  Result<std::vector<Extent>> checked_extents(const std::vector<wire::NsExtent>& extents) const;
  // After replace(): when the file has become one to be rewritten, that is noted in its row.
  Status note_fragments(const Inode& inode);
  // Clears set-ID bits as a write by an ordinary user does.
  void kill_set_id(Inode& inode) const;
  void set_times(Inode& inode, std::uint32_t set, NsTime atime, NsTime mtime) const;

  struct Reference {
    std::int64_t delta = 0;
    bool existed = false; // something referred to it before
  };

  const KeyValueView& view_;
  Transaction* transaction_ = nullptr; // of changes
  Caller caller_;
  OpenFiles* opens_ = nullptr;
  StateRow* state_ = nullptr;
  const NamespacePolicy* policy_ = nullptr;
  NsTime now_;
  std::uint64_t position_ = 0;
  std::vector<wire::NsEvent> events_;
  std::vector<std::uint64_t> orphans_;
  std::map<std::uint64_t, NsExport> exports_;
  std::map<std::string, Reference> references_;
  std::uint64_t dead_ = 0; // bytes that replace() has left behind in stored files that stay
};

} // namespace cairn::tracker
