// verify: every row of the ledger against the destination; with --reread content too.
#include "migrate/verify.h"

#include "client/tracker_replies.h"
#include "migrate/exit_codes.h"
#include "migrate/fastdfs_source.h"
#include "migrate/pull.h"
#include "migrate/session.h"
#include "migrate/source_file.h"
#include "migrate/verbs.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <nlohmann/json.hpp>

#include <ctime>

namespace cairn::migrate {

namespace {

constexpr std::size_t kPage = 500;

class Verifier {
public:
  Verifier(Session& session, Ledger& ledger, bool reread, unsigned jobs, Output& output)
      : session_(session),
        destination_(session.destination()),
        ledger_(ledger),
        reread_(reread),
        jobs_(jobs),
        output_(output) {}

  // Errors: those of the ledger, and that the cluster cannot be asked.
  Task<Status> run() {
    asio::steady_timer changed(co_await asio::this_coro::executor);
    changed_ = &changed;
    std::optional<std::string> after;
    for (;;) {
      CAIRN_CO_TRY(rows, ledger_.page<FileRow>(Table::files, after, kPage));
      for (auto& [path, row] : rows) {
        after = path;
        if (row.has(kRowGone)) continue;
        co_await wait_below(jobs_);
        if (!failure_) break;
        ++running_;
        spawn(
            co_await asio::this_coro::executor,
            [](Verifier* self, std::string one, FileRow its) -> Task<void> {
              co_await self->check(std::move(one), std::move(its));
            }(this, path, row),
            "verify");
      }
      if (rows.empty() || !failure_ || stop_requested()) break;
    }
    co_await wait_below(1);
    if (failure_ && stop_requested()) failure_ = Error{Errc::closed, "stopped"};
    co_return failure_;
  }

  std::uint64_t checked = 0;
  std::uint64_t bytes = 0; // read again
  std::uint64_t different = 0;

private:
  Task<void> wait_below(std::size_t most) {
    while (running_ >= most) {
      changed_->expires_after(std::chrono::seconds(1));
      co_await changed_->async_wait(as_result);
    }
  }

  void differs(const std::string& path, const std::string& how) {
    ++different;
    output_.problem(path, Error{Errc::corrupt, how});
  }

  Task<void> check(std::string path, FileRow row) {
    Status done;
    if (session_.group() != nullptr)
      done = co_await compare_id(path, row);
    else
      done = co_await compare(path, row);
    if (!done && failure_) failure_ = done;
    ++checked;
    --running_;
    changed_->cancel();
  }

  Task<Result<wire::NsNodeReply>> find(std::string path) {
    if (path.empty()) co_return co_await destination_.getattr(destination_.root());
    const std::string above(parent_of(path));
    CAIRN_CO_TRY(parent, ledger_.file(above));
    const std::uint64_t inode = above.empty() ? destination_.root()
                                : parent      ? parent->dest_inode
                                              : 0;
    if (inode == 0) co_return Error{Errc::not_found};
    co_return co_await destination_.lookup(inode, std::string(name_of(path)));
  }

  Task<Status> compare(const std::string& path, const FileRow& row) {
    auto there = co_await find(path);
    if (!there) {
      const bool absent = there.code() == Errc::not_found ||
                          there.code() == static_cast<Errc>(ESTALE) ||
                          there.code() == static_cast<Errc>(ENOTDIR);
      if (!absent) co_return std::move(there).error();
      differs(path, "it is not at the destination");
      co_return Status();
    }
    const Entry found = entry_of(there->attributes, there->target);
    const Entry& seen = row.seen;
    if (found.type != seen.type) {
      differs(path, "it is something else at the destination");
    } else if (found.size != seen.size) {
      differs(path,
              "its size is " + std::to_string(found.size) + ", not " + std::to_string(seen.size));
    } else if (found.target != seen.target) {
      differs(path, "the symlink leads elsewhere");
    } else if (found.mtime() != seen.mtime()) {
      differs(path, "it was changed at the destination: its time is another");
    } else if (seen.type != NodeType::symlink && found.mode != seen.mode) {
      differs(path, "its mode is another");
    } else if (seen.is_regular() && seen.size > 0 && !row.has(kRowLinked)) {
      CAIRN_CO_TRY(extents, co_await destination_.extents(*std::move(there)));
      std::vector<std::string> ids;
      for (const wire::NsExtent& extent : extents) ids.push_back(extent.id);
      CAIRN_CO_RETURN_IF_ERROR(co_await count_copies(path, std::move(ids)));
      if (reread_ && !row.sha256.empty()) co_await reread(path, row, std::move(extents));
    }
    co_return Status();
  }

  // A file that keeps its ID, or its metadata.
  Task<Status> compare_id(const std::string& path, const FileRow& row) {
    GroupDestination& group = *session_.group();
    const std::string file(FastdfsSource::file_of(path));
    if (file.size() < path.size()) {
      const auto metadata = co_await group.get_metadata(file);
      if (!metadata && metadata.code() != Errc::not_found) co_return metadata.error();
      const std::string text = metadata_text(metadata ? *metadata : Metadata());
      Sha256 hash;
      hash.update(wire::as_view(text));
      if (hash.finish() != row.sha256) differs(path, "the metadata are others");
      co_return Status();
    }
    const auto found = co_await group.info(file);
    if (!found) {
      if (found.code() != Errc::not_found) co_return found.error();
      differs(path, "it is not at the destination");
      co_return Status();
    }
    if (found->size != row.seen.size) {
      differs(path, "its size is " + std::to_string(found->size) + ", not " +
                        std::to_string(row.seen.size));
      co_return Status();
    }
    CAIRN_CO_RETURN_IF_ERROR(
        co_await count_copies(path, std::vector<std::string>(1, group.id(file))));
    if (!reread_) co_return Status();
    const auto hash = std::make_shared<Sha256>();
    Sink sink = Sink::writer(hashing(hash));
    const Status done = co_await group.read(file, std::move(sink));
    note_reread(path, row, done, *hash);
    co_return Status();
  }

