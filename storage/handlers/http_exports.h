// Paths of the namespace over HTTP: GET and HEAD of /EXPORT/path for public exports, on every node.
// What a path means is asked of a tracker and remembered for a moment; the bytes come from this
// node's disk where they are, else from the nodes that have them.
#pragma once

#include "common/net/mime_types.h"
#include "common/wire/namespace_ops.h"
#include "storage/handlers/context.h"
#include "storage/http/file_source.h"
#include "storage/http/resolver.h"

#include <string>
#include <vector>

namespace cairn::storage {

class ExportResolver final : public Resolver {
public:
  // All of them outlive this.
  ExportResolver(Context& context, FileSource& files, const MimeTypes& types)
      : context_(context), files_(files), types_(types) {}

  // Every path that begins with what could be an export: it is the last to be asked.
  bool claims(const ResolvedUrl& url) const override;
  Task<HttpReply> answer(ResolvedUrl url) override;

private:
  // An operation's answer, or its errno.
  Task<Result<wire::Bytes>> ask(wire::NsOp op, wire::Bytes request);
  Task<Result<wire::NsResolveReply>> resolve(std::string path);
  Task<Result<OpenFile>> open(wire::NsNodeReply node);
  Task<HttpReply> list(wire::NsNodeReply directory);
  // Writes [offset, offset + length) of a file with these extents.
  Task<Status> send(Connection& to, std::vector<wire::NsExtent> extents, std::uint64_t offset,
                    std::uint64_t length);
  Task<Status> send_stored(Connection& to, std::string id, std::uint64_t offset,
                           std::uint64_t length);
  // From a group that this node is no member of.
  Task<Status> send_foreign(Connection& to, std::string group, std::string name,
                            std::uint64_t offset, std::uint64_t length);

  Context& context_;
  FileSource& files_;
  const MimeTypes& types_;
};

} // namespace cairn::storage
