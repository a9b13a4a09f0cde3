// Pulls, with one flight for each object.
#include "storage/rules/origins.h"

#include "common/base/text.h"
#include "common/daemon/log.h"
#include "common/net/http_range.h"
#include "common/net/send_file.h"
#include "common/rules/uri.h"
#include "storage/rules/on_context.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

namespace cairn::storage {

namespace {

using std::chrono::steady_clock;

constexpr std::size_t kBufferedMax = 8 * 1024 * 1024;
constexpr std::size_t kPiece = 256 * 1024;
// How long an origin may pause while it sends an object, all pauses together.
constexpr std::chrono::seconds kPauseMax{60};
// What a client is sent of an object on its way before it is looked again how much has come.
constexpr std::uint64_t kSendMax = 256 * 1024;
// Names remembered as absent at an origin.
constexpr std::size_t kAbsentMax = 100'000;

spdlog::logger& log() {
  static spdlog::logger& one = logger("storage.origins");
  return one;
}

// A file of an old tree, opened without ever leaving it: no "..", no symbolic link out of it.
struct OldFile {
  std::shared_ptr<const int> fd;
  std::uint64_t size = 0;
  std::int64_t mtime = 0;
  timespec changed{};
};

Result<OldFile> open_below(const std::string& root, const std::string& path) {
  const int directory = ::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return Error{Errc::unavailable, errno_error("open " + root, errno).detail};
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const std::string relative = path.substr(
      path.find_first_not_of('/') == std::string::npos ? path.size() : path.find_first_not_of('/'));
  const long opened =
      relative.empty() ? -1 : ::syscall(SYS_openat2, directory, relative.c_str(), &how, sizeof how);
  const int failure = relative.empty() ? ENOENT : errno;
  ::close(directory);
  if (opened < 0) {
    const bool absent = failure == ENOENT || failure == ENOTDIR || failure == EXDEV ||
                        failure == ELOOP || failure == ENAMETOOLONG;
    return absent ? Error{Errc::not_found} : errno_error("open a file of the origin", failure);
  }
  OldFile file;
  file.fd = std::shared_ptr<const int>(new int(static_cast<int>(opened)), [](const int* fd) {
    ::close(*fd);
    delete fd;
  });
  struct stat status {};
  if (::fstat(*file.fd, &status) != 0) return errno_error("stat a file of the origin", errno);
  if (!S_ISREG(status.st_mode)) return Error{Errc::not_found};
  file.size = static_cast<std::uint64_t>(status.st_size);
  file.mtime = status.st_mtim.tv_sec;
  file.changed = status.st_ctim;
  return file;
}

class FileBody final : public PullBody {
public:
  FileBody(DiskPool& disk, OldFile file, bool verify)
      : disk_(disk), file_(std::move(file)), verify_(verify) {}

  Task<Result<std::size_t>> read_some(std::span<std::byte> out) override {
    auto read = [this, out]() -> Result<std::size_t> {
      const ssize_t count = ::pread(*file_.fd, out.data(), out.size(), static_cast<off_t>(offset_));
      if (count < 0) return errno_error("read a file of the origin", errno);
      if (count == 0 && verify_) {
        struct stat now {};
        if (::fstat(*file_.fd, &now) != 0 || now.st_ctim.tv_sec != file_.changed.tv_sec ||
            now.st_ctim.tv_nsec != file_.changed.tv_nsec)
          return Error{Errc::busy, "the file changed while it was read"};
      }
      return static_cast<std::size_t>(count);
    };
    CAIRN_CO_TRY(count, co_await disk_.run(std::move(read)));
    offset_ += count;
    co_return count;
  }

private:
  DiskPool& disk_;
  OldFile file_;
  bool verify_;
  std::uint64_t offset_ = 0;
};

class HttpBody final : public PullBody {
public:
  // With `verify` the content must have the MD5 that the response names.
  HttpBody(HttpCall& call, bool verify) : call_(call) {
    if (!verify || call.header("Content-MD5").empty()) return;
    digest_.reset(EVP_MD_CTX_new());
    if (EVP_DigestInit_ex(digest_.get(), EVP_md5(), nullptr) != 1) digest_.reset();
  }

