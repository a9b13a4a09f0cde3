// One piece of work: regular files. Read, look whether the destination has it, store, name.
#include "common/base/crc32.h"
#include "common/base/file_id.h"
#include "migrate/copier.h"
#include "migrate/tar_source.h"

#include <algorithm>
#include <cerrno>
#include <thread>

namespace cairn::migrate {

namespace {

using Clock = std::chrono::steady_clock;

// Longer files are read piece by piece while they are sent.
constexpr std::uint64_t kWholeMax = 256 * 1024;
constexpr std::size_t kReadPiece = 256 * 1024;
// Stored files of one file; a longer file has longer ones.
constexpr std::uint64_t kPiecesMax = 2048;
constexpr std::chrono::milliseconds kSleepMost{500};
constexpr int kServerTries = 5;

// Reads bytes of the source wherever they are.
Status read_bytes(const std::vector<std::byte>& bytes, const SourceFile* file, std::uint64_t offset,
                  std::span<std::byte> out) {
  if (file != nullptr) return file->read(offset, out);
  if (offset + out.size() > bytes.size()) return Error{Errc::busy, "it became shorter"};
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
  return {};
}

// True when the source has the content that the extents promise: sizes and checksums of whole
// stored files, and zeros between them. `hash` takes the bytes on the way.
Result<bool> matches(const std::vector<std::byte>& bytes, const SourceFile* file,
                     std::uint64_t size, const std::vector<wire::NsExtent>& extents, Sha256& hash) {
  std::vector<std::byte> buffer(kReadPiece);
  bool same = true;
  std::uint64_t at = 0;
  const auto run = [&](std::uint64_t length, std::uint32_t* crc) -> Status {
    while (length > 0) {
      const auto now = static_cast<std::size_t>(std::min<std::uint64_t>(length, buffer.size()));
      const std::span<std::byte> out = std::span(buffer).first(now);
      CAIRN_RETURN_IF_ERROR(read_bytes(bytes, file, at, out));
      hash.update(out);
      if (crc != nullptr)
        *crc = crc32(*crc, out);
      else
        same = same && std::ranges::all_of(out, [](std::byte b) { return b == std::byte{0}; });
      at += now;
      length -= now;
    }
    return {};
  };
  for (const wire::NsExtent& extent : extents) {
    const auto id = parse_file_id(extent.id);
    if (extent.offset < at || extent.offset + extent.length > size || extent.source != 0 || !id ||
        !id->name.fields() || id->name.fields()->size() != extent.length)
      return false;
    CAIRN_RETURN_IF_ERROR(run(extent.offset - at, nullptr));
    std::uint32_t crc = 0;
    CAIRN_RETURN_IF_ERROR(run(extent.length, &crc));
    same = same && crc == id->name.fields()->crc32;
  }
  CAIRN_RETURN_IF_ERROR(run(size - at, nullptr));
  return same;
}

// A piece of a long file on its way: read in order, again from its beginning if need be.
struct Piece {
  std::shared_ptr<SourceFile> file;
  Limiter* limiter = nullptr;
  std::uint64_t begin = 0;
  std::uint64_t at = 0;
  std::uint64_t end = 0;
  std::uint32_t crc = 0;
  // Of the whole file, in order; what is read twice counts once.
  std::shared_ptr<Sha256> hash;
  std::shared_ptr<std::uint64_t> hashed;

  Result<std::size_t> read(std::span<std::byte> out) {
    const auto now = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), end - at));
    out = out.first(now);
    std::this_thread::sleep_for(std::min<Clock::duration>(limiter->take(now), kSleepMost));
    CAIRN_RETURN_IF_ERROR(file->read(at, out));
    crc = crc32(crc, out);
    at += now;
    if (at > *hashed) {
      hash->update(out.last(static_cast<std::size_t>(std::min<std::uint64_t>(now, at - *hashed))));
      *hashed = at;
    }
    return now;
  }
};

} // namespace

// --- reading -------------------------------------------------------------------------------------

