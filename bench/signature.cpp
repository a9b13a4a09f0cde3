// What checking the signature of an HTTP request costs: the whole decision of HttpGuard for a
// signed upload URL, in CPU time of this thread. Prints one line of JSON.
//   signature_bench [REQUESTS]
#include "common/auth/signature.h"

#include "common/net/rate_limit.h"
#include "storage/http/guard.h"

#include <cstdlib>
#include <ctime>
#include <iostream>
#include <string>

namespace {

// 100 keys, as a cluster with many applications has them; the one that signs is among them.
cairn::auth::AccessKey fill(cairn::auth::KeyRing& ring) {
  cairn::auth::KeyTable table;
  table.cluster_uuid = "bench";
  table.version = 1;
  for (int i = 0; i < 100; ++i) {
    cairn::auth::AccessKey key;
    key.id = cairn::auth::make_key_id();
    key.secret = cairn::auth::make_key_secret();
    key.rights = cairn::auth::kFastdfsAll;
    table.keys.push_back(std::move(key));
  }
  cairn::auth::AccessKey chosen = table.keys[50];
  ring.take(std::move(table));
  return chosen;
}

double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

} // namespace

int main(int argc, char** argv) {
  using namespace cairn;
  const int count = argc > 1 ? std::atoi(argv[1]) : 200'000;
  auth::KeyRing ring;
  const auth::AccessKey key = fill(ring);
  config::StorageConfig config;
  RateLimiter limiter;
  storage::HttpGuard guard(config, ring, limiter);

  auth::SignedRequest signed_request;
  signed_request.method = "PUT";
  signed_request.path = "/group1/photo.jpg";
  signed_request.query = {{"style", "thumb"}};
  signed_request.key_id = key.id;
  signed_request.expires = static_cast<std::uint64_t>(std::time(nullptr)) + 3600;
  signed_request.headers = {{"content-type", "image/jpeg"}};
  const std::string target = signed_request.path + "?style=thumb&" +
                             auth::signature_query(auth::Secret(key.secret).view(), signed_request);
  HttpRequest request;
  request.method = "PUT";
  request.target = target;
  request.header = [](std::string_view name) {
    return name == "content-type" ? std::string_view("image/jpeg") : std::string_view();
  };

  const double before = cpu_seconds();
  for (int i = 0; i < count; ++i) {
    if (guard.admit_change(request, signed_request.path, "group1", auth::kWrite).refusal) {
      std::cerr << "the signature was refused\n";
      return 1;
    }
  }
  const double each = (cpu_seconds() - before) / count * 1e6;
  std::cout << "{\"requests\":" << count << ",\"microseconds\":" << each << "}\n";
  return each < 20 ? 0 : 1;
}
