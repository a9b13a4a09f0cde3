// Words, directives, blocks and includes.
#include "common/rules/syntax.h"

#include <algorithm>
#include <set>

namespace cairn::rules {

namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

// The parser of one file. Stops at its first error: what follows a missing quote is no list of
// findings.
class FileParser {
public:
  FileParser(const Source& source, const SourceFile& file, std::vector<std::string> chain,
             std::size_t& directives, Problems& problems, std::set<std::string>* missing)
      : source_(source),
        text_(file.text),
        chain_(std::move(chain)),
        directives_(directives),
        problems_(problems),
        missing_(missing) {
    at_.file = file.name;
    at_.line = 1;
    at_.column = 1;
    chain_.push_back(file.name);
    // What editors of Windows put in front of UTF-8 is not seen by people.
    constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
    if (text_.starts_with(kByteOrderMark)) offset_ = kByteOrderMark.size();
  }

  std::vector<Directive> parse() {
    std::vector<Directive> found;
    block(found, 0);
    return found;
  }

private:
  enum class End { statement, block, close, file, failed };

  bool at_end() const { return offset_ >= text_.size(); }
  char peek() const { return text_[offset_]; }
  void step() {
    if (text_[offset_] == '\n') {
      ++at_.line;
      at_.column = 1;
    } else {
      ++at_.column;
    }
    ++offset_;
  }

  bool fail(const Position& where, std::string message) {
    problems_.push_back({Severity::error, where, std::move(message)});
    failed_ = true;
    return false;
  }

  void skip_blanks() {
    while (!at_end()) {
      if (peek() == '#') {
        while (!at_end() && peek() != '\n') step();
      } else if (is_blank(peek())) {
        step();
      } else {
        return;
      }
    }
  }

  // Appends what stands behind a backslash (already passed), as nginx does.
  void escape(std::string& out) {
    const char c = peek();
    step();
    switch (c) {
      case '"':
      case '\'':
      case '\\':
        out.push_back(c);
        return;
      case 't':
        out.push_back('\t');
        return;
      case 'r':
        out.push_back('\r');
        return;
      case 'n':
        out.push_back('\n');
        return;
      default:
        out.push_back('\\');
        out.push_back(c);
    }
  }

  bool word(Word& out) {
    out.where = at_;
    const char quote = peek();
    out.quoted = quote == '"' || quote == '\'';
    if (out.quoted) step();
    bool after_dollar = false; // the brace of "${name}" belongs to the word
    for (;;) {
      if (at_end()) {
        if (out.quoted) return fail(out.where, "this quote is never closed");
        return true;
      }
      const char c = peek();
      if (c == '\0') return fail(at_, "a NUL byte");
      if (out.text.size() > kWordBytesMax) return fail(out.where, "a word longer than 64 KiB");
      if (out.quoted ? c == quote : is_blank(c) || c == ';' || (c == '{' && !after_dollar)) break;
      after_dollar = c == '$';
      step();
      if (c == '\\') {
        if (at_end()) return fail(at_, "the file ends behind a backslash");
        escape(out.text);
        continue;
      }
      out.text.push_back(c);
    }
    if (!out.quoted) return true;
    step();
    if (!at_end() && !is_blank(peek()) && peek() != ';' && peek() != '{' && peek() != '}')
      return fail(at_, "a blank, ';' or '{' belongs behind a closing quote");
    return true;
  }

  // Reads one directive up to its ';' or '{'.
  End head(Directive& out) {
    for (;;) {
      skip_blanks();
      if (at_end()) {
        if (out.words.empty()) return End::file;
        fail(out.words.back().where, "';' is missing behind '" + out.words.back().text + "'");
        return End::failed;
      }
      const char c = peek();
      if (c == '}') {
        if (!out.words.empty()) {
          fail(at_, "';' is missing before '}'");
          return End::failed;
        }
        close_ = at_;
        step();
        return End::close;
      }
      if (c == ';' || c == '{') {
        if (out.words.empty()) {
          fail(at_, std::string("a directive is missing before '") + c + "'");
          return End::failed;
        }
        out.brace_touches =
            c == '{' && !out.words.back().quoted && offset_ > 0 && !is_blank(text_[offset_ - 1]);
        step();
        return c == ';' ? End::statement : End::block;
      }
      Word next;
      if (!word(next)) return End::failed;
      out.words.push_back(std::move(next));
    }
  }

