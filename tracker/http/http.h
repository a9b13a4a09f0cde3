// The tracker's HTTP port: health, metrics, status, and a page for people.
#pragma once

#include "common/net/http_server.h"
#include "tracker/handlers/tracker.h"

#include <string>

namespace cairn::tracker {

//   /healthz   200 while this process answers; anyone
//   /readyz    200 when it should get traffic, else 503 and why; anyone
//   /metrics   Prometheus text 0.0.4; admin_hosts
//   /status    JSON, as the admin verb "status"; admin_hosts
//   /          the same for people; admin_hosts
// 403 for others, 404 for everything else, 405 for methods but GET and HEAD.
HttpReply answer_http(Tracker& tracker, const HttpRequest& request);

// The pieces, for tests.
std::string metrics_text(Tracker& tracker);
std::string status_page(Tracker& tracker);

} // namespace cairn::tracker
