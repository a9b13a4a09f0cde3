// OpenSSL contexts and sessions.
#include "common/net/tls.h"

#include "common/auth/secret.h"

#include <climits>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <sys/socket.h>
#include <utility>

namespace cairn {

namespace {

constexpr const char* kCiphers = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr const char* kCiphers13 =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr std::string_view kChannelLabel = "EXPORTER-cairn-handshake-1";
constexpr std::size_t kChannelSize = 32;
constexpr std::string_view kSessionContext = "cairn";

// --- the socket ---------------------------------------------------------------------------------

// OpenSSL's own socket BIO raises SIGPIPE, which a library must not, and knows no MSG_MORE.
struct SocketEnd {
  int fd = -1;
  bool more = false;
};

SocketEnd& end_of(BIO* bio) {
  return *static_cast<SocketEnd*>(BIO_get_data(bio));
}

bool is_retry(ssize_t count) {
  return count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

int bio_write(BIO* bio, const char* data, int size) {
  const SocketEnd& end = end_of(bio);
  const int flags = MSG_NOSIGNAL | (end.more ? MSG_MORE : 0);
  const ssize_t count = ::send(end.fd, data, static_cast<std::size_t>(size), flags);
  BIO_clear_retry_flags(bio);
  if (is_retry(count)) BIO_set_retry_write(bio);
  return static_cast<int>(count);
}

int bio_read(BIO* bio, char* data, int size) {
  const ssize_t count = ::recv(end_of(bio).fd, data, static_cast<std::size_t>(size), 0);
  BIO_clear_retry_flags(bio);
  if (is_retry(count)) BIO_set_retry_read(bio);
  return static_cast<int>(count);
}

long bio_ctrl(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

int bio_destroy(BIO* bio) {
  delete static_cast<SocketEnd*>(BIO_get_data(bio));
  BIO_set_data(bio, nullptr);
  return 1;
}

const BIO_METHOD* socket_method() {
  static const BIO_METHOD* method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "cairn socket");
    CAIRN_ASSERT(made != nullptr);
    BIO_meth_set_write(made, &bio_write);
    BIO_meth_set_read(made, &bio_read);
    BIO_meth_set_ctrl(made, &bio_ctrl);
    BIO_meth_set_destroy(made, &bio_destroy);
    return made;
  }();
  return method;
}

// --- errors and certificates --------------------------------------------------------------------

// The first error that OpenSSL has noted, in its words.
std::string reason() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* text = code == 0 ? nullptr : ERR_reason_error_string(code);
  return text == nullptr ? "unknown error" : text;
}

Error bad_file(const std::filesystem::path& file, std::string why) {
  return Error{Errc::invalid_argument, file.string() + ": " + std::move(why)};
}

std::int64_t unix_time(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return 0;
  return ::timegm(&parts);
}

std::string day(std::int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  std::array<char, 32> text{};
  ::gmtime_r(&time, &parts);
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &parts);
  return {text.data(), size};
}

using Context = std::shared_ptr<SSL_CTX>;

Context make_context(const SSL_METHOD* method) {
  Context context(SSL_CTX_new(method), &SSL_CTX_free);
  CAIRN_ASSERT(context != nullptr);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  const bool ciphers = SSL_CTX_set_cipher_list(context.get(), kCiphers) == 1 &&
                       SSL_CTX_set_ciphersuites(context.get(), kCiphers13) == 1;
  CAIRN_ASSERT(ciphers);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                         SSL_OP_CIPHER_SERVER_PREFERENCE |
                                         SSL_OP_PRIORITIZE_CHACHA);
  // An idle connection holds no buffers; a write that the socket took in part goes on later, from
  // wherever the bytes are then.
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return context;
}

// Loads a certificate with its chain and its key. Answers when the certificate expires.
Result<std::int64_t> load_identity(SSL_CTX* context, const std::filesystem::path& certificate,
                                   const std::filesystem::path& key) {
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1)
    return bad_file(certificate, "no certificate can be read: " + reason());
  const X509* leaf = SSL_CTX_get0_certificate(context);
  const std::int64_t now = std::time(nullptr);
  const std::int64_t begins = unix_time(X509_get0_notBefore(leaf));
  const std::int64_t ends = unix_time(X509_get0_notAfter(leaf));
  if (now >= ends) return bad_file(certificate, "the certificate expired on " + day(ends));
  if (now < begins)
    return bad_file(certificate, "the certificate does not hold before " + day(begins));

  CAIRN_TRY(text, auth::read_private_file(key));
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(
      BIO_new_mem_buf(text.text().data(), static_cast<int>(text.text().size())), &BIO_free);
  // Never asks for a passphrase: a daemon has nobody to ask.
  const auto no_passphrase = [](char*, int, int, void*) { return -1; };
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> parsed(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr), &EVP_PKEY_free);
  if (!parsed) return bad_file(key, "no private key can be read: " + reason());
  if (SSL_CTX_use_PrivateKey(context, parsed.get()) != 1 || SSL_CTX_check_private_key(context) != 1)
    return bad_file(key, "is not the key of " + certificate.string() + ": " + reason());
  return ends;
}

