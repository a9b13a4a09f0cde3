// Requests, retries and the choice of daemons.
#include "client/core.h"

#include "common/wire/copies.h"
#include "common/wire/fastdfs.h"

#include <algorithm>
#include <cerrno>
#include <sys/socket.h>

namespace cairn {

namespace {

// Moved between disk and socket at once; a whole smaller upload leaves in one write.
constexpr std::size_t kPieceSize = 256 * 1024;
// Asking the tracker again for a place in another group, when the first one failed.
constexpr int kOtherGroupTries = 3;
constexpr std::size_t kHelperThreads = 2;

Endpoint endpoint_of(const Address& address) {
  return Endpoint{address.host, address.port};
}

Error out_of_time() {
  return Error{Errc::timeout, "the time for this operation is over"};
}

// A peer that answers while we still send has refused.
bool has_answer(Connection& connection) {
  if (connection.has_buffered()) return true;
  std::byte probe{};
  return ::recv(connection.socket().native_handle(), &probe, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

} // namespace

ClientCore::ClientCore(asio::io_context&, ClientOptions options)
    : options_(std::move(options)),
      identity_(read_identity(options_)),
      plain_(identity_.client_hello, identity_.client_credentials, options_.connect_timeout),
      native_(identity_.admin_hello, identity_.admin_credentials, options_.connect_timeout),
      helpers_("cairn-client", kHelperThreads) {}

Error ClientCore::Exchange::error() && {
  Error error = std::move(reply).error();
  if (reached == Reached::answer) error.detail = "answer of storage node " + error.detail;
  return error;
}

Deadline ClientCore::deadline(Timeout timeout) const {
  const auto total = timeout.value.count() > 0 ? timeout.value : options_.operation_timeout;
  return Deadline(total, options_.network_timeout);
}

void ClientCore::note(const Address& address, Reached reached, Errc code) {
  // A source or sink of the caller that fails says nothing about the daemon.
  const bool network = code == Errc::timeout || code == Errc::closed || code == Errc::unavailable;
  if (reached == Reached::answer) {
    health_.answered(address);
  } else if (network) {
    health_.failed(address, Health::Clock::now());
    if (placement_) placement_->failed(address);
  }
}

Task<Status> ClientCore::rewind(const Request& request) {
  if (!request.source || request.source->body().view()) co_return Status();
  Source::Body& body = request.source->body();
  if (!body.repeatable())
    co_return Error{Errc::unavailable,
                    "the upload broke off and its source cannot be read a second time"};
  auto work = [&body] { return body.rewind(); };
  co_return co_await helpers_.run(std::move(work));
}

Task<Status> ClientCore::send_source(FrameClient& client, const Request& request,
                                     Deadline deadline) {
  Connection& connection = client.connection();
  Source::Body& body = request.source->body();
  const std::uint64_t total = body.size();
  const auto memory = body.view();
  wire::Buffer buffer(
      memory ? 0 : static_cast<std::size_t>(std::min<std::uint64_t>(total, kPieceSize)));
  for (std::uint64_t done = 0; done < total;) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(total - done, kPieceSize));
    wire::View piece;
    if (memory) {
      piece = memory->subspan(static_cast<std::size_t>(done), size);
    } else {
      auto work = [&body, out = buffer.span().first(size)] { return body.read(out); };
      CAIRN_CO_RETURN_IF_ERROR(co_await helpers_.run(std::move(work)));
      piece = buffer.view().first(size);
    }
    if (deadline.passed()) co_return out_of_time();
    if (done > 0 && has_answer(connection))
      co_return Error{Errc::closed, connection.peer() + ": answered before the end of the upload"};
    connection.set_deadline(deadline.step());
    CAIRN_CO_RETURN_IF_ERROR(co_await connection.write(piece, done + size < total));
    done += size;
    if (request.progress) request.progress(done, total);
  }
  co_return Status();
}

Task<ClientCore::Exchange> ClientCore::try_exchange(const Address& address, const Request& request,
                                                    Deadline deadline, bool fresh, bool& stale) {
  stale = false;
  // Without what it was told to prove, a client does not speak at all.
  if (identity_.failure) co_return Exchange(Reached::answer, *identity_.failure);
  ClientPool& pool = request.native ? native_ : plain_;
  auto lease = co_await pool.acquire(endpoint_of(address), fresh);
  if (!lease) {
    // A name that does not resolve is a daemon that cannot be reached, not a file that is missing.
    Error error = std::move(lease).error();
    if (error.code == Errc::not_found) error.code = Errc::unavailable;
    co_return Exchange(Reached::nothing, std::move(error));
  }
  if (deadline.passed()) co_return Exchange(Reached::nothing, out_of_time());
  FrameClient& client = **lease;
  Connection& connection = client.connection();
  connection.set_deadline(deadline.step());

  const std::uint64_t source_size = request.source ? request.source->size() : 0;
  const wire::FrameHeader header{request.head.size() + source_size, request.command, request.flags};
  wire::Bytes start = wire::encode(header);
  start.insert(start.end(), request.head.begin(), request.head.end());
  Status sent = co_await connection.write(start, source_size > 0);
  if (sent && source_size > 0) sent = co_await send_source(client, request, deadline);

  Reached reached = sent ? Reached::sent : Reached::part;
  if (!sent) {
    // What is left unsent makes the connection useless; but the daemon may have said why it stopped
    // reading.
    client.mark_broken();
    if (sent.code() != Errc::closed || !connection.is_open() || !has_answer(connection)) {
      stale = sent.code() == Errc::closed && lease->reused();
      co_return Exchange(reached, std::move(sent).error());
    }
  }

  auto size = co_await client.receive();
  if (!size) {
    // receive() leaves the connection usable exactly when it read a status.
    const bool answered = client.is_usable() ||
                          (!sent && size.code() != Errc::closed && size.code() != Errc::timeout);
    if (!answered) {
      stale = size.code() == Errc::closed && lease->reused();
      co_return Exchange(reached, std::move(size).error());
    }
    // A storage node closes the connection after this status.
    if (size.code() == Errc::invalid_argument) client.mark_broken();
    co_return Exchange(Reached::answer, std::move(size).error());
  }
  if (!sent) {
    Error odd(Errc::closed, connection.peer() + " answered success to half an upload");
    co_return Exchange(reached, std::move(odd));
  }
  if (*size > kReplyMax) {
    client.mark_broken();
    Error odd(Errc::invalid_argument,
              connection.peer() + ": a reply of " + std::to_string(*size) + " bytes is too long");
    co_return Exchange(Reached::answer, std::move(odd));
  }
  wire::Bytes reply(static_cast<std::size_t>(*size));
  if (auto got = co_await connection.read_exact(reply); !got) {
    client.mark_broken();
    co_return Exchange(Reached::sent, std::move(got).error());
  }
  connection.clear_deadline();
  co_return Exchange(Reached::answer, std::move(reply));
}

Task<ClientCore::Exchange> ClientCore::exchange(Address address, const Request& request,
                                                Deadline deadline) {
  bool stale = false;
  Exchange result = co_await try_exchange(address, request, deadline, false, stale);
  // A kept connection that turns out to be dead says nothing about the daemon, as long as the
  // request cannot have arrived.
  if (stale && result.reached == Reached::part) {
    if (auto back = co_await rewind(request); !back)
      co_return Exchange(Reached::part, std::move(back).error());
    result = co_await try_exchange(address, request, deadline, true, stale);
  }
  note(address, result.reached, result.reply.code());
  co_return result;
}

namespace {
constexpr std::chrono::milliseconds kTrackerPatience{3000};
constexpr std::chrono::milliseconds kTrackerPause{150};
} // namespace

Task<Result<wire::Bytes>> ClientCore::ask_tracker(const Request& request, Deadline deadline) {
  if (options_.trackers.empty())
    co_return Error{Errc::invalid_argument, "no tracker is configured"};
  std::optional<Error> answer; // of a tracker that was reached
  std::optional<Error> last;
  // A restarting tracker is back within a second or two: worth waiting for when there is no other.
  const auto patience = Health::Clock::now() + kTrackerPatience;
  const std::vector<Address> order = health_.order(options_.trackers, Health::Clock::now());
  for (;;) {
    for (const Address& tracker : order) {
      if (deadline.passed()) break;
      Exchange asked = co_await exchange(tracker, request, deadline);
      if (asked.reached == Reached::answer && !asked.reply && !asked.reply.error().detail.empty() &&
          !answer) {
        answer = asked.reply.error();
      }
      if (asked.reply) co_return std::move(asked.reply);
      last = asked.reply.error();
    }
    if (answer || deadline.passed() || Health::Clock::now() >= patience) break;
    asio::steady_timer pause(co_await asio::this_coro::executor, kTrackerPause);
    auto [ignored] = co_await pause.async_wait(as_result);
    if (ignored) break;
  }
  if (answer) {
    answer->detail = "tracker " + answer->detail;
    co_return *answer;
  }
  if (!last) co_return out_of_time();
  const std::string which = order.size() == 1 ? "the tracker cannot be reached: "
                                              : "no tracker can be reached, the last: ";
  co_return Error{Errc::unavailable, which + last->detail};
}

Task<Error> ClientCore::lost_or_unknown_group(std::string group, Deadline deadline) {
  wire::GroupRequest message;
  message.group = group;
  const Request request(wire::Command::list_group, wire::encode(message));
  auto known = co_await ask_tracker(request, deadline);
  if (known) {
    co_return Error(Errc::unavailable, "no node of " + group + " can take this at the moment");
  }
  if (known.code() == Errc::not_found) {
    co_return Error(Errc::not_found, "there is no group " + group);
  }
  co_return std::move(known).error();
}

Task<Result<wire::Bytes>> ClientCore::ask_for_node(const Request& request, std::string group,
                                                   Deadline deadline) {
  const auto patience = Health::Clock::now() + kTrackerPatience;
  for (;;) {
    auto reply = co_await ask_tracker(request, deadline);
    if (reply || reply.code() != Errc::not_found) co_return std::move(reply);
    Error none(Errc::unavailable, "no storage node takes uploads at the moment");
    if (!group.empty()) none = co_await lost_or_unknown_group(group, deadline);
    if (none.code != Errc::unavailable || deadline.passed() || Health::Clock::now() >= patience)
      co_return std::move(none);
    asio::steady_timer pause(co_await asio::this_coro::executor, kTrackerPause);
    auto [ignored] = co_await pause.async_wait(as_result);
    if (ignored) co_return std::move(none);
  }
}

Task<Result<StorePlace>> ClientCore::place_for_upload(std::string group,
                                                      const std::set<Address>& tried,
                                                      Deadline deadline) {
  wire::GroupRequest message;
  message.group = group;
  const Request one(
      group.empty() ? wire::Command::query_store : wire::Command::query_store_in_group,
      group.empty() ? wire::Bytes() : wire::encode(message));
  if (placement_ && tried.empty()) {
    const auto now = Placement::Clock::now();
    auto last = placement_->place(group, now);
    if (last && health_.healthy(last->address, now)) co_return *std::move(last);
  }
  for (int turn = 0; turn <= (tried.empty() ? 0 : kOtherGroupTries); ++turn) {
    CAIRN_CO_TRY(reply, co_await ask_for_node(one, group, deadline));
    CAIRN_CO_TRY(place, parse_store_one(reply));
    if (!tried.contains(place.address)) {
      if (placement_) placement_->remember(group, place, Placement::Clock::now());
      co_return place;
    }

    message.group = place.group;
    const Request all(wire::Command::query_store_in_group_all, wire::encode(message));
    auto members = co_await ask_tracker(all, deadline);
    if (members) {
      CAIRN_CO_TRY(places, parse_store_all(*members));
      for (StorePlace& other : places) {
        if (tried.contains(other.address)) continue;
        other.store_path = 0xFF;
        co_return std::move(other);
      }
    }
    if (!group.empty()) break;
  }
  co_return Error{Errc::unavailable, "no other storage node takes uploads"};
}

Task<Result<Placement::View>> ClientCore::cluster_view(Deadline deadline) {
  const auto now = Placement::Clock::now();
  if (placement_) {
    if (auto known = placement_->view(now)) co_return known;
  }
  const wire::ViewRequest everything;
  const Request request(static_cast<std::uint8_t>(wire::NativeCommand::cluster_view),
                        wire::encode(everything));
  CAIRN_CO_TRY(reply, co_await ask_tracker(request, deadline));
  CAIRN_CO_TRY(view, wire::decode_lenient<wire::ClusterView>(reply));
  auto shared = std::make_shared<const wire::ClusterView>(std::move(view));
  if (placement_) placement_->learn(shared, now);
  co_return shared;
}

Task<Result<std::vector<Address>>> ClientCore::nodes_for_file(const ParsedId& id, bool update,
                                                              Deadline deadline) {
  wire::GroupFile file;
  file.group = id.group;
  file.name = id.name;
  const Request one(update ? wire::Command::query_update : wire::Command::query_fetch_one,
                    wire::encode(file));
  std::vector<Address> nodes;
  auto add = [&nodes](Address address) {
    if (std::find(nodes.begin(), nodes.end(), address) == nodes.end())
      nodes.push_back(std::move(address));
  };
  CAIRN_CO_TRY(chosen, co_await ask_for_node(one, id.group, deadline));
  CAIRN_CO_TRY(first, parse_fetch_one(chosen));
  add(std::move(first));

  const Request holders(wire::Command::query_fetch_all, wire::encode(file));
  if (auto reply = co_await ask_tracker(holders, deadline)) {
    if (auto all = parse_fetch_all(*reply)) {
      for (Address& address : *all) add(std::move(address));
    }
  }
  // Every member of a group answers for every file of it, whatever the tracker lists as holders.
  wire::GroupRequest group;
  group.group = id.group;
  const Request members(wire::Command::query_store_in_group_all, wire::encode(group));
  if (auto reply = co_await ask_tracker(members, deadline)) {
    if (auto all = parse_store_all(*reply)) {
      for (StorePlace& place : *all) add(std::move(place.address));
    }
  }
  co_return nodes;
}

Task<Result<Address>> ClientCore::node_for_file(const ParsedId& id, bool update,
                                                const std::set<Address>& tried, Deadline deadline) {
  if (placement_ && tried.empty() && !update) {
    static_cast<void>(co_await cluster_view(deadline)); // so that it is fresh
    const auto now = Placement::Clock::now();
    auto source = placement_->source_of(id.group, id.name, now);
    if (source && health_.healthy(*source, now)) co_return *std::move(source);
  }
  if (tried.empty()) {
    wire::GroupFile file;
    file.group = id.group;
    file.name = id.name;
    const Request one(update ? wire::Command::query_update : wire::Command::query_fetch_one,
                      wire::encode(file));
    CAIRN_CO_TRY(chosen, co_await ask_for_node(one, id.group, deadline));
    co_return parse_fetch_one(chosen);
  }
  CAIRN_CO_TRY(nodes, co_await nodes_for_file(id, update, deadline));
  for (Address& node : nodes) {
    if (!tried.contains(node)) co_return std::move(node);
  }
  co_return Error{Errc::unavailable, "no other node of " + id.group + " is left to ask"};
}

Task<Result<wire::Bytes>> ClientCore::file_request(ParsedId id, bool update, Repeat repeat,
                                                   Request request, Deadline deadline) {
  std::set<Address> tried;
  std::optional<Error> last;
  for (unsigned attempt = 0; attempt < std::max(1U, options_.attempts_max); ++attempt) {
    auto node = co_await node_for_file(id, update, tried, deadline);
    // The failure of the node that was asked says more than that there is no other.
    if (!node) co_return last ? *last : std::move(node).error();
    if (attempt > 0) CAIRN_CO_RETURN_IF_ERROR(co_await rewind(request));
    Exchange asked = co_await exchange(*node, request, deadline);
    if (asked.reply) co_return std::move(asked.reply);
    switch (judge(repeat, asked.reached, asked.reply.code())) {
      case Verdict::fail:
        co_return std::move(asked).error();
      case Verdict::unknown:
        co_return unknown_outcome(asked.reply.error());
      case Verdict::try_other:
        break;
    }
    last = std::move(asked).error();
    tried.insert(*node);
    if (deadline.passed()) break;
  }
  co_return *last;
}

namespace {
Status validate_upload(const UploadOptions& options) {
  if (options.copies > wire::kCopiesMask)
    return Error{Errc::invalid_argument, "at most 31 copies can be asked for"};
  return validate_metadata(options.metadata);
}

std::uint8_t copies_flags(const UploadOptions& options) {
  if (options.copies == 0) return 0;
  return static_cast<std::uint8_t>(options.copies |
                                   (options.copies_of_members ? wire::kCopiesOfMembers : 0U));
}

// The file's ID in the reply to an upload. Errors: invalid_argument; timeout (stored, but refused
// for too few copies).
Result<std::string> uploaded_id(wire::View reply, const UploadOptions& options) {
  if (options.copies == 0) return stored_id(reply);
  CAIRN_TRY(stored, wire::decode_lenient<wire::StoredCopies>(reply));
  if (stored.id.empty())
    return Error{Errc::invalid_argument, "the storage node answered an upload without a file ID"};
  if (options.on_copies) options.on_copies(stored.have, stored.wanted);
  if (stored.refused) {
    Error error(Errc::timeout, stored.id + " is stored on " + std::to_string(stored.have) + " of " +
                                   std::to_string(stored.wanted) + " nodes only");
    error.outcome_unknown = true;
    return error;
  }
  return std::move(stored.id);
}
} // namespace

Task<Result<std::string>> ClientCore::upload(Source source, UploadOptions options) {
  CAIRN_CO_RETURN_IF_ERROR(validate_upload(options));
  const Deadline deadline = this->deadline(options.timeout);
  std::set<Address> tried;
  std::optional<Error> last;
  for (unsigned attempt = 0; attempt < std::max(1U, options_.attempts_max); ++attempt) {
    auto place = co_await place_for_upload(options.group, tried, deadline);
    if (!place) co_return last ? *last : std::move(place).error();
    wire::UploadPrefix prefix;
    prefix.store_path = place->store_path;
    prefix.file_size = source.size();
    prefix.extension = options.extension;
    Request request(
        options.appender ? wire::Command::upload_appender_file : wire::Command::upload_file,
        wire::encode(prefix));
    request.source = source;
    request.progress = options.progress;
    request.flags = copies_flags(options);
    if (attempt > 0) CAIRN_CO_RETURN_IF_ERROR(co_await rewind(request));
    Exchange sent = co_await exchange(place->address, request, deadline);
    if (sent.reply) {
      CAIRN_CO_TRY(id, uploaded_id(*sent.reply, options));
      if (!options.metadata.empty()) {
        CAIRN_CO_TRY(parsed, parse_id(id));
        Status set = co_await set_metadata(parsed, options.metadata, false, deadline);
        if (!set) {
          Error error = std::move(set).error();
          error.detail = id + " was stored, but its metadata could not be set: " + error.detail;
          co_return error;
        }
      }
      co_return id;
    }
    switch (judge(Repeat::doubles, sent.reached, sent.reply.code())) {
      case Verdict::fail:
        co_return std::move(sent).error();
      case Verdict::unknown:
        co_return unknown_outcome(sent.reply.error());
      case Verdict::try_other:
        break;
    }
    last = std::move(sent).error();
    tried.insert(place->address);
    if (deadline.passed()) break;
  }
  co_return *last;
}

Task<Result<std::string>> ClientCore::upload_slave(std::string master_id, std::string prefix,
                                                   std::string extension, Source source,
                                                   UploadOptions options) {
  CAIRN_CO_RETURN_IF_ERROR(validate_upload(options));
  CAIRN_CO_TRY(master, parse_id(master_id));
  const Deadline deadline = this->deadline(options.timeout);
  wire::SlavePrefix head;
  head.master_size = master.name.size();
  head.file_size = source.size();
  head.prefix = prefix;
  head.extension = extension;
  wire::Bytes body = wire::encode(head);
  wire::Writer(body).raw(wire::as_view(master.name));
  Request request(wire::Command::upload_slave_file, std::move(body));
  request.source = std::move(source);
  request.progress = options.progress;
  request.flags = copies_flags(options);
  CAIRN_CO_TRY(reply,
               co_await file_request(master, true, Repeat::doubles, std::move(request), deadline));
  CAIRN_CO_TRY(id, uploaded_id(reply, options));
  if (!options.metadata.empty()) {
    CAIRN_CO_TRY(parsed, parse_id(id));
    CAIRN_CO_RETURN_IF_ERROR(co_await set_metadata(parsed, options.metadata, false, deadline));
  }
  co_return id;
}

Task<Status> ClientCore::set_metadata(ParsedId id, Metadata metadata, bool merge,
                                      Deadline deadline) {
  CAIRN_CO_RETURN_IF_ERROR(validate_metadata(metadata));
  const std::string text = metadata_text(metadata);
  wire::SetMetadataPrefix prefix;
  prefix.name_size = id.name.size();
  prefix.meta_size = text.size();
  prefix.flag = merge ? 'M' : 'O';
  prefix.group = id.group;
  wire::Bytes body = wire::encode(prefix);
  wire::Writer writer(body);
  writer.raw(wire::as_view(id.name));
  writer.raw(wire::as_view(text));
  Request request(wire::Command::set_metadata, std::move(body));
  auto reply = co_await file_request(id, true, Repeat::harmless, std::move(request), deadline);
  if (!reply) co_return std::move(reply).error();
  co_return Status();
}

Task<Result<wire::Bytes>> ClientCore::native_call(Address daemon, std::uint8_t command,
                                                  wire::Bytes body, Deadline deadline) {
  Request request(command, std::move(body));
  request.native = true;
  Exchange asked = co_await exchange(daemon, request, deadline);
  if (asked.reply || asked.reached == Reached::answer) co_return std::move(asked.reply);
  Error error = std::move(asked.reply).error();
  // A dead kept connection may show only at the answer; what these commands do may be repeated, but
  // whether a change was made is for the caller to look up.
  error.outcome_unknown = asked.reached == Reached::sent;
  if (error.code == Errc::closed) error.code = Errc::unavailable;
  co_return error;
}

Result<std::string> stored_id(wire::View reply) {
  CAIRN_TRY(stored, wire::decode<wire::StoredFile>(reply));
  if (stored.group.empty() || stored.name.empty())
    return Error{Errc::invalid_argument, "the storage node answered an upload without a file ID"};
  return stored.group + "/" + stored.name;
}

} // namespace cairn
