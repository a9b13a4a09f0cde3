// The tracker as a whole: opens the store (or names the tracker that has it), listens, serves,
// stops.
#pragma once

#include "common/base/result.h"
#include "common/config/tracker_config.h"

namespace cairn::tracker {

// Serves until wait_for_stop() returns. Errors: one line for the operator (data in use, port taken,
// damaged store).
Status serve_tracker(config::Loaded<config::TrackerConfig> loaded);

} // namespace cairn::tracker
