// The catalogue's databases, the thread that follows the binlog, and the walk.
#include "storage/sync/catalogue.h"

#include "common/base/crc32.h"

#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/filter_policy.h>
#include <leveldb/write_batch.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdio>
#include <map>

namespace cairn::storage {

namespace {

constexpr std::string_view kStateKey = "!state"; // sorts before every name
constexpr std::size_t kRecordsPerBatch = 1000;
// Under load records are gathered this long, so that they share a database write; wait_for() does
// not wait for it.
constexpr std::chrono::milliseconds kGather{50};
// A store path without changes still moves on after so many records of others, so that the log
// need not be kept for it.
constexpr std::uint64_t kRecordsUntilState = 10'000;
constexpr std::chrono::seconds kPauseAfterError{1};
constexpr std::chrono::seconds kCatchUp{5};

// Rows are written in order of arrival and read by walks: neither gains from much memory.
constexpr std::size_t kWriteBuffer = 2 << 20;
constexpr std::size_t kBlockCache = 2 << 20;

// Shared by all databases of the process, and as long-lived.
const leveldb::FilterPolicy* bloom_filter() {
  static const leveldb::FilterPolicy* policy = leveldb::NewBloomFilterPolicy(10);
  return policy;
}
leveldb::Cache* block_cache() {
  static leveldb::Cache* cache = leveldb::NewLRUCache(kBlockCache);
  return cache;
}

leveldb::Slice slice(wire::View bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Error database_error(const std::filesystem::path& directory, const leveldb::Status& status) {
  return Error{status.IsCorruption() ? Errc::corrupt : Errc::io_error,
               directory.string() + ": " + status.ToString()};
}

bool is_metadata(std::string_view leaf) {
  return leaf.ends_with("-m");
}

// "000001": a trunk file of FastDFS in a directory that was taken over. What is in it has names of
// its own by then (docs/migration.md).
bool is_trunk_file(const std::string& leaf) {
  return leaf.find_first_not_of("0123456789") == std::string::npos;
}

bool is_hex(const std::string& text) {
  return text.size() == 2 && text.find_first_not_of("0123456789ABCDEF") == std::string::npos;
}

} // namespace

// What a database says of itself.
struct Catalogue::State {
  std::uint64_t position = 0;
  std::uint64_t files = 0;
  bool walked = false; // all files of the store path are in

