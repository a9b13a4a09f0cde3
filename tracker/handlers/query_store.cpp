// Commands 101, 104, 106, 107: where to upload.
#include "common/wire/fastdfs.h"
#include "tracker/handlers/layouts.h"
#include "tracker/handlers/queries.h"

namespace cairn::tracker {

namespace {

Status expect_empty(wire::View body) {
  if (!body.empty()) return Error{Errc::invalid_argument, "this command has no body"};
  return {};
}

} // namespace

Result<wire::Bytes> query_store(Query& query, wire::View body) {
  CAIRN_RETURN_IF_ERROR(expect_empty(body));
  CAIRN_TRY(target, query.selection.for_upload(query.cluster, std::nullopt, query.may_write));
  return layout_upload_target(target, address_width(query.config, query.cluster));
}

Result<wire::Bytes> query_store_in_group(Query& query, wire::View body) {
  CAIRN_TRY(request, wire::decode<wire::GroupRequest>(body));
  CAIRN_TRY(target, query.selection.for_upload(query.cluster, request.group, query.may_write));
  return layout_upload_target(target, address_width(query.config, query.cluster));
}

Result<wire::Bytes> query_store_all(Query& query, wire::View body) {
  CAIRN_RETURN_IF_ERROR(expect_empty(body));
  CAIRN_TRY(targets, query.selection.for_upload_all(query.cluster, std::nullopt, query.may_write));
  return layout_upload_targets(targets, address_width(query.config, query.cluster));
}

Result<wire::Bytes> query_store_in_group_all(Query& query, wire::View body) {
  CAIRN_TRY(request, wire::decode<wire::GroupRequest>(body));
  CAIRN_TRY(targets, query.selection.for_upload_all(query.cluster, request.group, query.may_write));
  return layout_upload_targets(targets, address_width(query.config, query.cluster));
}

} // namespace cairn::tracker
