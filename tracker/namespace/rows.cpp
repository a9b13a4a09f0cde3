// Keys, and values in varints.
#include "tracker/namespace/rows.h"

#include "common/base/file_id.h"
#include "common/base/text.h"

#include <algorithm>
#include <charconv>

namespace cairn::tracker {

namespace {

constexpr char kInodeVersion = 1;

// Which parts an inode row has.
enum Flag : unsigned {
  kLinks = 1, // nlink is told (all directories, and files that have not exactly one)
  kXattr = 2,
  kAcl = 4,
  kRows = 8, // extents are in table E
  kDevice = 16,
  kTrash = 32,
  kSparse = 64, // bytes differs from size
};

void put_number(std::string& out, std::uint64_t value, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(value >> shift & 0xFF));
}

void put_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

std::uint64_t zigzag(std::int64_t value) {
  return static_cast<std::uint64_t>(value) << 1 ^ static_cast<std::uint64_t>(value >> 63);
}
std::int64_t unzigzag(std::uint64_t value) {
  return static_cast<std::int64_t>(value >> 1 ^ (~(value & 1) + 1));
}
std::int64_t difference(std::uint64_t a, std::uint64_t b) {
  return static_cast<std::int64_t>(a - b);
}

// Takes values from the front of a row; after the first failure everything is 0.
class Take {
public:
  explicit Take(std::string_view bytes) : rest_(bytes) {}

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const unsigned next = byte();
      value |= static_cast<std::uint64_t>(next & 0x7F) << shift;
      if ((next & 0x80) == 0) return value;
    }
    good_ = false;
    return 0;
  }
  unsigned byte() {
    const std::string_view one = bytes(1);
    return one.empty() ? 0U : static_cast<unsigned char>(one[0]);
  }
  std::string_view bytes(std::size_t count) {
    if (rest_.size() < count) {
      good_ = false;
      rest_ = {};
      return {};
    }
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }
  std::string_view rest() { return bytes(rest_.size()); }
  void fail() { good_ = false; }
  bool good() const { return good_; }
  bool done() const { return good_ && rest_.empty(); }

private:
  std::string_view rest_;
  bool good_ = true;
};

Error damaged(std::string_view what) {
  return Error{Errc::corrupt, "a row of the namespace is damaged: " + std::string(what)};
}

void put_time(std::string& out, NsTime time) {
  put_varint(out, zigzag(time.seconds));
  put_varint(out, time.nanoseconds);
}
NsTime take_time(Take& take) {
  NsTime time;
  time.seconds = unzigzag(take.varint());
  time.nanoseconds = static_cast<std::uint32_t>(take.varint());
  return time;
}

// A time near `base`: one byte when it is the same, which it mostly is.
void put_near(std::string& out, NsTime time, NsTime base) {
  if (time == base) return put_varint(out, 0);
  put_varint(out, 1);
  put_time(out, time);
}
NsTime take_near(Take& take, NsTime base) {
  return take.varint() == 0 ? base : take_time(take);
}

// --- file references

constexpr std::string_view kGroupPrefix = "group";
constexpr std::size_t kFieldBytes = 20;
enum Form : unsigned { kPacked = 0, kText = 1 };

// The n of "group<n>", 0 when it is not spelled like that.
std::uint64_t group_number(std::string_view group) {
  if (!group.starts_with(kGroupPrefix)) return 0;
  const std::string_view digits = group.substr(kGroupPrefix.size());
  std::uint64_t number = 0;
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (failure != std::errc() || end != digits.data() + digits.size() || digits[0] == '0') return 0;
  return number;
}

void put_ref(std::string& out, std::string_view ref) {
  put_varint(out, ref.size());
  out.append(ref);
}
std::string take_ref(Take& take) {
  return std::string(take.bytes(take.varint()));
}

void put_run(std::string& out, const Extent& extent) {
  put_varint(out, extent.length << 1 | (extent.owned ? 1 : 0));
  put_ref(out, extent.ref);
  put_varint(out, extent.source);
}
void take_run(Take& take, Extent& extent) {
  const std::uint64_t length = take.varint();
  extent.length = length >> 1;
  extent.owned = (length & 1) != 0;
  extent.ref = take_ref(take);
  extent.source = take.varint();
}

} // namespace

