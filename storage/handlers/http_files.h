// The store as a source of files for HTTP.
#pragma once

#include "storage/handlers/context.h"
#include "storage/http/file_source.h"

namespace cairn::storage {

class StoreFiles : public FileSource {
public:
  // `context` outlives it.
  explicit StoreFiles(Context& context) : context_(context) {}

  Task<Result<OpenFile>> open(const RemoteName& name) override;
  Task<Result<std::string>> metadata(const RemoteName& name) override;
  std::string_view group() const override { return context_.config.group_name; }

private:
  Context& context_;
};

} // namespace cairn::storage
