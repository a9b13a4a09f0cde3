// The log of a running FastDFS as the journal that is followed.
#pragma once

#include "migrate/fastdfs_node.h"
#include "migrate/journal.h"

#include <memory>

namespace cairn::migrate {

// Tells that something has changed whenever the log has grown; what it is, the scanner reads there.
std::unique_ptr<Journal> follow_fastdfs(FastdfsNode node);

} // namespace cairn::migrate