Task<Result<Copier::Read>> Copier::read_source(std::string path) {
  co_await reading_.acquire();
  Clock::duration took{};
  auto work = [path = full(path), follow = options_.copy->copy_links, &took]() -> Result<Read> {
    const auto begin = Clock::now();
    CAIRN_TRY(whole, read_whole(path, follow, kWholeMax));
    Read out;
    out.entry = std::move(whole.entry);
    out.bytes = std::move(whole.bytes);
    out.sha256 = std::move(whole.sha256);
    out.crc32 = whole.crc32;
    out.racy = whole.racy;
    if (out.entry.size > kWholeMax) {
      CAIRN_TRY(file, SourceFile::open(path, follow));
      out.entry = file->entry();
      out.file = std::move(file);
    }
    took = Clock::now() - begin;
    return out;
  };
  auto read = co_await readers_.run(std::move(work));
  reading_.release();
  note_latency(took);
  if (read && !read->file) co_await pause(limiter_.take(read->entry.size));
  co_return read;
}

Task<Result<Copier::Read>> Copier::read_server(Attempt& at, const std::optional<FileRow>& before) {
  co_await reading_.acquire();
  const auto begin = Clock::now();
  std::optional<FileTime> since;
  if (before && before->seen.mtime_s != 0 && !options_.copy->ignore_times && !at.check)
    since = before->seen.mtime();
  auto got = co_await http_fetch(*options_.server, at.path, since, kWholeMax, options_.spill);
  reading_.release();
  note_latency(Clock::now() - begin);
  if (!got) co_return std::move(got).error();
  Read read;
  read.entry = got->entry;
  // Who tells no time gets that of the first look.
  if (read.entry.mtime_s == 0)
    read.entry.mtime_s = before ? before->seen.mtime_s
                                : std::chrono::duration_cast<std::chrono::seconds>(
                                      std::chrono::system_clock::now().time_since_epoch())
                                      .count();
  read.bytes = std::move(got->bytes);
  read.file = std::move(got->file);
  if (!read.file) {
    read.crc32 = crc32(0, read.bytes);
    Sha256 hash;
    hash.update(read.bytes);
    read.sha256 = hash.finish();
  }
  co_await pause(limiter_.take(read.entry.size));
  co_return read;
}

Task<Result<Copier::Read>> Copier::read_shelf(Attempt& at, const std::optional<FileRow>& before) {
  at.held = options_.tar->get(at.path);
  // Work that a broken-off run has left may have been done before the stream's own offer of it was
  // written down.
  if (!at.held && before && at.work.seen.unchanged_since(before->seen)) co_return Errc::already;
  if (!at.held) co_return Error{Errc::not_found, "the stream does not have it (any more)"};
  Read read;
  read.entry = at.work.seen;
  read.file = at.held->file;
  if (!read.file) {
    read.bytes = at.held->bytes;
    auto work = [&read] {
      read.crc32 = crc32(0, read.bytes);
      Sha256 hash;
      hash.update(read.bytes);
      read.sha256 = hash.finish();
      return true;
    };
    co_await readers_.run(std::move(work));
  }
  co_await pause(limiter_.take(read.entry.size));
  co_return read;
}

Task<Result<Copier::Read>> Copier::look_at_source(std::string path) {
  auto work = [path = full(path), follow = options_.copy->copy_links]() -> Result<Read> {
    const auto now = std::chrono::system_clock::now();
    struct stat status {};
    if ((follow ? ::stat(path.c_str(), &status) : ::lstat(path.c_str(), &status)) != 0)
      return errno_error("cannot stat it", errno);
    if (!S_ISREG(status.st_mode)) return Error{Errc::is_directory, "no regular file any more"};
    Read out;
    out.entry = entry_of(status);
    out.racy = is_racy(out.entry, now);
    out.unread = true;
    return out;
  };
  co_return co_await readers_.run(std::move(work));
}

Task<Status> Copier::hash(Read& read) {
  auto work = [&read]() -> Status {
    Sha256 hash;
    const std::vector<wire::NsExtent> none;
    CAIRN_TRY(zeros, matches(read.bytes, read.file.get(), read.entry.size, none, hash));
    static_cast<void>(zeros);
    CAIRN_RETURN_IF_ERROR(read.file->check_unchanged());
    read.sha256 = hash.finish();
    return {};
  };
  co_return co_await readers_.run(std::move(work));
}

