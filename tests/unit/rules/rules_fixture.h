// Rules from text, and questions to them.
#pragma once

#include "common/base/text.h"
#include "common/rules/book.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

namespace cairn::rules {

inline Source source_of(std::string text) {
  Source source;
  source.files.push_back({"t.rules", std::move(text)});
  source.mains = 1;
  return source;
}

inline std::string texts(const Problems& problems) {
  std::string all;
  for (const Problem& problem : problems) all += problem.text() + "\n";
  return all;
}

// The book of a text that must be good.
inline std::shared_ptr<const RuleBook> book_of(const std::string& text) {
  Problems problems;
  auto book = RuleBook::load(source_of(text), problems);
  EXPECT_TRUE(book != nullptr) << texts(problems);
  return book;
}

// The book of one set of any host.
inline std::shared_ptr<const RuleBook> set_of(const std::string& body) {
  return book_of("rules s { " + body + " }");
}

// What is wrong with a text.
inline std::string problems_of(const std::string& text) {
  Problems problems;
  RuleBook::load(source_of(text), problems);
  return texts(problems);
}

// A request that owns its texts.
struct Asked {
  explicit Asked(std::string target_text, std::string host_text = "h",
                 std::map<std::string, std::string> header_map = {})
      : target(std::move(target_text)), host(std::move(host_text)), headers(std::move(header_map)) {
    const std::size_t mark = target.find('?');
    path = percent_decode(target.substr(0, mark)).has_value()
               ? *percent_decode(target.substr(0, mark))
               : target.substr(0, mark);
    request.host = host;
    request.path = path;
    request.request_uri = target;
    request.query =
        mark == std::string::npos ? std::string_view() : std::string_view(target).substr(mark + 1);
    request.remote_addr = "192.0.2.1";
    request.header = [this](std::string_view name) -> std::string_view {
      for (const auto& [key, value] : headers)
        if (equals_ignoring_case(key, name)) return value;
      return {};
    };
  }
  Asked(const Asked&) = delete;
  Asked& operator=(const Asked&) = delete;

  std::string target, host, path;
  std::map<std::string, std::string> headers;
  Request request;
};

inline Decision ask(const RuleBook& book, const std::string& target, const std::string& host = "h",
                    std::map<std::string, std::string> headers = {}) {
  const Asked asked(target, host, std::move(headers));
  Walk walk(book, asked.request);
  return walk.next();
}

// The number of the location, 0 for none.
inline std::size_t number_of(const RuleBook& book, const std::string& target) {
  const Decision decision = ask(book, target);
  return decision.location == nullptr ? 0 : decision.location->number;
}

} // namespace cairn::rules