  Task<Result<std::size_t>> read_some(std::span<std::byte> out) override {
    CAIRN_CO_TRY(count, co_await call_.read_some(out));
    // A server that drips would hold its place among the requests for ever.
    size_ += count;
    if (steady_clock::now() - begun_ > transfer_time_max(size_, kPauseMax))
      co_return Error{Errc::timeout, "the origin sends less than 1 KiB/s"};
    if (digest_ && count > 0) EVP_DigestUpdate(digest_.get(), out.data(), count);
    if (digest_ && count == 0) {
      std::array<unsigned char, EVP_MAX_MD_SIZE> sum{};
      unsigned size = 0;
      EVP_DigestFinal_ex(digest_.get(), sum.data(), &size);
      digest_.reset();
      std::array<unsigned char, 4 * EVP_MAX_MD_SIZE> text{};
      const int length = EVP_EncodeBlock(text.data(), sum.data(), static_cast<int>(size));
      const std::string_view found(reinterpret_cast<const char*>(text.data()),
                                   static_cast<std::size_t>(length));
      if (found != call_.header("Content-MD5"))
        co_return Error{Errc::corrupt, "the content has another MD5 than its header says"};
    }
    co_return count;
  }

private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  HttpCall& call_;
  std::unique_ptr<EVP_MD_CTX, Free> digest_;
  std::uint64_t size_ = 0; // bytes read
  steady_clock::time_point begun_ = steady_clock::now();
};

// The extension that an ID keeps: at most six letters and digits.
std::string extension_of(std::string_view path) {
  const std::string_view last = path.substr(path.rfind('/') + 1);
  const std::size_t dot = last.rfind('.');
  if (dot == std::string_view::npos || last.size() - dot - 1 > 6) return {};
  const std::string_view extension = last.substr(dot + 1);
  for (const char c : extension)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))) return {};
  return std::string(extension);
}

// One request on its way, counted; `took` is false when the origin has enough of them.
class Inflight {
public:
  Inflight(std::shared_ptr<Origins::Counters> counters, std::size_t limit)
      : counters_(std::move(counters)) {
    took_ = counters_->inflight.fetch_add(1) < limit;
  }
  ~Inflight() { counters_->inflight.fetch_sub(1); }
  Inflight(const Inflight&) = delete;
  Inflight& operator=(const Inflight&) = delete;
  bool took() const { return took_; }

private:
  std::shared_ptr<Origins::Counters> counters_;
  bool took_ = false;
};

// Asks the servers of an origin in turn; an answer below 500 ends it.
Task<Result<HttpCall>> ask_origin(const rules::Origin& origin, HttpAsk ask) {
  Error last(Errc::unavailable, "no server");
  for (const std::string& server : origin.servers) {
    const auto address = parse_host_port(server);
    if (!address) continue;
    Endpoint endpoint;
    endpoint.host = address->host;
    endpoint.port = address->port;
    HttpAsk copy = ask;
    copy.host = origin.host.empty() ? server : origin.host;
    auto call = co_await HttpCall::send(std::move(endpoint), std::move(copy), origin.timeout);
    if (call && call->status() < 500) co_return call;
    last = call ? Error{Errc::unavailable, server + " answered " + std::to_string(call->status())}
                : Error{Errc::unavailable, server + ": " + call.error().text()};
  }
  co_return last;
}

} // namespace

Task<Result<HttpReply>> pass_on(HttpCall call, bool head) {
  HttpReply reply;
  reply.status = call.status();
  for (const std::string_view name :
       {"Content-Type", "Last-Modified", "ETag", "Cache-Control", "Expires", "Content-Range",
        "Accept-Ranges", "Content-Disposition", "Content-Encoding", "Vary", "Location",
        "Content-Security-Policy", "X-Content-Type-Options"}) {
    const std::string_view value = call.header(name);
    if (!value.empty()) reply.headers.emplace_back(name, value);
  }
  const bool bodyless = reply.status == 304 || reply.status == 204;
  if (head || bodyless) {
    reply.stream_length = bodyless ? 0 : call.length().value_or(0);
    if (reply.stream_length > 0)
      reply.stream = [](Connection&) -> Task<Status> { co_return Status(); }; // not called: HEAD
    co_return reply;
  }
  if (call.length()) {
    reply.stream_length = *call.length();
    auto shared = std::make_shared<HttpCall>(std::move(call));
    struct Copy {
      static Task<Status> run(std::shared_ptr<HttpCall> from, Connection& to) {
        wire::Bytes piece(kPiece);
        for (;;) {
          CAIRN_CO_TRY(count, co_await from->read_some(piece));
          if (count == 0) co_return Status();
          CAIRN_CO_RETURN_IF_ERROR(co_await to.write(wire::View(piece).first(count)));
        }
      }
    };
    reply.stream = [shared](Connection& to) { return Copy::run(shared, to); };
    co_return reply;
  }
  HttpBodyPart part;
  wire::Bytes piece(kPiece);
  for (;;) {
    CAIRN_CO_TRY(count, co_await call.read_some(piece));
    if (count == 0) break;
    if (part.text.size() + count > kBufferedMax)
      co_return Error{Errc::invalid_argument, "an answer of unknown length is over 8 MiB"};
    part.text.append(wire::as_text(wire::View(piece).first(count)));
  }
  reply.body.push_back(std::move(part));
  co_return reply;
}

