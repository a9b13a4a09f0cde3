// FNV-1a: tags need not withstand anybody; who shares one is asked for once more than needed.
#include "common/base/cache_tag.h"

namespace cairn {

namespace {

std::string tag_of(char kind, std::string_view text) {
  constexpr std::uint64_t kPrime = 0x100000001b3;
  std::uint64_t hash = 0xcbf29ce484222325;
  hash = (hash ^ static_cast<unsigned char>(kind)) * kPrime;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * kPrime;
  std::string out;
  for (int shift = 60; shift >= 0; shift -= 4)
    out.push_back("0123456789abcdef"[hash >> shift & 15]);
  return out;
}

} // namespace

std::string cache_tag_of_id(std::string_view id) {
  return tag_of('i', id);
}

std::string cache_tag_of_inode(std::uint64_t inode) {
  return tag_of('n', std::to_string(inode));
}

std::string cache_tag_of_alias(std::string_view host, std::string_view path) {
  return tag_of('a', std::string(host) + '\0' + std::string(path));
}

} // namespace cairn
