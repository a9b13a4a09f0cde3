"""File IDs: points 69 to 76 of docs/compat.md, as seen over the wire. The decoder of
tests/support/fastdfs.py is checked with published names first, then reads those of our server.
"""
import random
import time
import unittest

import fastdfs
from cluster import ClusterTest
from fastdfs import (UPLOAD, UPLOAD_APPENDER, UPLOAD_SLAVE, base64_decode, base64_encode, content,
                     crc32, decode_name, encode_20, named, read_id, slave_body, slave_name,
                     split_id, upload_body)

# Name, source, time, bits of the size field, CRC32, kind, size: published with the output of the
# original tools, or constructed by the format's description (trunk, over 4 GiB).
EXAMPLES = (
    ("M00/00/00/wKivb114XC2ARIVaAAAAC_u0Yds557.txt", "192.168.175.111", 1568169005,
     0x8044855A0000000B, 0xFBB461DB, "normal", 11),
    ("M00/00/00/wKgKzFqUyiqAabn8AAAAB-kMomQ229.txt", "192.168.10.204", 1519700522,
     0x8069B9FC00000007, 0xE90CA264, "normal", 7),
    ("M00/00/00/CqgWMGIgcUiEPsHJAAAAADY6MCA314.txt", "10.168.22.48", 1646293320,
     0x843EC1C900000000, 0x363A3020, "appender", 0),
    ("M00/02/44/wKgDrE34E8wAAAAAAAAGkEIYJK42378.sh", "192.168.3.172", 1308103628,
     0x0000000000000690, 0x421824AE, "normal", 1680),
    ("M00/00/00/wKhJhGHYF2CAbacYAAAADLCV5eM801_big.txt", "192.168.73.132", 1641551712,
     0x806DA7180000000C, 0xB095E5E3, "slave", 12),
    ("M00/00/00/oYYBAGMi4zGAYNoxABY-esN9nNw502.jpg", 100001, 1663230769,
     0x8060DA3100163E7A, 0xC37D9CDC, "normal", 1457786),
    ("M00/00/00/wKgBFGVT8QCIEjRWAAAABjY6MCAAAAAAQAAEAAAAAEA417.txt", "192.168.1.20", 1700000000,
     0x8812345600000006, 0x363A3020, "trunk", 6),
    ("M00/00/00/wKgBFGVT8QAAAAABQAAAAN6tvu8417.bin", "192.168.1.20", 1700000000,
     0x0000000140000000, 0xDEADBEEF, "normal", 5368709120),
    ("M00/00/00/wKgBFF1Tvn6AL_ulAAhuqKakO_M091.png", "192.168.1.20", 1565769342,
     0x802FFBA500086EA8, 0xA6A43BF3, "normal", 552616),
)


class DecoderTest(unittest.TestCase):
    """The decoder that the other tests trust."""

    def test_69_examples(self):
        for name, source, stamp, bits, crc, kind, size in EXAMPLES:
            with self.subTest(name):
                found = decode_name(name)
                self.assertEqual((found.source, found.time, found.size_field, found.crc,
                                  found.kind, found.size), (source, stamp, bits, crc, kind, size))
                self.assertEqual(encode_20(source, stamp, bits, crc), name[10:37])

    def test_69_trunk_slot(self):
        self.assertEqual(decode_name(EXAMPLES[6][0]).slot, (1, 4096, 256))

    def test_69_synthetic_vectors(self):
        address, stamp, crc = "192.168.1.20", 1700000000, 0x363A3020
        for source, bits, wanted in (
                (address, 0x8012345600000006, "wKgBFGVT8QCAEjRWAAAABjY6MCA"),
                (address, 0x8412345600000000, "wKgBFGVT8QCEEjRWAAAAADY6MCA"),
                (address, 0x8812345600000006, "wKgBFGVT8QCIEjRWAAAABjY6MCA"),
                (100001, 0x8012345600000006, "oYYBAGVT8QCAEjRWAAAABjY6MCA")):
            self.assertEqual(encode_20(source, stamp, bits, crc), wanted)

    def test_71_address_or_server_id(self):
        for source in (1, 100001, 16_777_215, "192.168.1.20", "10.0.0.1", "255.255.255.1"):
            name = "M00/00/00/" + encode_20(source, 1, 1 << 63, 0) + "1234567"
            self.assertEqual(decode_name(name).source, source)
        looks_like_an_id = "M00/00/00/" + encode_20("192.168.1.0", 1, 1 << 63, 0) + "1234567"
        self.assertEqual(decode_name(looks_like_an_id).source, 0x01A8C0)

    def test_75_checksums(self):
        self.assertEqual(crc32(b"hello\n"), 0x363A3020)
        self.assertEqual(crc32(b"hahaha\n"), 0x16B28489)

    def test_76_base64(self):
        rng = random.Random(76)
        for _ in range(20_000):
            raw = rng.randbytes(20)
            chars = base64_encode(raw)
            self.assertEqual((len(chars), base64_decode(chars)), (27, raw))


