// Taking over files that lie on this machine already.
#include "storage/handlers/adopt.h"

#include "common/wire/adopt_files.h"
#include "common/wire/copies.h"
#include "common/wire/origin_mark.h"
#include "storage/store/adopting.h"
#include "storage/sync/sync_service.h"

#include <algorithm>
#include <sys/stat.h>

namespace cairn::storage {

namespace {

constexpr std::uint64_t kBodyMax = 2 << 20;

struct Looked {
  File file;
  std::uint64_t device = 0;
};

// Opens the file that is meant. Errors: those of open_below(); busy (it is another one by now).
Result<Looked> look_at(const Context& context, const wire::AdoptFile& asked) {
  CAIRN_TRY(file, open_below(context.config.adopt_from, asked.path));
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return errno_error(asked.path, errno);
  const bool same = S_ISREG(info.st_mode) && info.st_ino == asked.inode &&
                    static_cast<std::uint64_t>(info.st_size) == asked.size &&
                    info.st_mtim.tv_sec == asked.mtime_s &&
                    static_cast<std::uint32_t>(info.st_mtim.tv_nsec) == asked.mtime_ns;
  if (!same) return Error{Errc::busy, asked.path + " is not what it was when it was seen"};
  Looked out;
  out.file = std::move(file);
  out.device = info.st_dev;
  return out;
}

Status check(const wire::AdoptFile& asked) {
  CAIRN_RETURN_IF_ERROR(validate_extension(asked.extension));
  if (asked.mark.empty()) return {};
  return asked.mark.size() > wire::kOriginMarkMax
             ? Status(Error{Errc::invalid_argument, "an origin mark that is too long"})
             : Status(wire::decode_origin(asked.mark).code());
}

// On the pool of `store_path`. The position of the change, 0 when there is none.
std::uint64_t adopt_one(Context& context, const wire::AdoptFiles& request,
                        const wire::AdoptFile& asked, std::uint8_t store_path,
                        wire::AdoptedFile& reply) {
  const auto failed = [&reply](const Error& error) {
    reply.code = error.code;
    reply.error = error.detail;
    return std::uint64_t{0};
  };
  if (const Status good = check(asked); !good) return failed(good.error());
  auto looked = look_at(context, asked);
  if (!looked) return failed(looked.error());
  if (request.probe) return 0;
  NewFile file;
  file.extension = asked.extension;
  file.mark = asked.mark;
  auto adopted = context.store.adopt(file, store_path, looked->file, request.may_link);
  if (!adopted) return failed(adopted.error());
  reply.id = context.config.group_name + "/" + adopted->change.name;
  reply.how = adopted->how;
  reply.sha256 = std::move(adopted->sha256);
  reply.ctime_s = adopted->ctime.tv_sec;
  reply.ctime_ns = static_cast<std::uint32_t>(adopted->ctime.tv_nsec);
  return adopted->change.seq;
}

Task<Result<Reply>> adopt_files(Context& context, Session&, Body& body) {
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_TRY(request, wire::decode_lenient<wire::AdoptFiles>(all));
  if (request.files.empty() || request.files.size() > wire::kAdoptFilesMax)
    co_return Error{Errc::invalid_argument, "1 to 256 files can be adopted at once"};
  if (context.config.adopt_from.empty())
    co_return Error{Errc::denied, "adopt_from is not set in storage.conf"};
  Copies copies;
  OperationTicket ticket;
  if (!request.probe) {
    CAIRN_CO_RETURN_IF_ERROR(takes_changes(context));
    CAIRN_CO_TRY(wanted, copies_wanted(context, request.copies));
    copies = wanted;
    CAIRN_CO_TRY(begun, begin_under(context.uploads));
    ticket = std::move(begun);
  }

  // A disk that has the files already, so that nothing has to be copied.
  auto find = [&context, &request]() -> std::optional<std::uint8_t> {
    for (const wire::AdoptFile& asked : request.files)
      if (const auto looked = look_at(context, asked)) return context.store.path_on(looked->device);
    return std::nullopt;
  };
  const auto near = co_await context.store.pool(0).run(std::move(find));
  std::uint8_t store_path = near.value_or(0);
  if (!near && !request.probe) {
    std::uint64_t bytes = 0;
    for (const wire::AdoptFile& asked : request.files) bytes += asked.size;
    CAIRN_CO_TRY(place, context.store.choose_path(0xFF, bytes));
    store_path = place.store_path;
  }

  wire::AdoptFilesReply reply;
  reply.files.resize(request.files.size());
  auto work = [&context, &request, &reply, store_path]() -> Result<Change> {
    Change last{"adopted files", 0};
    for (std::size_t i = 0; i < request.files.size(); ++i) {
      const std::uint64_t seq =
          adopt_one(context, request, request.files[i], store_path, reply.files[i]);
      last.seq = std::max(last.seq, seq);
    }
    return last;
  };
  DiskPool& pool = context.store.pool(store_path);
  CAIRN_CO_TRY(done, co_await committed(context, pool, std::move(work), copies));
  static_cast<void>(done);
  for (std::size_t i = 0; i < reply.files.size() && !request.probe; ++i) {
    Counted counted(context.counters.upload, request.files[i].size);
    if (reply.files[i].code == Errc::ok) counted.succeed();
  }
  reply.have = static_cast<std::uint8_t>(std::min(copies.have, 255U));
  reply.wanted = static_cast<std::uint8_t>(std::min(copies.wanted, 255U));
  co_return Reply(wire::encode(reply));
}

} // namespace

void add_adopt_handlers(HandlerTable<Context>& table) {
  table.on(static_cast<wire::Command>(wire::kAdoptFiles), &adopt_files, {Access::peer, kBodyMax});
}

} // namespace cairn::storage
