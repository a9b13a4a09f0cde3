// cairn upload
#include "tools/context.h"
#include "tools/input.h"
#include "tools/progress.h"
#include "tools/verbs.h"

#include <nlohmann/json.hpp>

#include <filesystem>

namespace cairn::tools {

namespace {

// An extension that file IDs can carry, from a file's name; else none.
std::string extension_of(const std::string& file) {
  const std::string extension = std::filesystem::path(file).extension().string();
  if (extension.size() < 2 || extension.size() > 7) return {};
  const bool plain =
      extension.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
                                  1) == std::string::npos;
  return plain ? extension.substr(1) : std::string();
}

} // namespace

int run_upload(Context& context, const UploadArgs& args) {
  if (args.copies != 1)
    return context.usage("--copies " + std::to_string(args.copies) + " is not possible",
                         "this version stores one copy and lets the group's other nodes follow; "
                         "leave --copies out");
  Metadata metadata;
  for (const std::string& text : args.metadata) {
    auto pair = split_pair(text);
    if (!pair) return context.usage("--meta '" + text + "' is not K=V");
    metadata.insert_or_assign(std::move(pair->first), std::move(pair->second));
  }
  auto client = context.client();
  if (!client) return context.fail("upload", client.error());

  std::size_t good = 0;
  int first_failure = kGood;
  nlohmann::json results = nlohmann::json::array();
  for (const std::string& file : args.files) {
    UploadOptions options;
    options.group = args.group;
    options.extension = args.extension ? *args.extension : extension_of(file);
    options.appender = args.appender;
    options.metadata = metadata;
    ProgressBar bar(file, !context.quiet() && !context.json());
    options.progress = bar.callback();

    Result<std::string> stored = Errc::ok;
    std::uint64_t size = 0;
    if (auto source = open_input(file)) {
      size = source->size();
      stored = (*client)->upload(std::move(*source), std::move(options));
    } else {
      stored = std::move(source).error();
    }
    if (!stored) {
      const int code = context.fail("upload " + file, stored.error());
      if (first_failure == kGood) first_failure = code;
      continue;
    }
    ++good;
    if (context.json())
      results.push_back({{"file", file}, {"id", *stored}, {"size", size}});
    else
      context.answer(*stored);
  }
  if (context.json()) context.answer_json(results);
  if (first_failure == kGood) return kGood;
  return good > 0 ? kPartial : first_failure;
}

} // namespace cairn::tools
