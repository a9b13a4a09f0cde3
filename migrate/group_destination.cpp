// Requests to the nodes of one group.
#include "migrate/group_destination.h"

#include "common/wire/copies.h"

#include <algorithm>

namespace cairn::migrate {

namespace {

// Of each file, where the group has as many members: that of an export that says nothing else.
constexpr unsigned kCopies = 2;
constexpr std::chrono::seconds kCopiesTime{3};

} // namespace

GroupDestination::GroupDestination(asio::io_context& io, ClientOptions client, std::string group,
                                   Timeout timeout)
    : group_(std::move(group)),
      timeout_(timeout),
      core_(std::make_shared<ClientCore>(io, client)),
      client_(io, client),
      copies_(std::make_shared<Copies>(io.get_executor(), core_)) {
  core_->remember_placement();
}

Task<Status> GroupDestination::open() {
  const auto deadline = core_->deadline(timeout_);
  CAIRN_CO_TRY(view, co_await core_->cluster_view(deadline));
  cluster_uuid_ = view->cluster_uuid;
  const bool known = std::ranges::any_of(
      view->nodes, [this](const wire::NodeView& node) { return node.group == group_; });
  if (!known) co_return Error{Errc::not_found, "there is no storage node of group " + group_};
  co_return Status();
}

Task<Result<std::vector<Address>>> GroupDestination::nodes(Deadline deadline) {
  CAIRN_CO_TRY(view, co_await core_->cluster_view(deadline));
  std::vector<Address> out;
  for (const wire::NodeView& node : view->nodes)
    if (node.group == group_ && node.state == wire::NodeState::active && !node.draining)
      out.emplace_back(node.host, node.port);
  if (out.empty())
    co_return Error{Errc::unavailable, "no node of " + group_ + " takes files at the moment"};
  std::rotate(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(turn_++ % out.size()),
              out.end());
  co_return out;
}

Task<Result<wire::PutNamedReply>> GroupDestination::put(wire::PutNamed request, Source content) {
  const auto deadline = core_->deadline(timeout_);
  CAIRN_CO_TRY(all, co_await nodes(deadline));
  request.copies = kCopies | wire::kCopiesOfMembers;
  wire::Bytes head;
  wire::Writer(head).length_tagged(wire::encode(request));
  ClientCore::Request message(static_cast<std::uint8_t>(wire::kPutNamed), std::move(head));
  message.native = true;
  message.source = std::move(content);
  // What was stored by a node that did not answer is found there by the next try.
  ClientCore::Exchange sent = co_await core_->exchange(all.front(), message, deadline);
  if (!sent.reply) {
    const bool answered = sent.reached == Reached::answer;
    Error error = std::move(sent).error();
    if (!answered) error.code = Errc::unavailable;
    if (error.code == Errc::busy) error.code = Errc::unavailable; // takes no more at the moment
    co_return error;
  }
  co_return wire::decode_lenient<wire::PutNamedReply>(*sent.reply);
}

Task<Status> GroupDestination::remove(std::string name) {
  co_return co_await client_.remove(id(name), timeout_);
}

Task<Status> GroupDestination::set_metadata(std::string name, Metadata metadata) {
  co_return co_await client_.set_metadata(id(name), std::move(metadata), false, timeout_);
}

Task<Result<Metadata>> GroupDestination::get_metadata(std::string name) {
  co_return co_await client_.get_metadata(id(name), timeout_);
}

Task<Result<FileInfo>> GroupDestination::info(std::string name) {
  co_return co_await client_.info(id(name), timeout_);
}

Task<Status> GroupDestination::rewrite(
    std::string name, std::uint64_t size,
    std::function<Source(std::uint64_t offset, std::uint64_t length)> content) {
  const std::string file = id(name);
  CAIRN_CO_TRY(there, co_await client_.info(file, timeout_));
  if (there.size > size) CAIRN_CO_RETURN_IF_ERROR(co_await client_.truncate(file, size, timeout_));
  const std::uint64_t common = std::min(there.size, size);
  if (common > 0) {
    Source front = content(0, common);
    CAIRN_CO_RETURN_IF_ERROR(co_await client_.modify(file, 0, std::move(front), timeout_));
  }
  if (size > common) {
    Source rest = content(common, size - common);
    CAIRN_CO_RETURN_IF_ERROR(co_await client_.append(file, std::move(rest), timeout_));
  }
  co_return Status();
}

Task<Status> GroupDestination::read(std::string name, Sink sink) {
  DownloadOptions options;
  options.timeout = timeout_;
  const auto done = co_await client_.download(id(name), std::move(sink), std::move(options));
  co_return done ? Status() : Status(done.error());
}

Task<CopyCount> GroupDestination::wait_for_copies(std::vector<std::string> ids) {
  co_return co_await copies_->wait(std::move(ids), kCopies, kCopiesTime, Copies::Named::elsewhere);
}

} // namespace cairn::migrate