  void block(std::vector<Directive>& out, std::size_t depth) {
    for (;;) {
      Directive directive;
      const End end = head(directive);
      if (end == End::failed) return;
      if (end == End::file) {
        if (depth > 0) fail(at_, "the file ends inside a block: '}' is missing");
        return;
      }
      if (end == End::close) {
        if (depth == 0) fail(close_, "'}' without a block");
        return;
      }
      if (++directives_ > kDirectivesMax) {
        fail(directive.where(), "too many directives");
        return;
      }
      if (end == End::block) {
        if (directive.brace_touches && is_regex_head(directive)) {
          fail(directive.words.back().where, kQuoteHint);
          return;
        }
        if (depth + 1 > kBlockDepthMax) {
          fail(directive.where(), "blocks are nested too deeply");
          return;
        }
        directive.has_block = true;
        block(directive.block, depth + 1);
        if (failed_) return;
      } else if (directive.name() == "include") {
        if (!include(directive, out)) return;
        continue;
      }
      out.push_back(std::move(directive));
    }
  }

  // "location ~ ^/\d{", "require $x ~ ^\d{", "test", …: a brace that belongs to a regular
  // expression. A location without '~' may have its brace at the word, as in nginx.
  static bool is_regex_head(const Directive& directive) {
    if (directive.name() != "location") return directive.words.size() > 1 || is_regex(directive);
    return is_regex(directive);
  }
  static bool is_regex(const Directive& directive) {
    return std::any_of(directive.words.begin(), directive.words.end(), [](const Word& word) {
      return !word.text.empty() && (word.text[0] == '~' || word.text.rfind("!~", 0) == 0);
    });
  }

  bool include(const Directive& directive, std::vector<Directive>& out) {
    if (directive.words.size() != 2)
      return fail(directive.where(), "include takes the name of one file");
    const Word& name = directive.words[1];
    if (std::find(chain_.begin(), chain_.end(), name.text) != chain_.end())
      return fail(name.where, "'" + name.text + "' includes itself");
    if (chain_.size() > kIncludeDepthMax) return fail(name.where, "includes are nested too deeply");
    const SourceFile* file = source_.find(name.text);
    if (file == nullptr && missing_ != nullptr) {
      missing_->insert(name.text);
      return true;
    }
    if (file == nullptr) return fail(name.where, "cannot read '" + name.text + "'");
    FileParser inner(source_, *file, chain_, directives_, problems_, missing_);
    std::vector<Directive> found = inner.parse();
    if (inner.failed_) {
      failed_ = true;
      return false;
    }
    std::move(found.begin(), found.end(), std::back_inserter(out));
    return true;
  }

  static constexpr const char* kQuoteHint =
      "a regular expression with '{', '}', ';' or blanks must be quoted: \"^/\\d{4}/\"";

  const Source& source_;
  std::string_view text_;
  std::vector<std::string> chain_; // of including files, this one last
  std::size_t& directives_;
  Problems& problems_;
  std::set<std::string>* missing_; // where names of absent files go; null: they are errors
  std::size_t offset_ = 0;
  Position at_;
  Position close_;
  bool failed_ = false;
};

// Names of tables that the maps ask for.
void wanted_tables(const std::vector<Directive>& directives, std::set<std::string>& names) {
  for (const Directive& directive : directives) {
    if (directive.name() == "map")
      for (const Word& word : directive.words)
        if (word.text.rfind("file=", 0) == 0) names.insert(word.text.substr(5));
    wanted_tables(directive.block, names);
  }
}

std::vector<Directive> parse_mains(const Source& source, Problems& problems,
                                   std::set<std::string>* missing) {
  std::vector<Directive> all;
  std::size_t directives = 0;
  for (std::size_t i = 0; i < source.mains && i < source.files.size(); ++i) {
    FileParser parser(source, source.files[i], {}, directives, problems, missing);
    std::vector<Directive> found = parser.parse();
    std::move(found.begin(), found.end(), std::back_inserter(all));
  }
  return all;
}

} // namespace

const SourceFile* Source::find(std::string_view name) const {
  for (const SourceFile& file : files)
    if (file.name == name) return &file;
  return nullptr;
}

std::vector<Directive> parse(const Source& source, Problems& problems) {
  std::size_t bytes = 0;
  for (const SourceFile& file : source.files) bytes += file.text.size();
  if (bytes > kSourceBytesMax) {
    const std::string name = source.files.empty() ? std::string() : source.files.front().name;
    problems.push_back(
        {Severity::error, Position{name, 1, 1}, "the files are longer than 8 MiB together"});
    return {};
  }
  return parse_mains(source, problems, nullptr);
}

void collect_includes(Source& source,
                      const std::function<std::optional<std::string>(const std::string&)>& read) {
  std::set<std::string> tried;
  std::size_t bytes = 0;
  for (bool grew = true; grew && bytes <= kSourceBytesMax;) {
    grew = false;
    std::set<std::string> names;
    Problems told_by_parse;
    wanted_tables(parse_mains(source, told_by_parse, &names), names);
    for (const std::string& name : names) {
      if (source.find(name) != nullptr || !tried.insert(name).second) continue;
      auto text = read(name);
      if (!text) continue;
      bytes += text->size();
      source.files.push_back({name, *std::move(text)});
      grew = true;
    }
  }
}

} // namespace cairn::rules