Task<Result<bool>> Copier::same_content(wire::NsNodeReply node, Read& read) {
  if (node.attributes.type != wire::NsType::regular || node.attributes.size != read.entry.size)
    co_return false;
  CAIRN_CO_TRY(extents, co_await destination_.extents(std::move(node)));
  auto work = [&read, &extents]() -> Result<bool> {
    Sha256 hash;
    CAIRN_TRY(same, matches(read.bytes, read.file.get(), read.entry.size, extents, hash));
    if (same && read.sha256.empty()) read.sha256 = hash.finish();
    return same;
  };
  co_return co_await readers_.run(std::move(work));
}

// --- storing -------------------------------------------------------------------------------------

Task<Result<std::optional<wire::NsExtent>>> Copier::adopt(Attempt& at, Read& read) {
  wire::NsExtent extent;
  extent.length = read.entry.size;
  wire::OriginMark mark = destination_.origin(at.path, read.entry);
  mark.ranges.push_back({0, extent.length});
  auto adopted = co_await destination_.adopt(
      full(at.path), read.entry, stored_extension(std::string(name_of(at.path))),
      wire::encode_origin(mark), options_.copy->source_frozen);
  // The node has gone: another one is looked for.
  if (!adopted && is_transient(adopted.error()))
    co_return Error{Errc::unavailable, adopted.error().detail};
  // Changed while it was read: it is sent, if it holds still for that.
  if (adopted.code() == Errc::busy) co_return std::optional<wire::NsExtent>();
  if (!adopted) {
    if (!std::exchange(told_not_adopted_, true) && options_.problem)
      options_.problem(at.path, Error{adopted.error().code,
                                      "it is sent, as others may be: " + adopted.error().detail});
    co_return std::optional<wire::NsExtent>();
  }
  extent.id = std::move(adopted->id);
  read.sha256 = std::move(adopted->sha256);
  read.copies = CopyCount(adopted->have, adopted->wanted);
  // So that the next pass finds it unchanged.
  read.entry.ctime_s = adopted->ctime_s;
  read.entry.ctime_ns = adopted->ctime_ns;
  if (adopted->how == wire::AdoptHow::clone) ++tally_.cloned;
  if (adopted->how == wire::AdoptHow::link) ++tally_.linked;
  co_return std::optional<wire::NsExtent>(std::move(extent));
}

Task<Result<std::vector<wire::NsExtent>>> Copier::store(Attempt& at, Read& read) {
  std::string extension = stored_extension(std::string(name_of(at.path)));
  if (options_.copy->mode == CopyMode::adopt && is_tree() && read.entry.size > 0) {
    CAIRN_CO_TRY(adopted, co_await adopt(at, read));
    if (adopted) co_return std::vector<wire::NsExtent>(1, *std::move(adopted));
    if (read.unread) {
      CAIRN_CO_TRY(content, co_await read_source(at.path));
      read = std::move(content);
    }
  }
  if (read.file) co_return co_await store_long(at, read, std::move(extension));
  std::vector<wire::NsExtent> out;
  if (read.bytes.empty()) co_return out;
  wire::NsExtent extent;
  extent.length = read.bytes.size();
  wire::OriginMark mark = destination_.origin(at.path, read.entry);
  mark.ranges.push_back({0, extent.length});
  CAIRN_CO_TRY(
      stored, co_await destination_.upload(wire::View(read.bytes), read.crc32, std::move(extension),
                                           wire::encode_origin(mark)));
  extent.id = std::move(stored.id);
  read.copies = stored.copies;
  out.push_back(std::move(extent));
  co_return out;
}

