// The file name grammar: published IDs, vectors, every rejection.
#include "common/base/file_id.h"

#include "common/base/crc32.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace cairn {
namespace {

struct Example {
  const char* name;
  FileKind kind;
  const char* source;
  std::uint32_t timestamp;
  std::uint64_t size;
  std::uint32_t crc32;
};

// Published IDs and constructed ones; trunk and 4 GiB are constructed.
const std::vector<Example> kExamples{
    {"M00/00/00/wKivb114XC2ARIVaAAAAC_u0Yds557.txt", FileKind::normal, "192.168.175.111",
     1568169005, 11, 0xFBB461DB},
    {"M00/00/00/wKgKzFqUyiqAabn8AAAAB-kMomQ229.txt", FileKind::normal, "192.168.10.204", 0x5A94CA2A,
     7, 0xE90CA264},
    {"M00/00/00/CqgWMGIgcUiEPsHJAAAAADY6MCA314.txt", FileKind::appender, "10.168.22.48", 0x62207148,
     0, 0x363A3020},
    {"M00/02/44/wKgDrE34E8wAAAAAAAAGkEIYJK42378.sh", FileKind::normal, "192.168.3.172", 0x4DF813CC,
     1680, 0x421824AE},
    {"M00/00/00/wKhJhGHYF2CAbacYAAAADLCV5eM801_big.txt", FileKind::slave, "192.168.73.132",
     0x61D81760, 12, 2962613731},
    {"M00/00/00/oYYBAGMi4zGAYNoxABY-esN9nNw502.jpg", FileKind::normal, "100001", 0x6322E331,
     1457786, 0xC37D9CDC},
    {"M00/00/00/wKgBFGVT8QCIEjRWAAAABjY6MCAAAAAAQAAEAAAAAEA417.txt", FileKind::trunk,
     "192.168.1.20", 1700000000, 6, 0x363A3020},
    {"M00/00/00/wKgBFGVT8QAAAAABQAAAAN6tvu8417.bin", FileKind::normal, "192.168.1.20", 1700000000,
     5368709120, 0xDEADBEEF},
    // FastDFS 3.x: bit 58 is set by chance; the leaf must stay usable as a path.
    {"M00/00/00/wKjzh0_xaR63RExnAAAaDqbNk5E1398.txt", FileKind::appender, "192.168.243.135",
     0x4FF1691E, 0x1A0E, 0xA6CD9391},
};

// Checklist 69, 70.
TEST(FileId, ExamplesDecodeAndEncode) {
  for (const Example& example : kExamples) {
    SCOPED_TRACE(example.name);
    const auto name = parse_remote_name(example.name);
    ASSERT_TRUE(name);
    EXPECT_EQ(name->kind(), example.kind);
    ASSERT_TRUE(name->fields());
    EXPECT_EQ(name->fields()->source.text(), example.source);
    EXPECT_EQ(name->fields()->timestamp, example.timestamp);
    EXPECT_EQ(name->fields()->size(), example.size);
    EXPECT_EQ(name->fields()->crc32, example.crc32);
    EXPECT_EQ(encode27(*name->fields()), name->leaf().substr(0, 27));
    EXPECT_EQ(name->trunk().has_value(), example.kind == FileKind::trunk);
    EXPECT_EQ(name->canonical(), example.name);
  }
}

TEST(FileId, TrunkLocation) {
  const auto name = parse_remote_name(kExamples[6].name);
  ASSERT_TRUE(name && name->trunk());
  EXPECT_EQ(*name->trunk(), (TrunkLocation{1, 4096, 256}));
  EXPECT_EQ(encode_trunk(*name->trunk()), "AAAAAQAAEAAAAAEA");
  EXPECT_EQ(make_remote_name(0, 0, 0, *name->fields(), "417.txt", name->trunk()), name->text());
}

TEST(FileId, SlaveOfATrunkFileIsASlave) {
  EXPECT_EQ(
      parse_remote_name("M01/00/00/Ck4AC2sCVWGIU4sYAAABLA48mvAAAAAAgAAXAAAAAIA005_big.bin")->kind(),
      FileKind::slave);
}

// A name whose 16 characters are no base64 cannot be in a trunk file.
TEST(FileId, TrunkBitByChance) {
  const auto exact =
      parse_remote_name("M00/00/00/wKgBFGVT8QCIEjRWAAAABjY6MCA417_large.thumb.01.jpeg");
  ASSERT_TRUE(exact);
  ASSERT_EQ(exact->text().size(), kTrunkNameSize);
  EXPECT_EQ(exact->kind(), FileKind::slave);
  EXPECT_FALSE(exact->trunk());
}

TEST(FileId, SyntheticVectors) {
  FileIdFields fields;
  fields.source = SourceRef::from_ipv4({192, 168, 1, 20});
  fields.timestamp = 1700000000;
  const std::string_view hello = "hello\n";
  fields.crc32 = crc32(0, std::as_bytes(std::span(hello)));
  fields.size_field = make_size_field(6, FileKind::normal, 0x123456);
  EXPECT_EQ(make_remote_name(0, 1, 0x0A, fields, "417.txt"),
            "M00/01/0A/wKgBFGVT8QCAEjRWAAAABjY6MCA417.txt");
  fields.size_field = make_size_field(6, FileKind::appender, 0x123456);
  EXPECT_EQ(encode27(fields) + "417.txt", "wKgBFGVT8QCEEjRWAAAAADY6MCA417.txt");
  fields.size_field = make_size_field(6, FileKind::trunk, 0x123456);
  EXPECT_EQ(encode27(fields), "wKgBFGVT8QCIEjRWAAAABjY6MCA");
  fields.size_field = make_size_field(6, FileKind::normal, 0x123456);
  fields.source = SourceRef::from_server_id(100001);
  EXPECT_EQ(encode27(fields), "oYYBAGVT8QCAEjRWAAAABjY6MCA");
}

// Checklist 71: an address is an ID when its fourth byte is 0, and nothing can be done about it.
TEST(FileId, Sources) {
  EXPECT_EQ(SourceRef::from_server_id(16'777'215).server_id(), 16'777'215U);
  EXPECT_EQ(SourceRef::from_server_id(1).text(), "1");
  EXPECT_FALSE(SourceRef::from_ipv4({192, 168, 1, 20}).is_server_id());
  EXPECT_TRUE(SourceRef::from_ipv4({192, 168, 1, 0}).is_server_id());
  EXPECT_TRUE(SourceRef::from_ipv4({255, 255, 255, 0}).is_server_id());
  EXPECT_FALSE(SourceRef::from_ipv4({0, 0, 0, 1}).is_server_id());
  EXPECT_EQ(SourceRef{}.text(), "0.0.0.0");
  EXPECT_EQ(parse_source_ref("192.168.1.20")->text(), "192.168.1.20");
  EXPECT_EQ(parse_source_ref("100001")->server_id(), 100'001U);
  for (const char* bad :
       {"", "0", "01", "16777216", "1.2.3", "1.2.3.256", "1.2.3.4.5", "a.b.c.d", "1..2.3", "-1"}) {
    EXPECT_FALSE(parse_source_ref(bad)) << bad;
  }
}

// Checklist 72.
TEST(FileId, Sizes) {
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{0xFFFF'FFFF},
                                   std::uint64_t{1} << 32, std::uint64_t{1} << 40, kFileSizeMax}) {
    FileIdFields fields;
    fields.size_field = make_size_field(size, FileKind::normal, UINT64_MAX);
    EXPECT_EQ(fields.size(), size);
    EXPECT_FALSE(fields.is_appender());
    EXPECT_FALSE(fields.is_trunk());
    EXPECT_EQ(decode27(encode27(fields))->size_field, fields.size_field);
  }
  // All 23 random bits, and no more.
  EXPECT_EQ(make_size_field(0, FileKind::normal, UINT64_MAX), 0x807F'FFFF'0000'0000U);
  EXPECT_EQ(make_size_field(9, FileKind::appender, UINT64_MAX), 0x847F'FFFF'0000'0000U);
  EXPECT_EQ(make_size_field(9, FileKind::trunk, UINT64_MAX), 0x887F'FFFF'0000'0009U);
}

TEST(FileId, Decode27Refuses) {
  EXPECT_TRUE(decode27("wKgBFGVT8QCAEjRWAAAABjY6MCA"));
  for (const char* bad : {"", "wKgBFGVT8QCAEjRWAAAABjY6MC", "wKgBFGVT8QCAEjRWAAAABjY6MCAA",
                          "wKgBFGVT8QCAEjRWAAAABjY6MCB", "wKgBFGVT8QCAEjRW.AAABjY6MCA"}) {
    EXPECT_FALSE(decode27(bad)) << bad;
  }
}

// Checklist 73.
TEST(FileId, ExtensionBlocks) {
  EXPECT_EQ(extension_block("", 1234567), "7654321");
  EXPECT_EQ(extension_block("c", 12345), "54321.c");
  EXPECT_EQ(extension_block("sh", 4321), "1234.sh");
  EXPECT_EQ(extension_block("txt", 714), "417.txt");
  EXPECT_EQ(extension_block("jpeg", 38), "83.jpeg");
  EXPECT_EQ(extension_block("xhtml", 5), "5.xhtml");
  EXPECT_EQ(extension_block("tar.gz", 99), ".tar.gz");
  for (const char* good : {"", "txt", "tar.gz", "a-b_c.", "m"}) {
    EXPECT_TRUE(validate_extension(good)) << good;
  }
  for (const char* bad : {"1234567", "a/b", "a b", "\xC3\xA9", "-m", "a-m"}) {
    EXPECT_FALSE(validate_extension(bad)) << bad;
  }
}

TEST(FileId, NamesAndTheirParts) {
  const auto name = parse_remote_name("MfF/0A/B1/wKgBFGVT8QCAEjRWAAAABjY6MCA417.txt");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->store_path(), 255);
  EXPECT_EQ(name->high(), 0x0A);
  EXPECT_EQ(name->low(), 0xB1);
  EXPECT_EQ(name->true_name(), "0A/B1/wKgBFGVT8QCAEjRWAAAABjY6MCA417.txt");
  EXPECT_EQ(name->leaf(), "wKgBFGVT8QCAEjRWAAAABjY6MCA417.txt");
  EXPECT_EQ(name->canonical(), "MFF/0A/B1/wKgBFGVT8QCAEjRWAAAABjY6MCA417.txt");
  EXPECT_EQ(*name, *parse_remote_name(name->canonical()));

  const auto old = parse_remote_name("0A/B1/wKgBFGVT8QCAEjRWAAAABjY6MCA417.txt");
  ASSERT_TRUE(old);
  EXPECT_EQ(old->store_path(), 0);
  EXPECT_EQ(old->canonical(), "M00/0A/B1/wKgBFGVT8QCAEjRWAAAABjY6MCA417.txt");
  EXPECT_EQ(*old, *parse_remote_name(old->canonical()));
  // The kind does not depend on the spelling.
  EXPECT_EQ(parse_remote_name("00/00/wKhJhGHYF2CAbacYAAAADLCV5eM801_big.txt")->kind(),
            FileKind::slave);

  // A copy owns its text.
  RemoteName copy;
  EXPECT_EQ(copy.leaf(), "");
  {
    const auto source = parse_remote_name("M00/00/00/short-name");
    ASSERT_TRUE(source);
    EXPECT_FALSE(source->fields());
    EXPECT_EQ(source->kind(), FileKind::normal);
    copy = *source;
  }
  EXPECT_EQ(copy.leaf(), "short-name");
}

TEST(FileId, MalformedNames) {
  const std::string good = "M00/00/00/wKgBFGVT8QCAEjRWAAAABjY6MCA417.txt";
  ASSERT_TRUE(parse_remote_name(good));
  const std::string directory = "M00/00/00/";
  std::vector<std::string> bad{"",
                               "M",
                               "M00/00/00/",
                               "00/00/abcd",
                               "M00/00/0/abcdefgh",
                               "M00/00/00a/bcdefgh",
                               "MG0/00/00/abcdef",
                               "M0/00/00/abcdefg",
                               "M000/00/00/abcde",
                               "m00/00/00/abcdef",
                               "M00/0a/00/abcdef",
                               "M00/00/aF/abcdef",
                               "M00/0G/00/abcdef",
                               "M00//00/00/abcde",
                               "/M00/00/00/abcde",
                               "M00/00/00/a/bcdef",
                               "M00/00/00/../etc",
                               "M00/../00/abcdef",
                               "M00/00/00/..",
                               "M00/00/00/.hidden",
                               "M00/00/00/....",
                               "../../../etc/passwd",
                               "M00/00/00//abcde",
                               "M00\\00\\00\\abcde",
                               directory + "a%2e%2e%2fb",
                               directory + "a b",
                               directory + "caf\xC3\xA9",
                               good + "-m",
                               directory + "a-m",
                               good + "\n",
                               good + "/",
                               directory + std::string(118, 'a')};
  for (const char c : {'\0', '\x01', '\t', '\n', '\x7F', '\x80', '~', ':', '*', '\'', '"'}) {
    bad.push_back(directory + "abc" + std::string(1, c) + "def");
    bad.push_back(directory + "abcdef" + std::string(1, c));
  }
  for (const std::string& name : bad) {
    EXPECT_EQ(parse_remote_name(name).code(), Errc::invalid_argument) << name;
  }
  EXPECT_TRUE(parse_remote_name(directory + std::string(117, 'a'))); // 127 characters
  EXPECT_TRUE(parse_remote_name(directory + "a"));                   // 11 characters
  EXPECT_TRUE(parse_remote_name(directory + "a..b-m.txt"));
}

// Every prefix and every single-byte change of a good name parses or fails; none crashes, and what
// parses is spelled as given.
TEST(FileId, MutationsOfAName) {
  const std::string good = "M00/00/00/wKgBFGVT8QCIEjRWAAAABjY6MCAAAAAAQAAEAAAAAEA417.txt";
  for (std::size_t i = 0; i <= good.size(); ++i) {
    const auto cut = parse_remote_name(std::string_view(good).substr(0, i));
    EXPECT_EQ(cut.has_value(), i > 10) << i;
  }
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (int value = 0; value < 256; ++value) {
      std::string changed = good;
      changed[i] = static_cast<char>(value);
      const auto name = parse_remote_name(changed);
      if (!name) continue;
      ASSERT_EQ(name->text(), changed);
      ASSERT_EQ(name->true_name().find(".."), changed.find("..") == std::string::npos
                                                  ? std::string::npos
                                                  : changed.find("..") - 4);
      if (name->fields()) {
        ASSERT_EQ(encode27(*name->fields()), name->leaf().substr(0, 27));
      }
    }
  }
}

TEST(FileId, GroupsAndIds) {
  const auto id = parse_file_id("group1/M00/00/00/wKgBFGVT8QCAEjRWAAAABjY6MCA417.txt");
  ASSERT_TRUE(id);
  EXPECT_EQ(id->group, "group1");
  EXPECT_EQ(id->text(), "group1/M00/00/00/wKgBFGVT8QCAEjRWAAAABjY6MCA417.txt");
  for (const char* bad : {"", "group1", "/M00/00/00/abcdef", "group1/", "group1//M00/00/00/abcdef",
                          "gr-1/M00/00/00/abcdef", "group1/M00/00/00/ab cdef"}) {
    EXPECT_FALSE(parse_file_id(bad)) << bad;
  }
  EXPECT_TRUE(validate_group_name("Abcdefghijklmno9"));
  for (const char* bad : {"", "abcdefghijklmnopq", "a-b", "a.b", "a_b", "a b"}) {
    EXPECT_FALSE(validate_group_name(bad)) << bad;
  }
}

// Checklist 74: what the C function and Java's genSlaveFilename make; a null extension there means
// the master's own.
TEST(FileId, SlaveNames) {
  struct Case {
    const char* master;
    const char* prefix;
    std::optional<std::string_view> extension;
    const char* slave; // null: refused
  };
  const std::string p = "M00/00/00/wKhJhGHYF2CAbacYAAAADLCV5eM";
  const auto none = std::nullopt;
  const std::vector<Case> cases{
      {"801.txt", "_big", "txt", "801_big.txt"},
      {"801.txt", "_big", ".txt", "801_big.txt"},
      {"801.txt", "_big", none, "801_big.txt"},
      {"801.txt", "_big", "jpg", "801_big.jpg"},
      {"801.txt", "_big", "", "801_big"},
      {"801.txt", "-150x150", "jpeg", "801-150x150.jpeg"},
      {"1398204", "_s", "", "1398204_s"},
      {"1398204", "_s", none, "1398204_s"},
      {"1398204", "_s", "png", "1398204_s.png"},
      {".tar.gz", "_x", none, "_x.tar.gz"},
      {".tar.gz", "_x", "gz", "_x.gz"},
      {"42378.c", "a", "h", "42378a.h"},
      {"5.xhtml", "_p", "tar.gz", "5_p.tar.gz"},
      {"801_big.txt", "_2", none, "801_big_2.txt"},
      {"801.txt", "-m", "txt", "801-m.txt"},
      {"801.txt", "-m", none, "801-m.txt"},
      {"801.txt", "", "jpg", "801.jpg"},
      {"801.txt", "", "", "801"},
      {"801.txt", ".2x", "png", "801.2x.png"},
      {"801.txt", "0123456789abcdef", "txt", "8010123456789abcdef.txt"},
      // Refused.
      {"801.txt", "-m", "", nullptr},
      {"1398204", "-m", none, nullptr},
      {"801.txt", "x-m", "", nullptr},
      {"801.txt", "", "txt", nullptr},
      {"801.txt", "", ".txt", nullptr},
      {"801.txt", "", none, nullptr},
      {"1398204", "", "", nullptr},
      {"801.txt", "0123456789abcdefg", "txt", nullptr},
      {"801.txt", "a/b", "txt", nullptr},
      {"801.txt", "../", "txt", nullptr},
      {"801.txt", "_b", "abcdefg", nullptr},
      {"801.txt", "_b", "t/t", nullptr},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(std::string(c.master) + " " + c.prefix);
    const auto master = parse_remote_name(p + c.master);
    ASSERT_TRUE(master);
    const auto slave = slave_name(*master, c.prefix, c.extension);
    if (c.slave == nullptr) {
      EXPECT_FALSE(slave);
    } else {
      ASSERT_TRUE(slave) << slave.error().text();
      EXPECT_EQ(*slave, p + c.slave);
    }
  }
  // 33 characters after "M00/" are too few.
  EXPECT_TRUE(slave_name(*parse_remote_name("M00/00/00/" + std::string(28, 'a')), "_b", "c"));
  EXPECT_FALSE(slave_name(*parse_remote_name("M00/00/00/" + std::string(27, 'a')), "_b", "c"));
  EXPECT_EQ(slave_name(*parse_remote_name("M00/00/00/" + std::string(117, 'a')), "_b", "c").code(),
            Errc::name_too_long);
  EXPECT_FALSE(validate_prefix(""));
  EXPECT_TRUE(validate_prefix("-m"));
}

// 56 characters before the dot and four of prefix: a slave that nobody would ever find.
TEST(FileId, SlaveThatReadsAsTrunk) {
  const auto master =
      parse_remote_name("M00/00/00/wKgBFGVT8QCIEjRWAAAABjY6MCAAAAAAQAAEAAAAAEA417.txt");
  ASSERT_TRUE(master);
  EXPECT_FALSE(slave_name(*master, "_abc", ""));
  EXPECT_TRUE(slave_name(*master, "_abcd", ""));
}

TEST(FileId, Regenerated) {
  const auto old = parse_remote_name("M01/0A/00/CqgWMGIgcUiEPsHJAAAAADY6MCA314.txt");
  ASSERT_TRUE(old);
  FileIdFields fields = *old->fields();
  fields.timestamp = 1700000000;
  fields.size_field = make_size_field(6, FileKind::normal, 1);
  const auto name = regenerated_name(*old, fields);
  ASSERT_TRUE(name);
  EXPECT_EQ(*name, "M01/0A/00/" + encode27(fields) + "314.txt");
  EXPECT_EQ(parse_remote_name(*name)->kind(), FileKind::normal);
  EXPECT_FALSE(regenerated_name(*parse_remote_name(*name), fields));
}

} // namespace
} // namespace cairn
