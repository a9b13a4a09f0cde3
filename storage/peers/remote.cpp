// Requests to other members of the group.
#include "storage/peers/remote.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <tuple>
#include <utility>

namespace cairn::storage {

namespace {

constexpr std::size_t kPiece = 128 * 1024;
constexpr std::size_t kMissingMax = 10'000;
constexpr std::chrono::milliseconds kBelieved{1000};
constexpr std::chrono::milliseconds kLeftAlone{1000};

std::size_t piece_size(std::uint64_t bytes) {
  return static_cast<std::size_t>(std::min<std::uint64_t>(bytes, kPiece));
}

std::uint8_t number(wire::NativeCommand command) {
  return static_cast<std::uint8_t>(command);
}

// Codes that are an answer about the file; every other error says that the peer could not be asked.
bool is_definite(const Error& error) {
  return error.code == Errc::not_found || error.code == Errc::invalid_argument;
}

// Sorts an answer that the connection gave: after an error that broke it, whatever its code, the
// peer has said nothing about the file.
Error as_answer(Error error, bool is_usable) {
  if (is_usable || !is_definite(error)) return error;
  return Error{Errc::closed, std::move(error.detail)};
}

} // namespace

// --- RemoteFile ---------------------------------------------------------------------------------

RemoteFile::RemoteFile(ClientPool::Lease lease, const wire::FetchHead& head, std::uint64_t bytes,
                       std::chrono::milliseconds io_timeout)
    : file_size(head.file_size),
      mtime(head.mtime),
      length(bytes),
      lease_(std::make_unique<ClientPool::Lease>(std::move(lease))),
      left_(bytes),
      io_timeout_(io_timeout) {}

RemoteFile::~RemoteFile() {
  if (lease_ && left_ > 0) (*lease_)->mark_broken();
}

Task<Result<std::size_t>> RemoteFile::read_some(std::span<std::byte> out) {
  const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(left_, out.size()));
  if (wanted == 0) co_return std::size_t{0};
  Connection& from = (*lease_)->connection();
  from.set_deadline(io_timeout_);
  CAIRN_CO_TRY(count, co_await from.read_some(out.first(wanted)));
  // While the taker is busy with these bytes the peer cannot be late.
  from.clear_deadline();
  left_ -= count;
  co_return count;
}

Task<Status> RemoteFile::stream_to(Connection& to) {
  wire::Buffer buffer(piece_size(left_));
  while (left_ > 0) {
    CAIRN_CO_TRY(count, co_await read_some(buffer.span()));
    to.set_deadline(io_timeout_);
    CAIRN_CO_RETURN_IF_ERROR(co_await to.write(buffer.view().first(count)));
  }
  co_return Status();
}

Task<Result<wire::Bytes>> RemoteFile::read_all(std::uint64_t bytes_max) {
  if (left_ > bytes_max)
    co_return Error{Errc::invalid_argument,
                    "file part of " + std::to_string(left_) + " bytes is too long"};
  wire::Bytes bytes(static_cast<std::size_t>(left_));
  std::span<std::byte> out(bytes);
  while (!out.empty()) {
    CAIRN_CO_TRY(count, co_await read_some(out));
    out = out.subspan(count);
  }
  co_return bytes;
}

// --- Remote -------------------------------------------------------------------------------------

Remote::Remote(const Peers& peers, wire::Hello hello, Credentials credentials,
               std::chrono::milliseconds connect_timeout, std::chrono::milliseconds io_timeout)
    : peers_(peers),
      pool_(std::move(hello), std::move(credentials), connect_timeout),
      answer_timeout_(std::min(io_timeout, 3 * connect_timeout)),
      io_timeout_(io_timeout),
      map_(peers.get()),
      missing_(kBelieved, kMissingMax),
      absent_(kBelieved, kMissingMax),
      reachability_(kLeftAlone) {}

