// Text with variables: "alias:/upload/$y/$name". A template is checked when the rules are loaded
// and evaluated for each request.
#pragma once

#include "common/base/result.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::rules {

// What a '$' names.
enum class VariableKind : std::uint8_t {
  uri,            // $uri: decoded and normalised
  request_uri,    // $request_uri: as sent, with arguments
  args,           // $args, $query_string: as sent
  argument,       // $arg_NAME: decoded once
  host,           // $host: lower case, without port
  remote_addr,    // $remote_addr
  request_method, // $request_method
  header,         // $http_NAME: a request header, '_' standing for '-'
  group,          // $1 … $9 of the location's regular expression
  named,          // a named capture, or a map
};

struct Variable {
  VariableKind kind = VariableKind::uri;
  std::string name;       // of argument, header (with '-'), named
  std::size_t number = 0; // of group
};

// The variable that a name (without '$') means by itself; names of captures and maps are `named`.
Variable variable_of(std::string_view name);

class Template {
public:
  Template() = default;
  // "$name", "${name}" and "$1"; a '$' before anything else stands for itself. Errors:
  // invalid_argument ("${" without '}').
  static Result<Template> parse(std::string_view text);
  // `parts` one after the other.
  static Template concatenate(std::vector<Template> parts);

  // Calls `value` for each variable in order and appends what it answers.
  std::string evaluate(const std::function<std::string(const Variable&)>& value) const;
  // Whether it is the same text for every request.
  bool is_constant() const;
  const std::vector<Variable>& variables() const { return variables_; }
  const std::string& text() const { return text_; } // as written
  // The literal text before the first variable.
  std::string_view literal_prefix() const;

private:
  // literals_[i] stands before variables_[i]; there is one more of them.
  std::vector<std::string> literals_ = {std::string()};
  std::vector<Variable> variables_;
  std::string text_;
};

} // namespace cairn::rules
