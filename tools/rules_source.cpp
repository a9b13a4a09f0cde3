// Reading rules and asking them.
#include "tools/rules_source.h"

#include "common/base/text.h"
#include "common/rules/uri.h"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace cairn::tools {

namespace {

std::optional<std::string> read_file(const std::filesystem::path& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error || size > rules::kSourceBytesMax) return std::nullopt;
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

} // namespace

Result<rules::Source> read_rules(const std::vector<std::string>& files) {
  rules::Source source;
  for (const std::string& name : files) {
    auto text = read_file(name);
    if (!text)
      return std::filesystem::exists(name)
                 ? Error{Errc::invalid_argument, name + " cannot be read, or is longer than 8 MiB"}
                 : Error{Errc::not_found, name};
    source.files.push_back({name, *std::move(text)});
  }
  source.mains = source.files.size();
  const std::filesystem::path directory =
      files.empty() ? std::filesystem::path() : std::filesystem::path(files.front()).parent_path();
  rules::collect_includes(source, [&](const std::string& name) {
    return read_file(directory / name); // an absolute name stays itself
  });
  return source;
}

Result<wire::Bytes> ask_tracker(Context& context, wire::NativeCommand command, wire::Bytes body) {
  CAIRN_TRY(options, context.client_options());
  CAIRN_TRY(client, context.client());
  Error last(Errc::unavailable, "no tracker is configured");
  for (const Address& tracker : options.trackers) {
    auto reply = client->native_call(tracker, static_cast<std::uint8_t>(command), body);
    if (reply) return reply;
    last = std::move(reply).error();
    if (last.code != Errc::unavailable && last.code != Errc::timeout) break;
  }
  return last;
}

Result<wire::RulesReply> fetch_rules(Context& context, std::uint64_t version) {
  wire::RulesGet request;
  request.version = version;
  CAIRN_TRY(bytes, ask_tracker(context, wire::kRulesGet, wire::encode(request)));
  CAIRN_TRY(reply, wire::decode_lenient<wire::RulesReply>(bytes));
  if (reply.files.empty()) return Error{Errc::not_found, "the cluster has no URL rules"};
  return reply;
}

rules::Source source_of(const wire::RulesReply& reply) {
  rules::Source source;
  for (const wire::RulesFile& file : reply.files) source.files.push_back({file.name, file.text});
  source.mains = reply.mains;
  return source;
}

Result<std::unique_ptr<AskedUrl>> AskedUrl::make(std::string_view url, const std::string& base,
                                                 Headers headers) {
  CAIRN_TRY(split, rules::split_url(url));
  std::unique_ptr<AskedUrl> asked(new AskedUrl());
  asked->host_ = split.host.empty() ? base : std::move(split.host);
  asked->target_ = std::move(split.target);
  asked->headers_ = std::move(headers);
  const std::string_view target = asked->target_;
  const std::size_t mark = target.find('?');
  const std::string_view raw = target.substr(0, mark);
  CAIRN_TRY(path, percent_decode(raw));
  // As the storage node's HTTP service: such a path has no single meaning.
  if (path.find('\0') != std::string::npos || raw.find("%2f") != std::string_view::npos ||
      raw.find("%2F") != std::string_view::npos)
    return Error{Errc::invalid_argument, "an encoded '/' or NUL in the path"};
  asked->path_ = std::move(path);
  rules::Request& request = asked->request_;
  request.host = asked->host_;
  request.path = asked->path_;
  request.request_uri = target;
  if (mark != std::string_view::npos) request.query = target.substr(mark + 1);
  request.remote_addr = "127.0.0.1";
  request.header = [raw_asked = asked.get()](std::string_view name) -> std::string_view {
    for (const auto& [key, value] : raw_asked->headers_)
      if (equals_ignoring_case(key, name)) return value;
    return {};
  };
  return asked;
}

} // namespace cairn::tools
