// Asks the kernel whether pages of a mapped table are in memory before they are touched.
#include "tracker/log/resident.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

namespace cairn::tracker {

namespace {

thread_local bool resident_only = false;
thread_local bool has_missed = false;

// Pages that one look asks for; a block of a table is one or two.
constexpr std::size_t kPagesMax = 16;

// Whether all pages of a mapped range are in memory. False for a range of more than kPagesMax.
bool is_resident(const char* data, std::size_t size) {
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(data) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(data) + size;
  const std::size_t pages = (end - begin + page - 1) / page;
  std::array<unsigned char, kPagesMax> states{};
  if (pages > kPagesMax) return false;
  if (::mincore(reinterpret_cast<void*>(begin), end - begin, states.data()) != 0) return false;
  return std::all_of(states.begin(), states.begin() + static_cast<std::ptrdiff_t>(pages),
                     [](unsigned char state) { return (state & 1U) != 0; });
}

leveldb::Status refused(const std::string& name) {
  has_missed = true;
  return leveldb::Status::IOError(name, "not in memory");
}

class ResidentAware final : public leveldb::RandomAccessFile {
public:
  ResidentAware(std::unique_ptr<leveldb::RandomAccessFile> file, std::string name)
      : file_(std::move(file)), name_(std::move(name)) {
    // LevelDB maps a table, or reads it; the answer to no bytes tells which, and touches neither.
    char scratch = 0;
    leveldb::Slice nothing;
    is_mapped_ = file_->Read(0, 0, &nothing, &scratch).ok() && nothing.data() != &scratch;
  }

  leveldb::Status Read(std::uint64_t offset, std::size_t size, leveldb::Slice* result,
                       char* scratch) const override {
    if (resident_only && !is_mapped_) return refused(name_);
    auto status = file_->Read(offset, size, result, scratch);
    if (resident_only && status.ok() && !is_resident(result->data(), result->size()))
      return refused(name_);
    return status;
  }

private:
  const std::unique_ptr<leveldb::RandomAccessFile> file_;
  const std::string name_;
  bool is_mapped_ = false; // constant
};

} // namespace

ResidentOnly::ResidentOnly() {
  resident_only = true;
  has_missed = false;
}

ResidentOnly::~ResidentOnly() {
  resident_only = false;
}

bool ResidentOnly::missed() const {
  return has_missed;
}

bool may_open_table() {
  if (resident_only) has_missed = true;
  return !resident_only;
}

std::unique_ptr<leveldb::RandomAccessFile> resident_aware(
    std::unique_ptr<leveldb::RandomAccessFile> file, std::string name) {
  return std::make_unique<ResidentAware>(std::move(file), std::move(name));
}

} // namespace cairn::tracker
