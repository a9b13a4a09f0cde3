// Option lists: beside each program's configuration aggregate stands one list that binds key names
// to its members. The list drives reading, range checks, --check, and the commented samples in
// conf/.
//
// The aggregate's initial values are the defaults, so each is written once.
#pragma once

#include "common/base/result.h"
#include "common/config/conf_file.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn::config {

// A configuration that was read, and what the operator should know about it.
template <class Config>
struct Loaded {
  Config config;
  // One line each: accepted FastDFS keys that have no effect here.
  std::vector<std::string> notes;
  std::filesystem::path file;
};

// Where a relative path in a configuration starts, and so on: what a setter may need besides text.
struct SetContext {
  std::filesystem::path directory; // of the file the value is in
};

// One line of an option list, with the type of the aggregate erased.
struct Option {
  std::string key;  // with '#' where a number stands: "store_path#" matches store_path0 …
  std::string form; // the value as a person reads it: "seconds, 1 to 3600"
  std::string help; // one or two sentences for the sample
  bool repeatable = false;
  bool required = false;
  bool hidden = false;  // not in the sample: a FastDFS spelling of something else
  bool heading = false; // `help` is a heading of the sample; nothing else counts

  // Stores `value`, which is not empty. `index` is the number in place of '#', else 0.
  std::function<Status(void* config, std::string_view value, int index, const SetContext&)> set;
  // The current value as it would be written; empty when there is none.
  std::function<std::string(const void* config)> show;
  // Repeatable options with a default: empties the member before the first value.
  std::function<void(void* config)> clear;
  // What the sample shows, not commented out, for an option without a good default ("group1").
  std::string example;
};

// Keys that are known from FastDFS and have no effect here.
struct IgnoredKey {
  std::string key;  // with '#' for a number; "section.key" for one in a section
  std::string note; // why it is not needed; ends the note line
};

// Applies `file` to `config`. Keys without a value keep the default (FastDFS samples have such
// lines). Adds a note for each ignored key. The first error wins and is invalid_argument with
// "file:line: …": an unknown key (with the nearest known one), a second value for a key that is not
// repeatable, a value out of form or range, or (with the name of the file only) a missing required
// key.
Status apply(const ConfFile& file, const std::filesystem::path& name,
             std::span<const Option> options, std::span<const IgnoredKey> ignored, void* config,
             std::vector<std::string>& notes);

// The commented sample: `introduction` first, then every option with its help, form and default.
// Options with a default are commented out; required ones are written with their example, so that
// the sample loads as it is.
std::string sample_text(std::string_view introduction, std::span<const Option> options,
                        const void* defaults);

// Builds the list of one aggregate. Every function adds one option and returns it (until the next
// one is added), for the few that need `.required = true` or an example.
template <class Config>
class OptionList {
public:
  // A heading in the sample.
  void heading(std::string text);

  // on/off and the other boolean spellings.
  Option& flag(std::string key, bool Config::*member, std::string help);

  // A whole number from `min` to `max`; `unit` may be empty.
  template <class T, class Base>
  Option& integer(std::string key, T Base::*member, std::uint64_t min, std::uint64_t max,
                  std::string unit, std::string help);

  // Bytes, with suffixes K M G T.
  Option& bytes(std::string key, std::uint64_t Config::*member, std::uint64_t min,
                std::uint64_t max, std::string help);

  // Seconds, or with a suffix s m h d.
  Option& duration(std::string key, std::chrono::seconds Config::*member, std::chrono::seconds min,
                   std::chrono::seconds max, std::string help);

  // Any text.
  Option& text(std::string key, std::string Config::*member, std::string help);

  // A file or directory; a relative one starts at the directory of the configuration file.
  Option& path(std::string key, std::filesystem::path Config::*member, std::string help);

  // One of a few words; a value may have several spellings, the first is the one shown.
  template <class E, class Base>
  Option& choice(std::string key, E Base::*member, std::vector<std::pair<std::string, E>> words,
                 std::string help);

