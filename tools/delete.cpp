// cairn delete: a few files by ID, or many by a list.
#include "common/base/text.h"
#include "tools/context.h"
#include "tools/verbs.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <functional>
#include <iostream>
#include <thread>

namespace cairn::tools {

namespace {

// Deletes (or looks at) one file after the other, and keeps count.
class Deleter {
public:
  Deleter(Context& context, Client& client, const DeleteArgs& args)
      : context_(context), client_(client), args_(args), next_(Clock::now()) {}

  void take(const std::string& id) {
    if (args_.rate > 0) {
      std::this_thread::sleep_until(next_);
      next_ = std::max(next_, Clock::now() - std::chrono::seconds(1)) +
              std::chrono::nanoseconds(1'000'000'000 / args_.rate);
    }
    const Status status = args_.dry_run ? look(id) : client_.remove(id);
    if (status) {
      ++good_;
      if (args_.from_list.empty()) deleted_.push_back(id);
      return;
    }
    ++failed_;
    const int code = context_.fail((args_.dry_run ? "look at " : "delete ") + id, status.error());
    if (first_failure_ == kGood) first_failure_ = code;
  }

  int finish() const {
    if (context_.json()) {
      nlohmann::json answer{{"failed", failed_}};
      if (args_.from_list.empty())
        answer["deleted"] = deleted_;
      else
        answer["deleted_count"] = args_.dry_run ? 0 : good_;
      if (args_.dry_run) answer["found"] = good_;
      context_.answer_json(answer);
    } else if (args_.dry_run || !args_.from_list.empty()) {
      context_.say(std::to_string(good_) + (args_.dry_run ? " would be deleted, " : " deleted, ") +
                   std::to_string(failed_) + " failed");
    }
    if (first_failure_ == kGood) return kGood;
    return good_ > 0 ? kPartial : first_failure_;
  }

private:
  using Clock = std::chrono::steady_clock;

  Status look(const std::string& id) {
    const auto info = client_.info(id);
    return info ? Status() : Status(info.error());
  }

  Context& context_;
  Client& client_;
  const DeleteArgs& args_;
  Clock::time_point next_;
  std::size_t good_ = 0;
  std::size_t failed_ = 0;
  int first_failure_ = kGood;
  nlohmann::json deleted_ = nlohmann::json::array();
};

// Calls `each` with the lines that hold an ID; # begins a comment line.
Status read_list(const std::string& file, const std::function<void(const std::string&)>& each) {
  std::ifstream opened;
  if (file != "-") {
    opened.open(file);
    if (!opened) return errno_error("open " + file, errno);
  }
  std::istream& in = file == "-" ? std::cin : opened;
  for (std::string line; std::getline(in, line);) {
    const std::string_view id = trim(line);
    if (!id.empty() && id.front() != '#') each(std::string(id));
  }
  if (in.bad()) return errno_error("read " + file, errno);
  return {};
}

} // namespace

int run_delete(Context& context, const DeleteArgs& args) {
  if (args.ids.empty() == args.from_list.empty())
    return context.usage("delete: either IDs or --from-list FILE");
  auto client = context.client();
  if (!client) return context.fail("delete", client.error());
  Deleter deleter(context, **client, args);
  for (const std::string& id : args.ids) deleter.take(id);
  if (!args.from_list.empty()) {
    const Status read = read_list(args.from_list, [&](const std::string& id) { deleter.take(id); });
    if (!read) return context.fail("delete", read.error());
  }
  return deleter.finish();
}

} // namespace cairn::tools
