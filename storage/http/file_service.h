// The HTTP service of a storage node: files by ID and the administrative pages. Upload, URL rules
// and exports join as further resolvers.
#pragma once

#include "common/config/storage_config.h"
#include "common/net/http_server.h"
#include "common/net/mime_types.h"
#include "storage/http/admin_pages.h"
#include "storage/http/file_source.h"
#include "storage/http/front_memory.h"
#include "storage/http/guard.h"
#include "storage/http/http_metrics.h"
#include "storage/http/resolver.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace cairn::storage {

// GET and HEAD of /M00/HH/LL/leaf and /group1/M00/HH/LL/leaf, with the FastDFS token if configured.
// Query: `attname` or `filename` saves under that name; `start` and `end` of .flv files.
class FileIdResolver : public Resolver {
public:
  // All arguments outlive this. `fail_page` is what a bad token gets instead of an error (nullptr:
  // nothing); its type comes from the name of the configured file.
  FileIdResolver(const config::StorageConfig& config, const MimeTypes& types, FileSource& source,
                 const std::string* fail_page);

  bool claims(const ResolvedUrl& url) const override;
  Task<HttpReply> answer(ResolvedUrl url) override;

private:
  // Nullopt: the token holds (and `cache_control` says for how long), or none is asked for.
  std::optional<HttpReply> refuse_token(const RemoteName& name, std::string_view query,
                                        std::string& cache_control) const;

  const config::StorageConfig& config_;
  const MimeTypes& types_;
  FileSource& source_;
  const std::string* fail_page_;
};

class FileService {
public:
  // Reads the mime.types file and the page for bad tokens, if configured. `config` and `source`
  // outlive the service. Blocks: start-up only. Errors: of reading those files; invalid_argument.
  static Result<std::unique_ptr<FileService>> make(const config::StorageConfig& config,
                                                   FileSource& source, AdminCallbacks callbacks);

  // Adds a resolver before the ID grammar (URL rules) or behind it (exports). Before serving
  // starts.
  void add_before_ids(std::unique_ptr<Resolver> resolver);
  void add_after_ids(std::unique_ptr<Resolver> resolver);

  // The answers that URL rules hand on: to what rules leave alone (file IDs, then what is behind
  // them), and to the path of an export.
  Task<HttpReply> answer_without_rules(ResolvedUrl url);
  Task<HttpReply> answer_exports(ResolvedUrl url);

  // Asked before every request but those of the administrative pages. Before serving starts; it
  // outlives the service.
  void set_guard(HttpGuard& guard) { guard_ = &guard; }

  // For serve_http(); the service outlives both.
  HttpHandler handler();
  // Time-outs and limits for serve_http(), with the counters attached. `disk` reads cold files
  // ahead where a source names no pool.
  HttpOptions options(DiskPool* disk);

  const HttpMetrics& metrics() const { return metrics_; }
  // What fronts were answered that keep answers.
  FrontMemory& fronts() { return fronts_; }
  // For resolvers that are added.
  const MimeTypes& types() const { return types_; }

private:
  explicit FileService(const config::StorageConfig& config);
  Task<HttpReply> answer(const HttpRequest& request);
  // Asks the resolvers from the one at `first` on, for a read that has been admitted.
  Task<HttpReply> answer_from(std::size_t first, ResolvedUrl url);
  // An answer whose headers or bytes the guard wants to see, or that a front keeps.
  Task<HttpReply> watched(Resolver& resolver, ResolvedUrl url, Grant grant);
  // Remembers an answer to a front that keeps it, and takes the tags out of it that it has not
  // asked for.
  void note_kept(const HttpRequest& request, HttpReply& reply);

  const config::StorageConfig& config_;
  MimeTypes types_;
  std::string fail_page_;
  HttpMetrics metrics_;
  FrontMemory fronts_;
  std::vector<std::unique_ptr<Resolver>> resolvers_; // in the order they are asked
  std::size_t ids_ = 0;                              // index of the ID grammar among them
  HttpGuard* guard_ = nullptr;                       // null: everybody may read
};

} // namespace cairn::storage
