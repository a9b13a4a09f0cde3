// Paths of the namespace over HTTP: GET and HEAD of /EXPORT/path on every node, by anybody for
// public exports, with an access key or a signature for others. Changes are in http_path_changes.h.
// What a path means is asked of a tracker and remembered for a moment; the bytes come from this
// node's disk where they are, else from the nodes that have them.
#pragma once

#include "common/net/mime_types.h"
#include "common/wire/namespace_paths.h"
#include "storage/handlers/context.h"
#include "storage/http/file_reply.h"
#include "storage/http/file_source.h"
#include "storage/http/guard.h"
#include "storage/http/resolver.h"

#include <memory>
#include <string>
#include <vector>

namespace cairn::storage {

class ExportResolver final : public Resolver {
public:
  // All of them outlive this.
  ExportResolver(Context& context, HttpGuard& guard, FileSource& files, const MimeTypes& types)
      : context_(context), guard_(guard), files_(files), types_(types) {}

  // Every path that begins with what could be an export: it is the last to be asked.
  bool claims(const ResolvedUrl& url) const override;
  Task<HttpReply> answer(ResolvedUrl url) override;

  // How an export is set, as of the last second. Errors: not_found, unavailable.
  Task<Result<wire::NsExport>> options_of(std::string name);
  // Changes a path; the answer of NsChangePath, or its errno.
  Task<Result<wire::Bytes>> change(wire::NsChangePath request);

private:
  // As whom the tracker is asked.
  enum class As : std::uint8_t { nobody, trusted };

  static std::string key_of(As as, const std::string& path);
  static void send_by_front(const HttpRequest& request, const std::string& id, const OpenFile& file,
                            const FileReplyContext& context, HttpReply& reply);
  // A message of NsOnceReply from any tracker: its content, or its errno.
  Task<Result<wire::Bytes>> call(std::uint8_t command, wire::Bytes body);
  Task<Result<wire::Bytes>> ask(As as, wire::NsOp op, wire::Bytes request);
  // What a path means, shared with what is remembered of it.
  using Meaning = std::shared_ptr<const wire::NsResolveReply>;
  Task<Result<Meaning>> resolve(As as, std::string path);
  // `node` lives until that is done.
  Task<Result<OpenFile>> open(As as, const wire::NsNodeReply& node);
  Task<HttpReply> list(As as, std::uint64_t directory);
  // Writes [offset, offset + length) of a file with these extents.
  Task<Status> send(Connection& to, std::vector<wire::NsExtent> extents, std::uint64_t offset,
                    std::uint64_t length);
  Task<Status> send_stored(Connection& to, std::string id, std::uint64_t offset,
                           std::uint64_t length);
  // From a group that this node is no member of.
  Task<Status> send_foreign(Connection& to, std::string group, std::string name,
                            std::uint64_t offset, std::uint64_t length);

  Context& context_;
  HttpGuard& guard_;
  FileSource& files_;
  const MimeTypes& types_;
};

} // namespace cairn::storage
