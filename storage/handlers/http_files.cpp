// Opens files for HTTP, here or at another member.
#include "storage/handlers/http_files.h"

#include "storage/handlers/locate.h"

namespace cairn::storage {

namespace {

Task<Status> pass_through(Context& context, RemoteName name,
                          std::shared_ptr<std::optional<RemoteFile>> whole, Connection& to,
                          std::uint64_t offset, std::uint64_t length) {
  std::optional<RemoteFile> source;
  if (offset == 0 && *whole && (*whole)->length == length) source.emplace(*std::move(*whole));
  whole->reset();
  co_return co_await pass_on(context, to, std::move(name), std::move(source), offset, length);
}

// Keeps the file open while it is sent.
Task<Status> send_kept(Context& context, RemoteName name, std::shared_ptr<const OpenedFile> opened,
                       Connection& to, std::uint64_t offset, std::uint64_t length) {
  co_return co_await send_verified(context, to, std::move(name), *opened, offset, length,
                                   /*only_here=*/false);
}

} // namespace

Task<Result<std::string>> StoreFiles::metadata(const RemoteName& name) {
  const std::uint32_t owner = context_.peers.get()->owner_of(name);
  if (owner != 0 && owner != context_.store.node_id()) {
    // The owner sees every change first; while it is away, what is here must do.
    auto text = co_await context_.remote().metadata(name);
    if (text || text.code() == Errc::not_found) co_return text;
  }
  co_return co_await metadata_here_or_near(context_, name);
}

Task<Result<OpenFile>> StoreFiles::open(const RemoteName& name) {
  if (name.store_path() >= context_.store.path_count())
    co_return Error{Errc::not_found, "no such store path"};
  OpenFile file;
  const bool constant = name.kind() == FileKind::normal && name.fields();
  file.immutable = constant;
  if (constant) file.crc32 = name.fields()->crc32;
  file.disk = &context_.store.read_pool(name.store_path());
  CAIRN_CO_TRY(ticket, begin_under(context_.downloads));
  Counted counted(context_.counters.download);

  std::optional<Located> found(std::in_place);
  found->here = open_at_once(context_, name, 0, 0);
  if (!found->here) {
    CAIRN_CO_TRY(elsewhere, co_await locate(context_, name, 0, 0));
    found.emplace(std::move(elsewhere));
  }
  Located& located = *found;
  if (located.here) {
    file.size = located.here->size;
    file.mtime = located.here->mtime;
    if (!is_verified(context_, *located.here, 0, file.size)) {
      // A large one of which not all is known to be right: pieces are verified as they go out.
      auto opened = std::make_shared<const OpenedFile>(*std::move(located.here));
      // The download is under way as long as the answer is.
      auto held = std::make_shared<OperationTicket>(std::move(ticket));
      file.remote = [this, name, opened, held](Connection& to, std::uint64_t offset,
                                               std::uint64_t length) -> Task<Status> {
        return send_kept(context_, name, opened, to, offset, length);
      };
      counted.succeed();
      co_return file;
    }
    // The download is under way as long as the file is open.
    struct Open {
      File file;
      OperationTicket ticket;
      int fd;
    };
    auto open = std::make_shared<Open>();
    open->file = std::move(located.here->file);
    open->ticket = std::move(ticket);
    open->fd = open->file.get();
    file.fd = std::shared_ptr<const int>(open, &open->fd);
    counted.succeed();
    co_return file;
  }
  file.size = located.there->file_size;
  file.mtime = located.there->mtime;
  // The stream that located it serves the common request for the whole file; a range asks again.
  auto whole = std::make_shared<std::optional<RemoteFile>>(std::move(located.there));
  auto under_way = std::make_shared<OperationTicket>(std::move(ticket));
  file.remote = [this, name, whole, under_way](Connection& to, std::uint64_t offset,
                                               std::uint64_t length) -> Task<Status> {
    return pass_through(context_, name, whole, to, offset, length);
  };
  counted.succeed();
  co_return file;
}

} // namespace cairn::storage
