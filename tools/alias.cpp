// cairn alias put, get, ls, rm and load
#include "common/base/text.h"
#include "common/rules/uri.h"
#include "tools/context.h"
#include "tools/rules_source.h"
#include "tools/rules_verbs.h"

#include <nlohmann/json.hpp>

#include <fstream>
#include <iostream>

namespace cairn::tools {

namespace {

using nlohmann::json;

// A frame of rows stays below what a tracker reads at once.
constexpr std::size_t kBatchRows = 2'000;
constexpr std::size_t kBatchBytes = 512 * 1024;

Result<std::uint64_t> change(Context& context, wire::AliasPut request) {
  CAIRN_TRY(bytes, ask_tracker(context, wire::kAliasPut, wire::encode(request)));
  CAIRN_TRY(reply, wire::decode_lenient<wire::AliasPutReply>(bytes));
  return reply.changed;
}

json row_json(const wire::AliasRow& row) {
  json out{{"path", row.path}, {"target", row.target}};
  if (!row.host.empty()) out["host"] = row.host;
  if (row.mtime != 0) out["last_modified"] = row.mtime;
  return out;
}

std::string dumped(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

// A bare file ID is an id: target.
std::string target_of(std::string_view text) {
  if (text.find(':') != std::string_view::npos) return std::string(text);
  return (text.empty() || text[0] != '/' ? "id:" : "path:") + std::string(text);
}

void answer(const Context& context, const wire::AliasRow& row) {
  if (context.json())
    context.answer(dumped(row_json(row)));
  else
    context.answer(row.path + "\t" + row.target +
                   (row.mtime == 0 ? "" : "\t" + std::to_string(row.mtime)));
}

int put(Context& context, const AliasArgs& args) {
  wire::AliasPut request;
  wire::AliasRow row;
  row.host = args.host;
  row.path = args.path;
  row.target = target_of(args.target);
  request.rows.push_back(std::move(row));
  const auto changed = change(context, std::move(request));
  return changed ? kGood : context.fail("alias put " + args.path, changed.error());
}

int get(Context& context, const AliasArgs& args) {
  wire::AliasGet request;
  for (const std::string& path : args.paths) {
    wire::AliasRow name;
    name.host = args.host;
    name.path = path;
    request.names.push_back(std::move(name));
  }
  const auto bytes = ask_tracker(context, wire::kAliasGet, wire::encode(request));
  if (!bytes) return context.fail("alias get", bytes.error());
  const auto reply = wire::decode_lenient<wire::AliasRows>(*bytes);
  if (!reply) return context.fail("alias get", reply.error());
  int exit = kGood;
  for (const wire::AliasRow& row : reply->rows) {
    if (row.target.empty())
      exit = context.fail("alias get", Error{Errc::not_found, row.path});
    else
      answer(context, row);
  }
  return exit;
}

int list(Context& context, const AliasArgs& args) {
  wire::AliasList request;
  request.host = args.host;
  request.prefix = args.path;
  request.limit = 5'000;
  std::uint64_t left = args.limit == 0 ? ~std::uint64_t{0} : args.limit;
  while (left > 0) {
    const auto bytes = ask_tracker(context, wire::kAliasList, wire::encode(request));
    if (!bytes) return context.fail("alias ls", bytes.error());
    const auto page = wire::decode_lenient<wire::AliasRows>(*bytes);
    if (!page) return context.fail("alias ls", page.error());
    for (const wire::AliasRow& row : page->rows) {
      if (left-- == 0) return kGood;
      answer(context, row);
    }
    if (page->rows.empty()) break;
    request.after = page->rows.back().path;
  }
  return kGood;
}

int remove(Context& context, const AliasArgs& args) {
  wire::AliasPut request;
  request.change = wire::AliasChange::remove;
  for (const std::string& path : args.paths) {
    wire::AliasRow row;
    row.host = args.host;
    row.path = path;
    request.rows.push_back(std::move(row));
  }
  const auto changed = change(context, std::move(request));
  if (!changed) return context.fail("alias rm", changed.error());
  if (*changed == args.paths.size()) return kGood;
  return context.fail(
      "alias rm", Error{Errc::not_found,
                        std::to_string(args.paths.size() - *changed) + " of them did not exist"});
}

// "PATH<TAB>TARGET[<TAB>MTIME]" a line.
int load(Context& context, const AliasArgs& args) {
  std::ifstream file;
  if (args.file != "-") {
    file.open(args.file, std::ios::binary);
    if (!file) return context.fail("alias load", Error{Errc::not_found, args.file});
  }
  std::istream& in = args.file == "-" ? std::cin : file;
  wire::AliasPut batch;
  std::size_t bytes = 0;
  std::uint64_t number = 0;
  std::uint64_t stored = 0;
  const auto flush = [&]() -> Status {
    if (batch.rows.empty()) return Status();
    CAIRN_TRY(changed, change(context, std::move(batch)));
    stored += changed;
    batch = {};
    bytes = 0;
    return Status();
  };
  std::string line;
  while (std::getline(in, line)) {
    ++number;
    if (line.empty()) continue;
    const auto fields = split(line, '\t');
    wire::AliasRow row;
    row.host = args.host;
    row.path = fields[0];
    if (fields.size() >= 2) row.target = target_of(fields[1]);
    const auto mtime = fields.size() == 3 ? parse_u64(fields[2]) : Result<std::uint64_t>(0);
    if (fields.size() < 2 || fields.size() > 3 || !mtime || row.path.empty() ||
        row.path[0] != '/') {
      const Error error(Errc::invalid_argument,
                        "line " + std::to_string(number) +
                            ": a line is /PATH, a tab, ID or path:/EXPORT/…, and perhaps a tab and "
                            "a unix time");
      if (const Status kept = flush(); !kept) return context.fail("alias load", kept.error());
      context.note(std::to_string(stored) + " aliases before it are stored");
      return context.fail("alias load", error);
    }
    row.mtime = *mtime;
    bytes += row.host.size() + row.path.size() + row.target.size() + 32;
    batch.rows.push_back(std::move(row));
    if (batch.rows.size() < kBatchRows && bytes < kBatchBytes) continue;
    if (const Status done = flush(); !done)
      return context.fail("alias load: up to line " + std::to_string(number), done.error());
  }
  if (const Status done = flush(); !done) return context.fail("alias load", done.error());
  if (context.json())
    context.answer(dumped({{"stored", stored}}));
  else
    context.say(std::to_string(stored) + " aliases stored");
  return kGood;
}

} // namespace

int run_alias(Context& context, const AliasArgs& args) {
  AliasArgs normal = args;
  normal.host = rules::normalize_host(args.host);
  switch (args.action) {
    case AliasAction::put:
      return put(context, normal);
    case AliasAction::get:
      return get(context, normal);
    case AliasAction::list:
      return list(context, normal);
    case AliasAction::remove:
      return remove(context, normal);
    case AliasAction::load:
      return load(context, normal);
  }
  return kUsage;
}

} // namespace cairn::tools
