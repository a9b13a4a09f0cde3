// A destination with its loop: for verbs, which run on a thread of their own and wait.
#pragma once

#include "common/net/io_pool.h"
#include "migrate/destination.h"
#include "migrate/group_destination.h"
#include "migrate/verbs.h"

#include <boost/asio/co_spawn.hpp>

#include <exception>
#include <future>
#include <memory>
#include <string>
#include <vector>

namespace cairn::migrate {

class Session {
public:
  Session(const ClientOptions& client, DestinationPath where, Timeout timeout)
      : pool_(1), destination_(pool_.at(0), client, where, timeout) {
    if (!where.group.empty())
      group_ = std::make_unique<GroupDestination>(pool_.at(0), client, where.group, timeout);
    pool_.start();
  }
  ~Session() {
    static_cast<void>(wait(close(*this)));
    pool_.stop();
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

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

  // Errors: those of Destination::open() and GroupDestination::open().
  Status open(bool make) { return wait(group_ ? group_->open() : destination_.open(make)); }

  asio::io_context& io() { return pool_.at(0); }
  // Of the namespace; not to be used when there is a group().
  Destination& destination() { return destination_; }
  // Not null: the destination is a group, and files keep their IDs.
  GroupDestination* group() { return group_.get(); }

  // Of either. Once it is open.
  const std::string& cluster_uuid() {
    return group_ ? group_->cluster_uuid() : destination_.cluster_uuid();
  }
  bool blind() const { return group_ ? group_->blind() : destination_.blind(); }
  Task<CopyCount> wait_for_copies(std::vector<std::string> ids) {
    return group_ ? group_->wait_for_copies(std::move(ids))
                  : destination_.wait_for_copies(std::move(ids));
  }

private:
  static Task<bool> close(Session& self) {
    if (self.group_)
      self.group_->close();
    else
      co_await self.destination_.close();
    co_return true;
  }

  IoPool pool_;
  Destination destination_;
  std::unique_ptr<GroupDestination> group_;
};

// The destination of a job, open, and of the cluster that the job began with. Errors:
// invalid_argument (the command line, or the job's destination), exists (another cluster), those of
// Destination::open().
Result<std::unique_ptr<Session>> open_destination(const Globals& globals, const JobDescription& job,
                                                  Timeout timeout);

} // namespace cairn::migrate
