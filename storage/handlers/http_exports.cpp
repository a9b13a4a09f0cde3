// Resolve, open, send.
#include "storage/handlers/http_exports.h"

#include "common/base/cache_tag.h"
#include "common/base/file_id.h"
#include "common/rules/uri.h"
#include "storage/http/file_reply.h"

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <fcntl.h>
#include <unordered_map>
#include <utility>

namespace cairn::storage {

namespace {

using Clock = std::chrono::steady_clock;
using wire::NsOp;

// How long a path's meaning is believed without asking again, and how many are kept on a thread.
constexpr std::chrono::milliseconds kRemembered{1000};
constexpr std::size_t kRememberedMax = 8192;
constexpr std::chrono::milliseconds kAskTimeout{5000};
constexpr std::size_t kZeros = 64 * 1024;
constexpr std::size_t kPiece = 256 * 1024;
constexpr std::string_view kPathMethods = "GET, HEAD, PUT, DELETE";

struct Remembered {
  Clock::time_point until;
  std::uint8_t status = 0; // errno; 0: there is a reply
  std::shared_ptr<const wire::NsResolveReply> reply;
};

// One per I/O thread, like the Remote.
std::unordered_map<std::string, Remembered>& remembered() {
  thread_local std::unordered_map<std::string, Remembered> paths;
  return paths;
}

// How exports are set, likewise.
constexpr std::size_t kExportsMax = 1024;
struct KnownExport {
  Clock::time_point until;
  wire::NsExport options;
};
std::unordered_map<std::string, KnownExport>& exports() {
  thread_local std::unordered_map<std::string, KnownExport> known;
  return known;
}

// The nodes of other groups, as a tracker told them last.
struct Nodes {
  Clock::time_point until;
  wire::ClusterView view;
};
Nodes& nodes() {
  thread_local Nodes known;
  return known;
}

HttpReply failure_of(const Error& error) {
  switch (static_cast<int>(error.code)) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
    case ELOOP:
    case ESTALE:
      return plain_reply(404, "no such file");
    case EACCES:
    case EPERM:
      return plain_reply(403, "not allowed");
    case EINVAL:
      return plain_reply(400, "invalid path");
    default: {
      spdlog::warn("a path cannot be resolved: {}", error.text());
      HttpReply reply = plain_reply(503, "the file cannot be read now");
      reply.headers.emplace_back("Retry-After", "1");
      return reply;
    }
  }
}

} // namespace

bool ExportResolver::claims(const ResolvedUrl& url) const {
  const std::string& path = url.path();
  return path.size() > 1 && path[1] != '.' && path[1] != '_' && path[1] != '/' &&
         path.size() < wire::kNsPathMax;
}

// What everybody may see and what a key shows are remembered apart.
std::string ExportResolver::key_of(As as, const std::string& path) {
  return (as == As::trusted ? "+" : "") + path;
}

Task<Result<wire::Bytes>> ExportResolver::ask(As as, NsOp op, wire::Bytes request) {
  wire::NsOnce once;
  once.op = op;
  once.request = std::move(request);
  const std::uint8_t command =
      as == As::trusted ? static_cast<std::uint8_t>(wire::kNsAskTrusted) : wire::kNsAskOnce;
  wire::Bytes body = wire::encode(once);
  co_return co_await call(command, std::move(body));
}

Task<Result<wire::Bytes>> ExportResolver::change(wire::NsChangePath request) {
  // What is remembered here of that path is over.
  remembered().erase(key_of(As::nobody, request.path));
  remembered().erase(key_of(As::trusted, request.path));
  const std::string path = request.path;
  wire::Bytes body = wire::encode(request);
  auto answer = co_await call(static_cast<std::uint8_t>(wire::kNsChangePath), std::move(body));
  remembered().erase(key_of(As::nobody, path));
  remembered().erase(key_of(As::trusted, path));
  co_return answer;
}

