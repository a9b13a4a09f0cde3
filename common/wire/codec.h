// Field lists: a message names its fields once, in wire order, and encode, decode and size follow.
//
//   struct QueryStore {
//     std::string group;
//     static constexpr auto fields() {
//       using M = QueryStore;
//       return std::tuple{wire::text<16>(&M::group)};
//     }
//   };
//
// Integers are big-endian and as wide as the member. text<N>, integer and tail are what the FastDFS
// protocol is made of (decode() is strict: every byte must be used); string, blob, nested and list
// carry a u32 length and are for Cairn's own messages, which decode_lenient() reads so that
// versions can differ by fields added at the end.
#pragma once

#include "common/base/result.h"
#include "common/wire/bytes.h"

#include <concepts>
#include <cstring>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace cairn::wire {

// Stores the low `size` bytes of `value` at `out`, most significant first.
inline void store_big_endian(std::byte* out, std::uint64_t value, std::size_t size) {
  for (std::size_t i = size; i-- > 0; value >>= 8) out[i] = static_cast<std::byte>(value & 0xFF);
}

inline std::uint64_t load_big_endian(const std::byte* in, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i) value = value << 8 | std::to_integer<std::uint64_t>(in[i]);
  return value;
}

// Appends encoded fields to a byte vector that the caller owns.
class Writer {
public:
  explicit Writer(Bytes& out) : out_(out) {}

  void raw(View bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  void integer(std::uint64_t value, std::size_t size) {
    const std::size_t at = out_.size();
    out_.resize(at + size);
    store_big_endian(out_.data() + at, value, size);
  }
  void padded(std::string_view text, std::size_t size) {
    const std::size_t used = std::min(text.size(), size);
    raw(as_view(text.substr(0, used)));
    out_.resize(out_.size() + (size - used));
  }
  void length_tagged(View bytes) {
    integer(bytes.size(), 4);
    raw(bytes);
  }
  Bytes& out() { return out_; }

private:
  Bytes& out_;
};

// Takes fields from the front of a view; every function answers false when too little is left.
class Reader {
public:
  explicit Reader(View bytes) : rest_(bytes) {}

  std::size_t left() const { return rest_.size(); }

  bool raw(std::size_t size, View& out) {
    if (rest_.size() < size) return false;
    out = rest_.first(size);
    rest_ = rest_.subspan(size);
    return true;
  }
  bool integer(std::size_t size, std::uint64_t& out) {
    View bytes;
    if (!raw(size, bytes)) return false;
    out = load_big_endian(bytes.data(), size);
    return true;
  }
  // A text field ends at its first NUL; a full field has none.
  bool padded(std::size_t size, std::string& out) {
    View bytes;
    if (!raw(size, bytes)) return false;
    const std::string_view text = as_text(bytes);
    out = text.substr(0, text.find('\0'));
    return true;
  }
  bool length_tagged(View& out) {
    std::uint64_t size = 0;
    return integer(4, size) && raw(size, out);
  }
  View rest() { return std::exchange(rest_, View()); }

private:
  View rest_;
};

template <class M>
void encode_into(Writer& writer, const M& message);
template <class M>
bool decode_from(Reader& reader, M& message, bool lenient);

inline constexpr std::size_t kVariable = static_cast<std::size_t>(-1);

template <std::size_t N, class M>
struct TextField {
  std::string M::*member;
  static constexpr std::size_t size = N;
  void encode(Writer& w, const M& m) const { w.padded(m.*member, N); }
  bool decode(Reader& r, M& m, bool) const { return r.padded(N, m.*member); }
};

template <class M, class T>
struct IntegerField {
  T M::*member;
  static constexpr std::size_t size = sizeof(T);
  void encode(Writer& w, const M& m) const {
    w.integer(static_cast<std::uint64_t>(m.*member), sizeof(T));
  }
  bool decode(Reader& r, M& m, bool) const {
    std::uint64_t value = 0;
    if (!r.integer(sizeof(T), value)) return false;
    m.*member = static_cast<T>(value);
    return true;
  }
};

template <class M>
struct TailField {
  std::string M::*member;
  static constexpr std::size_t size = kVariable;
  void encode(Writer& w, const M& m) const { w.raw(as_view(m.*member)); }
  bool decode(Reader& r, M& m, bool) const {
    m.*member = std::string(as_text(r.rest()));
    return true;
  }
};

template <class M>
struct StringField {
  std::string M::*member;
  static constexpr std::size_t size = kVariable;
  void encode(Writer& w, const M& m) const { w.length_tagged(as_view(m.*member)); }
  bool decode(Reader& r, M& m, bool) const {
    View bytes;
    if (!r.length_tagged(bytes)) return false;
    m.*member = std::string(as_text(bytes));
    return true;
  }
};

template <class M>
struct BlobField {
  Bytes M::*member;
  static constexpr std::size_t size = kVariable;
  void encode(Writer& w, const M& m) const { w.length_tagged(m.*member); }
  bool decode(Reader& r, M& m, bool) const {
    View bytes;
    if (!r.length_tagged(bytes)) return false;
    (m.*member).assign(bytes.begin(), bytes.end());
    return true;
  }
};

template <class M, class T>
struct NestedField {
  T M::*member;
  static constexpr std::size_t size = kVariable;
  void encode(Writer& w, const M& m) const {
    Bytes inner;
    Writer inner_writer(inner);
    encode_into(inner_writer, m.*member);
    w.length_tagged(inner);
  }
  bool decode(Reader& r, M& m, bool lenient) const {
    View bytes;
    if (!r.length_tagged(bytes)) return false;
    Reader inner(bytes);
    return decode_from(inner, m.*member, lenient);
  }
};

template <class M, class T>
struct ListField {
  std::vector<T> M::*member;
  static constexpr std::size_t size = kVariable;
  void encode(Writer& w, const M& m) const {
    w.integer((m.*member).size(), 4);
    Bytes inner;
    for (const T& item : m.*member) {
      inner.clear();
      Writer inner_writer(inner);
      encode_into(inner_writer, item);
      w.length_tagged(inner);
    }
  }
  bool decode(Reader& r, M& m, bool lenient) const {
    std::uint64_t count = 0;
    if (!r.integer(4, count)) return false;
    // Each item takes at least its four length bytes: a lying count cannot make us reserve more.
    if (count > r.left() / 4) return false;
    (m.*member).clear();
    (m.*member).reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) {
      View bytes;
      if (!r.length_tagged(bytes)) return false;
      Reader inner(bytes);
      T item{};
      if (!decode_from(inner, item, lenient)) return false;
      (m.*member).push_back(std::move(item));
    }
    return true;
  }
};

