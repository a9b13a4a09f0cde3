// Plain files, slots of trunk files, and which of the two a name means.
#include "migrate/fastdfs_source.h"

#include "common/base/crc32.h"
#include "common/base/file_id.h"
#include "migrate/fastdfs_trunk.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <span>
#include <sys/stat.h>

namespace cairn::migrate {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kReadPiece = 1 << 20;
constexpr std::string_view kMetadata = "-m";

bool is_hex(std::string_view text) {
  return text.size() == 2 && text.find_first_not_of("0123456789ABCDEF") == std::string_view::npos;
}

// A normal file's name and a trunk file's say how long it is, and its checksum.
std::string damage_of(const RemoteName& name, std::uint64_t size, std::uint32_t crc,
                      std::uint32_t legacy) {
  if (name.kind() != FileKind::normal && name.kind() != FileKind::trunk) return {};
  if (size != name.fields()->size())
    return "it has " + std::to_string(size) + " bytes, its name says " +
           std::to_string(name.fields()->size());
  if (crc != name.fields()->crc32 && legacy != name.fields()->crc32)
    return "its content does not match the checksum in its name";
  return {};
}

// Hashes a file that is too long to be kept.
Status read_through(const RemoteName* name, FastdfsContent& out) {
  Sha256 hash;
  LegacyCrc32 legacy;
  std::vector<std::byte> buffer(kReadPiece);
  for (std::uint64_t at = 0; at < out.entry.size;) {
    const auto now = std::span(buffer).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), out.entry.size - at)));
    CAIRN_RETURN_IF_ERROR(out.file->read(at, now));
    hash.update(now);
    legacy.update(now);
    out.crc32 = crc32(out.crc32, now);
    at += now.size();
  }
  CAIRN_RETURN_IF_ERROR(out.file->check_unchanged());
  out.sha256 = hash.finish();
  if (name != nullptr) out.damage = damage_of(*name, out.entry.size, out.crc32, legacy.value());
  return {};
}

} // namespace

Result<std::unique_ptr<FastdfsSource>> FastdfsSource::open(const fs::path& conf) {
  CAIRN_TRY(node, read_fastdfs_conf(conf));
  std::unique_ptr<FastdfsSource> out(new FastdfsSource(std::move(node)));
  for (const fs::path& root : out->node_.store_paths) {
    std::error_code failure;
    const fs::path data = fs::canonical(root / "data", failure);
    // An empty disk would look like a node that has lost everything.
    if (failure || !fs::is_directory(data / "00", failure))
      return Error{Errc::not_found,
                   (root / "data/00").string() + " is not there: is the store path mounted?"};
    out->data_.push_back(data.string());
  }
  return out;
}

std::vector<std::string> FastdfsSource::roots() const {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < data_.size(); ++i) {
    char text[8];
    std::snprintf(text, sizeof text, "M%02X", static_cast<unsigned>(i));
    out.emplace_back(text);
  }
  return out;
}

std::string FastdfsSource::full(std::string_view path) const {
  const std::string_view root = path.substr(0, path.find('/'));
  const std::vector<std::string> known = roots();
  const auto found = std::ranges::find(known, root);
  if (found == known.end()) return {};
  return data_[static_cast<std::size_t>(found - known.begin())] +
         std::string(path.substr(root.size()));
}

FastdfsSource::What FastdfsSource::what(std::string_view path, bool is_directory) {
  if (is_directory) {
    const auto depth = std::ranges::count(path, '/');
    return depth == 0 || (depth <= 2 && is_hex(name_of(path))) ? What::directory : What::other;
  }
  if (is_trunk_leaf(name_of(path))) return What::other;
  const auto name = parse_remote_name(file_of(path));
  if (!name || !name->fields()) return What::other;
  return path.ends_with(kMetadata) ? What::metadata : What::file;
}

bool FastdfsSource::is_trunk_file(std::string_view path) {
  return is_trunk_leaf(name_of(path));
}

bool FastdfsSource::may_be_in_trunk(std::string_view path) {
  const auto name = parse_remote_name(path);
  return name && name->trunk();
}

std::string_view FastdfsSource::file_of(std::string_view path) {
  return path.ends_with(kMetadata) ? path.substr(0, path.size() - kMetadata.size()) : path;
}

