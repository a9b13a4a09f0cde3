// Counts everything twice.
#include "tracker/namespace/check.h"

#include "tracker/namespace/rows.h"

#include <functional>
#include <map>
#include <unordered_map>
#include <utility>

namespace cairn::tracker {

namespace {

struct Seen {
  Inode inode;
  std::uint64_t names = 0;
  std::uint64_t subdirectories = 0;
  std::uint64_t link_rows = 0;
  std::uint64_t extent_rows = 0;
  std::uint64_t bytes = 0;
  bool parent_holds = false;
  std::uint64_t named_in = 0; // a directory that does name it
  bool has_xattr = false;
  bool has_acl = false;
};

class Check {
public:
  explicit Check(const KeyValueView& view) : view_(view) {}

  Result<CheckReport> run() {
    CAIRN_RETURN_IF_ERROR(inodes());
    CAIRN_RETURN_IF_ERROR(entries());
    CAIRN_RETURN_IF_ERROR(parts());
    CAIRN_RETURN_IF_ERROR(references());
    CAIRN_RETURN_IF_ERROR(totals());
    CAIRN_RETURN_IF_ERROR(exports());
    return std::move(report_);
  }

private:
  using Row = std::function<Status(std::string_view key, std::string_view value)>;

  Status scan(std::string_view table, const Row& row) {
    Status status;
    const auto on_row = [&](std::string_view key, std::string_view value) {
      status = row(key, value);
      return status.has_value();
    };
    CAIRN_RETURN_IF_ERROR(view_.scan(table, {}, on_row));
    return status;
  }
  void fault(std::string text) {
    ++faults_;
    if (report_.faults.size() < CheckReport::kFaultsMax) report_.faults.push_back(std::move(text));
  }
  void fault(std::uint64_t ino, std::string_view text) {
    fault("inode " + std::to_string(ino) + ": " + std::string(text));
  }

  void fix(std::string key, std::optional<std::string> found, std::optional<std::string> right) {
    if (report_.fixes.size() < CheckReport::kFaultsMax)
      report_.fixes.push_back({std::move(key), std::move(found), std::move(right)});
  }

  Status inodes() {
    return scan("I", [this](std::string_view key, std::string_view value) -> Status {
      CAIRN_TRY(inode, decode_inode(key::number_at(key, 1), value));
      ++report_.inodes;
      for (const Extent& extent : inode.extents) count(extent);
      Seen seen;
      seen.inode = std::move(inode);
      for (const Extent& extent : seen.inode.extents) seen.bytes += extent.length;
      const std::uint64_t ino = seen.inode.ino;
      inodes_.emplace(ino, std::move(seen));
      return {};
    });
  }

  void count(const Extent& extent) {
    ++report_.extents;
    if (!extent.owned) return;
    ++uses_[extent.ref];
  }

  Status entries() {
    CAIRN_RETURN_IF_ERROR(scan("D", [this](std::string_view key, std::string_view value) -> Status {
      CAIRN_TRY(entry, decode_entry(value));
      ++report_.entries;
      const std::uint64_t parent = key::number_at(key, 1);
      const std::string name(key.substr(9));
      CAIRN_TRY(back, view_.get(key::cookie(parent, entry.cookie)));
      if (!back || *back != name) {
        fault("directory " + std::to_string(parent) + " does not list " + name);
        fix(key::cookie(parent, entry.cookie), back, name);
      }
      const auto above = inodes_.find(parent);
      if (above == inodes_.end() || !above->second.inode.is_directory())
        fault("an entry " + name + " of " + std::to_string(parent) + ", which is no directory");
      else if (entry.type == NsType::directory)
        ++above->second.subdirectories;
      const auto found = inodes_.find(entry.ino);
      if (found == inodes_.end()) {
        fault("entry " + name + " of " + std::to_string(parent) + " names inode " +
              std::to_string(entry.ino) + ", which does not exist");
        fix(std::string(key), std::string(value), std::nullopt);
        fix(key::cookie(parent, entry.cookie), name, std::nullopt);
        return {};
      }
      Seen& seen = found->second;
      if (seen.inode.type != entry.type) fault(entry.ino, "its entry has another type");
      ++seen.names;
      seen.named_in = parent;
      if (seen.inode.parent == parent) seen.parent_holds = true;
      return {};
    }));
    return scan("e", [this](std::string_view key, std::string_view value) -> Status {
      CAIRN_TRY(row, view_.get(key::entry(key::number_at(key, 1), value)));
      if (!row) {
        fault("directory " + std::to_string(key::number_at(key, 1)) + " lists " +
              std::string(value) + ", which it does not have");
        fix(std::string(key), std::string(value), std::nullopt);
        return {};
      }
      CAIRN_TRY(entry, decode_entry(*row));
      if (entry.cookie != key::number_at(key, 9)) {
        fault("directory " + std::to_string(key::number_at(key, 1)) + " lists " +
              std::string(value) + " twice");
        fix(std::string(key), std::string(value), std::nullopt);
      }
      return {};
    });
  }

