// mount(8)'s habits, and ours.
#include "fuse/options.h"

#include "common/base/text.h"

#include <algorithm>
#include <array>
#include <utility>

namespace cairn::fuse {

namespace {

// For mount(8), fstab and systemd, or without meaning here: nothing is to be done.
constexpr std::array<std::string_view, 30> kIgnored{"rw",
                                                    "defaults",
                                                    "auto",
                                                    "noauto",
                                                    "user",
                                                    "nouser",
                                                    "users",
                                                    "owner",
                                                    "group",
                                                    "_netdev",
                                                    "nofail",
                                                    "atime",
                                                    "diratime",
                                                    "relatime",
                                                    "norelatime",
                                                    "strictatime",
                                                    "nostrictatime",
                                                    "lazytime",
                                                    "nolazytime",
                                                    "mand",
                                                    "nomand",
                                                    "iversion",
                                                    "noiversion",
                                                    "silent",
                                                    "loud",
                                                    "nodiratime",
                                                    "async",
                                                    "default_permissions",
                                                    "nosymfollow",
                                                    "symfollow"};
// What the kernel is to do.
constexpr std::array<std::string_view, 9> kPassed{"nosuid", "suid", "nodev",   "dev",    "noexec",
                                                  "exec",   "sync", "dirsync", "noatime"};

constexpr std::string_view kHelp =
    R"(usage: cairn-mount [-f] [-o OPTIONS] TRACKER[,TRACKER...][:/EXPORT[/PATH]] DIRECTORY

Mounts an export of a Cairn cluster, or a directory of one; without a path all exports.
The program goes to the background once the mount answers. `umount DIRECTORY` ends it.
TRACKER is HOST[:PORT]; it may be empty (":/EXPORT") when -o conf= or the environment names it.

  -f              stay in the foreground, with messages on standard error
  -o OPTIONS      separated by commas, may be repeated
  -r, -w          -o ro, -o rw
  -h, --help      this text
  -V, --version   the version

options of Cairn:
  conf=FILE       client.conf with trackers and credentials (or CAIRN_CONF in the environment;
                  CAIRN_TRACKER names trackers)
  hard            operations wait for a cluster that does not answer; signals end them (default)
  soft            they fail with EIO after the time-out
  timeout=SEC     that time-out (30)
  cache=SEC       how long the kernel may keep names and attributes (10); changes made elsewhere
                  are told to it at once, this is only the limit when that fails; 0: not at all
  ro              read-only
  uid=N, gid=N    owner and group that everything seems to have
  umask=OCTAL     permission bits that nothing seems to have
  acl             POSIX access control lists
  writeback       the kernel gathers small writes; for files that one machine writes
  allow_other     other users may use the mount (always, when root mounts)
  suid, dev       set-ID bits and device nodes count; without them nosuid,nodev

Options of mount(8) and FUSE (rw exec atime and their opposites, default_permissions,
max_read=, fsname=, subtype=, _netdev, nofail, noauto, x-...) are accepted.
)";

Error bad(std::string what) {
  return Error{Errc::invalid_argument, std::move(what)};
}

Result<std::chrono::milliseconds> seconds_of(std::string_view name, std::string_view value) {
  const auto number = parse_u64(value);
  if (!number || *number > 1'000'000)
    return bad("-o " + std::string(name) + "= takes seconds, not '" + std::string(value) + "'");
  return std::chrono::milliseconds(*number * 1000);
}

Result<std::uint32_t> id_of(std::string_view name, std::string_view value) {
  const auto number = parse_u64(value);
  if (!number || *number >= UINT32_MAX)
    return bad("-o " + std::string(name) + "= takes a number, not '" + std::string(value) + "'");
  return static_cast<std::uint32_t>(*number);
}

Result<std::uint32_t> octal_of(std::string_view value) {
  std::uint32_t out = 0;
  const bool good = !value.empty() && value.size() <= 4 &&
                    std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '7'; });
  if (!good) return bad("-o umask= takes an octal number, not '" + std::string(value) + "'");
  for (const char c : value) out = out * 8 + static_cast<std::uint32_t>(c - '0');
  if (out > 0777) return bad("-o umask= is at most 0777");
  return out;
}

