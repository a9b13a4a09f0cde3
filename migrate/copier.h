// Work whose destination is the namespace: reads at the source, stores, names, and writes down what
// was done. Many at once on one io_context.
#pragma once

#include "migrate/contents.h"
#include "migrate/destination.h"
#include "migrate/source_file.h"
#include "migrate/worker.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace cairn::migrate {

// From a local tree, a web server or a tar stream into the namespace.
class Copier final : public Worker {
public:
  Copier(Ledger& ledger, Destination& destination, Options options, Limiter& limiter, Tally& tally,
         Record record);

  bool postponed(const std::string& path, const WorkRow& work) const override;
  void end_removals() override {
    postponed_.clear();
    removals_over_ = true;
  }
  Task<void> remove(std::string path) override;
  Task<void> finish_directory(std::string path) override;

private:
  struct Directory {
    std::uint64_t inode = 0;
    bool fresh = false; // made in this run, or known to have been empty
  };
  // What reading the source gave. Of a long file the bytes are read later, through `file`.
  struct Read {
    Entry entry;
    std::vector<std::byte> bytes;
    wire::Bytes sha256; // empty: not known yet
    std::uint32_t crc32 = 0;
    bool racy = false;
    std::shared_ptr<SourceFile> file;
    bool unread = false; // only looked at: `bytes` and `file` are empty
    CopyCount copies;    // once it is stored

    Read() {}
  };
  using Node = Result<wire::NsNodeReply>;
  // What a name gets: stored files, or what another file has.
  struct Content {
    std::vector<wire::NsExtent> extents;
    std::optional<Holder> holder;

    Content() {}
  };
  // Where a file goes, and what is known of the name.
  struct Target {
    std::uint64_t parent = 0;
    std::string name;
    std::optional<FileRow> before; // by the ledger
    bool fresh_inode = false;      // it must not go into the inode that has the name

    Target() {}
  };

  Task<Result<Directory>> directory(std::string path, const Entry* seen);
  Task<Result<Directory>> make_directory(std::string path, const Entry* seen);
  void forget(std::string_view path) override;
  bool postpone(const std::string& path, const Error& error) override;
  void ended(const Attempt& at) override;
  Task<Status> attempt(Attempt& at) override;
  Task<Status> copy_regular(Attempt& at);
  Task<Status> copy_directory(Attempt& at);
  Task<Status> made_directory(Attempt& at, Entry seen);
  Task<Status> copy_other(Attempt& at);
  Task<Status> make_link(Attempt& at);
  Task<Status> try_dry(Attempt& at);
  // Takes away a directory of ours that is something else now.
  Task<Status> clear_directory(const Attempt& at);
  Task<Result<Read>> read_source(std::string path);
  // From the web server. Errors: also already (not changed since `at` was read before).
  Task<Result<Read>> read_server(Attempt& at, const std::optional<FileRow>& before);
  // What was in the tar stream. Errors: also already (`before` is a copy of just that).
  Task<Result<Read>> read_shelf(Attempt& at, const std::optional<FileRow>& before);
  // Without its content.
  Task<Result<Read>> look_at_source(std::string path);
  // Has a storage node take it over. Nothing: none can, it has to be sent.
  Task<Result<std::optional<wire::NsExtent>>> adopt(Attempt& at, Read& read);
  // Hashes a long file without sending it.
  Task<Status> hash(Read& read);
  // True: there is nothing more to do about this file.
  Task<Result<bool>> settle_without_sending(Attempt& at, Read& read,
                                            const std::optional<FileRow>& before,
                                            const Node& there);
  // Gives the name its content. Of a holder: busy, ESTALE and others, when it does not have it.
  Task<Node> put(const Target& target, const Entry& entry, Content content);
  // Writes down what put() has answered.
  void copied(Attempt& at, const Read& read, const Target& target, const wire::NsNodeReply& made,
              std::uint8_t flags);
  // --dedupe (copier_share.cpp). True: it has the content of another file, and all is done. Else it
  // is to be stored, while `claim` is held.
  Task<Result<bool>> share(Attempt& at, Read& read, const Target& target, Contents::Claim& claim);
  // The same of content that the destination was found to have, as far as sizes and checksums tell:
  // from now on it is known for certain, and shared if somebody else has it. Sets kRowShared, and
  // `node` when that has changed. The caller adds it to the contents, and holds `claim` until then:
  // who shares with it must not be written down before it. False: it is other content after all.
  Task<Result<bool>> recognise(Attempt& at, Read& read, wire::NsNodeReply& node,
                               const std::optional<FileRow>& before, std::uint8_t& flags,
                               Contents::Claim& claim);
  Task<Result<bool>> has_content(wire::NsNodeReply node, const Read& read);
  Task<Result<bool>> shares_files(wire::NsNodeReply one, wire::NsNodeReply other);
  Task<Result<bool>> believe_destination(Attempt& at, const Node& there);
  // The source has it no more. What a run that was killed may have made of it is to be removed.
  Task<Status> vanish(Attempt& at);
  Task<bool> is_at_source(std::string path);
  // By its names from the root, whatever the ledger says.
  Task<Node> find(std::string path);
  Task<Result<std::vector<wire::NsExtent>>> store(Attempt& at, Read& read);
  Task<Result<std::vector<wire::NsExtent>>> store_long(Attempt& at, Read& read,
                                                       std::string extension);
  Task<Result<bool>> same_content(wire::NsNodeReply node, Read& read);
  // Puts a new thing under a name that something else has.
  Task<Status> replace(std::uint64_t parent, std::string temporary, std::string name);
  void touch(Ledger::Batch& batch, std::string_view directory);
  std::string full(const std::string& path) const;
  // What there is can be looked at: a tree, and not a server or a stream.
  bool is_tree() const { return !options_.server && options_.tar == nullptr; }

  Destination& destination_;
  std::unique_ptr<Contents> contents_; // null: nothing is shared
  bool told_not_adopted_ = false;
  bool told_not_shared_ = false;
  bool removals_over_ = false;
  std::unordered_set<std::string> postponed_;

  std::unordered_map<std::string, Directory> directories_;
  std::unordered_set<std::string> stale_; // what the ledger says of them does not hold
  std::map<std::string, std::vector<asio::steady_timer*>> making_;
  std::unordered_set<std::string> touched_; // marked in this pass
};

// A name that nobody else uses, for what is renamed into its place at once.
std::string temporary_name();

} // namespace cairn::migrate
