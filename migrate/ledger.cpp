// Rows in a LevelDB.
#include "migrate/ledger.h"

#include "migrate/ledger_env.h"

#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/filter_policy.h>
#include <leveldb/write_batch.h>

#include <algorithm>
#include <chrono>
#include <map>

namespace cairn::migrate {

namespace {

constexpr std::string_view kCountersKey = "C";
constexpr std::string_view kFormatKey = "V";
constexpr std::string_view kFormat = "1";
constexpr int kBloomBitsPerKey = 10;
// Files LevelDB keeps open; each costs its index and filter.
constexpr int kOpenFilesMax = 200;

leveldb::Slice slice(std::string_view text) {
  return {text.data(), text.size()};
}

template <class Row>
std::string text_of(const Row& row) {
  return std::string(wire::as_text(wire::encode(row)));
}

std::string key_of(Table table, std::string_view path) {
  std::string key(1, static_cast<char>(table));
  key += parent_of(path);
  key += '\0';
  key += name_of(path);
  return key;
}

std::string path_of(std::string_view key) {
  const std::size_t nul = key.find('\0');
  return join(key.substr(1, nul - 1), key.substr(nul + 1));
}

std::string inode_key(std::uint64_t device, std::uint64_t inode) {
  wire::Bytes key;
  wire::Writer writer(key);
  writer.raw(wire::as_view("I"));
  writer.integer(device, 8);
  writer.integer(inode, 8);
  return std::string(wire::as_text(key));
}

std::string content_key(std::uint64_t size, const wire::Bytes& sha256) {
  wire::Bytes key;
  wire::Writer writer(key);
  writer.integer(static_cast<std::uint64_t>(Table::contents), 1);
  writer.integer(size, 8);
  writer.raw(sha256);
  return std::string(wire::as_text(key));
}

std::string number_text(std::uint64_t number) {
  wire::Bytes out;
  wire::Writer writer(out);
  writer.integer(number, 8);
  return std::string(wire::as_text(out));
}

std::uint64_t number_in(std::string_view text) {
  return wire::load_big_endian(reinterpret_cast<const std::byte*>(text.data()), 8);
}

Error failed(const leveldb::Status& status) {
  Errc code = Errc::io_error;
  if (status.IsCorruption() || status.IsInvalidArgument()) code = Errc::corrupt;
  return Error{code, "the ledger: " + status.ToString()};
}

leveldb::ReadOptions reading(bool all = false) {
  leveldb::ReadOptions options;
  options.verify_checksums = true; // a damaged block is an error here and never a wrong answer
  options.fill_cache = !all;
  return options;
}

} // namespace

Listed listed_of(const Entry& directory) {
  Listed out;
  out.inode = directory.inode;
  out.mtime_s = directory.mtime_s;
  out.mtime_ns = directory.mtime_ns;
  out.ctime_s = directory.ctime_s;
  out.ctime_ns = directory.ctime_ns;
  return out;
}

std::string ledger_advice(const Error& error) {
  if (error.code != Errc::corrupt) return {};
  return "`cairn-migrate resume --rebuild-ledger JOB` puts the damaged one aside and starts a new "
         "one; what is at the destination already is compared and not copied again";
}

// --- batches -------------------------------------------------------------------------------------

void Ledger::Batch::put_file(const std::string& path, const FileRow& row) {
  changes_.push_back({What::put, key_of(Table::files, path), text_of(row), 0});
}
void Ledger::Batch::erase_file(const std::string& path) {
  erase(Table::files, path);
}
void Ledger::Batch::put_work(const std::string& path, WorkRow row) {
  changes_.push_back({What::new_work, key_of(Table::work, path), text_of(row), 0});
}
void Ledger::Batch::finish_work(const std::string& path, std::uint64_t serial) {
  changes_.push_back({What::finish_work, key_of(Table::work, path), {}, serial});
}
void Ledger::Batch::fail_work(const std::string& path, WorkRow row) {
  changes_.push_back({What::fail_work, key_of(Table::work, path), text_of(row), row.serial});
}
void Ledger::Batch::put_listed(const std::string& path, const Listed& row) {
  changes_.push_back({What::put, key_of(Table::listed, path), text_of(row), 0});
}
void Ledger::Batch::put_short(const std::string& path, const ShortRow& row) {
  changes_.push_back({What::put, key_of(Table::short_copies, path), text_of(row), 0});
}
void Ledger::Batch::mark(Table table, const std::string& path) {
  changes_.push_back({What::put, key_of(table, path), {}, 0});
}
void Ledger::Batch::put_position(const std::string& log, const std::string& text) {
  changes_.push_back({What::put, key_of(Table::positions, log), text, 0});
}
void Ledger::Batch::erase(Table table, const std::string& path) {
  changes_.push_back({What::erase, key_of(table, path), {}, 0});
}

void Ledger::Batch::put_content(std::uint64_t size, const wire::Bytes& sha256,
                                const Holder& holder) {
  changes_.push_back({What::put, content_key(size, sha256) + number_text(holder.inode),
                      number_text(holder.data_version), 0});
}
void Ledger::Batch::erase_content(std::uint64_t size, const wire::Bytes& sha256,
                                  std::uint64_t inode) {
  changes_.push_back({What::erase, content_key(size, sha256) + number_text(inode), {}, 0});
}

void Ledger::Batch::append(Batch other) {
  if (changes_.empty()) {
    changes_ = std::move(other.changes_);
    return;
  }
  changes_.insert(changes_.end(), std::make_move_iterator(other.changes_.begin()),
                  std::make_move_iterator(other.changes_.end()));
}

// --- opening -------------------------------------------------------------------------------------

Ledger::Ledger()
    : env_(std::make_unique<LedgerEnv>()),
      filter_(leveldb::NewBloomFilterPolicy(kBloomBitsPerKey)) {}

Ledger::~Ledger() = default;

Result<std::unique_ptr<Ledger>> Ledger::open(const std::filesystem::path& directory,
                                             std::size_t cache_bytes) {
  std::error_code failure;
  std::filesystem::create_directories(directory, failure);
  if (failure) return errno_error("cannot make " + directory.string(), failure.value());
  std::unique_ptr<Ledger> ledger(new Ledger);
  // Two write buffers at most, and the rest for blocks.
  ledger->cache_.reset(leveldb::NewLRUCache(cache_bytes / 2));
  leveldb::Options options;
  options.create_if_missing = true;
  options.paranoid_checks = true;
  options.env = ledger->env_.get();
  options.filter_policy = ledger->filter_.get();
  options.block_cache = ledger->cache_.get();
  options.write_buffer_size = std::max<std::size_t>(cache_bytes / 4, std::size_t{1} << 20);
  options.max_open_files = kOpenFilesMax;
  options.max_file_size = std::size_t{8} << 20;
  leveldb::DB* db = nullptr;
  if (const auto opened = leveldb::DB::Open(options, directory.string(), &db); !opened.ok()) {
    Error error = failed(opened);
    if (error.detail.find("lock") != std::string::npos) error.code = Errc::busy;
    return error;
  }
  ledger->db_.reset(db);
  CAIRN_TRY(format, ledger->get(std::string(kFormatKey)));
  if (format && *format != kFormat)
    return Error{Errc::unsupported, "the ledger has format " + *format + ", this program knows " +
                                        std::string(kFormat)};
  if (!format) {
    const auto put = db->Put(leveldb::WriteOptions(), slice(kFormatKey), slice(kFormat));
    if (!put.ok()) return failed(put);
  }
  CAIRN_TRY(counters, ledger->get(std::string(kCountersKey)));
  if (counters) {
    CAIRN_TRY(row, wire::decode_lenient<Counters>(wire::as_view(*counters)));
    ledger->counters_ = row;
  }
  CAIRN_TRY(events, ledger->events());
  ledger->event_ = events.size();
  return ledger;
}

// --- changes -------------------------------------------------------------------------------------

void Ledger::count(const std::string& key, const std::string& value, bool add,
                   Counters& into) const {
  const auto move = [add](std::uint64_t& counter, std::uint64_t by) {
    counter = add ? counter + by : counter - std::min(counter, by);
  };
  switch (static_cast<Table>(key[0])) {
    case Table::files: {
      const auto row = wire::decode_lenient<FileRow>(wire::as_view(value));
      if (!row) return;
      if (row->has(kRowGone)) return move(into.gone, 1);
      if (row->has(kRowMetadata)) return;
      if (row->has(kRowLinked)) return move(into.hard_links, 1);
      if (row->seen.is_directory()) return move(into.directories, 1);
      if (row->seen.type == NodeType::symlink) return move(into.symlinks, 1);
      if (!row->seen.is_regular()) return move(into.specials, 1);
      move(into.files, 1);
      if (row->has(kRowShared)) {
        move(into.shared, 1);
        move(into.shared_bytes, row->seen.size);
      }
      return move(into.bytes, row->seen.size);
    }
    case Table::work: {
      const auto row = wire::decode_lenient<WorkRow>(wire::as_view(value));
      if (!row) return;
      move(into.queued, 1);
      if (row->kind == WorkKind::copy) move(into.queued_bytes, row->seen.size);
      if (row->failed_pass != 0) move(into.failed, 1);
      return;
    }
    case Table::scans:
      return move(into.scans, 1);
    case Table::removals:
      return move(into.removals, 1);
    case Table::touched:
      return move(into.touched, 1);
    case Table::short_copies:
      return move(into.short_copies, 1);
    case Table::listed:
    case Table::positions:
    case Table::contents:
      return;
  }
}

Status Ledger::commit(const Batch& batch, bool sync) {
  if (batch.empty()) return {};
  const std::scoped_lock lock(mutex_);
  Counters counters = counters_;
  leveldb::WriteBatch rows;
  std::map<std::string, std::optional<std::string>> now; // what this batch has written so far
  for (const Batch::Change& change : batch.changes_) {
    const auto table = static_cast<Table>(change.key[0]);
    const bool counted = table != Table::listed && table != Table::contents;
    std::optional<std::string> before;
    if (const auto found = now.find(change.key); found != now.end()) {
      before = found->second;
    } else if (counted) {
      CAIRN_TRY(stored, get(change.key));
      before = std::move(stored);
    }
    std::optional<std::string> after;
    using What = Batch::What;
    if (change.what == What::put) after = change.value;
    if (change.what == What::new_work) {
      CAIRN_TRY(row, wire::decode_lenient<WorkRow>(wire::as_view(change.value)));
      row.serial = counters.next_serial++;
      if (before) {
        // What was done for the one it replaces may be there already, and has to be looked for.
        CAIRN_TRY(old, wire::decode_lenient<WorkRow>(wire::as_view(*before)));
        row.run = old.attempts > 0 ? 0 : std::min(row.run, old.run);
      }
      after = text_of(row);
    }
    if (change.what == What::finish_work || change.what == What::fail_work) {
      if (!before) continue;
      CAIRN_TRY(row, wire::decode_lenient<WorkRow>(wire::as_view(*before)));
      if (row.serial != change.serial) continue;
      if (change.what == What::fail_work) after = change.value;
    }
    if (before) count(change.key, *before, false, counters);
    if (after) {
      count(change.key, *after, true, counters);
      rows.Put(change.key, *after);
    } else {
      rows.Delete(change.key);
    }
    now[change.key] = std::move(after);
  }
  const std::string kept = text_of(counters);
  rows.Put(slice(kCountersKey), kept);
  leveldb::WriteOptions options;
  options.sync = sync;
  if (const auto written = db_->Write(options, &rows); !written.ok()) return failed(written);
  counters_ = counters;
  return {};
}

Counters Ledger::counters() const {
  const std::scoped_lock lock(mutex_);
  return counters_;
}

// --- questions -----------------------------------------------------------------------------------

Result<std::optional<std::string>> Ledger::get(const std::string& key) const {
  std::string value;
  const auto found = db_->Get(reading(), key, &value);
  if (found.IsNotFound()) return std::optional<std::string>();
  if (!found.ok()) return failed(found);
  return std::optional<std::string>(std::move(value));
}

namespace {
template <class Row>
Result<std::optional<Row>> decoded(Result<std::optional<std::string>> value) {
  if (!value) return std::move(value).error();
  if (!*value) return std::optional<Row>();
  CAIRN_TRY(row, wire::decode_lenient<Row>(wire::as_view(**value)));
  return std::optional<Row>(std::move(row));
}
} // namespace

Result<std::optional<FileRow>> Ledger::file(const std::string& path) const {
  return decoded<FileRow>(get(key_of(Table::files, path)));
}
Result<std::optional<WorkRow>> Ledger::work(const std::string& path) const {
  return decoded<WorkRow>(get(key_of(Table::work, path)));
}
Result<std::optional<Listed>> Ledger::listed(const std::string& path) const {
  return decoded<Listed>(get(key_of(Table::listed, path)));
}

Result<std::optional<std::string>> Ledger::position(const std::string& log) const {
  return get(key_of(Table::positions, log));
}

Result<std::vector<Holder>> Ledger::holders(std::uint64_t size, const wire::Bytes& sha256,
                                            std::size_t limit) const {
  const std::string from = content_key(size, sha256);
  const std::unique_ptr<leveldb::Iterator> at(db_->NewIterator(reading()));
  std::vector<Holder> out;
  for (at->Seek(from); at->Valid() && out.size() < limit; at->Next()) {
    const std::string_view key(at->key().data(), at->key().size());
    if (!key.starts_with(from)) break;
    if (key.size() != from.size() + 8 || at->value().size() != 8)
      return Error{Errc::corrupt, "the ledger: a row of contents has another length"};
    out.emplace_back(number_in(key.substr(from.size())), number_in({at->value().data(), 8}));
  }
  if (!at->status().ok()) return failed(at->status());
  return out;
}

Result<bool> Ledger::has_content_of(std::uint64_t size) const {
  const std::string from = content_key(size, {});
  const std::unique_ptr<leveldb::Iterator> at(db_->NewIterator(reading()));
  at->Seek(from);
  if (!at->status().ok()) return failed(at->status());
  return at->Valid() && at->key().starts_with(from);
}

Result<std::vector<std::pair<std::string, std::string>>> Ledger::raw_page(
    Table table, const std::optional<std::string>& after, std::size_t limit) const {
  const std::unique_ptr<leveldb::Iterator> at(db_->NewIterator(reading(true)));
  std::string from(1, static_cast<char>(table));
  if (after) from = key_of(table, *after) + '\0';
  std::vector<std::pair<std::string, std::string>> out;
  for (at->Seek(from); at->Valid() && out.size() < limit; at->Next()) {
    if (at->key()[0] != static_cast<char>(table)) break;
    out.emplace_back(path_of(at->key().ToString()), at->value().ToString());
  }
  if (!at->status().ok()) return failed(at->status());
  return out;
}

Result<std::vector<std::string>> Ledger::paths(Table table, const std::optional<std::string>& after,
                                               std::size_t limit) const {
  CAIRN_TRY(rows, raw_page(table, after, limit));
  std::vector<std::string> out;
  for (auto& [path, value] : rows) out.push_back(std::move(path));
  return out;
}

Result<std::vector<std::string>> Ledger::last_paths(Table table, std::size_t limit) const {
  const std::unique_ptr<leveldb::Iterator> at(db_->NewIterator(reading(true)));
  const std::string end(1, static_cast<char>(static_cast<char>(table) + 1));
  at->Seek(end);
  if (at->Valid())
    at->Prev();
  else
    at->SeekToLast();
  std::vector<std::string> out;
  for (; at->Valid() && out.size() < limit; at->Prev()) {
    if (at->key()[0] != static_cast<char>(table)) break;
    out.push_back(path_of(at->key().ToString()));
  }
  if (!at->status().ok()) return failed(at->status());
  return out;
}

Ledger::Children::Children(const Ledger& ledger, const std::string& directory)
    : at_(ledger.db_->NewIterator(reading(true))),
      prefix_(std::string(1, static_cast<char>(Table::files)) + directory + '\0') {
  at_->Seek(prefix_);
}

Ledger::Children::~Children() = default;

Result<std::optional<std::pair<std::string, FileRow>>> Ledger::Children::next() {
  using Child = std::pair<std::string, FileRow>;
  while (at_->Valid()) {
    const leveldb::Slice key = at_->key();
    if (!key.starts_with(prefix_)) break;
    std::string name(key.data() + prefix_.size(), key.size() - prefix_.size());
    if (name.empty()) { // the root itself
      at_->Next();
      continue;
    }
    const leveldb::Slice value = at_->value();
    CAIRN_TRY(row, wire::decode_lenient<FileRow>(
                       wire::as_view(std::string_view(value.data(), value.size()))));
    at_->Next();
    return std::optional<Child>(Child(std::move(name), std::move(row)));
  }
  if (!at_->status().ok()) return failed(at_->status());
  return std::optional<Child>();
}

Result<std::string> Ledger::first_path(std::uint64_t device, std::uint64_t inode,
                                       const std::string& path) {
  const std::scoped_lock lock(mutex_);
  const std::string key = inode_key(device, inode);
  CAIRN_TRY(there, get(key));
  if (there) return *there;
  if (const auto put = db_->Put(leveldb::WriteOptions(), key, path); !put.ok()) return failed(put);
  return path;
}

Status Ledger::set_first_path(std::uint64_t device, std::uint64_t inode, const std::string& path) {
  const std::scoped_lock lock(mutex_);
  const auto put = db_->Put(leveldb::WriteOptions(), inode_key(device, inode), path);
  return put.ok() ? Status() : Status(failed(put));
}

// --- the time line -------------------------------------------------------------------------------

Status Ledger::note(std::string text) {
  const std::scoped_lock lock(mutex_);
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(
      std::chrono::system_clock::now().time_since_epoch());
  wire::Bytes key;
  wire::Writer writer(key);
  writer.raw(wire::as_view("T"));
  writer.integer(static_cast<std::uint64_t>(now.count()), 8);
  writer.integer(event_++, 8);
  leveldb::WriteOptions options;
  options.sync = true;
  const auto put = db_->Put(options, slice(wire::as_text(key)), text);
  return put.ok() ? Status() : Status(failed(put));
}

Result<std::vector<Event>> Ledger::events() const {
  const std::unique_ptr<leveldb::Iterator> at(db_->NewIterator(reading(true)));
  std::vector<Event> out;
  for (at->Seek("T"); at->Valid() && at->key()[0] == 'T'; at->Next()) {
    if (at->key().size() != 17) continue;
    Event event;
    event.time = static_cast<std::int64_t>(
        wire::load_big_endian(reinterpret_cast<const std::byte*>(at->key().data() + 1), 8));
    event.text = at->value().ToString();
    out.push_back(std::move(event));
  }
  if (!at->status().ok()) return failed(at->status());
  return out;
}

} // namespace cairn::migrate
