// Store, name, answer.
#include "storage/handlers/http_path_changes.h"

#include "common/base/text.h"
#include "common/wire/copies.h"
#include "common/wire/namespace_paths.h"
#include "common/wire/origin_mark.h"
#include "storage/handlers/http_answers.h"
#include "storage/handlers/incoming.h"
#include "storage/http/url.h"

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

namespace cairn::storage {

namespace {

constexpr std::string_view kAllowed = "GET, HEAD, PUT, DELETE";

// What a client is told of a change that the tracker, or the store, refused.
HttpReply failed(const Error& error) {
  switch (static_cast<int>(error.code)) {
    case ENOENT:
      return error_reply(404, "no such file or export");
    case EEXIST:
      return error_reply(412, "there is a file of this name");
    case EISDIR:
      return error_reply(409, "this is a directory");
    case ENOTDIR:
      return error_reply(409, "a part of the path is no directory");
    case ENOTEMPTY:
      return error_reply(409, "the directory is not empty");
    case EACCES:
    case EPERM:
    case EROFS:
      return error_reply(403, "not allowed");
    case EDQUOT:
      return error_reply(507, "the quota of the export is used up");
    case ENOSPC:
      return error_reply(507, "no space left");
    case EINVAL:
    case ENAMETOOLONG:
      return error_reply(400,
                         error.code == Errc::name_too_long ? "a name is too long" : "invalid path");
    default:
      return later("try again later");
  }
}

// What a client is told of content that did not come as it should.
HttpReply not_taken(const Error& error, std::uint64_t limit) {
  switch (error.code) {
    case Errc::name_too_long:
      return error_reply(413, "larger than " + std::to_string(limit) + " bytes");
    case Errc::corrupt:
      return error_reply(422, "the content is not what its checksum says");
    case Errc::closed:
    case Errc::timeout:
      return error_reply(408, "the content did not arrive");
    case Errc::invalid_argument:
      return error_reply(400, error.detail);
    case Errc::no_space:
      return error_reply(507, "no space left");
    default:
      return later("try again later");
  }
}

} // namespace

bool PathChanges::claims(const ResolvedUrl& url) const {
  const std::string_view method = url.request().method;
  return (method == "PUT" || method == "DELETE") && exports_.claims(url);
}

Task<HttpReply> PathChanges::answer(ResolvedUrl url) {
  const HttpRequest& request = url.request();
  std::string path = url.path();
  const bool removes = request.method == "DELETE";
  const Grant grant = guard_.admit_change(request, path, std::string_view(path).substr(1),
                                          removes ? auth::kDelete : auth::kWrite);
  if (grant.refusal) co_return *grant.refusal;
  // An export as a whole is changed by `cairn export` only.
  if (path.find('/', 1) == std::string::npos || (!removes && path.ends_with('/'))) {
    HttpReply reply = error_reply(405, "a file is at /EXPORT/PATH");
    reply.headers.emplace_back("Allow", std::string(kAllowed));
    co_return reply;
  }
  if (removes) co_return co_await remove(request, grant, std::move(path));
  if (uploads_.fetch_add(1) >= context_.config.http.uploads_max) {
    --uploads_;
    co_return later("too many uploads at once");
  }
  const CountDown mark(uploads_);
  co_return co_await put(request, grant, std::move(path));
}

std::string PathChanges::other_place(const wire::NsExport& of) const {
  const auto map = context_.peers.get();
  for (const wire::NodeView& node : map->view().nodes) {
    const bool wanted = std::ranges::any_of(
        of.groups, [&](const wire::NsText& group) { return group.text == node.group; });
    if (wanted && node.http_port != 0 && !node.draining && node.state == wire::NodeState::active)
      return "http://" + node.host + ":" + std::to_string(node.http_port);
  }
  return {};
}

Task<HttpReply> PathChanges::put(const HttpRequest& request, const Grant& grant, std::string path) {
  if (auto taken = takes_changes(context_); !taken) co_return later("starting or stopping");
  const std::uint64_t limit = context_.config.http.upload_size_max;
  RequestBody* body = request.body;
  if (body != nullptr && body->length().value_or(0) > limit)
    co_return error_reply(413, "larger than " + std::to_string(limit) + " bytes");
  const std::string_view none_match = request.header("If-None-Match");
  if (!none_match.empty() && none_match != "*")
    co_return error_reply(400, "of conditions only If-None-Match: * is taken");
  if (!request.header("If-Match").empty())
    co_return error_reply(400, "of conditions only If-None-Match: * is taken");
  if (!request.header("Content-Range").empty())
    co_return error_reply(400, "a part of a file is not taken");
  const std::string export_name = path.substr(1, path.find('/', 1) - 1);
  auto options = co_await exports_.options_of(export_name);
  if (!options) co_return failed(options.error());
  if (options->read_only) co_return error_reply(403, "the export is read-only");
  // What is sure to be refused is not stored; the tracker decides exactly.
  const std::uint64_t length = body != nullptr ? body->length().value_or(0) : 0;
  if (options->quota_bytes != 0 && length > options->quota_bytes)
    co_return error_reply(507, "larger than the quota of the export");
  const bool here = options->groups.empty() ||
                    std::ranges::any_of(options->groups, [&](const wire::NsText& group) {
                      return group.text == context_.config.group_name;
                    });
  if (!here) {
    const std::string place = other_place(*options);
    if (place.empty()) co_return later("no node of the export's groups is there");
    HttpReply reply = error_reply(307, "the export is kept by another group");
    reply.headers.emplace_back("Location", place + std::string(request.target));
    co_return reply;
  }
  auto digests = ContentDigests::of(request);
  if (!digests) co_return not_taken(digests.error(), limit);
  const auto wanted = std::min<std::uint32_t>(std::max(options->copies, 1U), wire::kCopiesMask);
  auto copies = copies_wanted(context_, static_cast<std::uint8_t>(wanted | wire::kCopiesOfMembers));
  if (!copies) co_return later("too few nodes for the copies of the export");
  Counted counted(context_.counters.upload);
  const auto ticket = begin_under(context_.uploads);
  if (!ticket) co_return later("too many uploads at once");
  Incoming incoming(context_, limit);
  const auto size =
      body != nullptr ? body->length() : std::optional<std::uint64_t>(std::uint64_t{0});
  if (auto begun = incoming.begin(size); !begun) co_return not_taken(begun.error(), limit);
  Status taken = co_await take_raw(body, incoming, *digests);
  counted.add_bytes(incoming.size());
  guard_.charge(request, grant, incoming.size());
  if (!taken) co_return not_taken(taken.error(), limit);
  if (auto checked = digests->check(); !checked) co_return not_taken(checked.error(), limit);

  wire::NsChangePath change;
  change.path = path;
  change.exclusive = none_match == "*";
  change.size = incoming.size();
  std::optional<RemoteName> stored;
  if (incoming.size() > 0) {
    wire::OriginMark mark;
    mark.realm = wire::origin_realm(context_.peers.get()->view().cluster_uuid);
    mark.written =
        static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                       std::chrono::system_clock::now().time_since_epoch())
                                       .count());
    mark.file_size = incoming.size();
    mark.ranges.push_back(wire::OriginRange{0, incoming.size()});
    mark.export_name = export_name;
    mark.path = path.substr(export_name.size() + 2);
    std::string encoded = wire::encode_origin(mark);
    auto made = co_await incoming.finish(extension_of(path.substr(path.rfind('/') + 1)),
                                         std::string(), std::move(encoded), *copies);
    if (!made) {
      spdlog::warn("upload over HTTP failed cause={}", made.error().text());
      co_return not_taken(made.error(), limit);
    }
    auto name = parse_remote_name(made->name);
    if (!name) co_return later("try again later");
    stored = *std::move(name);
    if (copies->is_short() && context_.config.copies_short == config::CopiesShort::refuse) {
      static_cast<void>(co_await remove_file(context_, *stored, /*to_trash=*/false));
      co_return error_reply(504, "too few copies in time; nothing was changed");
    }
    wire::NsExtent extent;
    extent.length = incoming.size();
    extent.id = context_.config.group_name + "/" + made->name;
    change.extents.push_back(std::move(extent));
  }
  auto answer = co_await exports_.change(std::move(change));
  // What is stored then is not removed here: an answer that was lost may have named it, and it may
  // be in the trash by now. The tracker finds it by its mark.
  if (!answer) co_return failed(answer.error());
  counted.succeed();
  context_.counters.last_source_update = static_cast<std::uint64_t>(std::time(nullptr));
  const auto named = wire::decode_lenient<wire::NsPathReply>(*answer);
  if (!named) co_return later("try again later");
  nlohmann::json document{{"path", path}, {"size", incoming.size()}};
  if (stored) {
    document["id"] = context_.config.group_name + "/" + stored->canonical();
    wire::Bytes number;
    wire::Writer(number).integer(stored->fields()->crc32, 4);
    document["crc32"] = hex_encode(number);
  }
  for (const auto& [algorithm, value] : digests->values()) document[algorithm] = value;
  HttpReply reply = json_reply(named->created ? 201 : 200, document);
  if (copies->is_short() && stored)
    reply.headers.emplace_back("X-Cairn-Copies",
                               std::to_string(copies->have) + "/" + std::to_string(copies->wanted));
  co_return reply;
}

Task<HttpReply> PathChanges::remove(const HttpRequest& request, const Grant& grant,
                                    std::string path) {
  wire::NsChangePath change;
  change.kind = wire::NsPathChange::remove;
  change.path = path;
  auto answer = co_await exports_.change(std::move(change));
  auth::AuditEvent event;
  event.who = "key " + grant.key->id;
  event.from = guard_.client_address(request);
  event.what = "delete";
  event.object = path;
  event.result = answer ? "ok" : std::string(describe(answer.code()));
  if (const Status noted = context_.audit.append(event); !noted)
    spdlog::error("the audit log cannot be written cause={}", noted.error().text());
  if (!answer) co_return failed(answer.error());
  HttpReply reply;
  reply.status = 204;
  co_return reply;
}

} // namespace cairn::storage