namespace key {

std::string prefix(char table, std::uint64_t number) {
  std::string out(1, table);
  put_number(out, number, 8);
  return out;
}
std::uint64_t number_at(std::string_view key, std::size_t offset) {
  std::uint64_t value = 0;
  for (const char c : key.substr(offset, 8)) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}
std::string inode(std::uint64_t ino) {
  return prefix('I', ino);
}
std::string entry(std::uint64_t parent, std::string_view name) {
  return prefix('D', parent).append(name);
}
std::string cookie(std::uint64_t parent, std::uint64_t cookie) {
  std::string out = prefix('e', parent);
  put_number(out, cookie, 8);
  return out;
}
std::string extent(std::uint64_t ino, std::uint64_t end) {
  std::string out = prefix('E', ino);
  put_number(out, end, 8);
  return out;
}
std::string xattr(std::uint64_t ino, std::string_view name) {
  return prefix('X', ino).append(name);
}
std::string link(std::uint64_t ino, std::uint64_t parent, std::string_view name) {
  std::string out = prefix('P', ino);
  put_number(out, parent, 8);
  return out.append(name);
}
std::string references(std::string_view ref) {
  return std::string("R").append(ref);
}
std::string garbage(std::uint64_t due_ms, std::string_view ref) {
  return prefix('G', due_ms).append(ref);
}
std::string trash(std::uint64_t due_s, std::uint64_t ino) {
  std::string out = prefix('T', due_s);
  put_number(out, ino, 8);
  return out;
}
std::string orphan(std::uint64_t ino) {
  return prefix('O', ino);
}
std::string condemned(std::string_view ref) {
  return "H" + std::string(ref);
}
std::string fragmented(std::uint64_t ino) {
  return prefix('F', ino);
}
std::string session(std::uint64_t session) {
  return prefix('S', session);
}
std::string answer(std::uint64_t session, std::uint64_t sequence) {
  std::string out = prefix('N', session);
  out.push_back(static_cast<char>(sequence % wire::kNsWindow));
  return out;
}
std::string quota(std::uint64_t root) {
  return prefix('Q', root);
}
std::string export_name(std::string_view name) {
  return std::string("B").append(name);
}

} // namespace key

Result<std::string> encode_ref(std::string_view id) {
  CAIRN_TRY(parsed, parse_file_id(id));
  std::string out;
  const std::uint64_t number = group_number(parsed.group);
  put_varint(out, number);
  if (number == 0) {
    out.push_back(static_cast<char>(parsed.group.size()));
    out.append(parsed.group);
  }
  const std::string name = parsed.name.canonical();
  const auto fields =
      name.size() == kNormalNameSize ? decode27(name.substr(10, kEncodedFieldsSize)) : Errc::ok;
  if (name.size() == kNormalNameSize && fields) {
    out.push_back(kPacked);
    out.push_back(static_cast<char>(parsed.name.store_path()));
    out.push_back(static_cast<char>(parsed.name.high()));
    out.push_back(static_cast<char>(parsed.name.low()));
    put_number(out, fields->source.little_endian, 4);
    put_number(out, fields->timestamp, 4);
    put_number(out, fields->size_field, 8);
    put_number(out, fields->crc32, 4);
    out.append(name.substr(10 + kEncodedFieldsSize));
  } else {
    out.push_back(kText);
    out.append(name);
  }
  return out;
}

Result<std::string> decode_ref(std::string_view ref) {
  Take take(ref);
  std::string id;
  if (const std::uint64_t number = take.varint(); number != 0)
    id = std::string(kGroupPrefix) + std::to_string(number);
  else
    id = std::string(take.bytes(take.byte()));
  id.push_back('/');
  if (take.byte() == kText) {
    id.append(take.rest());
  } else {
    const auto path = static_cast<std::uint8_t>(take.byte());
    const auto high = static_cast<std::uint8_t>(take.byte());
    const auto low = static_cast<std::uint8_t>(take.byte());
    const std::string_view packed = take.bytes(kFieldBytes);
    if (!take.good()) return damaged("a file ID");
    FileIdFields fields;
    const auto number = [&](std::size_t at, std::size_t size) {
      return wire::load_big_endian(wire::as_view(packed.substr(at, size)).data(), size);
    };
    fields.source.little_endian = static_cast<std::uint32_t>(number(0, 4));
    fields.timestamp = static_cast<std::uint32_t>(number(4, 4));
    fields.size_field = number(8, 8);
    fields.crc32 = static_cast<std::uint32_t>(number(16, 4));
    const std::string_view block = take.bytes(kExtensionBlockSize);
    if (!take.done()) return damaged("a file ID");
    id.append(make_remote_name(path, high, low, fields, block));
  }
  if (!take.done()) return damaged("a file ID");
  return id;
}

std::uint64_t stored_size(std::string_view id) {
  const auto parsed = parse_file_id(id);
  if (!parsed || parsed->name.kind() == FileKind::appender ||
      parsed->name.kind() == FileKind::slave || !parsed->name.fields())
    return 0;
  return parsed->name.fields()->size();
}

