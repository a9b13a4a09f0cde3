// A destination with its loop: for verbs, which run on a thread of their own and wait.
#pragma once

#include "common/net/io_pool.h"
#include "migrate/destination.h"
#include "migrate/verbs.h"

#include <boost/asio/co_spawn.hpp>

#include <exception>
#include <future>
#include <memory>

namespace cairn::migrate {

class Session {
public:
  Session(ClientOptions client, DestinationPath where, Timeout timeout)
      : pool_(1), destination_(pool_.at(0), std::move(client), std::move(where), timeout) {
    pool_.start();
  }
  ~Session() {
    static_cast<void>(wait(close(destination_)));
    pool_.stop();
  }

  // Runs a coroutine on the loop until it is done. Not on the loop.
  template <class T>
  T wait(Task<T> task) {
    std::promise<T> promise;
    std::future<T> future = promise.get_future();
    asio::co_spawn(
        pool_.at(0),
        [](Task<T> inner, std::promise<T>* out) -> Task<void> {
          out->set_value(co_await std::move(inner));
        }(std::move(task), &promise),
        [&promise](std::exception_ptr failure) {
          if (failure) promise.set_exception(failure);
        });
    return future.get();
  }

  asio::io_context& io() { return pool_.at(0); }
  Destination& destination() { return destination_; }

private:
  static Task<bool> close(Destination& destination) {
    co_await destination.close();
    co_return true;
  }

  IoPool pool_;
  Destination destination_;
};

// The destination of a job, open, and of the cluster that the job began with. Errors:
// invalid_argument (the command line, or the job's destination), exists (another cluster), those of
// Destination::open().
Result<std::unique_ptr<Session>> open_destination(const Globals& globals, const JobDescription& job,
                                                  Timeout timeout);

} // namespace cairn::migrate
