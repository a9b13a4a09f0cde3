// cairn download
#include "common/base/write_all.h"
#include "tools/context.h"
#include "tools/progress.h"
#include "tools/verbs.h"

#include <nlohmann/json.hpp>

#include <unistd.h>

namespace cairn::tools {

int run_download(Context& context, const DownloadArgs& args) {
  const std::string what = "download " + args.id;
  const auto parsed = parse_id(args.id);
  if (!parsed) return context.fail(what, parsed.error());
  const std::string output =
      args.output.empty() ? args.id.substr(args.id.rfind('/') + 1) : args.output;
  const bool to_stdout = output == "-";
  auto client = context.client();
  if (!client) return context.fail(what, client.error());
  Sink::Writer out = [](std::span<const std::byte> bytes) {
    return write_all(STDOUT_FILENO, bytes, "write to standard output");
  };
  auto sink = to_stdout ? Result<Sink>(Sink::writer(std::move(out))) : Sink::file(output);
  if (!sink) return context.fail(what, sink.error());

  DownloadOptions options;
  options.offset = args.offset;
  options.length = args.length;
  ProgressBar bar(output, !context.quiet() && !context.json() && !to_stdout);
  options.progress = bar.callback();
  const auto done = (*client)->download(args.id, std::move(*sink), std::move(options));
  if (!done) return context.fail(what, done.error());
  if (context.json() && !to_stdout)
    context.answer_json({{"id", args.id},
                         {"file", output},
                         {"size", done->size},
                         {"crc32", hex32(done->crc32)},
                         {"verified", done->verified}});
  return kGood;
}

} // namespace cairn::tools
