// Serves a directory of stored files (data/HH/LL/leaf, as a store path) by the HTTP service alone,
// to compare it with a web server over the same files:
//
//   http_serve ADDRESS PORT DIRECTORY [THREADS]
//
// Prints the port and serves until its standard input ends.
#include "common/base/text.h"
#include "storage/http/file_service.h"

#include <cstdio>
#include <fcntl.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using namespace cairn;

// Opens files directly, on the I/O thread: what a store does when all is cached.
class DirectorySource : public storage::FileSource {
public:
  explicit DirectorySource(std::string directory) : directory_(std::move(directory)) {}

  Task<Result<storage::OpenFile>> open(const RemoteName& name) override {
    std::string path = directory_ + "/data/";
    path.append(name.true_name());
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) co_return errno_error("open", errno);
    storage::OpenFile file;
    file.fd = std::shared_ptr<const int>(new int(fd), [](const int* p) {
      ::close(*p);
      delete p;
    });
    struct stat status {};
    if (::fstat(fd, &status) != 0) co_return errno_error("fstat", errno);
    file.size = static_cast<std::uint64_t>(status.st_size);
    file.mtime = static_cast<std::uint32_t>(status.st_mtim.tv_sec);
    file.immutable = true;
    co_return file;
  }
  std::string_view group() const override { return "group1"; }

private:
  std::string directory_;
};

Task<void> serve_one(asio::ip::tcp::socket socket, const HttpHandler& handler,
                     const HttpOptions& options) {
  Connection connection(std::move(socket));
  co_await serve_http(connection, handler, options);
}

int fail(const std::string& why) {
  std::fprintf(stderr, "http_serve: %s\n", why.c_str());
  return 1;
}

int run(const std::string& address, const std::string& port_text, const std::string& directory,
        const std::string& threads_text) {
  const auto port = parse_u64(port_text);
  const auto threads = parse_u64(threads_text);
  if (!port || *port > 65535 || !threads || *threads > 256) return fail("bad port or threads");
  DirectorySource source(directory);
  const config::StorageConfig config;
  auto service = storage::FileService::make(config, source, {});
  if (!service) return fail(service.error().text());
  DiskPool disk("disk", 4);
  const HttpHandler handler = (*service)->handler();
  const HttpOptions options = (*service)->options(&disk);
  IoPool pool(static_cast<std::size_t>(*threads));
  ConnectionGauge gauge;
  ListenerOptions entry;
  entry.on_connection = [&](asio::ip::tcp::socket socket, ConnectionSlot) {
    const asio::any_io_executor executor = socket.get_executor();
    spawn(executor, serve_one(std::move(socket), handler, options), "http");
  };
  Listener listener(pool, gauge, std::move(entry));
  const Status listening = listener.listen({address}, static_cast<std::uint16_t>(*port));
  if (!listening) return fail(listening.error().text());
  listener.start();
  pool.start();
  std::printf("%u\n", static_cast<unsigned>(listener.port()));
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  pool.stop();
  return 0;
}

} // namespace

int main(int count, char** words) {
  if (count < 4) return fail("usage: http_serve ADDRESS PORT DIRECTORY [THREADS]");
  return run(words[1], words[2], words[3], count > 4 ? words[4] : "2");
}
