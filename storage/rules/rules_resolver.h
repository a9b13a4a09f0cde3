// URLs of hosts that have a rule set: the rules decide, this serves. Order of resolution: the pages
// of this node, then rules, then file IDs, then exports.
#pragma once

#include "common/base/metrics_text.h"
#include "common/config/storage_config.h"
#include "common/net/mime_types.h"
#include "storage/http/file_source.h"
#include "storage/http/resolver.h"
#include "storage/peers/peers.h"
#include "storage/rules/live_rules.h"
#include "storage/rules/origins.h"
#include "storage/rules/shadow.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace cairn::storage {

// What the resolver works with; everything outlives it.
struct RulesParts {
  const config::StorageConfig& config;
  const MimeTypes& types;
  FileSource& files;
  const Peers& peers;
  LiveRules& live;
  Origins& origins;
  Shadow& shadow;
  // The answer to a URL that rules leave alone: file IDs, then exports.
  std::function<Task<HttpReply>(ResolvedUrl)> without_rules;
  // The answer of the exports to "/EXPORT/path": status 404 when there is no such file.
  std::function<Task<HttpReply>(ResolvedUrl)> exports;
};

class RulesResolver final : public Resolver {
public:
  explicit RulesResolver(RulesParts parts) : parts_(std::move(parts)) {}

  bool claims(const ResolvedUrl& url) const override;
  Task<HttpReply> answer(ResolvedUrl url) override;

private:
  using Found = std::optional<HttpReply>; // nullopt: the object is not there

  Task<Found> serve(const ResolvedUrl& url, const rules::Decision& decision,
                    const rules::ObjectName& object, std::string host,
                    std::optional<std::int64_t> last_modified);
  Task<Found> serve_id(const ResolvedUrl& url, const rules::Decision& decision, std::string id,
                       std::optional<std::int64_t> last_modified);
  // "group1" and "M00/…" of an object's ID; empty strings when it is none.
  std::pair<std::string, std::string> group_and_name(const std::string& id) const;
  Task<Found> serve_other_group(const ResolvedUrl& url, std::string group, std::string id);
  // An answer of an old server with the headers of this rule, and those that every file has.
  HttpReply dressed(HttpReply passed, const rules::Decision& decision,
                    const std::string& cache_control) const;
  // nullopt: go on with the next location.
  Task<std::optional<HttpReply>> missed(const ResolvedUrl& url,
                                        std::shared_ptr<const RulesVersion> version,
                                        const rules::Decision& decision, std::string host);
  // The answer with an object of which the first bytes have come.
  HttpReply reply_while_storing(const ResolvedUrl& url, const rules::Decision& decision,
                                Origins::Pulled pulled, std::string_view cache_control) const;
  Found refuse_token(const ResolvedUrl& url, const rules::Decision& decision, std::string_view id,
                     std::string& cache_control) const;

  RulesParts parts_;
};

// The JSON of the admin verb "rules.status": version, counters by rule and origin, shadow results.
std::string rules_status(const LiveRules& live, const Origins& origins, const Shadow& shadow);
// The families cairn_rules_*, cairn_origin_* and cairn_shadow_*.
void write_rules_metrics(const LiveRules& live, const Origins& origins, const Shadow& shadow,
                         MetricsText& out);

} // namespace cairn::storage
