// Which sessions have which inodes open. Kept in memory only: sessions tell their opens again after
// a restart. Opens come on the tracker's I/O thread while a batch is evaluated on another.
#pragma once

#include "tracker/namespace/evaluation.h"

#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

namespace cairn::tracker {

class OpenTable final : public OpenFiles {
public:
  // --- of evaluations
  bool hold(std::uint64_t ino) override;
  void opened(std::uint64_t session, std::uint64_t ino) override;
  // The batch is over: without `committed` what it opened is not open after all.
  void settle(bool committed);

  // --- of sessions
  // False: `ino` is about to go.
  bool open(std::uint64_t session, std::uint64_t ino);
  // One open less; true when nobody has `ino` open any more.
  bool close(std::uint64_t session, std::uint64_t ino);
  // Ends all opens of a session; answers what nobody has open any more.
  std::vector<std::uint64_t> ended(std::uint64_t session);
  bool is_open(std::uint64_t ino) const;
  std::size_t count(std::uint64_t session) const;
  // While true every inode counts as open: after a restart nobody has told yet.
  void set_grace(bool grace);

private:
  bool close_locked(std::uint64_t session, std::uint64_t ino, std::uint64_t times);

  mutable std::mutex mutex_;                                               // guards all below
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint64_t> opens_; // session, inode: times
  std::map<std::uint64_t, std::uint64_t> inodes_;                          // times in all
  std::set<std::uint64_t> going_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> new_; // of the batch in evaluation
  bool grace_ = false;
};

} // namespace cairn::tracker
