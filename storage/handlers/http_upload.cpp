// Uploads and deletes over HTTP.
#include "storage/handlers/http_upload.h"

#include "common/base/text.h"
#include "common/wire/copies.h"
#include "storage/handlers/cache_changes.h"
#include "storage/handlers/http_answers.h"
#include "storage/handlers/incoming.h"
#include "storage/http/multipart.h"
#include "storage/http/url.h"

#include <boost/asio/this_coro.hpp>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <utility>

namespace cairn::storage {

namespace {

constexpr std::size_t kSmallPiece = 16 * 1024;
constexpr std::string_view kMetaHeader = "x-cairn-meta-";
constexpr std::size_t kMetadataMax = 32 * 1024;
constexpr const char* kCopiesHeader = "X-Cairn-Copies";
constexpr std::string_view kAllowed = "GET, HEAD, POST, PUT, DELETE";

// What a client is told of a failed change. Never the detail: it names paths.
HttpReply failed(const Error& error) {
  switch (error.code) {
    case Errc::not_found:
      return error_reply(404, "no such file");
    case Errc::invalid_argument:
      return error_reply(400, error.detail);
    case Errc::corrupt:
      return error_reply(422, "the content is not what its checksum says");
    case Errc::no_space:
      return error_reply(507, "no space left");
    case Errc::not_permitted:
    case Errc::denied:
      return error_reply(403, "not allowed");
    case Errc::closed:
    case Errc::timeout:
      return error_reply(408, "the content did not arrive");
    default:
      break;
  }
  return later("try again later");
}

// "name\x02value\x01…" of the X-Cairn-Meta-… headers.
Result<std::string> metadata_of(const HttpRequest& request) {
  std::string text;
  bool good = true;
  for_each_header(request.fields, [&](std::string_view name, std::string_view value) {
    if (!equals_ignoring_case(name.substr(0, kMetaHeader.size()), kMetaHeader)) return;
    const std::string key = to_lower(name.substr(kMetaHeader.size()));
    good = good && !key.empty() && key.size() <= 64 && value.size() <= 256 &&
           value.find_first_of("\x01\x02") == std::string_view::npos;
    if (!text.empty()) text += '\x01';
    text.append(key).append("\x02").append(value);
  });
  if (!good || text.size() > kMetadataMax)
    return Error{Errc::invalid_argument, "metadata: names up to 64, values up to 256 bytes"};
  return text;
}

// The copies that "X-Cairn-Copies: N" asks for, or the group. Errors: invalid_argument; as
// copies_wanted().
Result<Copies> copies_of(Context& context, const HttpRequest& request) {
  const std::string_view text = request.header(kCopiesHeader);
  std::uint8_t wanted = 0;
  if (!text.empty()) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), wanted);
    if (error != std::errc() || end != text.data() + text.size() || wanted == 0 ||
        wanted > wire::kCopiesMask)
      return Error{Errc::invalid_argument, "X-Cairn-Copies is a number from 1 to 31"};
  }
  return copies_wanted(context, wanted);
}