Task<Result<wire::NsExport>> ExportResolver::options_of(std::string name) {
  auto& known = exports();
  if (const auto found = known.find(name);
      found != known.end() && Clock::now() < found->second.until)
    co_return found->second.options;
  wire::NsExports request;
  request.name = name;
  wire::Bytes encoded = wire::encode(request);
  CAIRN_CO_TRY(answer, co_await ask(As::trusted, NsOp::exports, std::move(encoded)));
  CAIRN_CO_TRY(reply, wire::decode_lenient<wire::NsExportsReply>(answer));
  if (reply.exports.empty()) co_return Error{Errc::not_found, "no export " + name};
  KnownExport entry;
  entry.until = Clock::now() + kRemembered;
  entry.options = reply.exports.front();
  if (exports().size() >= kExportsMax) exports().clear();
  exports().insert_or_assign(std::move(name), std::move(entry));
  co_return std::move(reply.exports.front());
}

Task<Result<wire::Bytes>> ExportResolver::call(std::uint8_t command, wire::Bytes body) {
  Error failure(Errc::unavailable, "no tracker answers");
  for (const config::TrackerAddress& tracker : context_.config.trackers) {
    for (const std::string& host : tracker.hosts) {
      Endpoint endpoint;
      endpoint.host = host;
      endpoint.port = tracker.port;
      wire::Bytes copy = body;
      auto answer =
          co_await context_.remote().pool().call(endpoint, command, std::move(copy), kAskTimeout);
      if (!answer) {
        failure = std::move(answer).error();
        continue;
      }
      CAIRN_CO_TRY(reply, wire::decode_lenient<wire::NsOnceReply>(*answer));
      if (reply.status == 0) co_return std::move(reply.reply);
      co_return Error{static_cast<Errc>(reply.status), std::string(wire::as_text(reply.reply))};
    }
  }
  co_return failure;
}

Task<Result<ExportResolver::Meaning>> ExportResolver::resolve(As as, std::string path) {
  auto& paths = remembered();
  std::string key = key_of(as, path);
  if (const auto found = paths.find(key); found != paths.end()) {
    if (Clock::now() < found->second.until) {
      if (found->second.status != 0) co_return static_cast<Errc>(found->second.status);
      co_return found->second.reply;
    }
    paths.erase(found);
  }
  wire::NsResolve request;
  request.path = std::move(path);
  request.as_public = as == As::nobody;
  wire::Bytes encoded = wire::encode(request);
  auto answer = co_await ask(as, NsOp::resolve, std::move(encoded));
  Remembered entry;
  entry.until = Clock::now() + kRemembered;
  if (!answer) {
    const Errc code = answer.code();
    const bool lasting =
        code == Errc::not_found || code == Errc::denied || code == static_cast<Errc>(ENOTDIR);
    entry.status = static_cast<std::uint8_t>(code);
    if (lasting && paths.size() < kRememberedMax)
      paths.insert_or_assign(std::move(key), std::move(entry));
    co_return std::move(answer).error();
  }
  CAIRN_CO_TRY(decoded, wire::decode_lenient<wire::NsResolveReply>(*answer));
  Meaning meaning = std::make_shared<const wire::NsResolveReply>(std::move(decoded));
  entry.reply = meaning;
  if (paths.size() >= kRememberedMax) paths.clear();
  paths.insert_or_assign(std::move(key), std::move(entry));
  co_return meaning;
}

