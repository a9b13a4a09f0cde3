// File IDs and what is made from them: whatever is accepted stays inside its store path.
#include "common/base/file_id.h"

#include <cstdint>
#include <string_view>

namespace {

using namespace cairn;

// A name that is joined to data/ of a store path must not lead out of it.
void check_inside(std::string_view true_name) {
  CAIRN_ASSERT(true_name.size() > 6 && true_name[2] == '/' && true_name[5] == '/');
  CAIRN_ASSERT(true_name.find('\0') == std::string_view::npos);
  CAIRN_ASSERT(true_name.find('/', 6) == std::string_view::npos);
  CAIRN_ASSERT(true_name[6] != '.');
  CAIRN_ASSERT(true_name.substr(0, 2) != ".." && true_name.substr(3, 2) != "..");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto name = parse_remote_name(text)) {
    check_inside(name->true_name());
    auto again = parse_remote_name(name->canonical());
    CAIRN_ASSERT(again && again->canonical() == name->canonical());
    CAIRN_ASSERT(again->kind() == name->kind());
    for (const std::string_view prefix : {"_small", "-m", "a"}) {
      if (auto slave = slave_name(*name, prefix, std::string_view("jpg"))) {
        auto parsed = parse_remote_name(*slave);
        if (parsed) check_inside(parsed->true_name());
      }
    }
  }
  if (auto id = parse_file_id(text)) {
    auto again = parse_file_id(id->text());
    CAIRN_ASSERT(again && again->text() == id->text());
  }
  if (auto fields = decode27(text)) {
    auto again = decode27(encode27(*fields));
    CAIRN_ASSERT(again && encode27(*again) == encode27(*fields));
  }
  static_cast<void>(parse_source_ref(text));
  static_cast<void>(validate_group_name(text));
  static_cast<void>(validate_extension(text));
  static_cast<void>(validate_prefix(text));
  return 0;
}
