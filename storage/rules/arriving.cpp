// What has come of a pulled object.
#include "storage/rules/arriving.h"

#include <algorithm>
#include <utility>

namespace cairn::storage {

void Arriving::begin(std::optional<std::uint64_t> length, std::uint64_t mtime) {
  length_ = length;
  mtime_ = mtime;
  // One byte more than promised, so that the end is seen in the same piece.
  const std::uint64_t wanted = length ? std::min<std::uint64_t>(*length, kPiece - 1) + 1 : kPiece;
  piece_.resize(static_cast<std::size_t>(wanted));
}

std::span<std::byte> Arriving::room() {
  return std::span(piece_).subspan(have_);
}

void Arriving::arrived(std::size_t count) {
  CAIRN_ASSERT(count <= piece_.size() - have_);
  have_ += count;
  changed_();
}

void Arriving::moved_to(std::shared_ptr<const int> file) {
  file_ = std::move(file);
  in_file_ += have_;
  have_ = 0;
  changed_();
}

void Arriving::complete() {
  complete_ = true;
  if (have_ == 0) piece_ = {}; // slow clients may keep this object for long
  changed_();
}

void Arriving::fail(Error error) {
  if (complete_ || error_) return;
  error_ = std::move(error);
  changed_();
}

Result<std::optional<Arriving::Part>> Arriving::look(std::uint64_t offset,
                                                     std::uint64_t max) const {
  if (error_) return *error_;
  std::uint64_t shown = size();
  if (!complete_ && length_ && shown >= *length_) shown = *length_ > 0 ? *length_ - 1 : 0;
  if (offset >= shown) {
    if (complete_) return Error{Errc::invalid_argument, "behind the end of the object"};
    return std::optional<Part>();
  }
  Part part;
  if (offset < in_file_) {
    part.fd = file_;
    part.count = std::min(in_file_, shown) - offset;
    part.count = std::min(part.count, max);
  } else {
    part.count = std::min(shown - offset, max);
    const auto begin = piece_.begin() + static_cast<std::ptrdiff_t>(offset - in_file_);
    part.bytes.assign(begin, begin + static_cast<std::ptrdiff_t>(part.count));
  }
  return std::optional<Part>(std::move(part));
}

} // namespace cairn::storage
