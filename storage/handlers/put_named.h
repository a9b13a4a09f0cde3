// The command by which a migrator stores a file under the name it has elsewhere.
#pragma once

#include "storage/handlers/context.h"

namespace cairn::storage {

void add_put_named_handlers(HandlerTable<Context>& table);

} // namespace cairn::storage
