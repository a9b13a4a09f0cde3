// Messages of both daemons: any bytes are decoded or refused, and what is accepted is encoded to
// bytes that mean the same. The first byte chooses the message.
#include "common/wire/codec.h"
#include "common/wire/fastdfs.h"
#include "common/wire/frame.h"
#include "common/wire/mutation.h"
#include "common/wire/native.h"

#include <array>
#include <cstdint>

namespace {

using namespace cairn;

template <class M>
void try_message(wire::View bytes) {
  if (auto strict = wire::decode<M>(bytes)) {
    // Text fields drop what follows their NUL, so only the meaning is the same.
    const wire::Bytes again = wire::encode(*strict);
    auto twice = wire::decode<M>(again);
    CAIRN_ASSERT(twice);
    CAIRN_ASSERT(wire::encode(*twice) == again);
  }
  if (auto lenient = wire::decode_lenient<M>(bytes)) {
    const wire::Bytes again = wire::encode(*lenient);
    auto twice = wire::decode_lenient<M>(again);
    CAIRN_ASSERT(twice);
    CAIRN_ASSERT(wire::encode(*twice) == again);
  }
}

using Function = void (*)(wire::View);

constexpr std::array kMessages{
    // FastDFS
    Function(&try_message<wire::FrameHeader>),
    Function(&try_message<wire::GroupRequest>),
    Function(&try_message<wire::GroupFile>),
    Function(&try_message<wire::StoreTarget>),
    Function(&try_message<wire::FetchTarget>),
    Function(&try_message<wire::UploadPrefix>),
    Function(&try_message<wire::SlavePrefix>),
    Function(&try_message<wire::AppendPrefix>),
    Function(&try_message<wire::ModifyPrefix>),
    Function(&try_message<wire::Truncate>),
    Function(&try_message<wire::Download>),
    Function(&try_message<wire::SetMetadataPrefix>),
    Function(&try_message<wire::FileInfo>),
    Function(&try_message<wire::CreateLinkPrefix>),
    // native
    Function(&try_message<wire::Hello>),
    Function(&try_message<wire::HelloReply>),
    Function(&try_message<wire::ViewRequest>),
    Function(&try_message<wire::ClusterView>),
    Function(&try_message<wire::Join>),
    Function(&try_message<wire::JoinReply>),
    Function(&try_message<wire::Heartbeat>),
    Function(&try_message<wire::HeartbeatReply>),
    Function(&try_message<wire::NameRequest>),
    Function(&try_message<wire::Fetch>),
    Function(&try_message<wire::FetchHead>),
    Function(&try_message<wire::ProbeReply>),
    Function(&try_message<wire::ListFiles>),
    Function(&try_message<wire::ListFilesReply>),
    Function(&try_message<wire::SyncHello>),
    Function(&try_message<wire::SyncHelloReply>),
    Function(&try_message<wire::SyncBatch>),
    Function(&try_message<wire::SyncAck>),
    Function(&try_message<wire::SyncHave>),
    Function(&try_message<wire::SyncHaveReply>),
    Function(&try_message<wire::SyncDone>),
    Function(&try_message<wire::MutationBatch>),
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const wire::View bytes(reinterpret_cast<const std::byte*>(data + 1), size - 1);
  kMessages[data[0] % kMessages.size()](bytes);
  return 0;
}
