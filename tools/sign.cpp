// cairn sign: a URL that holds for one method, one object and a while. Nobody is asked for it.
#include "client/identity.h"
#include "common/auth/signature.h"
#include "common/base/text.h"
#include "tools/context.h"
#include "tools/verbs.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <ctime>

namespace cairn::tools {

namespace {

constexpr std::array<std::string_view, 5> kMethods{"GET", "HEAD", "PUT", "POST", "DELETE"};

// A target taken apart: "http://host:8888" (or nothing), the path as written, the query.
struct Target {
  std::string origin;
  std::string path;
  std::string query;
};

Result<Target> parse_target(std::string_view text) {
  Target target;
  if (const std::size_t scheme = text.find("://"); scheme != std::string_view::npos) {
    const std::size_t slash = text.find('/', scheme + 3);
    if (slash == std::string_view::npos)
      return Error{Errc::invalid_argument, "the URL has no path"};
    target.origin = text.substr(0, slash);
    text.remove_prefix(slash);
  }
  const std::size_t mark = text.find('?');
  target.path = text.substr(0, mark);
  if (mark != std::string_view::npos) target.query = text.substr(mark + 1);
  // A file ID is a path without its first '/'.
  if (!target.path.starts_with('/')) target.path.insert(0, 1, '/');
  return target;
}

Result<std::string> sign(const SignArgs& args, const auth::AccessKey& key) {
  if (std::find(kMethods.begin(), kMethods.end(), args.method) == kMethods.end())
    return Error{Errc::invalid_argument, "--method is GET, HEAD, PUT, POST or DELETE"};
  CAIRN_TRY(target, parse_target(args.target));
  CAIRN_TRY(lifetime, parse_duration(args.expires));
  auth::SignedRequest request;
  request.method = args.method;
  CAIRN_TRY(path, percent_decode(target.path));
  request.path = std::move(path);
  CAIRN_TRY(query, auth::parse_query(target.query));
  request.query = std::move(query);
  request.key_id = key.id;
  request.expires = static_cast<std::uint64_t>(std::time(nullptr) + lifetime.count());
  for (const std::string& header : args.headers) {
    const std::size_t colon = header.find(':');
    if (colon == std::string::npos || colon == 0)
      return Error{Errc::invalid_argument, "'" + header + "' is not NAME:VALUE"};
    request.headers.emplace_back(to_lower(std::string_view(header).substr(0, colon)),
                                 std::string(trim(std::string_view(header).substr(colon + 1))));
  }
  std::string url = target.origin + auth::percent_encode(request.path, true) + "?";
  if (!target.query.empty()) url += target.query + "&";
  return url + auth::signature_query(wire::as_view(key.secret), request);
}

} // namespace

int run_sign(Context& context, const SignArgs& args) {
  const std::string what = "sign " + args.target;
  std::filesystem::path file = args.key;
  if (file.empty()) {
    auto options = context.client_options();
    if (!options) return context.fail(what, options.error(), "--key names an access key file");
    file = options->access_key_file;
  }
  if (file.empty())
    return context.usage(
        what + ": no access key",
        "--key FILE, or access_key_file in client.conf; `cairn key add` makes one");
  const auto key = read_access_key_file(file);
  if (!key) return context.fail(what, key.error());
  const auto url = sign(args, *key);
  if (!url) return context.fail(what, url.error());
  if (context.json())
    context.answer_json({{"url", *url}, {"method", args.method}});
  else
    context.answer(*url);
  return kGood;
}

} // namespace cairn::tools
