// Small files on their way to storage nodes, many in one request, without asking the tracker each
// time. Lives on the io_context of its ClientCore.
#pragma once

#include "client/core.h"
#include "common/wire/upload_files.h"
#include "migrate/batches.h"
#include "migrate/copies.h"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace cairn::migrate {

// A stored file that nothing names yet.
struct Stored {
  std::string id;
  CopyCount copies; // when it was answered

  Stored() {}
};

class Uploads {
public:
  // `copies` nodes, but not more than there are, must have a file before it is answered.
  Uploads(asio::any_io_executor executor, std::shared_ptr<ClientCore> core, unsigned copies,
          Timeout timeout);

  static bool is_small(std::uint64_t bytes) {
    return bytes > 0 && bytes <= wire::kUploadFilesBytesMax;
  }

  // Stores `content`, which is_small() and which the caller keeps. `mark` is encoded. Errors: what
  // may succeed as an upload of its own: those of the node, unavailable.
  Task<Result<Stored>> store(wire::View content, std::string extension, std::string mark);

private:
  struct File {
    wire::View content;
    std::string extension;
    std::string mark;

    File(wire::View bytes, std::string ext, std::string origin)
        : content(bytes), extension(std::move(ext)), mark(std::move(origin)) {}
  };
  using Together = Batches<File, Stored>;

  Task<void> send(Together::Wishes wishes);
  Task<Result<StorePlace>> place(Deadline deadline);

  const std::shared_ptr<ClientCore> core_;
  const unsigned copies_;
  const Timeout timeout_;
  const std::shared_ptr<Together> together_;
  // Nodes that the tracker named lately, used in turn.
  std::vector<StorePlace> places_;
  std::size_t next_place_ = 0;
  std::chrono::steady_clock::time_point placed_{};
};

} // namespace cairn::migrate
