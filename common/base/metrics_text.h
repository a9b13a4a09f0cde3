// Prometheus text (format 0.0.4) for /metrics. Families are written in one go, as the format asks.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace cairn {

class MetricsText {
public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  // Begins a family: HELP and TYPE lines. `type` is "counter", "gauge" or "histogram".
  void family(std::string_view name, std::string_view type, std::string_view help);
  // One sample of the family begun last; label values are escaped. `suffix` is "_bucket", "_sum",
  // "_count" or empty.
  void sample(double value, Labels labels = {}, std::string_view suffix = {});
  void sample(std::uint64_t value, Labels labels = {}, std::string_view suffix = {});

  const std::string& text() const { return text_; }

private:
  void begin_sample(Labels labels, std::string_view suffix);

  std::string text_;
  std::string name_;
};

} // namespace cairn
