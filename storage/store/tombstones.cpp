// Tombstones in LevelDB.
#include "storage/store/tombstones.h"

#include "common/wire/codec.h"

#include <leveldb/db.h>
#include <leveldb/filter_policy.h>
#include <leveldb/write_batch.h>

namespace cairn::storage {

namespace {

struct Row {
  Tombstone tombstone;
  static constexpr std::size_t kSize = 16;
};

std::string encode_row(const Tombstone& t) {
  std::array<std::byte, Row::kSize> bytes;
  wire::store_big_endian(bytes.data(), t.stamp, 8);
  wire::store_big_endian(bytes.data() + 8, t.origin_id, 4);
  wire::store_big_endian(bytes.data() + 12, t.time, 4);
  return std::string(wire::as_text(bytes));
}

std::optional<Tombstone> decode_row(const leveldb::Slice& slice) {
  if (slice.size() != Row::kSize) return std::nullopt;
  const auto* bytes = reinterpret_cast<const std::byte*>(slice.data());
  return Tombstone{wire::load_big_endian(bytes, 8),
                   static_cast<std::uint32_t>(wire::load_big_endian(bytes + 8, 4)),
                   static_cast<std::uint32_t>(wire::load_big_endian(bytes + 12, 4))};
}

Error failure(const leveldb::Status& status) {
  return Error{status.IsCorruption() ? Errc::corrupt : Errc::io_error,
               "tombstones: " + status.ToString()};
}

} // namespace

Tombstones::Tombstones(std::unique_ptr<leveldb::DB> db, bool synced)
    : db_(std::move(db)), synced_(synced) {}

Tombstones::~Tombstones() = default;

Result<std::unique_ptr<Tombstones>> Tombstones::open(const std::filesystem::path& directory,
                                                     bool synced) {
  // Lives as long as the process: LevelDB keeps a pointer to it.
  static const leveldb::FilterPolicy* const filter = leveldb::NewBloomFilterPolicy(10);
  leveldb::Options options;
  options.create_if_missing = true;
  options.filter_policy = filter;
  options.write_buffer_size = 1 << 20;
  leveldb::DB* db = nullptr;
  const auto status = leveldb::DB::Open(options, directory.string(), &db);
  if (!status.ok()) return failure(status);
  return std::unique_ptr<Tombstones>(new Tombstones(std::unique_ptr<leveldb::DB>(db), synced));
}

Status Tombstones::put(const std::string& name, const Tombstone& tombstone) {
  CAIRN_TRY(present, find(name));
  if (present && present->stamp >= tombstone.stamp) return Status();
  leveldb::WriteOptions options;
  options.sync = synced_;
  const auto status = db_->Put(options, name, encode_row(tombstone));
  if (!status.ok()) return failure(status);
  return Status();
}

Result<std::optional<Tombstone>> Tombstones::find(const std::string& name) const {
  std::string value;
  const auto status = db_->Get(leveldb::ReadOptions(), name, &value);
  if (status.IsNotFound()) return std::optional<Tombstone>();
  if (!status.ok()) return failure(status);
  const auto row = decode_row(value);
  if (!row) return Error{Errc::corrupt, "tombstone of " + name + " is damaged"};
  return row;
}

Status Tombstones::erase(const std::string& name) {
  leveldb::WriteOptions options;
  options.sync = synced_;
  const auto status = db_->Delete(options, name);
  if (!status.ok()) return failure(status);
  return Status();
}

Status Tombstones::scan(
    const std::string& after,
    const std::function<bool(const std::string&, const Tombstone&)>& visit) const {
  const std::unique_ptr<leveldb::Iterator> row(db_->NewIterator(leveldb::ReadOptions()));
  for (row->Seek(after); row->Valid(); row->Next()) {
    const std::string name = row->key().ToString();
    if (name == after) continue;
    const auto tombstone = decode_row(row->value());
    if (tombstone && !visit(name, *tombstone)) break;
  }
  if (!row->status().ok()) return failure(row->status());
  return Status();
}

Result<std::uint64_t> Tombstones::prune(std::uint32_t before) {
  std::uint64_t removed = 0;
  leveldb::WriteBatch batch;
  CAIRN_RETURN_IF_ERROR(scan("", [&](const std::string& name, const Tombstone& tombstone) {
    if (tombstone.time >= before) return true;
    batch.Delete(name);
    ++removed;
    return true;
  }));
  const auto status = db_->Write(leveldb::WriteOptions(), &batch);
  if (!status.ok()) return failure(status);
  return removed;
}

} // namespace cairn::storage
