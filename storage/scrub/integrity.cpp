// The parts of integrity, wired together.
#include "storage/scrub/integrity.h"

#include "common/daemon/log.h"

#include <boost/asio/co_spawn.hpp>

namespace cairn::storage {

namespace {

// co_spawn() wants a value that can be made from nothing.
Task<std::optional<Result<wire::RepairReply>>> repair_there(Repairer& repairer, RemoteName name) {
  co_return co_await repairer.repair(std::move(name));
}

} // namespace

Integrity::Integrity(const config::StorageConfig& config, wire::Hello hello,
                     Credentials credentials, Store& store, Binlog& binlog, Catalogue& catalogue,
                     Peers& peers)
    : store_(store), catalogue_(catalogue), peers_(peers) {
  remote_ = std::make_unique<Remote>(peers, std::move(hello), std::move(credentials),
                                     config.connect_timeout, config.network_timeout);
  repairer_ =
      std::make_unique<Repairer>(io_.at(0), *remote_, config, store, binlog, catalogue, peers);
  scrubber_ = std::make_unique<Scrubber>(config, store, catalogue, [this](const RemoteName& name) {
    repairer_->submit(name, Repairer::Cause::damaged, "it is not there any more");
  });
  comparer_ =
      std::make_unique<Comparer>(io_.at(0), *remote_, config, store, catalogue, peers, *repairer_);
  store.on_suspect([this](const RemoteName& name, const std::string& why) {
    repairer_->submit(name, Repairer::Cause::damaged, why);
  });
}

Integrity::~Integrity() {
  stop();
  // The context goes before them, with its timers and connections.
  remote_->pool().close();
  comparer_->drop_timer();
  repairer_->drop_timers();
}

void Integrity::start() {
  started_ = true;
  repairer_->start();
  comparer_->start();
  io_.start();
  scrubber_->start();
}

void Integrity::start_with_return_check(std::uint64_t acked_by_any, std::function<void()> done) {
  started_ = true;
  spawn(io_.at(0).get_executor(), return_first(acked_by_any, std::move(done)),
        "storage.scrub.return");
  io_.start();
}

Task<void> Integrity::return_first(std::uint64_t acked_by_any, std::function<void()> done) {
  auto is_stopping = [this] { return stopping_.load(); };
  const auto report = co_await check_return(store_, catalogue_, peers_, *remote_, acked_by_any,
                                            std::move(is_stopping));
  if (!report) {
    if (report.code() != Errc::unavailable)
      logger("storage.scrub")
          .error("the check after a long absence failed; restart the node error={}",
                 report.error().text());
    co_return;
  }
  logger("storage.scrub")
      .warn("the check after a long absence is done files={} returned={} kept={}", report->files,
            report->returned, report->kept);
  done();
  repairer_->start();
  comparer_->start();
  scrubber_->start();
}

void Integrity::stop() {
  stopping_ = true;
  if (!started_.exchange(false)) return;
  scrubber_->stop();
  comparer_->request_stop();
  repairer_->request_stop();
  io_.stop();
}

Task<Result<wire::RepairReply>> Integrity::repair(RemoteName name) {
  if (!started_) co_return Error{Errc::unavailable, "stopping"};
  // Over to the thread of the repairer and back.
  auto answer = co_await asio::co_spawn(io_.at(0), repair_there(*repairer_, std::move(name)),
                                        asio::use_awaitable);
  if (!answer) co_return Error{Errc::unavailable, "stopping"};
  co_return *std::move(answer);
}

void Integrity::write_metrics(MetricsText& out, MetricsText::Labels labels) const {
  repairer_->write_metrics(out, labels);
  scrubber_->write_metrics(out, labels);
  comparer_->write_metrics(out, labels);
  out.family("cairn_lost_copy", "gauge", "1 for each file of which no member has a good copy.");
  for (const std::string& lost : repairer_->lost_names(100))
    out.sample(std::uint64_t{1}, {{"file", lost}});
}

} // namespace cairn::storage
