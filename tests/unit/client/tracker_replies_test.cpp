#include "client/tracker_replies.h"

#include "common/base/text.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

wire::Bytes hex(std::string text) {
  std::erase(text, ' ');
  return *hex_decode(text);
}

std::string padded(std::string text, std::size_t size) {
  text.resize(size);
  return text;
}

std::string number(std::uint64_t value, std::size_t size = 8) {
  std::string text(size, '\0');
  for (std::size_t i = size; i-- > 0; value >>= 8) text[i] = static_cast<char>(value & 0xFF);
  return text;
}

TEST(StoreOne, TheRecordedReply) {
  const auto reply =
      hex("67 72 6F 75 70 31 00 00 00 00 00 00 00 00 00 00 31 39 32 2E 31 36 38 2E 31 2E 32 30 00 "
          "00 00 "
          "00 00 00 00 00 00 59 D8 00");
  const auto place = parse_store_one(reply);
  ASSERT_TRUE(place);
  EXPECT_EQ(place->group, "group1");
  EXPECT_EQ(place->address, Address("192.168.1.20", 23000));
  EXPECT_EQ(place->store_path, 0);
}

TEST(StoreOne, WideAddresses) {
  const std::string reply = padded("group1", 16) + padded("fd00::1", 45) + number(23000) + "\x02";
  const auto place = parse_store_one(wire::as_view(reply));
  ASSERT_TRUE(place);
  EXPECT_EQ(place->address.text(), "[fd00::1]:23000");
  EXPECT_EQ(place->store_path, 2);
}

TEST(StoreOne, OtherSizesAreRefused) {
  EXPECT_EQ(parse_store_one(wire::as_view(std::string(41, 'x'))).code(), Errc::invalid_argument);
  EXPECT_EQ(parse_store_one(wire::as_view(std::string(40, '\0'))).code(), Errc::invalid_argument);
  EXPECT_EQ(parse_store_one({}).code(), Errc::invalid_argument);
}

TEST(StoreAll, EveryNodeWithItsPort) {
  const std::string reply = padded("group1", 16) + padded("10.0.0.1", 15) + number(1) +
                            padded("10.0.0.2", 15) + number(2) + "\x03";
  const auto places = parse_store_all(wire::as_view(reply));
  ASSERT_TRUE(places);
  ASSERT_EQ(places->size(), 2U);
  EXPECT_EQ((*places)[0].store_path, 3);
  EXPECT_EQ((*places)[1].address, Address("10.0.0.2", 2));
  EXPECT_EQ((*places)[1].store_path, 0xFF);
}

TEST(FetchAll, BothLayouts) {
  const std::string first = padded("group1", 16) + padded("10.0.0.1", 15) + number(23000);
  const auto old =
      parse_fetch_all(wire::as_view(first + padded("10.0.0.2", 15) + padded("10.0.0.3", 15)));
  ASSERT_TRUE(old);
  EXPECT_EQ(*old,
            (std::vector<Address>{{"10.0.0.1", 23000}, {"10.0.0.2", 23000}, {"10.0.0.3", 23000}}));
  const auto extended = parse_fetch_all(wire::as_view(first + padded("10.0.0.2", 15) + number(7)));
  ASSERT_TRUE(extended);
  EXPECT_EQ(extended->back(), Address("10.0.0.2", 7));
  EXPECT_EQ(parse_fetch_all(wire::as_view(first))->size(), 1U);
}

TEST(FetchAll, ASizeThatFitsBothLayoutsIsReadByItsAddresses) {
  // 345 bytes more: 23 old entries of 15 bytes, or 15 new ones of 23.
  const std::string first = padded("group1", 16) + padded("10.0.0.1", 15) + number(23000);
  std::string old = first;
  for (int i = 0; i < 23; ++i) old += padded("10.0.1." + std::to_string(i + 100), 15);
  EXPECT_EQ(parse_fetch_all(wire::as_view(old))->size(), 24U);
  std::string extended = first;
  for (int i = 0; i < 15; ++i)
    extended += padded("10.0.1." + std::to_string(i + 100), 15) + number(23000);
  EXPECT_EQ(parse_fetch_all(wire::as_view(extended))->size(), 16U);
}