// Commas separate options, but for those behind a backslash (as in fsname=).
std::vector<std::string> split_options(std::string_view text) {
  std::vector<std::string> out(1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size())
      out.back() += text[++i];
    else if (text[i] == ',')
      out.emplace_back();
    else
      out.back() += text[i];
  }
  std::erase(out, std::string());
  return out;
}

void escape(std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == ',' || c == '\\') out += '\\';
    out += c;
  }
  text = std::move(out);
}

class Reader {
public:
  Reader(MountOptions& out, bool sloppy) : out_(out), sloppy_(sloppy) {}

  Status take(const std::string& option) {
    const std::size_t equals = option.find('=');
    const std::string name = option.substr(0, equals);
    const bool has_value = equals != std::string::npos;
    const std::string value = has_value ? option.substr(equals + 1) : std::string();
    if (name.starts_with("x-") || name.starts_with("X-") || name == "comment") return {};
    return has_value ? take_value(name, value, option) : take_flag(name);
  }

private:
  Status unknown(const std::string& option) const {
    if (sloppy_) return {};
    return bad("unknown option '" + option + "'; see cairn-mount --help");
  }

  Status take_flag(const std::string& name) {
    if (name == "rw") out_.read_only = false;
    if (std::ranges::find(kIgnored, name) != kIgnored.end()) return {};
    if (std::ranges::find(kPassed, name) != kPassed.end()) {
      out_.kernel.push_back(name);
    } else if (name == "ro") {
      out_.read_only = true;
    } else if (name == "soft") {
      out_.soft = true;
    } else if (name == "hard") {
      out_.soft = false;
    } else if (name == "writeback") {
      out_.writeback = true;
    } else if (name == "acl") {
      out_.acl = true;
    } else if (name == "allow_other" || name == "allow_root") {
      // libfuse 3 checks the latter itself.
      out_.kernel.push_back(name);
    } else if (name == "remount") {
      return bad("a mount cannot be changed: unmount it and mount it again");
    } else {
      return unknown(name);
    }
    return {};
  }

  Status take_value(const std::string& name, const std::string& value, const std::string& option) {
    if (name == "timeout") {
      CAIRN_TRY(time, seconds_of(name, value));
      if (time.count() == 0) return bad("-o timeout= is at least 1");
      out_.timeout = time;
    } else if (name == "cache") {
      CAIRN_TRY(time, seconds_of(name, value));
      // Longer than the lease nothing may be believed.
      out_.cache = std::min<std::chrono::milliseconds>(time, std::chrono::seconds(10));
    } else if (name == "conf") {
      out_.conf = value;
    } else if (name == "uid") {
      CAIRN_TRY(id, id_of(name, value));
      out_.uid = id;
    } else if (name == "gid") {
      CAIRN_TRY(id, id_of(name, value));
      out_.gid = id;
    } else if (name == "umask") {
      CAIRN_TRY(mask, octal_of(value));
      out_.umask = mask;
    } else if (name == "fsname" || name == "subtype") {
      std::erase_if(out_.kernel, [&](const std::string& o) { return o.starts_with(name + "="); });
      std::string text = value;
      escape(text);
      out_.kernel.push_back(name + "=" + text);
    } else if (name == "max_read") {
      CAIRN_TRY(size, id_of(name, value));
      out_.kernel.push_back(name + "=" + std::to_string(size));
    } else if (name == "context" || name == "fscontext" || name == "defcontext" ||
               name == "rootcontext" || name == "blksize" || name == "retry" || name == "uhelper" ||
               name == "helper") {
      return {}; // of others
    } else {
      return unknown(option);
    }
    return {};
  }

  MountOptions& out_;
  bool sloppy_;
};

