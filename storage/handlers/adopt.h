// The command by which a migrator has this node take over files of its own machine.
#pragma once

#include "storage/handlers/context.h"

namespace cairn::storage {

void add_adopt_handlers(HandlerTable<Context>& table);

} // namespace cairn::storage