std::shared_ptr<const PeerMap> Remote::current_map() {
  auto map = peers_.get();
  if (map != map_) {
    missing_.clear();
    absent_.clear();
    reachability_.clear();
    map_ = map;
  }
  return map;
}

std::vector<wire::NodeView> Remote::candidates(const PeerMap& map, const RemoteName& name) const {
  const wire::NodeView* source = nullptr;
  if (const auto& fields = name.fields()) source = map.resolve(fields->source);
  const std::uint32_t source_id = source == nullptr ? 0 : source->id;
  // The content of an appender file is up to date at its source only, so that one is asked first
  // even if the trackers have not heard of it lately.
  const bool changes = name.kind() == FileKind::appender;

  std::vector<wire::NodeView> nodes = map.members();
  const auto rank = [&](const wire::NodeView& node) {
    const bool is_source = node.id == source_id;
    const bool is_offline = node.state == wire::NodeState::offline;
    return std::tuple(reachability_.is_suspect(endpoint_of(node)),
                      is_offline && !(is_source && changes), !is_source,
                      node.state != wire::NodeState::active, node.id);
  };
  std::sort(nodes.begin(), nodes.end(),
            [&](const wire::NodeView& a, const wire::NodeView& b) { return rank(a) < rank(b); });
  return nodes;
}

Task<Result<ClientPool::Lease>> Remote::reach(Endpoint endpoint, bool fresh) {
  if (!reachability_.may_try(endpoint, std::chrono::steady_clock::now()))
    co_return Error{Errc::timeout, endpoint.text() + ": could not be reached a moment ago"};
  auto lease = co_await pool_.acquire(endpoint, fresh);
  if (!lease) {
    reachability_.failed(endpoint, std::chrono::steady_clock::now());
    co_return Error{Errc::timeout, endpoint.text() + ": " + std::move(lease).error().text()};
  }
  reachability_.succeeded(endpoint);
  co_return lease;
}

void Remote::note_failure(const Endpoint& endpoint, ClientPool::Lease& lease) {
  if (!lease->is_usable()) reachability_.failed(endpoint, std::chrono::steady_clock::now());
}

Task<Result<RemoteFile>> Remote::fetch(Endpoint endpoint, wire::Fetch request) {
  const wire::Bytes body = wire::encode(request);
  const wire::Bytes frame = wire::make_frame(number(wire::NativeCommand::fetch), 0, body);
  for (bool fresh = false;; fresh = true) {
    CAIRN_CO_TRY(lease, co_await reach(endpoint, fresh));
    Connection& connection = lease->connection();
    connection.set_deadline(answer_timeout_);
    Status sent = co_await connection.write(frame);
    if (!sent) lease->mark_broken();
    Result<std::uint64_t> size = sent.error();
    if (sent) size = co_await lease->receive();
    if (!size) {
      // A reused connection may have died while it was idle; nothing was answered on it.
      if (size.code() == Errc::closed && lease.reused() && !fresh) continue;
      note_failure(endpoint, lease);
      co_return as_answer(std::move(size).error(), lease->is_usable());
    }

    std::array<std::byte, wire::size_of<wire::FetchHead>> raw;
    Status got = Error{Errc::closed, endpoint.text() + ": malformed reply to fetch"};
    if (*size >= raw.size()) got = co_await connection.read_exact(raw);
    if (!got) {
      lease->mark_broken();
      note_failure(endpoint, lease);
      co_return as_answer(std::move(got).error(), false);
    }
    CAIRN_CO_TRY(head, wire::decode<wire::FetchHead>(raw));
    const std::uint64_t bytes = *size - raw.size();
    if (request.offset > head.file_size || bytes > head.file_size - request.offset ||
        (request.length != 0 && bytes > request.length)) {
      lease->mark_broken();
      co_return Error{Errc::closed, endpoint.text() + ": reply to fetch does not fit its request"};
    }
    connection.clear_deadline();
    co_return RemoteFile(std::move(lease), head, bytes, io_timeout_);
  }
}

