// `cairn rules …` and `cairn alias …`: what the command line gives each verb.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cairn::tools {

class Context;

struct RulesCheckArgs {
  std::vector<std::string> files;
};
// Syntax, names, lints, and the tests of the files; 8 when they would be refused.
int run_rules_check(Context& context, const RulesCheckArgs& args);

struct RulesExplainArgs {
  std::vector<std::string> urls;    // "-": one a line from standard input
  std::vector<std::string> files;   // rules to ask; empty: those in force in the cluster
  std::vector<std::string> headers; // "Name: value"
};
// What a URL means: set, location, captures, object, headers, and in a cluster where it lies.
int run_rules_explain(Context& context, const RulesExplainArgs& args);

struct RulesReplayArgs {
  std::string log;                // "-": standard input
  std::vector<std::string> files; // empty: those in force in the cluster
  std::string host;               // for log lines without one
  std::string server;             // HOST:PORT to ask for each line (HEAD); empty: rules only
  std::string old;                // HOST:PORT of the old server, compared by GET
  std::uint64_t limit = 0;        // lines; 0: all
};
// Decides every line of an access log: hits per rule, misses by shape, differences. 8 when an old
// 200 is none any more.
int run_rules_replay(Context& context, const RulesReplayArgs& args);

struct RulesSuggestArgs {
  std::string log; // "-": standard input
};
// Proposes rules and tests from the shapes of the URLs in a log.
int run_rules_suggest(Context& context, const RulesSuggestArgs& args);

struct RulesImportArgs {
  std::string from; // "nginx" or "haproxy"
  std::string file;
};
// Converts a configuration and lists what it could not convert; 2 when there is such.
int run_rules_import(Context& context, const RulesImportArgs& args);

struct RulesExportArgs {
  std::string to;                 // "nginx" or "haproxy"
  std::vector<std::string> files; // empty: the rules in force in the cluster
  std::vector<std::string> nodes; // HOST:PORT of storage nodes; empty: those of the cluster
  std::string listen = "80";      // PORT or ADDRESS:PORT of the front
};
// The rules as a configuration of a front, and what could not be said there; 2 when there is such.
int run_rules_export(Context& context, const RulesExportArgs& args);

struct RulesLoadArgs {
  std::vector<std::string> files;
  bool none = false;                     // remove all rules
  std::optional<std::uint64_t> expected; // the version that must be in force
};
// Replaces the rules of the cluster and waits until the nodes have them.
int run_rules_load(Context& context, const RulesLoadArgs& args);

struct RulesShowArgs {
  std::uint64_t version = 0; // 0: the one in force
};
int run_rules_show(Context& context, const RulesShowArgs& args);

struct RulesTopArgs {};
// Live counters of every rule, summed over the storage nodes.
int run_rules_top(Context& context, const RulesTopArgs& args);

struct RulesShadowArgs {};
// What comparisons with the old servers have found; 8 when something differs.
int run_rules_shadow(Context& context, const RulesShadowArgs& args);

enum class AliasAction : std::uint8_t { put, get, list, remove, load };
struct AliasArgs {
  AliasAction action = AliasAction::get;
  std::string host;               // empty: any host
  std::string path;               // of put; of list: a prefix
  std::vector<std::string> paths; // of get and remove
  std::string target;
  std::string file;        // of load
  std::uint64_t limit = 0; // of list; 0: all
};
int run_alias(Context& context, const AliasArgs& args);

} // namespace cairn::tools
