// From the directives of a file to rule sets: every name, number, variable and regular expression
// is checked here, so that nothing is left to fail while requests are answered.
#pragma once

#include "common/rules/model.h"
#include "common/rules/problem.h"
#include "common/rules/syntax.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::rules {

// The rule sets of a source in the order of the files. What is wrong is appended to `problems`;
// with an error among them the sets are not to be used.
std::vector<std::unique_ptr<const RuleSet>> compile(const Source& source, Problems& problems);

// Why a header of that name is not said by the directive 'header', in one line; empty when it is.
std::string header_refusal(std::string_view name);

} // namespace cairn::rules
