// Sources and sinks: files, memory, callbacks.
#include "client/transfer.h"

#include "common/base/text.h"
#include "common/base/write_all.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cairn {

namespace {

// A file descriptor that closes itself.
class Descriptor {
public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  int get() const { return fd_; }

private:
  int fd_;
};

struct FileSource final : Source::Body {
  FileSource(Descriptor d, std::uint64_t s, std::string n)
      : fd(std::move(d)), bytes(s), name(std::move(n)) {}

  std::uint64_t size() const override { return bytes; }
  bool repeatable() const override { return true; }
  Status rewind() override {
    position = 0;
    return {};
  }
  Status read(std::span<std::byte> out) override {
    while (!out.empty()) {
      const ssize_t count = ::pread(fd.get(), out.data(), out.size(), static_cast<off_t>(position));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return errno_error("read " + name, errno);
      if (count == 0) return Error{Errc::io_error, name + " became shorter while it was uploaded"};
      position += static_cast<std::uint64_t>(count);
      out = out.subspan(static_cast<std::size_t>(count));
    }
    return {};
  }

  Descriptor fd;
  std::uint64_t bytes;
  std::string name;
  std::uint64_t position = 0;
};

struct MemorySource final : Source::Body {
  explicit MemorySource(wire::View b) : bytes(b) {}
  explicit MemorySource(std::vector<std::byte> o) : own(std::move(o)), bytes(own) {}

  std::uint64_t size() const override { return bytes.size(); }
  std::optional<wire::View> view() const override { return bytes; }
  bool repeatable() const override { return true; }
  Status rewind() override { return {}; }
  Status read(std::span<std::byte>) override { return {}; }

  std::vector<std::byte> own;
  wire::View bytes;
};

struct ReaderSource final : Source::Body {
  ReaderSource(std::uint64_t s, Source::Reader r, Source::Rewind back)
      : bytes(s), reader(std::move(r)), rewinder(std::move(back)) {}

  std::uint64_t size() const override { return bytes; }
  bool repeatable() const override { return !touched || rewinder; }
  Status rewind() override {
    if (!touched) return {};
    touched = false;
    return rewinder();
  }
  Status read(std::span<std::byte> out) override {
    touched = true;
    while (!out.empty()) {
      CAIRN_TRY(count, reader(out));
      if (count == 0 || count > out.size())
        return Error{Errc::io_error, "the source of the upload ended before its promised size"};
      out = out.subspan(count);
    }
    return {};
  }

  std::uint64_t bytes;
  Source::Reader reader;
  Source::Rewind rewinder;
  bool touched = false;
};

// Writes beside the target and renames at the end, so that nobody sees half a file.
struct FileSink final : Sink::Body {
  FileSink(Descriptor d, std::filesystem::path t, std::filesystem::path f)
      : fd(std::move(d)), temporary(std::move(t)), target(std::move(f)) {}
  ~FileSink() override {
    if (!committed) ::unlink(temporary.c_str());
  }

  Status write(std::span<const std::byte> bytes) override {
    return write_all(fd.get(), bytes, "write " + temporary.string());
  }
  bool restart() override {
    return ::lseek(fd.get(), 0, SEEK_SET) == 0 && ::ftruncate(fd.get(), 0) == 0;
  }
  Status commit() override {
    if (::rename(temporary.c_str(), target.c_str()) != 0)
      return errno_error("rename to " + target.string(), errno);
    committed = true;
    return {};
  }

  Descriptor fd;
  std::filesystem::path temporary;
  std::filesystem::path target;
  bool committed = false;
};

struct MemorySink final : Sink::Body {
  explicit MemorySink(std::vector<std::byte>& o) : out(o) { out.clear(); }

  bool in_memory() const override { return true; }
  Status write(std::span<const std::byte> bytes) override {
    out.insert(out.end(), bytes.begin(), bytes.end());
    return {};
  }
  bool restart() override {
    out.clear();
    return true;
  }

  std::vector<std::byte>& out;
};

struct WriterSink final : Sink::Body {
  explicit WriterSink(Sink::Writer w) : writer(std::move(w)) {}

  Status write(std::span<const std::byte> bytes) override {
    touched = true;
    return writer(bytes);
  }
  bool restart() override { return !touched; }

  Sink::Writer writer;
  bool touched = false;
};

} // namespace

Result<Source> Source::file(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a FIFO must not hang; the check below refuses it.
  Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return errno_error(path.string(), errno);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return errno_error(path.string(), errno);
  if (!S_ISREG(status.st_mode))
    return Error{Errc::is_directory, path.string() + " is not a regular file"};
  return Source(std::make_shared<FileSource>(
      std::move(fd), static_cast<std::uint64_t>(status.st_size), path.string()));
}

Source Source::memory(std::span<const std::byte> bytes) {
  return Source(std::make_shared<MemorySource>(bytes));
}

Source Source::memory(std::string_view bytes) {
  return memory(wire::as_view(bytes));
}

Source Source::bytes(std::vector<std::byte> bytes) {
  return Source(std::make_shared<MemorySource>(std::move(bytes)));
}

Source Source::reader(std::uint64_t size, Reader reader, Rewind rewind) {
  return Source(std::make_shared<ReaderSource>(size, std::move(reader), std::move(rewind)));
}

std::uint64_t Source::size() const {
  return body_->size();
}

Result<Sink> Sink::file(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    if (S_ISDIR(status.st_mode))
      return Error{Errc::is_directory, path.string() + " is a directory"};
    // A device or pipe (/dev/null, say) is written to; renaming over it would replace it.
    auto device = std::make_shared<Descriptor>(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (device->get() < 0) return errno_error("open " + path.string(), errno);
    return writer([device, name = path.string()](std::span<const std::byte> bytes) -> Status {
      return write_all(device->get(), bytes, "write " + name);
    });
  }
  std::filesystem::path temporary = path;
  temporary += ".part-" + std::to_string(random_u64());
  // The mode is the umask's business, as for every file a person makes.
  Descriptor fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (fd.get() < 0) return errno_error("create " + temporary.string(), errno);
  return Sink(std::make_shared<FileSink>(std::move(fd), std::move(temporary), path));
}

Sink Sink::memory(std::vector<std::byte>& bytes) {
  return Sink(std::make_shared<MemorySink>(bytes));
}

Sink Sink::writer(Writer writer) {
  return Sink(std::make_shared<WriterSink>(std::move(writer)));
}

} // namespace cairn
