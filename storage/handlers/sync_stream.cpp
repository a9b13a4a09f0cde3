#include "storage/handlers/native.h"
namespace cairn::storage {
Task<Result<Reply>> sync_hello(Context&, Session&, Body&) { co_return Error{Errc::unsupported, ""}; }
Task<Result<Reply>> sync_batch(Context&, Session&, Body&) { co_return Error{Errc::unsupported, ""}; }
Task<Result<Reply>> sync_have(Context&, Session&, Body&) { co_return Error{Errc::unsupported, ""}; }
Task<Result<Reply>> sync_done(Context&, Session&, Body&) { co_return Error{Errc::unsupported, ""}; }
Task<Result<Reply>> list_files(Context&, Session&, Body&) { co_return Error{Errc::unsupported, ""}; }
}
