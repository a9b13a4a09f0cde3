// Resolution of URLs and the file-ID resolver.
#include "storage/http/file_service.h"

#include "common/base/cache_tag.h"
#include "common/base/text.h"
#include "storage/http/file_reply.h"
#include "storage/http/token.h"
#include "storage/http/url.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <fstream>
#include <sstream>

namespace cairn::storage {

namespace {

constexpr std::uintmax_t kFailPageMax = 1024 * 1024;
constexpr std::string_view kFileMethods = "GET, HEAD";

// What a client is told about a file that could not be opened. Never the detail: it names paths.
HttpReply open_failed(Errc code) {
  switch (code) {
    case Errc::not_found:
      return plain_reply(404, "no such file");
    case Errc::denied:
    case Errc::not_permitted:
      return plain_reply(403, "not allowed");
    case Errc::invalid_argument:
      return plain_reply(400, "invalid file name");
    default:
      break;
  }
  // Also damage: another node, or a repair, may bring the file.
  HttpReply reply = plain_reply(503, "the file cannot be read now");
  reply.headers.emplace_back("Retry-After", "1");
  return reply;
}

Task<HttpReply> ready(HttpReply reply) {
  co_return reply;
}

// X-Cairn-Meta-NAME headers of metadata text; names that no header can have are left out.
void add_metadata(HttpReply& reply, std::string_view text) {
  constexpr std::string_view kToken =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";
  for (const std::string_view record : split(text, '\x01')) {
    const std::size_t end = record.find('\x02');
    if (end == std::string_view::npos || end == 0) continue;
    const std::string_view name = record.substr(0, end);
    if (name.find_first_not_of(kToken) != std::string_view::npos) continue;
    reply.headers.emplace_back("X-Cairn-Meta-" + std::string(name),
                               std::string(record.substr(end + 1)));
  }
}

// A number of the query; nullopt when it is absent or no number.
std::optional<std::uint64_t> number_of(std::string_view query, std::string_view name) {
  const auto text = query_value(query, name);
  if (!text || !*text) return std::nullopt;
  const auto number = parse_u64(**text);
  if (!number) return std::nullopt;
  return *number;
}

} // namespace

HttpReply plain_reply(int status, std::string_view text) {
  std::string line(text);
  HttpReply reply = HttpReply::text(status, line.append("\n"));
  reply.headers.emplace_back("Cache-Control", "no-store");
  return reply;
}

HttpReply method_not_allowed(std::string_view allow) {
  HttpReply reply = plain_reply(405, "method not allowed");
  reply.headers.emplace_back("Allow", allow);
  return reply;
}

// --- files by ID --------------------------------------------------------------------------------

FileIdResolver::FileIdResolver(const config::StorageConfig& config, const MimeTypes& types,
                               FileSource& source, const std::string* fail_page)
    : config_(config), types_(types), source_(source), fail_page_(fail_page) {}

bool FileIdResolver::claims(const ResolvedUrl& url) const {
  // Another group's name is left to the resolvers behind, and is 404 in the end: here it is either
  // an export or nothing.
  return remote_name_of(url.path(), source_.group()).has_value();
}

std::optional<HttpReply> FileIdResolver::refuse_token(const RemoteName& name,
                                                      std::string_view query,
                                                      std::string& cache_control) const {
  const config::HttpToken& rule = config_.http_token;
  if (!rule.check) return std::nullopt;
  const auto token = query_value(query, "token");
  const auto ts = query_value(query, "ts");
  if (!token || !ts || !*token || !*ts) return plain_reply(400, "token and ts are needed");
  const auto left =
      check_token(name.text(), rule.secret, **token, **ts, std::time(nullptr), rule.ttl);
  if (left) {
    // A shared cache would go on serving the URL after its time.
    cache_control = "private, max-age=" + std::to_string(left->count());
    return std::nullopt;
  }
  if (fail_page_ == nullptr) return plain_reply(400, "invalid token");
  HttpReply reply = HttpReply::text(200, *fail_page_, types_.type_of(rule.fail_file.string()));
  reply.headers.emplace_back("Cache-Control", "no-store");
  return reply;
}

Task<HttpReply> FileIdResolver::answer(ResolvedUrl url) {
  const HttpRequest& request = url.request();
  const std::string_view query = url.query();
  if (!url.is_read()) co_return method_not_allowed(kFileMethods);
  const auto text = remote_name_of(url.path(), source_.group());
  const auto name = parse_remote_name(text.value_or(std::string_view()));
  // 22 characters: the shortest that the nginx module of FastDFS takes.
  if (!name || text->size() < 22) co_return plain_reply(400, "invalid file name");

  std::string cache_control = config_.http_cache_control;
  if (auto refused = refuse_token(*name, query, cache_control)) co_return std::move(*refused);

  std::string save_as;
  if (!query.empty()) {
    for (const std::string_view key : {"attname", "filename"}) {
      auto value = query_value(query, key);
      if (!value) co_return plain_reply(400, "malformed query");
      if (save_as.empty() && *value) save_as = std::move(**value);
    }
  }

  const auto file = co_await source_.open(*name);
  if (!file) co_return open_failed(file.code());

  // What can change is asked for again each time; the tag makes that cheap.
  if (!file->immutable) cache_control = "no-cache";
  FileReplyContext context;
  context.content_type = types_.type_of(name->leaf());
  context.cache_control = cache_control;
  context.disposition_name = save_as;
  context.now = std::time(nullptr);
  if (!query.empty() && context.content_type == "video/x-flv") {
    const std::uint64_t start = number_of(query, "start").value_or(0);
    const std::uint64_t end = std::min(number_of(query, "end").value_or(file->size), file->size);
    if (start > 13 && start < end) co_return flv_reply(*file, start, end, context);
  }
  context.active_content = config_.http.active_content;
  HttpReply reply = file_reply(request, *name, *file, context);
  if (request.head || config_.http.metadata_on_get) {
    const auto metadata = co_await source_.metadata(*name);
    if (metadata) add_metadata(reply, *metadata);
  }
  if (wants_cache_tags(request))
    add_cache_tag(reply,
                  cache_tag_of_id(config_.group_name + "/" + std::string(name->canonical())));
  co_return reply;
}

// --- the service --------------------------------------------------------------------------------

FileService::FileService(const config::StorageConfig& config)
    : config_(config), types_(config.http_default_content_type) {}

Result<std::unique_ptr<FileService>> FileService::make(const config::StorageConfig& config,
                                                       FileSource& source,
                                                       AdminCallbacks callbacks) {
  std::unique_ptr<FileService> service(new FileService(config));
  if (!config.http_mime_types_filename.empty())
    CAIRN_RETURN_IF_ERROR(service->types_.add_file(config.http_mime_types_filename));
  const std::filesystem::path& fail_file = config.http_token.fail_file;
  const bool has_fail_page = config.http_token.check && !fail_file.empty();
  if (has_fail_page) {
    std::ifstream file(fail_file, std::ios::binary);
    if (!file) return errno_error("open " + fail_file.string(), errno);
    std::ostringstream text;
    text << file.rdbuf();
    service->fail_page_ = text.str();
    if (service->fail_page_.size() > kFailPageMax)
      return Error{Errc::invalid_argument, fail_file.string() + " is longer than 1 MiB"};
  }

  // The server's families come first, ours are added behind them.
  AdminCallbacks pages = std::move(callbacks);
  struct WithOurs {
    static Task<void> write(const std::function<Task<void>(MetricsText&)>& theirs,
                            const HttpMetrics& ours, MetricsText& out) {
      if (theirs) co_await theirs(out);
      ours.write(out);
    }
  };
  pages.metrics = [theirs = std::move(pages.metrics), ours = &service->metrics_](MetricsText& out) {
    return WithOurs::write(theirs, *ours, out);
  };

  service->resolvers_.push_back(std::make_unique<AdminPages>(config.admin_hosts, std::move(pages)));
  service->resolvers_.push_back(std::make_unique<FileIdResolver>(
      config, service->types_, source, has_fail_page ? &service->fail_page_ : nullptr));
  service->ids_ = 1;
  return service;
}

void FileService::add_before_ids(std::unique_ptr<Resolver> resolver) {
  resolvers_.insert(resolvers_.begin() + static_cast<std::ptrdiff_t>(ids_), std::move(resolver));
  ++ids_;
}

void FileService::add_after_ids(std::unique_ptr<Resolver> resolver) {
  resolvers_.push_back(std::move(resolver));
}

HttpHandler FileService::handler() {
  return [this](const HttpRequest& request) { return answer(request); };
}

HttpOptions FileService::options(DiskPool* disk) {
  HttpOptions options;
  options.write_timeout = config_.network_timeout;
  options.disk = disk;
  options.observe = [this](const HttpExchange& exchange) { metrics_.count(exchange); };
  return options;
}

Task<HttpReply> FileService::answer_from(std::size_t first, ResolvedUrl url) {
  for (std::size_t i = first; i < resolvers_.size(); ++i)
    if (resolvers_[i]->claims(url)) return resolvers_[i]->answer(std::move(url));
  return ready(plain_reply(404, "no such file"));
}

Task<HttpReply> FileService::answer_without_rules(ResolvedUrl url) {
  return answer_from(ids_, std::move(url));
}

Task<HttpReply> FileService::answer_exports(ResolvedUrl url) {
  return answer_from(ids_ + 1, std::move(url));
}

// Not a coroutine: the common request costs the frame of its resolver and no more. Coroutines start
// when they are awaited, after this has returned: so the resolver is given the URL itself.
Task<HttpReply> FileService::answer(const HttpRequest& request) {
  const std::string_view raw = request.path();
  std::string path;
  if (raw.find('%') == std::string_view::npos) {
    path = raw;
  } else if (auto decoded = decode_path(raw)) {
    path = *std::move(decoded);
  } else {
    return ready(plain_reply(400, "malformed path"));
  }
  ResolvedUrl url(request, std::move(path));
  if (guard_ != nullptr) {
    if (auto reply = guard_->preflight(request)) return ready(std::move(*reply));
  }
  for (const auto& resolver : resolvers_) {
    if (!resolver->claims(url)) continue;
    // Changes are judged by those that make them; health and status have hosts of their own.
    if (guard_ == nullptr || resolver == resolvers_.front())
      return resolver->answer(std::move(url));
    Grant grant;
    if (url.is_read()) {
      const auto name = remote_name_of(url.path(), config_.group_name);
      const std::string object =
          name ? config_.group_name + "/" + std::string(*name) : url.path().substr(1);
      grant = guard_->admit_read(request, url.path(), object);
      if (grant.refusal) {
        guard_->add_cors(request, *grant.refusal);
        return ready(std::move(*grant.refusal));
      }
    }
    const bool seen = grant.key || guard_->charges(grant) || !config_.http.cors_origins.empty() ||
                      is_kept_by_front(request);
    if (!seen) return resolver->answer(std::move(url));
    return watched(*resolver, std::move(url), std::move(grant));
  }
  if (!url.is_read()) return ready(method_not_allowed(kFileMethods));
  return ready(plain_reply(404, "no such file"));
}

Task<HttpReply> FileService::watched(Resolver& resolver, ResolvedUrl url, Grant grant) {
  const HttpRequest& request = url.request();
  HttpReply reply = co_await resolver.answer(std::move(url));
  if (!request.head && guard_->charges(grant)) {
    std::uint64_t bytes = reply.stream_length;
    for (const HttpBodyPart& part : reply.body) bytes += part.text.size() + part.length;
    guard_->charge(request, grant, bytes);
  }
  // A shared cache would show it to those who have no signature.
  if (grant.key) {
    for (auto& [name, value] : reply.headers) {
      if (name == "Cache-Control") value = "private, no-cache";
    }
  }
  guard_->add_cors(request, reply);
  if (is_kept_by_front(request)) note_kept(request, reply);
  co_return reply;
}

void FileService::note_kept(const HttpRequest& request, HttpReply& reply) {
  wire::FrontUrl url;
  url.host = request.host;
  url.target = request.target;
  std::string tags;
  bool from_disk = false; // the front sends the file itself, and keeps nothing
  for (const auto& [name, value] : reply.headers) {
    if (name == kCacheTagsHeader) tags = value;
    from_disk = from_disk || name == "X-Accel-Redirect";
    if (name == "Vary") {
      for (const std::string_view header : split(value, ',')) {
        const std::string_view given = request.header(trim(header));
        if (!given.empty()) url.headers.push_back({std::string(trim(header)), std::string(given)});
      }
    }
  }
  if (request.header(kCacheTagsHeader).empty())
    std::erase_if(reply.headers, [](const auto& one) { return one.first == kCacheTagsHeader; });
  const auto kept = parse_u64(trim(request.header(kCacheKeptHeader)));
  if (!kept || from_disk || reply.status >= 500) return;
  const auto seconds =
      static_cast<std::int64_t>(std::min<std::uint64_t>(*kept, FrontMemory::kKeptMost.count()));
  fronts_.note(std::move(url), tags, std::chrono::seconds(seconds),
               std::chrono::steady_clock::now());
}

} // namespace cairn::storage
