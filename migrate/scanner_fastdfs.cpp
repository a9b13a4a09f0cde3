// A node of FastDFS as the source of a scan. The directories tell which plain files there are; the
// log tells what is in trunk files, and what has changed since the last pass. Both only say where
// to look: what counts is what lies there.
#include "migrate/fastdfs_source.h"
#include "migrate/scanner.h"
#include "migrate/scanner_writer.h"

#include <algorithm>
#include <unordered_set>

namespace cairn::migrate {

namespace {

constexpr const char* kLogPosition = "fastdfs-log";
// Names that the log has told already; when there are more, some are looked at twice.
constexpr std::size_t kToldMax = 100'000;
// The directories of files are below M00/HH/.
constexpr std::ptrdiff_t kFileDepth = 3;

} // namespace

Status Scanner::start_fastdfs() {
  const FastdfsSource& source = *options_.fastdfs;
  // What comes from here on is told by the log, whether the walk sees it or not.
  const FastdfsPosition now = fastdfs_log_end(source.node());
  CAIRN_TRY(saved, ledger_.position(kLogPosition));
  FastdfsPosition from;
  bool follows = false;
  if (saved) {
    CAIRN_TRY(parsed, parse_fastdfs_position(*saved));
    follows = fastdfs_log_reaches(source.node(), parsed);
    if (follows) from = parsed;
  }
  if (!options_.log_only || !follows) {
    Writer writer(*this);
    for (const std::string& root : source.roots()) writer.scan(root);
    CAIRN_RETURN_IF_ERROR(writer.flush());
    for (std::string& root : writer.found()) queue_.push_back(std::move(root));
  }
  const bool walks = !queue_.empty();
  more_in_ledger_ = !options_.tell;
  active_.insert("");
  threads_.emplace_back([this, from, now, walks] {
    done("", read_fastdfs_log(from, walks ? std::optional<FastdfsPosition>(now) : std::nullopt));
    if (options_.on_work) options_.on_work();
  });
  for (unsigned i = 0; i < std::max(options_.copy->scan_jobs, 1U); ++i)
    threads_.emplace_back([this] { run(); });
  return {};
}

Status Scanner::read_fastdfs_log(FastdfsPosition at, std::optional<FastdfsPosition> walked_until) {
  Writer writer(*this);
  std::unordered_set<std::string> told;
  const auto look = [&](std::string_view name) -> Status {
    const std::string path(FastdfsSource::file_of(name));
    if (FastdfsSource::what(path, false) != FastdfsSource::What::file) return {};
    if (walked_until && at < *walked_until && !FastdfsSource::may_be_in_trunk(path)) return {};
    if (told.size() >= kToldMax) told.clear();
    if (!told.insert(path).second) return {};
    for (const std::string& one : {path, path + "-m"}) {
      CAIRN_TRY(before, ledger_.file(one));
      CAIRN_RETURN_IF_ERROR(look_at_fastdfs(one, before, writer));
    }
    return {};
  };
  const auto visit = [&](const FastdfsChange& change) -> Status {
    {
      const std::scoped_lock lock(mutex_);
      if (stopping_) return Error{Errc::closed, "stopped"};
    }
    CAIRN_RETURN_IF_ERROR(look(change.name));
    CAIRN_RETURN_IF_ERROR(look(change.extra)); // the other name, where there are two
    if (!writer.is_long()) return {};
    writer.batch().put_position(kLogPosition, at.text());
    return writer.flush();
  };
  CAIRN_RETURN_IF_ERROR(follow_fastdfs_log(options_.fastdfs->node(), at, visit));
  writer.batch().put_position(kLogPosition, at.text());
  return writer.flush();
}

Status Scanner::look_at_fastdfs(const std::string& path, const std::optional<FileRow>& before,
                                Writer& writer) {
  ++counters_.entries;
  const bool is_directory = std::ranges::count(path, '/') < kFileDepth;
  const auto what = FastdfsSource::what(path, is_directory);
  if (what == FastdfsSource::What::other) {
    if (!is_directory && !FastdfsSource::is_trunk_file(path)) ++counters_.foreign;
    return {};
  }
  if (!options_.filter->takes(path, is_directory)) return {};
  if (what == FastdfsSource::What::directory) {
    writer.scan(path);
    return {};
  }
  const auto entry = options_.fastdfs->look(path);
  if (entry.code() == Errc::not_found) return before ? vanished(path, *before, writer) : Status();
  if (!entry) {
    cannot_take(path, Entry(), entry.error(), writer);
    return {};
  }
  auto work = decide(*entry, before);
  if (!work) return {};
  // After all files: metadata need theirs.
  if (what == FastdfsSource::What::metadata) work->kind = WorkKind::link;
  writer.work(path, *std::move(work), before);
  return {};
}

} // namespace cairn::migrate
