// One line a change, in rsync's letter columns (--itemize-changes): what is done, to what, and what
// was different.
#pragma once

#include "migrate/entry.h"

#include <optional>
#include <string>

namespace cairn::migrate {

enum class Change : std::uint8_t {
  sent,       // content to the cluster: '<'
  received,   // content from it: '>'
  made,       // a directory, symlink or special file: 'c'
  linked,     // a hard link: 'h'
  attributes, // only those: '.'
};

// "<f+++++++++", "<fcst......", ".d..t......", "hf+++++++++". `before` is what was there; nothing:
// it is new. `content` tells that the bytes differ.
std::string itemize(Change change, const Entry& now, const std::optional<Entry>& before,
                    bool content);

} // namespace cairn::migrate
