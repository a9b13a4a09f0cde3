// What verify and gate share.
#pragma once

#include "migrate/destination.h"
#include "migrate/ledger.h"

namespace cairn::migrate {

// Asks again for the copies of files that had too few; `missing` counts those that still have.
Task<Status> recount_copies(Destination& destination, Ledger& ledger, std::uint64_t& missing);

} // namespace cairn::migrate
