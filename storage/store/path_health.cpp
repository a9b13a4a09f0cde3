// The states: ok; read_only (writes failed or are slow); failed (does not answer at all).
#include "storage/store/path_health.h"

#include <utility>

namespace cairn::storage {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using wire::PathState;

void PathHealth::become(PathState state, std::string cause) {
  state_ = state;
  cause_ = std::move(cause);
  good_ = 0;
}

bool PathHealth::met_error(const std::string& cause) {
  good_ = 0; // also while it is coming back
  if (state_ != PathState::ok) return false;
  become(PathState::read_only, cause);
  return true;
}

bool PathHealth::tick(Clock::time_point now, milliseconds longest_job) {
  suspicious_ = longest_job >= kSuspicious;
  const bool silent = probing_ && now - probe_since_ > kAnswerMax;
  if (!silent || state_ == PathState::failed) return false;
  become(PathState::failed,
         "the disk has not answered for " + std::to_string(kAnswerMax.count() / 1000) + " s");
  return true;
}

void PathHealth::probe_began(Clock::time_point now, bool writes) {
  probing_ = true;
  probe_writes_ = writes;
  probe_since_ = now;
}

bool PathHealth::probe_ended(Clock::time_point now, const std::string& cause) {
  probing_ = false;
  const auto took = duration_cast<milliseconds>(now - probe_since_);
  const PathState before = state_;
  if (!cause.empty()) {
    // A probe that cannot even ask for the free space finds no file system; one that cannot write
    // may still read.
    become(probe_writes_ ? PathState::read_only : PathState::failed, cause);
    return state_ != before;
  }
  if (took > kAnswerMax) {
    become(PathState::read_only, "the disk took " + std::to_string(took.count()) + " ms to answer");
    return state_ != before;
  }
  if (state_ == PathState::ok || !probe_writes_) return false;
  good_ = took <= kQuick ? good_ + 1 : 0;
  if (good_ < kGoodProbes) {
    state_ = PathState::read_only; // it answers again; writes come when it is steady
    return state_ != before;
  }
  become(PathState::ok, {});
  return true;
}

} // namespace cairn::storage
