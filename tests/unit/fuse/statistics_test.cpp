#include "fuse/statistics.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace cairn::fuse {
namespace {

using namespace std::chrono_literals;

TEST(MountStatistics, OperationsAreToldByName) {
  Statistics statistics;
  statistics.answered("lookup", 1500us, 0);
  statistics.answered("lookup", 500us, ENOENT);
  statistics.answered("write", 2s, EIO);
  Statistics::Now now;
  now.connected = true;
  now.unstored_bytes = 7;
  const std::string text = statistics.text(now);
  for (const char* line : {
           "cairn_mount_operations_total{op=\"lookup\"} 2\n",
           "cairn_mount_operations_failed_total{op=\"lookup\"} 1\n",
           "cairn_mount_io_errors_total{op=\"lookup\"} 0\n",
           "cairn_mount_operation_seconds_total{op=\"lookup\"} 0.002\n",
           "cairn_mount_operation_seconds_max{op=\"lookup\"} 0.0015\n",
           "cairn_mount_io_errors_total{op=\"write\"} 1\n",
           "cairn_mount_connected 1\n",
           "cairn_mount_unstored_bytes 7\n",
       })
    EXPECT_NE(text.find(line), std::string::npos) << line << "in\n" << text;
}

} // namespace
} // namespace cairn::fuse
