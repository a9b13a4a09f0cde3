// Locations and what they do.
#include "common/base/text.h"
#include "common/rules/compile_parts.h"

#include <algorithm>
#include <array>

namespace cairn::rules {

namespace {

constexpr std::array<int, 5> kRedirects{301, 302, 303, 307, 308};

bool is_redirect(std::uint64_t status) {
  return std::find(kRedirects.begin(), kRedirects.end(), static_cast<int>(status)) !=
         kRedirects.end();
}

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// The comparisons of `require`, and whether the pattern ignores case.
struct Operator {
  std::string_view text;
  Comparison comparison;
  bool ignore_case;
};
constexpr std::array<Operator, 7> kOperators{{{"=", Comparison::equals, false},
                                              {"!=", Comparison::differs, false},
                                              {"~", Comparison::matches, false},
                                              {"~*", Comparison::matches, true},
                                              {"!~", Comparison::matches_not, false},
                                              {"!~*", Comparison::matches_not, true},
                                              {"in", Comparison::in_list, false}}};

const Operator* operator_of(const Word& word) {
  if (word.quoted) return nullptr;
  for (const Operator& one : kOperators)
    if (one.text == word.text) return &one;
  return nullptr;
}

void compile_require(const Directive& directive, Location& location, Reporter& report) {
  if (!report.takes(directive, 3, 10'000)) return;
  const auto words = arguments_of(directive);
  Require require;
  require.where = directive.where();
  std::vector<Template> value;
  const Operator* found = nullptr;
  std::size_t at = 0;
  for (; at < words.size(); ++at) {
    // "$w x $h in …": what stands before the operator is one text.
    found = at == 0 ? nullptr : operator_of(words[at]);
    if (found != nullptr) break;
    auto part = report.text(words[at]);
    if (!part) return;
    value.push_back(*std::move(part));
  }
  if (found == nullptr)
    return report.error(directive.where(),
                        "require compares with =, !=, ~, ~*, !~, !~* or in: require $w in 50 100;");
  for (const Word& word : words) require.text += (require.text.empty() ? "" : " ") + word.text;
  require.value = Template::concatenate(std::move(value));
  require.comparison = found->comparison;
  const auto right = words.subspan(at + 1);
  const bool one = found->comparison != Comparison::in_list;
  if (right.empty() || (one && right.size() != 1))
    return report.error(words[at].where, "require: '" + std::string(found->text) + "' takes " +
                                             (one ? "one word" : "words") + " behind it");
  if (found->comparison == Comparison::matches || found->comparison == Comparison::matches_not) {
    auto pattern = report.pattern(right[0], right[0].text, found->ignore_case);
    if (!pattern) return;
    require.pattern = *std::move(pattern);
  } else {
    for (const Word& word : right) {
      auto text = report.text(word);
      if (!text) return;
      require.list.push_back(*std::move(text));
    }
  }
  location.required.push_back(std::move(require));
}

void compile_object(const Directive& directive, Location& location, Reporter& report) {
  if (!report.takes(directive, 1, 1)) return;
  const Word& word = directive.words[1];
  const std::size_t colon = word.text.find(':');
  const std::string_view kind = std::string_view(word.text).substr(0, colon);
  ObjectRule rule;
  if (kind == "alias") {
    rule.kind = ObjectKind::alias;
  } else if (kind == "path") {
    rule.kind = ObjectKind::path;
  } else if (kind == "id" || kind == "fastdfs") {
    rule.kind = ObjectKind::id;
  } else {
    return report.error(word.where,
                        "an object is written path:/EXPORT/…, alias:/… or "
                        "id:GROUP/Mxx/…, not '" +
                            word.text + "'");
  }
  auto name = report.text(word, std::string_view(word.text).substr(colon + 1));
  if (!name) return;
  if (name->text().empty()) return report.error(word.where, "the object has no name");
  if (rule.kind != ObjectKind::id && name->text()[0] != '/' && name->text()[0] != '$')
    return report.error(word.where, "the name of an object begins with '/'");
  if (location.object) return report.error(directive.where(), "a location has one object");
  rule.name = *std::move(name);
  location.object = std::move(rule);
}

// "301 URL" or "URL" (302).
std::optional<Reply> redirect_of(std::span<const Word> words, const Position& where,
                                 Reporter& report) {
  Reply reply;
  reply.status = 302;
  if (words.size() == 2) {
    const auto status = report.number(words[0], 300, 399);
    if (!status) return std::nullopt;
    if (!is_redirect(*status)) {
      report.error(words[0].where, "a redirect has status 301, 302, 303, 307 or 308");
      return std::nullopt;
    }
    reply.status = static_cast<int>(*status);
    words = words.subspan(1);
  }
  if (words.size() != 1) {
    report.error(where, "a redirect is written: redirect 301 URL;");
    return std::nullopt;
  }
  auto target = report.text(words[0]);
  if (!target) return std::nullopt;
  if (target->literal_prefix().empty())
    report.warning(words[0].where, "the target begins with a variable: it may lead anywhere");
  reply.text = *std::move(target);
  return reply;
}

void compile_return(const Directive& directive, Location& location, Reporter& report) {
  if (!report.takes(directive, 1, 2)) return;
  const auto status = report.number(directive.words[1], 200, 599);
  if (!status) return;
  Reply reply;
  reply.status = static_cast<int>(*status);
  if (directive.words.size() == 3) {
    auto text = report.text(directive.words[2]);
    if (!text) return;
    reply.text = *std::move(text);
  } else if (is_redirect(*status)) {
    return report.error(directive.where(), "return " + std::to_string(*status) + " needs a URL");
  }
  location.reply = std::move(reply);
}

void compile_miss(const Directive& directive, const RuleSet& set, Location& location,
                  Reporter& report) {
  if (!report.takes(directive, 1, 4)) return;
  const auto words = arguments_of(directive);
  MissStep step;
  const std::string& what = words[0].text;
  if (what == "next") {
    step.kind = MissKind::next;
    if (words.size() > 1) return report.error(words[1].where, "nothing follows 'next'");
  } else if (what == "pull") {
    step.kind = MissKind::pull;
    if (words.size() < 2 || words.size() > 3)
      return report.error(directive.where(), "on_miss pull ORIGIN [PATH];");
    const auto origin = origin_of(words[1], set, report);
    if (!origin) return;
    step.origin = *origin;
    Word standard = words[1];
    standard.text = "$uri";
    auto target = report.text(words.size() == 3 ? words[2] : standard);
    if (!target) return;
    step.target = *std::move(target);
  } else if (what == "redirect") {
    auto reply = redirect_of(words.subspan(1), directive.where(), report);
    if (!reply) return;
    step.kind = MissKind::redirect;
    step.status = reply->status;
    step.target = std::move(reply->text);
  } else if (what == "style") {
    return report.error(words[0].where,
                        "on_miss style comes with the image service; until then: on_miss 404;");
  } else if (all_digits(what)) {
    const auto status = report.number(words[0], 400, 599);
    if (!status) return;
    step.status = static_cast<int>(*status);
    if (words.size() > 1) {
      if (words.size() > 2 || words[1].text.rfind("ttl=", 0) != 0)
        return report.error(words[1].where, "on_miss STATUS [ttl=TIME];");
      Word time = words[1];
      time.text.erase(0, 4);
      const auto ttl = report.duration(time);
      if (!ttl) return;
      step.cache_for = std::chrono::duration_cast<std::chrono::seconds>(*ttl);
    }
  } else {
    return report.error(words[0].where,
                        "on_miss is next, STATUS, redirect URL or pull ORIGIN, not '" + what + "'");
  }
  if (!location.on_miss.empty() && location.on_miss.back().kind != MissKind::pull)
    return report.error(directive.where(), "never reached: the on_miss before it always answers");
  location.on_miss.push_back(std::move(step));
}

void compile_style(const Directive& directive, Location& location, Reporter& report) {
  if (!report.takes(directive, 1, 32)) return;
  StyleRule style;
  auto name = report.text(directive.words[1]);
  if (!name) return;
  style.name = *std::move(name);
  for (const Word& word : arguments_of(directive).subspan(1)) {
    const std::size_t equals = word.text.find('=');
    if (equals == 0 || equals == std::string::npos)
      return report.error(word.where, "an argument of a style is written KEY=VALUE");
    auto value = report.text(word, std::string_view(word.text).substr(equals + 1));
    if (!value) return;
    style.arguments.emplace_back(word.text.substr(0, equals), *std::move(value));
  }
  location.style = std::move(style);
}

// One directive of a location's block.
void compile_action(const Directive& directive, const RuleSet& set, Location& location,
                    Reporter& report) {
  const std::string& name = directive.name();
  if (compile_default(directive, location.own, report)) return;
  if (name == "require") return compile_require(directive, location, report);
  if (name == "object") return compile_object(directive, location, report);
  if (name == "on_miss") return compile_miss(directive, set, location, report);
  if (name == "return") return compile_return(directive, location, report);
  if (name == "style") return compile_style(directive, location, report);
  if (name == "redirect") {
    if (!report.takes(directive, 1, 2)) return;
    if (auto reply = redirect_of(arguments_of(directive), directive.where(), report))
      location.reply = std::move(reply);
  } else if (name == "deny") {
    if (!report.takes(directive, 1, 1)) return;
    if (const auto status = report.number(directive.words[1], 400, 599))
      location.deny_status = static_cast<int>(*status);
  } else if (name == "pass") {
    if (report.takes(directive, 0, 0)) location.pass = true;
  } else if (name == "type") {
    if (!report.takes(directive, 1, 1)) return;
    if (directive.words[1].text.find('/') == std::string::npos)
      return report.error(directive.words[1].where, "a type is written like image/jpeg");
    location.type = directive.words[1].text;
  } else if (name == "save_as") {
    if (!report.takes(directive, 1, 1)) return;
    location.save_as = report.text(directive.words[1]);
  } else if (name == "dialect") {
    if (!report.takes(directive, 1, 16)) return;
    for (const Word& word : arguments_of(directive)) location.dialects.push_back(word.text);
  } else {
    report.error(directive.where(), "unknown directive '" + name + "' in a location");
  }
}

} // namespace

std::string Location::title() const {
  std::string_view sign;
  if (kind == LocationKind::exact) sign = "= ";
  if (kind == LocationKind::prefix_strong) sign = "^~ ";
  if (kind == LocationKind::regex) sign = pattern.ignores_case() ? "~* " : "~ ";
  return "location " + std::string(sign) + text;
}

void compile_location(const Directive& directive, const RuleSet& set, Location& location,
                      Reporter& report) {
  location.where = directive.where();
  const auto words = arguments_of(directive);
  if (!directive.has_block || words.empty() || words.size() > 2)
    return report.error(directive.where(), "a location is written: location [=|^~|~|~*] URI { … }");
  const Word& uri = words.back();
  location.text = uri.text;
  if (words.size() == 2) {
    const std::string& sign = words[0].text;
    if (sign == "=") {
      location.kind = LocationKind::exact;
    } else if (sign == "^~") {
      location.kind = LocationKind::prefix_strong;
    } else if (sign == "~" || sign == "~*") {
      location.kind = LocationKind::regex;
      auto pattern = report.pattern(uri, uri.text, sign == "~*");
      if (!pattern) return;
      location.pattern = *std::move(pattern);
    } else {
      return report.error(words[0].where, "'" + sign + "' is none of =, ^~, ~ and ~*");
    }
  } else if (!uri.text.empty() &&
             std::string_view("=~^@").find(uri.text[0]) != std::string_view::npos) {
    return report.error(uri.where, "a blank belongs between '" + uri.text.substr(0, 1) +
                                       "' and the path (named locations do not exist here)");
  }
  if (location.kind != LocationKind::regex && (uri.text.empty() || uri.text[0] != '/'))
    return report.error(uri.where, "the path of a location begins with '/'");
  for (const Directive& action : directive.block) compile_action(action, set, location, report);
  if (location.pass && (location.reply || location.object || !location.on_miss.empty()))
    report.error(location.where, "a location that passes does nothing else");
  if (location.reply && (location.object || !location.on_miss.empty()))
    report.warning(location.where,
                   "object and on_miss are not used: the location always answers with " +
                       std::to_string(location.reply->status));
  if (!location.pass && !location.reply && !location.object) {
    // The old path is the name of the object.
    ObjectRule rule;
    rule.name = *Template::parse("$uri");
    location.object = std::move(rule);
  }
}

} // namespace cairn::rules
