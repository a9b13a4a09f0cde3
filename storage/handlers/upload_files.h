// The command by which a migrator stores many small files at once.
#pragma once

#include "storage/handlers/context.h"

namespace cairn::storage {

void add_upload_files_handlers(HandlerTable<Context>& table);

} // namespace cairn::storage
