// The cluster's secret: what nodes and administrators prove to each other. A file holds one, or two
// while it is being replaced.
#pragma once

#include "common/base/result.h"
#include "common/wire/bytes.h"

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::auth {

// Bytes that must not be shown; overwritten when they go.
class Secret {
public:
  explicit Secret(std::string_view text) : text_(text) {}
  Secret(const Secret&) = default;
  Secret(Secret&&) = default;
  Secret& operator=(const Secret&) = delete;
  Secret& operator=(Secret&&) = delete;
  ~Secret();

  wire::View view() const { return wire::as_view(text_); }
  std::string_view text() const { return text_; }

private:
  std::string text_;
};

// The first is the one we prove with; every one is accepted from others.
using SecretList = std::vector<Secret>;

// Shortest secret that is taken: 32 characters. `cairn init` writes 64 hexadecimal digits.
inline constexpr std::size_t kSecretMin = 32;
inline constexpr std::size_t kLiveSecretsMax = 2;

// The secrets in the text of a secret file: a line each, without blank and # lines. Errors:
// invalid_argument (none, too many, too short); the message never shows one.
Result<SecretList> parse_secrets(std::string_view text);

// The content of a small file that holds a secret. Errors, one line that names the file: not_found;
// denied when others than its owner and group may read it, or others than its owner may write it;
// invalid_argument (longer than 4 KiB, or no regular file).
Result<Secret> read_private_file(const std::filesystem::path& file);
// Reads a secret file. Errors: as above, and those of parse_secrets().
Result<SecretList> read_secret_file(const std::filesystem::path& file);

// 64 hexadecimal digits from the kernel's generator.
std::string make_secret();

// The secrets in use; reload() exchanges them while connections go on. Any thread.
class ClusterSecret {
public:
  // Without a file: there is no secret, and only this machine is trusted.
  ClusterSecret() = default;
  explicit ClusterSecret(SecretList secrets);

  // Reads `file`; an empty path means no secret. Errors: those of read_secret_file().
  static Result<std::shared_ptr<ClusterSecret>> open(const std::filesystem::path& file);

  // Reads the file again. On an error the former secrets stay.
  Status reload();

  // Never null; an empty list when there is no secret.
  std::shared_ptr<const SecretList> get() const;
  bool is_set() const { return !get()->empty(); }

private:
  std::filesystem::path file_;
  mutable std::mutex mutex_; // guards secrets_
  std::shared_ptr<const SecretList> secrets_ = std::make_shared<SecretList>();
};

} // namespace cairn::auth
