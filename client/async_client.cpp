// The awaitable face: each call is one operation of the core, which it keeps alive.
#include "cairn/async_client.h"

#include "client/core.h"
#include "common/wire/fastdfs.h"

namespace cairn {

namespace {

using Core = std::shared_ptr<ClientCore>;

// Body of 12, 15, 22.
wire::Bytes group_file(const ParsedId& id) {
  wire::GroupFile file;
  file.group = id.group;
  file.name = id.name;
  return wire::encode(file);
}

Status drop_value(Result<wire::Bytes> reply) {
  if (!reply) return std::move(reply).error();
  return {};
}

// The functions below take the core by value: their frames keep it alive.

Task<Result<std::string>> do_upload(Core core, Source source, UploadOptions options) {
  co_return co_await core->upload(std::move(source), std::move(options));
}

Task<Result<std::string>> do_upload_slave(Core core, std::string master_id, std::string prefix,
                                          std::string extension, Source source,
                                          UploadOptions options) {
  co_return co_await core->upload_slave(std::move(master_id), std::move(prefix),
                                        std::move(extension), std::move(source),
                                        std::move(options));
}

Task<Result<Downloaded>> do_download(Core core, std::string id, Sink sink,
                                     DownloadOptions options) {
  co_return co_await core->download(std::move(id), std::move(sink), std::move(options));
}

Task<Status> do_remove(Core core, std::string id, Timeout timeout) {
  CAIRN_CO_TRY(parsed, parse_id(id));
  ClientCore::Request request(wire::Command::delete_file, group_file(parsed));
  co_return drop_value(co_await core->file_request(parsed, true, Repeat::harmless,
                                                   std::move(request), core->deadline(timeout)));
}

Task<Status> do_append(Core core, std::string id, Source source, Timeout timeout) {
  CAIRN_CO_TRY(parsed, parse_id(id));
  wire::AppendPrefix prefix;
  prefix.name_size = parsed.name.size();
  prefix.length = source.size();
  wire::Bytes head = wire::encode(prefix);
  wire::Writer(head).raw(wire::as_view(parsed.name));
  ClientCore::Request request(wire::Command::append_file, std::move(head));
  request.source = std::move(source);
  co_return drop_value(co_await core->file_request(parsed, true, Repeat::doubles,
                                                   std::move(request), core->deadline(timeout)));
}

Task<Status> do_modify(Core core, std::string id, std::uint64_t offset, Source source,
                       Timeout timeout) {
  CAIRN_CO_TRY(parsed, parse_id(id));
  wire::ModifyPrefix prefix;
  prefix.name_size = parsed.name.size();
  prefix.offset = offset;
  prefix.length = source.size();
  wire::Bytes head = wire::encode(prefix);
  wire::Writer(head).raw(wire::as_view(parsed.name));
  ClientCore::Request request(wire::Command::modify_file, std::move(head));
  request.source = std::move(source);
  co_return drop_value(co_await core->file_request(parsed, true, Repeat::harmless,
                                                   std::move(request), core->deadline(timeout)));
}

Task<Status> do_truncate(Core core, std::string id, std::uint64_t size, Timeout timeout) {
  CAIRN_CO_TRY(parsed, parse_id(id));
  wire::Truncate message;
  message.name_size = parsed.name.size();
  message.size = size;
  message.name = parsed.name;
  ClientCore::Request request(wire::Command::truncate_file, wire::encode(message));
  co_return drop_value(co_await core->file_request(parsed, true, Repeat::harmless,
                                                   std::move(request), core->deadline(timeout)));
}

Task<Result<std::string>> do_regenerate(Core core, std::string id, Timeout timeout) {
  CAIRN_CO_TRY(parsed, parse_id(id));
  ClientCore::Request request(wire::Command::regenerate_appender_name, wire::to_bytes(parsed.name));
  CAIRN_CO_TRY(reply, co_await core->file_request(parsed, true, Repeat::doubles, std::move(request),
                                                  core->deadline(timeout)));
  co_return stored_id(reply);
}

Task<Result<FileInfo>> do_info(Core core, std::string id, Timeout timeout) {
  CAIRN_CO_TRY(parsed, parse_id(id));
  ClientCore::Request request(wire::Command::query_file_info, group_file(parsed));
  CAIRN_CO_TRY(reply, co_await core->file_request(parsed, false, Repeat::harmless,
                                                  std::move(request), core->deadline(timeout)));
  CAIRN_CO_TRY(info, parse_file_info(reply));
  info.id = std::move(parsed);
  co_return info;
}

Task<Result<Metadata>> do_get_metadata(Core core, std::string id, Timeout timeout) {
  CAIRN_CO_TRY(parsed, parse_id(id));
  const Deadline deadline = core->deadline(timeout);
  ClientCore::Request request(wire::Command::get_metadata, group_file(parsed));
  auto reply =
      co_await core->file_request(parsed, false, Repeat::harmless, std::move(request), deadline);
  if (reply) co_return parse_metadata(wire::as_text(*reply));
  if (reply.code() != Errc::not_found) co_return std::move(reply).error();
  // The protocol has one status for "no such file" and "a file without metadata".
  ClientCore::Request file(wire::Command::query_file_info, group_file(parsed));
  auto there =
      co_await core->file_request(parsed, false, Repeat::harmless, std::move(file), deadline);
  if (!there) co_return std::move(there).error();
  co_return Metadata();
}

Task<Status> do_set_metadata(Core core, std::string id, Metadata metadata, bool merge,
                             Timeout timeout) {
  CAIRN_CO_TRY(parsed, parse_id(id));
  co_return co_await core->set_metadata(std::move(parsed), std::move(metadata), merge,
                                        core->deadline(timeout));
}

Task<Result<std::vector<Address>>> do_locate(Core core, std::string id, Timeout timeout) {
  CAIRN_CO_TRY(parsed, parse_id(id));
  co_return co_await core->nodes_for_file(parsed, false, core->deadline(timeout));
}

Task<Result<std::vector<GroupInfo>>> do_groups(Core core, Timeout timeout) {
  const ClientCore::Request request(wire::Command::list_all_groups, wire::Bytes());
  CAIRN_CO_TRY(reply, co_await core->ask_tracker(request, core->deadline(timeout)));
  co_return parse_groups(reply);
}

Task<Result<std::vector<StorageInfo>>> do_storages(Core core, std::string group, Timeout timeout) {
  wire::GroupRequest message;
  message.group = group;
  const ClientCore::Request request(wire::Command::list_storages, wire::encode(message));
  CAIRN_CO_TRY(reply, co_await core->ask_tracker(request, core->deadline(timeout)));
  co_return parse_storages(reply);
}

Result<Cluster> read_view(wire::View reply) {
  CAIRN_TRY(view, wire::decode_lenient<wire::ClusterView>(reply));
  Cluster cluster;
  cluster.version = view.version;
  cluster.uuid = std::move(view.cluster_uuid);
  for (wire::NodeView& from : view.nodes) {
    ClusterNode node;
    node.id = from.id;
    node.uuid = std::move(from.uuid);
    node.group = std::move(from.group);
    node.address = Address(std::move(from.host), from.port);
    node.http_port = from.http_port;
    node.state = static_cast<NodeState>(from.state);
    node.draining = from.draining;
    node.store_path_count = from.store_path_count;
    cluster.nodes.push_back(std::move(node));
  }
  return cluster;
}

wire::Bytes view_request(std::string group) {
  wire::ViewRequest message;
  message.group = std::move(group);
  return wire::encode(message);
}

constexpr auto kClusterView = static_cast<std::uint8_t>(wire::NativeCommand::cluster_view);
constexpr auto kAdmin = static_cast<std::uint8_t>(wire::NativeCommand::admin);

Task<Result<Cluster>> do_cluster(Core core, std::string group, Timeout timeout) {
  ClientCore::Request request(kClusterView, view_request(std::move(group)));
  request.native = true;
  CAIRN_CO_TRY(reply, co_await core->ask_tracker(request, core->deadline(timeout)));
  co_return read_view(reply);
}

Task<Result<Cluster>> do_cluster_at(Core core, Address tracker, std::string group,
                                    Timeout timeout) {
  CAIRN_CO_TRY(reply,
               co_await core->native_call(std::move(tracker), kClusterView,
                                          view_request(std::move(group)), core->deadline(timeout)));
  co_return read_view(reply);
}

Task<Result<std::string>> do_admin(Core core, std::string json, Timeout timeout) {
  ClientCore::Request request(kAdmin, wire::to_bytes(json));
  request.native = true;
  CAIRN_CO_TRY(reply, co_await core->ask_tracker(request, core->deadline(timeout)));
  co_return std::string(wire::as_text(reply));
}

Task<Result<std::string>> do_admin_at(Core core, Address daemon, std::string json,
                                      Timeout timeout) {
  CAIRN_CO_TRY(reply, co_await core->native_call(std::move(daemon), kAdmin, wire::to_bytes(json),
                                                 core->deadline(timeout)));
  co_return std::string(wire::as_text(reply));
}

Task<Result<std::vector<std::byte>>> do_native_call(Core core, Address daemon, std::uint8_t command,
                                                    std::vector<std::byte> body, Timeout timeout) {
  co_return co_await core->native_call(std::move(daemon), command, std::move(body),
                                       core->deadline(timeout));
}

} // namespace

AsyncClient::AsyncClient(boost::asio::io_context& io, ClientOptions options)
    : core_(std::make_shared<ClientCore>(io, std::move(options))) {}
AsyncClient::~AsyncClient() = default;
AsyncClient::AsyncClient(AsyncClient&&) noexcept = default;
AsyncClient& AsyncClient::operator=(AsyncClient&&) noexcept = default;

Awaitable<Result<std::string>> AsyncClient::upload(Source source, UploadOptions options) {
  return do_upload(core_, std::move(source), std::move(options));
}

Awaitable<Result<std::string>> AsyncClient::upload_slave(std::string master_id, std::string prefix,
                                                         std::string extension, Source source,
                                                         UploadOptions options) {
  return do_upload_slave(core_, std::move(master_id), std::move(prefix), std::move(extension),
                         std::move(source), std::move(options));
}

Awaitable<Result<Downloaded>> AsyncClient::download(std::string id, Sink sink,
                                                    DownloadOptions options) {
  return do_download(core_, std::move(id), std::move(sink), std::move(options));
}

Awaitable<Status> AsyncClient::remove(std::string id, Timeout timeout) {
  return do_remove(core_, std::move(id), timeout);
}

Awaitable<Status> AsyncClient::append(std::string id, Source source, Timeout timeout) {
  return do_append(core_, std::move(id), std::move(source), timeout);
}

Awaitable<Status> AsyncClient::modify(std::string id, std::uint64_t offset, Source source,
                                      Timeout timeout) {
  return do_modify(core_, std::move(id), offset, std::move(source), timeout);
}

Awaitable<Status> AsyncClient::truncate(std::string id, std::uint64_t size, Timeout timeout) {
  return do_truncate(core_, std::move(id), size, timeout);
}

Awaitable<Result<std::string>> AsyncClient::regenerate(std::string id, Timeout timeout) {
  return do_regenerate(core_, std::move(id), timeout);
}

Awaitable<Result<Metadata>> AsyncClient::get_metadata(std::string id, Timeout timeout) {
  return do_get_metadata(core_, std::move(id), timeout);
}

Awaitable<Status> AsyncClient::set_metadata(std::string id, Metadata metadata, bool merge,
                                            Timeout timeout) {
  return do_set_metadata(core_, std::move(id), std::move(metadata), merge, timeout);
}

Awaitable<Result<FileInfo>> AsyncClient::info(std::string id, Timeout timeout) {
  return do_info(core_, std::move(id), timeout);
}

Awaitable<Result<std::vector<Address>>> AsyncClient::locate(std::string id, Timeout timeout) {
  return do_locate(core_, std::move(id), timeout);
}

Awaitable<Result<std::vector<GroupInfo>>> AsyncClient::groups(Timeout timeout) {
  return do_groups(core_, timeout);
}

Awaitable<Result<std::vector<StorageInfo>>> AsyncClient::storages(std::string group,
                                                                  Timeout timeout) {
  return do_storages(core_, std::move(group), timeout);
}

Awaitable<Result<Cluster>> AsyncClient::cluster(std::string group, Timeout timeout) {
  return do_cluster(core_, std::move(group), timeout);
}

Awaitable<Result<Cluster>> AsyncClient::cluster_at(Address tracker, std::string group,
                                                   Timeout timeout) {
  return do_cluster_at(core_, std::move(tracker), std::move(group), timeout);
}

Awaitable<Result<std::string>> AsyncClient::admin(std::string json, Timeout timeout) {
  return do_admin(core_, std::move(json), timeout);
}

Awaitable<Result<std::string>> AsyncClient::admin_at(Address daemon, std::string json,
                                                     Timeout timeout) {
  return do_admin_at(core_, std::move(daemon), std::move(json), timeout);
}

Awaitable<Result<std::vector<std::byte>>> AsyncClient::native_call(Address daemon,
                                                                   std::uint8_t command,
                                                                   std::vector<std::byte> body,
                                                                   Timeout timeout) {
  return do_native_call(core_, std::move(daemon), command, std::move(body), timeout);
}

} // namespace cairn