Task<HttpReply> ExportResolver::answer(ResolvedUrl url) {
  if (!url.is_read()) co_return method_not_allowed(kPathMethods);
  const std::string& path = url.path();
  As as = As::nobody;
  auto found = co_await resolve(as, path);
  if (found.code() == Errc::denied) {
    // Not for everybody: who has a key for it sees all of it.
    Grant grant = guard_.admit_private(url.request(), path, std::string_view(path).substr(1));
    if (grant.refusal) co_return std::move(*grant.refusal);
    as = As::trusted;
    found = co_await resolve(as, path);
  }
  if (!found) co_return failure_of(found.error());
  const wire::NsNodeReply& node = (*found)->node;
  const wire::NsAttributes& attributes = node.attributes;
  if (attributes.type == wire::NsType::directory) {
    if (!(*found)->listing) co_return plain_reply(403, "directories are not listed");
    co_return co_await list(as, attributes.inode);
  }
  if (attributes.type != wire::NsType::regular) co_return plain_reply(403, "not a file");
  const auto file = co_await open(as, node);
  if (!file) co_return failure_of(file.error());
  FileReplyContext context;
  context.content_type = types_.type_of(path.substr(path.rfind('/') + 1));
  // A path can mean another file tomorrow: it is asked for again, which its tag makes cheap. A
  // shared cache would show a private one to those who have no key.
  context.cache_control = as == As::nobody ? "no-cache" : "private, no-cache";
  context.active_content = context_.config.http.active_content;
  context.now = std::time(nullptr);
  HttpReply reply = file_reply(url.request(), RemoteName(), *file, context);
  // The stored file of a small one, for whoever sends it from the disk.
  if (file->fd && node.extents.size() == 1)
    send_by_front(url.request(), node.extents.front().id, *file, context, reply);
  if (wants_cache_tags(url.request(), reply))
    add_cache_tag(reply, cache_tag_of_inode(attributes.inode));
  co_return reply;
}

// A front nginx that has the store path asks for the place instead of the bytes (docs/nginx.md).
// Conditions are answered here: the file on its disk has another time than the path.
void ExportResolver::send_by_front(const HttpRequest& request, const std::string& id,
                                   const OpenFile& file, const FileReplyContext& context,
                                   HttpReply& reply) {
  const std::string_view accel = request.header("X-Cairn-Accel");
  const bool has_body = reply.status == 200 || reply.status == 206 || reply.status == 416;
  const auto parsed = parse_file_id(id);
  if (accel.empty() || accel[0] != '/' || !has_body || !parsed) return;
  const Validators validators = validators_of(RemoteName(), file, context.now);
  reply = HttpReply();
  reply.headers.emplace_back(
      "X-Accel-Redirect",
      std::string(accel) + rules::escape_path("/" + std::string(parsed->name.text())));
  // An answer without a body is none for those who have not asked for it.
  reply.headers.emplace_back("Vary", "X-Cairn-Accel");
  reply.headers.emplace_back("Content-Type", context.content_type);
  reply.headers.emplace_back("Cache-Control", context.cache_control);
  reply.headers.emplace_back("ETag", validators.etag);
  reply.headers.emplace_back("Last-Modified",
                             format_http_date(validators.last_modified.value_or(context.now)));
  add_file_headers(reply, context);
}

Task<Result<OpenFile>> ExportResolver::open(As as, const wire::NsNodeReply& node) {
  const wire::NsAttributes& attributes = node.attributes;
  bool end = (attributes.flags & wire::kNsExtentsMore) == 0;
  // A small file is one stored file, and if that is of this group it is sent as such.
  if (end && node.extents.size() == 1 && node.extents[0].offset == 0 &&
      node.extents[0].source == 0 && node.extents[0].length == attributes.size) {
    const auto id = parse_file_id(node.extents[0].id);
    if (id && id->group == files_.group() && id->name.fields() &&
        id->name.kind() == FileKind::normal && id->name.fields()->size() == attributes.size) {
      auto file = co_await files_.open(id->name);
      if (!file) co_return std::move(file).error();
      // The tag is the content's, the time is the path's.
      file->immutable = false;
      file->mtime = static_cast<std::uint32_t>(
          std::clamp<std::int64_t>(attributes.mtime.seconds, 0, UINT32_MAX));
      co_return std::move(*file);
    }
  }
  std::vector<wire::NsExtent> extents = node.extents;
  while (!end) {
    wire::NsGetExtents request;
    request.inode = attributes.inode;
    request.offset = extents.empty() ? 0 : extents.back().offset + extents.back().length;
    wire::Bytes encoded = wire::encode(request);
    CAIRN_CO_TRY(answer, co_await ask(as, NsOp::extents, std::move(encoded)));
    CAIRN_CO_TRY(reply, wire::decode_lenient<wire::NsExtentsReply>(answer));
    end = reply.end || reply.extents.empty();
    std::ranges::move(reply.extents, std::back_inserter(extents));
  }
  OpenFile file;
  file.size = attributes.size;
  file.mtime =
      static_cast<std::uint32_t>(std::clamp<std::int64_t>(attributes.mtime.seconds, 0, UINT32_MAX));
  file.version = attributes.inode << 20 ^ attributes.data_version;
  file.remote = [this, extents](Connection& to, std::uint64_t offset,
                                std::uint64_t length) -> Task<Status> {
    return send(to, extents, offset, length);
  };
  co_return file;
}

