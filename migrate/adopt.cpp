// The verb: what is told, and the configuration for the new node.
#include "migrate/adopt.h"

#include "common/base/durable_file.h"
#include "common/base/file_id.h"
#include "migrate/adoption.h"
#include "migrate/exit_codes.h"
#include "migrate/fastdfs_ids.h"

#include <nlohmann/json.hpp>

#include <chrono>
#include <string>

namespace cairn::migrate {

namespace {

namespace fs = std::filesystem;

std::string plural(std::uint64_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

// A storage.conf for a node on these directories. `client`: where its trackers and the cluster's
// secret come from, if the caller named a client.conf; else the trackers of FastDFS are taken over.
// `own_id`: the number of the node in the names of its files; 0: they have its address.
std::string conf_text(const FastdfsNode& node, const AdoptArgs& args,
                      const std::optional<ClientOptions>& client, std::uint32_t own_id) {
  const fs::path base = args.base_path.empty() ? node.base_path / "cairn" : args.base_path;
  std::string out =
      "# A storage node on the directories of FastDFS, made by cairn-migrate adopt "
      "from\n# " +
      args.fastdfs.string() + "\n";
  const auto line = [&out](const std::string& key, const std::string& value) {
    out += key + " = " + value + "\n";
  };
  line("group_name", node.group);
  if (!node.bind_addr.empty()) line("bind_addr", node.bind_addr);
  line("port", std::to_string(node.port));
  if (own_id != 0) line("server_id", std::to_string(own_id));
  line("base_path", base.string());
  line("store_path_count", std::to_string(node.store_paths.size()));
  for (std::size_t i = 0; i < node.store_paths.size(); ++i)
    line("store_path" + std::to_string(i), node.store_paths[i].string());
  line("subdir_count_per_path", std::to_string(node.subdir_count));
  if (client) {
    for (const Address& tracker : client->trackers) line("tracker_server", tracker.text());
    if (!client->cluster_secret_file.empty())
      line("cluster_secret_file", client->cluster_secret_file.string());
  } else {
    for (const std::string& tracker : node.trackers) line("tracker_server", tracker);
  }
  // Everybody may not be let in unasked (docs/security.md): those networks are to be written down.
  for (const std::string& hosts : node.allow_hosts)
    out += (hosts == "*" ? "# FastDFS let everybody in; name the networks of your applications:\n"
                           "# allow_hosts = 10.0.0.0/8\n"
                         : "allow_hosts = " + hosts + "\n");
  return out;
}

nlohmann::json to_json(const AdoptReport& report, const AdoptArgs& args, double seconds) {
  nlohmann::json out{{"event", "summary"},
                     {"dry_run", args.dry_run},
                     {"files", report.files()},
                     {"bytes", report.bytes},
                     {"normal", report.normal},
                     {"appender", report.appender},
                     {"slave", report.slave},
                     {"trunk", report.trunk},
                     {"trunk_bytes", report.trunk_bytes},
                     {"links", report.links},
                     {"metadata", report.metadata},
                     {"deleted", report.deleted},
                     {"log_files", report.log.files},
                     {"log_lines", report.log.lines},
                     {"log_damaged", report.log.damaged},
                     {"sources", report.sources},
                     {"own_source", report.own_source},
                     {"seconds", seconds}};
  for (const Finding finding :
       {Finding::damaged, Finding::skipped, Finding::missing, Finding::unnamed, Finding::added,
        Finding::changed, Finding::removed})
    out[std::string(describe(finding))] = report.count(finding);
  return out;
}

// The number that the node had in FastDFS; 0: none. Its names tell it; where no file came here
// first, or all did before numbers were used, its trackers' storage_ids.conf does.
std::uint32_t own_number(const AdoptReport& report, const FastdfsIds& ids, Output& output) {
  const auto own = parse_source_ref(report.own_source);
  const std::uint32_t by_names = own ? own->server_id().value_or(0) : 0;
  if (by_names != 0 && ids.own != 0 && by_names != ids.own)
    output.say("the files that came here first are of " + std::to_string(by_names) + ", " +
               ids.file.string() + " has this node as " + std::to_string(ids.own) +
               ": the files are believed");
  if (by_names != 0) return by_names;
  if (ids.own == 0 && !ids.file.empty())
    output.say("no line of " + ids.file.string() +
               " is of this node: without server_id Cairn "
               "gives it a number of its own");
  return ids.own;
}

void tell_adoption(Output& output, const AdoptReport& report, const FastdfsIds& ids,
                   const AdoptArgs& args) {
  output.say(std::string(args.dry_run ? "would take over " : "taken over: ") +
             plural(report.files(), "file") + ", " +
             human_bytes(static_cast<double>(report.bytes)) + ": " + std::to_string(report.normal) +
             " normal, " + plural(report.appender, "appender") + ", " +
             plural(report.slave, "slave") + ", " + std::to_string(report.trunk) +
             " out of trunk files (" + human_bytes(static_cast<double>(report.trunk_bytes)) +
             " more on the disk), " + plural(report.links, "link") + "; " +
             std::to_string(report.metadata) + " with metadata");
  output.say("not right: " + std::to_string(report.count(Finding::damaged)) + " damaged, " +
             std::to_string(report.count(Finding::missing)) + " missing, " +
             std::to_string(report.count(Finding::unnamed)) + " without a name, " +
             std::to_string(report.count(Finding::skipped)) + " skipped");
  output.say("log of FastDFS: " + plural(report.log.lines, "line") + " in " +
             plural(report.log.files, "file") + ", " + std::to_string(report.log.damaged) +
             " damaged; " + plural(report.deleted, "file") + " deleted since");
  for (const auto& [source, count] : report.sources) {
    const auto address = ids.addresses.find(source);
    output.say("stored first by " + source +
               (address == ids.addresses.end() ? "" : " (" + address->second + ")") + ": " +
               plural(count, "file") + (source == report.own_source ? " (this node)" : ""));
  }
}

// 0 when all is well; 2 when something is not as it should be.
int exit_code(const AdoptReport& report) {
  for (const Finding bad : {Finding::damaged, Finding::missing, Finding::unnamed})
    if (report.count(bad) > 0) return kSome;
  return kGood;
}

int undo(Adoption& adoption, const Globals& globals, const AdoptArgs& args, Output& output) {
  const auto done = adoption.give_back();
  if (!done) return fail(globals, verb_code(done.code()), done.error());
  output.event(to_json(*done, args, 0));
  output.say(std::string(args.dry_run ? "would give back" : "given back") + ": " +
             plural(done->trunk, "file") + " out of trunk files removed, " +
             plural(done->links, "symbolic link") + " restored; since the takeover " +
             std::to_string(done->count(Finding::added)) + " files were added, " +
             std::to_string(done->count(Finding::changed)) + " changed, " +
             std::to_string(done->count(Finding::removed)) + " deleted");
  return kGood;
}

} // namespace

int run_adopt(const Globals& globals, const AdoptArgs& args) {
  auto output = Output::open(globals.output);
  if (!output) return fail(globals, kUsage, output.error());
  auto node = read_fastdfs_conf(args.fastdfs);
  if (!node)
    return fail(globals, node.code() == Errc::not_found ? kNotFound : kUsage, node.error());
  Result<FastdfsIds> ids = FastdfsIds();
  if (!args.undo)
    ids = read_fastdfs_ids(*node, args.fastdfs, args.storage_ids, addresses_of_this_machine());
  if (!ids) return fail(globals, ids.code() == Errc::not_found ? kNotFound : kUsage, ids.error());
  std::optional<ClientOptions> client;
  if (!globals.conf.empty()) {
    auto options = client_options(globals);
    if (!options) return fail(globals, kUsage, options.error());
    client = *std::move(options);
  }
  std::error_code ignored;
  if (!args.write_conf.empty() && fs::exists(args.write_conf, ignored))
    return fail(globals, kConflict, Error{Errc::exists, args.write_conf.string() + " is there"});

  AdoptOptions options;
  options.dry_run = args.dry_run;
  options.checksum = args.checksum;
  options.keep_added = args.keep_added;
  options.tell = [&output](Finding finding, const std::string& name, const std::string& why) {
    nlohmann::json event{{"event", describe(finding)}, {"why", why}};
    add_path(event, name);
    (*output)->event(event);
    (*output)->say(std::string(describe(finding)) + " " + printable(name) + ": " + why);
  };
  Adoption adoption(*node, std::move(options));
  if (args.undo) return undo(adoption, globals, args, **output);

  const auto begin = std::chrono::steady_clock::now();
  const auto report = adoption.adopt();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  if (!report) return fail(globals, verb_code(report.code()), report.error());
  tell_adoption(**output, *report, *ids, args);
  // With storage_ids.conf a node has a number in FastDFS, and keeps it.
  const std::uint32_t own_id = own_number(*report, *ids, **output);
  nlohmann::json summary = to_json(*report, args, took.count());
  if (own_id != 0) summary["server_id"] = own_id;
  (*output)->event(summary);
  if (!args.dry_run && !args.write_conf.empty()) {
    const Status written =
        durable_write_file(args.write_conf, conf_text(*node, args, client, own_id));
    if (!written) return fail(globals, kDenied, written.error());
    (*output)->say("next: cairn-storage " + args.write_conf.string());
  }
  if (!args.dry_run)
    for (const auto& [source, count] : report->sources)
      if ((source == report->own_source || report->sources.size() == 1) &&
          (source != std::to_string(own_id) || args.write_conf.empty()))
        (*output)->say("then: cairn node alias add NODE " + source +
                       "   (so that changes to its files come to this node)");
  return exit_code(*report);
}

} // namespace cairn::migrate
