// Thousands of short histories of a group. A failure prints its seed; CAIRN_HISTORY_SEED runs one
// seed, CAIRN_HISTORY_SEEDS so many for each of the four tests.
#include "tests/unit/sync/replication_world.h"

namespace cairn::storage {
namespace {

// Many short histories, each with its own seed: bugs that need a rare order of few events show here
// sooner than in long ones. Nodes are killed and disks replaced in the middle, and changes go on
// while an empty disk is filled.
class Histories : public testing::TestWithParam<std::uint64_t> {};

TEST_P(Histories, Converge) {
  spdlog::set_level(spdlog::level::err);
  const std::uint64_t one = number_of("CAIRN_HISTORY_SEED", 0);
  const bool full = std::getenv("CAIRN_TEST_FULL") != nullptr;
  const std::uint64_t seeds = number_of("CAIRN_HISTORY_SEEDS", full ? 10'000 : 500);
  const std::uint64_t first = one != 0 ? one : GetParam() * seeds + 1;
  const std::uint64_t last = one != 0 ? one : first + seeds - 1;
  for (std::uint64_t seed = first; seed <= last && !HasFailure(); ++seed) {
    SCOPED_TRACE("CAIRN_HISTORY_SEED=" + std::to_string(seed));
    const std::uint32_t count = seed % 2 == 0 ? 2 : 3;
    World world(seed, count, /*trash=*/seed % 4 < 2);
    const std::uint64_t replaced = world.pick(160); // at this step, if there is such a one
    for (std::uint64_t step = 0; step < 40 && !HasFatalFailure(); ++step) {
      world.change();
      for (std::uint64_t i = world.pick(6); i > 0; --i) world.disturb();
      const auto victim = static_cast<std::uint32_t>(1 + world.pick(count));
      if (step == replaced) world.replace_disks(victim);
      if (world.pick(40) == 0) world.restart(victim);
    }
    world.heal();
    world.expect_equal();
  }
}

INSTANTIATE_TEST_SUITE_P(Replication, Histories, testing::Values(0, 1, 2, 3));

} // namespace
} // namespace cairn::storage
