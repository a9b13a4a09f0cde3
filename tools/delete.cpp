// cairn delete
#include "tools/context.h"
#include "tools/verbs.h"

#include <nlohmann/json.hpp>

namespace cairn::tools {

int run_delete(Context& context, const DeleteArgs& args) {
  auto client = context.client();
  if (!client) return context.fail("delete", client.error());
  std::size_t good = 0;
  int first_failure = kGood;
  nlohmann::json deleted = nlohmann::json::array();
  for (const std::string& id : args.ids) {
    if (const Status status = (*client)->remove(id)) {
      ++good;
      deleted.push_back(id);
    } else {
      const int code = context.fail("delete " + id, status.error());
      if (first_failure == kGood) first_failure = code;
    }
  }
  if (context.json()) context.answer_json({{"deleted", deleted}});
  if (first_failure == kGood) return kGood;
  return good > 0 ? kPartial : first_failure;
}

} // namespace cairn::tools