// Moves the one file of a form. `file_name` is set to its name. Errors besides those of the parts:
// invalid_argument (no file, or several).
Task<Status> take_form(RequestBody& body, const std::string& boundary, Incoming& incoming,
                       std::string& file_name) {
  MultipartReader reader(boundary);
  wire::Buffer piece(kSmallPiece);
  bool found = false;
  bool in_file = false;
  for (;;) {
    CAIRN_CO_TRY(event, reader.next());
    switch (event.kind) {
      case MultipartReader::Kind::need_more: {
        CAIRN_CO_TRY(count, co_await body.read_some(piece.span()));
        if (count == 0) co_return Error{Errc::invalid_argument, "the form has no end"};
        reader.feed(wire::as_text(piece.view().first(count)));
        break;
      }
      case MultipartReader::Kind::part: {
        std::optional<std::string> name;
        for_each_header(event.text, [&](std::string_view header, std::string_view value) {
          if (equals_ignoring_case(header, "Content-Disposition"))
            name = header_parameter(value, "filename");
        });
        in_file = name.has_value();
        if (!in_file) break; // another field of the form
        if (std::exchange(found, true))
          co_return Error{Errc::invalid_argument, "one file a form is taken"};
        if (!name->empty()) file_name = *std::move(name);
        break;
      }
      case MultipartReader::Kind::data:
        if (in_file) CAIRN_CO_RETURN_IF_ERROR(co_await incoming.add(wire::as_view(event.text)));
        break;
      case MultipartReader::Kind::part_end:
        break;
      case MultipartReader::Kind::end:
        if (!found) co_return Error{Errc::invalid_argument, "the form has no file"};
        // What follows the last delimiter means nothing, but belongs to the body.
        for (;;) {
          CAIRN_CO_TRY(count, co_await body.read_some(piece.span()));
          if (count == 0) co_return Status();
        }
    }
  }
}

} // namespace

bool HttpChanges::claims(const ResolvedUrl& url) const {
  const std::string_view method = url.request().method;
  if (method != "POST" && method != "PUT" && method != "DELETE") return false;
  const std::string_view path = url.path();
  const std::string& group = context_.config.group_name;
  if (remote_name_of(path, group)) return true;
  if (!path.starts_with('/') || !path.substr(1).starts_with(group)) return false;
  const std::string_view rest = path.substr(1 + group.size());
  return rest.empty() || rest.front() == '/';
}

Task<HttpReply> HttpChanges::answer(ResolvedUrl url) {
  const HttpRequest& request = url.request();
  const std::string path = url.path();
  const std::string& group = context_.config.group_name;
  if (request.method == "DELETE") co_return co_await remove(request, path);
  // "/group1/a.jpg" or "/group1"; "/M00/…" names a file that is.
  std::string_view file_name = std::string_view(path).substr(1);
  const bool in_group = file_name.starts_with(group) &&
                        (file_name.size() == group.size() || file_name[group.size()] == '/');
  if (in_group) file_name.remove_prefix(std::min(file_name.size(), group.size() + 1));
  if (!in_group || file_name.find('/') != std::string_view::npos)
    co_return error_reply(405,
                          "a new file is sent to /" + group + "/NAME.EXT; it gets its ID here");
  const Grant grant = guard_.admit_change(request, path, group, auth::kWrite);
  if (grant.refusal) co_return *grant.refusal;

  if (uploads_.fetch_add(1) >= context_.config.http.uploads_max) {
    --uploads_;
    co_return later("too many uploads at once");
  }
  const CountDown mark(uploads_);
  co_return co_await upload(request, grant, std::string(file_name));
}

