// Tells a pass which files a web server has.
#pragma once

#include "migrate/http_source.h"
#include "migrate/options.h"
#include "migrate/scanner.h"
#include "migrate/session.h"

namespace cairn::migrate {

// A feed for Pass::Options: the paths of the list or access log of `options`, each once and in
// order, else what the index pages of `server` lead to. The session and the options outlive it.
// Errors of the feed: those of reading the list; of the first index page; io_error (a later one).
std::function<Status(const Scanner::Options::Offer& offer)> http_feed(HttpServer server,
                                                                      const CopyOptions& options,
                                                                      std::filesystem::path spill,
                                                                      Session& session);

} // namespace cairn::migrate