// Used on the origins' thread, but for its end. Holds nothing of Asio, since clients hold it.
struct Origins::Flight {
  Flight(std::shared_ptr<const RulesVersion> version, const rules::RuleSet& from_set,
         const rules::Origin& from, const std::shared_ptr<asio::steady_timer>& timer)
      : keep_alive(std::move(version)),
        set(from_set),
        origin(from),
        changed(timer),
        arriving([weak = changed] {
          if (const auto alive = weak.lock()) alive->cancel();
        }) {}

  const std::shared_ptr<const RulesVersion> keep_alive; // of both:
  const rules::RuleSet& set;
  const rules::Origin& origin;
  std::string key;        // among the flights
  std::string absent_key; // among what origins do not have
  std::string target;
  std::string host;
  std::string path;
  std::shared_ptr<Counters> counters;
  std::optional<Inflight> inflight;
  // Cancelled with every change, which wakes all who wait. Owned by fly(): gone when it has ended.
  std::weak_ptr<asio::steady_timer> changed;
  Arriving arriving;
  std::optional<Result<wire::AliasRow>> result; // set at the end
};

Origins::Origins(asio::io_context& context, LiveRules& live, ObjectKeeper& keeper)
    : context_(context), live_(live), keeper_(keeper), disk_("origins", 4) {}

std::map<std::string, std::shared_ptr<Origins::Counters>> Origins::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

std::shared_ptr<Origins::Counters> Origins::counters_of(const rules::RuleSet& set,
                                                        const rules::Origin& origin) {
  const std::lock_guard lock(mutex_);
  auto& counters = counters_[set.name + "/" + origin.name];
  if (!counters) counters = std::make_shared<Counters>();
  return counters;
}

bool Origins::is_absent(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto found = absent_.find(key);
  if (found == absent_.end()) return false;
  if (steady_clock::now() < found->second) return true;
  absent_.erase(found);
  return false;
}

void Origins::note_absent(const std::string& key, std::chrono::seconds ttl) {
  if (ttl.count() == 0) return;
  const std::lock_guard lock(mutex_);
  if (absent_.size() >= kAbsentMax) {
    const auto now = steady_clock::now();
    std::erase_if(absent_, [now](const auto& one) { return one.second <= now; });
    // All still count: whoever asks again asks the origin again.
    if (absent_.size() >= kAbsentMax) absent_.clear();
  }
  absent_[key] = steady_clock::now() + ttl;
}

