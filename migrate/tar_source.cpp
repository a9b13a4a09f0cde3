// libarchive, the shelf, and what goes from the one to the other.
#include "migrate/tar_source.h"

#include "common/base/text.h"

#include <algorithm>
#include <archive.h>
#include <archive_entry.h>
#include <cerrno>
#include <clocale>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>
#include <unordered_set>
#include <utility>

namespace cairn::migrate {

namespace {

constexpr std::size_t kBlock = 256 * 1024;
constexpr std::uint64_t kWholeMax = 256 * 1024;
constexpr std::uint64_t kFilesMax = std::uint64_t{1} << 30; // bytes of long files that wait
constexpr std::chrono::milliseconds kWait{50};
constexpr int kLookMs = 100;
constexpr std::size_t kDirectoriesMax = 100'000; // remembered

std::string text_of(const char* raw, const char* utf8) {
  if (raw != nullptr) return raw;
  return utf8 != nullptr ? utf8 : "";
}

// Without what tar programs write before names; nothing: it leads out.
std::optional<std::string> cleaned(const std::string& path) {
  std::string out;
  for (const std::string_view part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return std::nullopt;
    if (!out.empty()) out += '/';
    out += part;
  }
  return out;
}

Status write_at(int fd, const std::byte* data, std::size_t size, std::uint64_t offset) {
  while (size > 0) {
    const ssize_t count = ::pwrite(fd, data, size, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_error("a temporary file", errno);
    data += count;
    size -= static_cast<std::size_t>(count);
    offset += static_cast<std::uint64_t>(count);
  }
  return {};
}

} // namespace

// --- the stream ----------------------------------------------------------------------------------

// Waits for bytes no longer than is allowed: libarchive itself would, for ever.
struct TarReader::Input {
  int fd = STDIN_FILENO;
  std::chrono::seconds silence_max{0};
  std::function<bool()> stopping;
  std::vector<std::byte> block = std::vector<std::byte>(kBlock);
  Status failure; // libarchive may make another one of it

