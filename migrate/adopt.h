// cairn-migrate adopt: the directories of a FastDFS storage daemon become those of a Cairn storage
// node, in place, and can be given back.
#pragma once

#include "migrate/verbs.h"

#include <filesystem>

namespace cairn::migrate {

struct AdoptArgs {
  std::filesystem::path fastdfs; // its storage.conf
  bool dry_run = false;
  bool checksum = false;
  bool undo = false;
  bool keep_added = false;
  std::filesystem::path storage_ids; // of its trackers; empty: the one beside its storage.conf
  std::filesystem::path write_conf;  // a storage.conf for Cairn; empty: none is written
  std::filesystem::path base_path;   // in it; empty: "cairn" in that of FastDFS
};
int run_adopt(const Globals& globals, const AdoptArgs& args);

} // namespace cairn::migrate
