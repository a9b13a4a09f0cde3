// Formatting of metrics.
#include "common/base/metrics_text.h"

#include <charconv>
#include <cmath>

namespace cairn {

void MetricsText::family(std::string_view name, std::string_view type, std::string_view help) {
  name_ = name;
  text_.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ");
  text_.append(name).append(" ").append(type).append("\n");
}

void MetricsText::begin_sample(Labels labels, std::string_view suffix) {
  text_.append(name_).append(suffix);
  if (labels.size() > 0) {
    char separator = '{';
    for (const auto& [key, value] : labels) {
      text_.push_back(separator);
      separator = ',';
      text_.append(key).append("=\"");
      for (const char c : value) {
        if (c == '\n') {
          text_.append("\\n");
          continue;
        }
        if (c == '"' || c == '\\') text_.push_back('\\');
        text_.push_back(c);
      }
      text_.push_back('"');
    }
    text_.push_back('}');
  }
  text_.push_back(' ');
}

void MetricsText::sample(double value, Labels labels, std::string_view suffix) {
  begin_sample(labels, suffix);
  if (std::isinf(value)) {
    text_.append(value > 0 ? "+Inf" : "-Inf");
  } else {
    char digits[32];
    const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    text_.append(digits, end);
  }
  text_.push_back('\n');
}

void MetricsText::sample(std::uint64_t value, Labels labels, std::string_view suffix) {
  begin_sample(labels, suffix);
  text_.append(std::to_string(value)).push_back('\n');
}

} // namespace cairn
