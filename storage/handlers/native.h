// Handlers of the sync stream and of rewrites, registered with the other native commands.
#pragma once

#include "storage/handlers/context.h"

namespace cairn::storage {

// Longest body of a sync frame: a batch is closed at 1 MiB of content plus one file's piece.
inline constexpr std::uint64_t kSyncFrameMax = 8 << 20;

Task<Result<Reply>> sync_hello(Context& context, Session& session, Body& body);
Task<Result<Reply>> sync_batch(Context& context, Session& session, Body& body);
Task<Result<Reply>> sync_have(Context& context, Session& session, Body& body);
Task<Result<Reply>> sync_done(Context& context, Session& session, Body& body);
Task<Result<Reply>> list_files(Context& context, Session& session, Body& body);
// rewrite.cpp
Task<Result<Reply>> rewrite(Context& context, Session& session, Body& body);

} // namespace cairn::storage