Status read_source(const std::string& source, MountOptions& out) {
  const std::size_t colon = source.find(":/");
  const std::string trackers = source.substr(0, colon);
  if (!trackers.empty()) {
    CAIRN_TRY(parsed, parse_trackers(trackers));
    out.trackers = std::move(parsed);
  }
  if (colon == std::string::npos) return {};
  std::string path = source.substr(colon + 2);
  while (path.starts_with('/')) path.erase(0, 1);
  while (path.ends_with('/')) path.pop_back();
  const std::size_t slash = path.find('/');
  out.export_name = path.substr(0, slash);
  if (slash != std::string::npos) out.path = path.substr(path.find_first_not_of('/', slash));
  return {};
}

} // namespace

Result<MountOptions> parse_mount_options(const std::vector<std::string>& arguments,
                                         const std::function<const char*(const char*)>& environment,
                                         bool root) {
  MountOptions out;
  std::vector<std::string> places;
  std::vector<std::string> options;
  bool sloppy = false;
  const std::string name = std::filesystem::path(arguments.at(0)).filename().string();
  const bool helper = name.starts_with("mount.");
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--help") {
      out.help = true;
    } else if (argument == "--version") {
      out.version = true;
    } else if (argument == "--") {
      places.insert(places.end(), arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                    arguments.end());
      break;
    } else if (argument.size() < 2 || argument[0] != '-') {
      places.push_back(argument);
    } else {
      // Short flags may stand together; -o, -t and -N take the rest or what follows.
      for (std::size_t at = 1; at < argument.size(); ++at) {
        const char flag = argument[at];
        if (flag == 'o' || flag == 't' || flag == 'N') {
          std::string value = argument.substr(at + 1);
          if (value.empty()) {
            if (++i >= arguments.size()) return bad("-o, -t and -N need a value");
            value = arguments[i];
          }
          if (flag == 'o') {
            const auto more = split_options(value);
            options.insert(options.end(), more.begin(), more.end());
          }
          break;
        }
        if (flag == 'f')
          (helper ? out.fake : out.foreground) = true;
        else if (flag == 'r')
          options.emplace_back("ro");
        else if (flag == 'w')
          options.emplace_back("rw");
        else if (flag == 'h')
          out.help = true;
        else if (flag == 'V')
          out.version = true;
        else if (flag == 's')
          sloppy = true;
        else if (flag != 'n' && flag != 'v')
          return bad("unknown flag '" + argument + "'; see cairn-mount --help");
      }
    }
  }
  if (out.help || out.version) return out;
  if (places.size() != 2)
    return bad("needs what to mount, and a directory; see cairn-mount --help");
  out.source = places[0];
  out.directory = places[1];
  std::string fsname = out.source;
  escape(fsname);
  out.kernel.push_back("fsname=" + fsname);
  out.kernel.emplace_back("subtype=cairn");
  Reader reader(out, sloppy);
  for (const std::string& option : options) CAIRN_RETURN_IF_ERROR(reader.take(option));
  CAIRN_RETURN_IF_ERROR(read_source(out.source, out));
  if (out.conf.empty() && out.trackers.empty()) {
    const char* conf = environment("CAIRN_CONF");
    const char* trackers = environment("CAIRN_TRACKER");
    if (conf != nullptr) out.conf = conf;
    if (trackers != nullptr && *trackers != '\0') {
      CAIRN_TRY(parsed, parse_trackers(trackers));
      out.trackers = std::move(parsed);
    }
  } else if (out.conf.empty()) {
    // Trackers are named; credentials may still come from the environment.
    const char* conf = environment("CAIRN_CONF");
    if (conf != nullptr) out.conf = conf;
  }
  if (out.conf.empty() && out.trackers.empty())
    return bad(
        "no tracker is named: HOST[:PORT] before :/EXPORT, -o conf=FILE, CAIRN_TRACKER or "
        "CAIRN_CONF");
  if (out.read_only) out.kernel.emplace_back("ro");
  if (root && std::ranges::find(out.kernel, "allow_other") == out.kernel.end() &&
      std::ranges::find(out.kernel, "allow_root") == out.kernel.end())
    out.kernel.emplace_back("allow_other");
  out.kernel.emplace_back("default_permissions");
  return out;
}

std::string_view mount_help() {
  return kHelp;
}

} // namespace cairn::fuse
