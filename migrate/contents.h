// Who has which content at the destination: what --dedupe goes by. Content is known by its size and
// SHA-256; a file has it as long as the namespace says that it has not changed since, which is
// asked in the very change that shares it (NsCreateCopy), so what is said here may be out of date.
// What is known for good is in the ledger; here are the last entries, which may not be written down
// yet, and what is being stored just now. Lives on the loop of its copier.
#pragma once

#include "common/net/task.h"
#include "migrate/ledger.h"

#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cairn::migrate {

class Contents {
public:
  // `lately`: only what was added here counts, and not what the ledger knows.
  Contents(const Ledger& ledger, bool lately) : ledger_(ledger), lately_(lately) {}
  Contents(const Contents&) = delete;
  Contents& operator=(const Contents&) = delete;

  // While it lives, nobody else is told to store the same.
  class Claim {
  public:
    Claim() {}
    Claim(Contents& contents, std::string key);
    Claim(Claim&& other) noexcept
        : contents_(std::exchange(other.contents_, nullptr)), key_(std::move(other.key_)) {}
    Claim& operator=(Claim&& other) noexcept {
      std::swap(contents_, other.contents_);
      std::swap(key_, other.key_);
      return *this;
    }
    ~Claim();

  private:
    Contents* contents_ = nullptr;
    std::string key_;
  };

  struct Found {
    std::vector<Holder> holders; // none: it is to be stored, while `claim` is held
    Claim claim;

    Found() {}
  };
  // Waits while somebody stores the same, or what may be the same. Errors: those of the ledger.
  Task<Result<Found>> find(std::uint64_t size, wire::Bytes sha256);
  // Of a file that is read while it is sent: a claim, when nobody can have its content. Nothing:
  // somebody may have it, and its hash has to be known before it is sent. Errors: as find().
  Result<std::optional<Claim>> claim_unread(std::uint64_t size);

  // `holder` has this content now.
  void add(Ledger::Batch& batch, std::uint64_t size, const wire::Bytes& sha256,
           const Holder& holder);
  // It has it no more.
  void drop(Ledger::Batch& batch, std::uint64_t size, const wire::Bytes& sha256,
            std::uint64_t inode);

private:
  // By size, SHA-256 and inode; nothing: it has it no more.
  using Entries = std::map<std::string, std::optional<Holder>>;

  void note(std::string key, std::optional<Holder> holder);
  Result<std::vector<Holder>> known(std::uint64_t size, const wire::Bytes& sha256) const;

  const Ledger& ledger_;
  const bool lately_;
  // The younger ones, and those before them: when the first are many, they become the second.
  Entries young_, old_;
  // What is claimed, and who waits for it. A size alone is what claim_unread() has given out.
  std::map<std::string, std::vector<asio::steady_timer*>> claims_;
};

} // namespace cairn::migrate