  // Anything else: `set` is called as set(Config&, value) -> Status, `show` as
  // show(const Config&) -> std::string.
  template <class Set, class Show>
  Option& custom(std::string key, std::string form, std::string help, Set set, Show show);

  // As custom() for a key with '#': set(Config&, value, index, const SetContext&).
  template <class Set, class Show>
  Option& indexed(std::string key, std::string form, std::string help, Set set, Show show);

  std::span<const Option> options() const { return options_; }

private:
  Option& add(Option option);

  std::vector<Option> options_;
};

// "file:line: KEY: what" for the last value of `key` in `file`, or "NAME: KEY: what" when it has
// none: the error of a rule between keys.
Error error_at(const ConfFile& file, const std::filesystem::path& name, std::string_view key,
               const std::string& what);

// Reads `path` into a Config: apply() over read_conf_file(), then `finish(loaded, file)` -> Status
// for defaults and rules that involve several keys.
template <class Config, class Finish>
Result<Loaded<Config>> load(const std::filesystem::path& path, const OptionList<Config>& list,
                            std::span<const IgnoredKey> ignored, Finish finish) {
  CAIRN_TRY(file, read_conf_file(path));
  Loaded<Config> loaded{Config{}, {}, path};
  CAIRN_RETURN_IF_ERROR(apply(file, path, list.options(), ignored, &loaded.config, loaded.notes));
  CAIRN_RETURN_IF_ERROR(finish(loaded, file));
  return loaded;
}

namespace detail {
// Value parsers with the range in the message; see options.cpp.
Result<std::uint64_t> integer_in(std::string_view value, std::uint64_t min, std::uint64_t max);
Result<std::uint64_t> bytes_in(std::string_view value, std::uint64_t min, std::uint64_t max);
Result<std::chrono::seconds> duration_in(std::string_view value, std::chrono::seconds min,
                                         std::chrono::seconds max);
std::filesystem::path absolute_in(const SetContext& context, std::string_view value);
std::string integer_form(std::uint64_t min, std::uint64_t max, std::string_view unit);
std::string bytes_form(std::uint64_t min, std::uint64_t max);
std::string duration_form(std::chrono::seconds min, std::chrono::seconds max);
std::string bytes_shown(std::uint64_t bytes);
std::string duration_shown(std::chrono::seconds duration);
bool same_word(std::string_view a, std::string_view b);
} // namespace detail

template <class Config>
Option& OptionList<Config>::add(Option option) {
  options_.push_back(std::move(option));
  return options_.back();
}

template <class Config>
void OptionList<Config>::heading(std::string text) {
  Option option;
  option.heading = true;
  option.help = std::move(text);
  add(std::move(option));
}

template <class Config>
template <class Set, class Show>
Option& OptionList<Config>::indexed(std::string key, std::string form, std::string help, Set set,
                                    Show show) {
  Option option;
  option.key = std::move(key);
  option.form = std::move(form);
  option.help = std::move(help);
  option.set = [set = std::move(set)](void* config, std::string_view value, int index,
                                      const SetContext& context) -> Status {
    return set(*static_cast<Config*>(config), value, index, context);
  };
  option.show = [show = std::move(show)](const void* config) -> std::string {
    return show(*static_cast<const Config*>(config));
  };
  return add(std::move(option));
}

template <class Config>
template <class Set, class Show>
Option& OptionList<Config>::custom(std::string key, std::string form, std::string help, Set set,
                                   Show show) {
  return indexed(
      std::move(key), std::move(form), std::move(help),
      [set = std::move(set)](Config& config, std::string_view value, int, const SetContext&) {
        return set(config, value);
      },
      std::move(show));
}

