// What a receiver knows of each source: its stream, and up to which record everything is here. No
// disk, no sockets, no locks: SyncReceiver brings those.
#pragma once

#include "common/base/result.h"
#include "common/wire/native.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace cairn::storage {

// A source's position as it is kept on disk.
struct AppliedPosition {
  std::uint32_t source_id = 0;
  std::string source_uuid;
  std::string log_id;
  std::uint64_t applied_seq = 0;
  std::uint32_t complete_until = 0; // unix seconds

  static constexpr auto fields() {
    using M = AppliedPosition;
    return std::tuple{wire::integer(&M::source_id), wire::string(&M::source_uuid),
                      wire::string(&M::log_id), wire::integer(&M::applied_seq),
                      wire::integer(&M::complete_until)};
  }
};

struct AppliedPositions {
  std::vector<AppliedPosition> sources;

  static constexpr auto fields() { return std::tuple{wire::list(&AppliedPositions::sources)}; }
};

class ReceiverState {
public:
  // Takes what was on disk; nothing of it is in use yet.
  void restore(const AppliedPositions& positions);

  // A source begins a stream; its older ones end. Errors: busy (a batch of an older one is being
  // applied: its late writes must not meet this stream's).
  Result<wire::SyncHelloReply> hello(const wire::SyncHello& hello);

  // A batch arrived. After success exactly one of applied() and failed() follows. Errors: closed
  // (another stream, a number that is not the next, or no stream).
  Status begin(std::uint32_t source_id, std::uint64_t stream, std::uint64_t number);
  // The batch and everything before it is durable. Answers the position to acknowledge.
  std::uint64_t applied(std::uint32_t source_id, const wire::SyncBatch& batch);
  // The batch could not be finished: the stream ends, the source says hello again.
  void failed(std::uint32_t source_id);

  // Whether `stream` is the source's current one. Errors: closed.
  Status check(std::uint32_t source_id, std::uint64_t stream) const;
  // The source has brought this node up to `position`.
  Status done(std::uint32_t source_id, const wire::SyncDone& done);

  // Forgets all positions, so that every source brings this node up anew (a store path was lost).
  void forget();

  AppliedPositions positions() const;
  // Counts changes of positions(); equal numbers: nothing new to write.
  std::uint64_t changes() const { return changes_; }

private:
  struct Source {
    AppliedPosition position;
    bool known = false; // position means something: this log has brought us up
    std::uint64_t stream = 0;
    std::uint64_t last_number = 0;
    bool busy = false;
  };

  std::map<std::uint32_t, Source> sources_;
  std::uint64_t changes_ = 0;
};

} // namespace cairn::storage
