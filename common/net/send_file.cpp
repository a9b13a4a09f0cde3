// Residency checks by preadv2(RWF_NOWAIT), reading ahead on the pool, sendfile.
#include "common/net/send_file.h"

#include "common/wire/bytes.h"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

namespace cairn {

namespace {

constexpr std::uint64_t kPiece = 512 * 1024;
// A reader as fast as the loop never makes sendfile wait; after this many pieces in a row the other
// connections of the thread get their turn.
constexpr int kPiecesPerTurn = 4;

// Brings a piece into the page cache. Runs on a pool thread. A read error is left to sendfile,
// which meets it again and reports it.
Status read_ahead(int fd, std::uint64_t offset, std::uint64_t count) {
  constexpr std::size_t kReadSize = 128 * 1024;
  thread_local wire::Buffer buffer(kReadSize);
  // Reading starts for this piece and the next: while this one goes out, the disk works on.
  ::posix_fadvise(fd, static_cast<off_t>(offset), static_cast<off_t>(count + kPiece),
                  POSIX_FADV_WILLNEED);
  // The advice may be ignored; only a read returns when the pages are there.
  while (count > 0) {
    const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(count, kReadSize));
    const ssize_t got = ::pread(fd, buffer.data(), wanted, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    offset += static_cast<std::uint64_t>(got);
    count -= static_cast<std::uint64_t>(got);
  }
  return Status();
}

// In an ordinary function, because GCC 12 destroys a capturing lambda inside co_await twice.
Task<Status> warm(DiskPool& pool, int fd, std::uint64_t offset, std::uint64_t count) {
  return pool.run([fd, offset, count] { return read_ahead(fd, offset, count); });
}

} // namespace

std::size_t read_if_cached(int fd, std::uint64_t offset, std::span<std::byte> out) {
  iovec piece{out.data(), out.size()};
  for (;;) {
    const ssize_t count = ::preadv2(fd, &piece, 1, static_cast<off_t>(offset), RWF_NOWAIT);
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) return 0;
  }
}

Task<Status> send_file_cached(Connection& connection, DiskPool& pool, int fd, std::uint64_t offset,
                              std::uint64_t count) {
  int in_turn = 0;
  while (count > 0) {
    const std::uint64_t piece = std::min(count, kPiece);
    std::byte last{};
    if (read_if_cached(fd, offset + piece - 1, std::span(&last, 1)) == 0) {
      CAIRN_CO_RETURN_IF_ERROR(co_await warm(pool, fd, offset, piece));
      in_turn = 0;
    } else if (++in_turn > kPiecesPerTurn) {
      co_await asio::post(connection.socket().get_executor(), asio::use_awaitable);
      in_turn = 0;
    }
    CAIRN_CO_RETURN_IF_ERROR(co_await connection.send_file(fd, offset, piece));
    offset += piece;
    count -= piece;
  }
  co_return Status();
}

} // namespace cairn