std::string encode(const Inode& inode) {
  unsigned flags = 0;
  if (inode.is_directory() || inode.nlink != 1) flags |= kLinks;
  if (inode.has_xattr) flags |= kXattr;
  if (inode.has_acl) flags |= kAcl;
  if (inode.extent_rows != 0) flags |= kRows;
  if (inode.rdev != 0) flags |= kDevice;
  if (inode.trash_due != 0) flags |= kTrash;
  if (inode.bytes != inode.size) flags |= kSparse;
  std::string out;
  out.reserve(96);
  out.push_back(kInodeVersion);
  out.push_back(static_cast<char>(flags));
  put_number(out, static_cast<std::uint64_t>(inode.type) << 12 | inode.mode, 2);
  put_varint(out, inode.uid);
  put_varint(out, inode.gid);
  if ((flags & kLinks) != 0) put_varint(out, inode.nlink);
  put_varint(out, inode.size);
  if ((flags & kSparse) != 0) put_varint(out, zigzag(difference(inode.bytes, inode.size)));
  put_time(out, inode.mtime);
  put_near(out, inode.ctime, inode.mtime);
  put_near(out, inode.atime, inode.mtime);
  put_near(out, inode.btime, inode.mtime);
  put_varint(out, inode.parent);
  put_varint(out, inode.root);
  put_varint(out, inode.version);
  put_varint(out, inode.data_version);
  if ((flags & kDevice) != 0) put_varint(out, inode.rdev);
  if ((flags & kTrash) != 0) put_varint(out, inode.trash_due);
  if ((flags & kRows) != 0) put_varint(out, inode.extent_rows);
  if (inode.type == NsType::symlink) {
    out.append(inode.target);
  } else if (inode.is_regular() && inode.extent_rows == 0) {
    std::uint64_t at = 0;
    for (const Extent& extent : inode.extents) {
      put_varint(out, extent.offset - at);
      put_run(out, extent);
      at = extent.end();
    }
  }
  return out;
}

Result<Inode> decode_inode(std::uint64_t ino, std::string_view row) {
  Take take(row);
  if (take.byte() != static_cast<unsigned>(kInodeVersion)) return damaged("an inode's version");
  const unsigned flags = take.byte();
  Inode inode;
  inode.ino = ino;
  const unsigned high = take.byte();
  const unsigned type_and_mode = high << 8 | take.byte();
  inode.type = static_cast<NsType>(type_and_mode >> 12);
  inode.mode = static_cast<std::uint16_t>(type_and_mode & 07777);
  inode.uid = static_cast<std::uint32_t>(take.varint());
  inode.gid = static_cast<std::uint32_t>(take.varint());
  inode.nlink = (flags & kLinks) != 0 ? static_cast<std::uint32_t>(take.varint()) : 1;
  inode.size = take.varint();
  inode.bytes = inode.size;
  if ((flags & kSparse) != 0) inode.bytes += static_cast<std::uint64_t>(unzigzag(take.varint()));
  inode.mtime = take_time(take);
  inode.ctime = take_near(take, inode.mtime);
  inode.atime = take_near(take, inode.mtime);
  inode.btime = take_near(take, inode.mtime);
  inode.parent = take.varint();
  inode.root = take.varint();
  inode.version = take.varint();
  inode.data_version = take.varint();
  inode.has_xattr = (flags & kXattr) != 0;
  inode.has_acl = (flags & kAcl) != 0;
  if ((flags & kDevice) != 0) inode.rdev = take.varint();
  if ((flags & kTrash) != 0) inode.trash_due = take.varint();
  if ((flags & kRows) != 0) inode.extent_rows = take.varint();
  if (inode.type == NsType::symlink) {
    inode.target = std::string(take.rest());
  } else if (inode.is_regular() && inode.extent_rows == 0) {
    std::uint64_t at = 0;
    while (take.good() && !take.done() && inode.extents.size() <= kInlineExtents) {
      Extent extent;
      extent.offset = at + take.varint();
      take_run(take, extent);
      at = extent.end();
      inode.extents.push_back(std::move(extent));
    }
  }
  if (!take.done() || inode.extents.size() > kInlineExtents) return damaged("an inode");
  return inode;
}

std::string encode(const DirEntry& entry) {
  std::string out;
  put_varint(out, entry.ino);
  out.push_back(static_cast<char>(entry.type));
  if (entry.cookie != entry.ino) put_varint(out, entry.cookie);
  return out;
}

Result<DirEntry> decode_entry(std::string_view row) {
  Take take(row);
  DirEntry entry;
  entry.ino = take.varint();
  entry.type = static_cast<NsType>(take.byte());
  entry.cookie = take.good() && !take.done() ? take.varint() : entry.ino;
  if (!take.done()) return damaged("a directory entry");
  return entry;
}

std::string encode(const Extent& extent) {
  std::string out;
  put_run(out, extent);
  return out;
}

Result<Extent> decode_extent(std::uint64_t end, std::string_view row) {
  Take take(row);
  Extent extent;
  take_run(take, extent);
  if (!take.done() || extent.length == 0 || extent.length > end) return damaged("an extent");
  extent.offset = end - extent.length;
  return extent;
}

std::string encode_count(std::uint64_t count) {
  std::string out;
  put_varint(out, count);
  return out;
}

Result<std::uint64_t> decode_count(std::string_view row) {
  Take take(row);
  const std::uint64_t count = take.varint();
  if (!take.done()) return damaged("a count");
  return count;
}

} // namespace cairn::tracker