Task<Result<wire::AliasRow>> Origins::fetch(Flight& flight) {
  const rules::Origin& origin = flight.origin;
  wire::AliasRow row;
  row.host = flight.host;
  row.path = flight.path;
  Result<std::string> name{Errc::unavailable};
  if (origin.kind == rules::OriginKind::file) {
    auto open = [&flight] { return open_below(flight.origin.root, flight.target); };
    CAIRN_CO_TRY(file, co_await disk_.run(std::move(open)));
    if (file.mtime > 0) row.mtime = static_cast<std::uint64_t>(file.mtime);
    flight.arriving.begin(file.size, row.mtime);
    FileBody body(disk_, std::move(file), origin.verify);
    name = co_await keeper_.keep(extension_of(row.path), origin.size_max, body, flight.arriving);
  } else {
    HttpAsk ask;
    ask.target = rules::escape_path(flight.target);
    CAIRN_CO_TRY(call, co_await ask_origin(origin, std::move(ask)));
    if (call.status() == 404 || call.status() == 410) co_return Error{Errc::not_found};
    if (call.status() != 200)
      co_return Error{Errc::unavailable, "the origin answered " + std::to_string(call.status())};
    if (const auto time = parse_http_date(call.header("Last-Modified"), std::time(nullptr));
        time && *time > 0)
      row.mtime = static_cast<std::uint64_t>(*time);
    flight.arriving.begin(call.length(), row.mtime);
    HttpBody body(call, origin.verify);
    name = co_await keeper_.keep(extension_of(row.path), origin.size_max, body, flight.arriving);
  }
  if (!name) co_return std::move(name).error();
  ++flight.counters->stored;
  flight.counters->bytes += flight.arriving.size();
  row.target = "id:" + keeper_.group() + "/" + *name;
  co_return co_await live_.add_alias(std::move(row));
}

Task<void> Origins::fly(std::shared_ptr<Flight> flight,
                        std::shared_ptr<asio::steady_timer> changed) {
  auto result = co_await fetch(*flight);
  if (result.code() == Errc::not_found) {
    ++flight->counters->absent;
    note_absent(flight->absent_key, flight->origin.not_found_ttl);
  } else if (!result) {
    ++flight->counters->failed;
    log().warn("pull failed origin={}/{} error={}", flight->set.name, flight->origin.name,
               result.error().text());
  }
  if (!result) flight->arriving.fail(result.error());
  flight->inflight.reset();
  flight->result = std::move(result);
  flights_.erase(flight->key);
  changed->cancel();
}

Task<Result<Origins::Pulled>> Origins::pull_here(std::shared_ptr<const RulesVersion> keep_alive,
                                                 const rules::RuleSet& set,
                                                 const rules::Origin& origin, std::string target,
                                                 std::string host, std::string path, bool stored) {
  Pulled pulled;
  // Another pull may have ended since the name was looked for: then this is known here.
  if (auto row = co_await live_.alias(host, path); row && !row->target.empty()) {
    pulled.row = *std::move(row);
    co_return pulled;
  }
  std::string key = set.name + "/" + origin.name + '\0' + host + '\0' + path;
  std::shared_ptr<Flight> flight;
  if (const auto found = flights_.find(key); found != flights_.end()) {
    flight = found->second;
  } else {
    std::string absent_key = set.name + "/" + origin.name + '\0' + target;
    const auto counters = counters_of(set, origin);
    if (is_absent(absent_key)) {
      ++counters->absent;
      co_return Error{Errc::not_found};
    }
    auto timer = std::make_shared<asio::steady_timer>(context_);
    timer->expires_at(asio::steady_timer::time_point::max());
    flight = std::make_shared<Flight>(std::move(keep_alive), set, origin, timer);
    flight->inflight.emplace(counters, origin.inflight);
    if (!flight->inflight->took()) co_return Error{Errc::busy, "too many requests to the origin"};
    flight->key = key;
    flight->absent_key = std::move(absent_key);
    flight->target = std::move(target);
    flight->host = std::move(host);
    flight->path = std::move(path);
    flight->counters = counters;
    flights_[std::move(key)] = flight;
    ++counters->pulls;
    // On its own: it goes on when its clients leave.
    spawn(context_.get_executor(), fly(flight, std::move(timer)), "storage.origins");
  }
  const auto changed = flight->changed.lock();
  while (!flight->result) {
    if (!changed) co_return Error{Errc::unavailable, "the pull has ended"};
    if (!stored && flight->arriving.can_be_sent()) {
      pulled.length = *flight->arriving.length();
      pulled.mtime = flight->arriving.mtime();
      pulled.flight = std::move(flight);
      co_return pulled;
    }
    co_await changed->async_wait(as_result);
  }
  if (!*flight->result) co_return flight->result->error();
  pulled.row = **flight->result;
  co_return pulled;
}

Task<Result<Origins::Pulled>> Origins::pull(std::shared_ptr<const RulesVersion> keep_alive,
                                            const rules::RuleSet& set, const rules::Origin& origin,
                                            std::string target, std::string host, std::string path,
                                            bool stored) {
  Task<Result<Pulled>> pulling = pull_here(std::move(keep_alive), set, origin, std::move(target),
                                           std::move(host), std::move(path), stored);
  co_return co_await run_on(context_, std::move(pulling));
}

