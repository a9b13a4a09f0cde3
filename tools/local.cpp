// cairn local: a whole cluster on this machine.
#include "common/base/text.h"
#include "tools/context.h"
#include "tools/local_net.h"
#include "tools/local_plan.h"
#include "tools/local_process.h"
#include "tools/verbs.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <map>
#include <optional>
#include <signal.h>
#include <sys/file.h>
#include <thread>
#include <unistd.h>

namespace cairn::tools {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kReadyTimeout{60'000};
constexpr milliseconds kStopPatience{10'000};
constexpr milliseconds kPoll{50};
constexpr milliseconds kAskTimeout{2'000};
constexpr std::size_t kSecretSize = 32; // bytes
constexpr std::size_t kLogLines = 12;

// One command at a time works on a root.
class RootLock {
public:
  explicit RootLock(const std::filesystem::path& root)
      : fd_(::open((root / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    while (fd_ >= 0 && ::flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~RootLock() {
    if (fd_ >= 0) ::close(fd_);
  }
  RootLock(const RootLock&) = delete;
  RootLock& operator=(const RootLock&) = delete;

private:
  int fd_;
};

Result<std::filesystem::path> absolute_root(const std::filesystem::path& root) {
  std::error_code failed;
  auto path = std::filesystem::weakly_canonical(std::filesystem::absolute(root), failed);
  if (failed) return Error{errc_of_errno(failed.value()), root.string() + ": " + failed.message()};
  return path;
}

Status make_directory(const std::filesystem::path& path) {
  std::error_code failed;
  std::filesystem::create_directories(path, failed);
  if (failed)
    return Error{errc_of_errno(failed.value()), "make " + path.string() + ": " + failed.message()};
  return {};
}

// The cluster that lives in `root`. Errors: not_found, invalid_argument.
Result<LocalPlan> existing_plan(const std::filesystem::path& root) {
  const auto text = read_small_file(root / "conf" / "local.json");
  if (!text && text.code() == Errc::not_found)
    return Error{Errc::not_found, "there is no local cluster in " + root.string()};
  if (!text) return text.error();
  CAIRN_TRY(shape, parse_local_shape(*text));
  return LocalPlan(root, std::move(shape));
}

bool any_running(const LocalPlan& plan) {
  return std::any_of(plan.nodes().begin(), plan.nodes().end(), [&](const LocalNode& node) {
    return running_process(plan.pid_file(node)).has_value();
  });
}

LocalNets::Owner look_at(const std::filesystem::path& root) {
  LocalNets::Owner owner;
  if (const auto plan = existing_plan(root)) {
    owner.net = plan->shape().net;
    owner.running = any_running(*plan);
  }
  return owner;
}

bool is_net_usable(unsigned net) {
  const std::string prefix = "127." + std::to_string(net) + ".";
  return can_listen(prefix + "1.1", 22122) && can_listen(prefix + "11.1", 23000);
}

LocalNets local_nets() {
  return LocalNets(LocalNets::standard_directory(), &look_at, &is_net_usable);
}

// --- output

nlohmann::json entry(const LocalPlan& plan, const LocalNode& node) {
  const auto process = running_process(plan.pid_file(node));
  nlohmann::json document{{"id", node.name},
                          {"addr", node.addr},
                          {"port", node.port},
                          {"http", node.http},
                          {"pid", process ? process->pid : 0}};
  if (!node.is_tracker) {
    document["group"] = node.group;
    document["store_paths"] = nlohmann::json::array();
    for (const auto& path : node.store_paths) document["store_paths"].push_back(path.string());
  }
  return document;
}

nlohmann::json endpoints(const LocalPlan& plan, bool with_state) {
  nlohmann::json document{{"trackers", nlohmann::json::array()},
                          {"storages", nlohmann::json::array()},
                          {"client_conf", plan.client_conf().string()}};
  for (const LocalNode& node : plan.nodes()) {
    nlohmann::json one = entry(plan, node);
    if (with_state) one["running"] = one["pid"] != 0;
    document[node.is_tracker ? "trackers" : "storages"].push_back(std::move(one));
  }
  return document;
}

void add_row(Table& table, const LocalPlan& plan, const LocalNode& node) {
  const auto process = running_process(plan.pid_file(node));
  table.add({node.name, node.addr + ":" + std::to_string(node.port),
             "http://" + node.addr + ":" + std::to_string(node.http) + "/",
             process ? std::to_string(process->pid) : "-"});
}

void show_endpoints(const Context& context, const LocalPlan& plan) {
  Table table({"NODE", "ADDRESS", "HTTP", "PID"});
  for (const LocalNode& node : plan.nodes()) add_row(table, plan, node);
  context.answer(table.text());
  context.say("client configuration: " + plan.client_conf().string());
}

// --- starting

// A node that could not be started or did not become ready, and why.
struct StartFailure {
  const LocalNode* node = nullptr;
  Error error{Errc::unavailable};
};

// The cluster's processes during one command.
class Starter {
public:
  explicit Starter(const LocalPlan& plan) : plan_(plan) {}

  // Starts what of `nodes` does not run.
  std::optional<StartFailure> start(const std::vector<const LocalNode*>& nodes) {
    for (const LocalNode* node : nodes) {
      if (auto program = find_program(program_of(*node)); !program)
        return StartFailure{node, std::move(program).error()};
    }
    for (const LocalNode* node : nodes) {
      if (running_process(plan_.pid_file(*node))) {
        found_.push_back(node);
        continue;
      }
      if (Status status = start_one(*node); !status)
        return StartFailure{node, std::move(status).error()};
    }
    return std::nullopt;
  }

  // Waits until every tracker of `trackers` sees every node of `storages` active.
  std::optional<StartFailure> wait_ready(const std::vector<const LocalNode*>& trackers,
                                         const std::vector<const LocalNode*>& storages,
                                         milliseconds time) {
    ClientOptions options;
    // As every client of this cluster: the file may ask for TLS by now.
    if (auto known = load_client_options(plan_.client_conf())) options = *std::move(known);
    options.trackers.clear();
    for (const LocalNode* tracker : trackers)
      options.trackers.emplace_back(tracker->addr, tracker->port);
    options.connect_timeout = kAskTimeout;
    options.network_timeout = kAskTimeout;
    options.cluster_secret_file = plan_.secret_file();
    Client client(std::move(options));
    const auto end = Clock::now() + time;
    for (std::optional<StartFailure> missing;;) {
      if (auto ended = find_ended()) return ended;
      if (auto failure = start_found()) return failure;
      missing = find_missing(client, trackers, storages);
      if (!missing) return std::nullopt;
      if (Clock::now() >= end) {
        missing->error.detail += " within " + std::to_string(time.count() / 1000) + " seconds";
        return missing;
      }
      std::this_thread::sleep_for(kPoll);
    }
  }

  // Stops what this command has started.
  void undo() {
    for (const auto& [node, process] : started_) signal_process(process, SIGTERM);
    for (const auto& [node, process] : started_) {
      stop_process(process, kStopPatience);
      ::unlink(plan_.pid_file(*node).c_str());
    }
    started_.clear();
  }

private:
  static std::string program_of(const LocalNode& node) {
    return node.is_tracker ? "cairn-tracker" : "cairn-storage";
  }

  Status start_one(const LocalNode& node) {
    for (const std::uint16_t port : {node.port, node.http}) {
      if (can_listen_soon(node.addr, port)) continue;
      return Error{Errc::busy, node.addr + ":" + std::to_string(port) +
                                   " is used by another program; stop it or choose another --net"};
    }
    CAIRN_TRY(program, find_program(program_of(node)));
    CAIRN_TRY(process, start_daemon(program, plan_.conf_file(node).string(), plan_.log_file(node)));
    started_.emplace_back(&node, process);
    return write_small_file(plan_.pid_file(node), pid_text(process), 0644);
  }

  // Starts those that start() found running and that have ended since: a process that was killed a
  // moment ago may take seconds to go.
  std::optional<StartFailure> start_found() {
    std::vector<const LocalNode*> gone;
    for (const LocalNode* node : std::exchange(found_, {}))
      (running_process(plan_.pid_file(*node)) ? found_ : gone).push_back(node);
    for (const LocalNode* node : gone) {
      if (Status status = start_one(*node); !status)
        return StartFailure{node, std::move(status).error()};
    }
    return std::nullopt;
  }

  std::optional<StartFailure> find_ended() {
    for (const auto& [node, process] : started_) {
      if (wait_gone(process, milliseconds(0)))
        return StartFailure{node, Error(Errc::unavailable, node->name + " ended")};
    }
    return std::nullopt;
  }

  std::optional<StartFailure> find_missing(Client& client,
                                           const std::vector<const LocalNode*>& trackers,
                                           const std::vector<const LocalNode*>& storages) {
    for (const LocalNode* tracker : trackers) {
      const auto view = client.cluster_at(Address(tracker->addr, tracker->port));
      if (!view)
        return StartFailure{tracker, Error(Errc::timeout, tracker->name + " did not answer (" +
                                                              view.error().text() + ")")};
      for (const LocalNode* storage : storages) {
        NodeState state = NodeState::offline;
        for (const ClusterNode& node : view->nodes) {
          if (node.state != NodeState::deleted && node.address.host == storage->addr &&
              node.group == storage->group)
            state = node.state;
        }
        if (state == NodeState::active) continue;
        return StartFailure{
            storage,
            Error(Errc::timeout, storage->name + " did not become active (" + tracker->name +
                                     " sees it " + std::string(describe(state)) + ")")};
      }
    }
    return std::nullopt;
  }

  const LocalPlan& plan_;
  std::vector<std::pair<const LocalNode*, ProcessRef>> started_;
  std::vector<const LocalNode*> found_; // that ran already
};

int fail_start(const Context& context, const LocalPlan& plan, const StartFailure& failure) {
  const auto log = plan.log_file(*failure.node);
  const std::string tail = last_lines(log, kLogLines);
  std::string hint = "its log is " + log.string();
  if (!tail.empty()) hint += (context.json() ? ": " : " and ends with\n") + tail;
  while (!hint.empty() && hint.back() == '\n') hint.pop_back();
  return context.fail("start " + failure.node->name, failure.error, hint);
}

// --- making
// ----------------------------------------------------------------------------------------

// The shape asked for, on top of one that exists or the standard one. Errors: exists (it differs
// from what exists), invalid_argument.
Result<LocalShape> shape_for(const LocalUpArgs& args, const std::optional<LocalShape>& existing) {
  LocalShape shape = existing.value_or(LocalShape{});
  struct Number {
    const char* option;
    const std::optional<unsigned>& wanted;
    unsigned& value;
  };
  for (const Number& number : {Number{"--trackers", args.trackers, shape.trackers},
                               Number{"--groups", args.groups, shape.groups},
                               Number{"--storages", args.storages, shape.storages},
                               Number{"--paths", args.paths, shape.paths},
                               Number{"--copies", args.copies, shape.copies}}) {
    if (!number.wanted) continue;
    if (existing && *number.wanted != number.value)
      return Error{Errc::exists, "the cluster there was made with " + std::string(number.option) +
                                     " " + std::to_string(number.value) +
                                     "; use another --root, or leave the option out"};
    number.value = *number.wanted;
  }
  if (shape.copies > shape.storages)
    return Error{Errc::invalid_argument, "--copies is more than --storages"};
  if (args.net && *args.net != "auto") {
    const auto net = parse_u64(*args.net);
    if (!net || *net > 255) return Error{Errc::invalid_argument, "--net is 0 to 255, or auto"};
    if (existing && *net != existing->net)
      return Error{Errc::exists, "the cluster there has the addresses 127." +
                                     std::to_string(existing->net) + ".x.y"};
    shape.net = static_cast<unsigned>(*net);
  }
  for (auto [given, kept] : {std::pair(&args.storage_conf, &shape.storage_conf),
                             std::pair(&args.tracker_conf, &shape.tracker_conf)}) {
    if (given->empty()) continue;
    kept->clear();
    for (const std::string& pair : *given) {
      CAIRN_TRY(line, conf_line(pair));
      kept->push_back(std::move(line));
    }
  }
  return shape;
}

Status write_files(const LocalPlan& plan) {
  if (::access(plan.secret_file().c_str(), F_OK) != 0) {
    std::array<std::byte, kSecretSize> secret{};
    random_bytes(secret);
    CAIRN_RETURN_IF_ERROR(write_small_file(plan.secret_file(), hex_encode(secret) + "\n", 0600));
  }
  for (const LocalNode& node : plan.nodes()) {
    CAIRN_RETURN_IF_ERROR(make_directory(plan.data_dir(node)));
    for (const auto& path : node.store_paths) CAIRN_RETURN_IF_ERROR(make_directory(path));
    CAIRN_RETURN_IF_ERROR(write_small_file(plan.conf_file(node), plan.conf_text(node), 0644));
  }
  CAIRN_RETURN_IF_ERROR(write_small_file(plan.client_conf(), plan.client_conf_text(), 0644));
  return write_small_file(plan.shape_file(), local_shape_json(plan.shape()), 0644);
}

// The plan of the cluster to bring up, with its addresses claimed and its files written.
Result<LocalPlan> prepare(const std::filesystem::path& root, const LocalUpArgs& args) {
  for (const char* name : {"conf", "data", "log", "pid"})
    CAIRN_RETURN_IF_ERROR(make_directory(root / name));
  std::optional<LocalShape> existing;
  if (auto plan = existing_plan(root)) {
    existing = plan->shape();
  } else if (plan.code() != Errc::not_found) {
    return plan.error();
  }
  CAIRN_TRY(shape, shape_for(args, existing));
  LocalNets nets = local_nets();
  if (!existing && args.net == "auto") {
    // Users begin at different places, since they do not see each other's claims.
    CAIRN_TRY(net, nets.claim_any(root, static_cast<unsigned>(::geteuid() % 8) * 16));
    shape.net = net;
  } else {
    CAIRN_RETURN_IF_ERROR(nets.claim(shape.net, root));
  }
  LocalPlan plan(root, std::move(shape));
  if (Status written = write_files(plan); !written) {
    if (!existing) static_cast<void>(nets.release(plan.shape().net, root));
    return written.error();
  }
  return plan;
}

std::vector<const LocalNode*> select(const LocalPlan& plan, bool trackers) {
  std::vector<const LocalNode*> nodes;
  for (const LocalNode& node : plan.nodes()) {
    if (node.is_tracker == trackers) nodes.push_back(&node);
  }
  return nodes;
}

std::vector<const LocalNode*> running(const LocalPlan& plan, std::vector<const LocalNode*> nodes) {
  std::erase_if(nodes, [&](const LocalNode* n) { return !running_process(plan.pid_file(*n)); });
  return nodes;
}

// The plan and the node a verb names. Errors: not_found.
Result<std::pair<LocalPlan, std::string>> named(const LocalArgs& args) {
  CAIRN_TRY(root, absolute_root(args.root));
  CAIRN_TRY(plan, existing_plan(root));
  if (plan.find(args.node) == nullptr) {
    std::string names;
    for (const LocalNode& node : plan.nodes()) names += (names.empty() ? "" : ", ") + node.name;
    return Error{Errc::not_found, "there is no node '" + args.node + "'; there are " + names};
  }
  return std::pair(std::move(plan), args.node);
}

} // namespace

int run_local_up(Context& context, const LocalUpArgs& args) {
  const auto root = absolute_root(args.root);
  if (!root) return context.fail("local up", root.error());
  if (const Status made = make_directory(*root); !made)
    return context.fail("local up", made.error());
  const RootLock lock(*root);
  const auto plan = prepare(*root, args);
  if (!plan) return context.fail("local up", plan.error());

  const auto trackers = select(*plan, true);
  const auto storages = select(*plan, false);
  Starter starter(*plan);
  auto failure = starter.start(trackers);
  if (!failure) failure = starter.start(storages);
  if (!failure) failure = starter.wait_ready(trackers, storages, context.timeout_or(kReadyTimeout));
  if (failure) {
    const int code = fail_start(context, *plan, *failure);
    starter.undo();
    return code;
  }
  if (context.json())
    context.answer_json(endpoints(*plan, false));
  else
    show_endpoints(context, *plan);
  return kGood;
}

int run_local_down(Context& context, const LocalArgs& args) {
  const auto root = absolute_root(args.root);
  if (!root) return context.fail("local down", root.error());
  const auto plan = existing_plan(*root);
  if (!plan) return context.fail("local down", plan.error());
  const RootLock lock(*root);
  const milliseconds patience = context.timeout_or(kStopPatience);
  nlohmann::json stopped = nlohmann::json::array();
  nlohmann::json killed = nlohmann::json::array();
  // Storage nodes first: they say goodbye to their trackers.
  for (const bool trackers : {false, true}) {
    std::vector<std::pair<const LocalNode*, ProcessRef>> processes;
    for (const LocalNode* node : select(*plan, trackers)) {
      const auto process = running_process(plan->pid_file(*node));
      if (!process) continue;
      signal_process(*process, SIGTERM);
      processes.emplace_back(node, *process);
    }
    const auto end = Clock::now() + patience;
    for (const auto& [node, process] : processes) {
      const auto left = std::chrono::duration_cast<milliseconds>(end - Clock::now());
      if (!wait_gone(process, std::max(left, milliseconds(0)))) {
        signal_process(process, SIGKILL);
        if (!wait_gone(process, kStopPatience))
          return context.fail("stop " + node->name,
                              Error(Errc::timeout, "process " + std::to_string(process.pid) +
                                                       " does not end, not even by SIGKILL"));
        killed.push_back(node->name);
      }
      stopped.push_back(node->name);
      ::unlink(plan->pid_file(*node).c_str());
    }
  }
  if (context.json())
    context.answer_json({{"stopped", stopped}, {"killed", killed}});
  else
    context.say("stopped " + std::to_string(stopped.size()) + " daemons" +
                (killed.empty() ? "" : ", " + std::to_string(killed.size()) + " by SIGKILL"));
  return kGood;
}

int run_local_status(Context& context, const LocalArgs& args) {
  const auto root = absolute_root(args.root);
  if (!root) return context.fail("local status", root.error());
  const auto plan = existing_plan(*root);
  if (!plan) return context.fail("local status", plan.error());
  if (context.json())
    context.answer_json(endpoints(*plan, true));
  else
    show_endpoints(context, *plan);
  for (const LocalNode& node : plan->nodes()) {
    if (!running_process(plan->pid_file(node))) return kDegraded;
  }
  return kGood;
}

int run_local_kill(Context& context, const LocalArgs& args) {
  const auto found = named(args);
  if (!found) return context.fail("local kill", found.error());
  const auto& [plan, name] = *found;
  const RootLock lock(plan.root());
  const LocalNode& node = *plan.find(name);
  const auto process = running_process(plan.pid_file(node));
  if (!process) return context.fail("local kill", Error(Errc::not_found, name + " does not run"));
  signal_process(*process, SIGKILL);
  if (!wait_gone(*process, kStopPatience))
    return context.fail("local kill", Error(Errc::timeout, name + " does not end"));
  ::unlink(plan.pid_file(node).c_str());
  if (context.json())
    context.answer_json({{"id", name}, {"pid", process->pid}});
  else
    context.say("killed " + name + ", process " + std::to_string(process->pid));
  return kGood;
}

int run_local_start(Context& context, const LocalArgs& args) {
  const auto found = named(args);
  if (!found) return context.fail("local start", found.error());
  const auto& [plan, name] = *found;
  const RootLock lock(plan.root());
  if (const Status claimed = local_nets().claim(plan.shape().net, plan.root()); !claimed)
    return context.fail("local start", claimed.error());
  const LocalNode& node = *plan.find(name);
  Starter starter(plan);
  auto failure = starter.start({&node});
  if (!failure) {
    // A tracker is ready when it sees the nodes that run; a storage node when the trackers that run
    // see it.
    const auto trackers =
        node.is_tracker ? std::vector<const LocalNode*>{&node} : running(plan, select(plan, true));
    const auto storages =
        node.is_tracker ? running(plan, select(plan, false)) : std::vector<const LocalNode*>{&node};
    failure = starter.wait_ready(trackers, storages, context.timeout_or(kReadyTimeout));
  }
  if (failure) {
    const int code = fail_start(context, plan, *failure);
    starter.undo();
    return code;
  }
  if (context.json()) {
    context.answer_json(entry(plan, node));
  } else {
    Table table({"NODE", "ADDRESS", "HTTP", "PID"});
    add_row(table, plan, node);
    context.answer(table.text());
  }
  return kGood;
}

} // namespace cairn::tools