TEST(Groups, BothLayouts) {
  std::string now = padded("group1", 17);
  for (std::uint64_t i = 1; i <= 12; ++i) now += number(i);
  const auto groups = parse_groups(wire::as_view(now + now));
  ASSERT_TRUE(groups);
  ASSERT_EQ(groups->size(), 2U);
  EXPECT_EQ(groups->front().free_mb, 2U);
  EXPECT_EQ(groups->front().storage_count, 5U);
  EXPECT_EQ(groups->front().writable_count, 8U);
  EXPECT_EQ(groups->front().store_path_count, 10U);
  std::string older = padded("group2", 17);
  for (std::uint64_t i = 1; i <= 11; ++i) older += number(i);
  EXPECT_EQ(parse_groups(wire::as_view(older))->front().storage_count, 4U);
  EXPECT_TRUE(parse_groups({})->empty());
  EXPECT_FALSE(parse_groups(wire::as_view(std::string(100, 'x'))));
}

TEST(Storages, TheLayoutOfNow) {
  std::string record = std::string("\x07\x06") + padded("100001", 16) + padded("10.0.0.1", 16) +
                       padded("", 16) + padded("6.15", 8) + number(11) + number(12) + number(13) +
                       number(14) + number(15) + number(16) + number(3) + number(256) + number(0) +
                       number(23000);
  record.resize(487);
  const auto storages = parse_storages(wire::as_view(record));
  ASSERT_TRUE(storages);
  const StorageInfo& storage = storages->front();
  EXPECT_EQ(storage.state, NodeState::active);
  EXPECT_EQ(storage.id, "100001");
  EXPECT_EQ(storage.host, "10.0.0.1");
  EXPECT_EQ(storage.port, 23000);
  EXPECT_EQ(storage.version, "6.15");
  EXPECT_EQ(storage.start_time, 12);
  EXPECT_EQ(storage.total_mb, 13U);
  EXPECT_EQ(storage.free_mb, 14U);
  EXPECT_EQ(storage.store_path_count, 3U);
}

TEST(FileInfo, TheChecksumIsSignExtendedOnTheWire) {
  const std::string reply = number(1'457'786) + number(1'663'230'769) +
                            number(0xFFFF'FFFF'A6A4'3BF3) + padded("10.0.0.1", 16);
  const auto info = parse_file_info(wire::as_view(reply));
  ASSERT_TRUE(info);
  EXPECT_EQ(info->crc32, 0xA6A4'3BF3U);
  EXPECT_EQ(info->size, 1'457'786U);
  EXPECT_EQ(info->source_host, "10.0.0.1");
}

TEST(MetadataText, GoesAndComesBack) {
  const Metadata metadata{{"width", "640"}, {"height", "480"}, {"empty", ""}};
  const std::string text = metadata_text(metadata);
  EXPECT_EQ(text,
            "empty\x02\x01height\x02"
            "480\x01width\x02"
            "640");
  EXPECT_EQ(parse_metadata(text), metadata);
  EXPECT_TRUE(parse_metadata("").empty());
  EXPECT_EQ(parse_metadata("no value\x01"
                           "a\x02"
                           "b"),
            (Metadata{{"a", "b"}}));
}

TEST(MetadataText, WhatCannotTravelIsRefused) {
  EXPECT_TRUE(validate_metadata({{std::string(64, 'k'), std::string(256, 'v')}}));
  EXPECT_FALSE(validate_metadata({{"", "v"}}));
  EXPECT_FALSE(validate_metadata({{std::string(65, 'k'), "v"}}));
  EXPECT_FALSE(validate_metadata({{"k", std::string(257, 'v')}}));
  EXPECT_FALSE(validate_metadata({{"k",
                                   "a\x01"
                                   "b"}}));
}

} // namespace
} // namespace cairn