Task<Result<Arriving::Part>> Origins::next_part(std::shared_ptr<Flight> flight,
                                                std::uint64_t offset, std::uint64_t max) {
  const auto changed = flight->changed.lock();
  for (;;) {
    CAIRN_CO_TRY(part, flight->arriving.look(offset, max));
    if (part) co_return *std::move(part);
    if (!changed) co_return Error{Errc::unavailable, "the pull has ended"};
    co_await changed->async_wait(as_result);
  }
}

Task<Status> Origins::send(std::shared_ptr<Flight> flight, Connection& to,
                           std::chrono::milliseconds write_timeout, std::uint64_t offset,
                           std::uint64_t length) {
  while (length > 0) {
    Task<Result<Arriving::Part>> next = next_part(flight, offset, std::min(length, kSendMax));
    to.clear_deadline();
    CAIRN_CO_TRY(part, co_await run_on(context_, std::move(next)));
    to.set_write_timeout(write_timeout);
    if (part.fd) {
      CAIRN_CO_RETURN_IF_ERROR(co_await send_file_cached(to, disk_, *part.fd, offset, part.count));
    } else {
      CAIRN_CO_RETURN_IF_ERROR(co_await to.write(part.bytes));
    }
    offset += part.count;
    length -= part.count;
  }
  co_return Status();
}

Task<Result<HttpReply>> Origins::pass_through(
    [[maybe_unused]] std::shared_ptr<const RulesVersion> keep_alive, const rules::RuleSet& set,
    const rules::Origin& origin, std::string raw_target, const HttpRequest& request,
    bool any_status) {
  const std::string absent_key = set.name + "/" + origin.name + '\0' + raw_target;
  const auto counters = counters_of(set, origin);
  if (!any_status && is_absent(absent_key)) {
    ++counters->absent;
    co_return Error{Errc::not_found};
  }
  const Inflight inflight(counters, origin.inflight);
  if (!inflight.took()) co_return Error{Errc::busy, "too many requests to the origin"};
  ++counters->pulls;
  if (origin.kind == rules::OriginKind::file) {
    auto path = percent_decode(raw_target);
    if (!path) co_return Error{Errc::not_found};
    auto open = [&origin, &path] { return open_below(origin.root, *path); };
    auto file = co_await disk_.run(std::move(open));
    if (file.code() == Errc::not_found) note_absent(absent_key, origin.not_found_ttl);
    if (!file) {
      ++(file.code() == Errc::not_found ? counters->absent : counters->failed);
      co_return std::move(file).error();
    }
    HttpReply reply;
    reply.headers.emplace_back("Last-Modified", format_http_date(file->mtime));
    HttpBodyPart part;
    part.fd = file->fd;
    part.length = file->size;
    part.disk = &disk_;
    reply.body.push_back(std::move(part));
    ++counters->passed;
    counters->bytes += file->size;
    co_return reply;
  }
  HttpAsk ask;
  ask.method = request.head ? "HEAD" : "GET";
  ask.target = std::move(raw_target);
  for (const std::string_view name :
       {"Range", "If-Range", "If-None-Match", "If-Modified-Since", "If-Match",
        "If-Unmodified-Since", "Referer", "Accept", "User-Agent"}) {
    const std::string_view value = request.header(name);
    if (!value.empty()) ask.headers.emplace_back(name, value);
  }
  auto call = co_await ask_origin(origin, std::move(ask));
  if (!call) {
    ++counters->failed;
    co_return std::move(call).error();
  }
  const int status = call->status();
  if (!any_status) {
    if (status == 404 || status == 410) {
      ++counters->absent;
      note_absent(absent_key, origin.not_found_ttl);
      co_return Error{Errc::not_found};
    }
    if (status != 200 && status != 206 && status != 304 && status != 416)
      co_return Error{Errc::unavailable, "the origin answered " + std::to_string(status)};
  }
  ++counters->passed;
  if (call->length()) counters->bytes += *call->length();
  co_return co_await pass_on(*std::move(call), request.head);
}

} // namespace cairn::storage
