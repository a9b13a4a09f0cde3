// Downloads: bytes to a sink, going on at another node where one breaks off.
#include "client/core.h"
#include "common/base/crc32.h"
#include "common/wire/fastdfs.h"

#include <algorithm>
#include <optional>

namespace cairn {

namespace {

constexpr std::size_t kPieceSize = 256 * 1024;
// File names made before this were made by FastDFS, which wrote another checksum before 5.12.
constexpr std::int64_t kFirstCairn = 1'735'689'600; // 2025-01-01

// The checksums of what has come so far.
class Checksums {
public:
  explicit Checksums(bool legacy) : with_legacy_(legacy) {}

  void update(std::span<const std::byte> bytes) {
    crc_ = crc32(crc_, bytes);
    if (with_legacy_) legacy_.update(bytes);
  }
  bool match(std::uint32_t expected) const {
    return crc_ == expected || (with_legacy_ && legacy_.value() == expected);
  }
  std::uint32_t value() const { return crc_; }

private:
  bool with_legacy_;
  std::uint32_t crc_ = 0;
  LegacyCrc32 legacy_;
};

} // namespace

// One download, over all nodes it needs.
struct ClientCore::Incoming {
  Incoming(Sink s, const DownloadOptions& o, bool with_legacy)
      : sink(std::move(s)), options(o), legacy(with_legacy), checksums(with_legacy) {}

  Sink sink;
  const DownloadOptions& options;
  bool legacy;
  Checksums checksums;
  std::uint64_t done = 0;             // bytes in the sink
  std::optional<std::uint64_t> total; // bytes in all, once a node has said it
  bool hopeless = false;              // another node cannot help: the sink failed, the file changed

  // Forgets what came; false when the sink cannot.
  bool restart() {
    if (done > 0 && !sink.body().restart()) return false;
    done = 0;
    total.reset();
    checksums = Checksums(legacy);
    return true;
  }
};

Task<Status> ClientCore::deliver(Sink& sink, std::span<const std::byte> bytes) {
  Sink::Body& body = sink.body();
  if (body.in_memory()) co_return body.write(bytes);
  auto work = [&body, bytes] { return body.write(bytes); };
  co_return co_await helpers_.run(std::move(work));
}

Task<ClientCore::Exchange> ClientCore::receive_part(const Address& address, const ParsedId& id,
                                                    Incoming& incoming, Deadline deadline) {
  wire::Download message;
  message.offset = incoming.options.offset + incoming.done;
  message.length = incoming.total ? *incoming.total - incoming.done : incoming.options.length;
  message.group = id.group;
  message.name = id.name;
  const wire::Bytes body = wire::encode(message);
  const wire::FrameHeader header{body.size(),
                                 static_cast<std::uint8_t>(wire::Command::download_file), 0};
  const wire::Bytes head = wire::encode(header);

  Result<std::uint64_t> size = Errc::closed;
  std::optional<ClientPool::Lease> lease;
  for (bool fresh = false;; fresh = true) {
    const Endpoint endpoint{address.host, address.port};
    auto got = co_await plain_.acquire(endpoint, fresh);
    if (!got) {
      Error error = std::move(got).error();
      if (error.code == Errc::not_found) error.code = Errc::unavailable;
      co_return Exchange(Reached::nothing, std::move(error));
    }
    lease.emplace(*std::move(got));
    FrameClient& client = **lease;
    client.connection().set_deadline(deadline.step());
    if (auto sent = co_await client.connection().write(head, body)) {
      size = co_await client.receive();
    } else {
      client.mark_broken();
      size = std::move(sent).error();
    }
    if (size) break;
    if (client.is_usable()) {
      if (size.code() == Errc::invalid_argument) client.mark_broken();
      Error error = std::move(size).error();
      error.detail = "answer of storage node " + error.detail;
      co_return Exchange(Reached::answer, std::move(error));
    }
    // A kept connection that was dead already; reads may be asked again.
    if (size.code() == Errc::closed && lease->reused() && !fresh) continue;
    co_return Exchange(Reached::sent, std::move(size).error());
  }

  FrameClient& client = **lease;
  Connection& connection = client.connection();
  if (incoming.total && *size != *incoming.total - incoming.done) {
    client.mark_broken();
    incoming.hopeless = true;
    Error changed(Errc::busy, id.group + "/" + id.name + " changed while it was read");
    co_return Exchange(Reached::answer, std::move(changed));
  }
  if (!incoming.total) incoming.total = *size;

  std::uint64_t left = *size;
  wire::Buffer buffer(static_cast<std::size_t>(std::min<std::uint64_t>(left, kPieceSize)));
  while (left > 0) {
    const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(left, kPieceSize));
    std::size_t have = 0;
    std::optional<Error> failed;
    while (have < wanted && !failed) {
      if (deadline.passed()) {
        failed = Error{Errc::timeout, "the time for this operation is over"};
        break;
      }
      connection.set_deadline(deadline.step());
      auto count = co_await connection.read_some(buffer.span().subspan(have, wanted - have));
      if (count)
        have += *count;
      else
        failed = std::move(count).error();
    }
    const wire::View piece = buffer.view().first(have);
    if (have > 0) {
      if (auto written = co_await deliver(incoming.sink, piece); !written) {
        client.mark_broken();
        incoming.hopeless = true;
        co_return Exchange(Reached::answer, std::move(written).error());
      }
      incoming.checksums.update(piece);
      incoming.done += have;
      left -= have;
      if (incoming.options.progress) incoming.options.progress(incoming.done, *incoming.total);
    }
    if (failed) {
      client.mark_broken();
      co_return Exchange(Reached::sent, *std::move(failed));
    }
  }
  connection.clear_deadline();
  co_return Exchange(Reached::answer, wire::Bytes());
}

Task<Result<Downloaded>> ClientCore::download(std::string id, Sink sink, DownloadOptions options) {
  CAIRN_CO_TRY(parsed, parse_id(id));
  const Deadline deadline = this->deadline(options.timeout);
  const bool whole = options.offset == 0 && options.length == 0;
  const bool verify = options.verify && whole && parsed.has_checksum;
  Incoming incoming(sink, options, verify && parsed.time < kFirstCairn);

  std::set<Address> tried;
  std::optional<Error> last;
  for (unsigned attempt = 0; attempt < std::max(1U, options_.attempts_max); ++attempt) {
    auto node = co_await node_for_file(parsed, false, tried, deadline);
    if (!node) co_return last ? *last : std::move(node).error();
    tried.insert(*node);
    Exchange part = co_await receive_part(*node, parsed, incoming, deadline);
    note(*node, part.reached, part.reply.code());
    if (part.reply) {
      if (verify && (incoming.done != parsed.size || !incoming.checksums.match(parsed.crc32))) {
        last = Error{Errc::corrupt,
                     id + " from " + node->text() + " does not match the checksum in its name"};
        if (!incoming.restart()) co_return *last;
        continue;
      }
      Sink::Body& body = sink.body();
      if (!body.in_memory()) {
        auto work = [&body] { return body.commit(); };
        CAIRN_CO_RETURN_IF_ERROR(co_await helpers_.run(std::move(work)));
      }
      Downloaded result;
      result.size = incoming.done;
      result.crc32 = incoming.checksums.value();
      result.verified = verify;
      co_return result;
    }
    if (incoming.hopeless ||
        judge(Repeat::harmless, part.reached, part.reply.code()) == Verdict::fail)
      co_return std::move(part.reply).error();
    last = std::move(part.reply).error();
    if (deadline.passed()) break;
  }
  co_return *last;
}

} // namespace cairn
