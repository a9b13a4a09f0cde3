// Checksums that an upload announces in its headers (Content-MD5, Digest, Content-Digest), computed
// while the content streams by.
#pragma once

#include "common/base/result.h"
#include "common/net/http_server.h"
#include "common/wire/bytes.h"

#include <memory>
#include <string>
#include <vector>

namespace cairn::storage {

class ContentDigests {
public:
  // What the headers of `request` announce, and what Want-Digest asks for. Errors: invalid_argument
  // (not base64 of the right length). Other algorithms than MD5 and SHA-256 are not looked at.
  static Result<ContentDigests> of(const HttpRequest& request);

  ContentDigests();
  ContentDigests(ContentDigests&&) noexcept;
  ContentDigests& operator=(ContentDigests&&) noexcept;
  ~ContentDigests();

  bool empty() const { return sums_.empty(); }
  void add(wire::View bytes);
  // After the last byte. Errors: corrupt (one differs).
  Status check();
  // ("md5", hex) and ("sha256", hex) of those that were computed; after check().
  std::vector<std::pair<std::string, std::string>> values() const;

private:
  struct Sum;
  Sum& sum(const char* name);

  std::vector<std::unique_ptr<Sum>> sums_;
};

} // namespace cairn::storage