Task<HttpReply> HttpChanges::upload(const HttpRequest& request, const Grant& grant,
                                    std::string file_name) {
  const config::HttpAccess& access = context_.config.http;
  RequestBody* body = request.body;
  if (auto taken = takes_changes(context_); !taken) co_return failed(taken.error());
  const auto boundary = multipart_boundary(request.header("Content-Type"));
  const bool is_form = boundary && request.method == "POST";
  // A form is a little longer than its file.
  constexpr std::uint64_t kFormExtra = 64 * 1024;
  const std::uint64_t limit = access.upload_size_max + (is_form ? kFormExtra : 0);
  if (body != nullptr && body->length().value_or(0) > limit)
    co_return error_reply(413, "larger than " + std::to_string(access.upload_size_max) + " bytes");
  if (is_form && body == nullptr) co_return error_reply(400, "the form is empty");
  auto metadata = metadata_of(request);
  if (!metadata) co_return failed(metadata.error());
  auto copies = copies_of(context_, request);
  if (!copies) co_return failed(copies.error());
  auto digests = ContentDigests::of(request);
  if (!digests) co_return failed(digests.error());
  if (is_form && !digests->empty()) digests = ContentDigests(); // they are those of the form

  Counted counted(context_.counters.upload);
  const auto ticket = begin_under(context_.uploads);
  if (!ticket) co_return failed(ticket.error());
  Incoming incoming(context_, access.upload_size_max);
  const std::optional<std::uint64_t> size = is_form           ? std::nullopt
                                            : body != nullptr ? body->length()
                                                              : std::optional<std::uint64_t>(0);
  if (auto begun = incoming.begin(size); !begun) co_return failed(begun.error());
  Status taken;
  if (is_form)
    taken = co_await take_form(*body, *boundary, incoming, file_name);
  else
    taken = co_await take_raw(body, incoming, *digests);
  counted.add_bytes(incoming.size());
  guard_.charge(request, grant, incoming.size());
  if (taken.code() == Errc::name_too_long)
    co_return error_reply(413, "larger than " + std::to_string(access.upload_size_max) + " bytes");
  if (!taken) co_return failed(taken.error());
  if (auto checked = digests->check(); !checked) co_return failed(checked.error());

  auto made = co_await incoming.finish(extension_of(file_name), *std::move(metadata), std::string(),
                                       *copies);
  if (!made) {
    spdlog::warn("upload over HTTP failed cause={}", made.error().text());
    co_return failed(made.error());
  }
  counted.succeed();
  context_.counters.last_source_update = static_cast<std::uint64_t>(std::time(nullptr));
  const std::string id = context_.config.group_name + "/" + made->name;
  nlohmann::json document{{"id", id},
                          {"group", context_.config.group_name},
                          {"name", made->name},
                          {"size", incoming.size()}};
  const auto name = parse_remote_name(made->name);
  if (name && name->fields()) {
    wire::Bytes number;
    wire::Writer(number).integer(name->fields()->crc32, 4);
    document["crc32"] = hex_encode(number);
  }
  for (const auto& [algorithm, value] : digests->values()) document[algorithm] = value;
  document["url"] = request.host.empty() ? "/" + id
                                         : (request.connection->is_tls() ? "https://" : "http://") +
                                               std::string(request.host) + "/" + id;
  const bool refused =
      copies->is_short() && context_.config.copies_short == config::CopiesShort::refuse;
  if (refused) document["error"] = "too few copies in time; the file stays and is synced";
  HttpReply reply = json_reply(refused ? 504 : 201, document);
  reply.headers.emplace_back("Location", "/" + id);
  if (copies->wanted > 1)
    reply.headers.emplace_back(kCopiesHeader,
                               std::to_string(copies->have) + "/" + std::to_string(copies->wanted));
  co_return reply;
}

Task<HttpReply> HttpChanges::remove(const HttpRequest& request, const std::string& path) {
  const std::string& group = context_.config.group_name;
  const auto text = remote_name_of(path, group);
  const std::string object = group + "/" + std::string(text.value_or(std::string_view()));
  const Grant grant = guard_.admit_change(request, path, object, auth::kDelete);
  if (grant.refusal) co_return *grant.refusal;
  if (!text) {
    HttpReply reply = error_reply(405, "this cannot be deleted");
    reply.headers.emplace_back("Allow", std::string(kAllowed));
    co_return reply;
  }
  auto name = parse_name(context_, *text);
  if (!name) co_return error_reply(400, "invalid file name");
  Result<Change> removed = Change();
  if (Status allowed = co_await refuse_marked(context_, false, *name); !allowed)
    removed = std::move(allowed).error();
  else
    removed = co_await remove_file(context_, *name, /*to_trash=*/true);
  audit_delete(context_, "key " + grant.key->id, guard_.client_address(request), *text, removed);
  if (!removed) {
    // Here a timeout is that of another node, not of the client.
    Error error = std::move(removed).error();
    if (error.code == Errc::timeout || error.code == Errc::closed) error.code = Errc::unavailable;
    co_return failed(error);
  }
  tell_caches(context_, co_await asio::this_coro::executor, *name);
  HttpReply reply;
  reply.status = 204;
  co_return reply;
}

} // namespace cairn::storage
