// The decision.
#include "storage/scrub/repair_plan.h"

#include "storage/sync/rules.h"

namespace cairn::storage {

namespace {

bool is_good(const PeerCopy& peer) {
  return peer.answered && peer.facts.presence == wire::Presence::present && !peer.facts.damaged;
}

bool is_same(const wire::CopyFacts& a, const wire::CopyFacts& b) {
  return a.crc_known && b.crc_known && a.size == b.size && a.crc32 == b.crc32;
}

} // namespace

RepairPlan plan_content(FileKind kind, const wire::CopyFacts& own, std::uint32_t own_id,
                        std::uint32_t owner, std::span<const PeerCopy> peers) {
  RepairPlan plan;
  const bool is_here = own.presence == wire::Presence::present;
  // Delete wins, whoever knows of it (G4).
  const auto consider = [&](const wire::CopyFacts& facts) {
    if (facts.deleted_stamp == 0 || facts.deleted_stamp < plan.deleted_stamp) return;
    plan.deleted_stamp = facts.deleted_stamp;
    plan.deleted_by = facts.deleted_by;
  };
  consider(own);
  for (const PeerCopy& peer : peers)
    if (peer.answered) consider(peer.facts);
  if (plan.deleted_stamp != 0) {
    // The name of a slave or restored file may have been used again since, here or there.
    std::uint64_t created = is_here ? own.stamp : 0;
    std::uint64_t restored = is_here ? own.reused_stamp : 0;
    for (const PeerCopy& peer : peers) {
      if (!is_good(peer)) continue;
      created = std::max(created, peer.facts.stamp);
      restored = std::max(restored, peer.facts.reused_stamp);
    }
    if (tombstone_wins(kind, plan.deleted_stamp, created, false) &&
        tombstone_wins(kind, plan.deleted_stamp, restored, restored != 0)) {
      const bool known = own.deleted_stamp != 0 && !is_here;
      plan.action = known ? RepairPlan::Action::none : RepairPlan::Action::remove;
      return plan;
    }
  }

  const bool is_owner = owner == own_id;
  bool all_answered = true;
  const PeerCopy* same = nullptr; // has the content that ours should have
  const PeerCopy* at_owner = nullptr;
  const PeerCopy* any = nullptr;
  for (const PeerCopy& peer : peers) {
    all_answered = all_answered && peer.answered;
    if (!is_good(peer)) continue;
    if (is_same(own, peer.facts)) same = &peer;
    if (peer.id == owner) at_owner = &peer;
    if (any == nullptr || peer.facts.stamp > any->facts.stamp) any = &peer;
  }
  const auto fetch = [&](const PeerCopy* peer) {
    plan.action = RepairPlan::Action::fetch;
    plan.from = static_cast<std::size_t>(peer - peers.data());
    return plan;
  };
  if (is_here && !own.damaged) {
    // Only the owner's copy is newer, and only of a file that can change.
    const bool differs = at_owner != nullptr && at_owner->facts.crc_known && own.crc_known &&
                         !is_same(own, at_owner->facts);
    if (kind != FileKind::normal && kind != FileKind::trunk && !is_owner && differs)
      return fetch(at_owner);
    return plan;
  }
  if (same != nullptr) return fetch(same);
  if (at_owner != nullptr) return fetch(at_owner);
  // Without the owner, or as the owner: content that nobody vouches for replaces nothing; but where
  // there is nothing, and nothing is known of what there should be, it is better than nothing.
  if (any != nullptr && !own.crc_known && !is_here) return fetch(any);
  if (!is_here && !own.is_listed && any == nullptr) {
    plan.action = all_answered ? RepairPlan::Action::none : RepairPlan::Action::wait;
    if (!all_answered) plan.why = "a member could not be asked";
    return plan;
  }
  plan.action = all_answered ? RepairPlan::Action::lost : RepairPlan::Action::wait;
  if (!all_answered)
    plan.why = "a member that may have a good copy could not be asked";
  else if (any != nullptr)
    plan.why = "the copies of other members are not what this one should be";
  else
    plan.why = "no member has a good copy";
  return plan;
}

std::optional<std::size_t> plan_metadata(const wire::CopyFacts& own,
                                         std::span<const PeerCopy> peers) {
  std::optional<std::size_t> best;
  std::uint64_t stamp = own.meta_stamp;
  for (std::size_t i = 0; i < peers.size(); ++i) {
    const wire::CopyFacts& facts = peers[i].facts;
    if (!is_good(peers[i]) || facts.meta_damaged || facts.meta_stamp == 0) continue;
    const bool newer = facts.meta_stamp > stamp;
    const bool whole = own.meta_damaged && !best && facts.meta_stamp == stamp;
    const bool other = !own.meta_damaged && !best && facts.meta_stamp == stamp &&
                       facts.meta_crc32 != own.meta_crc32; // settled by the text
    if (!newer && !whole && !other) continue;
    best = i;
    stamp = facts.meta_stamp;
  }
  return best;
}

} // namespace cairn::storage
