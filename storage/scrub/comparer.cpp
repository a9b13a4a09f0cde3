// The rounds of comparison.
#include "storage/scrub/comparer.h"

#include "common/base/text.h"
#include "common/daemon/log.h"
#include "storage/scrub/inspect.h"

#include <boost/asio/post.hpp>

#include <algorithm>

namespace cairn::storage {

namespace {

constexpr std::chrono::seconds kAfterStart{30};
constexpr std::chrono::milliseconds kBetweenPages{100};
// What sync is about to bring is no difference.
constexpr std::chrono::seconds kGrace{15};
constexpr std::size_t kSuspectsMax = 10'000; // of one round
constexpr std::uint32_t kListPage = 1000;
constexpr std::uint32_t kDigestTimeMs = 500;

spdlog::logger& log() {
  static spdlog::logger& logger = cairn::logger("storage.scrub");
  return logger;
}

std::uint64_t unix_seconds() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

void add(std::map<std::string, wire::DirectoryDigest>& digests, const wire::DirectoryDigest& part) {
  wire::DirectoryDigest& whole = digests[part.directory];
  whole.directory = part.directory;
  whole.count += part.count;
  whole.sum += part.sum;
}

// Smaller than every name that is greater than `name`.
std::string after_name(const std::string& name) {
  return name + '\0';
}

} // namespace

Differences compare_rows(const std::vector<wire::FileSummary>& here,
                         const std::vector<wire::FileSummary>& there) {
  Differences differences;
  auto a = here.begin();
  auto b = there.begin();
  while (a != here.end() || b != there.end()) {
    if (b == there.end() || (a != here.end() && a->name < b->name)) {
      differences.only_here.push_back((a++)->name);
    } else if (a == here.end() || b->name < a->name) {
      differences.only_there.push_back((b++)->name);
    } else {
      if (digest_of(*a) != digest_of(*b)) differences.here_and_there.push_back(a->name);
      ++a;
      ++b;
    }
  }
  return differences;
}

Comparer::Comparer(asio::io_context& context, Remote& remote, const config::StorageConfig& config,
                   Store& store, Catalogue& catalogue, Peers& peers, Repairer& repairer)
    : context_(context),
      remote_(remote),
      config_(config),
      store_(store),
      catalogue_(catalogue),
      peers_(peers),
      repairer_(repairer),
      timer_(std::make_shared<asio::steady_timer>(context)) {}

void Comparer::start() {
  if (config_.compare_interval.count() == 0) return;
  spawn(context_.get_executor(), run(), "storage.scrub.compare");
}

void Comparer::request_stop() {
  stopping_ = true;
  asio::post(context_, [this] { timer_->cancel(); });
}

// False when it is time to stop.
Task<bool> Comparer::pause(std::chrono::milliseconds time) {
  timer_->expires_after(time);
  const auto ended = co_await timer_->async_wait(as_result);
  (void)ended;
  co_return !stopping_;
}

// A member that is still being brought up would only do sync's work once more.
bool Comparer::is_active() const {
  const auto map = peers_.get();
  const wire::NodeView* self = map->find(map->own_id());
  return self != nullptr && self->state == wire::NodeState::active && catalogue_.is_ready();
}

Task<void> Comparer::run() {
  // Not all members at once.
  const std::chrono::seconds interval = config_.compare_interval;
  std::chrono::milliseconds first = std::min<std::chrono::milliseconds>(interval, kAfterStart);
  if (!co_await pause(first + std::chrono::milliseconds(random_u64() % 1000))) co_return;
  while (!stopping_) {
    const auto began = std::chrono::steady_clock::now();
    bool whole = is_active();
    if (whole) {
      suspects_.clear();
      const auto map = peers_.get();
      for (const wire::NodeView& node : map->members()) {
        if (stopping_) co_return;
        if (node.state != wire::NodeState::active) continue;
        const Status compared = co_await compare_with(node);
        if (compared) continue;
        whole = false;
        log().debug("comparison is cut short peer={} error={}", node.id, compared.error().text());
      }
    }
    if (!suspects_.empty()) {
      if (!co_await pause(kGrace)) co_return;
      for (const std::string& text : suspects_)
        if (const auto name = parse_remote_name(text))
          repairer_.submit(*name, Repairer::Cause::differs, "a peer has another one");
      suspects_.clear();
    }
    if (whole) finished_ = unix_seconds();
    const auto spent = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::steady_clock::now() - began);
    const std::chrono::milliseconds least{1'000};
    const std::chrono::milliseconds rest = std::chrono::milliseconds(interval) - spent;
    if (!co_await pause(
            std::max(least, whole ? rest : std::min<std::chrono::milliseconds>(rest, kAfterStart))))
      co_return;
  }
}

Task<Status> Comparer::compare_with(wire::NodeView node) {
  std::string after;
  for (bool done = false; !done;) {
    wire::DigestFiles request;
    request.after = after;
    request.time_ms = kDigestTimeMs;
    const wire::Bytes body = wire::encode(request);
    CAIRN_CO_TRY(bytes, co_await remote_.ask_node(node, wire::kDigestFiles, body));
    CAIRN_CO_TRY(theirs, wire::decode_lenient<wire::DigestFilesReply>(bytes));
    done = theirs.done;
    if (!done && theirs.last <= after)
      co_return Error{Errc::corrupt, "digests do not move on at " + after};

    // Our files of the same range.
    wire::DigestFiles own;
    own.after = after;
    if (!done) own.until = after_name(theirs.last);
    own.time_ms = 60'000;
    auto work = [this, &own]() -> Result<Digests> {
      Digests digests;
      for (;;) {
        CAIRN_TRY(part, digest_files(store_, catalogue_, own));
        for (const wire::DirectoryDigest& one : part.directories) add(digests, one);
        if (part.done) return digests;
        own.after = part.last;
      }
    };
    CAIRN_CO_TRY(ours, co_await pool_.run(std::move(work)));
    Digests there;
    for (const wire::DirectoryDigest& one : theirs.directories) add(there, one);
    std::vector<std::string> differing;
    for (const auto& [directory, digest] : there) {
      const auto found = ours.find(directory);
      if (found == ours.end() || found->second.sum != digest.sum ||
          found->second.count != digest.count)
        differing.push_back(directory);
    }
    for (const auto& [directory, digest] : ours)
      if (!there.contains(directory)) differing.push_back(directory);
    directories_ += std::max(ours.size(), there.size());
    for (const std::string& directory : differing) {
      if (suspects_.size() >= kSuspectsMax) co_return Status(); // the rest in the next round
      CAIRN_CO_RETURN_IF_ERROR(co_await compare_directory(node, directory));
      if (!co_await pause(kBetweenPages)) co_return Error{Errc::unavailable, "stopping"};
    }
    after = theirs.last;
    if (!done && !co_await pause(kBetweenPages)) co_return Error{Errc::unavailable, "stopping"};
  }
  co_return Status();
}

Task<Result<std::vector<wire::FileSummary>>> Comparer::list_there(wire::NodeView node,
                                                                  std::string directory) {
  std::vector<wire::FileSummary> files;
  wire::ListFiles request;
  request.after = directory + "/";
  request.limit = kListPage;
  for (;;) {
    const wire::Bytes body = wire::encode(request);
    CAIRN_CO_TRY(bytes, co_await remote_.ask_node(node, wire::NativeCommand::list_files, body));
    CAIRN_CO_TRY(page, wire::decode_lenient<wire::ListFilesReply>(bytes));
    for (wire::FileSummary& file : page.files) {
      if (directory_of(file.name) != directory) co_return files;
      if (file.name <= request.after)
        co_return Error{Errc::corrupt, "the list of files is out of order at " + file.name};
      request.after = file.name;
      files.push_back(std::move(file));
    }
    if (page.done || page.files.empty()) co_return files;
  }
}

Task<Status> Comparer::compare_directory(wire::NodeView node, std::string directory) {
  CAIRN_CO_TRY(there, co_await list_there(node, directory));
  auto list = [this, &directory]() -> Result<std::vector<wire::FileSummary>> {
    std::vector<wire::FileSummary> files;
    std::string after = directory + "/";
    for (;;) {
      CAIRN_TRY(rows, catalogue_.list(after, kListPage));
      for (CatalogueRow& row : rows) {
        if (directory_of(row.summary.name) != directory) return files;
        after = row.summary.name;
        files.push_back(std::move(row.summary));
      }
      if (rows.size() < kListPage) return files;
    }
  };
  CAIRN_CO_TRY(here, co_await pool_.run(std::move(list)));
  const Differences differences = compare_rows(here, there);
  for (const auto* names :
       {&differences.here_and_there, &differences.only_here, &differences.only_there}) {
    differing_ += names->size();
    suspects_.insert(suspects_.end(), names->begin(), names->end());
  }
  co_return Status();
}

void Comparer::write_metrics(MetricsText& out, MetricsText::Labels labels) const {
  out.family("cairn_compared_directories_total", "counter",
             "Directories whose digests were compared with a peer's.");
  out.sample(directories_.load(), labels);
  out.family("cairn_differing_files_total", "counter",
             "Files that differed from a peer's in a comparison, those on their way included.");
  out.sample(differing_.load(), labels);
  out.family("cairn_compared_timestamp_seconds", "gauge",
             "When the comparison with all active peers was finished last, 0: never.");
  out.sample(finished_.load(), labels);
}

} // namespace cairn::storage
