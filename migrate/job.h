// A named job: a folder with its description, its ledger and a lock that one process holds.
//
//   STATE/NAME/job.json     source, destination, cluster, options, numbers of runs and passes
//              status.json  what the run that is under way says of itself, about once a second
//              lock         held by the process that works on the job; holds its pid
//              ledger/      see migrate/ledger.h
//              spill/       temporary
//              stop         somebody asks the process to stop (`pause`)
#pragma once

#include "migrate/ledger.h"
#include "migrate/options.h"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace cairn::migrate {

struct JobDescription {
  std::string id;           // UUID
  std::string source;       // absolute path of the tree's root
  std::string destination;  // "EXPORT[/PATH]"
  std::string cluster_uuid; // empty until the cluster was reached first
  CopyOptions options;
  std::int64_t created = 0; // unix seconds
  std::uint32_t runs = 0;
  std::uint32_t passes = 0;         // complete ones
  std::int64_t last_pass_begin = 0; // unix seconds, of the last complete one
  std::int64_t last_pass_end = 0;
  std::uint64_t last_pass_changes = 0;
  // The end of a verification without differences; 0: none since the last pass began.
  std::int64_t verified = 0;
  bool frozen = false;
  bool aborted = false;
};

class Job {
public:
  // Where jobs live: `given`, else CAIRN_STATE, else /var/lib/cairn/migrate if it can be written,
  // else the XDG state folder.
  static std::filesystem::path state_folder(const std::filesystem::path& given);

  // Makes a new one. Errors: exists, invalid_argument (a name that is none).
  static Result<Job> make(const std::filesystem::path& state, const std::string& name,
                          JobDescription description);
  // Errors: not_found, corrupt (its description).
  static Result<Job> load(const std::filesystem::path& state, const std::string& name);

  Job(Job&& other) noexcept;
  Job& operator=(Job&& other) noexcept;
  ~Job();

  const std::string& name() const { return name_; }
  const std::filesystem::path& folder() const { return folder_; }
  JobDescription& description() { return description_; }
  const JobDescription& description() const { return description_; }
  // Makes the description durable.
  Status save() const;

  // Takes the job for this process. Errors: busy (with the pid of who has it).
  Status lock();
  // The process that has it; nothing: nobody.
  std::optional<int> holder() const;

  // Errors: as Ledger::open(), with what to do.
  Result<std::unique_ptr<Ledger>> open_ledger() const;
  // Puts the ledger aside.
  Status put_ledger_aside() const;

  std::filesystem::path spill_folder() const { return folder_ / "spill"; }
  // What the running process says, if one does.
  std::optional<nlohmann::json> running_status() const;
  void write_status(const nlohmann::json& status) const;

  void ask_to_stop() const;
  bool asked_to_stop() const;
  void clear_stop() const;

private:
  Job(std::string name, std::filesystem::path folder)
      : name_(std::move(name)), folder_(std::move(folder)) {}

  std::string name_;
  std::filesystem::path folder_;
  JobDescription description_;
  int lock_ = -1;
};

} // namespace cairn::migrate
