// One piece of work: a regular file whose content the job has stored for another one (--dedupe).
// Equal is what has the same size and SHA-256, of bytes that were read: at the source, or, of what
// a run that was killed has left, at the destination.
#include "migrate/copier.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace cairn::migrate {

namespace {

// Files that had the content and do not any more, before it is stored again.
constexpr int kSharesTried = 8;

} // namespace

Task<Result<bool>> Copier::share(Attempt& at, Read& read, const Target& target,
                                 Contents::Claim& claim) {
  const std::uint64_t size = read.entry.size;
  if (read.sha256.empty()) {
    CAIRN_CO_TRY(unread, contents_->claim_unread(size));
    if (unread) {
      claim = *std::move(unread);
      co_return false;
    }
    const Status hashed = co_await hash(read);
    if (!hashed) co_return Error{Errc::io_error, hashed.error().text()};
  }
  for (int tries = 0; tries < kSharesTried;) {
    CAIRN_CO_TRY(found, co_await contents_->find(size, read.sha256));
    if (found.holders.empty()) {
      claim = std::move(found.claim);
      co_return false;
    }
    for (const Holder& holder : found.holders) {
      Content content;
      content.holder = holder;
      const Node made = co_await put(target, read.entry, content);
      if (made) {
        CopyCount count;
        std::vector<std::string> ids;
        // What it shares was stored on as many nodes as the export demands, unless that is told.
        if (tally_.short_copies > 0 || ledger_.counters().short_copies > 0) {
          CAIRN_CO_TRY(extents, co_await destination_.extents(*made));
          for (const wire::NsExtent& extent : extents) ids.push_back(extent.id);
          count = co_await destination_.wait_for_copies(ids);
        }
        note_copies(at, ids, count);
        ++tally_.shared;
        tally_.shared_bytes += size;
        copied(at, read, target, *made, kRowShared);
        co_return true;
      }
      if (is_transient(made.error()) || is_fatal(made.error())) co_return made.error();
      ++tries;
      if (made.code() == static_cast<Errc>(ENOSYS)) {
        if (!std::exchange(told_not_shared_, true) && options_.problem)
          options_.problem(at.path, Error{Errc::unsupported,
                                          "it is stored, as others are: the tracker is too old for "
                                          "--dedupe"});
        tries = kSharesTried;
        break;
      }
      // It was changed or removed there, or nobody may read it.
      contents_->drop(at.batch, size, read.sha256, holder.inode);
    }
  }
  co_return false;
}

Task<Result<bool>> Copier::has_content(wire::NsNodeReply node, const Read& read) {
  CAIRN_CO_TRY(extents, co_await destination_.extents(std::move(node)));
  const auto hash = std::make_shared<Sha256>();
  Sink::Writer sink = [hash](std::span<const std::byte> piece) -> Status {
    hash->update(piece);
    return {};
  };
  CAIRN_CO_RETURN_IF_ERROR(
      co_await destination_.read(std::move(extents), read.entry.size, std::move(sink)));
  co_return hash->finish() == read.sha256;
}

Task<Result<bool>> Copier::shares_files(wire::NsNodeReply one, wire::NsNodeReply other) {
  CAIRN_CO_TRY(first, co_await destination_.extents(std::move(one)));
  CAIRN_CO_TRY(second, co_await destination_.extents(std::move(other)));
  const auto same = [](const wire::NsExtent& a, const wire::NsExtent& b) {
    return a.offset == b.offset && a.length == b.length && a.source == b.source && a.id == b.id;
  };
  co_return std::ranges::equal(first, second, same);
}

Task<Result<bool>> Copier::recognise(Attempt& at, Read& read, wire::NsNodeReply& node,
                                     const std::optional<FileRow>& before, std::uint8_t& flags,
                                     Contents::Claim& claim) {
  const std::uint64_t size = read.entry.size;
  const Holder now(node.attributes.inode, node.attributes.data_version);
  // What was written down of it stays; else it is who comes second that shares.
  const bool written = before && before->dest_inode == now.inode && before->sha256 == read.sha256;
  const bool shared_before = written && before->has(kRowShared);
  for (;;) {
    CAIRN_CO_TRY(found, co_await contents_->find(size, read.sha256));
    if (found.holders.empty()) {
      // Equal checksums of 32 bits are no proof for those who are to share it.
      CAIRN_CO_TRY(same, co_await has_content(node, read));
      if (!same) co_return false;
      if (shared_before) flags |= kRowShared;
      claim = std::move(found.claim);
      co_return true;
    }
    const Holder holder = found.holders.front();
    if (holder == now) {
      if (shared_before) flags |= kRowShared;
      co_return true;
    }
    const Node other = co_await destination_.getattr(holder.inode);
    if (!other && !is_gone(other.error())) co_return other.error();
    if (!other || other->attributes.data_version != holder.data_version) {
      contents_->drop(at.batch, size, read.sha256, holder.inode);
      continue;
    }
    CAIRN_CO_TRY(shares, co_await shares_files(node, *other));
    if (shares) {
      if (shared_before || !written) flags |= kRowShared;
    } else {
      // Stored twice: by a run that was killed, or before there was --dedupe.
      CAIRN_CO_TRY(parent, co_await directory(std::string(parent_of(at.path)), nullptr));
      Target target;
      target.parent = parent.inode;
      target.name = name_of(at.path);
      Content content;
      content.holder = holder;
      Node made = co_await put(target, read.entry, content);
      if (!made && (is_transient(made.error()) || is_fatal(made.error()))) co_return made.error();
      if (!made) co_return true; // it keeps its own, then
      node = *std::move(made);
      flags |= kRowShared;
    }
    co_return true;
  }
}

} // namespace cairn::migrate
