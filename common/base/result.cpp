// Names of error codes and the mapping from errno.
#include "common/base/result.h"

#include <cerrno>
#include <cstring>

namespace cairn {

std::string_view describe(Errc code) {
  switch (code) {
    case Errc::ok:
      return "ok";
    case Errc::not_permitted:
      return "not permitted";
    case Errc::not_found:
      return "not found";
    case Errc::io_error:
      return "I/O error";
    case Errc::unavailable:
      return "unavailable, try again";
    case Errc::out_of_memory:
      return "out of memory";
    case Errc::denied:
      return "denied";
    case Errc::busy:
      return "busy";
    case Errc::exists:
      return "exists already";
    case Errc::is_directory:
      return "not a regular file";
    case Errc::invalid_argument:
      return "invalid argument";
    case Errc::no_space:
      return "no space left";
    case Errc::name_too_long:
      return "name too long";
    case Errc::no_net:
      return "node is not active";
    case Errc::corrupt:
      return "damaged";
    case Errc::unsupported:
      return "not supported";
    case Errc::closed:
      return "connection closed";
    case Errc::timeout:
      return "timed out";
    case Errc::already:
      return "done already";
  }
  return "unknown error";
}

Errc errc_of_errno(int error) {
  switch (error) {
    case 0:
      return Errc::ok;
    case EPERM:
    case EROFS:
      return Errc::not_permitted;
    case ENOENT:
    case ENOTDIR:
      return Errc::not_found;
    case EAGAIN:
    case EMFILE:
    case ENFILE:
      return Errc::unavailable;
    case ENOMEM:
      return Errc::out_of_memory;
    case EACCES:
      return Errc::denied;
    case EBUSY:
    case ETXTBSY:
      return Errc::busy;
    case EEXIST:
    case ENOTEMPTY:
      return Errc::exists;
    case EISDIR:
    case ELOOP:
      return Errc::is_directory;
    case EINVAL:
      return Errc::invalid_argument;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return Errc::no_space;
    case ENAMETOOLONG:
      return Errc::name_too_long;
    case EOPNOTSUPP:
      return Errc::unsupported;
    case EPIPE:
    case ECONNRESET:
    case ECONNABORTED:
      return Errc::closed;
    case ETIMEDOUT:
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return Errc::timeout;
    default:
      return Errc::io_error;
  }
}

Error errno_error(std::string_view what, int error) {
  return Error(errc_of_errno(error), std::string(what) + ": " + std::strerror(error));
}

} // namespace cairn
