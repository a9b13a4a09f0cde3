// cairn append
#include "tools/context.h"
#include "tools/input.h"
#include "tools/verbs.h"

#include <nlohmann/json.hpp>

namespace cairn::tools {

int run_append(Context& context, const AppendArgs& args) {
  const std::string what = "append to " + args.id;
  const auto parsed = parse_id(args.id);
  if (!parsed) return context.fail(what, parsed.error());
  if (parsed->type != FileType::appender)
    return context.usage(args.id + " is no appender file", "upload it with --appender");
  auto client = context.client();
  if (!client) return context.fail(what, client.error());
  auto source = open_input(args.file);
  if (!source) return context.fail(what, source.error());
  const std::uint64_t size = source->size();
  if (const Status status = (*client)->append(args.id, std::move(*source)); !status)
    return context.fail(what, status.error());
  if (context.json()) context.answer_json({{"id", args.id}, {"appended", size}});
  return kGood;
}

} // namespace cairn::tools
