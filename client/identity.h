// What a client proves to daemons: the cluster's secret, an access key, or nothing.
#pragma once

#include "cairn/types.h"
#include "common/auth/access_keys.h"
#include "common/net/frame_client.h"

#include <optional>

namespace cairn {

// Read once, when the client is made.
struct Identity {
  // Said on connections of the FastDFS protocol: with an access key only.
  std::optional<wire::Hello> client_hello;
  Credentials client_credentials;
  // Said on native connections.
  std::optional<wire::Hello> admin_hello;
  Credentials admin_credentials;
  // A file of `options` that cannot be used.
  std::optional<Error> failure;
};

// Reads the files that `options` name. Blocks.
Identity read_identity(const ClientOptions& options);

// An access key file: "ID SECRET" in one line; # begins a comment line. Errors: those of
// auth::read_private_file(); invalid_argument. Only id and secret of the answer are set.
Result<auth::AccessKey> read_access_key_file(const std::filesystem::path& file);

} // namespace cairn
