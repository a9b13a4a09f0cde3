// Resolve, open, send.
#include "storage/handlers/http_exports.h"

#include "common/base/file_id.h"
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
constexpr std::string_view kPathMethods = "GET, HEAD";

struct Remembered {
  Clock::time_point until;
  std::uint8_t status = 0;
  wire::NsResolveReply reply;
};

// One per I/O thread, like the Remote.
std::unordered_map<std::string, Remembered>& remembered() {
  thread_local std::unordered_map<std::string, Remembered> paths;
  return paths;
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

Task<Result<wire::Bytes>> ExportResolver::ask(NsOp op, wire::Bytes request) {
  wire::NsOnce once;
  once.op = op;
  once.request = std::move(request);
  const wire::Bytes body = wire::encode(once);
  Error failure(Errc::unavailable, "no tracker answers");
  for (const config::TrackerAddress& tracker : context_.config.trackers) {
    for (const std::string& host : tracker.hosts) {
      Endpoint endpoint;
      endpoint.host = host;
      endpoint.port = tracker.port;
      wire::Bytes copy = body;
      auto answer = co_await context_.remote().pool().call(endpoint, wire::kNsAskOnce,
                                                           std::move(copy), kAskTimeout);
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

Task<Result<wire::NsResolveReply>> ExportResolver::resolve(std::string path) {
  auto& paths = remembered();
  if (const auto found = paths.find(path); found != paths.end()) {
    if (Clock::now() < found->second.until) {
      if (found->second.status != 0) co_return static_cast<Errc>(found->second.status);
      co_return found->second.reply;
    }
    paths.erase(found);
  }
  wire::NsResolve request;
  request.path = path;
  request.as_public = true;
  wire::Bytes encoded = wire::encode(request);
  auto answer = co_await ask(NsOp::resolve, std::move(encoded));
  Remembered entry;
  entry.until = Clock::now() + kRemembered;
  if (!answer) {
    const Errc code = answer.code();
    const bool lasting =
        code == Errc::not_found || code == Errc::denied || code == static_cast<Errc>(ENOTDIR);
    entry.status = static_cast<std::uint8_t>(code);
    if (lasting && paths.size() < kRememberedMax)
      paths.insert_or_assign(std::move(path), std::move(entry));
    co_return std::move(answer).error();
  }
  CAIRN_CO_TRY(reply, wire::decode_lenient<wire::NsResolveReply>(*answer));
  entry.reply = reply;
  if (paths.size() >= kRememberedMax) paths.clear();
  paths.insert_or_assign(std::move(path), std::move(entry));
  co_return reply;
}

Task<HttpReply> ExportResolver::answer(ResolvedUrl url) {
  if (!url.is_read()) co_return method_not_allowed(kPathMethods);
  const auto found = co_await resolve(url.path());
  if (!found) co_return failure_of(found.error());
  const wire::NsAttributes& attributes = found->node.attributes;
  if (attributes.type == wire::NsType::directory) {
    if (!found->listing) co_return plain_reply(403, "directories are not listed");
    co_return co_await list(found->node);
  }
  if (attributes.type != wire::NsType::regular) co_return plain_reply(403, "not a file");
  const auto file = co_await open(found->node);
  if (!file) co_return failure_of(file.error());
  FileReplyContext context;
  const std::string& path = url.path();
  context.content_type = types_.type_of(path.substr(path.rfind('/') + 1));
  // A path can mean another file tomorrow: it is asked for again, which its tag makes cheap.
  context.cache_control = "no-cache";
  context.now = std::time(nullptr);
  co_return file_reply(url.request(), RemoteName(), *file, context);
}

Task<Result<OpenFile>> ExportResolver::open(wire::NsNodeReply node) {
  const wire::NsAttributes& attributes = node.attributes;
  std::vector<wire::NsExtent> extents = std::move(node.extents);
  bool end = (attributes.flags & wire::kNsExtentsMore) == 0;
  while (!end) {
    wire::NsGetExtents request;
    request.inode = attributes.inode;
    request.offset = extents.empty() ? 0 : extents.back().offset + extents.back().length;
    wire::Bytes encoded = wire::encode(request);
    CAIRN_CO_TRY(answer, co_await ask(NsOp::extents, std::move(encoded)));
    CAIRN_CO_TRY(reply, wire::decode_lenient<wire::NsExtentsReply>(answer));
    end = reply.end || reply.extents.empty();
    std::ranges::move(reply.extents, std::back_inserter(extents));
  }
  // A small file is one stored file, and if that is of this group it is sent as such.
  if (extents.size() == 1 && extents[0].offset == 0 && extents[0].source == 0 &&
      extents[0].length == attributes.size) {
    const auto id = parse_file_id(extents[0].id);
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

Task<HttpReply> ExportResolver::list(wire::NsNodeReply directory) {
  nlohmann::json entries = nlohmann::json::array();
  wire::NsReaddir request;
  request.inode = directory.attributes.inode;
  request.attributes = true;
  request.bytes_max = 512 * 1024;
  constexpr std::size_t kEntriesMax = 100'000;
  for (bool end = false; !end && entries.size() < kEntriesMax;) {
    wire::Bytes encoded = wire::encode(request);
    const auto answer = co_await ask(NsOp::readdir, std::move(encoded));
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
