// Configuration files and the values in them.
#include "common/base/text.h"
#include "common/config/conf_file.h"
#include "common/config/host_list.h"
#include "common/config/server_config.h"

#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cairn;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // Not a directory: includes lead nowhere.
  auto file = config::parse_conf_text(text, "/dev/null/fuzz.conf");
  if (!file) {
    CAIRN_ASSERT(!file.error().detail.empty());
  } else {
    for (const config::ConfValue& value : file->values) {
      CAIRN_ASSERT(!value.key.empty() && value.where.line > 0);
      config::HostList hosts;
      static_cast<void>(hosts.add(value.value));
      static_cast<void>(config::parse_tracker_address(value.value));
      static_cast<void>(config::parse_addresses(value.value));
      static_cast<void>(config::parse_reserved_space(value.value));
      static_cast<void>(parse_duration(value.value));
      static_cast<void>(parse_size(value.value));
      static_cast<void>(parse_time_of_day(value.value));
    }
  }
  return 0;
}
