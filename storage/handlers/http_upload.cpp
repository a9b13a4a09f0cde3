// Uploads and deletes over HTTP.
#include "storage/handlers/http_upload.h"

#include "common/base/text.h"
#include "common/net/http_body.h"
#include "common/wire/copies.h"
#include "storage/http/digests.h"
#include "storage/http/multipart.h"
#include "storage/http/url.h"

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <utility>

namespace cairn::storage {

namespace {

// Uploads up to this are kept in memory (while the budget lasts); more goes to disk as it comes.
constexpr std::uint64_t kMemoryMax = 256 * 1024;
constexpr std::size_t kPiece = 256 * 1024;
constexpr std::size_t kSmallPiece = 16 * 1024;
constexpr std::string_view kMetaHeader = "x-cairn-meta-";
constexpr std::size_t kMetadataMax = 32 * 1024;
constexpr const char* kCopiesHeader = "X-Cairn-Copies";
constexpr std::string_view kAllowed = "GET, HEAD, POST, PUT, DELETE";

HttpReply json_reply(int status, const nlohmann::json& document) {
  HttpReply reply = HttpReply::text(
      status, document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n",
      "application/json");
  reply.headers.emplace_back("Cache-Control", "no-store");
  return reply;
}

HttpReply error_reply(int status, std::string_view why) {
  return json_reply(status, {{"error", std::string(why)}});
}

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
  HttpReply reply = error_reply(503, "try again later");
  reply.headers.emplace_back("Retry-After", "1");
  return reply;
}

// The extension an ID can carry of a file name; empty when it has none that fits.
std::string extension_of(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return {};
  std::string extension(name.substr(dot + 1));
  return validate_extension(extension) ? extension : std::string();
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

// Content on its way to the store: in memory while it is small, else in a staged file.
class Incoming {
public:
  Incoming(Context& context, std::uint64_t size_max) : context_(context), size_max_(size_max) {}
  Incoming(const Incoming&) = delete;
  Incoming& operator=(const Incoming&) = delete;

  // `size`: of the whole content, if it is known. Errors: no_space.
  Status begin(std::optional<std::uint64_t> size) {
    const std::uint64_t expected = size.value_or(kMemoryMax);
    CAIRN_TRY(place, context_.store.choose_path(0xFF, size.value_or(0)));
    place_.emplace(std::move(place));
    if (expected <= kMemoryMax) charge_ = context_.memory.take(expected);
    if (charge_) in_memory_max_ = expected;
    memory_.reserve(in_memory_max_);
    return {};
  }
  // Errors: name_too_long (more than may be), no_space, io_error.
  Task<Status> add(wire::View bytes) {
    size_ += bytes.size();
    if (size_ > size_max_) co_return Error{Errc::name_too_long, "too large"};
    if (!staged_ && size_ <= in_memory_max_) {
      memory_.insert(memory_.end(), bytes.begin(), bytes.end());
      co_return Status();
    }
    DiskPool& pool = context_.store.pool(place_->store_path);
    if (!staged_) {
      auto stage = [this]() -> Result<StagedFile> {
        CAIRN_TRY(staged, context_.store.stage(place_->store_path));
        if (!memory_.empty()) CAIRN_RETURN_IF_ERROR(staged.write(memory_));
        return staged;
      };
      CAIRN_CO_TRY(made, co_await pool.run(std::move(stage)));
      staged_ = std::move(made);
      memory_ = wire::Bytes();
    }
    auto write = [file = &*staged_, bytes] { return file->write(bytes); };
    co_return co_await pool.run(std::move(write));
  }
  // Gives it a name and makes it durable, with metadata if there is any.
  Task<Result<Change>> finish(std::string extension, std::string metadata, Copies& copies) {
    NewFile file;
    file.extension = std::move(extension);
    auto create = [this, &file, &metadata]() -> Result<Change> {
      auto made = staged_ ? context_.store.publish(file, std::move(*staged_))
                          : context_.store.create(file, place_->store_path, memory_);
      if (!made || metadata.empty()) return made;
      CAIRN_TRY(name, parse_remote_name(made->name));
      CAIRN_TRY(set, context_.store.set_metadata(name, metadata, false, Origin()));
      made->seq = std::max(made->seq, set.seq);
      return made;
    };
    auto made = co_await context_.store.pool(place_->store_path).run(std::move(create));
    co_return co_await committed(context_, std::move(made), copies);
  }
  std::uint64_t size() const { return size_; }

private:
  Context& context_;
  const std::uint64_t size_max_;
  std::optional<Place> place_; // once begin() was good
  MemoryCharge charge_;
  std::uint64_t in_memory_max_ = 0; // what charge_ is for
  std::uint64_t size_ = 0;
  wire::Bytes memory_;
  std::optional<StagedFile> staged_;
};

// Moves a raw body. An empty one has no RequestBody.
Task<Status> take_raw(RequestBody* body, Incoming& incoming, ContentDigests& digests) {
  if (body == nullptr) co_return Status();
  wire::Buffer piece(body->length().value_or(kPiece) <= kSmallPiece ? kSmallPiece : kPiece);
  for (;;) {
    std::size_t have = 0;
    while (have < piece.size()) {
      CAIRN_CO_TRY(count, co_await body->read_some(piece.span().subspan(have)));
      if (count == 0) break;
      have += count;
    }
    if (have == 0) co_return Status();
    const wire::View bytes = piece.view().first(have);
    digests.add(bytes);
    CAIRN_CO_RETURN_IF_ERROR(co_await incoming.add(bytes));
  }
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

class CountDown {
public:
  explicit CountDown(std::atomic<std::uint32_t>& count) : count_(count) {}
  CountDown(const CountDown&) = delete;
  CountDown& operator=(const CountDown&) = delete;
  ~CountDown() { --count_; }

private:
  std::atomic<std::uint32_t>& count_;
};

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
    HttpReply reply = error_reply(503, "too many uploads at once");
    reply.headers.emplace_back("Retry-After", "1");
    co_return reply;
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

  auto made = co_await incoming.finish(extension_of(file_name), *std::move(metadata), *copies);
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
  document["url"] =
      request.host.empty() ? "/" + id : "http://" + std::string(request.host) + "/" + id;
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
  auto removed = co_await remove_file(context_, *std::move(name));
  audit_delete(context_, "key " + grant.key->id, guard_.client_address(request), *text, removed);
  if (!removed) {
    // Here a timeout is that of another node, not of the client.
    Error error = std::move(removed).error();
    if (error.code == Errc::timeout || error.code == Errc::closed) error.code = Errc::unavailable;
    co_return failed(error);
  }
  HttpReply reply;
  reply.status = 204;
  co_return reply;
}

} // namespace cairn::storage