Task<Result<std::vector<wire::NsExtent>>> Copier::store_long(Attempt& at, Read& read,
                                                             std::string extension) {
  auto find = [file = read.file] { return file->segments(); };
  CAIRN_CO_TRY(segments, co_await readers_.run(std::move(find)));
  const std::uint64_t usual = std::max<std::uint64_t>(destination_.extent_bytes(), kReadPiece);
  const std::uint64_t piece_bytes = std::max(usual, read.entry.size / kPiecesMax + 1);
  const auto hash = std::make_shared<Sha256>();
  const auto hashed = std::make_shared<std::uint64_t>(0);
  wire::OriginMark mark = destination_.origin(at.path, read.entry);
  std::vector<wire::NsExtent> out;
  Status failure;
  for (const Segment& segment : segments) {
    for (std::uint64_t done = 0; done < segment.length && failure;) {
      auto piece = std::make_shared<Piece>();
      piece->file = read.file;
      piece->limiter = &limiter_;
      piece->begin = piece->at = segment.offset + done;
      piece->end = piece->begin + std::min(piece_bytes, segment.length - done);
      piece->hash = hash;
      piece->hashed = hashed;
      auto holes = [piece] {
        piece->hash->update_zeros(piece->begin - *piece->hashed);
        *piece->hashed = piece->begin;
        return true;
      };
      co_await readers_.run(std::move(holes));
      Source::Reader reader = [piece](std::span<std::byte> bytes) { return piece->read(bytes); };
      Source::Rewind rewind = [piece]() -> Status {
        piece->at = piece->begin;
        piece->crc = 0;
        return {};
      };
      const std::uint64_t length = piece->end - piece->begin;
      Source source = Source::reader(length, std::move(reader), std::move(rewind));
      mark.ranges.assign(1, wire::OriginRange{piece->begin, length});
      auto stored =
          co_await destination_.upload(std::move(source), extension, wire::encode_origin(mark));
      if (!stored) {
        failure = std::move(stored).error();
        break;
      }
      read.copies.have =
          out.empty() ? stored->copies.have : std::min(read.copies.have, stored->copies.have);
      read.copies.wanted = std::max(read.copies.wanted, stored->copies.wanted);
      wire::NsExtent extent;
      extent.offset = piece->begin;
      extent.length = length;
      extent.id = std::move(stored->id);
      const auto parsed = parse_file_id(extent.id);
      out.push_back(std::move(extent));
      if (!parsed || !parsed->name.fields() || parsed->name.fields()->crc32 != piece->crc)
        failure = Error{Errc::corrupt, "the storage node has stored other bytes than it was sent"};
      done += length;
    }
    if (!failure) break;
  }
  if (failure) {
    auto finish = [&read, hash, hashed]() -> Status {
      hash->update_zeros(read.entry.size - *hashed);
      read.sha256 = hash->finish();
      return read.file->check_unchanged();
    };
    failure = co_await readers_.run(std::move(finish));
  }
  if (!failure) {
    co_await destination_.discard(std::move(out));
    co_return std::move(failure).error();
  }
  co_return out;
}

namespace {

std::vector<std::string> ids_of(const std::vector<wire::NsExtent>& extents) {
  std::vector<std::string> out;
  for (const wire::NsExtent& extent : extents) out.push_back(extent.id);
  return out;
}

} // namespace

// --- one regular file ----------------------------------------------------------------------------

Task<Result<bool>> Copier::believe_destination(Attempt& at, const Node& there) {
  const CopyOptions& copy = *options_.copy;
  if (!there) {
    if (there.code() != Errc::not_found) co_return there.error();
    if (!copy.existing) co_return false;
  } else {
    const wire::NsAttributes& node = there->attributes;
    const Entry& seen = at.work.seen;
    const bool newer = FileTime(node.mtime.seconds, node.mtime.nanoseconds) > seen.mtime();
    const bool stays = copy.ignore_existing || (copy.update && newer);
    const bool same = options_.quick_check && !copy.checksum && !copy.ignore_times &&
                      node.type == wire::NsType::regular && node.size == seen.size &&
                      (copy.size_only || has_attributes(node, seen, false));
    if (same) {
      ++tally_.unchanged;
      finished(at, seen, node.inode, {}, 0);
      co_return true;
    }
    if (!stays) co_return false;
  }
  ++tally_.left_out;
  at.batch.finish_work(at.path, at.work.serial);
  co_return true;
}

