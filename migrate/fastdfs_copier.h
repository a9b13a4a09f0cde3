// Work whose source is a node of FastDFS and whose destination a group of the same name: each file
// keeps its ID, its time and its metadata.
#pragma once

#include "migrate/fastdfs_source.h"
#include "migrate/group_destination.h"
#include "migrate/worker.h"

#include <memory>
#include <string>

namespace cairn::migrate {

class FastdfsCopier final : public Worker {
public:
  FastdfsCopier(Ledger& ledger, GroupDestination& destination, Options options, Limiter& limiter,
                Tally& tally, Record record);

  bool postponed(const std::string&, const WorkRow&) const override { return false; }
  void end_removals() override {}
  Task<void> remove(std::string path) override;
  Task<void> finish_directory(std::string) override { co_return; }

private:
  using Content = std::shared_ptr<FastdfsContent>;

  Task<Status> attempt(Attempt& at) override;
  void forget(std::string_view) override {}
  bool postpone(const std::string&, const Error&) override { return false; }

  Task<Status> copy_file(Attempt& at);
  Task<Status> copy_metadata(Attempt& at);
  Task<Status> vanish(Attempt& at);
  Task<Result<Content>> read(std::string path);
  // Stores it, or brings what is stored up to date. Answers whether it was there.
  Task<Result<bool>> store(Attempt& at, Content content);
  Task<Status> remove_one(std::string path);

  GroupDestination& destination_;
};

} // namespace cairn::migrate
