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
  Metadata metadata;
  for (const std::string& text : args.metadata) {
    auto pair = split_pair(text);
    if (!pair) return context.usage("--meta '" + text + "' is not K=V");
    metadata.insert_or_assign(std::move(pair->first), std::move(pair->second));
  }
  auto client = context.client();
  if (!client) return context.fail("upload", client.error());

  std::size_t good = 0;
  bool few_copies = false;
  int first_failure = kGood;
  nlohmann::json results = nlohmann::json::array();
  for (const std::string& file : args.files) {
    UploadOptions options;
    options.group = args.group;
    options.extension = args.extension ? *args.extension : extension_of(file);
    options.appender = args.appender;
    options.metadata = metadata;
    options.copies = args.copies;
    unsigned have = 0;
    unsigned wanted = 0;
    options.on_copies = [&have, &wanted](unsigned made, unsigned asked) {
      have = made;
      wanted = asked;
    };
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
    if (have < wanted) {
      few_copies = true;
      context.note(file + ": " + std::to_string(have) + " of " + std::to_string(wanted) +
                   " copies so far; the other nodes get it when they are there");
    }
    if (!context.json()) {
      context.answer(*stored);
      continue;
    }
    results.push_back({{"file", file}, {"id", *stored}, {"size", size}});
    if (wanted != 0) {
      results.back()["copies"] = have;
      results.back()["copies_wanted"] = wanted;
    }
  }
  if (context.json()) context.answer_json(results);
  if (first_failure == kGood) return few_copies ? kDegraded : kGood;
  return good > 0 ? kPartial : first_failure;
}

} // namespace cairn::tools
