// A storm on the namespace while its tracker is killed: several clients make, rename and remove
// files, remember what was acknowledged, and compare at the end. Prints one JSON line; exits 1 when
// something acknowledged is not there, or something is there twice. test_namespace.py runs it.
//
//   cairn-namespace-storm CLIENT_CONF EXPORT SECONDS CLIENTS SEED
#include "cairn/namespace.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace {

using cairn::Namespace;
using Clock = std::chrono::steady_clock;

// One client in a directory of its own.
struct Client {
  std::uint64_t acknowledged = 0;
  std::uint64_t unknown = 0;
  std::uint64_t slowest_ms = 0;
  std::vector<std::string> faults;
  std::map<std::string, std::uint64_t> names; // acknowledged, with their inodes
  std::set<std::string> doubtful;             // nobody said what became of them

  void run(Namespace& tree, const std::string& directory, std::uint64_t seed,
           Clock::time_point end) {
    std::mt19937_64 random(seed);
    if (auto made = tree.mkdir(directory, 0755, true); !made) {
      faults.push_back("mkdir " + directory + ": " + made.error().text());
      return;
    }
    for (std::uint64_t i = 0; Clock::now() < end; ++i) {
      const auto start = Clock::now();
      const std::uint64_t choice = names.empty() ? 0 : random() % 4;
      if (choice <= 1) {
        const std::string name = "f" + std::to_string(i);
        cairn::WriteOptions options;
        options.exclusive = true;
        auto made = tree.write(directory + "/" + name, cairn::Content::text(""), options);
        if (made)
          names[name] = made->inode;
        else
          note("create " + name, made.error(), {name});
      } else {
        auto victim = names.begin();
        std::advance(victim, static_cast<long>(random() % std::min<std::size_t>(names.size(), 50)));
        const std::string old_name = victim->first;
        const std::uint64_t inode = victim->second;
        names.erase(victim);
        if (choice == 2) {
          const std::string new_name = "r" + std::to_string(i);
          const auto moved =
              tree.rename(directory + "/" + old_name, directory + "/" + new_name, true);
          if (moved)
            names[new_name] = inode;
          else
            note("rename " + old_name, moved.error(), {old_name, new_name});
        } else {
          const auto gone = tree.remove(directory + "/" + old_name);
          if (!gone) note("remove " + old_name, gone.error(), {old_name});
        }
      }
      ++acknowledged;
      slowest_ms = std::max(
          slowest_ms,
          static_cast<std::uint64_t>(
              std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start).count()));
    }
  }

  void note(const std::string& what, const cairn::Error& error,
            const std::vector<std::string>& touched) {
    --acknowledged;
    if (!error.outcome_unknown) return faults.push_back(what + ": " + error.text());
    ++unknown;
    doubtful.insert(touched.begin(), touched.end());
  }

  void verify(Namespace& tree, const std::string& directory) {
    auto listed = tree.list(directory);
    if (!listed) return faults.push_back("list " + directory + ": " + listed.error().text());
    std::map<std::string, std::uint64_t> seen;
    std::set<std::uint64_t> inodes;
    for (const auto& entry : *listed) {
      if (!seen.emplace(entry.name, entry.status.inode).second)
        faults.push_back(entry.name + " is listed twice");
      if (!inodes.insert(entry.status.inode).second)
        faults.push_back(entry.name + " is there under two names");
      if (!names.contains(entry.name) && !doubtful.contains(entry.name))
        faults.push_back(entry.name + " is there, but was removed or renamed");
    }
    for (const auto& [name, inode] : names) {
      const auto found = seen.find(name);
      if (found == seen.end())
        faults.push_back(name + " was acknowledged and is not there");
      else if (found->second != inode)
        faults.push_back(name + " is another file now");
    }
  }
};

} // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fputs("usage: cairn-namespace-storm CLIENT_CONF EXPORT SECONDS CLIENTS SEED\n", stderr);
    return 2;
  }
  const auto options = cairn::load_client_options(argv[1]);
  if (!options) {
    std::fprintf(stderr, "%s\n", options.error().text().c_str());
    return 2;
  }
  const auto end = Clock::now() + std::chrono::seconds(std::atoi(argv[3]));
  const int count = std::atoi(argv[4]);
  const std::uint64_t seed = std::strtoull(argv[5], nullptr, 10);
  std::vector<Client> clients(static_cast<std::size_t>(count));
  std::vector<std::thread> threads;
  // Two sessions: clients that share one share its sequence numbers too.
  std::vector<std::unique_ptr<Namespace>> trees;
  for (int i = 0; i < 2; ++i) {
    cairn::NamespaceOptions session(argv[2]);
    session.label = "storm";
    session.timeout = std::chrono::seconds(60);
    trees.push_back(std::make_unique<Namespace>(*options, session));
    if (auto opened = trees.back()->open(); !opened) {
      std::fprintf(stderr, "%s\n", opened.error().text().c_str());
      return 2;
    }
  }
  for (int i = 0; i < count; ++i)
    threads.emplace_back([&, i] {
      clients[static_cast<std::size_t>(i)].run(*trees[static_cast<std::size_t>(i % 2)],
                                               "c" + std::to_string(i),
                                               seed + static_cast<std::uint64_t>(i), end);
    });
  for (std::thread& thread : threads) thread.join();
  std::uint64_t acknowledged = 0;
  std::uint64_t unknown = 0;
  std::uint64_t slowest = 0;
  std::vector<std::string> faults;
  for (int i = 0; i < count; ++i) {
    Client& client = clients[static_cast<std::size_t>(i)];
    client.verify(*trees[0], "c" + std::to_string(i));
    acknowledged += client.acknowledged;
    unknown += client.unknown;
    slowest = std::max(slowest, client.slowest_ms);
    faults.insert(faults.end(), client.faults.begin(), client.faults.end());
  }
  std::printf(
      "{\"acknowledged\": %llu, \"unknown\": %llu, \"slowest_ms\": %llu, \"faults\": %zu}\n",
      static_cast<unsigned long long>(acknowledged), static_cast<unsigned long long>(unknown),
      static_cast<unsigned long long>(slowest), faults.size());
  for (std::size_t i = 0; i < faults.size() && i < 10; ++i)
    std::fprintf(stderr, "%s\n", faults[i].c_str());
  return faults.empty() ? 0 : 1;
}
