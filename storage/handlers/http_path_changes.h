// PUT and DELETE of /EXPORT/path over HTTP, with an access key or a signed URL: the bytes are
// stored here and named by the tracker, all of it or nothing.
#pragma once

#include "storage/handlers/context.h"
#include "storage/handlers/http_exports.h"
#include "storage/http/guard.h"
#include "storage/http/resolver.h"

#include <atomic>
#include <string>

namespace cairn::storage {

class PathChanges final : public Resolver {
public:
  // All of them outlive it.
  PathChanges(Context& context, HttpGuard& guard, ExportResolver& exports)
      : context_(context), guard_(guard), exports_(exports) {}

  // PUT and DELETE of what could be in an export.
  bool claims(const ResolvedUrl& url) const override;
  Task<HttpReply> answer(ResolvedUrl url) override;

private:
  Task<HttpReply> put(const HttpRequest& request, const Grant& grant, std::string path);
  Task<HttpReply> remove(const HttpRequest& request, const Grant& grant, std::string path);
  // A member of one of these groups that takes uploads; empty: none is known.
  std::string other_place(const wire::NsExport& of) const;

  Context& context_;
  HttpGuard& guard_;
  ExportResolver& exports_;
  std::atomic<std::uint32_t> uploads_{0}; // under way
};

} // namespace cairn::storage
