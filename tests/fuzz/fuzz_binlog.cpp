// Segments of the log: a damaged one is noticed, never believed.
#include "storage/binlog/segment.h"

#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cairn;
  wire::View rest(reinterpret_cast<const std::byte*>(data), size);
  while (!rest.empty()) {
    std::size_t taken = 0;
    auto record = storage::parse_record(rest, taken);
    if (!record || !*record) break;
    CAIRN_ASSERT(taken >= storage::kRecordHead && taken <= rest.size());
    rest = rest.subspan(taken);
  }
  // The payload without its checksum, which random bytes seldom hit.
  if (auto record = wire::decode_lenient<storage::LogRecord>(
          wire::View(reinterpret_cast<const std::byte*>(data), size))) {
    const wire::Bytes again = wire::encode(*record);
    auto twice = wire::decode_lenient<storage::LogRecord>(again);
    CAIRN_ASSERT(twice && wire::encode(*twice) == again);
  }
  const std::string_view name(reinterpret_cast<const char*>(data), std::min<std::size_t>(size, 64));
  static_cast<void>(storage::segment_first_seq(std::filesystem::path(name)));
  return 0;
}
