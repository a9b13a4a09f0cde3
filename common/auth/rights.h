// What somebody may do: rights of an access key and of a connection.
#pragma once

#include <cstdint>

namespace cairn::auth {

// A set of the constants below.
using Rights = std::uint8_t;

inline constexpr Rights kNothing = 0;
inline constexpr Rights kRead = 1;   // files and their metadata
inline constexpr Rights kWrite = 2;  // new files; changes of files and metadata
inline constexpr Rights kDelete = 4; // files
inline constexpr Rights kList = 8;   // what there is
inline constexpr Rights kAdmin = 16; // the cluster itself

// What a FastDFS client from allow_hosts may do: all that its protocol knows.
inline constexpr Rights kFastdfsAll = kRead | kWrite | kDelete | kList;
inline constexpr Rights kFastdfsRead = kRead | kList;
inline constexpr Rights kEverything = kFastdfsAll | kAdmin;

} // namespace cairn::auth
