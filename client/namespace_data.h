// Content of the namespace: bytes to stored files, and stored files to bytes. What is stored here
// is named by nothing until its extents are committed. Lives on the io_context of its ClientCore.
#pragma once

#include "client/core.h"
#include "common/wire/namespace_ops.h"
#include "common/wire/origin_mark.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace cairn {

class NsData {
public:
  // Reads up to out.size() bytes at `offset`; fewer only at the end. Helper threads, several at
  // once.
  using ReadAt = std::function<Result<std::size_t>(std::uint64_t offset, std::span<std::byte> out)>;

  struct StoreOptions {
    std::uint64_t piece_bytes = 64ULL << 20; // of one stored file, at most
    std::size_t parallel = 3;                // pieces on their way at a time
    unsigned copies = 1;                     // nodes that must have a piece before it is answered
    std::vector<std::string> groups;         // empty: the tracker chooses
    std::string extension;
    // For whom it is stored. Its ranges say where the bytes belong, when that is not one run from
    // the file's beginning; `written` and the share of each piece are filled in.
    wire::OriginMark origin;
    Progress progress;
    Timeout timeout;

    StoreOptions() {}
  };
  // Stored, and how many copies of each piece there were in time.
  struct Stored {
    std::vector<wire::NsExtent> extents;
    unsigned copies = 0; // of the piece with the fewest
  };

  explicit NsData(std::shared_ptr<ClientCore> core) : core_(std::move(core)) {}

  // Stores `size` bytes, cut into pieces that are uploaded side by side. Extents begin at 0. What
  // was stored before an error is removed again. Errors: those of an upload and of `read`.
  Task<Result<Stored>> store(std::uint64_t size, ReadAt read, StoreOptions options);
  // The same for bytes in memory that the caller keeps until it returns.
  Task<Result<Stored>> store(wire::View bytes, StoreOptions options);

  // Reads `length` bytes of a file at `offset` into `out` (as long). What no extent covers is
  // zeros. A stored file that is read as a whole is verified. Errors: those of a download.
  Task<Status> read(std::vector<wire::NsExtent> extents, std::uint64_t offset,
                    std::span<std::byte> out, Timeout timeout);
  // Streams the same to `sink`, the next pieces being fetched while one is written.
  Task<Status> stream(std::vector<wire::NsExtent> extents, std::uint64_t offset,
                      std::uint64_t length, Sink::Writer sink, Timeout timeout, Progress progress);

  // Removes stored files that were never committed, as well as that goes: with the cluster's
  // secret. What others leave is found by its mark.
  Task<void> discard(std::vector<wire::NsExtent> extents);

  // The mark of whatever a session stores in an export; inode, path and ranges are to be added.
  static wire::OriginMark origin_of(const wire::NsAttachReply& attached, std::string export_name);

private:
  struct Job;

  Task<Result<Stored>> run(std::shared_ptr<Job> job);
  Task<Result<wire::NsExtent>> store_piece(std::shared_ptr<Job> job, std::uint64_t offset,
                                           std::uint64_t length);
  Task<void> work(std::shared_ptr<Job> job);
  Task<Status> fetch(wire::NsExtent extent, std::span<std::byte> out, Timeout timeout);

  std::shared_ptr<ClientCore> core_;
};

} // namespace cairn
