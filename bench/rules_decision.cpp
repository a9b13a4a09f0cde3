// How long the decision about a URL takes: 1,000 regular expressions (with and without text they
// begin with), and 1,000,000 aliases in a tracker's store. Prints one JSON line.
#include "common/base/text.h"
#include "common/rules/book.h"
#include "common/wire/mutation.h"
#include "common/wire/rules.h"
#include "tracker/log/meta_store.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

namespace {

using namespace cairn;
using Clock = std::chrono::steady_clock;

constexpr int kRules = 1'000;
constexpr int kUrls = 200'000;
constexpr int kAliases = 1'000'000;

std::shared_ptr<const rules::RuleBook> book_of(const char* anchor) {
  std::string text = "rules s { host h; ";
  for (int i = 0; i < kRules; ++i)
    text += "location ~ \"" + std::string(anchor) + "/shop" + std::to_string(i) +
            "/(\\d{4})/([^/]+)\\.(jpe?g|png)$\" { object alias:/s/$1/$2.$3; }\n";
  text += "}";
  rules::Source source;
  source.files.push_back({"bench", std::move(text)});
  source.mains = 1;
  rules::Problems problems;
  return rules::RuleBook::load(source, problems);
}

// Microseconds at the 50th and 99th of a hundred.
struct Times {
  double p50 = 0;
  double p99 = 0;
};

Times times_of(std::vector<double>& all) {
  std::sort(all.begin(), all.end());
  return {all[all.size() / 2], all[all.size() * 99 / 100]};
}

Times decide(const rules::RuleBook& book) {
  std::vector<double> all;
  all.reserve(kUrls);
  for (int i = 0; i < kUrls; ++i) {
    // One in four is for no rule: the worst case.
    const std::uint64_t turn = random_u64();
    const std::string path = "/shop" + std::to_string(turn % (kRules * 4 / 3)) + "/2011/" +
                             std::to_string(turn) + ".jpg";
    rules::Request request;
    request.host = "h";
    request.path = path;
    request.request_uri = path;
    const auto start = Clock::now();
    rules::Walk walk(book, request);
    const rules::Decision decision = walk.next();
    all.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
    if (decision.set == nullptr) std::abort();
  }
  return times_of(all);
}

// The look-up that a storage node asks its tracker for, without the network.
Times look_up(const std::filesystem::path& directory) {
  auto store = tracker::MetaStore::open(directory);
  if (!store) std::abort();
  std::uint64_t index = 0;
  for (int i = 0; i < kAliases; i += 10'000) {
    wire::MutationBatch batch;
    for (int k = i; k < i + 10'000; ++k) {
      std::string key = "Y";
      key.push_back('\0');
      key += "/upload/" + std::to_string(k % 100) + "/" + std::to_string(k) + ".jpg";
      batch.mutations.push_back(wire::Mutation::put(
          std::move(key), "id:group1/M00/00/00/yXm3AGsCoj6AArpUAAAAA3pshvE405.jpg"));
    }
    std::vector<tracker::LogEntry> entries(1);
    entries[0].position = {1, ++index};
    entries[0].batch = wire::encode(batch);
    if (!(*store)->apply(entries, false)) std::abort();
  }
  std::vector<double> all;
  for (int i = 0; i < kUrls; ++i) {
    const std::uint64_t k = random_u64() % kAliases;
    std::string key = "Y";
    key.push_back('\0');
    key += "/upload/" + std::to_string(k % 100) + "/" + std::to_string(k) + ".jpg";
    const auto start = Clock::now();
    if (!(*store)->get(key)) std::abort();
    all.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  }
  return times_of(all);
}

} // namespace

int main() {
  const Times anchored = decide(*book_of("^"));
  const Times unanchored = decide(*book_of(""));
  std::string name = (std::filesystem::temp_directory_path() / "cairn-bench-XXXXXX").string();
  const std::filesystem::path directory = ::mkdtemp(name.data());
  const Times alias = look_up(directory);
  std::filesystem::remove_all(directory);
  std::printf(
      "{\"rules\":%d,\"decision_us\":{\"p50\":%.1f,\"p99\":%.1f},"
      "\"decision_unanchored_us\":{\"p50\":%.1f,\"p99\":%.1f},"
      "\"aliases\":%d,\"alias_us\":{\"p50\":%.1f,\"p99\":%.1f}}\n",
      kRules, anchored.p50, anchored.p99, unanchored.p50, unanchored.p99, kAliases, alias.p50,
      alias.p99);
  return 0;
}
