// The C face: exceptions end here, errors become numbers and a line per thread.
#include "cairn/cairn.h"
#include "cairn/client.h"

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>

struct cairn_client {
  explicit cairn_client(cairn::ClientOptions options) : client(std::move(options)) {}

  cairn::Client client;
  std::atomic<unsigned> timeout_ms{0};

  cairn::Timeout timeout() const { return std::chrono::milliseconds(timeout_ms.load()); }
};

namespace {

thread_local cairn::Error last_error{cairn::Errc::ok};
thread_local std::string last_text;

int fail(cairn::Error error) {
  last_text = error.text();
  last_error = std::move(error);
  return static_cast<int>(last_error.code);
}

// Runs `call`, which answers a Status; nothing is thrown into C.
template <class F>
int guarded(F call) noexcept {
  try {
    const cairn::Status status = call();
    if (status) return 0;
    return fail(status.error());
  } catch (const std::bad_alloc&) {
    last_error.code = cairn::Errc::out_of_memory;
    return ENOMEM;
  } catch (const std::exception& e) {
    return fail(cairn::Error(cairn::Errc::io_error, e.what()));
  }
}

std::string text_or_empty(const char* text) {
  return text == nullptr ? std::string() : text;
}

cairn::Status put_id(const cairn::Result<std::string>& stored, char* id) {
  if (!stored) return stored.error();
  if (stored->size() >= CAIRN_ID_SIZE)
    return cairn::Error(cairn::Errc::name_too_long, "file ID " + *stored);
  std::memcpy(id, stored->c_str(), stored->size() + 1);
  return {};
}

cairn_client* open_with(const cairn::Result<cairn::ClientOptions>& options) {
  if (!options) {
    fail(options.error());
    return nullptr;
  }
  return new cairn_client(*options);
}

// "jpg" of "/x/photo.jpg"; empty when there is none that fits into a file ID.
std::string extension_of(const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  return extension.size() >= 2 && extension.size() <= 7 ? extension.substr(1) : std::string();
}

} // namespace

cairn_client* cairn_open(const char* trackers) {
  cairn_client* client = nullptr;
  guarded([&]() -> cairn::Status {
    CAIRN_TRY(addresses, cairn::parse_trackers(text_or_empty(trackers)));
    cairn::ClientOptions options;
    options.trackers = std::move(addresses);
    client = open_with(options);
    return {};
  });
  return client;
}

cairn_client* cairn_open_conf(const char* file) {
  cairn_client* client = nullptr;
  guarded([&]() -> cairn::Status {
    client = open_with(cairn::load_client_options(text_or_empty(file)));
    return {};
  });
  return client;
}

void cairn_close(cairn_client* client) {
  delete client;
}

void cairn_set_timeout(cairn_client* client, unsigned milliseconds) {
  client->timeout_ms = milliseconds;
}

int cairn_upload_file(cairn_client* client, const char* path, const char* group,
                      const char* extension, char* id) {
  return guarded([&]() -> cairn::Status {
    CAIRN_TRY(source, cairn::Source::file(path));
    cairn::UploadOptions options;
    options.group = text_or_empty(group);
    options.extension = extension == nullptr ? extension_of(path) : std::string(extension);
    options.timeout = client->timeout();
    return put_id(client->client.upload(std::move(source), std::move(options)), id);
  });
}

int cairn_upload_memory(cairn_client* client, const void* data, size_t size, const char* group,
                        const char* extension, char* id) {
  return guarded([&]() -> cairn::Status {
    cairn::UploadOptions options;
    options.group = text_or_empty(group);
    options.extension = text_or_empty(extension);
    options.timeout = client->timeout();
    const auto source = cairn::Source::memory(
        std::span<const std::byte>(static_cast<const std::byte*>(data), size));
    return put_id(client->client.upload(source, std::move(options)), id);
  });
}

int cairn_download_file(cairn_client* client, const char* id, const char* path) {
  return guarded([&]() -> cairn::Status {
    CAIRN_TRY(sink, cairn::Sink::file(path));
    cairn::DownloadOptions options;
    options.timeout = client->timeout();
    CAIRN_RETURN_IF_ERROR(client->client.download(id, std::move(sink), std::move(options)));
    return {};
  });
}

int cairn_download_memory(cairn_client* client, const char* id, uint64_t offset, uint64_t length,
                          void** data, size_t* size) {
  return guarded([&]() -> cairn::Status {
    std::vector<std::byte> bytes;
    cairn::DownloadOptions options;
    options.offset = offset;
    options.length = length;
    options.timeout = client->timeout();
    CAIRN_RETURN_IF_ERROR(
        client->client.download(id, cairn::Sink::memory(bytes), std::move(options)));
    // malloc(0) may answer NULL, which here would look like a failure.
    void* copy = std::malloc(bytes.empty() ? 1 : bytes.size());
    if (copy == nullptr) throw std::bad_alloc();
    if (!bytes.empty()) std::memcpy(copy, bytes.data(), bytes.size());
    *data = copy;
    *size = bytes.size();
    return {};
  });
}

void cairn_free(void* data) {
  std::free(data);
}

int cairn_delete(cairn_client* client, const char* id) {
  return guarded([&] { return client->client.remove(id, client->timeout()); });
}

int cairn_info(cairn_client* client, const char* id, struct cairn_file_info* info) {
  return guarded([&]() -> cairn::Status {
    CAIRN_TRY(found, client->client.info(id, client->timeout()));
    info->size = found.size;
    info->mtime = found.mtime;
    info->crc32 = found.crc32;
    std::strncpy(info->source_host, found.source_host.c_str(), sizeof info->source_host - 1);
    info->source_host[sizeof info->source_host - 1] = '\0';
    return {};
  });
}

const char* cairn_error(const cairn_client*) {
  if (last_error.code == cairn::Errc::out_of_memory) return "out of memory";
  return last_text.c_str();
}

int cairn_error_outcome_unknown(const cairn_client*) {
  return last_error.outcome_unknown ? 1 : 0;
}
