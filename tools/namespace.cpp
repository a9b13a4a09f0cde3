// cairn namespace backup, restore and dump
#include "common/base/crc32.h"
#include "common/base/file_id.h"
#include "common/base/write_all.h"
#include "common/wire/namespace_backup.h"
#include "tools/cluster_path.h"
#include "tools/local_process.h"
#include "tools/namespace_verbs.h"

#include <nlohmann/json.hpp>

#include <cerrno>
#include <fcntl.h>
#include <optional>
#include <sys/wait.h>
#include <unistd.h>

namespace cairn::tools {

namespace {

// A file that appears under its name when all of it is on the disk; nobody else can read it.
class PrivateFile {
public:
  explicit PrivateFile(std::filesystem::path file) : file_(std::move(file)) {
    part_ = file_;
    part_ += ".part";
    ::unlink(part_.c_str());
    fd_ = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd_ < 0) failure_ = errno_error("create " + part_.string(), errno);
  }
  PrivateFile(const PrivateFile&) = delete;
  PrivateFile& operator=(const PrivateFile&) = delete;
  ~PrivateFile() {
    if (fd_ < 0) return;
    ::close(fd_);
    ::unlink(part_.c_str());
  }

  Status write(wire::View bytes) {
    if (failure_) return *failure_;
    CAIRN_RETURN_IF_ERROR(write_all(fd_, bytes, "write " + part_.string()));
    size_ += bytes.size();
    return {};
  }
  Status number(std::uint32_t value) {
    wire::Bytes bytes;
    wire::Writer(bytes).integer(value, 4);
    return write(bytes);
  }
  Status finish() {
    if (::fsync(fd_) != 0) return errno_error("sync " + part_.string(), errno);
    ::close(std::exchange(fd_, -1));
    if (::rename(part_.c_str(), file_.c_str()) != 0)
      return errno_error("rename to " + file_.string(), errno);
    return {};
  }
  std::uint64_t size() const { return size_; }

private:
  std::filesystem::path file_;
  std::filesystem::path part_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
  std::optional<Error> failure_;
};

Result<std::vector<std::byte>> call(Client& client, const Address& tracker,
                                    wire::NativeCommand command, wire::Bytes body) {
  return client.native_call(tracker, static_cast<std::uint8_t>(command), std::move(body));
}

Result<std::uint64_t> read_backup(Client& client, const Address& tracker,
                                  const wire::BackupReply& head, PrivateFile& out) {
  const wire::Bytes encoded = wire::encode(head);
  CAIRN_RETURN_IF_ERROR(out.write(wire::as_view(wire::kBackupMagic)));
  CAIRN_RETURN_IF_ERROR(out.number(static_cast<std::uint32_t>(encoded.size())));
  CAIRN_RETURN_IF_ERROR(out.write(encoded));
  CAIRN_RETURN_IF_ERROR(out.number(crc32(0, encoded)));
  for (const wire::BackupFile& file : head.files) {
    wire::BackupRead request;
    request.backup = head.backup;
    request.name = file.name;
    std::uint32_t sum = 0;
    while (request.offset < file.size) {
      CAIRN_TRY(piece, call(client, tracker, wire::kBackupRead, wire::encode(request)));
      if (piece.empty()) return Error{Errc::corrupt, file.name + " is shorter than it was"};
      CAIRN_RETURN_IF_ERROR(out.write(piece));
      sum = crc32(sum, piece);
      request.offset += piece.size();
    }
    CAIRN_RETURN_IF_ERROR(out.number(sum));
  }
  CAIRN_RETURN_IF_ERROR(out.finish());
  return out.size();
}

std::string type_name(NodeType type) {
  switch (type) {
    case NodeType::fifo:
      return "fifo";
    case NodeType::character_device:
      return "character device";
    case NodeType::directory:
      return "directory";
    case NodeType::block_device:
      return "block device";
    case NodeType::regular:
      return "file";
    case NodeType::symlink:
      return "symlink";
    case NodeType::socket:
      return "socket";
  }
  return "?";
}

nlohmann::json line_of(const DirectoryEntry& entry) {
  const FileStatus& status = entry.status;
  nlohmann::json line{{"path", entry.name},    {"type", type_name(status.type)},
                      {"inode", status.inode}, {"mode", status.mode},
                      {"uid", status.uid},     {"gid", status.gid},
                      {"links", status.nlink}, {"mtime", status.mtime.seconds}};
  if (status.type == NodeType::symlink) line["target"] = status.target;
  if (status.type != NodeType::regular) return line;
  line["size"] = status.size;
  nlohmann::json stored = nlohmann::json::array();
  for (const std::string& id : status.ids) {
    nlohmann::json one{{"id", id}};
    // The name of what was stored for the namespace tells its content.
    if (const auto parsed = parse_file_id(id); parsed && parsed->name.fields()) {
      one["size"] = parsed->name.fields()->size();
      one["crc32"] = hex32(parsed->name.fields()->crc32);
    }
    stored.push_back(std::move(one));
  }
  line["stored"] = std::move(stored);
  return line;
}

} // namespace

