// What administrators ask of a node's trash: JSON in, JSON out, by the native command `admin`.
//
//   {"verb":"trash.ls","after":"","limit":1000}
//       -> {"trash_days":7,"files":[{"id","size","deleted","expires"}],"done":true}
//   {"verb":"trash.restore","id":"group1/M00/…"}  -> {"restored":true}
//   {"verb":"trash.purge","id":"group1/M00/…"}    -> {"purged":1}
//   {"verb":"trash.purge","older_than_s":86400}   -> {"purged":12}; 0: all of it
//
// Times are unix seconds. What a verb refuses is the status of the reply.
#pragma once

#include "storage/handlers/context.h"

#include <nlohmann/json_fwd.hpp>

#include <string_view>

namespace cairn::storage {

bool is_trash_verb(std::string_view verb);

// Answers one of the verbs; what it changes is audited. Errors: invalid_argument, not_found (not in
// the trash of this node), exists, unavailable (the node is stopping).
Task<Result<Reply>> answer_trash(Context& context, const Session& session,
                                 const nlohmann::json& request);

} // namespace cairn::storage
