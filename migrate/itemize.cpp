// Letters.
#include "migrate/itemize.h"

namespace cairn::migrate {

std::string itemize(Change change, const Entry& now, const std::optional<Entry>& before,
                    bool content) {
  static constexpr char kChanges[] = {'<', '>', 'c', 'h', '.'};
  std::string out(1, kChanges[static_cast<int>(change)]);
  switch (now.type) {
    case NodeType::directory:
      out += 'd';
      break;
    case NodeType::symlink:
      out += 'L';
      break;
    case NodeType::regular:
      out += 'f';
      break;
    case NodeType::character_device:
    case NodeType::block_device:
      out += 'D';
      break;
    default:
      out += 'S';
  }
  if (!before) return out + "+++++++++";
  out += content ? 'c' : '.';
  out += before->size != now.size ? 's' : '.';
  out += before->mtime() != now.mtime() ? 't' : '.';
  out += before->mode != now.mode ? 'p' : '.';
  out += before->uid != now.uid ? 'o' : '.';
  out += before->gid != now.gid ? 'g' : '.';
  return out + "...";
}

} // namespace cairn::migrate
