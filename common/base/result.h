// Result<T>: a value or an Error, the answer of every fallible function, and the macros that pass
// errors up. Errc's values are the status byte of the wire, so there is one vocabulary from disk to
// client.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace cairn {

// Linux errno numbers, as the FastDFS protocol carries them in its status byte. `corrupt` is ours
// (EBADMSG); on the FastDFS wire it becomes io_error, see wire_status().
enum class Errc : std::uint8_t {
  ok = 0,
  not_permitted = 1, // the file system or a rule refuses
  not_found = 2,     // no such file, group, node
  io_error = 5,      // the disk or a short read
  unavailable = 11,  // try again later: owner unreachable, starting, stopping
  out_of_memory = 12,
  denied = 13, // not authenticated or not allowed
  busy = 16,
  exists = 17,
  is_directory = 21,     // not a regular file
  invalid_argument = 22, // malformed request
  no_space = 28,
  name_too_long = 36,
  no_net = 64,  // ENONET: the node is not active
  corrupt = 74, // checksum or format does not hold
  unsupported = 95,
  closed = 104, // the peer closed or reset the connection
  timeout = 110,
  already = 114,
};

// The byte a FastDFS client sees for `code`: clients know no `corrupt`, and `closed` between nodes
// is for them a node that cannot be reached.
constexpr std::uint8_t wire_status(Errc code) {
  if (code == Errc::corrupt) return static_cast<std::uint8_t>(Errc::io_error);
  if (code == Errc::closed) return static_cast<std::uint8_t>(Errc::timeout);
  return static_cast<std::uint8_t>(code);
}

// A short English name of `code` for logs and command lines ("not found").
std::string_view describe(Errc code);

// Maps an errno of a failed system call to the nearest Errc (unknown ones: io_error).
Errc errc_of_errno(int error);

// What went wrong. `detail` is one line for people; nobody branches on it.
struct Error {
  Errc code = Errc::io_error;
  std::string detail;
  // True when the request may have been carried out although no success was heard of it: who
  // repeats it may do it twice. Set by clients.
  bool outcome_unknown = false;

  Error(Errc c, std::string d = {}) : code(c), detail(std::move(d)) {}

  // "detail (not found)", for logs and command lines.
  std::string text() const {
    std::string name(describe(code));
    return detail.empty() ? name : detail + " (" + name + ")";
  }
};

// An Error from errno after a failed system call: "open /x: No such file or directory".
Error errno_error(std::string_view what, int error);

// A value or an Error, spelled like std::expected.
template <class T>
class [[nodiscard]] Result {
public:
  using value_type = T;

  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
  Result(Errc code) : state_(std::in_place_index<1>, Error(code)) {}

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  T& operator*() & { return *std::get_if<0>(&state_); }
  const T& operator*() const& { return *std::get_if<0>(&state_); }
  T&& operator*() && { return std::move(*std::get_if<0>(&state_)); }
  T* operator->() { return std::get_if<0>(&state_); }
  const T* operator->() const { return std::get_if<0>(&state_); }

  Error& error() & { return *std::get_if<1>(&state_); }
  const Error& error() const& { return *std::get_if<1>(&state_); }
  Error&& error() && { return std::move(*std::get_if<1>(&state_)); }
  // Errc::ok when there is a value.
  Errc code() const { return has_value() ? Errc::ok : error().code; }

private:
  std::variant<T, Error> state_;
};

// Success, or an Error.
template <>
class [[nodiscard]] Result<void> {
public:
  using value_type = void;

  Result() = default;
  Result(Error error) : failed_(true), error_(std::move(error)) {}
  Result(Errc code) : failed_(code != Errc::ok), error_(code) {}

  bool has_value() const noexcept { return !failed_; }
  explicit operator bool() const noexcept { return !failed_; }
  Error& error() & { return error_; }
  const Error& error() const& { return error_; }
  Error&& error() && { return std::move(error_); }
  Errc code() const { return failed_ ? error_.code : Errc::ok; }

private:
  bool failed_ = false;
  Error error_{Errc::ok};
};

using Status = Result<void>;

namespace detail {
[[noreturn]] inline void assert_failed(const char* what, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, what);
  std::abort();
}
} // namespace detail

} // namespace cairn

// States what our own code guarantees; aborts in every build. Never for what a peer, a disk or an
// operator can cause.
#define CAIRN_ASSERT(cond) \
  ((cond) ? void(0) : ::cairn::detail::assert_failed(#cond, __FILE__, __LINE__))

#define CAIRN_CONCAT_INNER(a, b) a##b
#define CAIRN_CONCAT(a, b) CAIRN_CONCAT_INNER(a, b)

#define CAIRN_TRY_IMPL(keyword, temporary, name, expression)            \
  auto temporary = (expression);                                        \
  if (!temporary) keyword ::cairn::Error(std::move(temporary).error()); \
  auto name = *std::move(temporary)

// CAIRN_TRY(name, expression): binds the value of a Result, or returns its Error.
#define CAIRN_TRY(name, ...) \
  CAIRN_TRY_IMPL(return, CAIRN_CONCAT(result_, __LINE__), name, (__VA_ARGS__))
#define CAIRN_CO_TRY(name, ...) \
  CAIRN_TRY_IMPL(co_return, CAIRN_CONCAT(result_, __LINE__), name, (__VA_ARGS__))

// Returns the Error of a Status or Result, if there is one.
#define CAIRN_RETURN_IF_ERROR(...)                                                                 \
  do {                                                                                             \
    if (auto status_ = (__VA_ARGS__); !status_) return ::cairn::Error(std::move(status_).error()); \
  } while (false)
#define CAIRN_CO_RETURN_IF_ERROR(...)                       \
  do {                                                      \
    if (auto status_ = (__VA_ARGS__); !status_)             \
      co_return ::cairn::Error(std::move(status_).error()); \
  } while (false)
