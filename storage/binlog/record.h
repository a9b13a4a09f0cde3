// One change of the node's files, as the binlog keeps it.
#pragma once

#include "common/wire/native.h"

namespace cairn::storage {

// The change kinds are those that travel to peers.
using ChangeKind = wire::SyncKind;

// A record says which file changed and how, never what its bytes are: a sender reads those from the
// file when it sends. For a `range` record (append, modify, truncate) the bytes [offset,
// offset + length) may differ from before; truncation lists what was cut or what became zeros, so
// that sending every listed range as it is now, with the size of now, makes a copy equal.
struct LogRecord {
  std::uint64_t seq = 0;  // position, given by Binlog::append(); grows, with gaps after a restart
  std::uint32_t time = 0; // unix seconds of the append
  ChangeKind kind = ChangeKind::put;
  bool received = false;        // it came from a peer: senders pass over it
  std::uint32_t origin_id = 0;  // node where the change was made
  std::uint64_t origin_seq = 0; // its position there, when received (0 during a bring-up)
  std::uint64_t stamp = 0;      // hybrid clock of the change
  std::uint32_t mtime = 0;      // of the file, unix seconds
  std::uint64_t total_size = 0; // of the file after the change
  std::uint64_t offset = 0;     // range
  std::uint64_t length = 0;     // range: changed bytes; put: the size
  std::uint32_t crc32 = 0;      // put: of the content; set_meta: of the metadata text
  std::uint64_t own_files = 0;  // records that are not `received`, up to and with this one
  std::uint64_t own_bytes = 0;  // and their lengths: the difference of two records is a backlog
  std::string name;             // remote file name
  std::string extra;            // link: the source's name; rename: the former name
  std::string mark;             // put: the origin mark (common/wire/origin_mark.h); empty: none

  static constexpr auto fields() {
    using M = LogRecord;
    return std::tuple{
        wire::integer(&M::seq),       wire::integer(&M::time),      wire::integer(&M::kind),
        wire::integer(&M::received),  wire::integer(&M::origin_id), wire::integer(&M::origin_seq),
        wire::integer(&M::stamp),     wire::integer(&M::mtime),     wire::integer(&M::total_size),
        wire::integer(&M::offset),    wire::integer(&M::length),    wire::integer(&M::crc32),
        wire::integer(&M::own_files), wire::integer(&M::own_bytes), wire::string(&M::name),
        wire::string(&M::extra),      wire::string(&M::mark)};
  }
};

} // namespace cairn::storage
