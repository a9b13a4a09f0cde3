// The file system: the kernel's questions, answered by the tracker and the storage nodes. They are
// taken and answered on one loop; all state lives there, without locks.
// Node IDs of the kernel are inode numbers, but for the root, which is always 1 there.
#pragma once

#include "client/namespace_data.h"
#include "client/namespace_session.h"
#include "fuse/channel.h"
#include "fuse/known_directories.h"
#include "fuse/node.h"
#include "fuse/notifier.h"
#include "fuse/options.h"
#include "fuse/path_hints.h"
#include "fuse/request.h"
#include "fuse/statistics.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <deque>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <sys/stat.h>
#include <unordered_map>
#include <vector>

struct fuse_conn_info;
struct fuse_custom_io;
struct fuse_entry_param;
struct fuse_file_info;
struct fuse_lowlevel_ops;

namespace cairn::fuse {

// What a tracker said: an errno, or a reply and the log position it is true at.
template <class Reply>
struct Said {
  int error = 0;
  Reply reply;
  std::uint64_t position = 0;

  Said() {}
  explicit operator bool() const { return error == 0; }
};

class Mount {
public:
  // `record` outlives it.
  Mount(asio::io_context& io, ClientOptions client, MountOptions options, Record& record);

  // Attaches to the tracker and finds the directory that is mounted. Errors: also not_found, and
  // invalid_argument (no directory).
  Task<Status> open();
  // In place of open(), for a worker that comes after another: goes on with what that has left in
  // the record. Waits for nobody. What was written and not stored fails, once, at fsync or close.
  // `kernel` is the descriptor that libfuse will use. On the loop.
  void take_over(int kernel);
  // Stores and commits everything that was written, says goodbye, and answers what is left.
  Task<void> close();

  // What libfuse calls, on the loop; its userdata is the Mount.
  static fuse_lowlevel_ops operations();
  // How libfuse reads and writes.
  static fuse_custom_io io();
  const Channel& channel() const { return channel_; }
  // Called when the kernel has answered, on the loop.
  void on_ready(std::function<void()> handler) { on_ready_ = std::move(handler); }
  Notifier& notifier() { return notifier_; }

private:
  // Begins to answer a question, named as libfuse names it. `work` makes the coroutine that does
  // it.
  template <class Work>
  void begin(fuse_req* request, const char* operation, bool groups, Work work) {
    NsIdentity who = identity(request, groups);
    const std::uint64_t number = next_request_++;
    auto ask = std::make_shared<Request>(request, operation, std::move(who));
    watch_interrupt(request, number);
    requests_.emplace(number, ask);
    Task<void> answer = work(ask);
    spawn(io_.get_executor(), finish(number, std::move(ask), std::move(answer)), "request");
  }
  Task<void> finish(std::uint64_t number, Ask ask, Task<void> work);
  void tell_slow_ones();
  static NsIdentity identity(fuse_req* request, bool groups);
  static void watch_interrupt(fuse_req* request, std::uint64_t number);
  Task<void> interrupted(std::uint64_t number);
  static void init(void* self, fuse_conn_info* connection);

  // --- the tracker
  // One question or change, encoded already.
  template <class Reply>
  Task<Said<Reply>> ask(wire::NsOp op, NsIdentity who, wire::Bytes message) {
    Said<Reply> out;
    auto answer = co_await session_->call(op, std::move(who), std::move(message), time_limit());
    if (!answer) {
      out.error = errno_of(answer.error());
    } else if (answer->status != 0) {
      out.error = answer->status;
    } else {
      auto reply = wire::decode_lenient<Reply>(answer->body);
      out.error = reply ? 0 : EIO;
      if (reply) out.reply = *std::move(reply);
      out.position = answer->position;
    }
    co_return out;
  }
  // What one call may take; hard mounts wait for ever.
  Timeout time_limit() const;
  void attached(const wire::NsAttachReply& reply, bool lost);
  void listen_to_session();
  void record_seen(std::uint64_t position);
  void on_events(std::uint64_t position, const std::vector<wire::NsEvent>& events);
  Task<void> tell_opens_again(bool reclaim);
  void lose_session();
  void drop_caches(std::uint64_t position);

