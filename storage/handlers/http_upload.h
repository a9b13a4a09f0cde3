// POST, PUT and DELETE of files over HTTP: the same store and log as the FastDFS commands.
//
//   POST|PUT /group1[/NAME.EXT]     a new file; its ID is in the answer (JSON)
//   POST     /group1                multipart/form-data with one file, as browsers send it
//   DELETE   /group1/M00/…          or /M00/…
#pragma once

#include "storage/handlers/context.h"
#include "storage/http/guard.h"
#include "storage/http/resolver.h"

#include <atomic>
#include <string>
#include <string_view>

namespace cairn::storage {

class HttpChanges : public Resolver {
public:
  // Both outlive it.
  HttpChanges(Context& context, HttpGuard& guard) : context_(context), guard_(guard) {}

  bool claims(const ResolvedUrl& url) const override;
  Task<HttpReply> answer(ResolvedUrl url) override;

private:
  Task<HttpReply> upload(const HttpRequest& request, const Grant& grant, std::string file_name);
  Task<HttpReply> remove(const HttpRequest& request, const std::string& path);

  Context& context_;
  HttpGuard& guard_;
  std::atomic<std::uint32_t> uploads_{0}; // under way
};

} // namespace cairn::storage
