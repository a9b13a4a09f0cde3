// Metadata that waits for its file.
#include "storage/sync/pending_metadata.h"

#include <leveldb/db.h>
#include <leveldb/write_batch.h>
#include <spdlog/spdlog.h>

namespace cairn::storage {

namespace {

Error database_error(const leveldb::Status& status) {
  return Error{status.IsCorruption() ? Errc::corrupt : Errc::io_error,
               "pending metadata: " + status.ToString()};
}

leveldb::WriteOptions synced() {
  leveldb::WriteOptions options;
  options.sync = true;
  return options;
}

} // namespace

PendingMetadata::PendingMetadata(std::unique_ptr<leveldb::DB> db) : db_(std::move(db)) {}
PendingMetadata::~PendingMetadata() = default;

Result<std::unique_ptr<PendingMetadata>> PendingMetadata::open(
    const std::filesystem::path& directory) {
  leveldb::Options options;
  options.create_if_missing = true;
  leveldb::DB* db = nullptr;
  auto status = leveldb::DB::Open(options, directory.string(), &db);
  if (status.IsCorruption() || status.IsInvalidArgument()) {
    spdlog::warn("pending metadata is lost path={} error={}", directory.string(),
                 status.ToString());
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
    status = leveldb::DB::Open(options, directory.string(), &db);
  }
  if (!status.ok()) return database_error(status);
  std::unique_ptr<PendingMetadata> pending(new PendingMetadata(std::unique_ptr<leveldb::DB>(db)));
  const std::unique_ptr<leveldb::Iterator> at(db->NewIterator({}));
  for (at->SeekToFirst(); at->Valid(); at->Next()) ++pending->count_;
  return pending;
}

Result<std::optional<PendingMetadata::Entry>> PendingMetadata::find(const std::string& name) const {
  std::string text;
  const auto status = db_->Get({}, name, &text);
  if (status.IsNotFound()) return std::optional<Entry>();
  if (!status.ok()) return database_error(status);
  CAIRN_TRY(entry, wire::decode_lenient<Entry>(wire::as_view(text)));
  return std::optional<Entry>(std::move(entry));
}

Status PendingMetadata::put(const std::string& name, const Entry& entry) {
  const std::lock_guard lock(mutex_);
  const auto before = find(name);
  const bool had = before && before->has_value();
  if (had && (*before)->stamp >= entry.stamp) return {};
  const wire::Bytes value = wire::encode(entry);
  const auto status = db_->Put(
      synced(), name, leveldb::Slice(reinterpret_cast<const char*>(value.data()), value.size()));
  if (!status.ok()) return database_error(status);
  if (!had) ++count_;
  return {};
}

Status PendingMetadata::erase(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto before = find(name);
  if (before && !before->has_value()) return {};
  if (const auto status = db_->Delete({}, name); !status.ok()) return database_error(status);
  if (count_ > 0) --count_;
  return {};
}

Status PendingMetadata::prune(std::uint32_t before) {
  if (is_empty()) return {};
  const std::lock_guard lock(mutex_);
  leveldb::WriteBatch removals;
  std::uint64_t count = 0;
  const std::unique_ptr<leveldb::Iterator> at(db_->NewIterator({}));
  for (at->SeekToFirst(); at->Valid(); at->Next()) {
    const auto entry =
        wire::decode_lenient<Entry>(wire::as_view({at->value().data(), at->value().size()}));
    if (entry && entry->time >= before) continue;
    removals.Delete(at->key());
    ++count;
  }
  if (const auto status = db_->Write({}, &removals); !status.ok()) return database_error(status);
  count_ -= std::min(count, count_.load());
  return {};
}

} // namespace cairn::storage
