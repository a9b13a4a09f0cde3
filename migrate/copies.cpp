// Rounds of questions to all nodes.
#include "migrate/copies.h"

#include "common/base/file_id.h"
#include "common/wire/have_files.h"

#include <algorithm>

namespace cairn::migrate {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kViewAge{1};
constexpr std::chrono::milliseconds kPauseFirst{3};
constexpr std::chrono::milliseconds kPauseMost{50};
constexpr std::size_t kNamesMax = 2000; // in one request
constexpr std::chrono::seconds kAnswerTime{5};

} // namespace

Task<Status> Copies::refresh_view() {
  if (Clock::now() - viewed_ < kViewAge) co_return Status();
  const wire::ViewRequest everything;
  const ClientCore::Request request(static_cast<std::uint8_t>(wire::NativeCommand::cluster_view),
                                    wire::encode(everything));
  const auto deadline = core_->deadline(Timeout(kAnswerTime));
  CAIRN_CO_TRY(reply, co_await core_->ask_tracker(request, deadline));
  CAIRN_CO_TRY(view, wire::decode_lenient<wire::ClusterView>(reply));
  nodes_ = std::move(view.nodes);
  viewed_ = Clock::now();
  co_return Status();
}

unsigned Copies::reachable(const File& file) const {
  std::set<std::uint32_t> all = file.holders;
  for (const auto& node : nodes_)
    if (node.group == file.group && node.state == wire::NodeState::active) all.insert(node.id);
  return static_cast<unsigned>(all.size());
}

Task<CopyCount> Copies::wait(std::vector<std::string> ids, unsigned wanted,
                             std::chrono::milliseconds most, Named named) {
  if (wanted <= 1 || ids.empty()) co_return CopyCount();
  if (blind_) co_return CopyCount(1, wanted);
  if (!co_await refresh_view()) co_return CopyCount(1, wanted);
  std::vector<std::shared_ptr<File>> files;
  for (const std::string& id : ids) {
    const auto parsed = parse_file_id(id);
    if (!parsed) continue;
    auto file = std::make_shared<File>();
    file->group = parsed->group;
    file->name = parsed->name.canonical();
    if (named == Named::here && parsed->name.fields())
      if (const auto source = parsed->name.fields()->source.server_id())
        file->holders.insert(*source);
    const auto members = std::ranges::count_if(nodes_, [&](const wire::NodeView& node) {
      return node.group == file->group && node.state != wire::NodeState::deleted;
    });
    file->wanted = std::min(wanted, std::max(static_cast<unsigned>(members), 1U));
    file->until = Clock::now() + most;
    file->done = std::make_shared<asio::steady_timer>(executor_, Clock::time_point::max());
    files.push_back(file);
    waiting_.push_back(std::move(file));
  }
  if (!running_) {
    running_ = true;
    spawn(
        executor_,
        [](std::shared_ptr<Copies> self) -> Task<void> {
          co_await self->run();
        }(shared_from_this()),
        "copies");
  }
  CopyCount least(wanted, 1);
  for (const auto& file : files) {
    while (!file->over) {
      file->done->expires_at(Clock::time_point::max());
      co_await file->done->async_wait(as_result);
    }
    least.have = std::min(least.have, static_cast<unsigned>(file->holders.size()));
    least.wanted = std::max(least.wanted, file->wanted);
  }
  co_return least;
}

Task<void> Copies::run() {
  asio::steady_timer pause(executor_);
  auto length = kPauseFirst;
  while (!waiting_.empty()) {
    static_cast<void>(co_await refresh_view());
    const std::vector<wire::NodeView> nodes = nodes_;
    for (const auto& node : nodes)
      if (node.state == wire::NodeState::active) co_await ask(node);
    const auto now = Clock::now();
    const std::size_t before = waiting_.size();
    std::erase_if(waiting_, [&](const std::shared_ptr<File>& file) {
      const unsigned target = std::min(file->wanted, reachable(*file));
      if (file->holders.size() < target && now < file->until && !blind_) return false;
      file->over = true;
      file->done->cancel();
      return true;
    });
    length = waiting_.size() < before ? kPauseFirst : std::min(length * 2, kPauseMost);
    pause.expires_after(length);
    co_await pause.async_wait(as_result);
  }
  running_ = false;
}

Task<void> Copies::ask(const wire::NodeView& node) {
  std::vector<std::shared_ptr<File>> asked;
  wire::HaveFiles request;
  for (const auto& file : waiting_) {
    if (file->group != node.group || file->holders.contains(node.id)) continue;
    wire::HaveName name;
    name.name = file->name;
    request.files.push_back(std::move(name));
    asked.push_back(file);
    if (asked.size() >= kNamesMax) break;
  }
  if (asked.empty()) co_return;
  const Address at(node.host, node.port);
  const std::uint32_t id = node.id;
  const auto deadline = core_->deadline(Timeout(kAnswerTime));
  wire::Bytes body = wire::encode(request);
  const auto answer = co_await core_->native_call(at, static_cast<std::uint8_t>(wire::kHaveFiles),
                                                  std::move(body), deadline);
  if (answer.code() == Errc::denied) blind_ = true;
  if (!answer) co_return;
  const auto reply = wire::decode_lenient<wire::HaveFilesReply>(*answer);
  if (!reply || reply->present.size() != asked.size()) co_return;
  for (std::size_t i = 0; i < asked.size(); ++i)
    if (reply->present[i] == '1') asked[i]->holders.insert(id);
}

} // namespace cairn::migrate
