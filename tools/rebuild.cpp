// cairn namespace rebuild: names stored files again by their origin marks, when the tracker's disk
// is lost. What the marks do not tell beyond doubt is told and left alone.
#include "common/wire/origin_mark.h"
#include "tools/cluster_path.h"
#include "tools/namespace_verbs.h"
#include "tools/nodes.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <set>

namespace cairn::tools {

namespace {

// One marked stored file.
struct Piece {
  std::string id;
  wire::OriginMark mark;
};

// Content of a file, put together from pieces: by offset, what was written last on top.
class Content {
public:
  void put(const wire::OriginRange& range, const std::string& id, std::uint64_t source) {
    const std::uint64_t end = range.offset + range.length;
    cut(range.offset);
    cut(end);
    parts_.erase(parts_.lower_bound(range.offset), parts_.lower_bound(end));
    StoredPart part;
    part.offset = range.offset;
    part.length = range.length;
    part.id = id;
    part.source = source;
    part.owned = true;
    parts_.emplace(range.offset, std::move(part));
  }
  std::uint64_t end() const {
    return parts_.empty() ? 0 : parts_.rbegin()->second.offset + parts_.rbegin()->second.length;
  }
  // True when every byte before `size` is there.
  bool covers(std::uint64_t size) const {
    std::uint64_t at = 0;
    for (const auto& [offset, part] : parts_) {
      if (offset != at) return false;
      at = offset + part.length;
    }
    return at >= size;
  }
  std::vector<StoredPart> parts() const {
    std::vector<StoredPart> out;
    for (const auto& [offset, part] : parts_) out.push_back(part);
    return out;
  }

private:
  // No part reaches over `at` afterwards.
  void cut(std::uint64_t at) {
    auto next = parts_.lower_bound(at);
    if (next == parts_.begin()) return;
    StoredPart& before = std::prev(next)->second;
    if (before.offset + before.length <= at) return;
    StoredPart rest = before;
    rest.offset = at;
    rest.source += at - before.offset;
    rest.length = before.offset + before.length - at;
    before.length = at - before.offset;
    parts_.emplace(at, std::move(rest));
  }

  std::map<std::uint64_t, StoredPart> parts_;
};

// A file as the marks tell it.
struct Found {
  std::string export_name;
  std::string path;
  Content content;
  std::uint64_t size = 0;
  wire::OriginMark last; // of the piece that was written last
};

class Rebuild {
public:
  Rebuild(Context& context, Client& client, Namespace& tree, bool dry_run)
      : context_(context), client_(client), tree_(tree), dry_run_(dry_run) {}

  Result<int> run() {
    CAIRN_RETURN_IF_ERROR(read_names());
    CAIRN_RETURN_IF_ERROR(read_marks());
    by_path();
    by_inode();
    for (const auto& [path, found] : files_) CAIRN_RETURN_IF_ERROR(name(found));
    if (context_.json()) {
      context_.answer_json({{"stored_files", pieces_},
                            {"named_before", named_before_},
                            {"files", made_},
                            {"exports", exports_made_},
                            {"undecided", undecided_}});
    } else {
      for (const std::string& line : undecided_) context_.answer(line);
      context_.say(std::to_string(made_) + (dry_run_ ? " files can be named, " : " files named, ") +
                   std::to_string(named_before_) + " stored files had a name, " +
                   std::to_string(undecided_.size()) + " not decided");
    }
    return undecided_.empty() ? kGood : kPartial;
  }

private:
  // What has a name already is left alone.
  Status read_names() {
    return tree_.walk([this](const std::vector<DirectoryEntry>& entries) -> Status {
      for (const DirectoryEntry& entry : entries)
        named_.insert(entry.status.ids.begin(), entry.status.ids.end());
      return {};
    });
  }

  // From every node: a file may be at one of them only.
  Status read_marks() {
    CAIRN_TRY(cluster, client_.cluster());
    std::set<std::string> seen;
    for (const ClusterNode& node : members(cluster, "")) {
      wire::ListMarked request;
      for (bool done = false; !done;) {
        CAIRN_TRY(answer,
                  client_.native_call(node.address, static_cast<std::uint8_t>(wire::kListMarked),
                                      wire::encode(request)));
        CAIRN_TRY(page, wire::decode_lenient<wire::ListMarkedReply>(answer));
        done = page.done || page.last == request.after;
        request.after = page.last;
        for (wire::MarkedFile& file : page.files) {
          std::string id = node.group + "/" + file.name;
          if (!seen.insert(id).second) continue;
          ++pieces_;
          if (named_.contains(id)) {
            ++named_before_;
            continue;
          }
          auto mark = wire::decode_origin(file.mark);
          if (!mark || mark->export_name.empty())
            undecided_.push_back(id + ": its mark does not decode");
          else if (mark->ranges.empty())
            undecided_.push_back(id + ": of " + mark->export_name + ", inode " +
                                 std::to_string(mark->inode) +
                                 ", in more places than a mark tells");
          else
            unnamed_.push_back({std::move(id), *std::move(mark)});
        }
      }
    }
    return {};
  }

  static void add(Found& found, const Piece& piece) {
    std::uint64_t source = 0;
    for (const wire::OriginRange& range : piece.mark.ranges) {
      found.content.put(range, piece.id, source);
      source += range.length;
    }
    found.size = std::max(piece.mark.file_size, found.content.end());
    found.last = piece.mark;
  }

