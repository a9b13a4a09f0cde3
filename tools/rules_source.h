// Rules from files and from a cluster, and requests to a book of them.
#pragma once

#include "common/rules/book.h"
#include "common/wire/rules.h"
#include "tools/context.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cairn::tools {

// Files and what they include; included names are relative to the first file's directory. Errors:
// not_found and others of reading.
Result<rules::Source> read_rules(const std::vector<std::string>& files);

// Sends a native request to the trackers in turn until one answers.
Result<wire::Bytes> ask_tracker(Context& context, wire::NativeCommand command, wire::Bytes body);

// The rules of a version (0: in force). Errors: not_found (there are none).
Result<wire::RulesReply> fetch_rules(Context& context, std::uint64_t version);
rules::Source source_of(const wire::RulesReply& reply);

// A URL as a request, with the texts it points to. `base`: the host of a URL without one.
class AskedUrl {
public:
  using Headers = std::vector<std::pair<std::string, std::string>>;

  // Errors: invalid_argument (no URL, a bad escape, an encoded '/' or NUL).
  static Result<std::unique_ptr<AskedUrl>> make(std::string_view url, const std::string& base,
                                                Headers headers);
  const rules::Request& request() const { return request_; }
  const std::string& target() const { return target_; }
  const std::string& host() const { return host_; }

private:
  AskedUrl() = default;

  std::string host_;
  std::string target_;
  std::string path_;
  Headers headers_;
  rules::Request request_;
};

} // namespace cairn::tools
