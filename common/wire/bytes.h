// Byte containers of the wire layer, and the two casts between text and bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::wire {

using Bytes = std::vector<std::byte>;
using View = std::span<const std::byte>;

inline View as_view(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

inline std::string_view as_text(View bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline Bytes to_bytes(std::string_view text) {
  const View view = as_view(text);
  return {view.begin(), view.end()};
}

// A fixed-size buffer that is not zeroed first: request bodies of megabytes would pay for that.
class Buffer {
public:
  Buffer() = default;
  explicit Buffer(std::size_t size)
      : data_(std::make_unique_for_overwrite<std::byte[]>(size)), size_(size) {}

  std::byte* data() { return data_.get(); }
  std::size_t size() const { return size_; }
  std::span<std::byte> span() { return {data_.get(), size_}; }
  View view() const { return {data_.get(), size_}; }
  // Forgets the bytes after the first `size`; the memory stays until the buffer goes.
  void shrink(std::size_t size) { size_ = size < size_ ? size : size_; }

private:
  std::unique_ptr<std::byte[]> data_;
  std::size_t size_ = 0;
};

} // namespace cairn::wire
