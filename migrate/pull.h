// The other direction: from the cluster to a local tree.
#pragma once

#include "migrate/destination.h"
#include "migrate/ledger.h"
#include "migrate/verbs.h"

namespace cairn::migrate {

// `sync :/EXPORT/PATH DIR`. Answers the exit status.
int pull(const Globals& globals, const RunArgs& args);

// Writes down in `ledger` what is at the destination, so that what the source does not have can be
// found (`sync --delete`).
Task<Status> know_destination(Destination& destination, Ledger& ledger);

// What a directory's page tells of one thing, as lstat(2) would.
Entry entry_of(const wire::NsAttributes& attributes, const std::string& target);

} // namespace cairn::migrate
