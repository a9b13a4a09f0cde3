// cairn meta get, cairn meta set
#include "tools/context.h"
#include "tools/verbs.h"

#include <nlohmann/json.hpp>

namespace cairn::tools {

int run_meta_get(Context& context, const MetaGetArgs& args) {
  const std::string what = "metadata of " + args.id;
  auto client = context.client();
  if (!client) return context.fail(what, client.error());
  const auto metadata = (*client)->get_metadata(args.id);
  if (!metadata) return context.fail(what, metadata.error());
  if (context.json()) {
    context.answer_json(nlohmann::json(*metadata));
    return kGood;
  }
  for (const auto& [name, value] : *metadata) context.answer(name + "=" + value);
  return kGood;
}

int run_meta_set(Context& context, const MetaSetArgs& args) {
  Metadata metadata;
  for (const std::string& text : args.metadata) {
    auto pair = split_pair(text);
    if (!pair) return context.usage("'" + text + "' is not K=V");
    metadata.insert_or_assign(std::move(pair->first), std::move(pair->second));
  }
  const std::string what = "metadata of " + args.id;
  auto client = context.client();
  if (!client) return context.fail(what, client.error());
  if (const Status set = (*client)->set_metadata(args.id, std::move(metadata), args.merge); !set)
    return context.fail(what, set.error());
  return kGood;
}

} // namespace cairn::tools
