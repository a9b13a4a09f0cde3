// The status page: plain HTML without scripts or anything from elsewhere.
#include "common/base/html.h"
#include "common/base/text.h"
#include "tracker/http/http.h"

#include <array>
#include <cstdio>

namespace cairn::tracker {

namespace {

constexpr std::string_view kHead =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta http-equiv=\"refresh\" content=\"5\"><title>Cairn</title>\n<style>\n"
    "body{font:15px/1.4 sans-serif;margin:2em;color:#222}\n"
    "table{border-collapse:collapse;margin:.5em 0 1.5em}\n"
    "th,td{text-align:left;padding:.25em .9em;border-bottom:1px solid #ddd}\n"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}\n"
    ".good{color:#176d2f}.bad{color:#b00020;font-weight:bold}.wait{color:#8a5a00}\n"
    "</style></head><body>\n";

std::string size_text(std::uint64_t bytes) {
  static constexpr std::array<const char*, 6> kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text.data();
}

std::string cell(std::string_view text) {
  return "<td>" + html_escape(text) + "</td>";
}
std::string number(std::string_view text) {
  return "<td class=\"n\">" + html_escape(text) + "</td>";
}

std::string header(std::initializer_list<std::string_view> names) {
  std::string row = "<table><tr>";
  for (const auto name : names) row += "<th>" + html_escape(name) + "</th>";
  return row + "</tr>\n";
}

std::string state_cell(const Node& node) {
  std::string_view style = "wait";
  if (node.state == wire::NodeState::active) style = "good";
  if (node.state == wire::NodeState::offline) style = "bad";
  std::string text(describe(node.state));
  if (node.fact.draining) text += ", draining";
  return "<td class=\"" + std::string(style) + "\">" + html_escape(text) + "</td>";
}

std::string alarm_list(Tracker& tracker) {
  const auto found = alarms(tracker);
  if (found.empty()) return "<p class=\"good\">No alarms.</p>\n";
  std::string out = "<ul>";
  for (const Alarm& alarm : found)
    out += "<li class=\"" + std::string(alarm.severity == "error" ? "bad" : "wait") + "\">" +
           html_escape(alarm.message) + "</li>";
  return out + "</ul>\n";
}

std::string node_table(const ClusterState& cluster) {
  std::string out = "<h2>Nodes</h2>\n" + header({"Group", "Node", "Address", "State", "Files",
                                                 "Free", "Size", "Version"});
  for (const auto& [name, fact] : cluster.facts().groups()) {
    for (const Node* node : cluster.members(name)) {
      out += "<tr>" + cell(name) + cell(node->fact.id_text()) +
             cell(HostPort{node->fact.host, node->fact.port}.text()) + state_cell(*node) +
             number(std::to_string(node->report.file_count)) +
             number(size_text(node->free_bytes())) + number(size_text(node->total_bytes())) +
             cell(node->join.program_version) + "</tr>\n";
    }
  }
  return out + "</table>\n";
}

std::string sync_table(const ClusterState& cluster) {
  std::string rows;
  for (const auto& [id, node] : cluster.nodes()) {
    if (node.fact.deleted) continue;
    for (const auto& sync : node.report.peers) {
      std::string progress = sync.brought_up ? "follows" : "not brought up";
      if (sync.phase == wire::SyncPhase::bring_up)
        progress = "bring-up " + std::to_string(sync.bring_up_done) + " of " +
                   std::to_string(sync.bring_up_total);
      if (sync.phase == wire::SyncPhase::disconnected) progress = "disconnected";
      rows += "<tr>" + cell(node.fact.group) + cell(node.fact.id_text()) +
              cell(std::to_string(sync.peer_id)) + cell(progress) +
              number(std::to_string(sync.backlog_files)) + number(size_text(sync.backlog_bytes)) +
              number(std::to_string(sync.lag_ms / 1000) + " s") + "</tr>\n";
    }
  }
  if (rows.empty()) return {};
  return "<h2>Sync</h2>\n" + header({"Group", "From", "To", "Phase", "Files", "Bytes", "Age"}) +
         rows + "</table>\n";
}

} // namespace

std::string status_page(Tracker& tracker) {
  std::string out(kHead);
  out += "<h1>Cairn</h1>\n<p>Cluster " + html_escape(tracker.cluster().facts().cluster_uuid()) +
         ", version " CAIRN_VERSION "</p>\n" + alarm_list(tracker);
  out += "<h2>Trackers</h2>\n" + header({"Address", "Role", "State"});
  for (const TrackerSeen& seen : tracker.trackers(nullptr)) {
    out += "<tr>" + cell(seen.address) + cell(seen.holder ? "holder" : "follower") +
           "<td class=\"" + (seen.connected ? "good\">connected" : "bad\">silent") + "</td></tr>\n";
  }
  out += "</table>\n" + node_table(tracker.cluster()) + sync_table(tracker.cluster());
  return out + "</body></html>\n";
}

} // namespace cairn::tracker
