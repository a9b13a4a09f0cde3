// Parsing and evaluation.
#include "common/rules/template.h"

#include <algorithm>
#include <cctype>

namespace cairn::rules {

namespace {

bool is_name_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

} // namespace

Variable variable_of(std::string_view name) {
  Variable variable;
  variable.name = name;
  if (name.size() == 1 && std::isdigit(static_cast<unsigned char>(name[0])) != 0) {
    variable.kind = VariableKind::group;
    variable.number = static_cast<std::size_t>(name[0] - '0');
  } else if (name == "uri" || name == "document_uri") {
    variable.kind = VariableKind::uri;
  } else if (name == "request_uri") {
    variable.kind = VariableKind::request_uri;
  } else if (name == "args" || name == "query_string") {
    variable.kind = VariableKind::args;
  } else if (name == "host") {
    variable.kind = VariableKind::host;
  } else if (name == "remote_addr") {
    variable.kind = VariableKind::remote_addr;
  } else if (name == "request_method") {
    variable.kind = VariableKind::request_method;
  } else if (name.size() > 4 && name.substr(0, 4) == "arg_") {
    variable.kind = VariableKind::argument;
    variable.name = name.substr(4);
  } else if (name.size() > 5 && name.substr(0, 5) == "http_") {
    variable.kind = VariableKind::header;
    variable.name = name.substr(5);
    std::replace(variable.name.begin(), variable.name.end(), '_', '-');
  } else {
    variable.kind = VariableKind::named;
  }
  return variable;
}

Result<Template> Template::parse(std::string_view text) {
  Template made;
  made.text_ = text;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] != '$' || i + 1 == text.size()) {
      made.literals_.back().push_back(text[i++]);
      continue;
    }
    std::string_view name;
    std::size_t next = i + 1;
    if (text[next] == '{') {
      const std::size_t close = text.find('}', next);
      if (close == std::string_view::npos)
        return Error{Errc::invalid_argument, "'${' without '}' in '" + made.text_ + "'"};
      name = text.substr(next + 1, close - next - 1);
      next = close + 1;
    } else if (std::isdigit(static_cast<unsigned char>(text[next])) != 0) {
      name = text.substr(next, 1); // "$10" is $1 and a zero, as in nginx
      ++next;
    } else {
      while (next < text.size() && is_name_char(text[next])) ++next;
      name = text.substr(i + 1, next - i - 1);
    }
    if (name.empty()) {
      made.literals_.back().push_back(text[i++]);
      continue;
    }
    made.variables_.push_back(variable_of(name));
    made.literals_.emplace_back();
    i = next;
  }
  return made;
}

Template Template::concatenate(std::vector<Template> parts) {
  Template made;
  for (Template& part : parts) {
    made.text_ += part.text_;
    made.literals_.back() += part.literals_.front();
    for (std::size_t i = 0; i < part.variables_.size(); ++i) {
      made.variables_.push_back(std::move(part.variables_[i]));
      made.literals_.push_back(std::move(part.literals_[i + 1]));
    }
  }
  return made;
}

std::string Template::evaluate(const std::function<std::string(const Variable&)>& value) const {
  std::string out = literals_.front();
  for (std::size_t i = 0; i < variables_.size(); ++i) {
    out += value(variables_[i]);
    out += literals_[i + 1];
  }
  return out;
}

bool Template::is_constant() const {
  return variables_.empty();
}

std::string_view Template::literal_prefix() const {
  return literals_.front();
}

} // namespace cairn::rules
