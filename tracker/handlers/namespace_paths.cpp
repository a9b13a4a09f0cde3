// native 205 and 206: paths of the namespace for storage nodes.
#include "common/wire/namespace_paths.h"

#include "tracker/handlers/commands.h"
#include "tracker/handlers/namespace_service.h"

#include <cerrno>
#include <utility>

namespace cairn::tracker {

namespace {

using wire::NsOp;

// One operation of a change, with its own messages.
template <class Reply, class Request>
Result<Reply> run(Evaluation& evaluation, NsOp op, const Request& request) {
  CAIRN_TRY(bytes, evaluation.run(op, wire::encode(request)));
  return wire::decode_lenient<Reply>(bytes);
}

// Walks to the directory of the path, and makes what is missing of it when it is `owner`'s.
Result<std::uint64_t> walk(Evaluation& evaluation, std::vector<std::string> parts, bool make) {
  std::uint64_t at = wire::kNsRootInode;
  Inode owner;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    wire::NsLookup lookup;
    lookup.parent = at;
    lookup.name = parts[i];
    auto found = run<wire::NsNodeReply>(evaluation, NsOp::lookup, lookup);
    if (!found && found.code() == Errc::not_found && make && i > 0) {
      wire::NsMkdir mkdir;
      mkdir.parent = at;
      mkdir.name = parts[i];
      mkdir.set = wire::kNsSetUid | wire::kNsSetGid;
      mkdir.uid = owner.uid;
      mkdir.gid = owner.gid;
      found = run<wire::NsNodeReply>(evaluation, NsOp::mkdir, mkdir);
    }
    if (!found) return std::move(found).error();
    if (found->attributes.type != NsType::directory) return errno_of(ENOTDIR);
    at = found->attributes.inode;
    if (i == 0) {
      CAIRN_TRY(root, evaluation.load(at));
      owner = std::move(root);
    }
  }
  return at;
}

Result<wire::Bytes> change(Evaluation& evaluation, const wire::NsChangePath& request) {
  std::vector<std::string> parts;
  std::string_view rest = request.path;
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, rest.find('/'));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    if (part.empty()) continue;
    if (part == "." || part == "..") return errno_of(EINVAL, "a path with " + std::string(part));
    parts.emplace_back(part);
  }
  // An export itself is made by other means.
  if (parts.size() < 2) return errno_of(EISDIR);
  const std::string name = std::move(parts.back());
  parts.pop_back();
  const bool put = request.kind == wire::NsPathChange::put;
  if (!put && request.kind != wire::NsPathChange::remove) return errno_of(EINVAL);
  const std::string export_name = parts.front();
  CAIRN_TRY(parent, walk(evaluation, std::move(parts), put));
  wire::NsLookup lookup;
  lookup.parent = parent;
  lookup.name = name;
  const auto there = run<wire::NsNodeReply>(evaluation, NsOp::lookup, lookup);
  if (!there && there.code() != Errc::not_found) return there.error();
  if (!put) {
    if (!there) return there.error();
    wire::NsRemove remove;
    remove.parent = parent;
    remove.name = name;
    const bool directory = there->attributes.type == NsType::directory;
    return evaluation.run(directory ? NsOp::rmdir : NsOp::unlink, wire::encode(remove));
  }
  // Sent again because its answer was lost: it has been done.
  if (there && there->attributes.type == NsType::regular && !request.extents.empty() &&
      there->extents.size() == request.extents.size() &&
      there->extents.front().id == request.extents.front().id) {
    wire::NsPathReply done;
    done.node = *there;
    done.created = true;
    return wire::encode(done);
  }
  CAIRN_TRY(top, run<wire::NsNodeReply>(evaluation, NsOp::lookup, [&] {
              wire::NsLookup of;
              of.parent = wire::kNsRootInode;
              of.name = export_name;
              return of;
            }()));
  wire::NsCreate create;
  create.parent = parent;
  create.name = name;
  create.existing = request.exclusive ? wire::NsExisting::fail : wire::NsExisting::truncate;
  create.extents = request.extents;
  create.size = request.size;
  create.set = wire::kNsSetUid | wire::kNsSetGid;
  create.uid = top.attributes.uid;
  create.gid = top.attributes.gid;
  wire::NsPathReply reply;
  CAIRN_TRY(made, run<wire::NsNodeReply>(evaluation, NsOp::create, create));
  reply.node = std::move(made);
  reply.created = !there;
  return wire::encode(reply);
}

} // namespace

Task<Result<Reply>> ask_trusted(Tracker& tracker, Session&, Body& body) {
  if (tracker.namespace_service() == nullptr) {
    wire::Bytes request(body.whole().begin(), body.whole().end());
    CAIRN_CO_TRY(reply, co_await tracker.forward(static_cast<std::uint8_t>(wire::kNsAskTrusted),
                                                 std::move(request)));
    co_return Reply(std::move(reply));
  }
  CAIRN_CO_TRY(once, wire::decode_lenient<wire::NsOnce>(body.whole()));
  switch (once.op) {
    case NsOp::resolve:
    case NsOp::lookup:
    case NsOp::getattr:
    case NsOp::readdir:
    case NsOp::extents:
    case NsOp::exports:
      break;
    default:
      co_return Error{Errc::invalid_argument, "not a question of storage nodes'"};
  }
  Caller caller;
  caller.admin = true;
  Outcome outcome = co_await tracker.namespace_service()->writer().ask(once.op, std::move(caller),
                                                                       std::move(once.request));
  wire::NsOnceReply reply;
  reply.status = outcome.status;
  reply.position = outcome.position;
  reply.reply = std::move(outcome.body);
  co_return Reply(wire::encode(reply));
}

Task<Result<Reply>> change_path(Tracker& tracker, Session&, Body& body) {
  if (tracker.namespace_service() == nullptr) {
    wire::Bytes request(body.whole().begin(), body.whole().end());
    CAIRN_CO_TRY(reply, co_await tracker.forward(static_cast<std::uint8_t>(wire::kNsChangePath),
                                                 std::move(request)));
    co_return Reply(std::move(reply));
  }
  NamespaceService& service = *tracker.namespace_service();
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::NsChangePath>(body.whole()));
  auto answer = std::make_shared<wire::Bytes>();
  std::function<Result<std::uint64_t>(Evaluation&)> work =
      [request = std::move(request), answer](Evaluation& evaluation) -> Result<std::uint64_t> {
    CAIRN_TRY(bytes, change(evaluation, request));
    *answer = std::move(bytes);
    return std::uint64_t{0};
  };
  const auto done = co_await service.writer().internal(std::move(work));
  wire::NsOnceReply reply;
  reply.position = service.writer().position();
  if (done) {
    reply.reply = std::move(*answer);
  } else {
    reply.status = wire_status(done.code());
    reply.reply = wire::to_bytes(done.error().detail);
  }
  co_return Reply(wire::encode(reply));
}

} // namespace cairn::tracker
