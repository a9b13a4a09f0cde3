// What a client that makes many small requests remembers of the cluster for a moment, so that not
// every one of them asks a tracker first: who the nodes are, and where the last upload was sent.
// A wrong answer costs one failed try, after which the tracker is asked. Plain values, one thread.
#pragma once

#include "client/tracker_replies.h"
#include "common/wire/native.h"

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace cairn {

class Placement {
public:
  using Clock = std::chrono::steady_clock;
  using View = std::shared_ptr<const wire::ClusterView>;

  // Nodes are believed for `nodes`, the place of an upload for `places`: short, since the tracker
  // spreads uploads over nodes by giving each a turn.
  Placement(std::chrono::milliseconds nodes, std::chrono::milliseconds places)
      : nodes_for_(nodes), places_for_(places) {}

  void learn(View view, Clock::time_point now);
  // Null when there is none that is fresh enough.
  View view(Clock::time_point now) const;
  // The active node that took the file first and so surely has it; `name` is its name in `group`.
  std::optional<Address> source_of(std::string_view group, std::string_view name,
                                   Clock::time_point now) const;

  // Where uploads to `group` (empty: any) may go.
  void remember(const std::string& group, StorePlace place, Clock::time_point now);
  std::optional<StorePlace> place(const std::string& group, Clock::time_point now) const;
  // The node did not answer: nothing is sent there unasked any more.
  void failed(const Address& address);

private:
  struct Kept {
    StorePlace place;
    Clock::time_point until;
  };
  std::chrono::milliseconds nodes_for_;
  std::chrono::milliseconds places_for_;
  View view_;
  Clock::time_point view_until_;
  std::map<std::string, Kept> places_; // by the group that was asked for
};

} // namespace cairn
