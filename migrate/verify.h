// What verify and gate share.
#pragma once

#include "migrate/ledger.h"
#include "migrate/session.h"

namespace cairn::migrate {

// Asks again for the copies of files that had too few; `missing` counts those that still have.
Task<Status> recount_copies(Session& session, Ledger& ledger, std::uint64_t& missing);

} // namespace cairn::migrate
