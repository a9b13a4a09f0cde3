// The look at every file of a node that was away for too long.
#include "storage/scrub/return_check.h"

#include "common/base/durable_file.h"
#include "common/daemon/log.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <charconv>
#include <set>

namespace cairn::storage {

namespace {

constexpr std::size_t kPage = 500;
constexpr std::chrono::seconds kRetry{1};

spdlog::logger& log() {
  static spdlog::logger& logger = cairn::logger("storage.scrub");
  return logger;
}

Task<void> pause() {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  timer.expires_after(kRetry);
  const auto ended = co_await timer.async_wait(as_result);
  (void)ended;
}

// The names greater than `after` and up to `last` that a member has.
Task<Status> add_names(Remote& remote, wire::NodeView node, std::string after, std::string last,
                       std::set<std::string>& names) {
  wire::ListFiles request;
  request.after = std::move(after);
  request.limit = kPage;
  for (;;) {
    const wire::Bytes body = wire::encode(request);
    CAIRN_CO_TRY(bytes, co_await remote.ask_node(node, wire::NativeCommand::list_files, body));
    CAIRN_CO_TRY(page, wire::decode_lenient<wire::ListFilesReply>(bytes));
    for (const wire::FileSummary& file : page.files) {
      if (file.name > last) co_return Status();
      names.insert(file.name);
      request.after = file.name;
    }
    if (page.done || page.files.empty()) co_return Status();
  }
}

// What the active members have of those names. Errors: unavailable (none can be asked).
Task<Result<std::set<std::string>>> names_of_members(Peers& peers, Remote& remote,
                                                     std::string after, std::string last) {
  std::set<std::string> names;
  const auto map = peers.get();
  bool asked = false;
  for (const wire::NodeView& node : map->members()) {
    if (node.state != wire::NodeState::active) continue;
    CAIRN_CO_RETURN_IF_ERROR(co_await add_names(remote, node, after, last, names));
    asked = true;
  }
  if (!asked) co_return Error{Errc::unavailable, "no active member can be asked"};
  co_return names;
}

} // namespace

std::uint64_t LastSeen::read() const {
  const auto text = read_small_file(file_);
  std::uint64_t seconds = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), seconds);
  return seconds;
}

Status LastSeen::write(std::uint64_t now) const {
  return durable_write_file(file_, std::to_string(now) + "\n");
}

Task<Result<ReturnReport>> check_return(Store& store, Catalogue& catalogue, Peers& peers,
                                        Remote& remote, std::uint64_t acked_by_any,
                                        std::function<bool()> stopping) {
  ReturnReport report;
  const Error stopped{Errc::unavailable, "stopping"};
  DiskPool pool("return", 1);
  for (bool said = false;; said = true) {
    if (stopping()) co_return stopped;
    const auto map = peers.get();
    if (map->is_known() && map->own_id() != 0 && catalogue.is_ready()) {
      if (map->members().empty()) co_return report; // there is nobody who could know better
      break;
    }
    if (!said) log().warn("waiting for the trackers and the catalogue before anything is served");
    co_await pause();
  }
  std::string after;
  for (;;) {
    auto list = [&catalogue, &after] { return catalogue.list(after, kPage); };
    CAIRN_CO_TRY(rows, co_await pool.run(std::move(list)));
    if (rows.empty()) co_return report;
    const std::string last = rows.back().summary.name;
    std::set<std::string> there;
    for (bool said = false;; said = true) {
      if (stopping()) co_return stopped;
      auto names = co_await names_of_members(peers, remote, after, last);
      if (names) {
        there = *std::move(names);
        break;
      }
      if (!said) log().warn("waiting for an active member error={}", names.error().text());
      co_await pause();
    }
    const std::uint32_t own_id = peers.get()->own_id();
    for (const CatalogueRow& row : rows) {
      ++report.files;
      if (there.contains(row.summary.name)) continue;
      const bool is_new = row.origin_id == own_id && row.seq > acked_by_any;
      if (is_new) {
        ++report.kept;
        continue;
      }
      const auto name = parse_remote_name(row.summary.name);
      if (!name) continue;
      log().warn("no member has it any more, it goes to .returned file={}", row.summary.name);
      auto move = [&store, &name] { return store.move_to_returned(*name); };
      CAIRN_CO_RETURN_IF_ERROR(co_await pool.run(std::move(move)));
      ++report.returned;
    }
    after = last;
  }
}

} // namespace cairn::storage