  Input() = default;
  ~Input() {
    if (fd > STDIN_FILENO) ::close(fd);
  }
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  // Bytes in `block`; 0 at the end; -1 with the error in `failure`.
  la_ssize_t read() {
    const auto begin = std::chrono::steady_clock::now();
    for (;;) {
      if (stopping()) return fail(Error{Errc::closed, "stopped"});
      pollfd wanted{fd, POLLIN, 0};
      const int ready = ::poll(&wanted, 1, kLookMs);
      if (ready == 0 && std::chrono::steady_clock::now() - begin < silence_max) continue;
      if (ready == 0)
        return fail(Error{Errc::timeout, "nothing has come for " + format_duration(silence_max)});
      const ssize_t count = ready < 0 ? -1 : ::read(fd, block.data(), block.size());
      if (count >= 0) return count;
      if (errno == EINTR || errno == EAGAIN) continue;
      return fail(errno_error("it cannot be read", errno));
    }
  }

private:
  la_ssize_t fail(Error error) {
    failure = std::move(error);
    return -1;
  }
};

TarReader::TarReader(archive* from, std::unique_ptr<Input> input)
    : archive_(from), input_(std::move(input)) {}

Result<std::unique_ptr<TarReader>> TarReader::open(const std::string& file,
                                                   std::chrono::seconds silence_max,
                                                   std::function<bool()> stopping) {
  auto input = std::make_unique<Input>();
  if (file != "-") input->fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (input->fd < 0) return errno_error(file, errno);
  input->silence_max = silence_max;
  input->stopping = std::move(stopping);
  // Names come as bytes: libarchive converts by the locale, and this one changes nothing.
  static_cast<void>(std::setlocale(LC_CTYPE, "C.UTF-8"));
  std::unique_ptr<TarReader> out(new TarReader(::archive_read_new(), std::move(input)));
  archive* from = out->archive_;
  if (from == nullptr) return Error{Errc::io_error, "libarchive cannot be used"};
  // Those that need no other program.
  for (const auto filter :
       {&::archive_read_support_filter_gzip, &::archive_read_support_filter_bzip2,
        &::archive_read_support_filter_xz, &::archive_read_support_filter_zstd,
        &::archive_read_support_filter_lz4})
    filter(from);
  ::archive_read_support_format_tar(from);
  ::archive_read_support_format_gnutar(from);
  static_cast<void>(::archive_read_set_options(from, "tar:hdrcharset=BINARY"));
  const auto read = [](archive*, void* data, const void** buffer) -> la_ssize_t {
    auto& input_of = *static_cast<Input*>(data);
    *buffer = input_of.block.data();
    return input_of.read();
  };
  if (::archive_read_open(from, out->input_.get(), nullptr, read, nullptr) != ARCHIVE_OK)
    return out->failed();
  return out;
}

TarReader::~TarReader() {
  if (archive_ != nullptr) ::archive_read_free(archive_);
}

Error TarReader::failed() const {
  if (!input_->failure)
    return Error{input_->failure.code(), "the tar stream: " + input_->failure.error().detail};
  const char* text = ::archive_error_string(archive_);
  const int cause = ::archive_errno(archive_);
  const bool of_system = cause > 0 && cause != EILSEQ;
  return Error{of_system ? Errc::io_error : Errc::corrupt,
               "the tar stream: " + std::string(text != nullptr ? text : "it cannot be read")};
}

Result<std::optional<TarEntry>> TarReader::next() {
  archive_entry* at = nullptr;
  const int code = ::archive_read_next_header(archive_, &at);
  if (code == ARCHIVE_EOF) return std::optional<TarEntry>();
  if (code < ARCHIVE_WARN) return failed();
  TarEntry out;
  const auto path =
      cleaned(text_of(::archive_entry_pathname(at), ::archive_entry_pathname_utf8(at)));
  out.path = path.value_or("");
  Entry& entry = out.entry;
  entry.mode = static_cast<std::uint32_t>(::archive_entry_perm(at)) & 07777U;
  entry.uid = static_cast<std::uint32_t>(::archive_entry_uid(at));
  entry.gid = static_cast<std::uint32_t>(::archive_entry_gid(at));
  entry.mtime_s = ::archive_entry_mtime(at);
  entry.mtime_ns = static_cast<std::uint32_t>(std::max(0L, ::archive_entry_mtime_nsec(at)));
  switch (::archive_entry_filetype(at)) {
    case AE_IFDIR:
      entry.type = NodeType::directory;
      break;
    case AE_IFLNK:
      entry.type = NodeType::symlink;
      entry.target = text_of(::archive_entry_symlink(at), ::archive_entry_symlink_utf8(at));
      break;
    case AE_IFIFO:
      entry.type = NodeType::fifo;
      break;
    case AE_IFCHR:
    case AE_IFBLK:
      entry.type = ::archive_entry_filetype(at) == AE_IFCHR ? NodeType::character_device
                                                            : NodeType::block_device;
      entry.rdev = static_cast<std::uint64_t>(::archive_entry_rdevmajor(at)) << 32 |
                   static_cast<std::uint64_t>(::archive_entry_rdevminor(at));
      break;
    default:
      entry.type = NodeType::regular;
      entry.size = static_cast<std::uint64_t>(std::max<std::int64_t>(::archive_entry_size(at), 0));
      out.link_to =
          cleaned(text_of(::archive_entry_hardlink(at), ::archive_entry_hardlink_utf8(at)))
              .value_or("");
  }
  // "." is the destination itself.
  out.is_usable = path && (!out.path.empty() || entry.is_directory());
  return std::optional<TarEntry>(std::move(out));
}

Result<std::shared_ptr<TarContent>> TarReader::content(std::uint64_t memory_max,
                                                       const std::filesystem::path& spill) {
  auto out = std::make_shared<TarContent>();
  int fd = -1;
  struct Close {
    int& fd;
    ~Close() {
      if (fd >= 0) ::close(fd);
    }
  } const closing{fd};
  for (;;) {
    const void* data = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    const int code = ::archive_read_data_block(archive_, &data, &size, &offset);
    // At the end of a sparse file the offset tells how long it is.
    const auto begin = static_cast<std::uint64_t>(std::max<la_int64_t>(offset, 0));
    out->size = std::max(out->size, begin + (code == ARCHIVE_EOF ? 0 : size));
    if (code == ARCHIVE_EOF) break;
    if (code < ARCHIVE_WARN) return failed();
    if (fd < 0 && out->size > memory_max) {
      fd = ::open(spill.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
      if (fd < 0) return errno_error(spill.string(), errno);
      CAIRN_RETURN_IF_ERROR(write_at(fd, out->bytes.data(), out->bytes.size(), 0));
      out->bytes = {};
    }
    const auto* bytes = static_cast<const std::byte*>(data);
    if (fd >= 0) {
      CAIRN_RETURN_IF_ERROR(write_at(fd, bytes, size, begin));
    } else {
      out->bytes.resize(static_cast<std::size_t>(out->size));
      std::copy_n(bytes, size, out->bytes.begin() + static_cast<std::ptrdiff_t>(begin));
    }
  }
  if (fd < 0) {
    out->bytes.resize(static_cast<std::size_t>(out->size));
    return out;
  }
  if (::ftruncate(fd, static_cast<off_t>(out->size)) != 0)
    return errno_error("a temporary file", errno);
  CAIRN_TRY(file, SourceFile::open("/proc/self/fd/" + std::to_string(fd), true));
  out->file = std::move(file);
  return out;
}

// --- the shelf -----------------------------------------------------------------------------------

bool TarShelf::fits(const TarContent& content) const {
  if (held_.empty()) return true;
  const std::uint64_t held = content.file ? in_files_ : in_memory_;
  return held == 0 || held + content.size <= (content.file ? kFilesMax : memory_max_);
}

bool TarShelf::has_room(const TarContent& content) const {
  const std::scoped_lock lock(mutex_);
  return fits(content);
}

bool TarShelf::wait_for_room(const TarContent& content) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kWait, [this, &content] { return fits(content); });
}

void TarShelf::put(const std::string& path, std::shared_ptr<TarContent> content) {
  drop(path, get(path)); // a later one of the same name
  const std::scoped_lock lock(mutex_);
  (content->file ? in_files_ : in_memory_) += content->size;
  held_[path] = std::move(content);
}

std::shared_ptr<TarContent> TarShelf::get(const std::string& path) const {
  const std::scoped_lock lock(mutex_);
  const auto found = held_.find(path);
  return found == held_.end() ? nullptr : found->second;
}

void TarShelf::drop(const std::string& path, const std::shared_ptr<TarContent>& content) {
  const std::scoped_lock lock(mutex_);
  const auto found = held_.find(path);
  if (found == held_.end() || found->second != content) return;
  (found->second->file ? in_files_ : in_memory_) -= found->second->size;
  held_.erase(found);
  changed_.notify_all();
}

void TarShelf::end() {
  const std::scoped_lock lock(mutex_);
  ended_ = true;
}

bool TarShelf::has_ended() const {
  const std::scoped_lock lock(mutex_);
  return ended_;
}

// --- the feed ------------------------------------------------------------------------------------

Scanner::Options::EntryFeed tar_feed(std::string file, std::filesystem::path spill,
                                     std::chrono::seconds silence_max, TarShelf& shelf) {
  return [file = std::move(file), spill = std::move(spill), silence_max,
          &shelf](const Scanner::Options::EntryOffer& to) -> Status {
    struct End {
      TarShelf& shelf;
      ~End() { shelf.end(); }
    } const end{shelf};
    CAIRN_TRY(reader, TarReader::open(file, silence_max, to.stopping));
    std::unordered_set<std::size_t> directories; // by hash: those that were offered
    for (;;) {
      CAIRN_TRY(entry, reader->next());
      if (!entry) return {};
      if (!entry->is_usable) {
        to.skipped();
        continue;
      }
      if (directories.size() > kDirectoriesMax) {
        CAIRN_RETURN_IF_ERROR(to.flush());
        directories.clear();
      }
      // Directories that the stream does not have are made as they are needed.
      for (std::string_view above = parent_of(entry->path); !above.empty();
           above = parent_of(above)) {
        if (!directories.insert(std::hash<std::string_view>()(above)).second) break;
        CAIRN_RETURN_IF_ERROR(to.missing_directory(std::string(above)));
      }
      if (entry->entry.is_directory())
        directories.insert(std::hash<std::string_view>()(entry->path));
      WorkRow work;
      work.seen = entry->entry;
      if (entry->entry.is_directory()) work.kind = WorkKind::attributes;
      if (!entry->link_to.empty()) {
        work.kind = WorkKind::link;
        work.link_to = entry->link_to;
      }
      CAIRN_TRY(wanted, to.wants(entry->path, work));
      if (!wanted) continue;
      if (work.kind == WorkKind::copy && work.seen.is_regular()) {
        CAIRN_TRY(content, reader->content(kWholeMax, spill));
        work.seen.size = content->size;
        if (!shelf.has_room(*content)) CAIRN_RETURN_IF_ERROR(to.flush());
        while (!shelf.wait_for_room(*content)) CAIRN_RETURN_IF_ERROR(to.flush());
        shelf.put(entry->path, std::move(content));
      }
      CAIRN_RETURN_IF_ERROR(to.offer(entry->path, std::move(work)));
    }
  };
}

} // namespace cairn::migrate
