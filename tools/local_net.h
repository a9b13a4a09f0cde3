// Which 127.B.x.y addresses belong to which local cluster, so that clusters of one user never
// collide: a claim file per B in a directory of the user's own, changed under a lock.
//
// A claim holds the root of its cluster and lasts as long as that root has the cluster: it stays
// over `down`, so that a later `up` gets the same addresses. A claim whose root is gone or says
// something else is nobody's. When every B is claimed, that of a cluster that does not run is
// taken.
#pragma once

#include "common/base/result.h"

#include <filesystem>
#include <functional>
#include <optional>

namespace cairn::tools {

inline constexpr unsigned kAutoNetFirst = 64;
inline constexpr unsigned kAutoNetLast = 191;

class LocalNets {
public:
  // What the caller knows about another root: its B (nullopt: it has no cluster), and whether any
  // of its daemons runs.
  struct Owner {
    std::optional<unsigned> net;
    bool running = false;
  };
  using Look = std::function<Owner(const std::filesystem::path& root)>;
  // Whether the addresses of B can be bound, for what else may use them.
  using Usable = std::function<bool(unsigned net)>;

  // `directory` is made when missing (mode 0700).
  LocalNets(std::filesystem::path directory, Look look, Usable usable);

  // The directory of this user.
  static std::filesystem::path standard_directory();

  // Claims a free B for `root`. `turn` says where to begin. Errors: unavailable (all in use),
  // io_error.
  Result<unsigned> claim_any(const std::filesystem::path& root, unsigned turn);
  // Claims B for `root`, which may have it already. Errors: exists (a cluster with daemons running
  // has it), io_error.
  Status claim(unsigned net, const std::filesystem::path& root);
  // Gives up the claim, if `root` has it.
  Status release(unsigned net, const std::filesystem::path& root);

private:
  std::filesystem::path claim_file(unsigned net) const;
  std::optional<std::filesystem::path> holder(unsigned net) const;
  Status write_claim(unsigned net, const std::filesystem::path& root) const;

  std::filesystem::path directory_;
  Look look_;
  Usable usable_;
};

} // namespace cairn::tools
