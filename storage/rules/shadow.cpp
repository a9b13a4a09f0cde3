// Comparisons on the background thread.
#include "storage/rules/shadow.h"

#include "common/base/crc32.h"
#include "common/base/text.h"

#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <ctime>
#include <utility>

namespace cairn::storage {

namespace {

constexpr std::size_t kLastMax = 100;
constexpr std::size_t kPiece = 256 * 1024;

std::string number(const std::optional<std::uint64_t>& value) {
  return value ? std::to_string(*value) : "unknown";
}

void add(std::string& text, std::string_view what, const std::string& before,
         const std::string& now) {
  if (!text.empty()) text += ", ";
  text.append(what).append(" ").append(before).append(" -> ").append(now);
}

} // namespace

ShadowAnswer answer_of(const HttpReply& reply) {
  ShadowAnswer answer;
  answer.status = reply.status;
  std::uint64_t length = reply.stream_length;
  for (const HttpBodyPart& part : reply.body) length += part.text.size() + part.length;
  answer.length = length;
  for (const auto& [name, value] : reply.headers) {
    if (equals_ignoring_case(name, "Content-Type")) answer.type = value;
    if (equals_ignoring_case(name, "Last-Modified")) answer.last_modified = value;
    if (equals_ignoring_case(name, "Cache-Control")) answer.cache_control = value;
    // The tag of a file that never changes is its checksum, 8 hex digits, and its size.
    if (equals_ignoring_case(name, "ETag") && value.size() > 10 && value[0] == '"' &&
        value[9] == '-' && std::count(value.begin(), value.end(), '-') == 1) {
      if (const auto bytes = hex_decode(std::string_view(value).substr(1, 8))) {
        std::uint32_t sum = 0;
        for (const std::byte byte : *bytes) sum = sum << 8 | std::to_integer<std::uint32_t>(byte);
        answer.crc32 = sum;
      }
    }
  }
  return answer;
}

std::string differences(const ShadowAnswer& old_answer, const ShadowAnswer& ours) {
  std::string text;
  if (old_answer.status != ours.status)
    add(text, "status", std::to_string(old_answer.status), std::to_string(ours.status));
  if (old_answer.status != 200 || ours.status != 200) return text;
  if (old_answer.length != ours.length)
    add(text, "length", number(old_answer.length), number(ours.length));
  if (old_answer.crc32 && ours.crc32 && *old_answer.crc32 != *ours.crc32)
    add(text, "content", "crc32 " + std::to_string(*old_answer.crc32), std::to_string(*ours.crc32));
  if (old_answer.type != ours.type) add(text, "type", old_answer.type, ours.type);
  if (old_answer.last_modified != ours.last_modified)
    add(text, "last-modified", old_answer.last_modified, ours.last_modified);
  if (old_answer.cache_control != ours.cache_control)
    add(text, "cache-control", old_answer.cache_control, ours.cache_control);
  return text;
}

void Shadow::compare([[maybe_unused]] std::shared_ptr<const RulesVersion> keep_alive,
                     const rules::RuleSet& set, std::string host, std::string target,
                     ShadowAnswer ours) {
  {
    const std::lock_guard lock(mutex_);
    State& state = sets_[set.name];
    if (state.running >= set.origins[set.shadow->origin].inflight) {
      ++state.totals.dropped;
      return;
    }
    ++state.running;
  }
  spawn(context_.get_executor(),
        run(std::move(keep_alive), set, std::move(host), std::move(target), std::move(ours)),
        "storage.shadow");
}

Task<void> Shadow::run([[maybe_unused]] std::shared_ptr<const RulesVersion> keep_alive,
                       const rules::RuleSet& set, std::string host, std::string target,
                       ShadowAnswer ours) {
  const rules::Origin& origin = set.origins[set.shadow->origin];
  std::optional<ShadowAnswer> old_answer;
  const auto address = parse_host_port(origin.servers.front());
  HttpAsk ask;
  ask.target = target;
  ask.host = origin.host.empty() ? host : origin.host;
  Endpoint endpoint;
  if (address) {
    endpoint.host = address->host;
    endpoint.port = address->port;
  }
  auto call = co_await HttpCall::send(std::move(endpoint), std::move(ask), origin.timeout);
  if (call) {
    old_answer.emplace();
    old_answer->status = call->status();
    old_answer->type = call->header("Content-Type");
    old_answer->last_modified = call->header("Last-Modified");
    old_answer->cache_control = call->header("Cache-Control");
    wire::Bytes piece(kPiece);
    std::uint64_t length = 0;
    std::uint32_t sum = 0;
    for (;;) {
      const auto count = co_await call->read_some(piece);
      if (!count) {
        old_answer.reset();
        break;
      }
      if (*count == 0) break;
      sum = crc32(sum, wire::View(piece).first(*count));
      length += *count;
    }
    if (old_answer) {
      old_answer->length = length;
      old_answer->crc32 = sum;
    }
  }
  const std::string text = old_answer ? differences(*old_answer, ours) : std::string();
  const std::lock_guard lock(mutex_);
  State& state = sets_[set.name];
  --state.running;
  if (!old_answer) {
    ++state.totals.failed;
    co_return;
  }
  ++state.totals.compared;
  if (text.empty()) {
    ++state.totals.equal;
    co_return;
  }
  ++state.totals.differing;
  state.last.push_back({"http://" + host + target, text, std::time(nullptr)});
  if (state.last.size() > kLastMax) state.last.pop_front();
}

std::map<std::string, Shadow::Totals> Shadow::totals() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, Totals> all;
  for (const auto& [name, state] : sets_) all.emplace(name, state.totals);
  return all;
}

std::vector<Shadow::Difference> Shadow::differences_of(const std::string& set) const {
  const std::lock_guard lock(mutex_);
  const auto found = sets_.find(set);
  if (found == sets_.end()) return {};
  return {found->second.last.begin(), found->second.last.end()};
}

} // namespace cairn::storage
