// Options as JSON.
#include "migrate/options.h"

#include <nlohmann/json.hpp>

namespace cairn::migrate {

namespace {

// Each option once: its name, and how it is reached.
template <class Options, class Visit>
void visit_fields(Options& options, const Visit& visit) {
  visit("mode", options.mode);
  visit("source_frozen", options.source_frozen);
  visit("url_list", options.url_list);
  visit("url_list_is_log", options.url_list_is_log);
  visit("rules", options.rules);
  visit("files_from", options.files_from);
  visit("size_min", options.size_min);
  visit("size_max", options.size_max);
  visit("copy_links", options.copy_links);
  visit("safe_links", options.safe_links);
  visit("hard_links", options.hard_links);
  visit("checksum", options.checksum);
  visit("size_only", options.size_only);
  visit("ignore_times", options.ignore_times);
  visit("update", options.update);
  visit("existing", options.existing);
  visit("ignore_existing", options.ignore_existing);
  visit("quick", options.quick);
  visit("dedupe", options.dedupe);
  visit("remove", options.remove);
  visit("jobs", options.jobs);
  visit("scan_jobs", options.scan_jobs);
  visit("bwlimit", options.bwlimit);
  visit("memory", options.memory);
}

template <class Options, class Visit>
void visit_times(Options& options, const Visit& visit) {
  visit("age_min_s", options.age_min);
  visit("age_max_s", options.age_max);
  visit("modify_window_ns", options.modify_window);
  visit("source_latency_ms", options.source_latency);
  visit("timeout_s", options.timeout);
}

} // namespace

nlohmann::json to_json(const CopyOptions& options) {
  nlohmann::json out;
  // Bytes that are no UTF-8 cannot stand in JSON: names and patterns go as arrays of numbers.
  visit_fields(options, [&out]<class T>(const char* name, const T& value) {
    if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      out[name] = nlohmann::json::array();
      for (const std::string& text : value)
        out[name].push_back(std::vector<unsigned char>(text.begin(), text.end()));
    } else {
      out[name] = value;
    }
  });
  visit_times(options, [&out](const char* name, const auto& value) { out[name] = value.count(); });
  if (options.removals_max) out["removals_max"] = *options.removals_max;
  return out;
}

Result<CopyOptions> options_from_json(const nlohmann::json& document) {
  CopyOptions out;
  try {
    visit_fields(out, [&document]<class T>(const char* name, T& value) {
      if (!document.contains(name)) return;
      if constexpr (std::is_same_v<T, std::vector<std::string>>) {
        for (const auto& item : document.at(name)) {
          const auto bytes = item.template get<std::vector<unsigned char>>();
          value.emplace_back(bytes.begin(), bytes.end());
        }
      } else {
        value = document.at(name).template get<T>();
      }
    });
    visit_times(out, [&document]<class T>(const char* name, T& value) {
      if (document.contains(name)) value = T(document.at(name).get<typename T::rep>());
    });
    if (document.contains("removals_max")) out.removals_max = document.at("removals_max");
  } catch (const nlohmann::json::exception& error) {
    return Error{Errc::invalid_argument, std::string("the job's options: ") + error.what()};
  }
  return out;
}

} // namespace cairn::migrate