Task<Result<wire::Bytes>> Remote::ask(Endpoint endpoint, wire::NativeCommand command,
                                      wire::Bytes body) {
  for (bool fresh = false;; fresh = true) {
    CAIRN_CO_TRY(lease, co_await reach(endpoint, fresh));
    auto reply = co_await lease->call(number(command), body, io_timeout_);
    if (reply) co_return reply;
    if (reply.code() == Errc::closed && lease.reused() && !fresh) continue;
    note_failure(endpoint, lease);
    co_return as_answer(std::move(reply).error(), lease->is_usable());
  }
}

Task<Result<RemoteFile>> Remote::open(const RemoteName& name, std::uint64_t offset,
                                      std::uint64_t length) {
  const auto map = current_map();
  if (!map->is_known())
    co_return Error{Errc::timeout, "the members of the group are not known yet"};
  const std::string canonical = name.canonical();
  if (missing_.contains(canonical, std::chrono::steady_clock::now()))
    co_return Error{Errc::not_found, canonical + ": no member has it"};

  std::optional<Error> beyond_end; // a member that has the file says so
  std::optional<Error> damaged;    // a member has a damaged copy
  std::string unasked;             // why somebody could not be asked
  const std::vector<wire::NodeView> nodes = candidates(*map, name);
  for (const wire::NodeView& node : nodes) {
    wire::Fetch request{canonical, offset, length};
    auto file = co_await fetch(endpoint_of(node), std::move(request));
    if (file) co_return file;
    if (file.code() == Errc::invalid_argument) {
      beyond_end = std::move(file).error();
      // A file that does not change ends at the same place everywhere; an appender's copy may be
      // behind, but then somebody else has more of it.
      if (name.kind() != FileKind::appender) co_return std::move(*beyond_end);
    } else if (file.code() == Errc::io_error) {
      damaged = std::move(file).error();
    } else if (file.code() != Errc::not_found) {
      unasked = file.error().text();
    }
  }
  if (!unasked.empty()) co_return Error{Errc::timeout, std::move(unasked)};
  if (damaged) co_return std::move(*damaged);
  if (beyond_end) co_return std::move(*beyond_end);
  // The name of a slave follows from its master's: somebody may ask for it, store it at another
  // node and ask again within the second, and must then be told that it is there.
  if (name.kind() != FileKind::slave) missing_.add(canonical, std::chrono::steady_clock::now());
  co_return Error{Errc::not_found, canonical + ": no member has it"};
}

Task<Result<RemoteFile>> Remote::open_at(const wire::NodeView& node, const RemoteName& name,
                                         std::uint64_t offset, std::uint64_t length) {
  wire::Fetch request{name.canonical(), offset, length};
  co_return co_await fetch(endpoint_of(node), std::move(request));
}

Task<Result<wire::Bytes>> Remote::ask_node(const wire::NodeView& node, wire::NativeCommand command,
                                           wire::Bytes body) {
  co_return co_await ask(endpoint_of(node), command, std::move(body));
}

Task<Result<wire::ProbeReply>> Remote::probe(const RemoteName& name) {
  const auto map = current_map();
  if (!map->is_known())
    co_return Error{Errc::timeout, "the members of the group are not known yet"};
  wire::NameRequest request{name.canonical()};
  if (absent_.contains(request.name, std::chrono::steady_clock::now()))
    co_return Error{Errc::not_found, request.name + ": no member has it"};

  const wire::Bytes body = wire::encode(request);
  std::optional<wire::ProbeReply> damaged;
  std::string unasked;
  const std::vector<wire::NodeView> nodes = candidates(*map, name);
  for (const wire::NodeView& node : nodes) {
    auto reply = co_await ask(endpoint_of(node), wire::NativeCommand::probe, body);
    if (!reply) {
      if (reply.code() != Errc::not_found) unasked = reply.error().text();
      continue;
    }
    auto answer = wire::decode_lenient<wire::ProbeReply>(*reply);
    if (!answer) {
      unasked = node.host + ": " + answer.error().text();
    } else if (answer->presence == wire::Presence::present && answer->damaged) {
      damaged = *answer;
    } else if (answer->presence != wire::Presence::absent) {
      co_return *answer;
    }
  }
  if (damaged) co_return *damaged;
  if (!unasked.empty()) co_return Error{Errc::timeout, std::move(unasked)};
  if (name.kind() != FileKind::slave) absent_.add(request.name, std::chrono::steady_clock::now());
  co_return Error{Errc::not_found, request.name + ": no member has it"};
}