int run_namespace_backup(Context& context, const BackupArgs& args) {
  auto client = context.client();
  if (!client) return context.fail("namespace backup", client.error());
  const auto options = context.client_options();
  if (!options) return context.fail("namespace backup", options.error());
  // The one that holds the metadata answers.
  Error failure(Errc::unavailable, "no tracker answers");
  for (const Address& tracker : options->trackers) {
    auto begun = call(**client, tracker, wire::kBackupBegin, {});
    if (!begun) {
      failure = std::move(begun).error();
      continue;
    }
    const auto head = wire::decode_lenient<wire::BackupReply>(*begun);
    if (!head) return context.fail("namespace backup", head.error());
    PrivateFile out(args.file);
    const auto size = read_backup(**client, tracker, *head, out);
    wire::BackupEnd end;
    end.backup = head->backup;
    static_cast<void>(call(**client, tracker, wire::kBackupEnd, wire::encode(end)));
    if (!size) return context.fail("namespace backup", size.error());
    if (context.json())
      context.answer_json({{"file", args.file.string()},
                           {"bytes", *size},
                           {"position", head->index},
                           {"time", head->time},
                           {"cluster", head->cluster_uuid}});
    else
      context.say(args.file.string() + ": " + human_bytes(*size) +
                  ", everything up to log position " + std::to_string(head->index));
    return kGood;
  }
  return context.fail("namespace backup", failure);
}

int run_namespace_restore(Context& context, const RestoreArgs& args) {
  // The tracker's own program knows its store; it does not run now.
  const auto program = find_program("cairn-tracker");
  if (!program) return context.fail("namespace restore", program.error());
  const pid_t child = ::fork();
  if (child < 0) return context.fail("namespace restore", errno_error("fork", errno));
  if (child == 0) {
    ::execl(program->c_str(), program->c_str(), "--restore", args.file.c_str(), args.conf.c_str(),
            args.replace ? "--replace" : nullptr, nullptr);
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return kGood;
  // It has said why.
  return WIFEXITED(status) && WEXITSTATUS(status) != 127 ? kConflict : kUnavailable;
}

int run_namespace_dump(Context& context, const DumpArgs& args) {
  Trees trees(context);
  auto tree = trees.admin();
  if (!tree) return context.fail("namespace dump", tree.error());
  const std::string prefix = args.export_name.empty() ? "" : "/" + args.export_name + "/";
  const auto done = (*tree)->walk([&](const std::vector<DirectoryEntry>& entries) -> Status {
    for (const DirectoryEntry& entry : entries) {
      if (!prefix.empty() && !entry.name.starts_with(prefix)) continue;
      // Names are bytes: what is no UTF-8 is shown with replacements.
      context.answer(line_of(entry).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    }
    return {};
  });
  if (!done) return context.fail("namespace dump", done.error());
  return kGood;
}

} // namespace cairn::tools
