// Finds the bytes of a file for a reader: on this node's disk, or at another member. Used by the
// FastDFS download and by HTTP.
#pragma once

#include "storage/handlers/context.h"

namespace cairn::storage {

// Of a range that will be read, so much is verified before the first byte goes out; send_verified()
// goes on from there.
inline constexpr std::uint64_t kVerifyAhead = 4 << 20;

// What open_here() would answer for a file whose name and verdict are in memory, without waiting
// for anything; nullopt: ask open_here() or locate(). Length 0: to the end.
std::optional<OpenedFile> open_at_once(Context& context, const RemoteName& name,
                                       std::uint64_t offset, std::uint64_t length);

// A file on this node's disk, ready to be read, of which the first kVerifyAhead bytes of [offset,
// offset + length) are right; nullopt: it is not here (or its copy is damaged), ask another member.
// Errors: not_found (it was deleted), is_directory, invalid_argument.
Task<Result<std::optional<OpenedFile>>> open_here(Context& context, const RemoteName& name,
                                                  std::uint64_t offset, std::uint64_t length);

// Whether sending all of that range needs no look at a checksum any more.
bool is_verified(const Context& context, const OpenedFile& opened, std::uint64_t offset,
                 std::uint64_t length);

// Sends [offset, offset + length) of a copy that is here, each piece verified before it goes out.
// From a damaged piece on the bytes come from another member, unless `only_here`. Fails when there
// is nobody: the caller must then close the connection. `opened` is kept open by the caller.
Task<Status> send_verified(Context& context, Connection& to, RemoteName name,
                           const OpenedFile& opened, std::uint64_t offset, std::uint64_t length,
                           bool only_here);

// Whether its bytes should come from its owner although there is a copy here: the content of an
// appender file changes there first.
bool read_at_owner(Context& context, const RemoteName& name);

// Where a reader gets its bytes from.
struct Located {
  std::optional<OpenedFile> here;
  std::optional<RemoteFile> there; // open for [offset, offset + length) as asked
};

// Opens a range of a file, wherever it is (length 0: to the end). For a file that is here the range
// is not looked at. Errors: not_found, timeout (nobody reachable has it), is_directory,
// invalid_argument.
Task<Result<Located>> locate(Context& context, const RemoteName& name, std::uint64_t offset,
                             std::uint64_t length);

// Sends [offset, offset + length) of a file from other nodes. `source` is open for that range, or
// empty: one is looked for. When a source fails or finds damage half-way, another one goes on from
// there, at last the copy that is here. Errors end the connection.
Task<Status> pass_on(Context& context, Connection& to, RemoteName name,
                     std::optional<RemoteFile> source, std::uint64_t offset, std::uint64_t length);

} // namespace cairn::storage
