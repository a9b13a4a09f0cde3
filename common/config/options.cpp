// Applies a configuration file to an aggregate by its option list, and writes samples.
#include "common/config/options.h"

#include "common/base/text.h"

#include <algorithm>
#include <map>
#include <optional>

namespace cairn::config {
namespace {

// The number at the '#' of `pattern` when `key` matches it; 0 when `pattern` has none.
std::optional<int> match_key(std::string_view pattern, std::string_view key) {
  const std::size_t hash = pattern.find('#');
  if (hash == std::string_view::npos) {
    return pattern == key ? std::optional<int>(0) : std::nullopt;
  }
  const std::string_view head = pattern.substr(0, hash);
  const std::string_view tail = pattern.substr(hash + 1);
  if (key.size() <= head.size() + tail.size() || !key.starts_with(head) || !key.ends_with(tail)) {
    return std::nullopt;
  }
  const std::string_view digits = key.substr(head.size(), key.size() - head.size() - tail.size());
  const bool leading_zero = digits.size() > 1 && digits.front() == '0';
  const auto number = parse_u64(digits);
  if (!number || leading_zero || *number > 9'999) return std::nullopt;
  return static_cast<int>(*number);
}

// The number of single-character changes from `a` to `b`.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

// The known key a person probably meant, or "".
std::string nearest_key(std::string_view key, std::span<const Option> options,
                        std::span<const IgnoredKey> ignored) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, key.size() / 3) + 1;
  const auto consider = [&](std::string_view candidate) {
    const std::size_t d = distance(key, candidate);
    if (d >= best_distance) return;
    best_distance = d;
    best = candidate;
  };
  // Options first: at the same distance, one that does something.
  for (const Option& option : options) {
    if (!option.heading) consider(option.key);
  }
  for (const IgnoredKey& entry : ignored) consider(entry.key);
  return best;
}

Error at(const ConfValue& value, std::string_view what) {
  return Error{Errc::invalid_argument,
               value.where.text() + ": " + value.full_key() + ": " + std::string(what)};
}

} // namespace

Error error_at(const ConfFile& file, const std::filesystem::path& name, std::string_view key,
               const std::string& what) {
  const auto found = std::find_if(file.values.rbegin(), file.values.rend(),
                                  [&](const ConfValue& value) { return value.full_key() == key; });
  if (found != file.values.rend()) return at(*found, what);
  return Error{Errc::invalid_argument, name.string() + ": " + std::string(key) + ": " + what};
}

Status apply(const ConfFile& file, const std::filesystem::path& name,
             std::span<const Option> options, std::span<const IgnoredKey> ignored, void* config,
             std::vector<std::string>& notes) {
  std::map<std::string, int, std::less<>> first_lines; // of keys with a value
  std::map<const Option*, int> counts;
  for (const ConfValue& value : file.values) {
    const std::string key = value.full_key();

    const Option* option = nullptr;
    int index = 0;
    for (const Option& candidate : options) {
      const auto number = candidate.heading ? std::nullopt : match_key(candidate.key, key);
      if (!number) continue;
      option = &candidate;
      index = *number;
      break;
    }
    if (option == nullptr) {
      const auto known = std::find_if(ignored.begin(), ignored.end(), [&](const IgnoredKey& entry) {
        return match_key(entry.key, key).has_value();
      });
      if (known == ignored.end()) {
        const std::string nearest = nearest_key(key, options, ignored);
        return at(value,
                  nearest.empty() ? "unknown key" : "unknown key; did you mean " + nearest + "?");
      }
      // One note a key, however often the file repeats it.
      if (first_lines.emplace(key, value.where.line).second) {
        notes.push_back(value.where.text() + ": " + key + " has no effect: " + known->note);
      }
      continue;
    }

    if (value.value.empty()) continue;
    const auto [first, is_first] = first_lines.emplace(key, value.where.line);
    if (!is_first && !option->repeatable) {
      return at(value, "given twice (first in line " + std::to_string(first->second) + ")");
    }
    if (counts[option]++ == 0 && option->clear) option->clear(config);
    const SetContext context{std::filesystem::path(value.where.file).parent_path()};
    const Status status = option->set(config, value.value, index, context);
    if (!status) return at(value, status.error().detail);
  }

  for (const Option& option : options) {
    if (!option.required || counts.contains(&option)) continue;
    return Error{Errc::invalid_argument, name.string() + ": " + option.key + " is missing"};
  }
  return {};
}

