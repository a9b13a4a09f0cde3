// Small files are fetched while they are being opened, or already when they are looked up: the two
// waits of a cold read, for the tracker and for a storage node, become one. What is fetched is of a
// data version, and counts only when the tracker has told that version to the open.
#include "fuse/mount.h"

#include <algorithm>
#include <utility>

namespace cairn::fuse {

namespace {

// What the kernel reads at once whatever the program asks for.
constexpr std::uint64_t kSmall = 128 * 1024;
constexpr std::size_t kRememberedMax = 16'384;
constexpr std::uint64_t kAheadMax = 16ULL << 20; // fetched and not read yet, of all files
// Programs that open and do not read: after so many in vain only one in a few is fetched, to see
// whether that has changed.
constexpr int kScoreMost = 16;
constexpr int kScoreLikely = 8; // most of what was looked up lately was opened then
constexpr std::uint32_t kTrialEvery = 32;
constexpr std::chrono::seconds kFetchTimeout{30};

bool is_small(const wire::NsNodeReply& reply) {
  return reply.attributes.type == wire::NsType::regular && reply.attributes.size > 0 &&
         reply.attributes.size <= kSmall && !reply.extents.empty() &&
         (reply.attributes.flags & wire::kNsExtentsMore) == 0;
}

} // namespace

void Mount::remember_content(const wire::NsNodeReply& reply) {
  if (!is_small(reply)) return;
  if (remembered_.size() >= kRememberedMax) remembered_.clear();
  Remembered& of = remembered_[reply.attributes.inode];
  of.data_version = reply.attributes.data_version;
  of.size = reply.attributes.size;
  of.extents = reply.extents;
  of.looked_up = false;
  of.ahead.reset();
}

void Mount::fetch_after_lookup(const wire::NsNodeReply& reply) {
  const std::uint64_t inode = reply.attributes.inode;
  const auto found = remembered_.find(inode);
  if (!is_small(reply) || found == remembered_.end()) return;
  Remembered& of = found->second;
  of.looked_up = true;
  lookup_score_ = std::max(lookup_score_ - 1, -kScoreMost);
  const auto pages = pages_.find(inode);
  const bool kept = pages != pages_.end() && pages->second == of.data_version;
  if (lookup_score_ < kScoreLikely || kept || of.ahead || find(inode)) return;
  of.ahead = begin_fetch(of.data_version, of.size, of.extents);
}

std::shared_ptr<Ahead> Mount::begin_fetch(std::uint64_t version, std::uint64_t size,
                                          std::vector<wire::NsExtent> extents) {
  if (ahead_bytes_ + size > kAheadMax) return nullptr;
  if (ahead_score_ <= -kScoreMost && ++ahead_refused_ % kTrialEvery != 0) return nullptr;
  ahead_score_ = std::max(ahead_score_ - 1, -kScoreMost);
  auto ahead = std::make_shared<Ahead>(io_.get_executor(), version, size, ahead_bytes_);
  spawn(io_.get_executor(), fetch_ahead(ahead, std::move(extents)), "fetch ahead");
  return ahead;
}

void Mount::fetch_before_open(const NodeRef& node) {
  const auto found = remembered_.find(node->inode);
  if (found == remembered_.end()) return;
  Remembered of = std::move(found->second);
  remembered_.erase(found);
  if (of.looked_up) lookup_score_ = std::min(lookup_score_ + 2, kScoreMost);
  const auto pages = pages_.find(node->inode);
  const bool kept = pages != pages_.end() && pages->second == of.data_version;
  if (kept || node->ahead || of.data_version < node->data_version) return;
  node->ahead =
      of.ahead ? std::move(of.ahead) : begin_fetch(of.data_version, of.size, std::move(of.extents));
}

void Mount::fetch_after_open(const NodeRef& node, const wire::NsNodeReply& reply, bool pages_kept) {
  if (pages_kept) {
    node->ahead.reset();
    return;
  }
  const bool under_way = node->ahead && node->ahead->data_version == node->data_version;
  if (under_way || !is_small(reply) || reply.attributes.data_version != node->data_version ||
      !node->is_clean())
    return;
  node->ahead = begin_fetch(node->data_version, reply.attributes.size, reply.extents);
}

Task<void> Mount::fetch_ahead(std::shared_ptr<Ahead> ahead, std::vector<wire::NsExtent> extents) {
  const Timeout most(options_.soft ? options_.timeout : std::chrono::milliseconds(kFetchTimeout));
  const Status fetched = co_await data_.read(std::move(extents), 0, ahead->bytes, most);
  ahead->good = fetched.has_value();
  ahead->done = true;
  ahead->fetched.cancel();
}

void Mount::drop_unread(std::chrono::steady_clock::time_point old) {
  const auto drop = [old](std::shared_ptr<Ahead>& ahead) {
    if (ahead && ahead->begun < old) ahead.reset();
  };
  if (ahead_bytes_ == 0) return;
  for (const auto& [inode, node] : nodes_) drop(node->ahead);
  for (auto& [inode, of] : remembered_) drop(of.ahead);
}

Task<bool> Mount::read_ahead(NodeRef node, std::shared_ptr<Ahead> ahead, std::uint64_t offset,
                             std::span<std::byte> out) {
  while (!ahead->done) co_await ahead->fetched.async_wait(as_result);
  if (!ahead->good || offset + out.size() > ahead->bytes.size()) co_return false;
  std::copy_n(ahead->bytes.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
  ahead_score_ = std::min(ahead_score_ + 2, kScoreMost);
  // The kernel keeps it from here on.
  const bool to_the_end = offset + out.size() == ahead->bytes.size();
  if (to_the_end && node->ahead == ahead) node->ahead.reset();
  co_return true;
}

} // namespace cairn::fuse
