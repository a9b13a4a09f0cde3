// Writing and checking the audit log.
#include "common/auth/audit.h"

#include "common/auth/crypto.h"
#include "common/base/text.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <fstream>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace cairn::auth {

namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::uint64_t kFileMax = 64 << 20;
constexpr std::size_t kTextMax = 1024;
constexpr std::string_view kPrefix = "audit-";
constexpr std::string_view kSuffix = ".log";
const std::string kNoHash(64, '0');

std::string dump(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string hash_of(const json& without_hash) {
  return hex_encode(sha256(wire::as_view(dump(without_hash))));
}

std::string cut(const std::string& text) {
  return text.substr(0, kTextMax);
}

// In the order of their first line.
Result<std::vector<fs::path>> files_of(const fs::path& directory) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kPrefix) && name.ends_with(kSuffix)) files.push_back(entry.path());
  }
  if (error) return Error{Errc::io_error, directory.string() + ": " + error.message()};
  std::sort(files.begin(), files.end());
  return files;
}

// What one line says, if its own hash holds; nullopt otherwise.
std::optional<json> parse_line(const std::string& text) {
  json line = json::parse(text, nullptr, false);
  if (!line.is_object() || !line.contains("hash") || !line["hash"].is_string() ||
      !line.contains("prev") || !line["prev"].is_string() || !line.contains("seq") ||
      !line["seq"].is_number_unsigned())
    return std::nullopt;
  json without = line;
  without.erase("hash");
  // The same bytes as were written: nothing beside the JSON, no other order or spaces.
  if (dump(line) != text || hash_of(without) != line["hash"].get<std::string>())
    return std::nullopt;
  return line;
}

} // namespace

std::filesystem::path AuditLog::directory_of(const std::filesystem::path& base_path) {
  return base_path / "data" / "audit";
}

AuditLog::~AuditLog() {
  if (fd_ >= 0) ::close(fd_);
}

Result<std::unique_ptr<AuditLog>> AuditLog::open(const std::filesystem::path& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) return Error{Errc::io_error, directory.string() + ": " + error.message()};
  std::unique_ptr<AuditLog> log(new AuditLog(directory));
  log->hash_ = kNoHash;
  CAIRN_TRY(files, files_of(directory));
  if (files.empty()) return log;

  // Only the end is looked at: reading all of it is for `cairn audit`.
  const fs::path& last = files.back();
  std::ifstream in(last, std::ios::binary);
  std::string text;
  std::string line;
  std::uint64_t whole = 0;
  while (std::getline(in, line)) {
    // Without a line end it was cut by a crash: it was never complete.
    if (in.eof()) break;
    whole += line.size() + 1;
    text = line;
  }
  if (whole == 0) {
    // A crash between making the file and its first line: that file is begun anew.
    fs::remove(last, error);
    return open(directory);
  }
  const auto parsed = parse_line(text);
  if (!parsed)
    return Error{Errc::corrupt, last.string() +
                                    ": the last line is damaged; `cairn audit` tells "
                                    "where, then move the directory away"};
  log->seq_ = (*parsed)["seq"].get<std::uint64_t>();
  log->hash_ = (*parsed)["hash"].get<std::string>();
  log->fd_ = ::open(last.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (log->fd_ < 0 || ::ftruncate(log->fd_, static_cast<off_t>(whole)) != 0)
    return errno_error("open " + last.string(), errno);
  log->size_ = whole;
  return log;
}

Status AuditLog::begin_file() {
  std::string number = std::to_string(seq_ + 1);
  number.insert(0, 12 - std::min<std::size_t>(12, number.size()), '0');
  std::string name(kPrefix);
  name.append(number).append(kSuffix);
  const fs::path file = directory_ / name;
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (fd < 0) return errno_error("create " + file.string(), errno);
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
  size_ = 0;
  return {};
}

Status AuditLog::append(const AuditEvent& event) {
  const std::lock_guard lock(mutex_);
  if (fd_ < 0 || size_ >= kFileMax) CAIRN_RETURN_IF_ERROR(begin_file());
  json line{{"seq", seq_ + 1},
            {"time", static_cast<std::int64_t>(std::time(nullptr))},
            {"who", cut(event.who)},
            {"from", cut(event.from)},
            {"what", cut(event.what)},
            {"object", cut(event.object)},
            {"result", cut(event.result)},
            {"prev", hash_}};
  // As it will be read back: what is no UTF-8 was replaced.
  line = json::parse(dump(line));
  std::string hash = hash_of(line);
  line["hash"] = hash;
  const std::string text = dump(line) + "\n";
  const ssize_t written = ::write(fd_, text.data(), text.size());
  if (written != static_cast<ssize_t>(text.size())) {
    const int error = written < 0 ? errno : ENOSPC;
    // Half a line would break the chain.
    if (::ftruncate(fd_, static_cast<off_t>(size_)) != 0) return errno_error("audit log", errno);
    return errno_error("audit log", error);
  }
  size_ += text.size();
  ++seq_;
  hash_ = std::move(hash);
  return {};
}

Result<AuditEnd> read_audit_log(const std::filesystem::path& directory,
                                const std::function<void(std::string_view)>& each) {
  CAIRN_TRY(files, files_of(directory));
  if (files.empty()) return Error{Errc::not_found, "no audit log in " + directory.string()};
  AuditEnd end;
  end.hash = kNoHash;
  for (const fs::path& file : files) {
    std::ifstream in(file, std::ios::binary);
    if (!in) return errno_error("open " + file.string(), errno);
    std::string text;
    for (std::uint64_t number = 1; std::getline(in, text); ++number) {
      // The daemon is writing this line, or a crash has cut it: it is not there yet.
      if (in.eof() && file == files.back()) break;
      const auto line = parse_line(text);
      // The oldest files may have been taken away: the first line left says where it begins.
      const bool first = end.lines == 0;
      if (!line || (!first && ((*line)["prev"].get<std::string>() != end.hash ||
                               (*line)["seq"].get<std::uint64_t>() != end.seq + 1)))
        return Error{Errc::corrupt,
                     file.string() + ":" + std::to_string(number) + ": the chain breaks here"};
      if (first && (*line)["seq"].get<std::uint64_t>() == 1 &&
          (*line)["prev"].get<std::string>() != kNoHash)
        return Error{Errc::corrupt, file.string() + ":1: the chain breaks here"};
      end.seq = (*line)["seq"].get<std::uint64_t>();
      end.hash = (*line)["hash"].get<std::string>();
      ++end.lines;
      if (each) each(text);
    }
  }
  return end;
}

} // namespace cairn::auth
