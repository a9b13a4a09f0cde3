// Operations of the namespace, and uploads that do not ask the tracker each time.
#include "migrate/destination.h"

#include "common/base/file_id.h"
#include "common/wire/copies.h"
#include "common/wire/fastdfs.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <unistd.h>

namespace cairn::migrate {

namespace {

using wire::NsOp;

constexpr std::chrono::seconds kCopiesTime{3};

wire::NsTime wire_time(const Entry& seen) {
  wire::NsTime out;
  out.seconds = seen.mtime_s;
  out.nanoseconds = seen.mtime_ns;
  return out;
}

NamespaceOptions namespace_options(const DestinationPath& where, Timeout timeout) {
  NamespaceOptions out(where.export_name);
  out.uid = ::geteuid();
  out.gid = ::getegid();
  const int count = ::getgroups(0, nullptr);
  std::vector<gid_t> groups(count > 0 ? static_cast<std::size_t>(count) : 0);
  if (count > 0 && ::getgroups(count, groups.data()) >= 0)
    out.groups.assign(groups.begin(), groups.end());
  std::array<char, 256> host{};
  static_cast<void>(::gethostname(host.data(), host.size() - 1));
  out.label = "cairn-migrate " + std::string(host.data()) + " " + std::to_string(::getpid());
  out.timeout = timeout;
  return out;
}

// Times, and the owner where he is kept, for a request that makes something.
template <class Request>
void fill(Request& request, const Entry& seen, bool owner) {
  request.set = wire::kNsSetMtime | wire::kNsSetAtime;
  request.mtime = request.atime = wire_time(seen);
  if (!owner) return;
  request.set |= wire::kNsSetUid | wire::kNsSetGid;
  request.uid = seen.uid;
  request.gid = seen.gid;
}

} // namespace

Result<DestinationPath> parse_destination(std::string_view text) {
  const std::string_view given = text;
  DestinationPath out;
  constexpr std::string_view kGroup = "group://";
  if (text.starts_with(kGroup)) {
    out.group = text.substr(kGroup.size());
    CAIRN_RETURN_IF_ERROR(validate_group_name(out.group));
    return out;
  }
  if (text.starts_with(":")) text.remove_prefix(1);
  while (text.starts_with('/')) text.remove_prefix(1);
  while (text.ends_with('/')) text.remove_suffix(1);
  const std::size_t slash = text.find('/');
  out.export_name = text.substr(0, slash);
  if (slash != std::string_view::npos) out.path = text.substr(text.find_first_not_of('/', slash));
  if (out.export_name.empty() || out.export_name == "." || out.export_name == "..")
    return Error{Errc::invalid_argument,
                 "'" + std::string(given) + "' is no destination; it is EXPORT[/PATH]"};
  return out;
}

bool has_attributes(const wire::NsAttributes& node, const Entry& seen, bool owner) {
  if (node.mtime != wire_time(seen)) return false;
  if (seen.type != NodeType::symlink && node.mode != seen.mode) return false;
  return !owner || (node.uid == seen.uid && node.gid == seen.gid);
}

Destination::Destination(asio::io_context& io, ClientOptions client, DestinationPath where,
                         Timeout timeout)
    : where_(std::move(where)),
      timeout_(timeout),
      core_(std::make_shared<ClientCore>(io, client)),
      executor_(io.get_executor()),
      copies_(std::make_shared<Copies>(io.get_executor(), core_)),
      tree_(io, client, namespace_options(where_, timeout)),
      identity_(tree_.identity()) {}

Task<Status> Destination::open(bool make) {
  CAIRN_CO_RETURN_IF_ERROR(co_await tree_.open());
  auto found = co_await tree_.stat(where_.path, true);
  if (!found && found.code() == Errc::not_found && make && !where_.path.empty())
    found = co_await tree_.mkdir(where_.path, 0755, true);
  if (!found) co_return std::move(found).error();
  if (!found->is_directory()) co_return Error{Errc::exists, where_.text() + " is no directory"};
  root_ = found->inode;
  CAIRN_CO_TRY(names, co_await readdir(root_, 0));
  was_empty_ = names.entries.empty();
  co_return Status();
}

Task<void> Destination::close() {
  static_cast<void>(co_await tree_.close());
}

Task<Result<wire::NsNodeReply>> Destination::lookup(std::uint64_t parent, std::string name) {
  wire::NsLookup request;
  request.parent = parent;
  request.name = std::move(name);
  co_return co_await ask<wire::NsNodeReply>(NsOp::lookup, std::move(request));
}

Task<Result<wire::NsNodeReply>> Destination::getattr(std::uint64_t inode) {
  wire::NsInode request;
  request.inode = inode;
  co_return co_await ask<wire::NsNodeReply>(NsOp::getattr, request);
}

Task<Result<wire::NsReaddirReply>> Destination::readdir(std::uint64_t inode, std::uint64_t after) {
  wire::NsReaddir request;
  request.inode = inode;
  request.after = after;
  request.attributes = true;
  request.bytes_max = 256 * 1024;
  co_return co_await ask<wire::NsReaddirReply>(NsOp::readdir, request);
}

Task<Result<std::vector<wire::NsExtent>>> Destination::extents(wire::NsNodeReply node) {
  co_return co_await tree_.extents(std::move(node));
}

Task<Result<wire::NsNodeReply>> Destination::mkdir(std::uint64_t parent, std::string name,
                                                   Entry seen) {
  wire::NsMkdir request;
  request.parent = parent;
  request.name = std::move(name);
  // Its real mode comes at the end of the pass: things have to be made in it first.
  request.mode = static_cast<std::uint16_t>(seen.mode | 0700U);
  fill(request, seen, keeps_owner());
  co_return co_await ask<wire::NsNodeReply>(NsOp::mkdir, std::move(request));
}

Task<Result<wire::NsNodeReply>> Destination::symlink(std::uint64_t parent, std::string name,
                                                     Entry seen) {
  wire::NsSymlink request;
  request.parent = parent;
  request.name = std::move(name);
  request.target = seen.target;
  fill(request, seen, keeps_owner());
  co_return co_await ask<wire::NsNodeReply>(NsOp::symlink, std::move(request));
}

Task<Result<wire::NsNodeReply>> Destination::mknod(std::uint64_t parent, std::string name,
                                                   Entry seen) {
  wire::NsMknod request;
  request.parent = parent;
  request.name = std::move(name);
  request.type = static_cast<wire::NsType>(seen.type);
  request.mode = static_cast<std::uint16_t>(seen.mode);
  request.rdev = seen.rdev;
  CAIRN_CO_TRY(made, co_await ask<wire::NsNodeReply>(NsOp::mknod, std::move(request)));
  co_return co_await set_attributes(made.attributes.inode, std::move(seen));
}

Task<Result<wire::NsNodeReply>> Destination::link(std::uint64_t inode, std::uint64_t parent,
                                                  std::string name) {
  wire::NsLink request;
  request.inode = inode;
  request.parent = parent;
  request.name = std::move(name);
  co_return co_await ask<wire::NsNodeReply>(NsOp::link, std::move(request));
}

wire::NsCreate Destination::create_request(std::uint64_t parent, std::string name,
                                           const Entry& seen, bool exclusive) {
  wire::NsCreate request;
  request.parent = parent;
  request.name = std::move(name);
  request.mode = static_cast<std::uint16_t>(seen.mode);
  request.existing = exclusive ? wire::NsExisting::fail : wire::NsExisting::truncate;
  fill(request, seen, keeps_owner());
  return request;
}

Task<Result<wire::NsNodeReply>> Destination::complete(wire::NsNodeReply made, Entry seen) {
  // A file that was there keeps its mode, and a change of owner takes set-ID bits away.
  if (has_attributes(made.attributes, seen, keeps_owner())) co_return made;
  const std::uint64_t inode = made.attributes.inode;
  co_return co_await set_attributes(inode, std::move(seen));
}

Task<Result<wire::NsNodeReply>> Destination::create(std::uint64_t parent, std::string name,
                                                    Entry seen, std::vector<wire::NsExtent> extents,
                                                    bool exclusive) {
  wire::NsCreate request = create_request(parent, std::move(name), seen, exclusive);
  request.extents = std::move(extents);
  request.size = seen.size;
  CAIRN_CO_TRY(made, co_await ask<wire::NsNodeReply>(NsOp::create, std::move(request)));
  co_return co_await complete(std::move(made), std::move(seen));
}

Task<Result<wire::NsNodeReply>> Destination::create_copy(std::uint64_t parent, std::string name,
                                                         Entry seen, Holder from, bool exclusive) {
  wire::NsCreateCopy request;
  request.create = create_request(parent, std::move(name), seen, exclusive);
  request.from = from.inode;
  request.data_version = from.data_version + 1;
  request.create.size = seen.size;
  CAIRN_CO_TRY(made, co_await ask<wire::NsNodeReply>(NsOp::create_copy, std::move(request)));
  co_return co_await complete(std::move(made), std::move(seen));
}

Task<Status> Destination::rename(std::uint64_t parent, std::string from, std::string to) {
  wire::NsRename request;
  request.parent = request.new_parent = parent;
  request.name = std::move(from);
  request.new_name = std::move(to);
  CAIRN_CO_TRY(done, co_await ask<wire::NsRenameReply>(NsOp::rename, std::move(request)));
  static_cast<void>(done);
  co_return Status();
}

Task<Status> Destination::remove(std::uint64_t parent, std::string name, bool directory) {
  wire::NsRemove request;
  request.parent = parent;
  request.name = std::move(name);
  CAIRN_CO_TRY(done, co_await ask<wire::NsRemoveReply>(directory ? NsOp::rmdir : NsOp::unlink,
                                                       std::move(request)));
  static_cast<void>(done);
  co_return Status();
}

Task<Result<wire::NsNodeReply>> Destination::set_attributes(std::uint64_t inode, Entry seen) {
  wire::NsSetattr request;
  request.inode = inode;
  fill(request, seen, keeps_owner());
  if (seen.type != NodeType::symlink) {
    request.set |= wire::kNsSetMode;
    request.mode = static_cast<std::uint16_t>(seen.mode);
  }
  co_return co_await ask<wire::NsNodeReply>(NsOp::setattr, request);
}

// --- data ----------------------------------------------------------------------------------------

wire::OriginMark Destination::origin(std::string_view path, const Entry& seen) {
  wire::OriginMark mark = NsData::origin_of(tree_.session().attached(), where_.export_name);
  mark.path = join(where_.path, path);
  mark.file_size = seen.size;
  mark.mode = static_cast<std::uint16_t>(seen.mode);
  mark.uid = keeps_owner() ? seen.uid : identity_.uid;
  mark.gid = keeps_owner() ? seen.gid : identity_.gid;
  mark.written = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                                std::chrono::system_clock::now().time_since_epoch())
                                                .count());
  return mark;
}

