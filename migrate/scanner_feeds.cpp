// Scans whose sources tell by themselves what there is: web servers, tar streams.
#include "migrate/scanner.h"
#include "migrate/scanner_writer.h"

#include <chrono>
#include <unistd.h>

namespace cairn::migrate {

bool Scanner::is_stopping() const {
  const std::scoped_lock lock(mutex_);
  return stopping_;
}

// Nobody tells what it is like.
WorkRow Scanner::made_directory() const {
  WorkRow out;
  out.run = options_.run;
  out.kind = WorkKind::attributes;
  out.seen.type = NodeType::directory;
  out.seen.mode = 0755;
  out.seen.uid = ::geteuid();
  out.seen.gid = ::getegid();
  out.seen.mtime_s = std::chrono::duration_cast<std::chrono::seconds>(
                         std::chrono::system_clock::now().time_since_epoch())
                         .count();
  return out;
}

// --- names only ----------------------------------------------------------------------------------

Status Scanner::start_feed() {
  active_.insert("");
  threads_.emplace_back([this] {
    Writer writer(*this);
    const Options::Offer offer = [this, &writer](const std::string& path) -> Status {
      if (is_stopping()) return Error{Errc::closed, "stopped"};
      ++counters_.entries;
      if (!is_plain_text(path)) ++counters_.odd_names;
      if (!options_.filter->takes(path, false)) return {};
      CAIRN_RETURN_IF_ERROR(take_fed(path, writer));
      return writer.flush_if_long();
    };
    Status status = options_.feed(offer);
    const Status flushed = writer.flush();
    done("", status ? Status(flushed) : std::move(status));
    if (options_.on_work) options_.on_work();
  });
  return {};
}

Status Scanner::take_fed(const std::string& path, Writer& writer) {
  WorkRow work;
  work.run = options_.run;
  // Nobody tells what directories are like: each is made once.
  const std::string above(parent_of(path));
  if (above != fed_directory_) {
    for (std::string_view at = above; !at.empty(); at = parent_of(at)) {
      CAIRN_TRY(known, ledger_.file(std::string(at)));
      if (known && !known->has(kRowGone)) break;
      ++counters_.directories;
      writer.work(std::string(at), made_directory(), {});
    }
    fed_directory_ = above;
  }
  CAIRN_TRY(before, ledger_.file(path));
  if (before) work.seen = before->seen;
  work.seen.type = NodeType::regular;
  writer.work(path, std::move(work), before);
  return {};
}

// --- names and what they are ---------------------------------------------------------------------

Status Scanner::start_entry_feed() {
  active_.insert("");
  threads_.emplace_back([this] {
    Writer writer(*this);
    const Error stopped(Errc::closed, "stopped");
    Options::EntryOffer to;
    to.wants = [this, &stopped](const std::string& path, const WorkRow& work) -> Result<bool> {
      if (is_stopping()) return stopped;
      return wants(path, work);
    };
    to.offer = [this, &writer](const std::string& path, WorkRow work) -> Status {
      work.run = options_.run;
      CAIRN_TRY(before, ledger_.file(path));
      writer.work(path, std::move(work), before);
      return writer.flush_if_long();
    };
    to.missing_directory = [this, &writer](const std::string& path) -> Status {
      if (!options_.filter->takes(path, true)) return {};
      CAIRN_TRY(known, ledger_.file(path));
      if (known && !known->has(kRowGone)) return {};
      CAIRN_TRY(waits, ledger_.work(path));
      if (waits) return {};
      writer.work(path, made_directory(), {});
      return writer.flush_if_long();
    };
    to.flush = [this, &writer, &stopped]() -> Status {
      if (is_stopping()) return stopped;
      return writer.flush();
    };
    to.skipped = [this] { ++counters_.foreign; };
    to.stopping = [this] { return is_stopping(); };
    Status status = options_.entry_feed(to);
    const Status flushed = writer.flush();
    done("", status ? Status(flushed) : std::move(status));
    if (options_.on_work) options_.on_work();
  });
  return {};
}

Result<bool> Scanner::wants(const std::string& path, const WorkRow& work) {
  const Entry& entry = work.seen;
  ++counters_.entries;
  if (entry.is_directory()) ++counters_.directories;
  if (!is_plain_text(path)) ++counters_.odd_names;
  // What is in a directory that is left out is left out.
  for (std::string_view above = parent_of(path); !above.empty(); above = parent_of(above))
    if (!options_.filter->takes(above, true)) return false;
  if (!path.empty() && !options_.filter->takes(path, entry.is_directory())) return false;
  CAIRN_TRY(before, ledger_.file(path));
  if (work.kind == WorkKind::link)
    return !before || !before->has(kRowLinked) || before->has(kRowGone) ||
           options_.copy->ignore_times;
  if (decide(entry, before)) return true;
  // Nothing but this tells of a new mode.
  return before && !before->has(kRowGone) && !before->seen.same_attributes(entry);
}

} // namespace cairn::migrate