  Task<Status> count_copies(const std::string& path, std::vector<std::string> ids) {
    ShortRow row;
    for (const std::string& id : ids) row.ids += id + "\n";
    const CopyCount count = co_await session_.wait_for_copies(std::move(ids));
    if (count.have >= count.wanted) co_return Status();
    row.have = count.have;
    row.wanted = count.wanted;
    Ledger::Batch batch;
    batch.put_short(path, row);
    co_return ledger_.commit(batch);
  }

  static Sink::Writer hashing(const std::shared_ptr<Sha256>& hash) {
    return [hash](std::span<const std::byte> piece) -> Status {
      hash->update(piece);
      return {};
    };
  }

  void note_reread(const std::string& path, const FileRow& row, const Status& done, Sha256& hash) {
    bytes += row.seen.size;
    if (!done)
      differs(path, "its content cannot be read: " + done.error().text());
    else if (hash.finish() != row.sha256)
      differs(path, "its content is another");
  }

  Task<void> reread(const std::string& path, const FileRow& row,
                    std::vector<wire::NsExtent> extents) {
    const auto hash = std::make_shared<Sha256>();
    Sink::Writer sink = hashing(hash);
    const Status done =
        co_await destination_.read(std::move(extents), row.seen.size, std::move(sink));
    note_reread(path, row, done, *hash);
  }

  Session& session_;
  Destination& destination_;
  Ledger& ledger_;
  const bool reread_;
  const std::size_t jobs_;
  Output& output_;
  asio::steady_timer* changed_ = nullptr;
  std::size_t running_ = 0;
  Status failure_;
};

} // namespace

Task<Status> recount_copies(Session& session, Ledger& ledger, std::uint64_t& missing) {
  std::optional<std::string> after;
  for (;;) {
    CAIRN_CO_TRY(rows, ledger.page<ShortRow>(Table::short_copies, after, kPage));
    if (rows.empty()) co_return Status();
    Ledger::Batch batch;
    for (const auto& [path, row] : rows) {
      after = path;
      std::vector<std::string> ids;
      for (std::size_t at = 0; at < row.ids.size();) {
        const std::size_t end = row.ids.find('\n', at);
        ids.push_back(row.ids.substr(at, end - at));
        at = end == std::string::npos ? row.ids.size() : end + 1;
      }
      const CopyCount count = co_await session.wait_for_copies(std::move(ids));
      if (count.have >= count.wanted)
        batch.erase(Table::short_copies, path);
      else
        ++missing;
    }
    CAIRN_CO_RETURN_IF_ERROR(ledger.commit(batch));
  }
}

int run_verify(const Globals& globals, const VerifyArgs& args) {
  auto job = Job::load(Job::state_folder(globals.state), args.job);
  if (!job) return fail(globals, verb_code(job.code()), job.error());
  if (const Status locked = job->lock(); !locked) return fail(globals, kConflict, locked.error());
  JobDescription& what = job->description();
  auto output = Output::open(globals.output);
  if (!output) return fail(globals, kUsage, output.error());
  auto ledger = job->open_ledger();
  if (!ledger) return fail(globals, verb_code(ledger.code()), ledger.error());
  auto opened = open_destination(globals, what, Timeout(std::chrono::seconds(60)));
  if (!opened) return fail(globals, verb_code(opened.code()), opened.error());
  Session& session = **opened;

  Verifier verifier(session, **ledger, args.reread, what.options.jobs, **output);
  Status done = session.wait(verifier.run());
  std::uint64_t missing = 0;
  if (done) done = session.wait(recount_copies(session, **ledger, missing));
  if (!done) return fail(globals, verb_code(done.code()), done.error());
  const Counters counters = (*ledger)->counters();
  std::string text = (args.reread ? "verified with content: " : "verified: ") +
                     std::to_string(verifier.checked) + " names, " +
                     std::to_string(verifier.different) + " differ, " + std::to_string(missing) +
                     " files with too few copies";
  static_cast<void>((*ledger)->note(text));
  what.verified = verifier.different == 0 ? std::time(nullptr) : 0;
  if (const Status saved = job->save(); !saved)
    return fail(globals, verb_code(saved.code()), saved.error());
  (*output)->event({{"event", "summary"},
                    {"checked", verifier.checked},
                    {"reread_bytes", verifier.bytes},
                    {"different", verifier.different},
                    {"short_copies", missing},
                    {"debt", counters.debt()}});
  if (counters.debt() > 0)
    text += "; " + std::to_string(counters.debt()) + " things are to be done";
  (*output)->say(text);
  return verifier.different > 0 ? kVerifyFailed : kGood;
}

} // namespace cairn::migrate
