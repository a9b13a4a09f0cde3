// Tells the trackers what caches in front have to forget (common/wire/cache_purge.h). On its own:
// what is told waits for nobody, what happens at about the same time is told together, and what no
// tracker takes for a while is lost and logged.
#pragma once

#include "storage/handlers/context.h"

namespace cairn::storage {

// A stored file of this group was deleted. On an I/O thread, which `executor` is of.
void tell_caches(Context& context, const asio::any_io_executor& executor, const RemoteName& name);

} // namespace cairn::storage