// Trusts the certificates of a file: authorities, and those that are no authorities for themselves.
Status load_trust(SSL_CTX* context, const std::filesystem::path& file) {
  ERR_clear_error();
  if (SSL_CTX_load_verify_locations(context, file.c_str(), nullptr) != 1)
    return bad_file(file, "no certificates can be read: " + reason());
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
  return {};
}

int choose_http(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                unsigned in_size, void*) {
  static constexpr std::array<unsigned char, 9> kHttp{8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  const int found = SSL_select_next_proto(const_cast<unsigned char**>(out), out_size, kHttp.data(),
                                          kHttp.size(), in, in_size);
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

bool is_address(const std::string& host) {
  in6_addr parsed{};
  return ::inet_pton(AF_INET, host.c_str(), &parsed) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), &parsed) == 1;
}

int int_size(std::size_t size) {
  return static_cast<int>(std::min<std::size_t>(size, INT_MAX));
}

} // namespace

// --- a session ----------------------------------------------------------------------------------

TlsSession::TlsSession(std::shared_ptr<SSL_CTX> context, int fd, bool is_server)
    : context_(std::move(context)), ssl_(SSL_new(context_.get()), &SSL_free) {
  CAIRN_ASSERT(ssl_ != nullptr);
  BIO* bio = BIO_new(socket_method());
  CAIRN_ASSERT(bio != nullptr);
  BIO_set_data(bio, new SocketEnd{fd});
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio); // takes it over
  if (is_server)
    SSL_set_accept_state(ssl_.get());
  else
    SSL_set_connect_state(ssl_.get());
}

TlsSession::~TlsSession() = default;

void TlsSession::expect_peer(const std::string& host, bool check_name) {
  const bool numeric = is_address(host);
  if (!numeric) SSL_set_tlsext_host_name(ssl_.get(), host.c_str());
  if (!check_name) return;
  X509_VERIFY_PARAM* param = SSL_get0_param(ssl_.get());
  X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  const int set = numeric ? X509_VERIFY_PARAM_set1_ip_asc(param, host.c_str())
                          : X509_VERIFY_PARAM_set1_host(param, host.c_str(), host.size());
  CAIRN_ASSERT(set == 1);
}

// What the result of an SSL call means.
Result<TlsNeed> TlsSession::outcome(int result, bool in_handshake) {
  const int error = SSL_get_error(ssl_.get(), result);
  switch (error) {
    case SSL_ERROR_WANT_READ:
      return TlsNeed::readable;
    case SSL_ERROR_WANT_WRITE:
      return TlsNeed::writable;
    case SSL_ERROR_ZERO_RETURN:
      return Error{Errc::closed, "connection closed"};
    case SSL_ERROR_SYSCALL:
      ERR_clear_error();
      return Error{Errc::closed, in_handshake ? "closed during the TLS handshake" : "closed"};
    default:
      break;
  }
  const long verified = SSL_get_verify_result(ssl_.get());
  if (in_handshake && verified != X509_V_OK) {
    ERR_clear_error();
    return Error{Errc::denied, std::string("the certificate is not trusted: ") +
                                   X509_verify_cert_error_string(verified)};
  }
  return Error{in_handshake ? Errc::denied : Errc::closed, "TLS: " + reason()};
}

Result<TlsNeed> TlsSession::handshake() {
  ERR_clear_error();
  const int done = SSL_do_handshake(ssl_.get());
  if (done == 1) return TlsNeed::nothing;
  return outcome(done, true);
}

Result<TlsSession::Moved> TlsSession::read(std::span<std::byte> out) {
  ERR_clear_error();
  const int count = SSL_read(ssl_.get(), out.data(), int_size(out.size()));
  if (count > 0) return Moved{static_cast<std::size_t>(count)};
  CAIRN_TRY(need, outcome(count, false));
  return Moved{0, need};
}

