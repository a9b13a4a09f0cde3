// What a job copies and how: rsync's habits as plain values. Kept with the job, so that `resume`
// needs no flags.
#pragma once

#include "common/base/result.h"

#include <nlohmann/json_fwd.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cairn::migrate {

// How content gets into the cluster.
enum class CopyMode : std::uint8_t {
  copy,  // it is read here and sent
  adopt, // a storage node on this machine takes the files over where they lie
};

struct CopyOptions {
  CopyMode mode = CopyMode::copy;
  // Nobody writes into the source's files any more: they may become the stored ones (hard links).
  bool source_frozen = false;

  // --- what is taken
  // Of a web server: a file with a path or URL a line, or an access log; empty: its index pages.
  std::string url_list;
  bool url_list_is_log = false;
  std::vector<std::string> rules;      // see Filter::add()
  std::vector<std::string> files_from; // only these; empty: all
  std::uint64_t size_min = 0;
  std::uint64_t size_max = UINT64_MAX;
  std::chrono::seconds age_min{0}; // since the last change
  std::chrono::seconds age_max = std::chrono::seconds::max();
  bool copy_links = false; // -L: what a symlink points to, in its place
  bool safe_links = false; // no symlinks that lead out of the tree
  bool hard_links = true;  // several names of a file stay one file

  // --- what counts as changed
  bool checksum = false;     // -c: content is compared, whatever the times say
  bool size_only = false;    // only sizes are compared
  bool ignore_times = false; // -I: everything is copied again
  std::chrono::nanoseconds modify_window{0};
  bool update = false;          // -u: what is newer at the destination stays
  bool existing = false;        // only what is at the destination already
  bool ignore_existing = false; // only what is not
  // In a directory whose own times have not changed, names and files are taken to be as they were.
  // Files written in place are not seen then.
  bool quick = false;

  // --- what is done
  // Content that the job has stored already is not stored again: the files share it.
  bool dedupe = false;
  bool remove = false; // --delete
  std::optional<std::uint64_t> removals_max;
  unsigned jobs = 32;     // files on their way at a time
  unsigned scan_jobs = 4; // directories listed at a time
  std::string bwlimit;
  std::uint64_t memory = std::uint64_t{256} << 20; // bytes, about
  std::chrono::milliseconds source_latency{0};     // slower: fewer readers; 0: never
  std::chrono::seconds timeout{120};               // without any success the run ends

  CopyOptions() {}
};

nlohmann::json to_json(const CopyOptions& options);
// Errors: invalid_argument.
Result<CopyOptions> options_from_json(const nlohmann::json& document);

} // namespace cairn::migrate
