// cairn purge: what caches in front have to forget, by object or by URL.
#include "tools/purge.h"

#include "common/base/cache_tag.h"
#include "common/base/file_id.h"
#include "common/wire/cache_purge.h"
#include "tools/cluster_path.h"
#include "tools/rules_source.h"

#include <nlohmann/json.hpp>

namespace cairn::tools {

namespace {

Result<std::string> tag_of(Trees& trees, const std::string& object) {
  if (!object.starts_with('/') && !is_cluster_path(object)) {
    CAIRN_TRY(id, parse_file_id(object));
    return cache_tag_of_id(id.group + "/" + id.name.canonical());
  }
  CAIRN_TRY(path, parse_cluster_path(object));
  CAIRN_TRY(tree, trees.of(path));
  CAIRN_TRY(status, tree->stat(path.path));
  return cache_tag_of_inode(status.inode);
}

} // namespace

int run_purge(Context& context, const PurgeArgs& args) {
  if (args.objects.empty() && args.patterns.empty())
    return context.usage("purge: file IDs, paths of exports, or --pattern");
  wire::CachesChanged message;
  Trees trees(context);
  for (const std::string& object : args.objects) {
    auto tag = tag_of(trees, object);
    if (!tag) return context.fail(object, tag.error());
    message.tags.push_back({*std::move(tag)});
  }
  for (const std::string& pattern : args.patterns) message.patterns.push_back({pattern});
  const auto answer = ask_tracker(context, wire::kCachesChanged, wire::encode(message));
  if (!answer) return context.fail("purge", answer.error());
  const auto reply = wire::decode_lenient<wire::CachesChangedReply>(*answer);
  if (!reply) return context.fail("purge", reply.error());
  if (reply->caches == 0)
    return context.fail("purge",
                        Error{Errc::not_found, "no purge_cache is configured at the tracker"});
  if (context.json())
    context.answer_json({{"caches", reply->caches}});
  else
    context.say("told to " + std::to_string(reply->caches) +
                (reply->caches == 1 ? " cache" : " caches"));
  return kGood;
}

} // namespace cairn::tools