Task<Result<bool>> Copier::settle_without_sending(Attempt& at, Read& read,
                                                  const std::optional<FileRow>& before,
                                                  const Node& there) {
  std::uint8_t flags = read.racy ? kRowRacy : 0;
  const auto kept = static_cast<std::uint8_t>(before ? before->flags & kRowShared : 0);
  const bool was_sent = before && !before->has(kRowLinked) && before->dest_inode != 0 &&
                        before->seen.size == read.entry.size && !before->sha256.empty() &&
                        !options_.copy->ignore_times;
  if (was_sent && !at.check) {
    if (read.sha256.empty()) CAIRN_CO_RETURN_IF_ERROR(co_await hash(read));
    if (read.sha256 == before->sha256) {
      if (before->seen.same_attributes(read.entry)) {
        ++tally_.unchanged;
        finished(at, read.entry, before->dest_inode, read.sha256,
                 static_cast<std::uint8_t>(flags | kept));
        co_return true;
      }
      const Node set = co_await destination_.set_attributes(before->dest_inode, read.entry);
      if (!set) co_return set.error();
      ++tally_.attributes;
      item(Change::attributes, read.entry, before->seen, false, at.path);
      finished(at, read.entry, before->dest_inode, read.sha256,
               static_cast<std::uint8_t>(flags | kept));
      co_return true;
    }
  }
  if (!there) co_return false;
  wire::NsNodeReply node = *there;
  CAIRN_CO_TRY(same, co_await same_content(node, read));
  if (!same) co_return false;
  Contents::Claim claim;
  if (contents_ && read.entry.size > 0) {
    CAIRN_CO_TRY(known, co_await recognise(at, read, node, before, flags, claim));
    if (!known) co_return false;
  }
  const std::uint64_t inode = node.attributes.inode;
  if (has_attributes(node.attributes, read.entry, destination_.keeps_owner())) {
    ++tally_.unchanged;
  } else {
    const Node set = co_await destination_.set_attributes(inode, read.entry);
    if (!set) co_return set.error();
    ++tally_.attributes;
  }
  CAIRN_CO_TRY(extents, co_await destination_.extents(node));
  const std::vector<std::string> ids = ids_of(extents);
  const CopyCount count = co_await destination_.wait_for_copies(ids);
  note_copies(at, ids, count);
  if (contents_ && read.entry.size > 0)
    contents_->add(at.batch, read.entry.size, read.sha256,
                   Holder(inode, node.attributes.data_version));
  finished(at, read.entry, inode, read.sha256, flags);
  touch(at.batch, parent_of(at.path));
  co_return true;
}

Task<Copier::Node> Copier::put(const Target& target, const Entry& entry, Content content) {
  const auto make = [](Copier& self, const Target& where, const Entry& seen, const Content& what,
                       std::string name, bool exclusive) -> Task<Node> {
    if (what.holder)
      co_return co_await self.destination_.create_copy(where.parent, std::move(name), seen,
                                                       *what.holder, exclusive);
    co_return co_await self.destination_.create(where.parent, std::move(name), seen, what.extents,
                                                exclusive);
  };
  bool fresh_inode = target.fresh_inode;
  Node made = Errc::io_error;
  if (!fresh_inode) {
    made = co_await make(*this, target, entry, content, target.name, false);
    const bool odd = made.code() == static_cast<Errc>(ELOOP) || made.code() == Errc::exists ||
                     made.code() == static_cast<Errc>(ENXIO) ||
                     made.code() == Errc::invalid_argument;
    fresh_inode = odd && !made.error().outcome_unknown;
  }
  if (fresh_inode) {
    const std::string temporary = temporary_name();
    made = co_await make(*this, target, entry, content, temporary, true);
    if (made) CAIRN_CO_RETURN_IF_ERROR(co_await replace(target.parent, temporary, target.name));
  }
  co_return made;
}

void Copier::copied(Attempt& at, const Read& read, const Target& target,
                    const wire::NsNodeReply& made, std::uint8_t flags) {
  ++tally_.files;
  tally_.bytes += read.entry.size;
  const std::optional<FileRow>& before = target.before;
  const std::uint64_t inode = made.attributes.inode;
  if (contents_ && read.entry.size > 0) {
    const bool other = before && !before->sha256.empty() && before->sha256 != read.sha256;
    if (other) contents_->drop(at.batch, before->seen.size, before->sha256, before->dest_inode);
    contents_->add(at.batch, read.entry.size, read.sha256,
                   Holder(inode, made.attributes.data_version));
  }
  const std::optional<Entry> old = before ? std::optional<Entry>(before->seen) : std::nullopt;
  item(Change::sent, read.entry, old, true, at.path);
  finished(at, read.entry, inode, read.sha256,
           static_cast<std::uint8_t>(flags | (read.racy ? kRowRacy : 0)));
  touch(at.batch, parent_of(at.path));
}

