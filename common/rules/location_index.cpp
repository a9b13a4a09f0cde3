// Location selection in nginx's order.
#include "common/rules/model.h"

#include <algorithm>

namespace cairn::rules {

LocationIndex::LocationIndex(const std::vector<Location>& locations) : locations_(&locations) {
  for (std::uint32_t i = 0; i < locations.size(); ++i) {
    const Location& location = locations[i];
    switch (location.kind) {
      case LocationKind::exact:
        exact_.try_emplace(location.text, i);
        break;
      case LocationKind::prefix:
      case LocationKind::prefix_strong:
        prefixes_.try_emplace(location.text, i);
        prefix_lengths_.push_back(location.text.size());
        break;
      case LocationKind::regex: {
        const std::string& literal = location.pattern.literal_prefix();
        if (literal.empty()) {
          others_.push_back(i);
        } else {
          by_literal_[literal].push_back(i);
          literal_lengths_.push_back(literal.size());
        }
        break;
      }
    }
  }
  const auto make_distinct = [](std::vector<std::size_t>& lengths) {
    std::sort(lengths.begin(), lengths.end());
    lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
  };
  make_distinct(literal_lengths_);
  make_distinct(prefix_lengths_);
  std::reverse(prefix_lengths_.begin(), prefix_lengths_.end());
}

const Location* LocationIndex::longest_prefix(std::string_view path, std::size_t length_max) const {
  for (const std::size_t length : prefix_lengths_) {
    if (length > length_max || length > path.size()) continue;
    const auto found = prefixes_.find(path.substr(0, length));
    if (found != prefixes_.end()) return &(*locations_)[found->second];
  }
  return nullptr;
}

void LocationIndex::list_candidates(std::string_view path, Cursor& cursor) const {
  cursor.candidates = others_;
  for (const std::size_t length : literal_lengths_) {
    if (length > path.size()) break;
    const auto found = by_literal_.find(path.substr(0, length));
    if (found != by_literal_.end())
      cursor.candidates.insert(cursor.candidates.end(), found->second.begin(), found->second.end());
  }
  std::sort(cursor.candidates.begin(), cursor.candidates.end());
}

const Location* LocationIndex::next(std::string_view path, Cursor& cursor,
                                    Captures& captures) const {
  if (locations_ == nullptr) return nullptr;
  captures.count = 0;
  switch (cursor.stage) {
    case Cursor::Stage::exact: {
      cursor.stage = Cursor::Stage::strong;
      const auto found = exact_.find(path);
      if (found != exact_.end()) return &(*locations_)[found->second];
      [[fallthrough]];
    }
    case Cursor::Stage::strong: {
      cursor.stage = Cursor::Stage::regexes;
      cursor.length = path.size();
      const Location* longest = longest_prefix(path, path.size());
      list_candidates(path, cursor);
      if (longest != nullptr && longest->kind == LocationKind::prefix_strong) {
        cursor.strong = longest;
        return longest;
      }
      [[fallthrough]];
    }
    case Cursor::Stage::regexes:
      while (cursor.regex < cursor.candidates.size()) {
        const Location& location = (*locations_)[cursor.candidates[cursor.regex++]];
        if (location.pattern.search(path, captures)) return &location;
      }
      captures.count = 0;
      cursor.stage = Cursor::Stage::prefixes;
      [[fallthrough]];
    case Cursor::Stage::prefixes:
      for (;;) {
        const Location* found = longest_prefix(path, cursor.length);
        if (found == nullptr) break;
        if (found->text.empty()) break;
        cursor.length = found->text.size() - 1;
        if (found != cursor.strong) return found;
      }
      cursor.stage = Cursor::Stage::end;
      [[fallthrough]];
    case Cursor::Stage::end:
      break;
  }
  return nullptr;
}

} // namespace cairn::rules
