// The table, and the reader of mime.types files.
#include "common/net/mime_types.h"

#include "common/base/text.h"

#include <array>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <vector>

namespace cairn {

namespace {

struct BuiltIn {
  std::string_view type;
  std::string_view extensions; // separated by spaces
};

constexpr BuiltIn kBuiltIn[] = {
    {"application/epub+zip", "epub"},
    {"application/gzip", "gz tgz"},
    {"application/java-archive", "jar war ear"},
    {"application/json", "json map"},
    {"application/ld+json", "jsonld"},
    {"application/manifest+json", "webmanifest"},
    {"application/msword", "doc"},
    {"application/pdf", "pdf"},
    {"application/postscript", "ps eps ai"},
    {"application/rtf", "rtf"},
    {"application/vnd.android.package-archive", "apk"},
    {"application/vnd.apple.mpegurl", "m3u8"},
    {"application/vnd.ms-excel", "xls"},
    {"application/vnd.ms-fontobject", "eot"},
    {"application/vnd.ms-powerpoint", "ppt"},
    {"application/vnd.oasis.opendocument.presentation", "odp"},
    {"application/vnd.oasis.opendocument.spreadsheet", "ods"},
    {"application/vnd.oasis.opendocument.text", "odt"},
    {"application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx"},
    {"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"},
    {"application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"},
    {"application/vnd.rar", "rar"},
    {"application/wasm", "wasm"},
    {"application/x-7z-compressed", "7z"},
    {"application/x-bzip2", "bz2"},
    {"application/x-tar", "tar"},
    {"application/x-xz", "xz"},
    {"application/xhtml+xml", "xhtml"},
    {"application/zip", "zip"},
    {"application/zstd", "zst"},
    {"audio/aac", "aac"},
    {"audio/flac", "flac"},
    {"audio/midi", "mid midi"},
    {"audio/mp4", "m4a"},
    {"audio/mpeg", "mp3"},
    {"audio/ogg", "ogg oga opus"},
    {"audio/wav", "wav"},
    {"audio/webm", "weba"},
    {"font/otf", "otf"},
    {"font/ttf", "ttf"},
    {"font/woff", "woff"},
    {"font/woff2", "woff2"},
    {"image/apng", "apng"},
    {"image/avif", "avif"},
    {"image/bmp", "bmp"},
    {"image/gif", "gif"},
    {"image/heic", "heic"},
    {"image/heif", "heif"},
    {"image/jp2", "jp2"},
    {"image/jpeg", "jpg jpeg jpe jfif"},
    {"image/jxl", "jxl"},
    {"image/png", "png"},
    {"image/svg+xml", "svg svgz"},
    {"image/tiff", "tif tiff"},
    {"image/vnd.adobe.photoshop", "psd"},
    {"image/webp", "webp"},
    {"image/x-icon", "ico"},
    {"text/calendar", "ics"},
    {"text/css", "css"},
    {"text/csv", "csv"},
    {"text/html", "html htm shtml"},
    {"text/javascript", "js mjs"},
    {"text/markdown", "md"},
    {"text/plain", "txt text log conf"},
    {"text/vcard", "vcf"},
    {"text/vtt", "vtt"},
    {"text/xml", "xml xsl"},
    {"video/3gpp", "3gp 3gpp"},
    {"video/mp2t", "ts"},
    {"video/mp4", "mp4 m4v"},
    {"video/mpeg", "mpeg mpg"},
    {"video/ogg", "ogv"},
    {"video/quicktime", "mov"},
    {"video/webm", "webm"},
    {"video/x-flv", "flv"},
    {"video/x-matroska", "mkv"},
    {"video/x-ms-wmv", "wmv"},
    {"video/x-msvideo", "avi"},
};

// The words of a line; ';' and braces are words of their own.
std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  std::size_t begin = 0;
  while (begin < line.size()) {
    const char c = line[begin];
    if (c == '#') break;
    if (c == ' ' || c == '\t' || c == '\r') {
      ++begin;
      continue;
    }
    const bool single = c == ';' || c == '{' || c == '}';
    const std::size_t end = single ? begin + 1 : line.find_first_of(" \t\r;{}#", begin);
    words.push_back(line.substr(begin, end - begin));
    if (end == std::string_view::npos) break;
    begin = end;
  }
  return words;
}

} // namespace

MimeTypes::MimeTypes(std::string fallback) : fallback_(std::move(fallback)) {
  for (const auto& [type, extensions] : kBuiltIn)
    for (const auto extension : split(extensions, ' ')) types_.emplace(extension, type);
}

Status MimeTypes::add_file(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) return errno_error("open " + path.string(), errno);
  std::ostringstream text;
  text << file.rdbuf();
  return add_text(text.str(), path.string());
}

Status MimeTypes::add_text(std::string_view text, std::string_view name) {
  bool nginx = false;
  std::string_view type; // nginx: an entry may go over several lines
  std::size_t number = 0;
  for (const auto line : split(text, '\n')) {
    ++number;
    if (!nginx) type = {};
    for (const auto word : words_of(line)) {
      if (word == "{") {
        if (type != "types") break;
        nginx = true;
        type = {};
      } else if (word == ";" || word == "}") {
        type = {};
      } else if (type.empty()) {
        type = word;
        if (word != "types" && word.find('/') == std::string_view::npos)
          return Error{Errc::invalid_argument, std::string(name) + ":" + std::to_string(number) +
                                                   ": '" + std::string(word) +
                                                   "' is not a content type"};
      } else {
        types_[to_lower(word)] = type;
      }
    }
    // "types" and its brace may stand on two lines.
    if (!nginx && type != "types") type = {};
  }
  return Status();
}

const std::string& MimeTypes::type_of(std::string_view name) const {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return fallback_;
  const std::string_view extension = name.substr(dot + 1);
  std::array<char, 16> lower{};
  if (extension.size() > lower.size()) return fallback_;
  for (std::size_t i = 0; i < extension.size(); ++i)
    lower[i] = static_cast<char>(extension[i] >= 'A' && extension[i] <= 'Z' ? extension[i] + 32
                                                                            : extension[i]);
  const auto found = types_.find(std::string_view(lower.data(), extension.size()));
  return found == types_.end() ? fallback_ : found->second;
}

} // namespace cairn
