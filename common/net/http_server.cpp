// HTTP/1.1 sessions over Beast's parser.
#include "common/net/http_server.h"

namespace cairn {}