Task<Result<std::string>> Remote::metadata(const RemoteName& name) {
  const auto map = current_map();
  const std::uint32_t owner_id = map->owner_of(name);
  const wire::NodeView* owner = map->find(owner_id);
  if (owner == nullptr) co_return Error{Errc::unavailable, "the file's owner is not known yet"};
  if (owner_id == map->own_id())
    co_return Error{Errc::invalid_argument, "this node is the file's owner"};
  wire::NameRequest request{name.canonical()};
  wire::Bytes body = wire::encode(request);
  auto reply = co_await ask(endpoint_of(*owner), wire::NativeCommand::fetch_meta, std::move(body));
  if (reply) co_return std::string(wire::as_text(*reply));
  if (reply.code() == Errc::not_found) co_return std::move(reply).error();
  co_return Error{Errc::unavailable, reply.error().text()};
}

Task<Result<wire::Bytes>> Remote::forward(std::uint32_t id, std::uint8_t command,
                                          std::uint8_t flags, wire::Bytes front, Body& rest) {
  const auto map = current_map();
  const wire::NodeView* owner = map->find(id);
  if (owner == nullptr || owner->state == wire::NodeState::deleted)
    co_return Error{Errc::unavailable, "node " + std::to_string(id) + " is not in the cluster"};
  const Endpoint endpoint = endpoint_of(*owner);
  auto lease = co_await reach(endpoint, false);
  if (!lease) co_return Error{Errc::unavailable, std::move(lease).error().detail};
  FrameClient& client = **lease;
  Connection& connection = client.connection();

  const std::uint64_t body_size = front.size() + rest.left();
  const wire::FrameHeader header{body_size, command, flags};
  wire::Bytes start = wire::encode(header);
  start.insert(start.end(), front.begin(), front.end());
  connection.set_deadline(io_timeout_);
  Status sent = co_await connection.write(start, rest.left() > 0);
  wire::Buffer buffer(piece_size(rest.left()));
  while (sent && rest.left() > 0) {
    // No deadline for the owner while we wait for the client: that one has its own.
    connection.clear_deadline();
    auto count = co_await rest.read_some(buffer.span());
    if (!count) {
      client.mark_broken();
      co_return std::move(count).error();
    }
    connection.set_deadline(io_timeout_);
    sent = co_await connection.write(buffer.view().first(*count));
  }

  const bool all_sent = sent.has_value();

  // An owner that refuses early answers and closes without having read everything: its reply may
  // be there although sending failed.
  connection.set_deadline(io_timeout_);
  auto size = co_await client.receive();
  if (!size && client.is_usable()) {
    if (!all_sent) client.mark_broken();
    co_return std::move(size).error(); // the owner's own answer
  }
  Status got = size ? Status() : Status(std::move(size).error());
  if (size && !all_sent) got = std::move(sent).error();
  if (size && *size > kReplyMax) got = Error{Errc::closed, endpoint.text() + ": reply is too long"};
  wire::Bytes reply;
  if (got) {
    reply.resize(static_cast<std::size_t>(*size));
    got = co_await connection.read_exact(reply);
  }
  if (got) {
    connection.clear_deadline();
    co_return reply;
  }
  client.mark_broken();
  note_failure(endpoint, *lease);
  co_return Error{all_sent ? Errc::timeout : Errc::unavailable, got.error().text()};
}

} // namespace cairn::storage
