"""Bad input over real sockets, for both daemons: nothing crashes, blocks or grows, nothing outside
the store paths is read or written, and the next client is served as ever."""

import contextlib
import os
import random
import socket
import struct
import time
import unittest

import cluster as clusters
import fastdfs
from cluster import http_get, resident_kib
from fastdfs import HEADER, frame, i64, text

SECRET = b"nobody may read this"
GROUP = text("group1", 16)
# Lengths that an inattentive server adds to, subtracts from, or allocates.
LENGTHS = (-1, -(1 << 63), (1 << 63) - 1, 1 << 62, 1 << 40, 1 << 32, (1 << 31) - 1, 0xFFFFFFFF)

GOOD = "M00/00/00/oYYBAGVT8QCAEjRWAAAABjY6MCA417.txt"
NAMES = [
    "", "/", "M", "M00", "M00/", "M00/00/00/", "M00/00/00/..", "../secret", "M00/../secret",
    "M00/../../secret", "M00/00/../../secret", "M00/00/00/../../../secret",
    "M00/00/00/../../../../../../../../etc/passwd", "/etc/passwd", "M00//etc/passwd",
    "M00/00/00//etc/passwd", "M00/.tmp/00/" + GOOD[10:], "M00/00/00/.." + GOOD[12:],
    "M00/00/00\0/../../secret", GOOD + "\0", GOOD[:20] + "\0" + GOOD[21:], GOOD + "/..",
    GOOD + "/../../../secret", GOOD.replace("/", "\\"), "MFF" + GOOD[3:], "MZZ" + GOOD[3:],
    "M-1" + GOOD[3:], "M00/0/00/" + GOOD[10:], "M00/gg/00/" + GOOD[10:], GOOD + "x" * 200,
    "x" * 16, "x" * 4096, "M00/00/00/" + "A" * 27, "M00/00/00/" + "_" * 27 + ".jpg",
    "M00/00/00/" + "é" * 20, "%2e%2e/secret", GOOD[:-4] + ".j/g", GOOD + "-m", GOOD + "\n",
]


