// The verbs of the `cairn` command: what the command line gives each, and the function that runs it
// and answers the exit code. One .cpp file a verb; command_line.cpp fills the arguments.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cairn::tools {

class Context;

struct UploadArgs {
  std::vector<std::string> files; // "-": standard input
  std::string group;
  std::optional<std::string> extension; // nullopt: that of each file's name
  bool appender = false;
  std::vector<std::string> metadata; // K=V
  unsigned copies = 0;               // 0: as the group is configured
};
int run_upload(Context& context, const UploadArgs& args);

struct DownloadArgs {
  std::string id;
  std::string output; // "-": standard output; empty: the last part of the ID, here
  std::uint64_t offset = 0;
  std::uint64_t length = 0; // 0: to the end
};
int run_download(Context& context, const DownloadArgs& args);

struct DeleteArgs {
  std::vector<std::string> ids;
  std::string from_list; // a file with an ID a line; "-": standard input
  unsigned rate = 0;     // deletes a second, 0: no limit
  bool dry_run = false;  // only look whether they are there
};
int run_delete(Context& context, const DeleteArgs& args);

struct AppendArgs {
  std::string id;
  std::string file; // "-": standard input
};
int run_append(Context& context, const AppendArgs& args);

struct InfoArgs {
  std::string id;
};
int run_info(Context& context, const InfoArgs& args);

struct MetaGetArgs {
  std::string id;
};
int run_meta_get(Context& context, const MetaGetArgs& args);

struct MetaSetArgs {
  std::string id;
  std::vector<std::string> metadata; // K=V
  bool merge = false;
};
int run_meta_set(Context& context, const MetaSetArgs& args);

struct WhereArgs {
  std::string id;
};
int run_where(Context& context, const WhereArgs& args);

struct StatusArgs {};
int run_status(Context& context, const StatusArgs& args);

struct CheckArgs {
  std::string group; // empty: every group
  bool repair = false;
  bool quick = false; // what the nodes' catalogues say, without a look at the files
};
int run_check(Context& context, const CheckArgs& args);

enum class NodeAction : std::uint8_t {
  drain,
  undrain,
  may_stop,
  remove,
  alias_add,
  alias_remove,
  alias_list,
};
struct NodeArgs {
  NodeAction action = NodeAction::drain;
  std::string node;
  std::string former; // of an alias
  bool yes = false;   // do not ask
  bool force = false; // remove a node that is up
};
int run_node(Context& context, const NodeArgs& args);

enum class GroupAction : std::uint8_t { list, add, remove };
struct GroupArgs {
  GroupAction action = GroupAction::list;
  std::string group;
};
int run_group(Context& context, const GroupArgs& args);

struct InitArgs {
  std::filesystem::path secret; // the file to make or to change
  bool rotate = false;          // one step of a rotation
};
int run_init(Context& context, const InitArgs& args);

enum class KeyAction : std::uint8_t { list, add, remove, rotate };
struct KeyArgs {
  KeyAction action = KeyAction::list;
  std::string id;
  std::string rights = "read,write";
  std::vector<std::string> prefixes; // GROUP[/PATH]
  std::string expires;               // a duration; empty: never
  std::uint64_t requests_rate = 0;   // per second, 0: no limit
  std::uint64_t bytes_rate = 0;      // per second, 0: no limit
  std::string note;
  std::string overlap = "1d";   // of a rotation
  std::filesystem::path output; // where the key is written; empty: standard output
};
int run_key(Context& context, const KeyArgs& args);

struct AuditArgs {
  std::filesystem::path directory; // base_path of a daemon, or its audit directory
  bool quiet_lines = false;        // only check
};
int run_audit(Context& context, const AuditArgs& args);

struct SignArgs {
  std::string target; // a file ID, or a path with or without "http://HOST:PORT" and query
  std::string method = "GET";
  std::string expires = "1h";       // a duration
  std::vector<std::string> headers; // NAME:VALUE that must be sent so
  std::filesystem::path key;        // an access key file; empty: that of client.conf
};
int run_sign(Context& context, const SignArgs& args);

enum class BenchKind : std::uint8_t { upload, download, remove, mixed };
struct BenchArgs {
  BenchKind kind = BenchKind::upload;
  unsigned connections = 8;
  std::uint64_t size = 4096;  // bytes of a file
  std::uint64_t count = 1000; // operations
  unsigned threads = 1;
  std::string group;
  std::uint64_t seed = 1;
  bool keep = false; // leave the uploaded files
};
int run_bench(Context& context, const BenchArgs& args);

struct LocalUpArgs {
  std::filesystem::path root;
  // Not given: as the cluster in `root` was made, or one of each.
  std::optional<unsigned> trackers;
  std::optional<unsigned> groups;
  std::optional<unsigned> storages; // of each group
  std::optional<unsigned> paths;    // of each storage node
  std::optional<unsigned> copies;
  std::optional<std::string> net;        // "auto" or the second number of the addresses
  std::vector<std::string> storage_conf; // K=V lines
  std::vector<std::string> tracker_conf;
};
int run_local_up(Context& context, const LocalUpArgs& args);

struct LocalArgs {
  std::filesystem::path root;
  std::string node; // of kill and start
};
int run_local_down(Context& context, const LocalArgs& args);
int run_local_status(Context& context, const LocalArgs& args);
int run_local_kill(Context& context, const LocalArgs& args);
int run_local_start(Context& context, const LocalArgs& args);

// "K=V" split at the first "="; nullopt without one or with an empty K.
std::optional<std::pair<std::string, std::string>> split_pair(const std::string& text);

} // namespace cairn::tools