Task<Result<Stored>> Destination::upload(wire::View bytes, std::uint32_t crc32,
                                         std::string extension, std::string mark) {
  Stored out;
  if (Uploads::is_small(bytes.size())) {
    if (!uploads_) uploads_ = std::make_shared<Uploads>(executor_, core_, copies(), timeout_);
    auto stored = co_await uploads_->store(bytes, extension, mark);
    if (stored) out = *std::move(stored);
  }
  // By itself, wherever it can go: the tracker says where, and others are tried.
  if (out.id.empty()) {
    CAIRN_CO_TRY(stored,
                 co_await upload(Source::memory(bytes), std::move(extension), std::move(mark)));
    out = std::move(stored);
  }
  const auto parsed = parse_file_id(out.id);
  if (!parsed || !parsed->name.fields() || parsed->name.fields()->crc32 != crc32 ||
      parsed->name.fields()->size() != bytes.size())
    co_return Error{Errc::corrupt,
                    "the storage node has stored other bytes than it was sent, as " + out.id};
  co_return out;
}

Task<Result<Stored>> Destination::upload(Source source, std::string extension, std::string mark) {
  const auto count = std::make_shared<CopyCount>();
  UploadOptions options;
  options.extension = std::move(extension);
  options.copies = std::clamp(copies(), 1U, 31U);
  options.copies_of_members = true;
  options.on_copies = [count](unsigned have, unsigned wanted) { *count = CopyCount(have, wanted); };
  CAIRN_CO_TRY(id, co_await core_->upload(std::move(source), std::move(options), std::move(mark)));
  Stored out;
  out.id = std::move(id);
  out.copies = *count;
  co_return out;
}

Task<Result<Adopters::Adopted>> Destination::adopt(std::string path, Entry seen,
                                                   std::string extension, std::string mark,
                                                   bool may_link) {
  if (!adopters_) adopters_ = std::make_shared<Adopters>(executor_, core_, copies(), may_link);
  wire::AdoptFile file;
  file.path = std::move(path);
  file.inode = seen.inode;
  file.size = seen.size;
  file.mtime_s = seen.mtime_s;
  file.mtime_ns = seen.mtime_ns;
  file.extension = std::move(extension);
  file.mark = std::move(mark);
  co_return co_await adopters_->adopt(std::move(file));
}

Task<CopyCount> Destination::wait_for_copies(std::vector<std::string> ids) {
  co_return co_await copies_->wait(std::move(ids), copies(), kCopiesTime);
}

Task<void> Destination::discard(std::vector<wire::NsExtent> extents) {
  co_await tree_.data().discard(std::move(extents));
}

Task<Status> Destination::read(std::vector<wire::NsExtent> extents, std::uint64_t size,
                               Sink::Writer sink) {
  co_return co_await tree_.data().stream(std::move(extents), 0, size, std::move(sink), timeout_,
                                         {});
}

} // namespace cairn::migrate
