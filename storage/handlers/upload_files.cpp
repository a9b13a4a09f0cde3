// Many small files in one request: one job for the disk, one commit, one answer.
#include "storage/handlers/upload_files.h"

#include "common/wire/copies.h"
#include "common/wire/origin_mark.h"
#include "common/wire/upload_files.h"

#include <algorithm>
#include <ctime>

namespace cairn::storage {

namespace {

constexpr std::uint64_t kHeaderMax = 128 * 1024;

struct Batch {
  wire::UploadFiles request;
  std::vector<wire::View> contents; // into the body
  std::uint64_t bytes = 0;
};

Status check(const wire::UploadFile& file) {
  CAIRN_RETURN_IF_ERROR(validate_extension(file.extension));
  if (file.size == 0) return Error{Errc::invalid_argument, "an empty file needs no upload"};
  if (file.mark.empty() || file.mark.size() > wire::kOriginMarkMax)
    return Error{Errc::invalid_argument,
                 "an origin mark of " + std::to_string(file.mark.size()) + " bytes"};
  return wire::decode_origin(file.mark).code();
}

Result<Batch> parse(wire::View body) {
  wire::Reader reader(body);
  wire::View header;
  if (!reader.length_tagged(header))
    return Error{Errc::invalid_argument, "the request is shorter than its header"};
  Batch in;
  CAIRN_TRY(request, wire::decode_lenient<wire::UploadFiles>(header));
  in.request = std::move(request);
  if (in.request.files.empty() || in.request.files.size() > wire::kUploadFilesMax)
    return Error{Errc::invalid_argument,
                 "1 to " + std::to_string(wire::kUploadFilesMax) + " files can be sent at once"};
  for (const wire::UploadFile& file : in.request.files) {
    CAIRN_RETURN_IF_ERROR(check(file));
    wire::View content;
    if (!reader.raw(file.size, content))
      return Error{Errc::invalid_argument, "file sizes and body length differ"};
    in.contents.push_back(content);
    in.bytes += file.size;
  }
  if (reader.left() != 0) return Error{Errc::invalid_argument, "file sizes and body length differ"};
  return in;
}

Task<Result<Reply>> upload_files(Context& context, Session& session, Body& body) {
  CAIRN_CO_RETURN_IF_ERROR(may_create(context, session));
  CAIRN_CO_RETURN_IF_ERROR(takes_changes(context));
  CAIRN_CO_TRY(ticket, begin_under(context.uploads));
  const std::optional<std::uint8_t> only_in_memory;
  CAIRN_CO_TRY(content, co_await Content::take(context, body, only_in_memory));
  CAIRN_CO_TRY(in, parse(content.view()));
  CAIRN_CO_TRY(copies, copies_wanted(context, in.request.copies));
  std::vector<Counted> counted;
  for (const wire::View file : in.contents)
    counted.emplace_back(context.counters.upload, file.size());
  CAIRN_CO_TRY(place, context.store.choose_path(0xFF, in.bytes));

  wire::UploadFilesReply reply;
  reply.files.resize(in.contents.size());
  auto work = [&context, &in, &reply, store_path = place.store_path]() -> Result<Change> {
    Change last{"uploaded files", 0};
    for (std::size_t i = 0; i < in.contents.size(); ++i) {
      NewFile file;
      file.extension = std::move(in.request.files[i].extension);
      file.mark = std::move(in.request.files[i].mark);
      const auto made = context.store.create(file, store_path, in.contents[i]);
      wire::UploadedFile& told = reply.files[i];
      if (!made) {
        told.code = made.code();
        told.error = made.error().detail;
        continue;
      }
      told.id = context.config.group_name + "/" + made->name;
      last.seq = std::max(last.seq, made->seq);
    }
    return last;
  };
  DiskPool& pool = context.store.pool(place.store_path);
  CAIRN_CO_TRY(done, co_await committed(context, pool, std::move(work), copies));
  static_cast<void>(done);
  for (std::size_t i = 0; i < reply.files.size(); ++i)
    if (reply.files[i].code == Errc::ok) counted[i].succeed();
  context.counters.last_source_update = static_cast<std::uint64_t>(std::time(nullptr));
  reply.have = static_cast<std::uint8_t>(std::min(copies.have, 255U));
  reply.wanted = static_cast<std::uint8_t>(copies.wanted);
  reply.refused = copies.is_short() && context.config.copies_short == config::CopiesShort::refuse;
  co_return Reply(wire::encode(reply));
}

} // namespace

void add_upload_files_handlers(HandlerTable<Context>& table) {
  table.on(static_cast<wire::Command>(wire::kUploadFiles), &upload_files,
           {Access::client, wire::kUploadFilesBytesMax + kHeaderMax, auth::kWrite});
}

} // namespace cairn::storage
