// Tables in a LevelDB.
#include "tracker/log/meta_store.h"

#include "common/wire/mutation.h"
#include "tracker/log/log_file.h"
#include "tracker/log/pinning_env.h"

#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/filter_policy.h>
#include <leveldb/write_batch.h>

#include <atomic>
#include <chrono>
#include <xxhash.h>

namespace cairn::tracker {

namespace {

constexpr std::string_view kAppliedKey = "Mapplied";
constexpr std::string_view kFormatKey = "Mfmt";
constexpr std::string_view kFormat = "1";
constexpr int kBloomBitsPerKey = 10;

struct AppliedRow {
  std::uint64_t index = 0;
  std::uint64_t epoch = 0;
  std::uint64_t hash = 0;
  static constexpr auto fields() {
    using M = AppliedRow;
    return std::tuple{wire::integer(&M::index), wire::integer(&M::epoch), wire::integer(&M::hash)};
  }
};

leveldb::Slice slice(std::string_view text) {
  return {text.data(), text.size()};
}
std::string_view view(const leveldb::Slice& text) {
  return {text.data(), text.size()};
}

Error failed(std::string_view what, const leveldb::Status& status) {
  Errc code = Errc::io_error;
  if (status.IsNotFound()) code = Errc::not_found;
  std::string advice;
  if (status.IsCorruption()) {
    code = Errc::corrupt;
    advice = "; it is damaged: see `cairn namespace restore`";
  }
  return Error{code, std::string(what) + ": " + status.ToString() + advice};
}

// A store that somebody has open is left alone; LevelDB says so.
Status mend_unless_open(const std::filesystem::path& directory) {
  leveldb::Env& env = *leveldb::Env::Default();
  leveldb::FileLock* lock = nullptr;
  if (!env.LockFile((directory / "LOCK").string(), &lock).ok()) return {};
  const auto mended = mend_logs(directory);
  env.UnlockFile(lock);
  return mended ? Status() : mended.error();
}

leveldb::ReadOptions reading(const leveldb::Snapshot* snapshot) {
  leveldb::ReadOptions options;
  // A damaged block is an error here and never a wrong answer.
  options.verify_checksums = true;
  options.snapshot = snapshot;
  return options;
}

} // namespace

std::uint64_t chain_hash(std::uint64_t before, wire::View batch) {
  return XXH3_64bits_withSeed(batch.data(), batch.size(), before);
}

MetaStore::Snapshot::Snapshot(const MetaStore& store)
    : store_(store), at_(store.db_->GetSnapshot()) {}

MetaStore::Snapshot::~Snapshot() {
  store_.db_->ReleaseSnapshot(at_);
}

MetaStore::MetaStore(std::size_t cache_bytes)
    : env_(std::make_unique<PinningEnv>()),
      filter_(leveldb::NewBloomFilterPolicy(kBloomBitsPerKey)),
      cache_(leveldb::NewLRUCache(cache_bytes)) {}

MetaStore::~MetaStore() = default;

Result<std::unique_ptr<MetaStore>> MetaStore::open(const std::filesystem::path& directory,
                                                   std::size_t cache_bytes) {
  std::error_code failure;
  std::filesystem::create_directories(directory, failure);
  if (failure) return errno_error("cannot make " + directory.string(), failure.value());
  // The secrets of access keys are in it.
  std::filesystem::permissions(directory, std::filesystem::perms::owner_all, failure);
  if (failure) return errno_error("cannot protect " + directory.string(), failure.value());

  // LevelDB would begin anew beside what is left of a store without this file.
  if (!std::filesystem::exists(directory / "CURRENT", failure)) {
    for (std::filesystem::directory_iterator at(directory, failure), end; !failure && at != end;
         at.increment(failure)) {
      const std::string name = at->path().filename().string();
      if (name.ends_with(".ldb") || name.starts_with("MANIFEST-"))
        return Error{Errc::corrupt, directory.string() + " has lost its file CURRENT; it is " +
                                        "damaged: see `cairn namespace restore`"};
    }
  }
  CAIRN_RETURN_IF_ERROR(mend_unless_open(directory));
  std::unique_ptr<MetaStore> store(new MetaStore(cache_bytes));
  store->directory_ = directory;
  leveldb::Options options;
  options.env = store->env_.get();
  options.create_if_missing = true;
  options.paranoid_checks = true;
  options.filter_policy = store->filter_.get();
  options.block_cache = store->cache_.get();
  options.max_file_size = std::size_t{8} << 20;
  leveldb::DB* db = nullptr;
  if (const auto opened = leveldb::DB::Open(options, directory.string(), &db); !opened.ok())
    return failed("cannot open the metadata store " + directory.string(), opened);
  store->db_.reset(db);

  auto format = store->get(kFormatKey);
  if (!format && format.code() != Errc::not_found) return std::move(format).error();
  if (format && *format != kFormat)
    return Error{Errc::unsupported, directory.string() + " has format " + *format +
                                        ", this program knows " + std::string(kFormat)};
  if (!format) {
    leveldb::WriteOptions synced;
    synced.sync = true;
    if (const auto put = db->Put(synced, slice(kFormatKey), slice(kFormat)); !put.ok())
      return failed("cannot write to " + directory.string(), put);
  }
  auto applied = store->get(kAppliedKey);
  if (!applied && applied.code() != Errc::not_found) return std::move(applied).error();
  if (applied) {
    CAIRN_TRY(row, wire::decode_lenient<AppliedRow>(wire::as_view(*applied)));
    store->applied_ = LogPos{row.epoch, row.index};
    store->hash_ = row.hash;
  }
  return store;
}

Status MetaStore::apply(std::span<const LogEntry> entries, bool sync) {
  leveldb::WriteBatch rows;
  LogPos last = applied_;
  std::uint64_t hash = hash_;
  for (const auto& entry : entries) {
    if (entry.position.index <= last.index) continue;
    CAIRN_TRY(batch, wire::decode_lenient<wire::MutationBatch>(entry.batch));
    for (const auto& mutation : batch.mutations) {
      if (mutation.key.empty() || mutation.key[0] == 'M')
        return Error{Errc::corrupt, "a mutation of the store's own table"};
      if (mutation.kind == wire::MutationKind::put)
        rows.Put(mutation.key, mutation.value);
      else
        rows.Delete(mutation.key);
    }
    last = entry.position;
    hash = chain_hash(hash, entry.batch);
  }
  if (last == applied_) return {};
  AppliedRow row;
  row.index = last.index;
  row.epoch = last.epoch;
  row.hash = hash;
  const wire::Bytes value = wire::encode(row);
  rows.Put(slice(kAppliedKey), slice(wire::as_text(value)));
  leveldb::WriteOptions options;
  options.sync = sync;
  const std::lock_guard lock(apply_mutex_);
  if (const auto written = db_->Write(options, &rows); !written.ok())
    return failed("metadata store", written);
  applied_ = last;
  hash_ = hash;
  return {};
}

Result<std::string> MetaStore::get(std::string_view key, const Snapshot* snapshot) const {
  std::string value;
  const auto found =
      db_->Get(reading(snapshot == nullptr ? nullptr : snapshot->at_), slice(key), &value);
  if (!found.ok()) return failed("metadata store", found);
  return value;
}

Status MetaStore::scan(
    std::string_view prefix,
    const std::function<Status(std::string_view key, std::string_view value)>& row) const {
  return scan_from(prefix, {}, row);
}

Status MetaStore::scan_from(
    std::string_view prefix, std::string_view after,
    const std::function<Status(std::string_view key, std::string_view value)>& row) const {
  const std::unique_ptr<leveldb::Iterator> it(db_->NewIterator(reading(nullptr)));
  // The key right behind `after` in the bytewise order.
  const std::string behind = std::string(after) + '\0';
  for (it->Seek(slice(after.empty() ? prefix : std::string_view(behind)));
       it->Valid() && it->key().starts_with(slice(prefix)); it->Next())
    CAIRN_RETURN_IF_ERROR(row(view(it->key()), view(it->value())));
  if (!it->status().ok()) return failed("metadata store", it->status());
  return {};
}

Status MetaStore::walk(std::string_view prefix, std::string_view from,
                       const std::function<bool(std::string_view key, std::string_view value)>& row,
                       const Snapshot* snapshot) const {
  const std::unique_ptr<leveldb::Iterator> it(
      db_->NewIterator(reading(snapshot == nullptr ? nullptr : snapshot->at_)));
  it->Seek(slice(from < prefix ? prefix : from));
  for (; it->Valid() && it->key().starts_with(slice(prefix)); it->Next()) {
    if (!row(view(it->key()), view(it->value()))) return {};
  }
  if (!it->status().ok()) return failed("metadata store", it->status());
  return {};
}

} // namespace cairn::tracker
