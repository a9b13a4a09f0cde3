// The options of HttpAccess in storage.conf; included only by that list.
#pragma once

#include "common/config/options.h"
#include "common/config/server_options.h"
#include "common/config/storage_config.h"

#include <string>
#include <vector>

namespace cairn::config {

namespace detail {

// Members of HttpAccess as options of StorageConfig.
inline void http_flag(OptionList<StorageConfig>& list, std::string key, bool HttpAccess::*member,
                      std::string help) {
  list.custom(
      std::move(key), "on | off", std::move(help),
      [member](StorageConfig& config, std::string_view value) -> Status {
        CAIRN_TRY(on, parse_bool(value));
        config.http.*member = on;
        return {};
      },
      [member](const StorageConfig& config) {
        return std::string(config.http.*member ? "on" : "off");
      });
}

// Nothing, or why a word could never match.
using WordCheck = const char* (*)(std::string_view word);

inline const char* check_site(std::string_view word) {
  return word.find_first_of(word.starts_with('[') ? "/" : "/:") == std::string_view::npos
             ? nullptr
             : "is no host: no scheme, port or path, such as *.shop.example";
}

inline const char* check_extension(std::string_view word) {
  return word.find_first_of("./*") == std::string_view::npos
             ? nullptr
             : "is no extension: letters without the dot, such as jpg";
}

// What browsers send as Origin: scheme, host and port, nothing behind them.
inline const char* check_origin(std::string_view word) {
  const std::size_t scheme = word.find("://");
  const bool whole = scheme != std::string_view::npos && scheme > 0 && scheme + 3 < word.size() &&
                     word.find_first_of("/*", scheme + 3) == std::string_view::npos;
  return whole || word == "*" || word == "null"
             ? nullptr
             : "is no origin: scheme, host and port if it is not the usual one, such as "
               "https://shop.example";
}

inline void http_words(OptionList<StorageConfig>& list, std::string key,
                       std::vector<std::string> HttpAccess::*member, WordCheck check,
                       std::string form, std::string help) {
  Option& option = list.custom(
      std::move(key), std::move(form), std::move(help),
      [member, check](StorageConfig& config, std::string_view value) -> Status {
        for (const std::string_view piece : split(value, ',')) {
          const std::string_view word = trim(piece);
          if (word.empty()) continue;
          if (const char* why = check(word))
            return Error{Errc::invalid_argument, "'" + std::string(word) + "' " + why};
          (config.http.*member).push_back(to_lower(word));
        }
        return {};
      },
      [member](const StorageConfig& config) { return joined(config.http.*member); });
  option.repeatable = true;
}

inline void http_hosts(OptionList<StorageConfig>& list, std::string key,
                       HostList HttpAccess::*member, std::string help) {
  Option& option = list.custom(
      std::move(key), "addresses, networks, ranges, names, separated by commas", std::move(help),
      [member](StorageConfig& config, std::string_view value) {
        return (config.http.*member).add(value);
      },
      [member](const StorageConfig& config) { return joined((config.http.*member).entries()); });
  option.repeatable = true;
}

template <class T>
void http_number(OptionList<StorageConfig>& list, std::string key, T HttpAccess::*member,
                 std::uint64_t min, std::uint64_t max, std::string unit, std::string help) {
  list.custom(
      std::move(key), integer_form(min, max, unit), std::move(help),
      [member, min, max](StorageConfig& config, std::string_view value) -> Status {
        CAIRN_TRY(number, integer_in(value, min, max));
        config.http.*member = static_cast<T>(number);
        return {};
      },
      [member](const StorageConfig& config) { return std::to_string(config.http.*member); });
}

inline void http_bytes(OptionList<StorageConfig>& list, std::string key,
                       std::uint64_t HttpAccess::*member, std::string help) {
  constexpr std::uint64_t kMax = std::uint64_t{1} << 50;
  list.custom(
      std::move(key), bytes_form(0, kMax), std::move(help),
      [member](StorageConfig& config, std::string_view value) -> Status {
        CAIRN_TRY(bytes, bytes_in(value, 0, kMax));
        config.http.*member = bytes;
        return {};
      },
      [member](const StorageConfig& config) { return bytes_shown(config.http.*member); });
}

} // namespace detail

inline void add_http_access_options(OptionList<StorageConfig>& list) {
  using detail::http_bytes, detail::http_flag, detail::http_hosts, detail::http_number,
      detail::http_words;
  list.heading("Access over HTTP");
  http_hosts(list, "http_allow_hosts", &HttpAccess::allow_hosts,
             "Who may use HTTP at all; nothing written: everybody.");
  http_hosts(list, "http_trusted_proxies", &HttpAccess::trusted_proxies,
             "Proxies whose X-Forwarded-For names the client; nobody else's is believed.");
  http_flag(list, "http_signed_reads", &HttpAccess::signed_reads,
            "Files only for access keys with the right to read, and by signed URLs.");
  http_flag(list, "http_uploads", &HttpAccess::uploads,
            "POST, PUT and DELETE, for access keys and by signed URLs. Without keys nobody can.");
  http_bytes(list, "http_upload_size_max", &HttpAccess::upload_size_max,
             "Largest file that is taken over HTTP.");
  http_number(list, "http_uploads_max", &HttpAccess::uploads_max, 1, 65'536, "uploads",
              "Uploads over HTTP at once; more are told to come back.");
  http_number(list, "http_address_requests", &HttpAccess::address_requests, 0, 1'000'000,
              "per second", "Requests of one client address, 0: no limit. Over it: 429.");
  http_bytes(list, "http_address_bytes", &HttpAccess::address_bytes,
             "Bytes of files to one client address per second, 0: no limit. Over it: 429.");
  http_words(list, "http_referer_allow", &HttpAccess::referer_allow, detail::check_site,
             "hosts, * for any part",
             "Sites whose pages may show files, such as shop.example, *.shop.example. Nothing "
             "written: all.");
  http_words(list, "http_referer_deny", &HttpAccess::referer_deny, detail::check_site,
             "hosts, * for any part", "Sites whose pages may not.");
  http_flag(list, "http_referer_none", &HttpAccess::referer_none,
            "Requests without a Referer pass (typed addresses, applications).");
  http_words(list, "http_referer_exempt", &HttpAccess::referer_exempt, detail::check_extension,
             "extensions", "Files that every page may show, by extension without the dot.");
  http_words(list, "http_cors_origins", &HttpAccess::cors_origins, detail::check_origin,
             "origins, or *",
             "Pages of these origins may use HTTP from scripts, such as https://shop.example.");
  http_flag(list, "http_active_content", &HttpAccess::active_content,
            "HTML and SVG files may run scripts in the origin they are served from.");
  http_flag(list, "http_metadata_on_get", &HttpAccess::metadata_on_get,
            "X-Cairn-Meta-… also on GET, not only on HEAD; costs a look at the disk.");
}

} // namespace cairn::config