  Status parts() {
    const auto of = [this](std::string_view key, std::string_view what) -> Seen* {
      const auto found = inodes_.find(key::number_at(key, 1));
      if (found != inodes_.end()) return &found->second;
      fault(key::number_at(key, 1), std::string(what) + " of an inode that does not exist");
      return nullptr;
    };
    CAIRN_RETURN_IF_ERROR(scan("E", [&](std::string_view key, std::string_view value) -> Status {
      CAIRN_TRY(extent, decode_extent(key::number_at(key, 9), value));
      Seen* seen = of(key, "an extent");
      if (seen == nullptr) return {};
      ++seen->extent_rows;
      seen->bytes += extent.length;
      count(extent);
      return {};
    }));
    CAIRN_RETURN_IF_ERROR(scan("P", [&](std::string_view key, std::string_view) -> Status {
      Seen* seen = of(key, "a link");
      if (seen == nullptr) return {};
      ++seen->link_rows;
      CAIRN_TRY(row, view_.get(key::entry(key::number_at(key, 9), key.substr(17))));
      if (!row) {
        fault(seen->inode.ino, "a link that is not in its directory");
        fix(std::string(key), std::string(), std::nullopt);
      }
      return {};
    }));
    return scan("X", [&](std::string_view key, std::string_view) -> Status {
      Seen* seen = of(key, "an attribute");
      if (seen == nullptr) return {};
      (key.substr(9).starts_with("system.") ? seen->has_acl : seen->has_xattr) = true;
      return {};
    });
  }

  Status references() {
    report_.references = uses_.size();
    std::map<std::string, std::uint64_t, std::less<>> counted;
    CAIRN_RETURN_IF_ERROR(scan("R", [&](std::string_view key, std::string_view value) -> Status {
      CAIRN_TRY(count, decode_count(value));
      counted.emplace(key.substr(1), count);
      return {};
    }));
    for (const auto& [ref, uses] : uses_) {
      const auto found = counted.find(ref);
      if ((found == counted.end() ? 1 : found->second) != uses)
        fault(name(ref) + " is used " + std::to_string(uses) + " times, counted are " +
              std::to_string(found == counted.end() ? 1 : found->second));
      if ((found == counted.end() ? 1 : found->second) != uses)
        fix(key::references(ref),
            found == counted.end() ? std::nullopt : std::optional(encode_count(found->second)),
            encode_count(uses));
      if (found != counted.end()) counted.erase(found);
    }
    for (const auto& [ref, count] : counted) {
      fault(name(ref) + " is not used, counted are " + std::to_string(count));
      fix(key::references(ref), encode_count(count), std::nullopt);
    }
    return scan("G", [&](std::string_view key, std::string_view value) -> Status {
      const std::string ref(key.substr(9));
      if (!uses_.contains(ref)) return {};
      fault(name(ref) + " is in use and about to be deleted");
      fix(std::string(key), std::string(value), std::nullopt);
      return {};
    });
  }

