// Handlers that change something or wait for somebody: native commands, and the two FastDFS
// commands that remove. The queries are in queries.h; table.cpp puts all of them on the wire.
#pragma once

#include "common/net/session.h"
#include "tracker/handlers/tracker.h"

namespace cairn::tracker {

// Notes in the audit log who asked for a change of the cluster, and what became of it; a log that
// fails is told in ours. `object` is never a secret.
void audit_change(const Tracker& tracker, const Session& session, std::string_view what,
                  std::string object, const Status& done);

// native 160: who the other side is. Errors: denied, unsupported (its version is too old).
Task<Result<Reply>> say_hello(Tracker& tracker, Session& session, Body& body);
// native 162. Errors: those of JoinNode; unavailable (the metadata holder cannot be asked).
Task<Result<Reply>> join(Tracker& tracker, Session& session, Body& body);
// native 163. Errors: not_found (join again).
Task<Result<Reply>> heartbeat(Tracker& tracker, Session& session, Body& body);
// native 164.
Task<Result<Reply>> cluster_view(Tracker& tracker, Session& session, Body& body);
// native 200: from here on the connection speaks the namespace protocol (namespace_link.h). Errors:
// denied, not_found (no such export), unavailable.
Task<Result<Reply>> attach_namespace(Tracker& tracker, Session& session, Body& body);
// native 201: one question about the namespace without a session, as nobody. Errors: unavailable,
// invalid_argument.
Task<Result<Reply>> ask_namespace(Tracker& tracker, Session& session, Body& body);
// native 205 and 206 (common/wire/namespace_paths.h): what storage nodes ask and change. Errors:
// unavailable, invalid_argument.
Task<Result<Reply>> ask_trusted(Tracker& tracker, Session& session, Body& body);
Task<Result<Reply>> change_path(Tracker& tracker, Session& session, Body& body);
// native 202 to 204 (common/wire/namespace_backup.h): a copy of all metadata. Errors: see there.
Task<Result<Reply>> begin_backup(Tracker& tracker, Session& session, Body& body);
Task<Result<Reply>> read_backup(Tracker& tracker, Session& session, Body& body);
Task<Result<Reply>> end_backup(Tracker& tracker, Session& session, Body& body);
// native 161: JSON to JSON; what a verb refuses is told in the JSON, with status 0.
Task<Result<Reply>> admin(Tracker& tracker, Session& session, Body& body);

// native 210 to 214 (common/wire/rules.h), answered by the RulesTable of the metadata holder.
// Errors: those of the table; unavailable (the holder cannot be asked).
Task<Result<Reply>> get_rules(Tracker& tracker, Session& session, Body& body);
Task<Result<Reply>> put_rules(Tracker& tracker, Session& session, Body& body);
Task<Result<Reply>> get_aliases(Tracker& tracker, Session& session, Body& body);
Task<Result<Reply>> change_aliases(Tracker& tracker, Session& session, Body& body);
Task<Result<Reply>> list_aliases(Tracker& tracker, Session& session, Body& body);

// native 196 (common/wire/cache_purge.h), passed on to the metadata holder.
Task<Result<Reply>> caches_changed(Tracker& tracker, Session& session, Body& body);

// FastDFS 93: group, storage ID. Errors: not_found; busy (it is up); already (removed before).
Task<Result<Reply>> delete_storage(Tracker& tracker, Session& session, Body& body);
// FastDFS 108. Errors: not_found; busy (it has nodes).
Task<Result<Reply>> delete_group(Tracker& tracker, Session& session, Body& body);

} // namespace cairn::tracker
