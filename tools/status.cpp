// cairn status
#include "tools/admin.h"
#include "tools/context.h"
#include "tools/nodes.h"
#include "tools/status_model.h"
#include "tools/verbs.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>

namespace cairn::tools {

namespace {

constexpr std::chrono::seconds kAskTimeout{3};

// Trackers of our own list that do not answer: the one that did may not know them.
std::vector<std::string> silent_trackers(Client& client, const ClientOptions& options) {
  std::vector<std::string> silent;
  for (const Address& tracker : options.trackers) {
    const auto reply = client.admin_at(tracker, R"({"verb":"group.ls"})", kAskTimeout);
    // An answer is an answer, whatever it says.
    const bool reached = reply || (reply.code() != Errc::unavailable &&
                                   reply.code() != Errc::timeout && reply.code() != Errc::closed);
    if (!reached) silent.push_back(tracker.text());
  }
  return silent;
}

std::string lag_text(const ClusterStatus& status, std::uint32_t id) {
  const std::uint64_t files = status.lag_files_of(id);
  if (files == 0) return "0";
  std::string seconds = std::to_string(static_cast<std::uint64_t>(status.lag_seconds_of(id)));
  return std::to_string(files) + " (" + seconds + " s)";
}

std::string state_text(const ClusterStatus& status, const StatusNode& node) {
  std::string text = node.state;
  if (node.node.draining) text += ", draining";
  // Several peers bring it up side by side.
  std::uint64_t done = 0;
  std::uint64_t total = 0;
  std::uint64_t left_s = 0;
  for (const StatusSync& sync : status.sync) {
    if (sync.to != node.node.id || sync.phase != "bring_up") continue;
    done += sync.bring_up_done;
    total += sync.bring_up_total;
    left_s = std::max(left_s, sync.bring_up_left_seconds);
  }
  if (total != 0) text += ", filled to " + std::to_string(done * 100 / total) + "%";
  if (left_s != 0) text += ", about " + std::to_string(left_s) + " s left";
  return text;
}

void show(const Context& context, const ClusterStatus& status,
          const std::vector<std::string>& silent) {
  Table trackers({"TRACKER", "ROLE", "STATE"});
  for (const StatusTracker& tracker : status.trackers)
    trackers.add({tracker.address, tracker.role, tracker.connected ? "up" : "DOWN"});
  for (const std::string& address : silent) {
    const bool listed = std::any_of(status.trackers.begin(), status.trackers.end(),
                                    [&](const StatusTracker& t) { return t.address == address; });
    if (!listed) trackers.add({address, "-", "DOWN"});
  }
  context.answer(trackers.text());

  Table groups({"GROUP", "ACTIVE", "FILES", "FREE", "OF", "UPLOADS"});
  for (const StatusGroup& group : status.groups)
    groups.add({group.name, std::to_string(group.active) + "/" + std::to_string(group.nodes),
                std::to_string(group.files), human_bytes(group.free_bytes),
                human_bytes(group.total_bytes), group.takes_uploads ? "yes" : "NO"});
  context.answer("\n" + groups.text());

  Table nodes({"NODE", "ID", "GROUP", "ADDRESS", "STATE", "FILES", "FREE", "MISSING"});
  auto sorted = status.nodes;
  std::sort(sorted.begin(), sorted.end(), [](const StatusNode& a, const StatusNode& b) {
    return std::tie(a.node.group, a.node.address) < std::tie(b.node.group, b.node.address);
  });
  for (const StatusNode& node : sorted)
    nodes.add({node_name(node.node), std::to_string(node.node.id), node.node.group,
               node.node.address.text(), state_text(status, node), std::to_string(node.files),
               human_bytes(node.free_bytes), lag_text(status, node.node.id)});
  context.answer("\n" + nodes.text());

  if (status.alarms.empty()) {
    context.say("\nno alarms");
    return;
  }
  context.answer("");
  for (const StatusAlarm& alarm : status.alarms)
    context.answer(alarm.severity + ": " + alarm.message + " [" + alarm.code + "]");
}

} // namespace

int run_status(Context& context, const StatusArgs&) {
  const auto options = context.client_options();
  if (!options) return context.fail("status", options.error());
  auto client = context.client();
  if (!client) return context.fail("status", client.error());
  const nlohmann::json request{{"verb", "status"}};
  auto reply = admin(**client, request);
  if (!reply) return context.fail("status", reply.error());
  const ClusterStatus status = read_status(*reply);
  const auto silent = silent_trackers(**client, *options);
  const bool degraded = status.is_degraded() || !silent.empty();
  if (context.json()) {
    (*reply)["degraded"] = degraded;
    (*reply)["trackers_unreachable"] = silent;
    context.answer_json(*reply);
  } else {
    show(context, status, silent);
  }
  return degraded ? kDegraded : kGood;
}

} // namespace cairn::tools
