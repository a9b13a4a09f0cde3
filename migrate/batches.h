// What is asked while other requests are under way goes together in the next one. Lives on one
// io_context.
#pragma once

#include "common/base/result.h"
#include "common/net/task.h"

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cairn::migrate {

struct BatchLimits {
  unsigned under_way = 1;    // requests at a time
  std::size_t questions = 1; // in a request
  std::uint64_t bytes = 0;   // in a request, of those that ask() is told; one alone may have more
  // What comes so soon after the first goes with it.
  std::chrono::microseconds gather{0};
};

template <class Question, class Answer>
class Batches : public std::enable_shared_from_this<Batches<Question, Answer>> {
public:
  struct Wish {
    Question question;
    std::uint64_t bytes;
    Result<Answer> answer = Errc::unavailable;
    bool over = false;
    asio::steady_timer done;

    Wish(Question asked, std::uint64_t size, const asio::any_io_executor& executor)
        : question(std::move(asked)),
          bytes(size),
          done(executor, std::chrono::steady_clock::time_point::max()) {}
  };
  using Wishes = std::vector<std::shared_ptr<Wish>>;
  // Sends one request and fills in the answers.
  using Send = std::function<Task<void>(Wishes)>;

  // `name` is for the log. What `send` uses must live as long as somebody waits in ask().
  Batches(asio::any_io_executor executor, BatchLimits limits, std::string name, Send send)
      : executor_(std::move(executor)),
        limits_(limits),
        name_(std::move(name)),
        send_(std::move(send)) {}

  static void fail(const Wishes& wishes, const Error& error) {
    for (const auto& wish : wishes) wish->answer = error;
  }

  // Errors: those that `send` fills in.
  Task<Result<Answer>> ask(Question question, std::uint64_t bytes = 0) {
    const auto wish = std::make_shared<Wish>(std::move(question), bytes, executor_);
    waiting_.push_back(wish);
    if (workers_ < limits_.under_way) {
      ++workers_;
      spawn(
          executor_,
          [](std::shared_ptr<Batches> self) -> Task<void> {
            co_await self->work();
          }(this->shared_from_this()),
          name_);
    }
    while (!wish->over) {
      wish->done.expires_at(std::chrono::steady_clock::time_point::max());
      co_await wish->done.async_wait(as_result);
    }
    co_return std::move(wish->answer);
  }

private:
  Wishes take() {
    Wishes batch;
    std::uint64_t bytes = 0;
    while (!waiting_.empty() && batch.size() < limits_.questions) {
      bytes += waiting_.front()->bytes;
      if (!batch.empty() && bytes > limits_.bytes) break;
      batch.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    return batch;
  }

  Task<void> work() {
    if (limits_.gather.count() > 0) {
      asio::steady_timer gather(executor_, limits_.gather);
      co_await gather.async_wait(as_result);
    }
    while (!waiting_.empty()) {
      const Wishes batch = take();
      co_await send_(batch);
      for (const auto& wish : batch) {
        wish->over = true;
        wish->done.cancel();
      }
    }
    --workers_;
  }

  asio::any_io_executor executor_;
  const BatchLimits limits_;
  const std::string name_;
  const Send send_;
  std::deque<std::shared_ptr<Wish>> waiting_;
  unsigned workers_ = 0;
};

} // namespace cairn::migrate
