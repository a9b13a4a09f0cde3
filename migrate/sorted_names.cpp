// Runs and their merge.
#include "migrate/sorted_names.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace cairn::migrate {

namespace {

// What a short string in a vector costs besides its bytes.
constexpr std::size_t kNameCost = 48;

// A run on disk: for each name its type, its length in two bytes, its bytes.
Result<bool> read_name(std::FILE* run, std::pair<std::string, std::uint8_t>& out) {
  unsigned char head[3];
  const std::size_t got = std::fread(head, 1, sizeof head, run);
  if (got == 0 && std::feof(run) != 0) return false;
  out.second = head[0];
  out.first.resize(std::size_t{head[1]} << 8 | head[2]);
  if (got != sizeof head ||
      std::fread(out.first.data(), 1, out.first.size(), run) != out.first.size())
    return Error{Errc::io_error, "a list of names on disk is cut short"};
  return true;
}

} // namespace

SortedNames::SortedNames(std::size_t bytes_max, std::filesystem::path folder)
    : bytes_max_(bytes_max), folder_(std::move(folder)) {}

Status SortedNames::add(std::string_view name, std::uint8_t type) {
  if (bytes_ > bytes_max_) CAIRN_RETURN_IF_ERROR(spill());
  names_.emplace_back(name, type);
  bytes_ += kNameCost + (name.size() < sizeof(std::string) / 2 ? 0 : name.size());
  ++count_;
  return {};
}

Status SortedNames::spill() {
  std::ranges::sort(names_);
  const int fd = ::open(folder_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  std::FILE* file = fd >= 0 ? ::fdopen(fd, "w+") : nullptr;
  if (file == nullptr) {
    const int cause = errno;
    if (fd >= 0) ::close(fd);
    return errno_error("a temporary file in " + folder_.string(), cause);
  }
  runs_.emplace_back(file, &std::fclose);
  for (const auto& [name, type] : names_) {
    const unsigned char head[3] = {type, static_cast<unsigned char>(name.size() >> 8),
                                   static_cast<unsigned char>(name.size() & 0xFF)};
    std::fwrite(head, 1, sizeof head, file);
    std::fwrite(name.data(), 1, name.size(), file);
  }
  if (std::fflush(file) != 0 || std::ferror(file) != 0)
    return errno_error("a temporary file in " + folder_.string(), errno);
  std::rewind(file);
  names_.clear();
  bytes_ = 0;
  return {};
}

Status SortedNames::each(
    const std::function<Status(const std::string& name, std::uint8_t type)>& visit) {
  std::ranges::sort(names_);
  if (runs_.empty()) {
    for (const auto& [name, type] : names_) CAIRN_RETURN_IF_ERROR(visit(name, type));
    return {};
  }
  if (!names_.empty()) CAIRN_RETURN_IF_ERROR(spill());
  struct Front {
    Name name;
    std::size_t run;
  };
  const auto later = [](const Front& a, const Front& b) { return a.name > b.name; };
  std::vector<Front> fronts;
  for (std::size_t run = 0; run < runs_.size(); ++run) {
    Front front{{}, run};
    CAIRN_TRY(there, read_name(runs_[run].get(), front.name));
    if (there) fronts.push_back(std::move(front));
  }
  std::ranges::make_heap(fronts, later);
  while (!fronts.empty()) {
    std::ranges::pop_heap(fronts, later);
    Front& least = fronts.back();
    CAIRN_RETURN_IF_ERROR(visit(least.name.first, least.name.second));
    CAIRN_TRY(there, read_name(runs_[least.run].get(), least.name));
    if (there)
      std::ranges::push_heap(fronts, later);
    else
      fronts.pop_back();
  }
  return {};
}

} // namespace cairn::migrate
