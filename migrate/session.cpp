// Opening the destination of a job.
#include "migrate/session.h"

#include <utility>

namespace cairn::migrate {

Result<std::unique_ptr<Session>> open_destination(const Globals& globals, const JobDescription& job,
                                                  Timeout timeout) {
  // Whatever is wrong with what was given is a mistake of usage.
  auto client = client_options(globals);
  if (!client) return Error{Errc::invalid_argument, client.error().detail};
  auto where = parse_destination(job.destination);
  if (!where) return Error{Errc::invalid_argument, where.error().detail};
  auto session = std::make_unique<Session>(*client, *std::move(where), timeout);
  CAIRN_RETURN_IF_ERROR(session->open(false));
  if (session->cluster_uuid() != job.cluster_uuid)
    return Error{Errc::exists, "this is another cluster"};
  return session;
}

} // namespace cairn::migrate
