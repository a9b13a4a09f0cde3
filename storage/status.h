// What a storage node tells about itself: heartbeats, /status, /metrics.
#pragma once

#include "common/base/metrics_text.h"
#include "common/net/listener.h"
#include "storage/handlers/context.h"
#include "storage/scrub/integrity.h"
#include "storage/tracker_link/tracker_link.h"

#include <chrono>
#include <string>
#include <vector>

namespace cairn::storage {

class NodeStatus {
public:
  // All outlive it.
  NodeStatus(Context& context, const Integrity& integrity, const ConnectionGauge& frames,
             const ConnectionGauge& http)
      : context_(context), integrity_(integrity), frames_(frames), http_(http) {}

  // Once the link exists.
  void set_link(const TrackerLink* link) { link_ = link; }

  // For TrackerLink: everything but who we are. Any thread.
  void fill(wire::Heartbeat& heartbeat) const;
  // The JSON of /status and of the admin verb `status`.
  std::string json() const;
  // The node's families of /metrics.
  void metrics(MetricsText& out) const;
  // Names of the checks that keep /readyz from being green.
  std::vector<std::string> failing_checks() const;

private:
  Context& context_;
  const Integrity& integrity_;
  const ConnectionGauge& frames_;
  const ConnectionGauge& http_;
  const TrackerLink* link_ = nullptr;
  const std::chrono::system_clock::time_point started_ = std::chrono::system_clock::now();
};

} // namespace cairn::storage
