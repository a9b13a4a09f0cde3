// Sends ranges of files without letting a cold one block the I/O thread: what is not in the page
// cache is read ahead on a DiskPool first. For HTTP bodies and FastDFS downloads.
#pragma once

#include "common/net/connection.h"
#include "common/net/disk_pool.h"
#include "common/net/task.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace cairn {

// Copies bytes of `fd` from `offset` into `out` if they can be had without waiting for a disk.
// Answers how many were copied: less than out.size() when some are not cached, the file is shorter,
// or its file system cannot tell. Never blocks.
std::size_t read_if_cached(int fd, std::uint64_t offset, std::span<std::byte> out);

// Sends `count` bytes of `fd` from `offset`, piece by piece (512 KiB). Pieces of which the last
// byte is not cached are first read on `pool`. The caller keeps `fd` open until this ends. Errors:
// as Connection::send_file().
Task<Status> send_file_cached(Connection& connection, DiskPool& pool, int fd, std::uint64_t offset,
                              std::uint64_t count);

} // namespace cairn
