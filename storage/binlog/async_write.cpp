// Linux native AIO by libaio.
#include "storage/binlog/async_write.h"

#include <cerrno>

namespace cairn::storage {

AsyncWrite::~AsyncWrite() {
  if (started_) (void)finish();
  if (context_ != nullptr) ::io_destroy(context_);
}

bool AsyncWrite::start(int fd, std::byte* from, std::size_t size, std::uint64_t offset) {
  CAIRN_ASSERT(!started_);
  // fs.aio-max-nr is for all programs of the machine.
  if (context_ == nullptr && ::io_setup(1, &context_) != 0) return false;
  ::io_prep_pwrite(&request_, fd, from, size, static_cast<long long>(offset));
  iocb* requests[] = {&request_};
  started_ = ::io_submit(context_, 1, requests) == 1;
  return started_;
}

Status AsyncWrite::finish() {
  CAIRN_ASSERT(started_);
  io_event event{};
  int count = 0;
  do {
    count = ::io_getevents(context_, 1, 1, &event, nullptr);
  } while (count == -EINTR);
  CAIRN_ASSERT(count == 1);
  started_ = false;
  const auto written = static_cast<long>(event.res);
  if (written < 0) return errno_error("write the journal", static_cast<int>(-written));
  if (static_cast<std::size_t>(written) != request_.u.c.nbytes)
    return errno_error("write the journal", ENOSPC);
  return {};
}

} // namespace cairn::storage