Task<Status> ExportResolver::send(Connection& to, std::vector<wire::NsExtent> extents,
                                  std::uint64_t offset, std::uint64_t length) {
  static const wire::Bytes zeros(kZeros);
  const std::uint64_t end = offset + length;
  auto next = std::ranges::lower_bound(extents, offset + 1, {}, [](const wire::NsExtent& extent) {
    return extent.offset + extent.length;
  });
  for (std::uint64_t at = offset; at < end;) {
    if (next != extents.end() && next->offset <= at) {
      const std::uint64_t to_end = std::min(end, next->offset + next->length);
      CAIRN_CO_RETURN_IF_ERROR(
          co_await send_stored(to, next->id, next->source + at - next->offset, to_end - at));
      at = to_end;
      ++next;
      continue;
    }
    // A hole.
    const std::uint64_t hole_end = next == extents.end() ? end : std::min(end, next->offset);
    const std::size_t piece =
        static_cast<std::size_t>(std::min<std::uint64_t>(hole_end - at, kZeros));
    CAIRN_CO_RETURN_IF_ERROR(co_await to.write(wire::View(zeros).first(piece)));
    at += piece;
  }
  co_return Status();
}

Task<Status> ExportResolver::send_stored(Connection& to, std::string id, std::uint64_t offset,
                                         std::uint64_t length) {
  const auto parsed = parse_file_id(id);
  if (!parsed) co_return Error{Errc::corrupt, "the namespace names " + id};
  if (parsed->group != files_.group())
    co_return co_await send_foreign(to, parsed->group, parsed->name.canonical(), offset, length);
  CAIRN_CO_TRY(file, co_await files_.open(parsed->name));
  if (file.remote) co_return co_await file.remote(to, offset, length);
  // Warm before sendfile, which would block this thread for cold pages.
  for (std::uint64_t at = offset; at < offset + length;) {
    const std::uint64_t piece = std::min<std::uint64_t>(offset + length - at, 4 * kPiece);
    if (file.disk != nullptr) {
      auto warm = [fd = file.fd, at, piece]() -> bool {
        ::posix_fadvise(*fd, static_cast<off_t>(at), static_cast<off_t>(piece),
                        POSIX_FADV_WILLNEED);
        return true;
      };
      static_cast<void>(co_await file.disk->run(std::move(warm)));
    }
    CAIRN_CO_RETURN_IF_ERROR(co_await to.send_file(*file.fd, at, piece));
    at += piece;
  }
  co_return Status();
}

