// Results that are handed over together.
#include "common/net/resume.h"

#include <algorithm>

namespace cairn {

thread_local ResumeTogether* ResumeTogether::current_ = nullptr;

ResumeTogether::ResumeTogether() : is_outermost_(current_ == nullptr) {
  if (is_outermost_) current_ = this;
}

ResumeTogether::~ResumeTogether() {
  if (!is_outermost_) return;
  flush();
  current_ = nullptr;
}

void ResumeTogether::flush() {
  if (current_ == nullptr) return;
  for (Batch& batch : current_->batches_) {
    auto run = [calls = std::move(batch.calls)] {
      for (const auto& call : calls) call->run();
    };
    asio::post(batch.executor, std::move(run));
  }
  current_->batches_.clear();
}

void ResumeTogether::add(const asio::any_io_executor& executor, std::unique_ptr<Call> call) {
  auto batch = std::find_if(batches_.begin(), batches_.end(),
                            [&](const Batch& one) { return one.executor == executor; });
  if (batch == batches_.end()) batch = batches_.insert(batch, Batch{executor, {}});
  batch->calls.push_back(std::move(call));
}

} // namespace cairn
