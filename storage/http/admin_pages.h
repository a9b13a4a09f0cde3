// /healthz, /readyz, /metrics and /status.
#pragma once

#include "common/base/metrics_text.h"
#include "common/config/host_list.h"
#include "storage/http/resolver.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::storage {

// What the server tells about itself. Called on any I/O thread; constant after start.
struct AdminCallbacks {
  // Names of the checks that fail; empty: ready.
  std::function<std::vector<std::string>()> failing_checks;
  // Adds the server's families to /metrics.
  std::function<Task<void>(MetricsText&)> metrics;
  // The JSON of /status.
  std::function<Task<std::string>()> status;
};

// True for the four paths, exactly.
bool is_admin_path(std::string_view path);

// /healthz and /readyz for everybody, since balancers ask them; the other two for `admin_hosts`.
class AdminPages : public Resolver {
public:
  // `admin_hosts` outlives this.
  AdminPages(const config::HostList& admin_hosts, AdminCallbacks callbacks);

  bool claims(const ResolvedUrl& url) const override;
  Task<HttpReply> answer(ResolvedUrl url) override;

private:
  const config::HostList& admin_hosts_;
  AdminCallbacks callbacks_;
};

} // namespace cairn::storage