Task<Status> ExportResolver::send_foreign(Connection& to, std::string group, std::string name,
                                          std::uint64_t offset, std::uint64_t length) {
  ClientPool& pool = context_.remote().pool();
  Nodes& known = nodes();
  if (Clock::now() >= known.until) {
    for (const config::TrackerAddress& tracker : context_.config.trackers) {
      if (tracker.hosts.empty()) continue;
      Endpoint endpoint;
      endpoint.host = tracker.hosts.front();
      endpoint.port = tracker.port;
      wire::Bytes body = wire::encode(wire::ViewRequest());
      const auto reply =
          co_await pool.call(endpoint, static_cast<std::uint8_t>(wire::NativeCommand::cluster_view),
                             std::move(body), kAskTimeout);
      if (!reply) continue;
      auto view = wire::decode_lenient<wire::ClusterView>(*reply);
      if (!view) continue;
      known.view = std::move(*view);
      known.until = Clock::now() + 5 * kRemembered;
      break;
    }
  }
  std::vector<Endpoint> members;
  for (const wire::NodeView& node : known.view.nodes) {
    if (node.group != group || node.state != wire::NodeState::active) continue;
    Endpoint endpoint;
    endpoint.host = node.host;
    endpoint.port = node.port;
    members.push_back(std::move(endpoint));
  }
  // As a FastDFS client downloads: the other group finds the file among its members.
  wire::Bytes request;
  wire::Writer writer(request);
  writer.integer(offset, 8);
  writer.integer(length, 8);
  writer.padded(group, 16);
  writer.raw(wire::as_view(name));
  for (const Endpoint& member : members) {
    auto lease = co_await pool.acquire(member);
    if (!lease) continue;
    FrameClient& client = **lease;
    client.connection().set_deadline(context_.config.network_timeout);
    const Status sent = co_await client.send_header(
        static_cast<std::uint8_t>(wire::Command::download_file), request.size());
    if (!sent || !co_await client.connection().write(request)) {
      client.mark_broken();
      continue;
    }
    const auto size = co_await client.receive();
    if (!size || *size != length) {
      client.mark_broken();
      continue;
    }
    wire::Buffer buffer(kPiece);
    for (std::uint64_t left = length; left > 0;) {
      const auto piece = static_cast<std::size_t>(std::min<std::uint64_t>(left, kPiece));
      client.connection().set_deadline(context_.config.network_timeout);
      auto got = co_await client.connection().read_some(buffer.span().first(piece));
      if (!got) {
        client.mark_broken();
        co_return std::move(got).error();
      }
      const Status written = co_await to.write(buffer.view().first(*got));
      if (!written) {
        client.mark_broken();
        co_return written;
      }
      left -= *got;
    }
    co_return Status();
  }
  co_return Error{Errc::unavailable, "no member of " + group + " answers"};
}

Task<HttpReply> ExportResolver::list(As as, std::uint64_t directory) {
  nlohmann::json entries = nlohmann::json::array();
  wire::NsReaddir request;
  request.inode = directory;
  request.attributes = true;
  request.bytes_max = 512 * 1024;
  constexpr std::size_t kEntriesMax = 100'000;
  for (bool end = false; !end && entries.size() < kEntriesMax;) {
    wire::Bytes encoded = wire::encode(request);
    const auto answer = co_await ask(as, NsOp::readdir, std::move(encoded));
    if (!answer) co_return failure_of(answer.error());
    const auto page = wire::decode_lenient<wire::NsReaddirReply>(*answer);
    if (!page) co_return failure_of(page.error());
    for (const wire::NsEntry& entry : page->entries) {
      const char* type = entry.type == wire::NsType::directory ? "directory"
                         : entry.type == wire::NsType::regular ? "file"
                                                               : "other";
      nlohmann::json item{{"name", entry.name}, {"type", type}};
      if (!entry.node.empty()) {
        item["size"] = entry.node[0].attributes.size;
        item["mtime"] = entry.node[0].attributes.mtime.seconds;
      }
      entries.push_back(std::move(item));
      request.after = entry.cookie;
    }
    end = page->end || page->entries.empty();
  }
  HttpReply reply = HttpReply::text(
      200, entries.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n",
      "application/json");
  reply.headers.emplace_back("Cache-Control", "no-cache");
  co_return reply;
}

} // namespace cairn::storage
