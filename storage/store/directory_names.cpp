// Reading a directory.
#include "storage/store/directory_names.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

namespace cairn::storage {

std::vector<std::string> names_in(int base, const std::string& directory) {
  std::vector<std::string> names;
  const int fd = ::openat(base, directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return names;
  DIR* const open = ::fdopendir(fd);
  if (open == nullptr) {
    ::close(fd);
    return names;
  }
  while (const dirent* entry = ::readdir(open))
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  ::closedir(open);
  return names;
}

} // namespace cairn::storage