  static std::string name(std::string_view ref) {
    const auto id = decode_ref(ref);
    return id ? *id : "a stored file whose reference does not decode";
  }

  // What can be told of an inode by the rows around it.
  Status mend(const Seen& seen) {
    Inode right = seen.inode;
    right.bytes = seen.bytes;
    right.has_xattr = seen.has_xattr;
    right.has_acl = seen.has_acl;
    if (right.is_directory() && right.nlink != 0 && right.ino != wire::kNsRootInode)
      right.nlink = static_cast<std::uint32_t>(2 + seen.subdirectories);
    // One without any name stays as it is: nobody knows what it was called.
    const bool is_file = !right.is_directory();
    if (is_file && seen.names != 0 && seen.link_rows == (seen.names > 1 ? seen.names : 0))
      right.nlink = static_cast<std::uint32_t>(seen.names);
    if (seen.names != 0 && !seen.parent_holds) right.parent = seen.named_in;
    CAIRN_TRY(row, view_.get(key::inode(right.ino)));
    std::string encoded = encode(right);
    if (row && encoded != *row) fix(key::inode(right.ino), row, std::move(encoded));
    return {};
  }

  Status totals() {
    for (auto& [ino, seen] : inodes_) {
      const std::size_t before = faults_;
      judge(ino, seen);
      if (faults_ != before) CAIRN_RETURN_IF_ERROR(mend(seen));
    }
    return {};
  }

  void judge(std::uint64_t ino, const Seen& seen) {
    const Inode& inode = seen.inode;
    Used& used = used_[inode.root];
    ++used.inodes;
    used.bytes += seen.bytes;
    if (inode.bytes != seen.bytes) fault(ino, "its bytes are not those of its extents");
    if (inode.extent_rows != seen.extent_rows) fault(ino, "extents are missing");
    if (inode.has_xattr != seen.has_xattr || inode.has_acl != seen.has_acl)
      fault(ino, "its flags of attributes are wrong");
    if (ino == wire::kNsRootInode) return;
    if (inode.is_directory()) {
      if (inode.nlink != 0 && (seen.names != 1 || !seen.parent_holds))
        fault(ino, "a directory with " + std::to_string(seen.names) + " names");
      if (inode.nlink != 0 && inode.nlink != 2 + seen.subdirectories)
        fault(ino, "a directory with a wrong number of links");
      return;
    }
    if (inode.nlink != seen.names)
      fault(ino, "it has " + std::to_string(seen.names) + " names, its count says " +
                     std::to_string(inode.nlink));
    if (inode.nlink != 0 && !seen.parent_holds) fault(ino, "it is not where it says");
    if (seen.link_rows != (inode.nlink > 1 ? inode.nlink : 0))
      fault(ino, "its links are not all known");
  }

  Status exports() {
    return scan("Q", [this](std::string_view key, std::string_view value) -> Status {
      CAIRN_TRY(row, decode_row<wire::NsExport>(value));
      const Used& used = used_[key::number_at(key, 1)];
      if (used.bytes != row.used_bytes || used.inodes != row.used_inodes) {
        fault("export " + row.name + " says " + std::to_string(row.used_inodes) + " inodes and " +
              std::to_string(row.used_bytes) + " bytes, it has " + std::to_string(used.inodes) +
              " and " + std::to_string(used.bytes));
        wire::NsExport right = row;
        right.used_bytes = used.bytes;
        right.used_inodes = used.inodes;
        fix(std::string(key), std::string(value), encode_row(right));
      }
      return {};
    });
  }

  struct Used {
    std::uint64_t inodes = 0;
    std::uint64_t bytes = 0;
  };

  const KeyValueView& view_;
  CheckReport report_;
  std::size_t faults_ = 0;
  std::unordered_map<std::uint64_t, Seen> inodes_;
  std::unordered_map<std::string, std::uint64_t> uses_;
  std::map<std::uint64_t, Used> used_; // by root
};

} // namespace

Result<CheckReport> check_tables(const KeyValueView& view) {
  return Check(view).run();
}

} // namespace cairn::tracker
