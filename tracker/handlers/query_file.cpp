// Commands 102, 103, 105: who serves or changes a file.
#include "common/wire/fastdfs.h"
#include "tracker/handlers/layouts.h"
#include "tracker/handlers/queries.h"

namespace cairn::tracker {

namespace {

// The protocol's bounds; shorter than any name FastDFS ever made.
constexpr std::size_t kNameMin = 22;

struct Asked {
  std::string group;
  RemoteName name;
};

Result<Asked> parse(const Query& query, wire::View body) {
  CAIRN_TRY(request, wire::decode<wire::GroupFile>(body));
  if (request.name.size() < kNameMin || request.name.size() > kRemoteNameMax)
    return Error{Errc::invalid_argument,
                 "a name of " + std::to_string(request.name.size()) + " bytes"};
  if (!query.cluster.has_group(request.group))
    return Error{Errc::not_found, "no group " + request.group};
  CAIRN_TRY(name, parse_remote_name(request.name));
  return Asked{std::move(request.group), name};
}

} // namespace

Result<wire::Bytes> query_fetch_one(Query& query, wire::View body) {
  CAIRN_TRY(asked, parse(query, body));
  CAIRN_TRY(node, query.selection.for_fetch(query.cluster, asked.group, asked.name, query.now_s));
  return layout_fetch_target(*node, address_width(query.config, query.cluster));
}

Result<wire::Bytes> query_update(Query& query, wire::View body) {
  CAIRN_TRY(asked, parse(query, body));
  CAIRN_TRY(node, query.selection.for_update(query.cluster, asked.group, asked.name));
  return layout_fetch_target(*node, address_width(query.config, query.cluster));
}

Result<wire::Bytes> query_fetch_all(Query& query, wire::View body) {
  CAIRN_TRY(asked, parse(query, body));
  CAIRN_TRY(nodes,
            query.selection.for_fetch_all(query.cluster, asked.group, asked.name, query.now_s));
  const Node* source = nullptr;
  if (asked.name.fields()) {
    const NodeFact* fact = query.cluster.facts().resolve(asked.group, asked.name.fields()->source);
    if (fact != nullptr) source = query.cluster.find(fact->id);
  }
  return layout_fetch_targets(nodes, source, address_width(query.config, query.cluster),
                              query.config.fetch_all_layout);
}

} // namespace cairn::tracker
