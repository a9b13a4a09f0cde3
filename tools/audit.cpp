// cairn audit: shows and checks the audit log of a daemon on this machine.
#include "common/auth/audit.h"

#include "tools/context.h"
#include "tools/verbs.h"

#include <nlohmann/json.hpp>

namespace cairn::tools {

int run_audit(Context& context, const AuditArgs& args) {
  const std::string what = "audit " + args.directory.string();
  const auto below = auth::AuditLog::directory_of(args.directory);
  std::error_code ignored;
  const bool is_base = std::filesystem::is_directory(below, ignored);
  const bool shows = !args.quiet_lines && !context.json();
  const auto end =
      auth::read_audit_log(is_base ? below : args.directory, [&](std::string_view line) {
        if (shows) context.answer(line);
      });
  if (!end) return context.fail(what, end.error());
  if (context.json())
    context.answer_json({{"lines", end->lines}, {"seq", end->seq}, {"hash", end->hash}});
  else
    context.note("the chain holds: " + std::to_string(end->lines) + " lines, the last is " +
                 std::to_string(end->seq) + " " + end->hash);
  return kGood;
}

} // namespace cairn::tools
