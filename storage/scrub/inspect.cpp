// Looks at copies.
#include "storage/scrub/inspect.h"

#include "common/base/crc32.h"
#include "common/wire/codec.h"

#include <chrono>
#include <ctime>
#include <xxhash.h>

namespace cairn::storage {

namespace {

constexpr std::size_t kPage = 256;
constexpr std::size_t kDirectorySize = 9; // characters of "M00/1A/2B"
constexpr std::size_t kDirectoriesMax = 4096;
constexpr std::size_t kProblemsMax = 4096;
constexpr std::size_t kMarkedMax = 1000;

void add_metadata(const Store& store, const RemoteName& name, wire::CopyFacts& facts) {
  facts.meta_stamp = store.metadata_stamp(name);
  const auto text = store.get_metadata(name);
  if (text)
    facts.meta_crc32 = crc32(0, wire::as_view(*text));
  else
    facts.meta_damaged = text.code() == Errc::corrupt;
}

// What the content should be, as far as anybody here knows.
void add_promise(Store& store, const RemoteName& name, const std::optional<CatalogueRow>& row,
                 wire::CopyFacts& facts) {
  if (name.kind() == FileKind::normal && name.fields()) {
    facts.crc_known = true;
    facts.size = name.fields()->size();
    facts.crc32 = name.fields()->crc32;
  } else if (const auto sums = store.sums_of(name); sums && !sums->pending) {
    facts.crc_known = true;
    facts.size = sums->size();
    facts.crc32 = sums->crc32();
  } else if (row && row->crc_known) {
    facts.crc_known = true;
    facts.size = row->summary.size;
    facts.crc32 = row->summary.crc32;
  }
}

} // namespace

Result<wire::CopyFacts> inspect_copy(Store& store, Catalogue& catalogue, const RemoteName& name,
                                     bool verify) {
  wire::CopyFacts facts;
  CAIRN_TRY(tombstone, store.tombstones().find(name.canonical()));
  if (tombstone) {
    facts.deleted_stamp = tombstone->stamp;
    facts.deleted_by = tombstone->origin_id;
  }
  std::optional<CatalogueRow> row;
  if (auto found = catalogue.find(name.canonical())) row = *std::move(found);
  facts.is_listed = row.has_value();
  if (row) {
    facts.mark = row->mark;
    facts.stamp = row->summary.stamp;
    facts.mtime = row->summary.mtime;
    facts.meta_stamp = row->summary.meta_stamp;
    facts.meta_crc32 = row->summary.meta_crc32;
  }
  auto opened = store.open_file(name);
  if (opened.code() == Errc::not_found) {
    facts.presence = tombstone ? wire::Presence::deleted : wire::Presence::absent;
    add_promise(store, name, row, facts);
    return facts;
  }
  facts.presence = wire::Presence::present;
  if (opened) {
    facts.mark = store.mark_of(name, opened->file.get());
    facts.size = opened->size;
    facts.mtime = opened->mtime;
    facts.reused_stamp = Store::reused_stamp(opened->file.get());
    if (facts.stamp == 0) facts.stamp = std::uint64_t{opened->mtime} * 1000 << 16;
    facts.damaged = store.verdict(*opened, 0, opened->size) == Verdict::damaged;
    if (verify) facts.damaged = !store.verify(name, *opened, 0, opened->size);
  } else {
    facts.damaged = true;
  }
  add_promise(store, name, row, facts);
  add_metadata(store, name, facts);
  return facts;
}

Result<wire::ListMarkedReply> marked_files(Catalogue& catalogue, const wire::ListMarked& request) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::milliseconds(request.time_ms);
  const auto now = static_cast<std::uint64_t>(std::time(nullptr));
  wire::ListMarkedReply reply;
  reply.last = request.after;
  if (request.after.empty()) CAIRN_RETURN_IF_ERROR(catalogue.catch_up());
  do {
    CAIRN_TRY(rows, catalogue.list(reply.last, kPage));
    for (CatalogueRow& row : rows) {
      reply.last = row.summary.name;
      if (row.mark.empty() || row.summary.mtime + request.age_s > now ||
          row.summary.mtime < request.since)
        continue;
      wire::MarkedFile file;
      file.name = std::move(row.summary.name);
      file.mark = std::move(row.mark);
      file.size = row.summary.size;
      file.crc32 = row.summary.crc32;
      file.mtime = row.summary.mtime;
      reply.files.push_back(std::move(file));
    }
    reply.done = rows.size() < kPage;
  } while (!reply.done && Clock::now() < end && reply.files.size() + kPage <= kMarkedMax);
  return reply;
}

std::string directory_of(const std::string& name) {
  return name.substr(0, kDirectorySize);
}

std::uint64_t digest_of(const wire::FileSummary& file) {
  wire::Bytes bytes;
  wire::Writer writer(bytes);
  writer.raw(wire::as_view(file.name));
  writer.integer(file.size, 8);
  writer.integer(file.crc32, 4);
  writer.integer(file.meta_crc32, 4);
  return XXH3_64bits(bytes.data(), bytes.size());
}

Result<wire::DigestFilesReply> digest_files(Store& store, Catalogue& catalogue,
                                            const wire::DigestFiles& request) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::milliseconds(request.time_ms);
  wire::DigestFilesReply reply;
  reply.last = request.after;
  if (request.after.empty()) CAIRN_RETURN_IF_ERROR(catalogue.catch_up());
  do { // a page at least, however long the catalogue took: the caller must get on
    CAIRN_TRY(rows, catalogue.list(reply.last, kPage));
    for (const CatalogueRow& row : rows) {
      if (!request.until.empty() && row.summary.name >= request.until) {
        reply.done = true;
        return reply;
      }
      std::string directory = directory_of(row.summary.name);
      if (reply.directories.empty() || reply.directories.back().directory != directory)
        reply.directories.push_back({std::move(directory), 0, 0});
      ++reply.directories.back().count;
      reply.directories.back().sum += digest_of(row.summary);
      reply.last = row.summary.name;
      if (request.look == wire::DigestLook::catalogue) continue;
      const auto name = parse_remote_name(row.summary.name);
      if (!name) continue;
      const auto opened = store.open_file(*name);
      if (opened.code() == Errc::not_found) {
        CAIRN_TRY(tombstone, store.tombstones().find(row.summary.name));
        if (!tombstone) reply.problems.push_back({row.summary.name, true});
      } else if (!opened || !store.verify(*name, *opened, 0, opened->size) ||
                 (row.summary.meta_crc32 != 0 && !store.get_metadata(*name))) {
        reply.problems.push_back({row.summary.name, false});
      }
      if (Clock::now() >= end) return reply;
    }
    if (rows.size() < kPage) {
      reply.done = true;
      break;
    }
  } while (Clock::now() < end && reply.directories.size() < kDirectoriesMax &&
           reply.problems.size() < kProblemsMax);
  return reply;
}

} // namespace cairn::storage
