// Download (14) and file info (22).
#include "common/net/send_file.h"
#include "common/wire/fastdfs.h"
#include "storage/handlers/locate.h"

#include <fcntl.h>

namespace cairn::storage {

namespace {

// Bytes of an address in replies, IPv4 only and with IPv6.
constexpr std::size_t kNarrowAddress = 16;
constexpr std::size_t kWideAddress = 46;

// Up to this a file is read into memory and leaves in one write with its header; above, sendfile.
constexpr std::uint64_t kInlineMax = 64 * 1024;

// How much of a file of `size` bytes is wanted; FastDFS clips at the end.
Result<std::uint64_t> clip(std::uint64_t size, std::uint64_t offset, std::uint64_t length) {
  if (offset > size)
    return Error{Errc::invalid_argument,
                 "offset " + std::to_string(offset) + " of " + std::to_string(size) + " bytes"};
  const std::uint64_t rest = size - offset;
  return length == 0 || length > rest ? rest : length;
}

wire::Bytes reply_header(std::uint64_t size) {
  return wire::encode(wire::FrameHeader{size, static_cast<std::uint8_t>(wire::Command::reply), 0});
}

Task<Status> send_here(Context& context, Session& session, const RemoteName& name,
                       const OpenedFile& opened, std::uint64_t offset, std::uint64_t length) {
  const int fd = opened.file.get();
  DiskPool& pool = context.store.read_pool(name.store_path());
  session.connection.set_write_timeout(context.config.network_timeout);
  // Without memory for a copy it goes out by sendfile, which needs none.
  MemoryCharge charge;
  if (length <= kInlineMax) charge = context.memory.take(wire::kHeaderSize + length);
  if (!charge) {
    const wire::Bytes header = reply_header(length);
    CAIRN_CO_RETURN_IF_ERROR(co_await session.connection.write(header, /*more=*/true));
    co_return co_await send_verified(context, session.connection, name, opened, offset, length,
                                     /*only_here=*/false);
  }
  wire::Buffer frame(wire::kHeaderSize + length);
  const wire::Bytes header = reply_header(length);
  std::copy(header.begin(), header.end(), frame.data());
  const std::span<std::byte> content = frame.span().subspan(wire::kHeaderSize);
  std::size_t have = read_if_cached(fd, offset, content);
  if (have < length) {
    auto read = [fd, content, offset, have]() -> Status {
      for (std::size_t at = have; at < content.size();) {
        const ssize_t count =
            ::pread(fd, content.data() + at, content.size() - at, static_cast<off_t>(offset + at));
        if (count < 0) return errno_error("read", errno);
        if (count == 0) return Error{Errc::io_error, "the file became shorter"};
        at += static_cast<std::size_t>(count);
      }
      return Status();
    };
    CAIRN_CO_RETURN_IF_ERROR(co_await pool.run(std::move(read)));
  }
  CAIRN_CO_TRY(written, session.connection.try_write(frame.view()));
  if (written == frame.size()) co_return Status();
  co_return co_await session.connection.write(frame.view().subspan(written));
}

Task<Result<Reply>> download(Context& context, Session& session, Body& body) {
  // Shorter than what is loaded before a handler begins, by its CommandRule.
  CAIRN_CO_TRY(request, wire::decode<wire::Download>(body.whole()));
  if ((request.offset | request.length) >> 63 != 0)
    co_return Error{Errc::invalid_argument, "negative offset or length"};
  CAIRN_CO_RETURN_IF_ERROR(check_group(context, request.group));
  CAIRN_CO_TRY(name, parse_name(context, session, request.name, auth::kRead));
  CAIRN_CO_TRY(ticket, begin_under(context.downloads));
  Counted counted(context.counters.download);
  std::optional<OpenedFile> here = open_at_once(context, name, request.offset, request.length);
  std::optional<RemoteFile> there;
  if (!here) {
    CAIRN_CO_TRY(located, co_await locate(context, name, request.offset, request.length));
    here = std::move(located.here);
    if (located.there) there.emplace(*std::move(located.there));
  }
  if (there) {
    const std::uint64_t length = there->length;
    const wire::Bytes header = reply_header(length);
    counted.add_bytes(length);
    CAIRN_CO_RETURN_IF_ERROR(co_await session.connection.write(header, /*more=*/true));
    // The length is promised: what breaks from here on can only end the connection.
    auto sent = co_await pass_on(context, session.connection, name, std::move(there),
                                 request.offset, length);
    if (!sent)
      session.connection.close();
    else
      counted.succeed();
    co_return Reply::already_sent();
  }
  const OpenedFile& opened = *here;
  CAIRN_CO_TRY(length, clip(opened.size, request.offset, request.length));
  counted.add_bytes(length);
  auto sent = co_await send_here(context, session, name, opened, request.offset, length);
  if (!sent)
    session.connection.close();
  else
    counted.succeed();
  co_return Reply::already_sent();
}

// The text of the source's address, as clients show it.
std::string source_text(Context& context, const RemoteName& name) {
  if (!name.fields()) return {};
  const SourceRef source = name.fields()->source;
  const auto peers = context.peers.get(); // keeps what resolve() points into
  if (const auto* node = peers->resolve(source)) return node->host;
  return source.is_server_id() ? std::string() : source.text();
}

// Whether addresses in replies to FastDFS clients have 46 bytes instead of 16.
bool has_wide_addresses(const Context& context) {
  if (context.config.response_ip_addr_size != config::IpAddrSize::automatic)
    return context.config.response_ip_addr_size == config::IpAddrSize::v6;
  return context.peers.get()->has_ipv6();
}

Task<Result<Reply>> file_info(Context& context, Session& session, Body& body) {
  constexpr std::size_t kNameMin = 37; // as the original server
  constexpr std::uint8_t kNoCrc = 1;
  CAIRN_CO_TRY(all, co_await take_all(body));
  CAIRN_CO_TRY(request, wire::decode<wire::GroupFile>(all));
  CAIRN_CO_RETURN_IF_ERROR(check_group(context, request.group));
  if (request.name.size() < kNameMin) co_return Error{Errc::invalid_argument, "name too short"};
  CAIRN_CO_TRY(name, parse_name(context, session, request.name, auth::kRead));

  wire::FileInfo info;
  info.source_host = source_text(context, name);
  const bool constant = name.kind() == FileKind::normal && name.fields();
  const bool want_crc = constant || (body.flags() & kNoCrc) == 0;
  std::uint32_t crc = constant ? name.fields()->crc32 : 0;

  // What the name does not say of a file has to be right.
  const std::uint64_t looked_at = constant ? 0 : kFileSizeMax;
  std::optional<OpenedFile> here;
  if (session.peer || !read_at_owner(context, name)) {
    CAIRN_CO_TRY(opened, co_await open_here(context, name, 0, looked_at));
    here = std::move(opened);
  }
  if (!here) {
    auto found = co_await context.remote().probe(name);
    if (found && found->presence == wire::Presence::present && found->damaged)
      found = Error{Errc::io_error, request.name + ": all copies that can be asked are damaged"};
    if (found && found->presence != wire::Presence::present)
      co_return Error{Errc::not_found, request.name};
    if (found) {
      info.size = found->size;
      info.mtime = found->mtime;
      if (!constant && want_crc) crc = found->crc32;
    } else if (read_at_owner(context, name)) {
      CAIRN_CO_TRY(opened, co_await open_here(context, name, 0, looked_at));
      here = std::move(opened);
      if (!here) co_return std::move(found).error();
    } else {
      co_return std::move(found).error();
    }
  }
  if (here) {
    info.size = here->size;
    info.mtime = here->mtime;
    if (!constant && want_crc) {
      auto read = [&store = context.store, &name] { return store.content_crc32(name, true); };
      CAIRN_CO_TRY(value, co_await context.store.read_pool(name.store_path()).run(std::move(read)));
      crc = value;
    }
  }
  // Clients of every language expect the sign extension of the original.
  info.crc32 =
      static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<std::int32_t>(crc)));
  wire::Bytes reply = wire::encode(info);
  if (has_wide_addresses(context)) {
    reply.resize(wire::size_of<wire::FileInfo> - kNarrowAddress);
    wire::Writer(reply).padded(info.source_host, kWideAddress);
  }
  co_return Reply(std::move(reply));
}

Task<Result<Reply>> active_test(Context&, Session&, Body& body) {
  if (body.size() != 0) co_return Error{Errc::invalid_argument, "active test has no body"};
  co_return Reply();
}

} // namespace

void add_read_handlers(HandlerTable<Context>& table) {
  table.on(wire::Command::download_file, &download, {Access::client, 64 * 1024, auth::kRead});
  table.on(wire::Command::query_file_info, &file_info, {Access::client, 64 * 1024, auth::kRead});
  table.on(wire::Command::active_test, &active_test);
}

} // namespace cairn::storage
