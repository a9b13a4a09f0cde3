// How other threads hand results over to a coroutine.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/post.hpp>

#include <memory>
#include <utility>
#include <vector>

namespace cairn {

namespace asio = boost::asio;

// While one lives, what its thread hands over by resume() waits, and is posted when it ends: with
// one post for each executor, since a post may wake the executor's thread, which is asleep again
// before the next one comes.
class ResumeTogether {
public:
  ResumeTogether(); // one inside another does nothing
  ~ResumeTogether();
  ResumeTogether(const ResumeTogether&) = delete;
  ResumeTogether& operator=(const ResumeTogether&) = delete;

  // Posts what waits now: before this thread does something that takes longer.
  static void flush();
  // Calls `f` (no arguments, may be move-only) on `executor`.
  template <class F>
  static void post(const asio::any_io_executor& executor, F f) {
    if (current_ == nullptr)
      asio::post(executor, std::move(f));
    else
      current_->add(executor, std::make_unique<CallOf<F>>(std::move(f)));
  }

private:
  struct Call {
    virtual ~Call() = default;
    virtual void run() = 0;
  };
  template <class F>
  struct CallOf final : Call {
    explicit CallOf(F f) : function(std::move(f)) {}
    void run() override { function(); }
    F function;
  };
  struct Batch {
    asio::any_io_executor executor;
    std::vector<std::unique_ptr<Call>> calls;
  };

  void add(const asio::any_io_executor& executor, std::unique_ptr<Call> call);

  static thread_local ResumeTogether* current_;
  const bool is_outermost_;
  std::vector<Batch> batches_; // as few as there are I/O threads
};

// Calls `handler`, the completion handler of an operation, with `value` on its own executor.
template <class Handler, class T>
void resume(Handler handler, T value) {
  const asio::any_io_executor executor = asio::get_associated_executor(handler);
  ResumeTogether::post(executor,
                       [handler = std::move(handler), value = std::move(value)]() mutable {
                         std::move(handler)(std::move(value));
                       });
}

} // namespace cairn
