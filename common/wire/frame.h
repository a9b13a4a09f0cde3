// The frame of both protocols on the tracker's and the storage node's port: a 10-byte header and a
// body. FastDFS clients use commands below 128; Cairn's own start at 160 (native.h).
#pragma once

#include "common/wire/codec.h"

namespace cairn::wire {

// FastDFS commands a client may send; numbers from the protocol.
enum class Command : std::uint8_t {
  // storage
  upload_file = 11,
  delete_file = 12,
  set_metadata = 13,
  download_file = 14,
  get_metadata = 15,
  create_link = 20,
  upload_slave_file = 21,
  query_file_info = 22,
  upload_appender_file = 23,
  append_file = 24,
  modify_file = 34,
  truncate_file = 36,
  regenerate_appender_name = 38,
  // tracker
  fetch_storage_ids = 69,
  get_storage_id = 70,
  get_storage_status = 71,
  get_parameters = 75,
  list_group = 90,
  list_all_groups = 91,
  list_storages = 92,
  delete_storage = 93,
  set_trunk_server = 94,
  get_leader = 95,
  tracker_cluster_stat = 96,
  storage_cluster_stat = 97,
  storage_volume_stat = 98,
  query_store = 101,
  query_fetch_one = 102,
  query_update = 103,
  query_store_in_group = 104,
  query_fetch_all = 105,
  query_store_all = 106,
  query_store_in_group_all = 107,
  delete_group = 108,
  // both
  quit = 82,
  reply = 100,
  active_test = 111,
};

// The 10 bytes before every body, in both directions.
struct FrameHeader {
  std::uint64_t body_size = 0; // bytes after the header; bit 63 set (negative) is an error
  std::uint8_t command = 0;    // always 100 in a reply
  std::uint8_t status = 0;     // errno of a reply, 0 or flags in a request

  static constexpr auto fields() {
    using M = FrameHeader;
    return std::tuple{integer(&M::body_size), integer(&M::command), integer(&M::status)};
  }
};
inline constexpr std::size_t kHeaderSize = size_of<FrameHeader>;
static_assert(kHeaderSize == 10);

// Header and body in one buffer: clients read the header with a single read(), so it must leave in
// one write with the body.
Bytes make_frame(std::uint8_t command, std::uint8_t status, View body);

// A reply frame; a failing reply has no body, since clients ignore what follows a non-zero status.
inline Bytes make_reply(Errc code, View body) {
  return make_frame(static_cast<std::uint8_t>(Command::reply), wire_status(code),
                    code == Errc::ok ? body : View());
}

} // namespace cairn::wire