template <class Config>
template <class T, class Base>
Option& OptionList<Config>::integer(std::string key, T Base::*member, std::uint64_t min,
                                    std::uint64_t max, std::string unit, std::string help) {
  CAIRN_ASSERT(max <= std::uint64_t{std::numeric_limits<T>::max()});
  return custom(
      std::move(key), detail::integer_form(min, max, unit), std::move(help),
      [member, min, max](Config& config, std::string_view value) -> Status {
        CAIRN_TRY(number, detail::integer_in(value, min, max));
        config.*member = static_cast<T>(number);
        return {};
      },
      [member](const Config& config) { return std::to_string(config.*member); });
}

template <class Config>
Option& OptionList<Config>::flag(std::string key, bool Config::*member, std::string help) {
  return choice(std::move(key), member,
                {{"on", true},
                 {"off", false},
                 {"yes", true},
                 {"no", false},
                 {"true", true},
                 {"false", false},
                 {"1", true},
                 {"0", false}},
                std::move(help));
}

template <class Config>
Option& OptionList<Config>::bytes(std::string key, std::uint64_t Config::*member, std::uint64_t min,
                                  std::uint64_t max, std::string help) {
  return custom(
      std::move(key), detail::bytes_form(min, max), std::move(help),
      [member, min, max](Config& config, std::string_view value) -> Status {
        CAIRN_TRY(number, detail::bytes_in(value, min, max));
        config.*member = number;
        return {};
      },
      [member](const Config& config) { return detail::bytes_shown(config.*member); });
}

template <class Config>
Option& OptionList<Config>::duration(std::string key, std::chrono::seconds Config::*member,
                                     std::chrono::seconds min, std::chrono::seconds max,
                                     std::string help) {
  return custom(
      std::move(key), detail::duration_form(min, max), std::move(help),
      [member, min, max](Config& config, std::string_view value) -> Status {
        CAIRN_TRY(seconds, detail::duration_in(value, min, max));
        config.*member = seconds;
        return {};
      },
      [member](const Config& config) { return detail::duration_shown(config.*member); });
}

template <class Config>
Option& OptionList<Config>::text(std::string key, std::string Config::*member, std::string help) {
  return custom(
      std::move(key), "text", std::move(help),
      [member](Config& config, std::string_view value) -> Status {
        config.*member = std::string(value);
        return {};
      },
      [member](const Config& config) { return config.*member; });
}

template <class Config>
Option& OptionList<Config>::path(std::string key, std::filesystem::path Config::*member,
                                 std::string help) {
  return indexed(
      std::move(key), "path", std::move(help),
      [member](Config& config, std::string_view value, int, const SetContext& context) -> Status {
        config.*member = detail::absolute_in(context, value);
        return {};
      },
      [member](const Config& config) { return (config.*member).string(); });
}

template <class Config>
template <class E, class Base>
Option& OptionList<Config>::choice(std::string key, E Base::*member,
                                   std::vector<std::pair<std::string, E>> words, std::string help) {
  std::string form;
  for (std::size_t i = 0; i < words.size(); ++i) {
    bool another_spelling = false;
    for (std::size_t j = 0; j < i; ++j) another_spelling |= words[j].second == words[i].second;
    if (another_spelling) continue;
    if (!form.empty()) form += " | ";
    form += words[i].first;
  }
  std::string expected = form;
  auto show = [member, words](const Config& config) -> std::string {
    for (const auto& [word, value] : words) {
      if (value == config.*member) return word;
    }
    return {};
  };
  return custom(
      std::move(key), std::move(form), std::move(help),
      [member, words = std::move(words), expected = std::move(expected)](
          Config& config, std::string_view value) -> Status {
        for (const auto& [word, meaning] : words) {
          if (!detail::same_word(word, value)) continue;
          config.*member = meaning;
          return {};
        }
        return Error{Errc::invalid_argument,
                     "'" + std::string(value) + "' is not one of: " + expected};
      },
      std::move(show));
}

} // namespace cairn::config
