// Stores what the URL rules pull from old servers, as an upload is stored.
#pragma once

#include "storage/handlers/context.h"
#include "storage/rules/origins.h"

namespace cairn::storage {

class StoreKeeper final : public ObjectKeeper {
public:
  // `context` outlives the keeper.
  explicit StoreKeeper(Context& context) : context_(context) {}

  Task<Result<std::string>> keep(std::string extension, std::uint64_t size_max, PullBody& body,
                                 Arriving& arriving) override;
  std::string group() const override { return context_.config.group_name; }

private:
  Context& context_;
};

} // namespace cairn::storage