class NamesTest(ClusterTest):
    shape = {"storages": 2, "paths": 2}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with cls.cluster.to(cls.cluster.tracker) as tracker:
            raw = tracker.call(fastdfs.LIST_STORAGES, fastdfs.text("group1", 16))
        stats = [fastdfs.read_storage(raw[o:o + 487]) for o in range(0, len(raw), 487)]
        cls.numbers = {stat["ip"]: int(stat["id"]) for stat in stats}

    def make(self, data, ext="", command=UPLOAD, node=None):
        file_id = self.cluster.upload(data, ext, command, node)
        return split_id(file_id)[1]

    def test_70_normal_names(self):
        for node in self.cluster.storages:
            for size in (0, 1, 6, 100_000):
                before = int(time.time())
                name = self.make(content(size), "jpg", node=node)
                found = decode_name(name)
                self.assertEqual((found.kind, found.size, found.crc),
                                 ("normal", size, crc32(content(size))))
                self.assertEqual(found.source, self.numbers[node.addr], "the storage's number")
                self.assertTrue(before - 1 <= found.time <= time.time() + 1)
                self.assertEqual(found.size_field >> 55, 0b100000000, "bit 63 and no other flag")
                self.assertEqual(encode_20(found.source, found.time, found.size_field, found.crc),
                                 name[10:37])
                self.assertEqual(len(name), 44)

    def test_70_appender_names(self):
        for data in (b"", b"hello\n", content(5000)):
            found = decode_name(self.make(data, "txt", UPLOAD_APPENDER))
            self.assertEqual((found.kind, found.size, found.crc), ("appender", 0, crc32(data)))
            self.assertEqual(found.size_field >> 55, 0b100001000, "bits 63 and 58")
            self.assertEqual(found.size_field & 0xFFFFFFFF, 0)

    def test_70_slave_names_carry_the_master(self):
        master = self.make(b"hello\n", "txt")
        with self.cluster.to(self.cluster.storage) as storage:
            slave = split_id(read_id(storage.call(
                UPLOAD_SLAVE, slave_body("group1/" + master, "_big", content(999), "txt"))))[1]
        found = decode_name(slave)
        self.assertEqual((found.kind, found.size, found.crc), ("slave", 6, crc32(b"hello\n")))
        self.assertEqual(slave[:37], master[:37])

    def test_70_random_bits_differ(self):
        names = [decode_name(self.make(b"same")) for _ in range(200)]
        bits = {found.size_field >> 32 & 0x7FFFFF for found in names}
        self.assertGreater(len(bits), 195, "23 random bits")
        self.assertGreater(len({found.block for found in names}), 195, "random digits")

    def test_71_source_is_resolved(self):
        """The tracker and the storages find the address of the number in the name."""
        for node in self.cluster.storages:
            file_id = self.cluster.upload(b"hello\n", "txt", node=node)
            with self.cluster.to(self.cluster.tracker) as tracker:
                target = fastdfs.read_target(tracker.call(fastdfs.QUERY_UPDATE, named(file_id)))
            self.assertEqual(target.addr, node.addr)
            for asked in self.cluster.storages:
                self.assertEqual(self.cluster.info(file_id, asked).source, node.addr)

    def test_73_extension_block(self):
        for ext in ("", "a", "ab", "abc", "abcd", "abcde", "abcdef"):
            with self.subTest(ext):
                block = decode_name(self.make(b"x", ext)).block
                self.assertEqual(len(block), 7)
                digits = block[:7 - len(ext) - (1 if ext else 0)]
                self.assertTrue(digits.isdigit() or not digits)
                self.assertEqual(block[len(digits):], "." + ext if ext else "")

    def test_74_slave_names(self):
        """Twenty names, as genSlaveFilename of the clients makes them."""
        cases = [(ext, prefix, slave_ext)
                 for ext in ("", "txt", "jpeg", "tar.gz")
                 for prefix, slave_ext in (("_100x100", "jpg"), ("-m2", "txt"), ("_b", "7z"),
                                           (".c", "a.b_c"), ("sixteencharacter", "png"))]
        self.assertEqual(len(cases), 20)
        storage = self.cluster.to(self.cluster.storage)
        self.addCleanup(storage.close)
        for ext, prefix, slave_ext in cases:
            with self.subTest(ext=ext, prefix=prefix, slave=slave_ext):
                master = read_id(storage.call(UPLOAD, upload_body(b"hello\n", ext)))
                made = read_id(storage.call(UPLOAD_SLAVE,
                                            slave_body(master, prefix, b"s", slave_ext)))
                self.assertEqual(made, slave_name(master, prefix, slave_ext))

    def test_74_same_as_master(self):
        """A client without a slave extension sends that of the master."""
        storage = self.cluster.to(self.cluster.storage)
        self.addCleanup(storage.close)
        master = read_id(storage.call(UPLOAD, upload_body(b"hello\n", "png")))
        made = read_id(storage.call(UPLOAD_SLAVE, slave_body(master, "_s", b"s", "png")))
        self.assertEqual(made, slave_name(master, "_s", None))

    def test_75_checksum_of_hello(self):
        name = self.make(b"hello\n", "txt")
        self.assertTrue(name[:37].endswith("Y6MCA"), "363A3020")
        self.assertEqual(self.cluster.info("group1/" + name).crc, 0x363A3020)

    def test_72_names_of_files_that_are_not_there(self):
        """Every kind of name is understood: missing, not malformed."""
        with self.cluster.to(self.cluster.storage) as storage:
            for name in [example[0] for example in EXAMPLES]:
                with self.subTest(name):
                    for command in (fastdfs.QUERY_FILE_INFO, fastdfs.GET_METADATA,
                                    fastdfs.DELETE):
                        reply = storage.request(command, named("group1/" + name))
                        self.assertEqual(reply, (2, b""))
                    reply = storage.request(fastdfs.DOWNLOAD,
                                            fastdfs.download_body("group1/" + name))
                    self.assertEqual(reply, (2, b""))
        with self.cluster.to(self.cluster.tracker) as tracker:
            for name in [example[0] for example in EXAMPLES]:
                for command in (fastdfs.QUERY_FETCH_ONE, fastdfs.QUERY_UPDATE):
                    self.assertEqual(tracker.request(command, named("group1/" + name)).status, 0)


if __name__ == "__main__":
    unittest.main()
