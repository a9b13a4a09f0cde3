// Frame building.
#include "common/wire/frame.h"

namespace cairn::wire {

Bytes make_frame(std::uint8_t command, std::uint8_t status, View body) {
  Bytes frame;
  frame.reserve(kHeaderSize + body.size());
  Writer writer(frame);
  encode_into(writer, FrameHeader{body.size(), command, status});
  writer.raw(body);
  return frame;
}

} // namespace cairn::wire
