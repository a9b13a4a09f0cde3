// A view and a few places, each with its end.
#include "client/placement.h"

#include "common/base/file_id.h"

#include <utility>

namespace cairn {

namespace {

std::optional<std::uint32_t> source_id(std::string_view group, std::string_view name) {
  const auto parsed = parse_file_id(std::string(group) + "/" + std::string(name));
  if (!parsed || !parsed->name.fields()) return std::nullopt;
  return parsed->name.fields()->source.server_id();
}

} // namespace

void Placement::learn(View view, Clock::time_point now) {
  view_ = std::move(view);
  view_until_ = now + nodes_for_;
}

Placement::View Placement::view(Clock::time_point now) const {
  return now < view_until_ ? view_ : View();
}

std::optional<Address> Placement::source_of(std::string_view group, std::string_view name,
                                            Clock::time_point now) const {
  const View known = view(now);
  const auto id = source_id(group, name);
  if (!known || !id) return std::nullopt;
  for (const auto& node : known->nodes) {
    if (node.id == *id && node.group == group && node.state == wire::NodeState::active)
      return Address(node.host, node.port);
  }
  return std::nullopt;
}

void Placement::remember(const std::string& group, StorePlace place, Clock::time_point now) {
  Kept kept;
  kept.place = std::move(place);
  kept.until = now + places_for_;
  places_.insert_or_assign(group, std::move(kept));
}

std::optional<StorePlace> Placement::place(const std::string& group, Clock::time_point now) const {
  const auto found = places_.find(group);
  if (found == places_.end() || now >= found->second.until) return std::nullopt;
  return found->second.place;
}

void Placement::failed(const Address& address) {
  std::erase_if(places_, [&](const auto& kept) { return kept.second.place.address == address; });
  view_until_ = {};
}

} // namespace cairn
