// Batches, and who gets them.
#include "migrate/adopters.h"

#include "common/wire/copies.h"

#include <algorithm>
#include <chrono>

namespace cairn::migrate {

namespace {

// What comes in the same moment goes into one request: an eighth more files a second.
constexpr BatchLimits kTogether{
    .under_way = 4, .questions = 64, .gather = std::chrono::milliseconds(1)};
constexpr std::chrono::seconds kProbeTime{10};
// A node reads what it adopts: large files take their time.
constexpr std::chrono::minutes kAnswerTime{10};

} // namespace

Adopters::Adopters(asio::any_io_executor executor, std::shared_ptr<ClientCore> core,
                   unsigned copies, bool may_link)
    : core_(std::move(core)),
      copies_(copies),
      may_link_(may_link),
      together_(std::make_shared<Together>(
          std::move(executor), kTogether, "adopt",
          [this](Together::Wishes wishes) { return send(std::move(wishes)); })) {}

Task<Result<Adopters::Adopted>> Adopters::adopt(wire::AdoptFile file) {
  co_return co_await together_->ask(std::move(file));
}

Task<Result<Address>> Adopters::node_for(const wire::AdoptFile& file) {
  if (!nodes_.empty()) co_return nodes_[next_node_++ % nodes_.size()];
  const auto deadline = core_->deadline(Timeout(kProbeTime));
  CAIRN_CO_TRY(view, co_await core_->cluster_view(deadline));
  wire::AdoptFiles probe;
  probe.probe = true;
  probe.files.push_back(file);
  const wire::Bytes body = wire::encode(probe);
  Error last(Errc::unavailable, "no storage node is active");
  for (const wire::NodeView& node : view->nodes) {
    if (node.state != wire::NodeState::active) continue;
    const Address at(node.host, node.port);
    wire::Bytes copy = body;
    const auto answer = co_await core_->native_call(
        at, static_cast<std::uint8_t>(wire::kAdoptFiles), std::move(copy), deadline);
    if (!answer) {
      last = answer.error();
      continue;
    }
    const auto reply = wire::decode_lenient<wire::AdoptFilesReply>(*answer);
    if (!reply || reply->files.size() != 1) continue;
    if (reply->files[0].code == Errc::ok)
      nodes_.push_back(at);
    else
      last = Error(reply->files[0].code, reply->files[0].error);
  }
  if (nodes_.empty()) {
    last.detail =
        "no storage node can take it over: one on this machine needs adopt_from in its "
        "storage.conf, with a directory above it (" +
        last.detail + ")";
    last.code = Errc::denied;
    co_return last;
  }
  co_return nodes_[next_node_++ % nodes_.size()];
}

Task<void> Adopters::send(Together::Wishes wishes) {
  const auto node = co_await node_for(wishes.front()->question);
  if (!node) {
    Together::fail(wishes, node.error());
    co_return;
  }
  wire::AdoptFiles request;
  request.may_link = may_link_;
  request.copies = static_cast<std::uint8_t>(std::clamp(copies_, 1U, 31U) | wire::kCopiesOfMembers);
  for (const auto& wish : wishes) request.files.push_back(wish->question);
  wire::Bytes body = wire::encode(request);
  const auto deadline = core_->deadline(Timeout(kAnswerTime));
  const auto answer = co_await core_->native_call(
      *node, static_cast<std::uint8_t>(wire::kAdoptFiles), std::move(body), deadline);
  const auto reply = answer ? wire::decode_lenient<wire::AdoptFilesReply>(*answer)
                            : Result<wire::AdoptFilesReply>(answer.error());
  if (!reply || reply->files.size() != wishes.size()) {
    const Error nonsense(Errc::unavailable, "a storage node answers a takeover with nonsense");
    Together::fail(wishes, reply ? nonsense : reply.error());
    std::erase(nodes_, *node); // the next one asks who can
    co_return;
  }
  for (std::size_t i = 0; i < wishes.size(); ++i) {
    const wire::AdoptedFile& one = reply->files[i];
    if (one.code != Errc::ok) {
      wishes[i]->answer = Error(one.code, one.error);
      continue;
    }
    Adopted adopted;
    adopted.id = one.id;
    adopted.sha256 = one.sha256;
    adopted.how = one.how;
    adopted.have = reply->have;
    adopted.wanted = reply->wanted;
    adopted.ctime_s = one.ctime_s;
    adopted.ctime_ns = one.ctime_ns;
    wishes[i]->answer = std::move(adopted);
  }
}

} // namespace cairn::migrate
