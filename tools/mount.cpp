// cairn mount stats: what a mount on this machine counts, told by its cairn-mount.
#include "tools/mount.h"

#include "common/base/text.h"

#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/xattr.h>

namespace cairn::tools {

namespace {

// As fuse/statistics.h names it; an attribute is at most so long on Linux.
constexpr const char* kAttribute = "user.cairn.stats";
constexpr std::size_t kAttributeMax = 64 * 1024;

} // namespace

nlohmann::json metrics_document(std::string_view text) {
  nlohmann::json out = nlohmann::json::object();
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    const std::size_t space = line.rfind(' ');
    if (line.empty() || line.front() == '#' || space == std::string_view::npos) continue;
    const std::string number(line.substr(space + 1));
    const auto whole = parse_u64(number); // a double would round large ones
    char* rest = nullptr;
    const double value = std::strtod(number.c_str(), &rest);
    if (rest == number.c_str()) continue;
    const std::string_view sample = line.substr(0, space);
    const std::size_t brace = sample.find('{');
    nlohmann::json* place = &out[std::string(sample.substr(0, brace))];
    if (brace != std::string_view::npos) {
      const std::size_t open = sample.find('"', brace);
      const std::size_t close = sample.find('"', open + 1);
      if (open == std::string_view::npos || close == std::string_view::npos) continue;
      place = &(*place)[std::string(sample.substr(open + 1, close - open - 1))];
    }
    if (whole)
      *place = *whole;
    else
      *place = value;
  }
  return out;
}

int run_mount_stats(Context& context, const MountStatsArgs& args) {
  const std::string what = "mount stats " + args.directory.string();
  std::string text(kAttributeMax, '\0');
  const ssize_t size = ::getxattr(args.directory.c_str(), kAttribute, text.data(), text.size());
  if (size < 0) {
    const int number = errno;
    if (number == ENODATA || number == EOPNOTSUPP)
      return context.fail(what, Error{Errc::not_found, "nothing is mounted there by cairn-mount"});
    return context.fail(what, errno_error(args.directory.string(), number));
  }
  text.resize(static_cast<std::size_t>(size));
  if (context.json())
    context.answer_json(metrics_document(text));
  else
    std::fwrite(text.data(), 1, text.size(), stdout);
  return kGood;
}

} // namespace cairn::tools
