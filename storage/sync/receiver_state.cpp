// Streams and positions of a receiver.
#include "storage/sync/receiver_state.h"

#include <algorithm>

namespace cairn::storage {

void ReceiverState::restore(const AppliedPositions& positions) {
  for (const AppliedPosition& position : positions.sources) {
    Source& source = sources_[position.source_id];
    source.position = position;
    source.known = true;
  }
}

Result<wire::SyncHelloReply> ReceiverState::hello(const wire::SyncHello& hello) {
  Source& source = sources_[hello.source_id];
  // Fenced even when the answer is busy: the old stream must come to its end.
  source.stream = 0;
  if (source.busy) return Error{Errc::busy, "a batch of the former stream is being applied"};

  if (source.position.source_uuid != hello.source_uuid || source.position.log_id != hello.log_id) {
    // Another node took the number, or the node lost its log: its positions are about other
    // records.
    if (source.known) ++changes_;
    source.known = false;
    source.position = AppliedPosition{};
    source.position.source_id = hello.source_id;
    source.position.source_uuid = hello.source_uuid;
    source.position.log_id = hello.log_id;
  }
  source.stream = hello.stream;
  source.last_number = 0;
  wire::SyncHelloReply reply;
  reply.known = source.known;
  reply.applied_seq = source.known ? source.position.applied_seq : 0;
  return reply;
}

Status ReceiverState::check(std::uint32_t source_id, std::uint64_t stream) const {
  const auto found = sources_.find(source_id);
  if (stream == 0 || found == sources_.end() || found->second.stream != stream)
    return Error{Errc::closed, "the sync stream was ended by a newer one"};
  return {};
}

Status ReceiverState::begin(std::uint32_t source_id, std::uint64_t stream, std::uint64_t number) {
  CAIRN_RETURN_IF_ERROR(check(source_id, stream));
  Source& source = sources_[source_id];
  // A repeated or lost batch cannot happen on one connection; if it does, nothing can be said about
  // the order any more.
  if (source.busy || number != source.last_number + 1)
    return Error{Errc::closed,
                 "batch " + std::to_string(number) + " is not the next of its stream"};
  source.busy = true;
  source.last_number = number;
  return {};
}

std::uint64_t ReceiverState::applied(std::uint32_t source_id, const wire::SyncBatch& batch) {
  Source& source = sources_[source_id];
  source.busy = false;
  // During a bring-up the position stays unknown until done(): a restart begins it again.
  if (source.known) {
    AppliedPosition& position = source.position;
    if (batch.through_seq > position.applied_seq) {
      position.applied_seq = batch.through_seq;
      ++changes_;
    }
    if (batch.complete_until > position.complete_until) {
      position.complete_until = batch.complete_until;
      ++changes_;
    }
  }
  return source.known ? source.position.applied_seq : 0;
}

void ReceiverState::failed(std::uint32_t source_id) {
  Source& source = sources_[source_id];
  source.busy = false;
  source.stream = 0;
}

Status ReceiverState::done(std::uint32_t source_id, const wire::SyncDone& done) {
  CAIRN_RETURN_IF_ERROR(check(source_id, done.stream));
  Source& source = sources_[source_id];
  if (source.busy) return Error{Errc::closed, "a batch of the stream is being applied"};
  source.known = true;
  source.position.applied_seq = done.position;
  ++changes_;
  return {};
}

void ReceiverState::forget() {
  for (auto& [id, source] : sources_) {
    source.known = false;
    source.stream = 0;
    source.position.applied_seq = 0;
    source.position.complete_until = 0;
  }
  ++changes_;
}

AppliedPositions ReceiverState::positions() const {
  AppliedPositions positions;
  for (const auto& [id, source] : sources_)
    if (source.known) positions.sources.push_back(source.position);
  return positions;
}

} // namespace cairn::storage
