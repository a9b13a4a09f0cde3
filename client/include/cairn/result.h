// Result, Status, Error and Errc of the public interface. In the source tree this is the one of
// common/; an installation has that file itself under this name.
#pragma once

#include "common/base/result.h"
