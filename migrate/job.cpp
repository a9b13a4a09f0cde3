// Folders of jobs.
#include "migrate/job.h"

#include "common/base/durable_file.h"
#include "common/base/text.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <fstream>
#include <thread>
#include <unistd.h>

namespace cairn::migrate {

namespace {

namespace fs = std::filesystem;

// How long is waited for a process that only looks into the ledger, and how often it is tried.
constexpr std::chrono::seconds kReadersTime{5};
constexpr std::chrono::milliseconds kReadersLook{20};

// A lock that belongs to the open file, not to the process.
struct flock whole_file() {
  struct flock out {};
  out.l_type = F_WRLCK;
  out.l_whence = SEEK_SET;
  return out;
}

Status check_name(const std::string& name) {
  const bool plain = !name.empty() && name.size() <= 100 && name.front() != '.' &&
                     std::ranges::all_of(name, [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
                     });
  if (plain) return {};
  return Error{Errc::invalid_argument,
               "'" + name + "' is no name of a job: letters, digits, '-', '_' and '.'"};
}

// Paths are bytes; JSON is not.
nlohmann::json bytes_of(const std::string& text) {
  if (is_plain_text(text)) return text;
  return std::vector<unsigned char>(text.begin(), text.end());
}

std::string text_of(const nlohmann::json& value) {
  if (value.is_string()) return value.get<std::string>();
  const auto bytes = value.get<std::vector<unsigned char>>();
  return {bytes.begin(), bytes.end()};
}

} // namespace

fs::path Job::state_folder(const fs::path& given) {
  if (!given.empty()) return given;
  if (const char* set = std::getenv("CAIRN_STATE"); set != nullptr && *set != '\0') return set;
  const fs::path system = "/var/lib/cairn/migrate";
  std::error_code ignored;
  fs::create_directories(system, ignored);
  if (::access(system.c_str(), W_OK) == 0) return system;
  if (const char* xdg = std::getenv("XDG_STATE_HOME"); xdg != nullptr && *xdg != '\0')
    return fs::path(xdg) / "cairn/migrate";
  const char* home = std::getenv("HOME");
  return fs::path(home == nullptr ? "." : home) / ".local/state/cairn/migrate";
}

Result<Job> Job::make(const fs::path& state, const std::string& name, JobDescription description) {
  CAIRN_RETURN_IF_ERROR(check_name(name));
  Job job(name, state / name);
  if (fs::exists(job.folder_ / "job.json")) return Error{Errc::exists, "job " + name};
  std::error_code failure;
  fs::create_directories(job.spill_folder(), failure);
  if (failure) return errno_error("cannot make " + job.folder_.string(), failure.value());
  job.description_ = std::move(description);
  job.description_.id = uuid_v4();
  job.description_.created = std::time(nullptr);
  CAIRN_RETURN_IF_ERROR(job.save());
  return job;
}

Result<Job> Job::load(const fs::path& state, const std::string& name) {
  CAIRN_RETURN_IF_ERROR(check_name(name));
  Job job(name, state / name);
  auto text = read_small_file(job.folder_ / "job.json", std::size_t{64} << 20);
  if (text.code() == Errc::not_found)
    return Error{Errc::not_found, "there is no job " + name + " in " + state.string()};
  if (!text) return std::move(text).error();
  try {
    const auto from = nlohmann::json::parse(*text);
    JobDescription& to = job.description_;
    to.id = from.at("id");
    to.source = text_of(from.at("source"));
    to.destination = text_of(from.at("destination"));
    to.cluster_uuid = from.at("cluster_uuid");
    CAIRN_TRY(options, options_from_json(from.at("options")));
    to.options = std::move(options);
    to.created = from.at("created");
    to.runs = from.at("runs");
    to.passes = from.at("passes");
    to.last_pass_begin = from.at("last_pass_begin");
    to.last_pass_end = from.at("last_pass_end");
    to.last_pass_changes = from.at("last_pass_changes");
    to.verified = from.at("verified");
    to.frozen = from.at("frozen");
    to.aborted = from.at("aborted");
  } catch (const nlohmann::json::exception& error) {
    return Error{Errc::corrupt, (job.folder_ / "job.json").string() + ": " + error.what()};
  }
  std::error_code ignored;
  fs::create_directories(job.spill_folder(), ignored);
  return job;
}

Job::Job(Job&& other) noexcept
    : name_(std::move(other.name_)),
      folder_(std::move(other.folder_)),
      description_(std::move(other.description_)),
      lock_(std::exchange(other.lock_, -1)) {}

Job& Job::operator=(Job&& other) noexcept {
  std::swap(name_, other.name_);
  std::swap(folder_, other.folder_);
  std::swap(description_, other.description_);
  std::swap(lock_, other.lock_);
  return *this;
}

Job::~Job() {
  if (lock_ >= 0) ::close(lock_);
}

Status Job::save() const {
  const JobDescription& from = description_;
  nlohmann::json to;
  to["id"] = from.id;
  to["source"] = bytes_of(from.source);
  to["destination"] = bytes_of(from.destination);
  to["cluster_uuid"] = from.cluster_uuid;
  to["options"] = to_json(from.options);
  to["created"] = from.created;
  to["runs"] = from.runs;
  to["passes"] = from.passes;
  to["last_pass_begin"] = from.last_pass_begin;
  to["last_pass_end"] = from.last_pass_end;
  to["last_pass_changes"] = from.last_pass_changes;
  to["verified"] = from.verified;
  to["frozen"] = from.frozen;
  to["aborted"] = from.aborted;
  return durable_write_file(folder_ / "job.json", to.dump(1) + "\n");
}

Status Job::lock() {
  const fs::path file = folder_ / "lock";
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return errno_error(file.string(), errno);
  struct flock whole = whole_file();
  if (::fcntl(fd, F_OFD_SETLK, &whole) != 0) {
    ::close(fd);
    const auto who = holder();
    return Error{Errc::busy, "job " + name_ + " is being worked on" +
                                 (who ? " by process " + std::to_string(*who) : std::string()) +
                                 "; `cairn-migrate pause " + name_ + "` ends that"};
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  static_cast<void>(!::ftruncate(fd, 0));
  static_cast<void>(!::pwrite(fd, pid.data(), pid.size(), 0));
  lock_ = fd;
  return {};
}

std::optional<int> Job::holder() const {
  const fs::path file = folder_ / "lock";
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  // Asks only: to take it for a moment would be in the way of a run that begins.
  struct flock whole = whole_file();
  const bool taken = ::fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
  ::close(fd);
  if (!taken) return {};
  const auto text = read_small_file(file);
  const auto pid = text ? parse_u64(trim(*text)) : Result<std::uint64_t>(Errc::not_found);
  return pid ? static_cast<int>(*pid) : 0;
}

Result<std::unique_ptr<Ledger>> Job::open_ledger() const {
  // A quarter of the memory for LevelDB; the rest is for files on their way and lists of names.
  const auto cache = static_cast<std::size_t>(description_.options.memory / 4);
  auto ledger = Ledger::open(folder_ / "ledger", cache);
  // `status` and `report` have it for a moment, and nobody else where no other process has the job.
  const auto until = std::chrono::steady_clock::now() + kReadersTime;
  while (ledger.code() == Errc::busy && (lock_ >= 0 || !holder()) &&
         std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(kReadersLook);
    ledger = Ledger::open(folder_ / "ledger", cache);
  }
  if (ledger) return ledger;
  Error error = std::move(ledger).error();
  if (const std::string advice = ledger_advice(error); !advice.empty())
    error.detail += "; " + advice;
  return error;
}

Status Job::put_ledger_aside() const {
  std::error_code failure;
  const fs::path aside = folder_ / ("ledger.damaged-" + std::to_string(std::time(nullptr)));
  fs::rename(folder_ / "ledger", aside, failure);
  if (failure && failure.value() != ENOENT)
    return errno_error("cannot put the ledger aside", failure.value());
  return {};
}

std::optional<nlohmann::json> Job::running_status() const {
  if (!holder()) return {};
  const auto text = read_small_file(folder_ / "status.json");
  if (!text) return {};
  auto status = nlohmann::json::parse(*text, nullptr, false);
  if (!status.is_object()) return {};
  return status;
}

void Job::write_status(const nlohmann::json& status) const {
  // Whole or absent for readers; not worth a sync.
  const fs::path file = folder_ / "status.json";
  const fs::path beside = folder_ / "status.json.new";
  {
    std::ofstream out(beside);
    out << status.dump() << "\n";
  }
  std::error_code ignored;
  fs::rename(beside, file, ignored);
}

void Job::ask_to_stop() const {
  std::ofstream(folder_ / "stop") << "\n";
}

bool Job::asked_to_stop() const {
  return ::access((folder_ / "stop").c_str(), F_OK) == 0;
}

void Job::clear_stop() const {
  ::unlink((folder_ / "stop").c_str());
}

} // namespace cairn::migrate