  static constexpr auto fields() {
    using M = State;
    return std::tuple{wire::integer(&M::position), wire::integer(&M::files),
                      wire::integer(&M::walked)};
  }
};

struct Catalogue::Part {
  std::filesystem::path directory;
  std::filesystem::path root;
  std::unique_ptr<leveldb::DB> db;
  State state; // on disk, once the batch is written
};

// Changes of several records, before they are written.
struct Catalogue::Batch {
  struct Part {
    leveldb::WriteBatch writes;
    std::map<std::string, std::optional<CatalogueRow>> rows; // as they will be
    std::int64_t files_change = 0;
  };
  std::map<std::size_t, Part> parts; // by store path
  std::uint64_t records = 0;
};

Result<std::unique_ptr<Catalogue>> Catalogue::open(const std::filesystem::path& directory,
                                                   std::vector<std::filesystem::path> roots,
                                                   Store& store, Binlog& binlog) {
  std::unique_ptr<Catalogue> catalogue(new Catalogue(store, binlog));
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return Error{Errc::io_error, "create " + directory.string() + ": " + error.message()};
  for (std::size_t i = 0; i < roots.size(); ++i) {
    char name[8];
    std::snprintf(name, sizeof name, "%02X", static_cast<unsigned>(i));
    Part part;
    part.directory = directory / name;
    part.root = std::move(roots[i]);
    if (auto opened = catalogue->open_part(part, false); !opened) {
      spdlog::warn("catalogue is made anew path={} why={}", part.directory.string(),
                   opened.error().text());
      CAIRN_RETURN_IF_ERROR(catalogue->open_part(part, true));
    }
    catalogue->parts_.push_back(std::move(part));
  }
  return catalogue;
}

Catalogue::Catalogue(Store& store, Binlog& binlog) : store_(store), binlog_(binlog) {}

Catalogue::~Catalogue() {
  stop();
}

// Opens a database and reads its state; `fresh`: after removing what is there.
Status Catalogue::open_part(Part& part, bool fresh) {
  const std::unique_lock lock(open_mutex_);
  part.db.reset();
  part.state = State{};
  if (fresh) {
    std::error_code error;
    std::filesystem::remove_all(part.directory, error);
    if (error)
      return Error{Errc::io_error, "remove " + part.directory.string() + ": " + error.message()};
  }
  leveldb::Options options;
  options.create_if_missing = true;
  options.filter_policy = bloom_filter();
  options.block_cache = block_cache();
  options.write_buffer_size = kWriteBuffer;
  leveldb::DB* db = nullptr;
  if (const auto status = leveldb::DB::Open(options, part.directory.string(), &db); !status.ok())
    return database_error(part.directory, status);
  part.db.reset(db);
  std::string text;
  const auto status = db->Get({}, leveldb::Slice(kStateKey.data(), kStateKey.size()), &text);
  if (status.IsNotFound()) return {};
  if (!status.ok()) return database_error(part.directory, status);
  CAIRN_TRY(state, wire::decode_lenient<State>(wire::as_view(text)));
  part.state = state;
  return {};
}

void Catalogue::walk_again(std::size_t store_path) {
  parts_[store_path].state = State{};
}

void Catalogue::start() {
  listener_ = binlog_.on_commit([this] {
    {
      const std::lock_guard lock(mutex_);
      if (woken_) return;
      woken_ = true;
    }
    wake_.notify_one();
  });
  thread_ = std::thread([this] { loop(); });
}

void Catalogue::stop() {
  if (!thread_.joinable()) return;
  binlog_.forget(listener_);
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  moved_.notify_all();
  thread_.join();
}

void Catalogue::loop() {
  for (;;) {
    Status status = follow();
    // What the log cannot tell any more, the disk tells.
    if (status.code() == Errc::not_found || status.code() == Errc::corrupt) {
      spdlog::warn("catalogue is made anew why={}", status.error().text());
      ready_ = false;
      position_ = 0;
      status = {};
      for (Part& part : parts_)
        if (auto opened = open_part(part, true); !opened) status = std::move(opened);
      if (status) continue;
    }
    std::unique_lock lock(mutex_);
    if (stopping_) return;
    if (!status) {
      spdlog::error("catalogue does not follow the log error={}", status.error().text());
      wake_.wait_for(lock, kPauseAfterError, [this] { return stopping_; });
    } else {
      wake_.wait(lock, [this] { return woken_ || stopping_; });
      wake_.wait_for(lock, kGather, [this] { return waiting_ > 0 || stopping_; });
    }
    if (stopping_) return;
    woken_ = false;
  }
}

// Walks what has to be walked, then applies the log up to its end. Errors: not_found and corrupt
// (the log does not hold what is needed, or lost some of it), io_error.
Status Catalogue::follow() {
  for (std::size_t i = 0; i < parts_.size(); ++i)
    if (!parts_[i].state.walked) CAIRN_RETURN_IF_ERROR(walk(i));

  std::uint64_t from = parts_.empty() ? 0 : parts_.front().state.position;
  for (const Part& part : parts_) from = std::min(from, part.state.position);
  // A log that begins to count anew was lost with its directory.
  if (from > binlog_.end_seq())
    return Error{Errc::not_found, "the binlog ends before the catalogue"};
  if (from < position_.load()) from = position_.load();
  publish(from);

  // Kept from call to call: to find a position, a reader has to read its segment from the
  // beginning.
  if (!reader_ || reader_->position() != from)
    reader_ = std::make_unique<BinlogReader>(binlog_, from);
  BinlogReader& reader = *reader_;
  for (;;) {
    Batch batch;
    while (batch.records < kRecordsPerBatch) {
      CAIRN_TRY(record, reader.next());
      if (!record) break;
      ++batch.records;
      CAIRN_RETURN_IF_ERROR(apply(*record, batch));
    }
    if (batch.records == 0) break;
    CAIRN_RETURN_IF_ERROR(write(batch, reader.position()));
    publish(reader.position());
    const std::lock_guard lock(mutex_);
    if (stopping_) return {};
  }
  if (!ready_.exchange(true)) publish(reader.position());
  return {};
}

void Catalogue::publish(std::uint64_t position) {
  std::uint64_t files = 0;
  std::uint64_t kept = position;
  for (const Part& part : parts_) {
    files += part.state.files;
    kept = std::min(kept, part.state.position);
  }
  count_ = files;
  kept_position_ = kept;
  {
    const std::lock_guard lock(mutex_);
    position_ = position;
  }
  moved_.notify_all();
}

bool Catalogue::wait_for(std::uint64_t seq, std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  ++waiting_;
  wake_.notify_one();
  moved_.wait_for(lock, timeout,
                  [&] { return stopping_ || (ready_.load() && position_.load() >= seq); });
  --waiting_;
  return ready_.load() && position_.load() >= seq;
}

Status Catalogue::catch_up() {
  if (!ready_.load()) return Error{Errc::unavailable, "the catalogue is being made"};
  const std::uint64_t seq = binlog_.committed_seq();
  if (wait_for(seq, kCatchUp)) return {};
  return Error{Errc::unavailable, "the catalogue has not read the log up to " +
                                      std::to_string(seq) + ", it is at " +
                                      std::to_string(position())};
}

Result<std::optional<CatalogueRow>> Catalogue::get(const Part& part,
                                                   const std::string& name) const {
  if (!part.db) return Error{Errc::unavailable, "the catalogue is being made"};
  std::string text;
  const auto status = part.db->Get({}, name, &text);
  if (status.IsNotFound()) return std::optional<CatalogueRow>();
  if (!status.ok()) return database_error(part.directory, status);
  CAIRN_TRY(row, wire::decode_lenient<CatalogueRow>(wire::as_view(text)));
  return std::optional<CatalogueRow>(std::move(row));
}

Result<std::optional<CatalogueRow>> Catalogue::find(const std::string& name) const {
  CAIRN_TRY(parsed, parse_remote_name(name));
  if (parsed.store_path() >= parts_.size()) return std::optional<CatalogueRow>();
  const std::shared_lock lock(open_mutex_);
  return get(parts_[parsed.store_path()], parsed.canonical());
}

// What the disk says of a file; nullopt: it is not there, or cannot be read.
std::optional<CatalogueRow> Catalogue::look_at(const RemoteName& name) const {
  const auto opened = store_.open_file(name);
  if (!opened) return std::nullopt;
  CatalogueRow row;
  row.summary.name = name.canonical();
  row.summary.size = opened->size;
  row.summary.mtime = opened->mtime;
  row.crc_known = name.kind() == FileKind::normal && name.fields().has_value();
  if (row.crc_known) row.summary.crc32 = name.fields()->crc32;
  // The time in the name, or of the file, stands for the stamp that only the log knew.
  row.summary.stamp = Store::reused_stamp(opened->file.get());
  row.summary.reused = row.summary.stamp != 0;
  if (!row.summary.reused) row.summary.stamp = std::uint64_t{opened->mtime} * 1000 << 16;
  if (name.fields()) row.origin_id = name.fields()->source.server_id().value_or(0);
  row.mark = store_.mark_of(name, opened->file.get());
  row.summary.meta_stamp = store_.metadata_stamp(name);
  if (auto text = store_.get_metadata(name))
    row.summary.meta_crc32 = crc32(0, wire::as_view(*text));
  return row;
}

Status Catalogue::walk(std::size_t index) {
  Part& part = parts_[index];
  ready_ = false;
  // Records up to here are on disk; those behind it are applied afterwards, whatever the walk saw.
  const std::uint64_t position = binlog_.committed_seq();
  CAIRN_RETURN_IF_ERROR(open_part(part, true));
  spdlog::info("catalogue walks a store path path={}", part.root.string());

  std::error_code error;
  leveldb::WriteBatch writes;
  std::size_t pending = 0;
  const std::filesystem::path data = part.root / "data";
  const auto flush = [&]() -> Status {
    if (const auto status = part.db->Write({}, &writes); !status.ok())
      return database_error(part.directory, status);
    writes.Clear();
    pending = 0;
    return {};
  };
  char prefix[8];
  std::snprintf(prefix, sizeof prefix, "M%02X/", static_cast<unsigned>(index));
  std::uint64_t files = 0;
  for (std::filesystem::directory_iterator high(data, error), end; !error && high != end;
       high.increment(error)) {
    if (!is_hex(high->path().filename().string())) continue;
    std::error_code ignored;
    for (std::filesystem::directory_iterator low(high->path(), ignored); !ignored && low != end;
         low.increment(ignored)) {
      if (!is_hex(low->path().filename().string())) continue;
      {
        const std::lock_guard lock(mutex_);
        if (stopping_) return Error{Errc::unavailable, "stopping"};
      }
      const std::string directory =
          prefix + high->path().filename().string() + "/" + low->path().filename().string() + "/";
      for (std::filesystem::directory_iterator leaf(low->path(), ignored); !ignored && leaf != end;
           leaf.increment(ignored)) {
        const std::string text = leaf->path().filename().string();
        if (is_metadata(text) || is_trunk_file(text)) continue;
        const auto name = parse_remote_name(directory + text);
        if (!name) continue;
        const auto row = look_at(*name);
        if (!row) continue;
        const wire::Bytes value = wire::encode(*row);
        writes.Put(row->summary.name, slice(value));
        ++files;
        if (++pending >= kRecordsPerBatch) CAIRN_RETURN_IF_ERROR(flush());
      }
      if (ignored)
        return Error{Errc::io_error, "read " + low->path().string() + ": " + ignored.message()};
    }
    if (ignored)
      return Error{Errc::io_error, "read " + high->path().string() + ": " + ignored.message()};
  }
  if (error && error != std::errc::no_such_file_or_directory)
    return Error{Errc::io_error, "read " + data.string() + ": " + error.message()};

  part.state = State{position, files, true};
  const wire::Bytes state = wire::encode(part.state);
  writes.Put(leveldb::Slice(kStateKey.data(), kStateKey.size()), slice(state));
  CAIRN_RETURN_IF_ERROR(flush());
  spdlog::info("catalogue is complete path={} files={}", part.root.string(), files);
  return {};
}

// Puts into `batch` what one record changes.
Status Catalogue::apply(const LogRecord& record, Batch& batch) {
  const auto parsed = parse_remote_name(record.name);
  if (!parsed || parsed->store_path() >= parts_.size()) return {};
  const std::size_t index = parsed->store_path();
  const Part& part = parts_[index];
  // Another store path lags: this one has the record already.
  if (record.seq <= part.state.position) return {};
  Batch::Part& changes = batch.parts[index];
  const auto current = [&](const std::string& name) -> Result<std::optional<CatalogueRow>> {
    if (const auto found = changes.rows.find(name); found != changes.rows.end())
      return found->second;
    return get(part, name);
  };
  const std::string name = parsed->canonical();
  CAIRN_TRY(before, current(name));
  std::optional<CatalogueRow> after;

  const auto set = [&](const std::string& key, const std::optional<CatalogueRow>& was,
                       std::optional<CatalogueRow> row) {
    if (row) {
      const wire::Bytes value = wire::encode(*row);
      changes.writes.Put(key, slice(value));
    } else {
      changes.writes.Delete(key);
    }
    changes.files_change += (row ? 1 : 0) - (was ? 1 : 0);
    changes.rows[key] = std::move(row);
  };
  const auto content_changed = [&](CatalogueRow& row) {
    row.summary.size = record.total_size;
    row.summary.mtime = record.mtime;
    row.origin_id = record.origin_id;
    row.seq = record.seq;
  };
  switch (record.kind) {
    case ChangeKind::put:
    case ChangeKind::link:
    case ChangeKind::rename: {
      after.emplace();
      after->summary.name = name;
      after->summary.stamp = record.stamp;
      after->summary.reused = record.extra == kRestoredMark || parsed->kind() == FileKind::slave;
      content_changed(*after);
      after->mark = record.mark;
      // A rename takes the metadata along, but for a received one, which the owner's metadata
      // follows; else what the name had stays.
      std::optional<CatalogueRow> had = before;
      if (const auto former = parse_remote_name(record.extra);
          record.kind == ChangeKind::rename && former && former->store_path() == index) {
        const std::string key = former->canonical();
        CAIRN_TRY(was, current(key));
        if (was && !record.received) had = was;
        set(key, was, std::nullopt);
      }
      if (had) {
        after->summary.meta_stamp = had->summary.meta_stamp;
        after->summary.meta_crc32 = had->summary.meta_crc32;
      }
      after->summary.crc32 = record.crc32;
      if (parsed->kind() == FileKind::normal && parsed->fields())
        after->summary.crc32 = parsed->fields()->crc32;
      else
        after->crc_known = record.kind == ChangeKind::put;
      break;
    }
    case ChangeKind::range:
    case ChangeKind::set_meta:
      after = before ? before : look_at(*parsed);
      if (!after) return {}; // deleted since: a later record says so
      if (record.kind == ChangeKind::range) {
        content_changed(*after);
        after->crc_known = false;
      } else {
        after->summary.meta_stamp = record.stamp;
        after->summary.meta_crc32 = record.crc32;
        after->seq = record.seq;
      }
      break;
    case ChangeKind::remove:
      break;
    default:
      return {};
  }

  set(name, before, std::move(after));
  return {};
}

// Writes a batch and the position that belongs to it.
Status Catalogue::write(Batch& batch, std::uint64_t position) {
  const std::lock_guard lock(write_mutex_);
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    Part& part = parts_[i];
    const auto found = batch.parts.find(i);
    if (found == batch.parts.end() && position < part.state.position + kRecordsUntilState) continue;
    if (position <= part.state.position) continue;
    State state = part.state;
    state.position = position;
    if (found != batch.parts.end())
      state.files = static_cast<std::uint64_t>(static_cast<std::int64_t>(state.files) +
                                               found->second.files_change);
    leveldb::WriteBatch empty;
    leveldb::WriteBatch& writes = found == batch.parts.end() ? empty : found->second.writes;
    const wire::Bytes value = wire::encode(state);
    writes.Put(leveldb::Slice(kStateKey.data(), kStateKey.size()), slice(value));
    if (const auto status = part.db->Write({}, &writes); !status.ok())
      return database_error(part.directory, status);
    part.state = state;
  }
  return {};
}

// Reads the checksum that a row lacks, and keeps it unless the file has changed meanwhile.
void Catalogue::fill_crc(CatalogueRow& row) {
  const auto name = parse_remote_name(row.summary.name);
  if (!name) return;
  const auto crc = store_.content_crc32(*name, true);
  if (!crc) return;
  row.summary.crc32 = *crc;
  row.crc_known = true;
  const std::lock_guard lock(write_mutex_);
  const Part& part = parts_[name->store_path()];
  const auto now = get(part, row.summary.name);
  if (!now || !*now || (*now)->seq != row.seq) return;
  // Changes that are on disk but not yet in the catalogue may be in the checksum; they will clear
  // it again.
  const wire::Bytes value = wire::encode(row);
  const auto status = part.db->Put({}, row.summary.name, slice(value));
  if (!status.ok())
    spdlog::warn("catalogue keeps no checksum name={} error={}", row.summary.name,
                 status.ToString());
}

Result<std::vector<CatalogueRow>> Catalogue::list(const std::string& after, std::size_t limit) {
  if (!ready_.load()) return Error{Errc::unavailable, "the catalogue is being made"};
  std::vector<CatalogueRow> rows;
  const std::shared_lock lock(open_mutex_);
  for (const Part& part : parts_) {
    if (rows.size() >= limit) break;
    if (!part.db) return Error{Errc::unavailable, "the catalogue is being made"};
    const std::unique_ptr<leveldb::Iterator> at(part.db->NewIterator({}));
    for (at->Seek(after.empty() ? std::string("M") : after); at->Valid() && rows.size() < limit;
         at->Next()) {
      if (at->key().compare(after) <= 0) continue;
      CAIRN_TRY(row, wire::decode_lenient<CatalogueRow>(
                         wire::as_view({at->value().data(), at->value().size()})));
      rows.push_back(std::move(row));
    }
    if (!at->status().ok()) return database_error(part.directory, at->status());
  }
  for (CatalogueRow& row : rows)
    if (!row.crc_known) fill_crc(row);
  return rows;
}

} // namespace cairn::storage
