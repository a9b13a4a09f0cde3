// What a replicated log carries: puts and deletes on tables, as bytes. Replicas apply them without
// knowing what they mean, so that trackers of neighbouring versions can share a log.
#pragma once

#include "common/wire/codec.h"

namespace cairn::wire {

enum class MutationKind : std::uint8_t { put = 1, remove = 2 };

// The first byte of a key names its table.
struct Mutation {
  MutationKind kind = MutationKind::put;
  std::string key;
  std::string value; // empty for remove

  static Mutation put(std::string key, std::string value) {
    Mutation mutation;
    mutation.key = std::move(key);
    mutation.value = std::move(value);
    return mutation;
  }
  static Mutation remove(std::string key) {
    Mutation mutation;
    mutation.kind = MutationKind::remove;
    mutation.key = std::move(key);
    return mutation;
  }

  static constexpr auto fields() {
    using M = Mutation;
    return std::tuple{integer(&M::kind), string(&M::key), string(&M::value)};
  }
  friend bool operator==(const Mutation&, const Mutation&) = default;
};

// Applied as a whole or not at all.
struct MutationBatch {
  std::vector<Mutation> mutations;

  static constexpr auto fields() { return std::tuple{list(&MutationBatch::mutations)}; }
};

} // namespace cairn::wire
