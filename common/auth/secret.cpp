// Reading and replacing the cluster's secret.
#include "common/auth/secret.h"

#include "common/base/text.h"

#include <openssl/crypto.h>

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cairn::auth {

namespace {

constexpr std::size_t kFileMax = 4096;
constexpr std::size_t kSecretBytes = 32;
// Others may not read it; only the owner may write it. Its group may read: root:cairn 0640.
constexpr mode_t kForbidden = S_IRWXO | S_IWGRP | S_IXGRP;

class Descriptor {
public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

private:
  int fd_;
};

} // namespace

Secret::~Secret() {
  OPENSSL_cleanse(text_.data(), text_.size());
}

Result<SecretList> parse_secrets(std::string_view text) {
  SecretList secrets;
  for (const std::string_view line : split(text, '\n')) {
    const std::string_view secret = trim(line);
    if (secret.empty() || secret.front() == '#') continue;
    if (secret.size() < kSecretMin)
      return Error{Errc::invalid_argument,
                   "a secret is shorter than " + std::to_string(kSecretMin) + " characters"};
    secrets.emplace_back(secret);
  }
  if (secrets.empty()) return Error{Errc::invalid_argument, "no secret is in it"};
  if (secrets.size() > kLiveSecretsMax)
    return Error{Errc::invalid_argument, "more than two secrets are in it"};
  return secrets;
}

Result<Secret> read_private_file(const std::filesystem::path& file) {
  const Descriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return errno_error("open " + file.string(), errno);
  // Of the open file: its name may mean another one by now.
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return errno_error("stat " + file.string(), errno);
  if (!S_ISREG(info.st_mode))
    return Error{Errc::invalid_argument, file.string() + " is not a regular file"};
  if ((info.st_mode & kForbidden) != 0)
    return Error{Errc::denied, file.string() + " can be read or changed by others: chmod 0600"};
  std::array<char, kFileMax + 1> buffer{};
  const ssize_t size = ::read(fd.get(), buffer.data(), buffer.size());
  if (size < 0) return errno_error("read " + file.string(), errno);
  Secret content(std::string_view(buffer.data(), static_cast<std::size_t>(size)));
  OPENSSL_cleanse(buffer.data(), buffer.size());
  if (content.text().size() > kFileMax)
    return Error{Errc::invalid_argument, file.string() + " is longer than 4 KiB"};
  return content;
}

Result<SecretList> read_secret_file(const std::filesystem::path& file) {
  CAIRN_TRY(content, read_private_file(file));
  auto secrets = parse_secrets(content.text());
  if (!secrets) secrets.error().detail = file.string() + ": " + secrets.error().detail;
  return secrets;
}

std::string make_secret() {
  std::array<std::byte, kSecretBytes> bytes{};
  random_bytes(bytes);
  return hex_encode(bytes);
}

ClusterSecret::ClusterSecret(SecretList secrets)
    : secrets_(std::make_shared<SecretList>(std::move(secrets))) {}

Result<std::shared_ptr<ClusterSecret>> ClusterSecret::open(const std::filesystem::path& file) {
  auto made = std::make_shared<ClusterSecret>();
  if (file.empty()) return made;
  made->file_ = file;
  CAIRN_RETURN_IF_ERROR(made->reload());
  return made;
}

Status ClusterSecret::reload() {
  if (file_.empty()) return {};
  CAIRN_TRY(read, read_secret_file(file_));
  auto next = std::make_shared<const SecretList>(std::move(read));
  const std::lock_guard lock(mutex_);
  secrets_ = std::move(next);
  return {};
}

std::shared_ptr<const SecretList> ClusterSecret::get() const {
  const std::lock_guard lock(mutex_);
  return secrets_;
}

} // namespace cairn::auth