// N bytes, zero padded.
template <std::size_t N, class M>
constexpr auto text(std::string M::*member) {
  return TextField<N, M>{member};
}
// Big-endian, as wide as the member (enums and signed types included).
template <class M, class T>
requires(std::integral<T> || std::is_enum_v<T>) constexpr auto integer(T M::*member) {
  return IntegerField<M, T>{member};
}
// All remaining bytes.
template <class M>
constexpr auto tail(std::string M::*member) {
  return TailField<M>{member};
}
template <class M>
constexpr auto string(std::string M::*member) {
  return StringField<M>{member};
}
template <class M>
constexpr auto blob(Bytes M::*member) {
  return BlobField<M>{member};
}
template <class M, class T>
constexpr auto nested(T M::*member) {
  return NestedField<M, T>{member};
}
template <class M, class T>
constexpr auto list(std::vector<T> M::*member) {
  return ListField<M, T>{member};
}

template <class M>
void encode_into(Writer& writer, const M& message) {
  std::apply([&](auto... field) { (field.encode(writer, message), ...); }, M::fields());
}

template <class M>
bool decode_from(Reader& reader, M& message, bool lenient) {
  // Lenient: an older sender's message ends early at a field boundary; the rest keeps its defaults.
  return std::apply(
      [&](auto... field) {
        return ((lenient && reader.left() == 0 ? true : field.decode(reader, message, lenient)) &&
                ...);
      },
      M::fields());
}

// Bytes of a message, those of its variable fields left out.
template <class M>
constexpr std::size_t fixed_size_of = std::apply(
    [](auto... field) {
      return (std::size_t{0} + ... +
              (decltype(field)::size == kVariable ? std::size_t{0} : decltype(field)::size));
    },
    M::fields());

template <class M>
Bytes encode(const M& message) {
  Bytes out;
  out.reserve(fixed_size_of<M>);
  Writer writer(out);
  encode_into(writer, message);
  return out;
}

// Every byte must belong to the message. Errors: invalid_argument.
template <class M>
Result<M> decode(View bytes) {
  M message{};
  Reader reader(bytes);
  if (!decode_from(reader, message, false) || reader.left() != 0)
    return Error{Errc::invalid_argument, "malformed message body"};
  return message;
}

// Decodes the fixed fields at the front of a longer body. Errors: invalid_argument.
template <class M>
Result<M> decode_prefix(View bytes) {
  M message{};
  Reader reader(bytes);
  if (!decode_from(reader, message, false))
    return Error{Errc::invalid_argument, "message body is too short"};
  return message;
}

// For Cairn's own messages: fields missing at the end keep their defaults, unknown bytes at the end
// are ignored. Errors: invalid_argument.
template <class M>
Result<M> decode_lenient(View bytes) {
  M message{};
  Reader reader(bytes);
  if (!decode_from(reader, message, true))
    return Error{Errc::invalid_argument, "malformed message body"};
  return message;
}

// Bytes of a message whose fields are all fixed.
template <class M>
constexpr std::size_t size_of = std::apply(
    [](auto... field) {
      static_assert(((decltype(field)::size != kVariable) && ...));
      return (std::size_t{0} + ... + decltype(field)::size);
    },
    M::fields());

} // namespace cairn::wire
