// Chunked bodies: strict, and the same however the bytes are cut.
#include "common/net/http_body.h"

#include <gtest/gtest.h>

namespace cairn {

namespace {

// Decodes `text` fed in pieces of `piece` bytes; nullopt when it is refused or has no end.
std::optional<std::string> decode(std::string_view text, std::size_t piece, std::size_t room) {
  ChunkDecoder decoder;
  std::string pending;
  std::string content;
  std::vector<std::byte> out(room);
  while (!decoder.done()) {
    const auto step = decoder.step(pending, out);
    if (!step) return std::nullopt;
    content.append(wire::as_text(wire::View(out).first(step->given)));
    pending.erase(0, step->taken);
    if (step->taken > 0 || step->given > 0 || decoder.done()) continue;
    if (text.empty()) return std::nullopt;
    const std::size_t count = std::min(piece, text.size());
    pending.append(text.substr(0, count));
    text.remove_prefix(count);
  }
  return content;
}

} // namespace

TEST(ChunkDecoder, TheSameInPiecesOfAnySize) {
  const std::string text = "5\r\nhello\r\n00A\r\n, \r\n0\r\n\r\n!\r\n0\r\n\r\n";
  for (std::size_t piece = 1; piece <= text.size(); ++piece)
    for (const std::size_t room : {1U, 3U, 64U})
      EXPECT_EQ(decode(text, piece, room), "hello, \r\n0\r\n\r\n!") << piece << " " << room;
}

TEST(ChunkDecoder, WhatOthersMightReadDifferentlyIsRefused) {
  for (const char* text :
       {"5\nhello\r\n0\r\n\r\n", "5;x=y\r\nhello\r\n0\r\n\r\n", " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n", "\r\nhello\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", "123456789\r\n",
        "ffffffffffffffff\r\n", "5\r\nhello\r\n0\r\n", "5\r\nhel", "5\r\nhello\n0\r\n\r\n"})
    EXPECT_FALSE(decode(text, 64, 64)) << text;
}

TEST(ChunkDecoder, WhatFollowsIsLeft) {
  ChunkDecoder decoder;
  std::vector<std::byte> out(16);
  const std::string text = "1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n";
  const auto step = decoder.step(text, out);
  ASSERT_TRUE(step);
  EXPECT_TRUE(decoder.done());
  EXPECT_EQ(text.substr(step->taken), "GET / HTTP/1.1\r\n");
}

} // namespace cairn
