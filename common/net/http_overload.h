// What HTTP connections over the limits are told. /healthz goes on answering: who watches a busy
// daemon must not take it for a dead one and restart it.
#pragma once

#include "common/net/connection.h"
#include "common/net/task.h"
#include "common/wire/bytes.h"

#include <functional>

namespace cairn {

// 503 with Retry-After and without a body, for a connection whose request is not read.
wire::Bytes http_refusal();

// A function for ListenerOptions::on_refused: takes up to 64 connections over the limits at a time
// and serves each one request within two seconds: /healthz as ever, all else 503 with Retry-After.
// All calls on one thread; the sessions run there too.
std::function<bool(tcp::socket&)> http_overload_sessions();

} // namespace cairn