namespace {

// `text` as comment lines of at most 98 characters.
void append_comment(std::string& out, std::string_view text) {
  constexpr std::size_t kWidth = 96;
  for (const std::string_view line : split(text, '\n')) {
    std::string current;
    for (const std::string_view word : split(line, ' ')) {
      if (!current.empty() && current.size() + 1 + word.size() > kWidth) {
        out += "# " + current + "\n";
        current.clear();
      }
      if (!current.empty()) current += ' ';
      current += word;
    }
    out += current.empty() ? "#\n" : "# " + current + "\n";
  }
}

} // namespace

std::string sample_text(std::string_view introduction, std::span<const Option> options,
                        const void* defaults) {
  std::string out;
  append_comment(out, introduction);
  for (const Option& option : options) {
    if (option.hidden) continue;
    out += '\n';
    if (option.heading) {
      out += "# == " + option.help + " ==\n";
      continue;
    }
    append_comment(out, option.help);
    std::string form = option.form;
    if (option.repeatable) form += "; may be repeated";
    if (option.required) form += "; required";
    append_comment(out, "(" + form + ")");
    std::string key = option.key;
    std::replace(key.begin(), key.end(), '#', '0');
    const std::string value = option.example.empty() ? option.show(defaults) : option.example;
    out += option.example.empty() ? "#" : "";
    out += key + " =" + (value.empty() ? "" : " " + value) + "\n";
  }
  return out;
}

namespace detail {
namespace {

Error out_of_range(std::string_view value, const std::string& form) {
  return Error{Errc::invalid_argument, "'" + std::string(value) + "' is not in range: " + form};
}

} // namespace

std::string integer_form(std::uint64_t min, std::uint64_t max, std::string_view unit) {
  std::string form = unit.empty() ? "" : std::string(unit) + ", ";
  return form + std::to_string(min) + " to " + std::to_string(max);
}

std::string bytes_form(std::uint64_t min, std::uint64_t max) {
  return "bytes, " + format_size(min) + " to " + format_size(max);
}

std::string duration_form(std::chrono::seconds min, std::chrono::seconds max) {
  return "duration, " + format_duration(min) + " to " + format_duration(max);
}

Result<std::uint64_t> integer_in(std::string_view value, std::uint64_t min, std::uint64_t max) {
  CAIRN_TRY(number, parse_u64(value));
  if (number < min || number > max) return out_of_range(value, integer_form(min, max, ""));
  return number;
}

Result<std::uint64_t> bytes_in(std::string_view value, std::uint64_t min, std::uint64_t max) {
  CAIRN_TRY(number, parse_size(value));
  if (number < min || number > max) return out_of_range(value, bytes_form(min, max));
  return number;
}

Result<std::chrono::seconds> duration_in(std::string_view value, std::chrono::seconds min,
                                         std::chrono::seconds max) {
  CAIRN_TRY(seconds, parse_duration(value));
  if (seconds < min || seconds > max) return out_of_range(value, duration_form(min, max));
  return seconds;
}

std::filesystem::path absolute_in(const SetContext& context, std::string_view value) {
  std::error_code ignored; // fails only without a working directory; the path stays relative
  const std::filesystem::path given = context.directory / value;
  const std::filesystem::path absolute = std::filesystem::absolute(given, ignored);
  std::filesystem::path path = (ignored ? given : absolute).lexically_normal();
  // "/disk/" and "/disk" are one path.
  return path.has_filename() || path == path.root_path() ? path : path.parent_path();
}

std::string bytes_shown(std::uint64_t bytes) {
  return format_size(bytes);
}
std::string duration_shown(std::chrono::seconds duration) {
  return format_duration(duration);
}
bool same_word(std::string_view a, std::string_view b) {
  return equals_ignoring_case(a, b);
}

} // namespace detail
} // namespace cairn::config