  // --- what the kernel may believe
  void remember_event(std::uint64_t inode, std::uint64_t position);
  // Seconds for an answer that was true at `position`; 0 when something newer is known about the
  // inode or the directory it was found in.
  double lifetime(std::uint64_t position, std::uint64_t inode, std::uint64_t parent) const;
  // The same for what is known here and kept up by the tracker's events.
  double kept_lifetime() const;
  // How a change of ours has left directories; answers of older trackers do not tell. `changed` are
  // those that it may have changed.
  template <class Reply>
  void note_directories(const Said<Reply>& said, std::initializer_list<std::uint64_t> changed) {
    if (!said || said.reply.directories.empty())
      for (const std::uint64_t inode : changed) known_.forget_attributes(inode, said.position);
    for (const wire::NsAttributes& now : said.reply.directories) note_directory(now, said.position);
  }
  void note_directory(const wire::NsAttributes& now, std::uint64_t position);
  std::uint64_t inode_of(std::uint64_t node) const { return node == 1 ? root_ : node; }
  std::uint64_t node_of(std::uint64_t inode) const { return inode == root_ ? 1 : inode; }
  struct stat stat_of(const wire::NsAttributes& attributes) const;
  fuse_entry_param entry_of(const wire::NsNodeReply& node, std::uint64_t position,
                            std::uint64_t parent) const;
  void answer_entry(const Ask& ask, const Said<wire::NsNodeReply>& said, std::uint64_t parent);

  // --- names (names.cpp)
  struct Directory {
    std::deque<wire::NsEntry> entries; // read ahead, from `next` on
    std::uint64_t next = 0;            // cookie before the first of them
    bool end = false;
    bool plus = false;
    std::uint64_t parent = 0;
    std::uint64_t position = 0;
  };
  Task<void> lookup(Ask ask, std::uint64_t parent, std::string name);
  Task<void> getattr(Ask ask, std::uint64_t inode);
  Task<void> setattr(Ask ask, wire::NsSetattr request, bool opened);
  Task<void> make(Ask ask, wire::NsOp op, std::uint64_t parent, std::string name,
                  wire::Bytes message);
  Task<void> remove(Ask ask, wire::NsOp op, std::uint64_t parent, std::string name);
  Task<void> rename(Ask ask, wire::NsRename request);
  Task<void> readlink(Ask ask, std::uint64_t inode);
  Task<void> statfs(Ask ask, std::uint64_t inode);
  Task<void> open_directory(Ask ask, fuse_file_info info);
  Task<void> readdir(Ask ask, std::uint64_t inode, std::uint64_t handle, std::size_t size,
                     std::uint64_t offset, bool plus);
  Task<void> answer_statistics(Ask ask, std::size_t size);
  Task<void> getxattr(Ask ask, std::uint64_t inode, std::string name, std::size_t size);
  Task<void> listxattr(Ask ask, std::uint64_t inode, std::size_t size);
  Task<void> change_xattr(Ask ask, wire::NsOp op, std::uint64_t inode, wire::Bytes message);
  void answer_bytes(const Ask& ask, wire::View bytes, std::size_t size);

  // --- content (files.cpp)
  using NodeRef = std::shared_ptr<Node>;
  NodeRef hold(std::uint64_t inode); // one handle more
  // Says where a file is, as far as that is known; for who rebuilds a lost namespace.
  void name_origin(wire::OriginMark& mark);
  // One handle less, here and at the tracker.
  void close_handle(const NodeRef& node);
  // Keeps a file open for a second, for whoever has just looked its name up. False: it is gone.
  Task<bool> hold_a_moment(std::uint64_t inode, NsIdentity who);
  void let_go(const NodeRef& node);
  // Drops what is not open and has nothing to store.
  void forget_closed(const NodeRef& node);
  // For the next worker: how many handles there are, and whether something waits to be stored.
  void note(Node& node);
  // Gives the kernel a handle by `reply`, which answers 0 when it has got it. A caller that was
  // killed meanwhile never closes it.
  void hand_out(const Ask& ask, const NodeRef& node, const std::function<int(fuse_req*)>& reply);
  NodeRef find(std::uint64_t inode) const;
  void take_content(Node& node, const wire::NsNodeReply& reply);
  // The kernel has dropped a node, and its pages with it.
  void forgotten(std::uint64_t node) { pages_.erase(inode_of(node)); }
  // True when the kernel's pages are of this version; it gets them now.
  bool keeps_pages(std::uint64_t inode, std::uint64_t data_version);
  void changed_here(Node& node, const wire::NsAttributes& attributes);
  Task<void> create(Ask ask, wire::NsCreate request, int flags);
  Task<void> open_file(Ask ask, std::uint64_t inode, int flags);
  Task<void> release(Ask ask, std::uint64_t inode, bool flock, std::uint64_t owner);
  Task<void> read(Ask ask, std::uint64_t inode, std::uint64_t offset, std::size_t size);
  Task<void> write(Ask ask, std::uint64_t inode, std::uint64_t offset, wire::Bytes bytes,
                   bool append);
  Task<void> flush(Ask ask, std::uint64_t inode, bool writable, std::uint64_t owner);
  Task<void> fallocate(Ask ask, wire::NsFallocate request);
  Task<void> copy_range(Ask ask, wire::NsCopyRange request);
  Task<void> seek(Ask ask, wire::NsSeek request);
  Task<int> load_content(NodeRef node, NsIdentity who);
  void seal(const NodeRef& node);
  Task<void> store(NodeRef node, std::shared_ptr<Batch> batch);
  Task<void> commit_all(NodeRef node);
  Task<int> commit(NodeRef node, std::shared_ptr<Batch> batch);
  // Waits until nothing written before is left to store. A failure is left in Node::error.
  Task<void> settle(NodeRef node);
  void fail_writes(const NodeRef& node, int error);
  Task<void> write_back_old();
  Task<void> invalidate_pages(std::uint64_t inode);

