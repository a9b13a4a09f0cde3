// Finds the bytes of a file for a reader: on this node's disk, or at another member. Used by the
// FastDFS download and by HTTP.
#pragma once

#include "storage/handlers/context.h"

namespace cairn::storage {

// A file on this node's disk, ready to be read; nullopt: it is not here (or its copy is damaged),
// ask another member. Errors: not_found (it was deleted), is_directory, invalid_argument.
Task<Result<std::optional<OpenedFile>>> open_here(Context& context, const RemoteName& name);

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

} // namespace cairn::storage