Result<TlsSession::Moved> TlsSession::peek() {
  ERR_clear_error();
  std::byte probe{};
  const int count = SSL_peek(ssl_.get(), &probe, 1);
  if (count > 0) return Moved{1};
  CAIRN_TRY(need, outcome(count, false));
  return Moved{0, need};
}

Result<TlsSession::Moved> TlsSession::write(wire::View bytes, bool more) {
  ERR_clear_error();
  // One call writes one record: the next follows at once.
  end_of(SSL_get_wbio(ssl_.get())).more = more || bytes.size() > SSL3_RT_MAX_PLAIN_LENGTH;
  const int count = SSL_write(ssl_.get(), bytes.data(), int_size(bytes.size()));
  if (count > 0) return Moved{static_cast<std::size_t>(count)};
  CAIRN_TRY(need, outcome(count, false));
  return Moved{0, need};
}

void TlsSession::say_goodbye() {
  ERR_clear_error();
  end_of(SSL_get_wbio(ssl_.get())).more = false;
  if (SSL_is_init_finished(ssl_.get()) == 1) SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

wire::Bytes TlsSession::channel() const {
  wire::Bytes bytes(kChannelSize);
  const int made = SSL_export_keying_material(
      ssl_.get(), reinterpret_cast<unsigned char*>(bytes.data()), bytes.size(),
      kChannelLabel.data(), kChannelLabel.size(), nullptr, 0, 0);
  CAIRN_ASSERT(made == 1);
  return bytes;
}

// --- the two sides ------------------------------------------------------------------------------

Result<std::shared_ptr<TlsServer>> TlsServer::open(TlsServerFiles files, bool http) {
  std::shared_ptr<TlsServer> server(new TlsServer(std::move(files), http));
  CAIRN_RETURN_IF_ERROR(server->reload());
  return server;
}

Status TlsServer::reload() {
  Context context = make_context(TLS_server_method());
  CAIRN_TRY(expires, load_identity(context.get(), files_.certificate, files_.key));
  if (!files_.client_ca.empty()) {
    CAIRN_RETURN_IF_ERROR(load_trust(context.get(), files_.client_ca));
    SSL_CTX_set_client_CA_list(context.get(), SSL_load_client_CA_file(files_.client_ca.c_str()));
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  // Resumption is by tickets alone; their keys go with the context.
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_session_id_context(context.get(),
                                 reinterpret_cast<const unsigned char*>(kSessionContext.data()),
                                 static_cast<unsigned>(kSessionContext.size()));
  SSL_CTX_set_num_tickets(context.get(), 1);
  if (http_) SSL_CTX_set_alpn_select_cb(context.get(), &choose_http, nullptr);
  const std::lock_guard lock(mutex_);
  context_ = std::move(context);
  expires_ = expires;
  return {};
}

std::unique_ptr<TlsSession> TlsServer::accept(int fd) const {
  std::shared_ptr<SSL_CTX> context;
  {
    const std::lock_guard lock(mutex_);
    context = context_;
  }
  return std::make_unique<TlsSession>(std::move(context), fd, /*is_server=*/true);
}

std::int64_t TlsServer::expires() const {
  const std::lock_guard lock(mutex_);
  return expires_;
}

Result<std::shared_ptr<TlsClient>> TlsClient::open(TlsClientFiles files) {
  std::shared_ptr<TlsClient> client(new TlsClient(std::move(files)));
  CAIRN_RETURN_IF_ERROR(client->reload());
  return client;
}

Status TlsClient::reload() {
  Context context = make_context(TLS_client_method());
  CAIRN_RETURN_IF_ERROR(load_trust(context.get(), files_.ca));
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (!files_.certificate.empty())
    CAIRN_RETURN_IF_ERROR(load_identity(context.get(), files_.certificate, files_.key));
  const std::lock_guard lock(mutex_);
  context_ = std::move(context);
  return {};
}

std::unique_ptr<TlsSession> TlsClient::connect(int fd, const std::string& host) const {
  std::shared_ptr<SSL_CTX> context;
  {
    const std::lock_guard lock(mutex_);
    context = context_;
  }
  auto session = std::make_unique<TlsSession>(std::move(context), fd, /*is_server=*/false);
  session->expect_peer(host, files_.check_names);
  return session;
}

} // namespace cairn