class Malformed(clusters.ClusterTest):
    shape = {"storages": 1}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        store = cls.cluster.storage.store_paths[0]
        for place in (store, os.path.dirname(store), os.path.join(store, "data")):
            with open(os.path.join(place, "secret"), "wb") as file:
                file.write(SECRET)
        cls.file_id = cls.cluster.upload(b"content" * 100, "txt")
        cls.pids = {node.id: node.pid for node in cls.both()}
        cls.outside = cls.tree_outside()

    @classmethod
    def both(cls):
        return (cls.cluster.tracker, cls.cluster.storage)

    @classmethod
    def tree_outside(cls):
        """Names next to and above the data directory: nothing may appear there."""
        store = cls.cluster.storage.store_paths[0]
        return sorted(os.listdir(store)), sorted(os.listdir(os.path.dirname(store)))

    def setUp(self):
        self.resident = {node.id: resident_kib(node.pid) for node in self.both()}

    def tearDown(self):
        for node in self.both():
            self.assertTrue(clusters.alive(self.pids[node.id]), f"{node.id} has died")
            with self.cluster.to(node) as connection:
                self.assertTrue(connection.alive())
            grown = resident_kib(node.pid) - self.resident[node.id]
            self.assertLess(grown, 48 * 1024, f"KiB more at {node.id}")
        self.assertEqual(self.cluster.download(self.file_id), b"content" * 100)
        self.assertEqual(self.tree_outside(), self.outside)

    def exchange(self, node, data, seconds=3.0):
        """What the node says to `data` until it closes or is silent."""
        with self.cluster.to(node) as connection:
            # Refused, closed or reset in the middle: whatever comes first.
            with contextlib.suppress(OSError):
                connection.send(data)
                # It need not wait for the rest of what cannot be right.
                connection.socket.shutdown(socket.SHUT_WR)
            received = b""
            connection.socket.settimeout(seconds)
            with contextlib.suppress(ConnectionResetError, TimeoutError):
                while part := connection.socket.recv(65536):
                    received += part
            return received

    def refused(self, node, data, what):
        """Closed, or answered with a status that is not 0; never the secret."""
        received = self.exchange(node, data)
        self.assertNotIn(SECRET, received, what)
        if len(received) >= HEADER.size:
            length, command, status = HEADER.unpack_from(received)
            self.assertEqual(command, fastdfs.REPLY, what)
            self.assertNotEqual(status, 0, f"{what}: accepted")
            self.assertEqual(length, 0, what)

    def test_body_lengths(self):
        for node in self.both():
            for length in LENGTHS:
                for command in (fastdfs.UPLOAD, fastdfs.DOWNLOAD, fastdfs.QUERY_STORE,
                                fastdfs.QUERY_FETCH_ONE, fastdfs.SET_METADATA, 200):
                    head = HEADER.pack(length, command, 0)
                    for body in (b"", bytes(64)):
                        self.refused(node, head + body, (node.role, length, command))

    def test_lengths_inside_bodies(self):
        name = fastdfs.split_id(self.file_id)[1].encode()
        storage = self.cluster.storage
        for length in LENGTHS:
            number = i64(length) if length < 1 << 63 else struct.pack(">Q", length)
            bodies = {
                fastdfs.UPLOAD: [b"\xff" + number + text("txt", 6) + b"x" * 10],
                fastdfs.UPLOAD_APPENDER: [b"\xff" + number + text("txt", 6) + b"x" * 10],
                fastdfs.UPLOAD_SLAVE: [
                    number + i64(4) + text("a", 16) + text("txt", 6) + name + b"abcd",
                    i64(len(name)) + number + text("a", 16) + text("txt", 6) + name + b"abcd"],
                fastdfs.APPEND: [number + i64(4) + name + b"abcd",
                                 i64(len(name)) + number + name + b"abcd"],
                fastdfs.MODIFY: [number + i64(0) + i64(4) + name + b"abcd",
                                 i64(len(name)) + number + i64(4) + name + b"abcd",
                                 i64(len(name)) + i64(0) + number + name + b"abcd"],
                fastdfs.TRUNCATE: [number + i64(0) + name],
                fastdfs.SET_METADATA: [number + i64(3) + b"O" + GROUP + name + b"a\2b",
                                       i64(len(name)) + number + b"O" + GROUP + name + b"a\2b"],
                fastdfs.CREATE_LINK: [number + i64(len(name)) + i64(0) + GROUP + bytes(22) + name],
            }
            if length < 0:
                bodies[fastdfs.DOWNLOAD] = [number + i64(0) + GROUP + name,
                                            i64(0) + number + GROUP + name]
            for command, variants in bodies.items():
                for body in variants:
                    self.refused(storage, frame(command, body), (command, length))

    def test_names(self):
        storage = self.cluster.storage
        for name in NAMES:
            raw = name.encode()
            for command, body in (
                    (fastdfs.DOWNLOAD, i64(0) + i64(0) + GROUP + raw),
                    (fastdfs.DELETE, GROUP + raw),
                    (fastdfs.QUERY_FILE_INFO, GROUP + raw),
                    (fastdfs.GET_METADATA, GROUP + raw),
                    (fastdfs.SET_METADATA,
                     i64(len(raw)) + i64(3) + b"O" + GROUP + raw + b"a\2b"),
                    (fastdfs.APPEND, i64(len(raw)) + i64(4) + raw + b"abcd"),
                    (fastdfs.MODIFY, i64(len(raw)) + i64(0) + i64(4) + raw + b"abcd"),
                    (fastdfs.TRUNCATE, i64(len(raw)) + i64(0) + raw),
                    (fastdfs.REGENERATE, raw),
                    (fastdfs.UPLOAD_SLAVE, i64(len(raw)) + i64(4) + text("_a", 16)
                     + text("jpg", 6) + raw + b"abcd"),
                    (fastdfs.CREATE_LINK, fastdfs.link_body("group1", name, b"")),
            ):
                self.refused(storage, frame(command, body), (command, name))

    def test_extensions_and_prefixes(self):
        storage = self.cluster.storage
        name = fastdfs.split_id(self.file_id)[1].encode()
        for bad in (b"../x", b"a/b", b"/etc", b"\xff\xfe", b"a b", b"\n", b"../..", b"a\\b"):
            body = b"\xff" + i64(4) + bad.ljust(6, b"\0") + b"abcd"
            self.refused(storage, frame(fastdfs.UPLOAD, body), bad)
            body = (i64(len(name)) + i64(4) + (b"/../" + bad).ljust(16, b"\0") + text("txt", 6)
                    + name + b"abcd")
            self.refused(storage, frame(fastdfs.UPLOAD_SLAVE, body), bad)

    def test_groups(self):
        name = fastdfs.split_id(self.file_id)[1].encode()
        for group in (b"group2", b"", b"../group1", b"group1/", b"group1\0x", b"x" * 16,
                      b"\xff" * 16):
            field = group.ljust(16, b"\0")
            for command, body in ((fastdfs.DOWNLOAD, i64(0) + i64(0) + field + name),
                                  (fastdfs.DELETE, field + name),
                                  (fastdfs.QUERY_FILE_INFO, field + name)):
                if group == b"group1\0x":
                    continue  # a field ends at its first NUL
                self.refused(self.cluster.storage, frame(command, body), (command, group))
            if group not in (b"", b"group1\0x"):
                for command, body in ((fastdfs.QUERY_STORE_GROUP, field),
                                      (fastdfs.QUERY_FETCH_ONE, field + name),
                                      (fastdfs.LIST_STORAGES, field)):
                    self.refused(self.cluster.tracker, frame(command, body), (command, group))

    def test_every_command_with_nonsense(self):
        rng = random.Random(7)
        blobs = [b"", b"\0", b"\xff" * 8, bytes(16), b"\xff" * 64, GROUP, GROUP * 3,
                 rng.randbytes(37), rng.randbytes(700)]
        for node in self.both():
            for command in range(256):
                data = b"".join(frame(command, blob) for blob in blobs[:1])
                self.exchange(node, data, 1.0)
                for blob in blobs[1:]:
                    self.assertNotIn(SECRET, self.exchange(node, frame(command, blob), 1.0))

    def test_noise_instead_of_frames(self):
        rng = random.Random(11)
        for node in self.both():
            for port in (node.port, node.http):
                for size in (1, 9, 10, 11, 100, 5000, 100_000):
                    for data in (rng.randbytes(size), b"\0" * size, b"A" * size,
                                 b"GET / HTTP/1.1\r\n" * (size // 16 + 1)):
                        with socket.create_connection((node.addr, port), 10) as sock:
                            with contextlib.suppress(OSError):
                                sock.sendall(data)
                                sock.shutdown(socket.SHUT_WR)
                            with contextlib.suppress(OSError):
                                sock.settimeout(0.5)
                                while sock.recv(65536):
                                    pass

    def test_half_a_header_then_silence(self):
        held = []
        for node in self.both():
            for size in range(1, 10):
                for _ in range(20):
                    connection = self.cluster.to(node)
                    self.addCleanup(connection.close)
                    connection.send(frame(fastdfs.ACTIVE_TEST)[:size])
                    held.append(connection)
            begin = time.monotonic()
            with self.cluster.to(node) as connection:
                self.assertTrue(connection.alive())
            self.assertLess(time.monotonic() - begin, 2.0)

    def test_urls(self):
        node = self.cluster.storage
        targets = ["/" + quote for name in NAMES for quote in (
            name.replace("\0", "%00").replace("\n", "%0a").replace(" ", "%20")
            .replace("é", "%c3%a9"),)]
        targets += ["/group1/" + target[1:] for target in targets]
        targets += ["/group1/M00/00/00/..%2f..%2f..%2fsecret", "/group1/M00/%2e%2e/secret",
                    "/group1/M00/..%5c..%5csecret", "/%", "/%g0", "/%0", "/%00",
                    "/group1/M00/00/00/" + "a" * 7000, "/?" + "a" * 7000, "//", "/./", "/..;/",
                    "/group1/../secret", "/M00/../secret", "/group1/M00/.tmp/00/" + GOOD[10:]]
        for target in targets:
            try:
                target.encode("ascii")
            except UnicodeEncodeError:
                continue
            reply = http_get(node.addr, node.http, target)
            self.assertGreaterEqual(reply.status, 400, target[:80])
            self.assertLess(reply.status, 500, target[:80])
            self.assertNotIn(SECRET, reply.body, target[:80])

    def test_ten_thousand_half_open_requests_block_nobody(self):
        node = self.cluster.storage
        held = []
        self.addCleanup(lambda: [sock.close() for sock in held])
        for index in range(2000):
            sock = socket.create_connection((node.addr, (node.port, node.http)[index % 2]), 20)
            sock.sendall((b"\0\0\0", b"GET /")[index % 2])
            held.append(sock)
        begin = time.monotonic()
        self.assertEqual(http_get(node.addr, node.http, "/healthz").status, 200)
        self.assertEqual(self.cluster.download(self.file_id), b"content" * 100)
        self.assertLess(time.monotonic() - begin, 2.0)


if __name__ == "__main__":
    unittest.main()
