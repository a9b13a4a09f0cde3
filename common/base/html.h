// Text in HTML pages.
#pragma once

#include <string>
#include <string_view>

namespace cairn {

// `text` with & < > " ' escaped: for elements and quoted attributes.
std::string html_escape(std::string_view text);

} // namespace cairn
