// URL rules and aliases between command line, trackers and storage nodes. docs/protocol.md
// describes the conversation.
#pragma once

#include "common/wire/native.h"

namespace cairn::wire {

// To a tracker; one that does not hold the metadata asks the one that does.
inline constexpr auto kRulesGet = static_cast<NativeCommand>(210);  // RulesGet -> RulesReply
inline constexpr auto kRulesPut = static_cast<NativeCommand>(211);  // RulesPut -> RulesPutReply
inline constexpr auto kAliasGet = static_cast<NativeCommand>(212);  // AliasGet -> AliasRows
inline constexpr auto kAliasPut = static_cast<NativeCommand>(213);  // AliasPut -> AliasPutReply
inline constexpr auto kAliasList = static_cast<NativeCommand>(214); // AliasList -> AliasRows

// Bounds of one message; trackers and tools keep to them.
inline constexpr std::size_t kRulesBytesMax = 1'000'000; // of all files of a rule set together
inline constexpr std::size_t kAliasRowsMax = 4'000;      // of one message
inline constexpr std::size_t kAliasNameMax = 4'096;      // bytes of host and path together
inline constexpr std::size_t kAliasTargetMax = 4'096;    // bytes

struct RulesFile {
  std::string name; // as other files include it
  std::string text;

  static constexpr auto fields() {
    using M = RulesFile;
    return std::tuple{string(&M::name), string(&M::text)};
  }
  friend bool operator==(const RulesFile&, const RulesFile&) = default;
};

struct RulesGet {
  std::uint64_t known = 0;   // the version that the asker has: then no files are sent
  std::uint64_t version = 0; // 0: the one in force

  static constexpr auto fields() {
    using M = RulesGet;
    return std::tuple{integer(&M::known), integer(&M::version)};
  }
};

// Rules of one version; version 0: there are none.
struct RulesReply {
  std::uint64_t version = 0;
  std::uint64_t time = 0; // unix seconds of the load
  std::vector<RulesFile> files;
  std::uint32_t mains = 0; // that many of the files are read, the others are included

  static constexpr auto fields() {
    using M = RulesReply;
    return std::tuple{integer(&M::version), integer(&M::time), list(&M::files), integer(&M::mains)};
  }
};

// Replaces all rules. No files: removes them.
struct RulesPut {
  std::uint64_t expected = kAnyVersion; // refused when another version is in force
  std::vector<RulesFile> files;
  std::uint32_t mains = 0;

  static constexpr std::uint64_t kAnyVersion = ~std::uint64_t{0};

  static constexpr auto fields() {
    using M = RulesPut;
    return std::tuple{integer(&M::expected), list(&M::files), integer(&M::mains)};
  }
};

struct RulesProblem {
  std::string text;

  static constexpr auto fields() { return std::tuple{string(&RulesProblem::text)}; }
};

struct RulesPutReply {
  std::uint64_t version = 0; // now in force; 0: refused
  std::vector<RulesProblem> problems;

  static constexpr auto fields() {
    using M = RulesPutReply;
    return std::tuple{integer(&M::version), list(&M::problems)};
  }
};

// An exact name and what it means.
struct AliasRow {
  std::string host;   // lower case; empty: any host
  std::string path;   // begins with '/'; any bytes but NUL
  std::string target; // "id:group1/M00/…" or "path:/EXPORT/…"; empty in replies: there is none
  std::uint64_t mtime = 0; // Last-Modified in unix seconds; 0: that of the file

  static constexpr auto fields() {
    using M = AliasRow;
    return std::tuple{string(&M::host), string(&M::path), string(&M::target), integer(&M::mtime)};
  }
  friend bool operator==(const AliasRow&, const AliasRow&) = default;
};

// A row for each name in their order: of that host if it has one, else of any host.
struct AliasGet {
  std::vector<AliasRow> names; // host and path

  static constexpr auto fields() { return std::tuple{list(&AliasGet::names)}; }
};

struct AliasRows {
  std::vector<AliasRow> rows;

  static constexpr auto fields() { return std::tuple{list(&AliasRows::rows)}; }
};

enum class AliasChange : std::uint8_t { put = 0, remove = 1, put_if_absent = 2 };

struct AliasPut {
  AliasChange change = AliasChange::put;
  std::vector<AliasRow> rows;

  static constexpr auto fields() {
    using M = AliasPut;
    return std::tuple{integer(&M::change), list(&M::rows)};
  }
};

struct AliasPutReply {
  std::uint64_t changed = 0; // rows written or removed

  static constexpr auto fields() { return std::tuple{integer(&AliasPutReply::changed)}; }
};

// Rows in the order of their paths.
struct AliasList {
  std::string host;
  std::string prefix; // of the path
  std::string after;  // the last path of the page before
  std::uint32_t limit = 1000;

  static constexpr auto fields() {
    using M = AliasList;
    return std::tuple{string(&M::host), string(&M::prefix), string(&M::after), integer(&M::limit)};
  }
};

} // namespace cairn::wire
