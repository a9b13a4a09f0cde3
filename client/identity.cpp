// Reads the secret or key of a client.
#include "client/identity.h"

#include "common/base/text.h"
#include "common/net/tls.h"

namespace cairn {

Result<auth::AccessKey> read_access_key_file(const std::filesystem::path& file) {
  CAIRN_TRY(content, auth::read_private_file(file));
  auth::AccessKey key;
  for (const std::string_view raw : split(content.text(), '\n')) {
    const std::string_view line = trim(raw);
    if (line.empty() || line.front() == '#') continue;
    const std::size_t space = line.find(' ');
    if (space != std::string_view::npos && key.id.empty()) {
      key.id = line.substr(0, space);
      key.secret = trim(line.substr(space));
    } else {
      key.secret.clear();
    }
  }
  if (key.secret.size() < auth::kSecretMin)
    return Error{Errc::invalid_argument, file.string() + " is not one line 'ID SECRET'"};
  return key;
}

Identity read_identity(const ClientOptions& options) {
  Identity identity;
  wire::Hello admin;
  admin.role = wire::Role::admin;
  if (!options.access_key_file.empty()) {
    auto key = read_access_key_file(options.access_key_file);
    if (!key) {
      identity.failure = std::move(key).error();
      return identity;
    }
    auth::SecretList secrets;
    secrets.emplace_back(key->secret);
    identity.client_credentials = std::make_shared<auth::ClusterSecret>(std::move(secrets));
    wire::Hello client;
    client.key_id = key->id;
    identity.client_hello = client;
    if (options.cluster_secret_file.empty()) {
      admin.key_id = key->id;
      identity.admin_credentials = identity.client_credentials;
    }
  }
  identity.admin_hello = std::move(admin);
  if (!options.cluster_secret_file.empty()) {
    auto secret = auth::ClusterSecret::open(options.cluster_secret_file);
    if (secret)
      identity.admin_credentials = *std::move(secret);
    else
      identity.failure = std::move(secret).error();
  }
  if (options.tls) {
    TlsClientFiles files;
    files.ca = options.tls_ca_file;
    files.certificate = options.tls_certificate_file;
    files.key = options.tls_key_file;
    files.check_names = options.tls_check_names;
    auto tls = TlsClient::open(std::move(files));
    if (!tls) {
      identity.failure = std::move(tls).error();
      return identity;
    }
    identity.client_credentials.tls = *tls;
    identity.admin_credentials.tls = *tls;
  }
  return identity;
}

} // namespace cairn
