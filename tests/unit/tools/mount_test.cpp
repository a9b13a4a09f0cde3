// Prometheus text as a document.
#include "tools/mount.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace cairn::tools {
namespace {

TEST(MetricsDocument, FamiliesAndLabels) {
  const auto document = metrics_document(R"(# HELP a_total Things.
# TYPE a_total counter
a_total{op="lookup"} 3
a_total{op="read"} 4
b 18446744073709551
c_seconds{op="read"} 0.25
d
e nonsense
)");
  const nlohmann::json expected = {{"a_total", {{"lookup", 3}, {"read", 4}}},
                                   {"b", 18446744073709551},
                                   {"c_seconds", {{"read", 0.25}}}};
  EXPECT_EQ(document, expected);
  EXPECT_EQ(metrics_document(""), nlohmann::json::object());
}

} // namespace
} // namespace cairn::tools
