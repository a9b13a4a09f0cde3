// Lists, logs and index pages.
#include "migrate/http_list.h"

#include "migrate/copier.h"
#include "migrate/sorted_names.h"
#include "migrate/verbs.h"

#include <cerrno>
#include <fstream>

namespace cairn::migrate {

namespace {

using Offer = Scanner::Options::Offer;

// Longer paths come from pages that link to themselves.
constexpr std::size_t kPathMax = 4096;

// What stands in the list, sorted and each once, however long it is.
Status feed_list(const HttpServer& server, const CopyOptions& options,
                 const std::filesystem::path& spill, const Offer& offer) {
  std::ifstream in(options.url_list, std::ios::binary);
  if (!in) return errno_error(options.url_list, errno);
  SortedNames names(static_cast<std::size_t>(options.memory / 8), spill);
  for (std::string line; std::getline(in, line);) {
    if (stop_requested()) return Error{Errc::closed, "stopped"};
    std::optional<std::string_view> request(line);
    if (options.url_list_is_log) request = logged_request(line);
    if (!request) continue;
    if (const auto path = listed_path(server, *request)) CAIRN_RETURN_IF_ERROR(names.add(*path, 0));
  }
  if (in.bad()) return Error{Errc::io_error, "cannot read " + options.url_list};
  std::string last;
  const auto visit = [&](const std::string& path, std::uint8_t) -> Status {
    if (path == last) return {};
    last = path;
    return offer(path);
  };
  return names.each(visit);
}

// Directory after directory. What waits is names of directories only.
Status feed_index(const HttpServer& server, Session& session, const Offer& offer) {
  std::vector<std::string> waiting{""};
  while (!waiting.empty()) {
    const std::string directory = std::move(waiting.back());
    waiting.pop_back();
    auto page = session.wait(http_index(server, directory));
    if (page.code() == Errc::not_found && !directory.empty()) continue; // gone since it was linked
    if (!page)
      return Error{is_transient(page.error()) ? Errc::unavailable : Errc::io_error,
                   "the index page of /" + directory + ": " + page.error().text()};
    for (const std::string& name : index_names(*page)) {
      if (directory.size() + name.size() > kPathMax)
        return Error{Errc::io_error, "the index pages below /" + directory.substr(0, 80) +
                                         "… lead into themselves"};
      if (name.ends_with('/'))
        waiting.push_back(directory + name);
      else
        CAIRN_RETURN_IF_ERROR(offer(directory + name));
    }
  }
  return {};
}

} // namespace

std::function<Status(const Offer& offer)> http_feed(HttpServer server, const CopyOptions& options,
                                                    std::filesystem::path spill, Session& session) {
  return [server = std::move(server), &options, spill = std::move(spill),
          &session](const Offer& offer) {
    return options.url_list.empty() ? feed_index(server, session, offer)
                                    : feed_list(server, options, spill, offer);
  };
}

} // namespace cairn::migrate
