// report: what a job has done, for managers and for `sha256sum -c`.
#include "common/base/html.h"
#include "common/base/text.h"
#include "migrate/exit_codes.h"
#include "migrate/verbs.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>

namespace cairn::migrate {

namespace {

constexpr std::size_t kPage = 1000;
// Lines of the page's tables.
constexpr std::size_t kDirectoriesShown = 200;
constexpr std::size_t kProblemsShown = 500;

// A file, or standard output for "-".
class Sheet {
public:
  explicit Sheet(const std::filesystem::path& path) {
    if (path == "-") return;
    file_.open(path, std::ios::binary | std::ios::trunc);
    failed_ = !file_;
  }
  std::ostream& out() { return file_.is_open() ? file_ : std::cout; }
  bool finish() {
    out().flush();
    return !failed_ && out().good();
  }

private:
  std::ofstream file_;
  bool failed_ = false;
};

Status each_file(const Ledger& ledger,
                 const std::function<void(const std::string& path, const FileRow& row)>& visit) {
  std::optional<std::string> after;
  for (;;) {
    CAIRN_TRY(rows, ledger.page<FileRow>(Table::files, after, kPage));
    if (rows.empty()) return {};
    for (const auto& [path, row] : rows) visit(path, row);
    after = rows.back().first;
  }
}

Status each_problem(const Ledger& ledger,
                    const std::function<void(const std::string& path, const WorkRow& row)>& visit) {
  std::optional<std::string> after;
  for (;;) {
    CAIRN_TRY(rows, ledger.page<WorkRow>(Table::work, after, kPage));
    if (rows.empty()) return {};
    for (const auto& [path, row] : rows)
      if (row.failed_pass != 0) visit(path, row);
    after = rows.back().first;
  }
}

// As coreutils write it: a name with a backslash, newline or carriage return is escaped, and the
// line begins with a backslash.
std::string manifest_line(const std::string& path, const wire::Bytes& sha256) {
  std::string escaped;
  for (const char c : path) {
    if (c == '\\')
      escaped += "\\\\";
    else if (c == '\n')
      escaped += "\\n";
    else if (c == '\r')
      escaped += "\\r";
    else
      escaped += c;
  }
  return (escaped == path ? "" : "\\") + hex_encode(sha256) + "  " + escaped + "\n";
}

std::string type_name(NodeType type) {
  switch (type) {
    case NodeType::regular:
      return "file";
    case NodeType::directory:
      return "directory";
    case NodeType::symlink:
      return "symlink";
    case NodeType::fifo:
      return "fifo";
    case NodeType::socket:
      return "socket";
    default:
      return "device";
  }
}

nlohmann::json list_line(const std::string& path, const FileRow& row) {
  nlohmann::json out{{"type", type_name(row.seen.type)},
                     {"mode", row.seen.mode},
                     {"uid", row.seen.uid},
                     {"gid", row.seen.gid},
                     {"mtime_s", row.seen.mtime_s},
                     {"mtime_ns", row.seen.mtime_ns},
                     {"inode", row.dest_inode}};
  add_path(out, path);
  if (row.seen.is_regular()) out["size"] = row.seen.size;
  if (!row.sha256.empty()) out["sha256"] = hex_encode(row.sha256);
  if (row.seen.type == NodeType::symlink) out["target"] = printable(row.seen.target);
  if (row.has(kRowGone)) out["gone"] = true;
  if (row.has(kRowLinked)) out["hard_link"] = true;
  if (row.has(kRowMetadata)) out["metadata"] = true;
  if (row.has(kRowShared)) out["shared"] = true;
  return out;
}

struct Share {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::uint64_t problems = 0;
};

// The first name of a path: what the counts by directory go by.
std::string top_of(const std::string& path) {
  const std::size_t slash = path.find('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

Status write_page(const Job& job, const Ledger& ledger, std::ostream& out) {
  std::map<std::string, Share> shares;
  std::uint64_t odd = 0;
  CAIRN_RETURN_IF_ERROR(each_file(ledger, [&](const std::string& path, const FileRow& row) {
    if (row.has(kRowGone) || row.has(kRowMetadata) || row.seen.is_directory()) return;
    if (!is_plain_text(path)) ++odd;
    Share& share = shares[top_of(path)];
    ++share.files;
    if (!row.has(kRowLinked)) share.bytes += row.seen.size;
  }));
  std::string problems;
  std::uint64_t problem_count = 0;
  CAIRN_RETURN_IF_ERROR(each_problem(ledger, [&](const std::string& path, const WorkRow& row) {
    ++shares[top_of(path)].problems;
    if (++problem_count <= kProblemsShown)
      problems += "<tr><td>" + html_escape(printable(path)) + "<td>" + html_escape(row.error) +
                  "<td>" + std::to_string(row.attempts) + "\n";
  }));
  CAIRN_TRY(events, ledger.events());
  const Counters counters = ledger.counters();
  const JobDescription& what = job.description();
  const bool complete = counters.debt() == 0 && counters.short_copies == 0 && what.passes > 0;
  out << "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Migration "
      << html_escape(job.name()) << "</title>\n<style>body{font:15px/1.5 sans-serif;max-width:60em;"
      << "margin:2em auto;padding:0 1em;color:#222}table{border-collapse:collapse;margin:1em 0}"
      << "td,th{padding:.2em .8em;border-bottom:1px solid #ddd;text-align:left}"
      << "td.n{text-align:right}.good{color:#07702f}.bad{color:#b00020}</style></head><body>\n";
  out << "<h1>Migration " << html_escape(job.name()) << "</h1>\n<p>"
      << html_escape(printable(what.source)) << " to " << html_escape(printable(what.destination))
      << ", as of " << human_time(std::time(nullptr)) << "</p>\n";
  out << (complete ? "<p class=\"good\">Everything that the last pass saw is in Cairn.</p>\n"
                   : "<p class=\"bad\">Not complete: " + std::to_string(counters.debt()) +
                         " things are to be done, " + std::to_string(counters.failed) +
                         " of them failed; " + std::to_string(counters.short_copies) +
                         " files have too few copies.</p>\n");
  out << "<p>"
      << (what.verified > 0 ? "Last verified without differences: " + human_time(what.verified)
                            : std::string("Not verified yet"))
      << "</p>\n<h2>What was copied</h2>\n<table>\n";
  const auto row = [&out](const char* name, const std::string& value) {
    out << "<tr><td>" << name << "<td class=\"n\">" << value << "\n";
  };
  row("files", std::to_string(counters.files));
  row("bytes", human_bytes(static_cast<double>(counters.bytes)));
  if (counters.shared > 0)
    row("of them with the content of others (--dedupe)",
        std::to_string(counters.shared) + ", " +
            human_bytes(static_cast<double>(counters.shared_bytes)) + " saved");
  row("directories", std::to_string(counters.directories));
  row("symlinks", std::to_string(counters.symlinks));
  row("further names of files (hard links)", std::to_string(counters.hard_links));
  row("special files", std::to_string(counters.specials));
  row("names that are no plain UTF-8", std::to_string(odd));
  row("gone from the source, still in Cairn", std::to_string(counters.gone));
  row("complete passes", std::to_string(what.passes));
  out << "</table>\n<h2>By directory</h2>\n<table>\n<tr><th>directory<th>files<th>size"
      << "<th>failed\n";
  std::vector<std::pair<std::string, Share>> sorted(shares.begin(), shares.end());
  std::ranges::stable_sort(sorted, [](const auto& a, const auto& b) {
    return std::pair(a.second.problems, a.second.bytes) >
           std::pair(b.second.problems, b.second.bytes);
  });
  for (std::size_t i = 0; i < std::min(sorted.size(), kDirectoriesShown); ++i) {
    const auto& [name, share] = sorted[i];
    out << "<tr><td>" << (name.empty() ? "(top)" : html_escape(printable(name)))
        << "<td class=\"n\">" << share.files << "<td class=\"n\">"
        << human_bytes(static_cast<double>(share.bytes)) << "<td class=\"n\">" << share.problems
        << "\n";
  }
  out << "</table>\n";
  if (sorted.size() > kDirectoriesShown)
    out << "<p>and " << sorted.size() - kDirectoriesShown << " more directories</p>\n";
  if (problem_count > 0) {
    out << "<h2>Failed</h2>\n<table>\n<tr><th>path<th>why<th>attempts\n"
        << problems << "</table>\n";
    if (problem_count > kProblemsShown)
      out << "<p>and " << problem_count - kProblemsShown << " more</p>\n";
  }
  out << "<h2>Time line</h2>\n<table>\n";
  for (const Event& event : events)
    out << "<tr><td>" << human_time(event.time) << "<td>" << html_escape(event.text) << "\n";
  out << "</table>\n</body></html>\n";
  return {};
}

Status print_text(const Job& job, const Ledger& ledger) {
  const Counters counters = ledger.counters();
  const JobDescription& what = job.description();
  std::printf("%s: %s -> %s\n", job.name().c_str(), printable(what.source).c_str(),
              printable(what.destination).c_str());
  std::printf("%llu files, %s, %llu directories, %llu symlinks, %llu hard links, %llu special\n",
              static_cast<unsigned long long>(counters.files),
              human_bytes(static_cast<double>(counters.bytes)).c_str(),
              static_cast<unsigned long long>(counters.directories),
              static_cast<unsigned long long>(counters.symlinks),
              static_cast<unsigned long long>(counters.hard_links),
              static_cast<unsigned long long>(counters.specials));
  if (counters.shared > 0)
    std::printf("%llu of the files share %s with others\n",
                static_cast<unsigned long long>(counters.shared),
                human_bytes(static_cast<double>(counters.shared_bytes)).c_str());
  std::printf("to do %llu, failed %llu, with too few copies %llu, gone from the source %llu\n",
              static_cast<unsigned long long>(counters.queued - counters.failed),
              static_cast<unsigned long long>(counters.failed),
              static_cast<unsigned long long>(counters.short_copies),
              static_cast<unsigned long long>(counters.gone));
  CAIRN_RETURN_IF_ERROR(each_problem(ledger, [](const std::string& path, const WorkRow& row) {
    std::printf("failed: %s: %s\n", printable(path).c_str(), row.error.c_str());
  }));
  CAIRN_TRY(events, ledger.events());
  for (const Event& event : events)
    std::printf("%s %s\n", human_time(event.time).c_str(), event.text.c_str());
  return {};
}

} // namespace

int run_report(const Globals& globals, const ReportArgs& args) {
  auto job = Job::load(Job::state_folder(globals.state), args.job);
  if (!job) return fail(globals, verb_code(job.code()), job.error());
  auto ledger = job->open_ledger();
  if (!ledger) return fail(globals, verb_code(ledger.code()), ledger.error());
  Status done;
  const auto write = [&](const std::filesystem::path& path,
                         const std::function<Status(std::ostream&)>& body) {
    if (path.empty() || !done) return;
    Sheet sheet(path);
    done = body(sheet.out());
    if (done && !sheet.finish()) done = errno_error(path.string(), errno);
  };
  write(args.html, [&](std::ostream& out) { return write_page(*job, **ledger, out); });
  write(args.manifest, [&](std::ostream& out) {
    return each_file(**ledger, [&out](const std::string& path, const FileRow& row) {
      if (!row.has(kRowGone) && !row.has(kRowMetadata) && row.sha256.size() == 32)
        out << manifest_line(path, row.sha256);
    });
  });
  write(args.list, [&](std::ostream& out) {
    return each_file(**ledger, [&out](const std::string& path, const FileRow& row) {
      const auto replace = nlohmann::json::error_handler_t::replace;
      out << list_line(path, row).dump(-1, ' ', false, replace) << "\n";
    });
  });
  if (args.html.empty() && args.manifest.empty() && args.list.empty())
    done = print_text(*job, **ledger);
  return done ? kGood : fail(globals, verb_code(done.code()), done.error());
}

} // namespace cairn::migrate
