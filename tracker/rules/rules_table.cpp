// Rows of rules and aliases.
#include "tracker/rules/rules_table.h"

#include "common/rules/book.h"
#include "common/rules/uri.h"

#include <algorithm>
#include <utility>

namespace cairn::tracker {

namespace {

constexpr std::uint64_t kVersionsKept = 10;
// Rows of one page and the bytes they may have together.
constexpr std::uint32_t kPageRowsMax = 10'000;
constexpr std::size_t kPageBytesMax = 8 * 1024 * 1024;

// The value of a row of 'Y'; lenient decoding lets later versions add to it.
struct StoredAlias {
  std::string target;
  std::uint64_t mtime = 0;

  static constexpr auto fields() {
    using M = StoredAlias;
    return std::tuple{wire::string(&M::target), wire::integer(&M::mtime)};
  }
};

std::string rules_key(std::uint64_t version) {
  wire::Bytes number;
  wire::Writer(number).integer(version, 8);
  return "W" + std::string(wire::as_text(number));
}

std::string alias_key(std::string_view host, std::string_view path) {
  std::string key = "Y";
  key.append(host).push_back('\0');
  key.append(path);
  return key;
}

Result<wire::AliasRow> read_alias(const MetaStore& store, std::string_view host,
                                  std::string_view path) {
  wire::AliasRow row;
  row.host = host;
  row.path = path;
  auto value = store.get(alias_key(host, path));
  if (!value) return std::move(value).error();
  CAIRN_TRY(stored, wire::decode_lenient<StoredAlias>(wire::as_view(*value)));
  row.target = std::move(stored.target);
  row.mtime = stored.mtime;
  return row;
}

// That of the host, else that of any host; without a target when there is neither.
Result<wire::AliasRow> look_up(const MetaStore& store, const wire::AliasRow& name) {
  for (const std::string_view host : {std::string_view(name.host), std::string_view()}) {
    auto row = read_alias(store, host, name.path);
    if (row || row.code() != Errc::not_found) return row;
    if (host.empty()) break;
  }
  wire::AliasRow absent;
  absent.host = name.host;
  absent.path = name.path;
  return absent;
}

Status check_name(const wire::AliasRow& row) {
  if (row.path.empty() || row.path[0] != '/' || row.path.find('\0') != std::string::npos)
    return Error{Errc::invalid_argument, "the path of an alias begins with '/'"};
  if (row.host.find('\0') != std::string::npos || row.host != rules::normalize_host(row.host))
    return Error{Errc::invalid_argument, "the host of an alias is lower case, without port"};
  if (row.host.size() + row.path.size() > wire::kAliasNameMax)
    return Error{Errc::invalid_argument, "the name of an alias is longer than 4096 bytes"};
  return Status();
}

Status check_target(const wire::AliasRow& row) {
  if (row.target.size() > wire::kAliasTargetMax)
    return Error{Errc::invalid_argument, "the target of an alias is longer than 4096 bytes"};
  CAIRN_TRY(name, rules::parse_object_name(row.target));
  if (name.kind == rules::ObjectKind::alias)
    return Error{Errc::invalid_argument, "an alias leads to id: or path:, not to another alias"};
  return Status();
}

rules::Source source_of(const std::vector<wire::RulesFile>& files, std::uint32_t mains) {
  rules::Source source;
  for (const wire::RulesFile& file : files) source.files.push_back({file.name, file.text});
  source.mains = mains;
  return source;
}

} // namespace

Status RulesTable::open() {
  return store_.scan("W", [this](std::string_view key, std::string_view) -> Status {
    if (key.size() != 9) return Error{Errc::corrupt, "a row of the rules has no version"};
    version_ = wire::load_big_endian(wire::as_view(key.substr(1)).data(), 8);
    return Status();
  });
}

Task<Status> RulesTable::append(wire::MutationBatch batch) {
  wire::Bytes bytes = wire::encode(batch);
  const std::uint64_t epoch = log_.status().applied.epoch;
  const AppendStatus status = co_await log_.append(epoch, std::move(bytes));
  if (status == AppendStatus::committed) co_return Status();
  co_return Error{Errc::unavailable, "the metadata log answered: " + std::string(describe(status))};
}

Task<Result<wire::RulesReply>> RulesTable::rules(wire::RulesGet request) {
  wire::RulesReply reply;
  const std::uint64_t wanted = request.version == 0 ? version_ : request.version;
  if (wanted == 0) co_return reply;
  reply.version = wanted;
  if (wanted == request.known) co_return reply;
  auto read = [this, wanted] { return store_.get(rules_key(wanted)); };
  CAIRN_CO_TRY(value, co_await disk_.run(std::move(read)));
  co_return wire::decode_lenient<wire::RulesReply>(wire::as_view(value));
}

Task<Result<wire::RulesPutReply>> RulesTable::put(wire::RulesPut request, std::uint64_t now) {
  if (request.expected != wire::RulesPut::kAnyVersion && request.expected != version_)
    co_return Error{Errc::exists, "version " + std::to_string(version_) + " is in force"};
  std::size_t bytes = 0;
  for (const wire::RulesFile& file : request.files) bytes += file.name.size() + file.text.size();
  if (bytes > wire::kRulesBytesMax)
    co_return Error{Errc::invalid_argument,
                    "rules are longer than 1 MB: exact names belong into aliases"};
  if (loading_) co_return Error{Errc::busy, "another load is under way"};
  loading_ = true;

  wire::RulesPutReply reply;
  bool good = true;
  if (!request.files.empty()) {
    auto load = [&request] {
      rules::Problems problems;
      rules::RuleBook::load(source_of(request.files, request.mains), problems);
      return problems;
    };
    const rules::Problems problems = co_await disk_.run(std::move(load));
    good = !rules::has_errors(problems);
    for (const rules::Problem& problem : problems) reply.problems.push_back({problem.text()});
  }
  Status done;
  if (good) {
    wire::RulesReply row;
    row.version = version_ + 1;
    row.time = now;
    row.files = std::move(request.files);
    row.mains = request.mains;
    const wire::Bytes value = wire::encode(row);
    wire::MutationBatch batch;
    batch.mutations.push_back(
        wire::Mutation::put(rules_key(row.version), std::string(wire::as_text(value))));
    if (row.version > kVersionsKept)
      batch.mutations.push_back(wire::Mutation::remove(rules_key(row.version - kVersionsKept)));
    done = co_await append(std::move(batch));
    if (done) reply.version = ++version_;
  }
  loading_ = false;
  if (!done) co_return std::move(done).error();
  co_return reply;
}

Task<Result<wire::AliasRows>> RulesTable::aliases(wire::AliasGet request) {
  if (request.names.size() > wire::kAliasRowsMax)
    co_return Error{Errc::invalid_argument, "too many names"};
  auto read = [this, &request]() -> Result<wire::AliasRows> {
    wire::AliasRows reply;
    for (const wire::AliasRow& name : request.names) {
      CAIRN_TRY(row, look_up(store_, name));
      reply.rows.push_back(std::move(row));
    }
    return reply;
  };
  co_return co_await disk_.run(std::move(read));
}

Task<Result<wire::AliasRows>> RulesTable::list(wire::AliasList request) {
  auto read = [this, &request]() -> Result<wire::AliasRows> {
    wire::AliasRows reply;
    const std::string base = alias_key(request.host, "");
    const std::size_t limit = std::clamp<std::size_t>(request.limit, 1, kPageRowsMax);
    std::size_t bytes = 0;
    // Ends the scan: a page is full.
    const Error full(Errc::already);
    const Status scanned = store_.scan_from(
        alias_key(request.host, request.prefix),
        request.after.empty() ? std::string() : alias_key(request.host, request.after),
        [&](std::string_view key, std::string_view value) -> Status {
          CAIRN_TRY(stored, wire::decode_lenient<StoredAlias>(wire::as_view(value)));
          wire::AliasRow row;
          row.host = request.host;
          row.path = key.substr(base.size());
          row.target = std::move(stored.target);
          row.mtime = stored.mtime;
          bytes += row.path.size() + row.target.size();
          reply.rows.push_back(std::move(row));
          if (reply.rows.size() >= limit || bytes > kPageBytesMax) return full;
          return Status();
        });
    if (!scanned && scanned.code() != Errc::already) return scanned.error();
    return reply;
  };
  co_return co_await disk_.run(std::move(read));
}

Task<Result<wire::AliasPutReply>> RulesTable::change(wire::AliasPut request) {
  if (request.rows.size() > wire::kAliasRowsMax)
    co_return Error{Errc::invalid_argument, "too many rows"};
  const bool removes = request.change == wire::AliasChange::remove;
  for (const wire::AliasRow& row : request.rows) {
    CAIRN_CO_RETURN_IF_ERROR(check_name(row));
    if (!removes) CAIRN_CO_RETURN_IF_ERROR(check_target(row));
  }
  wire::MutationBatch batch;
  std::vector<char> present(request.rows.size(), 0);
  if (request.change != wire::AliasChange::put) {
    auto look = [this, &request, &present]() -> Status {
      for (std::size_t i = 0; i < request.rows.size(); ++i) {
        auto value = store_.get(alias_key(request.rows[i].host, request.rows[i].path));
        if (!value && value.code() != Errc::not_found) return std::move(value).error();
        present[i] = value ? 1 : 0;
      }
      return Status();
    };
    CAIRN_CO_RETURN_IF_ERROR(co_await disk_.run(std::move(look)));
  }
  for (std::size_t i = 0; i < request.rows.size(); ++i) {
    const wire::AliasRow& row = request.rows[i];
    std::string key = alias_key(row.host, row.path);
    if (removes) {
      if (present[i] != 0) batch.mutations.push_back(wire::Mutation::remove(std::move(key)));
    } else if (present[i] == 0) {
      StoredAlias stored;
      stored.target = row.target;
      stored.mtime = row.mtime;
      const wire::Bytes value = wire::encode(stored);
      batch.mutations.push_back(
          wire::Mutation::put(std::move(key), std::string(wire::as_text(value))));
    }
  }
  wire::AliasPutReply reply;
  reply.changed = batch.mutations.size();
  if (!batch.mutations.empty()) CAIRN_CO_RETURN_IF_ERROR(co_await append(std::move(batch)));
  co_return reply;
}

} // namespace cairn::tracker
