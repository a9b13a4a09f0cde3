// A storage node: its parts, wired together.
#pragma once

#include "common/base/result.h"
#include "common/config/storage_config.h"

#include <filesystem>
#include <memory>
#include <string>

namespace cairn::storage {

class StorageServer {
public:
  // Claims the data directory and binds the ports before anything else is touched, then opens log,
  // store and catalogue. Nothing is served yet. Blocks. Errors: one line for the operator.
  static Result<std::unique_ptr<StorageServer>> open(config::StorageConfig config);
  ~StorageServer();

  // Begins to serve and to report to the trackers.
  Status start();
  // Reads the cluster's secret and the certificates again; connections go on. Errors: those of
  // reading them, and the former ones stay.
  Status reload_secrets();
  // Has the host names in address lists looked up again, soon.
  void refresh_names();
  // Stops taking requests, lets those that run finish (at most ten seconds), stops sync and makes
  // the log durable. Blocks.
  void stop();

private:
  struct Parts;
  explicit StorageServer(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

} // namespace cairn::storage
