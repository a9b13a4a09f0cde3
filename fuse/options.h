// The command line of cairn-mount: what is mounted where, and the options of mount(8), FUSE and
// Cairn. Pure text in, plain values out.
#pragma once

#include "cairn/types.h"

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::fuse {

struct MountOptions {
  std::vector<Address> trackers; // empty: those of `conf`
  std::filesystem::path conf;    // a client.conf; empty: none
  std::string source;            // as it was given, for /proc/mounts
  std::string export_name;       // empty: all exports
  std::string path;              // below the export's root, without '/' in front; empty: all of it
  std::string directory;         // where
  bool foreground = false;
  bool fake = false; // mount(8) only wants to know whether it would be called well
  bool help = false;
  bool version = false;

  bool read_only = false;
  bool soft = false;                         // EIO after `timeout`, in place of waiting
  std::chrono::milliseconds timeout{30'000}; // -o timeout=SECONDS
  std::chrono::milliseconds cache{10'000};   // -o cache=SECONDS: the kernel's, of names, attributes
  bool writeback = false;                    // the kernel gathers writes
  bool acl = false;                          // POSIX access control lists
  std::optional<std::uint32_t> uid, gid;     // who seems to own everything
  std::optional<std::uint32_t> umask;        // permission bits that nobody seems to have
  // What libfuse is told: "allow_other", "ro", "nosuid", "fsname=…", …
  std::vector<std::string> kernel;

  MountOptions() {}
};

// Reads the command line; `arguments` begins with the program's name (called mount.cairn, it takes
// the flags of mount(8)). `environment` answers CAIRN_TRACKER and CAIRN_CONF, or nullptr. With
// `root` others may use the mount, as is usual for those of fstab. Errors: invalid_argument, in
// words for people.
Result<MountOptions> parse_mount_options(const std::vector<std::string>& arguments,
                                         const std::function<const char*(const char*)>& environment,
                                         bool root);

// What --help prints.
std::string_view mount_help();

} // namespace cairn::fuse