Result<std::string> FastdfsSource::resolved(std::string_view path) const {
  std::string here = full(path);
  struct stat status {};
  const Error none(Errc::not_found, std::string(path));
  if (here.empty()) return none;
  if (::lstat(here.c_str(), &status) != 0) {
    if (errno != ENOENT && errno != ENOTDIR) return errno_error(here, errno);
    // Of a disk that is not there any more nothing is gone.
    const std::string first = full(path.substr(0, path.find('/'))) + "/00";
    if (::lstat(first.c_str(), &status) != 0) return Error{Errc::io_error, first + " is not there"};
    return none;
  }
  if (!S_ISLNK(status.st_mode)) return here;
  std::error_code failure;
  const std::string target = fs::canonical(here, failure).string();
  if (failure) return Error{Errc::not_found, "a symbolic link that leads nowhere"};
  for (const std::string& data : data_)
    if (target.starts_with(data + "/")) return target;
  return Error{Errc::denied, "a symbolic link that leads out of the store paths"};
}

Result<Entry> FastdfsSource::look(const std::string& path) const {
  const auto file = resolved(path);
  if (!file) {
    if (file.code() != Errc::not_found) return file.error();
    CAIRN_TRY(slot, in_trunk(path, false));
    return std::move(slot.entry);
  }
  struct stat status {};
  if (::lstat(file->c_str(), &status) != 0)
    return errno == ENOENT ? Error{Errc::not_found, path} : errno_error(*file, errno);
  if (!S_ISREG(status.st_mode)) return Error{Errc::not_found, path + " is no file"};
  return entry_of(status);
}

Result<FastdfsContent> FastdfsSource::read(const std::string& path, std::uint64_t size_max) const {
  const auto file = resolved(path);
  if (!file) {
    if (file.code() != Errc::not_found) return file.error();
    return in_trunk(path, true);
  }
  const auto name = parse_remote_name(path); // none: metadata
  CAIRN_TRY(whole, read_whole(*file, false, size_max));
  FastdfsContent out;
  out.entry = std::move(whole.entry);
  out.racy = whole.racy;
  if (out.entry.size > size_max) {
    CAIRN_TRY(opened, SourceFile::open(*file, false));
    out.entry = opened->entry();
    out.file = std::move(opened);
    CAIRN_RETURN_IF_ERROR(read_through(name ? &*name : nullptr, out));
    return out;
  }
  out.bytes = std::move(whole.bytes);
  out.sha256 = std::move(whole.sha256);
  out.crc32 = whole.crc32;
  if (!name) return out;
  out.damage = damage_of(*name, out.entry.size, out.crc32, out.crc32);
  if (!out.damage.empty())
    out.damage = damage_of(*name, out.entry.size, out.crc32, legacy_crc32(out.bytes));
  return out;
}

Result<FastdfsContent> FastdfsSource::in_trunk(const std::string& path, bool with_content) const {
  const auto name = parse_remote_name(path);
  const Error none(Errc::not_found, path);
  if (!name || !name->trunk() || path.size() < 10) return none;
  const auto opened = TrunkFile::open(full(path.substr(0, 10) + trunk_leaf(name->trunk()->file)));
  if (!opened) return opened.code() == Errc::not_found ? none : opened.error();
  const std::uint32_t offset = name->trunk()->offset;
  const auto slot = opened->slot(offset);
  // Free by now, or another file's.
  if (!slot || !slot->holds(*name)) return none;
  FastdfsContent out;
  out.entry.type = NodeType::regular;
  out.entry.mode = 0644;
  out.entry.size = slot->file_size;
  out.entry.mtime_s = slot->mtime;
  if (!with_content) return out;
  if (slot->type == 'L') {
    out.damage = "it is a link in a trunk file (FastDHT); upload what it means by its own name";
    return out;
  }
  CAIRN_TRY(bytes, opened->content(offset, *slot));
  Sha256 hash;
  hash.update(bytes);
  out.sha256 = hash.finish();
  out.crc32 = crc32(0, bytes);
  out.bytes = std::move(bytes);
  return out;
}

} // namespace cairn::migrate
