// Takes the directories of a stopped FastDFS storage daemon over, in place, and gives them back.
// Plain files, metadata, slave and appender files stay as they are: Cairn's layout is theirs. What
// is stored in trunk files becomes a plain file under its name, and what is a symbolic link a hard
// link; the trunk files and the links are kept. Both can be stopped at any point and begun again.
// Blocks; one thread.
#pragma once

#include "migrate/adopted_path.h"
#include "migrate/fastdfs_node.h"
#include "migrate/fastdfs_trunk.h"
#include "migrate/sorted_names.h"

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace cairn::migrate {

// What one name turned out to be, when it is not simply there.
enum class Finding : std::uint8_t {
  damaged, // there, but not what its name says
  skipped, // not of FastDFS, or nothing that can be taken over
  missing, // FastDFS has logged that it was stored, and not that it was deleted
  unnamed, // in a trunk file, and no log says under which name
  // Of giving back:
  added,   // stored since
  changed, // since
  removed, // since
};
// "damaged" …
std::string_view describe(Finding finding);

struct AdoptReport {
  std::uint64_t normal = 0; // plain files by their kind
  std::uint64_t appender = 0;
  std::uint64_t slave = 0;
  std::uint64_t trunk = 0; // files out of trunk files
  std::uint64_t links = 0;
  std::uint64_t metadata = 0; // side files
  std::uint64_t bytes = 0;    // of all of these but metadata
  std::uint64_t trunk_bytes = 0;
  std::uint64_t deleted = 0; // names whose last log line is a delete
  FastdfsLog log;
  std::map<Finding, std::uint64_t> findings;
  // Who stored the files first, as the names have it ("10.0.0.7", "100001"), and how many.
  std::map<std::string, std::uint64_t> sources;
  std::string own_source; // of what this node was asked for itself; empty: not known

  std::uint64_t files() const { return normal + appender + slave + trunk + links; }
  std::uint64_t count(Finding finding) const {
    const auto found = findings.find(finding);
    return found == findings.end() ? 0 : found->second;
  }
};

struct AdoptOptions {
  bool dry_run = false;
  bool checksum = false;         // read every file and compare it with the checksum in its name
  bool keep_added = false;       // giving back: what was stored since stays where it is
  std::size_t memory = 64 << 20; // bytes for each of the lists of names
  // Each finding. `name` is a file ID, or a path where there is none.
  std::function<void(Finding finding, const std::string& name, const std::string& why)> tell;

  AdoptOptions() {}
};

class Adoption {
public:
  Adoption(FastdfsNode node, AdoptOptions options);

  // Takes the directories over, or tells what that would do. Errors: busy (FastDFS or Cairn runs
  // on them), exists (it was done before), no_space, unsupported, corrupt, io_error.
  Result<AdoptReport> adopt();
  // Gives them back as adopt() found them: what was stored since moves to data/.cairn-added/.
  // Errors: not_found (they were never taken over), busy, corrupt, io_error.
  Result<AdoptReport> give_back();

private:
  void found(Finding finding, const std::string& name, const std::string& why);
  Status open_paths(bool lock);
  const AdoptedPath* path_of(const RemoteName& name) const;
  std::string id_of(std::string_view remote) const {
    return node_.group + "/" + std::string(remote);
  }

  // --- the log
  Status read_log();
  Status note(const FastdfsChange& change, std::uint64_t sequence);
  Status look_for_missing();

  // --- plain files
  Status walk(const AdoptedPath& path);
  Status look_at(const AdoptedPath& path, const std::string& below, const DiskName& entry,
                 AdoptedListWriter* list);
  Status check_content(const AdoptedPath& path, const RemoteName& name);
  Status take_link(const AdoptedPath& path, const RemoteName& name);
  Result<std::filesystem::path> target_of(const AdoptedPath& path,
                                          const std::filesystem::path& link) const;
  void count(const RemoteName& name, std::uint64_t size);

  // --- trunk files (adoption_trunk.cpp)

  // What the log says of one trunk file.
  struct TrunkClaims {
    std::string file;                             // "M00/HH/LL/000001"
    std::vector<RemoteName> alive;                // stored, and not deleted
    std::map<std::uint32_t, std::uint32_t> slots; // where there ever was one, and its size
  };
  Status take_trunks();
  Status take_trunk(TrunkClaims claims);
  // True: the slot is that of `name`, which is taken over now.
  Result<bool> take_slot(const AdoptedPath& path, const TrunkFile& file, const RemoteName& name);
  Status keep_room(const AdoptedPath& path, std::uint64_t bytes) const;
  Status look_for_unnamed(const TrunkFile& file, const TrunkClaims& claims,
                          const std::set<std::uint32_t>& taken);
  Status take_trunk_links();
  // Whether a plain file under a trunk name is one that adopt() made.
  bool came_from_trunk(const AdoptedPath& path, const RemoteName& name) const;

  // --- giving back (adoption_undo.cpp)
  Status give_back(const AdoptedPath& path);
  Status restore_links(const AdoptedPath& path);
  Status added_since(const AdoptedPath& path, const std::string& below);
  Status forget(const AdoptedPath& path);

  FastdfsNode node_;
  AdoptOptions options_;
  AdoptReport report_;
  std::vector<AdoptedPath> paths_;
  SortedNames plain_; // of the log: name, NUL, sequence; the type is the operation
  SortedNames trunk_; // the same, behind the place of the slot
  std::map<std::string, std::uint64_t> own_; // sources of what the log says was asked of this node
  std::set<std::string> trunk_files_;        // that lie there: "M00/HH/LL/000001"
  std::vector<std::pair<RemoteName, std::string>> trunk_links_; // and what they mean
};

} // namespace cairn::migrate
