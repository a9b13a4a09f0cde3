// One piece of work: the parts that need no content.
#include "migrate/copier.h"

#include "common/base/text.h"
#include "migrate/tar_source.h"

#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <cerrno>

namespace cairn::migrate {

namespace {

using Clock = std::chrono::steady_clock;

constexpr Errc kNotEmpty = static_cast<Errc>(ENOTEMPTY);
constexpr Errc kNotDirectory = static_cast<Errc>(ENOTDIR);
constexpr std::size_t kDirectoriesMax = 20'000;

} // namespace

// A name in the same directory that nobody else uses; renamed into place at once.
std::string temporary_name() {
  std::array<std::byte, 8> random{};
  random_bytes(random);
  return ".cairn-migrate-" + hex_encode(random);
}

// --- the frame of a piece of work ----------------------------------------------------------------

Copier::Copier(Ledger& ledger, Destination& destination, Options options, Limiter& limiter,
               Tally& tally, Record record)
    : Worker(ledger, std::move(options), limiter, tally, std::move(record)),
      destination_(destination) {
  // What is to be copied again shares with what this run has sent, and not with what was there.
  if (options_.copy->dedupe && !options_.dry_run)
    contents_ = std::make_unique<Contents>(ledger, options_.copy->ignore_times);
}

std::string Copier::full(const std::string& path) const {
  return path.empty() ? options_.root.string() : options_.root.string() + "/" + path;
}

bool Copier::postpone(const std::string& path, const Error& error) {
  if (error.code != kNotEmpty || !options_.copy->remove || removals_over_) return false;
  postponed_.insert(path);
  return true;
}

bool Copier::postponed(const std::string& path, const WorkRow& work) const {
  if (postponed_.contains(path)) return true;
  // Of a run that was broken off: its content comes again, or not at all.
  return options_.tar != nullptr && work.kind == WorkKind::copy && work.seen.is_regular() &&
         options_.tar->get(path) == nullptr && !options_.tar->has_ended();
}

void Copier::ended(const Attempt& at) {
  if (at.held) options_.tar->drop(at.path, at.held);
}

Task<Status> Copier::attempt(Attempt& at) {
  if (options_.dry_run) co_return co_await try_dry(at);
  if (!at.work.seen.is_directory()) CAIRN_CO_RETURN_IF_ERROR(co_await clear_directory(at));
  if (at.work.kind == WorkKind::link) co_return co_await make_link(at);
  if (at.work.seen.is_directory()) co_return co_await copy_directory(at);
  if (at.work.seen.is_regular()) co_return co_await copy_regular(at);
  co_return co_await copy_other(at);
}

void Copier::touch(Ledger::Batch& batch, std::string_view directory) {
  if (touched_.size() > kDirectoriesMax) touched_.clear();
  const std::string path(directory);
  if (touched_.insert(path).second) batch.mark(Table::touched, path);
}

Task<Status> Copier::clear_directory(const Attempt& at) {
  CAIRN_CO_TRY(before, ledger_.file(at.path));
  if (!before || before->has(kRowGone) || !before->seen.is_directory()) co_return Status();
  CAIRN_CO_TRY(parent, co_await directory(std::string(parent_of(at.path)), nullptr));
  const Status done =
      co_await destination_.remove(parent.inode, std::string(name_of(at.path)), true);
  directories_.erase(at.path);
  if (done.code() == kNotEmpty)
    co_return Error{kNotEmpty, "a directory that is not empty is in its place at the destination"};
  if (!done && !is_gone(done.error()) && done.code() != kNotDirectory) co_return done;
  co_return Status();
}

Task<bool> Copier::is_at_source(std::string path) {
  if (options_.tar != nullptr) co_return true;
  auto look = [path = full(path)] {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0 || errno != ENOENT;
  };
  co_return co_await readers_.run(std::move(look));
}

Task<Copier::Node> Copier::find(std::string path) {
  std::uint64_t inode = destination_.root();
  Node there = co_await destination_.getattr(inode);
  for (std::string_view rest = path; there && !rest.empty();) {
    const std::string name(rest.substr(0, rest.find('/')));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    there = co_await destination_.lookup(inode, name);
    if (there) inode = there->attributes.inode;
  }
  co_return there;
}

Task<Status> Copier::vanish(Attempt& at) {
  ++tally_.vanished;
  at.batch.finish_work(at.path, at.work.serial);
  // The next pass lists its directory again, whatever that one's times say.
  at.batch.erase(Table::listed, std::string(parent_of(at.path)));
  if (!at.check && !options_.server) co_return Status();
  CAIRN_CO_TRY(row, ledger_.file(at.path));
  if (row && (!options_.server || row->has(kRowGone))) co_return Status(); // the scanner tells
  if (row) {
    // Only its answer says that a server has it no more.
    FileRow gone = *std::move(row);
    gone.flags |= kRowGone;
    at.batch.put_file(at.path, gone);
    if (options_.copy->remove) at.batch.mark(Table::removals, at.path);
    co_return Status();
  }
  const Node there = co_await find(at.path);
  if (!there)
    co_return is_gone(there.error()) || there.code() == kNotDirectory ? Status()
                                                                      : Status(there.error());
  FileRow made;
  made.seen = at.work.seen;
  made.dest_inode = there->attributes.inode;
  made.flags = kRowGone;
  at.batch.put_file(at.path, made);
  if (options_.copy->remove) at.batch.mark(Table::removals, at.path);
  co_return Status();
}

// --- directories ---------------------------------------------------------------------------------

void Copier::forget(std::string_view path) {
  for (;;) {
    directories_.erase(std::string(path));
    stale_.emplace(path);
    if (path.empty()) return;
    path = parent_of(path);
  }
}

Task<Result<Copier::Directory>> Copier::directory(std::string path, const Entry* seen) {
  if (path.empty()) {
    Directory root;
    root.inode = destination_.root();
    root.fresh = destination_.was_empty();
    co_return root;
  }
  for (;;) {
    if (const auto found = directories_.find(path); found != directories_.end())
      co_return found->second;
    const auto making = making_.find(path);
    if (making == making_.end()) break;
    asio::steady_timer ready(co_await asio::this_coro::executor, Clock::time_point::max());
    making->second.push_back(&ready);
    co_await ready.async_wait(as_result);
  }
  making_.emplace(path, std::vector<asio::steady_timer*>());
  auto made = co_await make_directory(path, seen);
  if (made) {
    if (directories_.size() >= kDirectoriesMax) directories_.clear();
    directories_.emplace(path, *made);
    stale_.erase(path);
  }
  const auto waiting = making_.extract(path);
  for (asio::steady_timer* ready : waiting.mapped()) ready->cancel();
  co_return made;
}

Task<Result<Copier::Directory>> Copier::make_directory(std::string path, const Entry* seen) {
  Directory out;
  if (!stale_.contains(path)) {
    CAIRN_CO_TRY(row, ledger_.file(path));
    if (row && !row->has(kRowGone) && row->seen.is_directory() && row->dest_inode != 0) {
      out.inode = row->dest_inode;
      co_return out;
    }
  }
  CAIRN_CO_TRY(parent, co_await directory(std::string(parent_of(path)), nullptr));
  const std::string name(name_of(path));
  Entry entry;
  if (seen != nullptr) {
    entry = *seen;
  } else {
    // Its own piece of work sets what it should have.
    entry.type = NodeType::directory;
    entry.mode = 0755;
    entry.uid = ::geteuid();
    entry.gid = ::getegid();
    entry.mtime_s = std::chrono::duration_cast<std::chrono::seconds>(
                        std::chrono::system_clock::now().time_since_epoch())
                        .count();
  }
  auto made = co_await destination_.mkdir(parent.inode, name, entry);
  if (made) {
    Ledger::Batch batch;
    touch(batch, parent_of(path));
    if (!batch.empty()) record_(std::move(batch), std::nullopt);
    out.inode = made->attributes.inode;
    out.fresh = true;
    co_return out;
  }
  if (made.code() != Errc::exists) co_return std::move(made).error();
  CAIRN_CO_TRY(there, co_await destination_.lookup(parent.inode, name));
  if (there.attributes.type == wire::NsType::directory) {
    out.inode = there.attributes.inode;
    co_return out;
  }
  // What was no directory is one now.
  CAIRN_CO_RETURN_IF_ERROR(co_await destination_.remove(parent.inode, name, false));
  CAIRN_CO_TRY(again, co_await destination_.mkdir(parent.inode, name, entry));
  out.inode = again.attributes.inode;
  out.fresh = true;
  co_return out;
}

Task<Status> Copier::copy_directory(Attempt& at) {
  if (!is_tree()) co_return co_await made_directory(at, at.work.seen);
  // Its attributes may have changed since it was seen, and it may be gone.
  const bool follow = at.path.empty() || options_.copy->copy_links;
  auto look = [path = full(at.path), follow]() -> Result<Entry> {
    struct stat status {};
    if ((follow ? ::stat(path.c_str(), &status) : ::lstat(path.c_str(), &status)) != 0)
      return errno_error("cannot stat it", errno);
    return entry_of(status);
  };
  const auto looked = co_await readers_.run(std::move(look));
  if ((looked.code() == Errc::not_found || (looked && !looked->is_directory())) && !at.path.empty())
    co_return co_await vanish(at);
  if (!looked) co_return looked.error();
  co_return co_await made_directory(at, *looked);
}

Task<Status> Copier::made_directory(Attempt& at, Entry seen) {
  CAIRN_CO_TRY(before, ledger_.file(at.path));
  CAIRN_CO_TRY(made, co_await directory(at.path, &seen));
  const bool known = before && !before->has(kRowGone) && before->seen.is_directory();
  const std::optional<Entry> old = known ? std::optional<Entry>(before->seen) : std::nullopt;
  item(known ? Change::attributes : Change::made, seen, old, false, at.path);
  ++tally_.directories;
  finished(at, seen, made.inode, {}, 0);
  touch(at.batch, at.path);
  co_return Status();
}

Task<void> Copier::finish_directory(std::string path) {
  const auto row = ledger_.file(path);
  Ledger::Batch batch;
  batch.erase(Table::touched, path);
  if (!row || !*row || (*row)->has(kRowGone) || (*row)->dest_inode == 0) {
    record_(std::move(batch), std::nullopt);
    co_return;
  }
  const std::uint64_t inode = (*row)->dest_inode;
  Entry seen = (*row)->seen;
  const auto set = co_await destination_.set_attributes(inode, std::move(seen));
  if (!set && is_transient(set.error())) co_return; // stays to be done
  if (!set && options_.problem && !is_gone(set.error())) options_.problem(path, set.error());
  touched_.erase(path);
  record_(std::move(batch), std::nullopt);
}

// --- symlinks, special files, hard links, removal ------------------------------------------------

Task<Status> Copier::replace(std::uint64_t parent, std::string temporary, std::string name) {
  const Status renamed = co_await destination_.rename(parent, temporary, name);
  if (renamed) co_return Status();
  static_cast<void>(co_await destination_.remove(parent, temporary, false));
  if (renamed.code() == Errc::is_directory || renamed.code() == Errc::exists)
    co_return Error{Errc::exists, "a directory is in its place at the destination"};
  co_return renamed;
}

Task<Status> Copier::copy_other(Attempt& at) {
  if (!co_await is_at_source(at.path)) co_return co_await vanish(at);
  const Entry seen = at.work.seen;
  const bool symlink = seen.type == NodeType::symlink;
  const std::string name(name_of(at.path));
  CAIRN_CO_TRY(before, ledger_.file(at.path));
  CAIRN_CO_TRY(parent, co_await directory(std::string(parent_of(at.path)), nullptr));
  Node made = Errc::io_error;
  if (symlink)
    made = co_await destination_.symlink(parent.inode, name, seen);
  else
    made = co_await destination_.mknod(parent.inode, name, seen);
  if (made.code() == Errc::exists) {
    Node there = co_await destination_.lookup(parent.inode, name);
    if (!there) co_return std::move(there).error();
    if (static_cast<NodeType>(there->attributes.type) == seen.type &&
        there->target == seen.target && there->attributes.rdev == seen.rdev) {
      made = co_await destination_.set_attributes(there->attributes.inode, seen);
    } else {
      const std::string temporary = temporary_name();
      if (symlink)
        made = co_await destination_.symlink(parent.inode, temporary, seen);
      else
        made = co_await destination_.mknod(parent.inode, temporary, seen);
      if (!made) co_return std::move(made).error();
      CAIRN_CO_RETURN_IF_ERROR(co_await replace(parent.inode, temporary, name));
    }
  }
  if (!made) co_return std::move(made).error();
  const std::optional<Entry> old =
      before && !before->has(kRowGone) ? std::optional<Entry>(before->seen) : std::nullopt;
  item(Change::made, seen, old, false, at.path, symlink ? " -> " + seen.target : std::string());
  ++(symlink ? tally_.symlinks : tally_.specials);
  finished(at, seen, made->attributes.inode, {}, 0);
  touch(at.batch, parent_of(at.path));
  co_return Status();
}

Task<Status> Copier::make_link(Attempt& at) {
  if (!co_await is_at_source(at.path)) co_return co_await vanish(at);
  CAIRN_CO_TRY(first, ledger_.file(at.work.link_to));
  if (!first || first->has(kRowGone) || first->dest_inode == 0 ||
      first->seen.inode != at.work.seen.inode) {
    if (options_.tar != nullptr)
      co_return Error{Errc::io_error, "the file whose other name it is was not copied"};
    // The other name could not be copied: this one stands for the file.
    CAIRN_CO_RETURN_IF_ERROR(
        ledger_.set_first_path(at.work.seen.device, at.work.seen.inode, at.path));
    at.work.kind = WorkKind::copy;
    co_return co_await copy_regular(at);
  }
  const std::string name(name_of(at.path));
  CAIRN_CO_TRY(parent, co_await directory(std::string(parent_of(at.path)), nullptr));
  const std::uint64_t inode = first->dest_inode;
  Node made = co_await destination_.link(inode, parent.inode, name);
  if (made.code() == Errc::exists) {
    Node there = co_await destination_.lookup(parent.inode, name);
    if (!there) co_return std::move(there).error();
    if (there->attributes.inode == inode) {
      made = std::move(there);
    } else {
      const std::string temporary = temporary_name();
      made = co_await destination_.link(inode, parent.inode, temporary);
      if (!made) co_return std::move(made).error();
      CAIRN_CO_RETURN_IF_ERROR(co_await replace(parent.inode, temporary, name));
    }
  }
  if (!made) co_return std::move(made).error();
  item(Change::linked, at.work.seen, {}, false, at.path, " => " + at.work.link_to);
  ++tally_.hard_links;
  const wire::Bytes sha256 = first->sha256;
  // A tar stream tells nothing of it but the name.
  finished(at, options_.tar != nullptr ? first->seen : at.work.seen, inode, sha256, kRowLinked);
  touch(at.batch, parent_of(at.path));
  co_return Status();
}

Task<void> Copier::remove(std::string path) {
  auto wait = kPauseFirst;
  Ledger::Batch batch;
  batch.erase(Table::removals, path);
  for (;;) {
    const auto row = ledger_.file(path);
    if (!row || !*row || !(*row)->has(kRowGone)) break; // it has come back
    if (options_.copy->removals_max && removals_ >= *options_.copy->removals_max) {
      ++tally_.kept;
      break;
    }
    const bool is_directory = (*row)->seen.is_directory();
    // By the ledger alone: a directory that is gone must not be made again for this.
    const std::string above(parent_of(path));
    const auto parent = ledger_.file(above);
    std::uint64_t inode = above.empty() ? destination_.root() : 0;
    if (inode == 0 && parent && *parent) inode = (*parent)->dest_inode;
    Status done = inode == 0 ? Status(Errc::not_found) : Status();
    ++removals_;
    if (done) done = co_await destination_.remove(inode, std::string(name_of(path)), is_directory);
    if (!done && is_transient(done.error())) {
      --removals_;
      if (!co_await pause_before_next_try(wait)) co_return;
      continue;
    }
    if (done || is_gone(done.error())) {
      last_success_ = Clock::now();
      ++tally_.removed;
      if (options_.item) options_.item("*deleting  ", is_directory ? path + "/" : path, {});
      batch.erase_file(path);
      batch.erase(Table::listed, path);
      batch.erase(Table::short_copies, path);
      if (contents_ && (*row)->seen.is_regular() && !(*row)->sha256.empty())
        contents_->drop(batch, (*row)->seen.size, (*row)->sha256, (*row)->dest_inode);
      directories_.erase(path);
      touch(batch, parent_of(path));
    } else {
      --removals_;
      // What this job did not put there is not its to remove.
      ++tally_.kept;
      if (done.code() != kNotEmpty && options_.problem) options_.problem(path, done.error());
    }
    break;
  }
  record_(std::move(batch), std::nullopt);
}

// --- a dry run -----------------------------------------------------------------------------------

Task<Status> Copier::try_dry(Attempt& at) {
  const Entry& seen = at.work.seen;
  std::optional<Entry> old;
  CAIRN_CO_TRY(before, ledger_.file(at.path));
  if (before && !before->has(kRowGone)) {
    old = before->seen;
  } else {
    const Node there = co_await find(at.path);
    if (there) {
      const wire::NsAttributes& node = there->attributes;
      Entry found;
      found.type = static_cast<NodeType>(node.type);
      found.mode = node.mode;
      found.uid = destination_.keeps_owner() ? node.uid : seen.uid;
      found.gid = destination_.keeps_owner() ? node.gid : seen.gid;
      found.size = found.is_regular() ? node.size : 0;
      found.mtime_s = node.mtime.seconds;
      found.mtime_ns = node.mtime.nanoseconds;
      found.target = there->target;
      if (found.type == seen.type) old = found;
    } else if (!is_gone(there.error()) && there.code() != kNotDirectory) {
      co_return there.error();
    }
  }
  const bool content = !old || old->size != seen.size || old->mtime() != seen.mtime();
  if (old && !content && old->same_attributes(seen) && old->target == seen.target)
    co_return Status();
  if (seen.is_directory()) {
    ++tally_.directories;
    item(old ? Change::attributes : Change::made, seen, old, false, at.path);
  } else if (seen.is_regular()) {
    ++tally_.files;
    tally_.bytes += seen.size;
    item(content ? Change::sent : Change::attributes, seen, old, false, at.path);
  } else {
    ++(seen.type == NodeType::symlink ? tally_.symlinks : tally_.specials);
    item(Change::made, seen, old, false, at.path,
         seen.type == NodeType::symlink ? " -> " + seen.target : std::string());
  }
  co_return Status();
}

} // namespace cairn::migrate
