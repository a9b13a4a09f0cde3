// The blocking face: each call is spawned on the client's own I/O thread and waited for.
#include "cairn/client.h"

#include "cairn/async_client.h"
#include "common/net/io_pool.h"

#include <boost/asio/co_spawn.hpp>

#include <exception>
#include <future>

namespace cairn {

namespace {

template <class T>
Awaitable<void> keep_promise(Awaitable<T> call, std::promise<T>& promise) {
  T value = co_await std::move(call);
  promise.set_value(std::move(value));
}

} // namespace

struct Client::Loop {
  explicit Loop(ClientOptions options) : pool(1), client(pool.at(0), std::move(options)) {
    pool.start();
  }
  ~Loop() { pool.stop(); }

  // Runs `call` on the I/O thread. Only exceptions the library does not handle (bad_alloc) and
  // those of the caller's own functions come out of it.
  template <class T>
  T wait(Awaitable<T> call) {
    std::promise<T> promise;
    std::future<T> future = promise.get_future();
    boost::asio::co_spawn(pool.at(0), keep_promise(std::move(call), promise),
                          [&promise](std::exception_ptr failure) {
                            if (failure) promise.set_exception(failure);
                          });
    return future.get();
  }

  IoPool pool;
  AsyncClient client; // goes before the loop: its kept connections belong to it
};

Client::Client(ClientOptions options) : loop_(std::make_unique<Loop>(std::move(options))) {}
Client::~Client() = default;

Result<std::string> Client::upload(Source source, UploadOptions options) {
  return loop_->wait(loop_->client.upload(std::move(source), std::move(options)));
}

Result<std::string> Client::upload_slave(std::string master_id, std::string prefix,
                                         std::string extension, Source source,
                                         UploadOptions options) {
  return loop_->wait(loop_->client.upload_slave(std::move(master_id), std::move(prefix),
                                                std::move(extension), std::move(source),
                                                std::move(options)));
}

Result<Downloaded> Client::download(std::string id, Sink sink, DownloadOptions options) {
  return loop_->wait(loop_->client.download(std::move(id), std::move(sink), std::move(options)));
}

Status Client::remove(std::string id, Timeout timeout) {
  return loop_->wait(loop_->client.remove(std::move(id), timeout));
}

Status Client::append(std::string id, Source source, Timeout timeout) {
  return loop_->wait(loop_->client.append(std::move(id), std::move(source), timeout));
}

Status Client::modify(std::string id, std::uint64_t offset, Source source, Timeout timeout) {
  return loop_->wait(loop_->client.modify(std::move(id), offset, std::move(source), timeout));
}

Status Client::truncate(std::string id, std::uint64_t size, Timeout timeout) {
  return loop_->wait(loop_->client.truncate(std::move(id), size, timeout));
}

Result<std::string> Client::regenerate(std::string id, Timeout timeout) {
  return loop_->wait(loop_->client.regenerate(std::move(id), timeout));
}

Result<Metadata> Client::get_metadata(std::string id, Timeout timeout) {
  return loop_->wait(loop_->client.get_metadata(std::move(id), timeout));
}

Status Client::set_metadata(std::string id, Metadata metadata, bool merge, Timeout timeout) {
  return loop_->wait(
      loop_->client.set_metadata(std::move(id), std::move(metadata), merge, timeout));
}

Result<FileInfo> Client::info(std::string id, Timeout timeout) {
  return loop_->wait(loop_->client.info(std::move(id), timeout));
}

Result<std::vector<Address>> Client::locate(std::string id, Timeout timeout) {
  return loop_->wait(loop_->client.locate(std::move(id), timeout));
}

Result<std::vector<GroupInfo>> Client::groups(Timeout timeout) {
  return loop_->wait(loop_->client.groups(timeout));
}

Result<std::vector<StorageInfo>> Client::storages(std::string group, Timeout timeout) {
  return loop_->wait(loop_->client.storages(std::move(group), timeout));
}

Result<Cluster> Client::cluster(std::string group, Timeout timeout) {
  return loop_->wait(loop_->client.cluster(std::move(group), timeout));
}

Result<Cluster> Client::cluster_at(Address tracker, std::string group, Timeout timeout) {
  return loop_->wait(loop_->client.cluster_at(std::move(tracker), std::move(group), timeout));
}

Result<std::string> Client::admin(std::string json, Timeout timeout) {
  return loop_->wait(loop_->client.admin(std::move(json), timeout));
}

Result<std::string> Client::admin_at(Address daemon, std::string json, Timeout timeout) {
  return loop_->wait(loop_->client.admin_at(std::move(daemon), std::move(json), timeout));
}

Result<std::vector<std::byte>> Client::native_call(Address daemon, std::uint8_t command,
                                                   std::vector<std::byte> body, Timeout timeout) {
  return loop_->wait(
      loop_->client.native_call(std::move(daemon), command, std::move(body), timeout));
}

} // namespace cairn