Task<Status> Copier::copy_regular(Attempt& at) {
  const std::string name(name_of(at.path));
  CAIRN_CO_TRY(row, ledger_.file(at.path));
  std::optional<FileRow> before;
  if (row && !row->has(kRowGone) && row->seen.is_regular()) before = std::move(row);

  const CopyOptions& copy = *options_.copy;
  const bool policy =
      is_tree() && (copy.existing || copy.ignore_existing || copy.update || options_.quick_check);
  // What is taken over where it lies is read by a storage node, unless there is something to
  // compare it with.
  const bool unread = copy.mode == CopyMode::adopt && is_tree() && !policy && !at.check && !before;
  // Its content, and that again in a request.
  Room::Part room;
  if (is_tree() && !unread) room = co_await room_.take(std::min(at.work.seen.size, kWholeMax) * 2);
  // Before its directory is made: that may be gone as well.
  Result<Read> read = Errc::not_found;
  if (!policy) {
    if (options_.tar != nullptr) {
      read = co_await read_shelf(at, before);
      if (!read && read.code() != Errc::already)
        co_return Error{Errc::io_error, read.error().text()};
    } else if (options_.server)
      read = co_await read_server(at, before);
    else if (unread)
      read = co_await look_at_source(at.path);
    else
      read = co_await read_source(at.path);
    if (read.code() == Errc::not_found || read.code() == Errc::is_directory)
      co_return co_await vanish(at);
    if (read.code() == Errc::already) {
      ++tally_.unchanged;
      at.batch.finish_work(at.path, at.work.serial);
      co_return Status();
    }
    // While nobody gets anything the server is away; else it is this file that has to fail.
    if (!read && options_.server && is_transient(read.error()) &&
        (at.begun > last_success_ || ++at.unread < kServerTries))
      co_return std::move(read).error();
    if (!read) co_return Error{Errc::io_error, read.error().text()};
  } else if (!co_await is_at_source(at.path)) {
    co_return co_await vanish(at);
  }
  CAIRN_CO_TRY(parent, co_await directory(std::string(parent_of(at.path)), nullptr));
  Node there = Errc::not_found;
  if (policy || at.check || (!before && !parent.fresh)) {
    there = co_await destination_.lookup(parent.inode, name);
    if (!there && there.code() != Errc::not_found) co_return std::move(there).error();
  }
  if (policy) {
    CAIRN_CO_TRY(settled, co_await believe_destination(at, there));
    if (settled) co_return Status();
    read = co_await read_source(at.path);
    if (read.code() == Errc::not_found || read.code() == Errc::is_directory)
      co_return co_await vanish(at);
    if (!read) co_return Error{Errc::io_error, read.error().text()};
  }
  if (read->unread && (there || read->entry.size == 0)) {
    read = co_await read_source(at.path);
    if (!read) co_return Error{Errc::io_error, read.error().text()};
  }
  if (!read->unread) {
    CAIRN_CO_TRY(settled, co_await settle_without_sending(at, *read, before, there));
    if (settled) co_return Status();
  }

  Target target;
  target.parent = parent.inode;
  target.name = name;
  // A name that was one of several, or is no file, gets a new inode; else the file keeps its own,
  // and with it its other names.
  target.fresh_inode = (before && before->seen.inode != read->entry.inode &&
                        (before->has(kRowLinked) || before->seen.nlink > 1)) ||
                       (there && there->attributes.type != wire::NsType::regular);
  target.before = std::move(before);
  Contents::Claim claim; // while it is stored, for who has the same content
  if (contents_ && !read->unread && read->entry.size > 0) {
    CAIRN_CO_TRY(shared, co_await share(at, *read, target, claim));
    if (shared) co_return Status();
  }
  auto stored = co_await store(at, *read);
  if (stored.code() == Errc::busy || stored.code() == Errc::denied)
    co_return Error{Errc::io_error, stored.error().text()};
  if (!stored) co_return std::move(stored).error();
  Content content;
  content.extents = *std::move(stored);
  note_copies(at, ids_of(content.extents), read->copies);
  Node made = co_await put(target, read->entry, content);
  if (made.code() == Errc::is_directory)
    made = Error{Errc::exists, "a directory is in its place at the destination"};
  if (!made) {
    if (!made.error().outcome_unknown) co_await destination_.discard(std::move(content.extents));
    co_return std::move(made).error();
  }
  copied(at, *read, target, *made, 0);
  co_return Status();
}

} // namespace cairn::migrate
