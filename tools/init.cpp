// cairn init: the cluster's secret, made once and replaced without a stop.
//
// A rotation takes three steps, each on every machine and each followed by a reload (SIGHUP), since
// nodes prove the first secret of their file and accept both:
//   old            -> old, new      everybody accepts the new one
//   old, new       -> new, old      everybody proves the new one
//   new, old       -> new           nobody accepts the old one
// The first machine makes the new secret, its file is copied to the others.
#include "common/auth/secret.h"
#include "tools/context.h"
#include "tools/local_process.h"
#include "tools/verbs.h"

#include <nlohmann/json.hpp>

#include <unistd.h>

namespace cairn::tools {

namespace {

constexpr std::string_view kAdded = "# rotation: the new secret is second";
constexpr std::string_view kSwitched = "# rotation: the new secret is first";

struct Step {
  std::string text; // the file
  std::string told; // to the operator
};

std::string lines(std::string_view mark, std::string_view first, std::string_view second) {
  std::string text;
  if (!mark.empty()) text.append(mark).append("\n");
  text.append(first).append("\n");
  if (!second.empty()) text.append(second).append("\n");
  return text;
}

Result<Step> next_step(const std::filesystem::path& file) {
  CAIRN_TRY(content, auth::read_private_file(file));
  CAIRN_TRY(secrets, auth::read_secret_file(file));
  if (secrets.size() == 1) {
    const auth::Secret fresh(auth::make_secret());
    return Step{lines(kAdded, secrets[0].text(), fresh.text()),
                "step 1 of 3: a new secret is accepted. Copy the file to every machine and reload "
                "(SIGHUP) every node, then run this again."};
  }
  if (content.text().find(kSwitched) == std::string_view::npos)
    return Step{lines(kSwitched, secrets[1].text(), secrets[0].text()),
                "step 2 of 3: the new secret is proved, the old one still accepted. Copy and "
                "reload everywhere, then run this again."};
  return Step{lines("", secrets[0].text(), ""),
              "step 3 of 3: the old secret is gone. Copy and reload everywhere."};
}

} // namespace

int run_init(Context& context, const InitArgs& args) {
  const std::string what = "init " + args.secret.string();
  Step step;
  if (args.rotate) {
    auto next = next_step(args.secret);
    if (!next) return context.fail(what, next.error());
    step = *std::move(next);
  } else {
    if (::access(args.secret.c_str(), F_OK) == 0)
      return context.fail(what, Error{Errc::exists, "the file is there"},
                          "--rotate replaces the secret without a stop");
    step.text = auth::make_secret() + "\n";
    step.told =
        "made. Copy it to every machine of the cluster (mode 0600, owned by the user the "
        "daemons run as) and name it in tracker.conf, storage.conf and the administrator's "
        "client.conf: cluster_secret_file = " +
        args.secret.string();
  }
  if (const Status written = write_small_file(args.secret, step.text, 0600); !written)
    return context.fail(what, written.error());
  if (context.json()) {
    context.answer_json({{"file", args.secret.string()}, {"note", step.told}});
  } else {
    context.say(args.secret.string() + ": " + step.told);
  }
  return kGood;
}

} // namespace cairn::tools