  // --- small files, fetched before they are read (ahead.cpp)
  // What a lookup or a listing tells of a file, for an open that may follow.
  void remember_content(const wire::NsNodeReply& reply);
  // Begins to fetch a file that was looked up, if those that are looked up are opened as a rule.
  void fetch_after_lookup(const wire::NsNodeReply& reply);
  // Begins to fetch a file that is about to be opened for reading, by what is remembered of it.
  void fetch_before_open(const NodeRef& node);
  // The same once it is opened, unless that is under way or the kernel has its pages.
  void fetch_after_open(const NodeRef& node, const wire::NsNodeReply& reply, bool pages_kept);
  // nullptr: it is not worth it, or too much is fetched already.
  std::shared_ptr<Ahead> begin_fetch(std::uint64_t version, std::uint64_t size,
                                     std::vector<wire::NsExtent> extents);
  Task<void> fetch_ahead(std::shared_ptr<Ahead> ahead, std::vector<wire::NsExtent> extents);
  // Forgets what was fetched before `old` and not read.
  void drop_unread(std::chrono::steady_clock::time_point old);
  // Waits for what is fetched and copies bytes from `offset` on. False: they are not there.
  Task<bool> read_ahead(NodeRef node, std::shared_ptr<Ahead> ahead, std::uint64_t offset,
                        std::span<std::byte> out);

  // --- locks (locks.cpp)
  Task<void> lock(Ask ask, wire::NsLock request);
  Task<void> getlock(Ask ask, wire::NsLock request);
  Task<int> set_lock(Ask ask, NsIdentity who, NodeRef node, wire::NsLock request);
  static void record_lock(Node& node, const wire::NsLock& request);

  asio::io_context& io_;
  MountOptions options_;
  Statistics statistics_;
  std::shared_ptr<ClientCore> core_;
  std::shared_ptr<NsSession> session_;
  NsData data_;
  Record& record_;
  Channel channel_;
  FileRecords files_;
  Notifier notifier_;
  PathHints hints_;
  KnownDirectories known_;
  std::function<void()> on_ready_; // constant once requests come
  std::uint64_t root_ = 1;         // constant after open()
  bool closing_ = false;
  asio::steady_timer write_back_timer_;

  std::uint64_t next_request_ = 1;
  std::unordered_map<std::uint64_t, std::weak_ptr<Request>> requests_; // not answered yet
  std::uint64_t session_number_ = 0;

  std::uint64_t ahead_bytes_ = 0; // fetched for all of these and not read; outlives them
  std::unordered_map<std::uint64_t, NodeRef> nodes_;       // open files, by inode
  std::uint64_t unstored_ = 0;                             // bytes written in all of them
  std::unordered_map<std::uint64_t, std::uint64_t> pages_; // inode: data version of the kernel's
  struct Remembered {
    std::uint64_t data_version = 0;
    std::uint64_t size = 0;
    std::vector<wire::NsExtent> extents;
    bool looked_up = false;       // alone, not in a listing
    std::shared_ptr<Ahead> ahead; // begun at the lookup
  };
  std::unordered_map<std::uint64_t, Remembered> remembered_; // by inode
  int lookup_score_ = 0; // rises when a file is opened that was looked up, falls when one is not
  int ahead_score_ = 0;  // rises when what was fetched is read, falls when it is not
  std::uint32_t ahead_refused_ = 0;
  // Until then files that are looked up are held: one was replaced between its lookup and its open.
  std::chrono::steady_clock::time_point replaced_until_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Directory>> directories_; // by handle
  std::uint64_t next_directory_ = 1;

  // The latest events, so that an older answer is not believed: inode and log position.
  std::unordered_map<std::uint64_t, std::uint64_t> events_;
  std::deque<std::pair<std::uint64_t, std::uint64_t>> event_order_;
  std::uint64_t events_before_ = 0; // position of the latest that was forgotten
};

} // namespace cairn::fuse