  // Names that were made with their content: all pieces of one upload have one time. The last
  // upload that is whole is what the file was.
  void by_path() {
    using Key = std::pair<std::uint64_t, std::uint64_t>; // written, session
    std::map<std::string, std::map<Key, std::vector<const Piece*>>> uploads;
    for (const Piece& piece : unnamed_) {
      const wire::OriginMark& mark = piece.mark;
      if (mark.inode != 0) continue;
      if (mark.path_is_cut || mark.path.empty()) {
        undecided_.push_back(piece.id + ": its path is not known, it ended in " + mark.path);
        continue;
      }
      uploads["/" + mark.export_name + "/" + mark.path][{mark.written, mark.session}].push_back(
          &piece);
    }
    for (const auto& [path, versions] : uploads) {
      for (auto version = versions.rbegin(); version != versions.rend(); ++version) {
        Found found;
        for (const Piece* piece : version->second) add(found, *piece);
        const bool whole = found.content.covers(found.size);
        if (whole && !files_.contains(path)) {
          found.export_name = found.last.export_name;
          found.path = found.last.path;
          files_.emplace(path, std::move(found));
          continue;
        }
        for (const Piece* piece : version->second)
          undecided_.push_back(piece->id + ": " +
                               (whole ? "older content of " : "a part of what was not whole in ") +
                               path);
      }
    }
  }

  // Written piece by piece: the later one wins.
  void by_inode() {
    std::map<std::pair<std::string, std::uint64_t>, std::vector<const Piece*>> inodes;
    for (const Piece& piece : unnamed_)
      if (piece.mark.inode != 0)
        inodes[{piece.mark.export_name, piece.mark.inode}].push_back(&piece);
    for (auto& [key, pieces] : inodes) {
      std::ranges::sort(pieces, {}, [](const Piece* piece) { return piece->mark.written; });
      Found found;
      std::string path;
      bool cut = true;
      for (const Piece* piece : pieces) {
        add(found, *piece);
        if (!piece->mark.path.empty()) {
          path = piece->mark.path;
          cut = piece->mark.path_is_cut;
        }
      }
      found.export_name = key.first;
      // Without a path it gets a place where somebody can look at it.
      found.path = !cut ? path
                        : "lost+found/" + std::to_string(key.second) +
                              (path.empty() ? "" : "-" + path.substr(path.rfind('/') + 1));
      const std::string full = "/" + key.first + "/" + found.path;
      if (cut) undecided_.push_back(full + ": its path is not known");
      if (!found.content.covers(found.size))
        undecided_.push_back(full + ": it has holes, or parts of it are lost");
      if (files_.contains(full)) {
        undecided_.push_back(full + ": inode " + std::to_string(key.second) +
                             " was there, too; it is left alone");
        continue;
      }
      files_.emplace(full, std::move(found));
    }
  }

  Status name(const Found& found) {
    if (dry_run_) {
      ++made_;
      return {};
    }
    if (known_exports_.insert(found.export_name).second) {
      const auto there = tree_.exports(found.export_name);
      if (!there) {
        CAIRN_TRY(made, tree_.add_export(found.export_name, ExportChange()));
        exports_made_.push_back(made.name);
        undecided_.push_back(
            "/" + made.name +
            ": made anew; what it was set to is not known, see `cairn export set`");
      }
    }
    const std::string path = "/" + found.export_name + "/" + found.path;
    WriteOptions options;
    options.exclusive = true;
    options.parents = true;
    options.mode = found.last.mode != 0 ? found.last.mode : 0644;
    options.mtime = FileTime(static_cast<std::int64_t>(found.last.written / 1'000'000),
                             static_cast<std::uint32_t>(found.last.written % 1'000'000 * 1000));
    options.uid = found.last.uid;
    options.gid = found.last.gid;
    const auto made = tree_.name(path, found.content.parts(), found.size, std::move(options));
    if (made) {
      ++made_;
      return {};
    }
    // Of one file; a tracker that is gone ends it.
    if (made.code() == Errc::unavailable || made.code() == Errc::timeout) return made.error();
    undecided_.push_back(path + ": " + made.error().text());
    return {};
  }

  Context& context_;
  Client& client_;
  Namespace& tree_;
  const bool dry_run_;
  std::set<std::string> named_;
  std::vector<Piece> unnamed_;
  std::map<std::string, Found> files_; // by "/EXPORT/path"
  std::set<std::string> known_exports_;
  std::vector<std::string> exports_made_;
  std::vector<std::string> undecided_;
  std::uint64_t pieces_ = 0;
  std::uint64_t named_before_ = 0;
  std::uint64_t made_ = 0;
};

} // namespace

int run_namespace_rebuild(Context& context, const RebuildArgs& args) {
  auto client = context.client();
  if (!client) return context.fail("namespace rebuild", client.error());
  Trees trees(context);
  auto tree = trees.admin();
  if (!tree) return context.fail("namespace rebuild", tree.error());
  Rebuild rebuild(context, **client, **tree, args.dry_run);
  const auto done = rebuild.run();
  return done ? *done : context.fail("namespace rebuild", done.error());
}

} // namespace cairn::tools
