"""Many small files in one request (207): each is there as if it had been sent alone, none is there
when the request was nonsense, and what was acknowledged survives kill -9."""

import concurrent.futures
import contextlib
import os
import random
import struct
import sys
import threading
import time
import unittest

import cluster as clusters
import fastdfs
from native import read_tagged, tagged

UPLOAD_FILES = 207
MOST_FILES, MOST_BYTES = 64, 512 * 1024
EBUSY = 16
SEED = int(os.environ.get("CAIRN_SEED", time.time_ns() % 1_000_000))


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def mark(path=b"a/b.jpg"):
    """An origin mark as common/wire/origin_mark.h has it: no ranges, export `x`."""
    numbers = (1, 0, 1_700_000_000_000_000, 10, 0o644, 0, 0, 0)
    return (b"\1" + struct.pack(">I", 77) + b"".join(map(varint, numbers)) + varint(1) + b"x" + b"\0"
            + path)


def request(files, copies=1):
    """`files`: (content, extension, mark, size told or None)."""
    listed = struct.pack(">BI", copies, len(files))
    for content, extension, origin, size in files:
        told = len(content) if size is None else size
        listed += tagged(struct.pack(">Q", told) + tagged(extension) + tagged(origin))
    return tagged(listed) + b"".join(file[0] for file in files)


def usual(contents):
    return [(content, b"jpg", mark(), None) for content in contents]


def read_reply(body):
    """(have, wanted, refused, [(code, error, id)])"""
    have, wanted, refused, count = struct.unpack_from(">BBBI", body)
    at, files = 7, []
    for _ in range(count):
        one, at = read_tagged(body, at)
        error, after = read_tagged(one, 1)
        name, end = read_tagged(one, after)
        if end != len(one):
            raise AssertionError(f"{one!r} is no answer for one file")
        files.append((one[0], error.decode(), name.decode()))
    return have, wanted, refused, files


class UploadFiles(clusters.ClusterTest):
    shape = {"storages": 2}

    def store(self, contents, copies=1, node=None):
        with self.cluster.to(node or self.cluster.storage) as storage:
            reply = read_reply(storage.call(UPLOAD_FILES, request(usual(contents), copies)))
        self.assertEqual(len(reply[3]), len(contents))
        self.assertEqual([(code, error) for code, error, _ in reply[3]], [(0, "")] * len(contents))
        return reply

    def test_as_if_alone(self):
        rng = random.Random(SEED)
        contents = [rng.randbytes(rng.choice((1, 300, 4096, 8000))) for _ in range(MOST_FILES)]
        have, wanted, refused, files = self.store(contents, copies=2 | 0x80)
        self.assertEqual((have, wanted, refused), (2, 2, 0))
        names = [name for _, _, name in files]
        self.assertEqual(len(set(names)), MOST_FILES)
        # Two copies were asked for: each node has all of them, at once.
        for node in self.cluster.storages:
            for name, content in zip(names, contents):
                self.assertTrue(name.endswith(".jpg"), name)
                self.assertEqual(self.cluster.download(name, node), content)
                self.assertEqual(self.cluster.info(name, node).size, len(content))

    def test_as_much_as_may_be(self):
        rng = random.Random(SEED)
        contents = [rng.randbytes(MOST_BYTES // 2), rng.randbytes(MOST_BYTES // 2)]
        for (_, _, name), content in zip(self.store(contents)[3], contents):
            self.assertEqual(self.cluster.download(name), content)
        self.assertEqual(self.store([b"x"])[3][0][0], 0)

    def test_nonsense_is_refused_and_nothing_stored(self):
        good = (b"content", b"jpg", mark(), None)
        whole = request([good])
        bad = {
            "no file": request([]),
            "too many": request([good] * (MOST_FILES + 1)),
            "an empty file": request([good, (b"", b"jpg", mark(), None)]),
            "no mark": request([good, (b"x", b"jpg", b"", None)]),
            "a long mark": request([good, (b"x", b"jpg", mark(b"p" * 1100), None)]),
            "a damaged mark": request([good, (b"x", b"jpg", mark()[:6], None)]),
            "an extension with a slash": request([good, (b"x", b"a/b", mark(), None)]),
            "an extension that is too long": request([good, (b"x", b"jpegjpeg", mark(), None)]),
            "less than told": request([good, (b"x", b"jpg", mark(), 2)]),
            "more than told": request([good, (b"xx", b"jpg", mark(), 1)]),
            "a size that overflows": request([(b"x", b"jpg", mark(), (1 << 64) - 1), good]),
            "a header beyond the body": struct.pack(">I", len(whole)) + whole[4:],
            "a header that lies": struct.pack(">I", 0xFFFFFFFF) + whole[4:],
            "a count that lies": tagged(struct.pack(">BI", 1, 0xFFFFFFFF)) + b"content",
            "half": whole[:len(whole) // 2],
            "nothing": b"",
        }
        before = self.count()
        for what, body in bad.items():
            with self.subTest(what), self.cluster.to(self.cluster.storage) as storage:
                reply = storage.request(UPLOAD_FILES, body)
                self.assertNotEqual(reply.status, 0)
        with self.cluster.to(self.cluster.storage) as storage:
            storage.send(fastdfs.HEADER.pack(16 << 20, UPLOAD_FILES, 0) + b"x" * 4096)
            self.assertTrue(storage.read_header()[2] != 0 or storage.ended())
        self.assertEqual(self.count(), before)
        self.store([b"the next one"])

    def count(self):
        """Stored files with the extension of ours, temporary ones too."""
        return sum(name.endswith(".jpg") for _, _, names in os.walk(self.cluster.storage.store_paths[0])
                   for name in names)


class ShortOfMemory(clusters.ClusterTest):
    shape = {"storages": 1}

    def test_it_is_refused_and_room_lets_it_go_on(self):
        self.cluster.reconfigure(self.cluster.storage, max_request_memory="4M")
        self.cluster.wait_active()
        body = request(usual([b"x" * MOST_BYTES]))
        with contextlib.ExitStack() as stack:
            # There is room for seven; each waits for the rest of its request, or drops it.
            other, slow = stack.enter_context(self.cluster.to(self.cluster.storage)), []

            def refused():
                slow.append(stack.enter_context(self.cluster.to(self.cluster.storage)))
                slow[-1].send(fastdfs.HEADER.pack(len(body), UPLOAD_FILES, 0) + body[:1000])
                return other.request(UPLOAD_FILES, body).status == EBUSY

            fastdfs.wait_until("the memory is taken", refused)
            # What is short needs none of it.
            self.assertEqual(read_reply(other.call(UPLOAD_FILES, request(usual([b"short"]))))[3][0][0], 0)
            for connection in slow:
                connection.send(body[1000:])
            replies = [connection.read_reply() for connection in slow]
            stored = [reply for reply in replies if reply.status == 0]
            self.assertTrue(0 < len(stored) <= 7, len(stored))
            self.assertLessEqual({reply.status for reply in replies}, {0, EBUSY})
            for reply in stored:
                self.assertEqual(self.cluster.download(read_reply(reply.body)[3][0][2]), b"x" * MOST_BYTES)
            self.assertEqual(other.request(UPLOAD_FILES, body).status, 0)


class Killed(clusters.ClusterTest):
    shape = {"storages": 2}

    def test_what_was_acknowledged_is_there(self):
        print(f"seed {SEED}", file=sys.stderr)
        rng = random.Random(SEED)
        stored, lock, over = [], threading.Lock(), threading.Event()

        def load(seed):
            mine = random.Random(seed)
            while not over.is_set():
                contents = [mine.randbytes(mine.randint(1, 9000)) for _ in range(mine.randint(1, 40))]
                try:
                    with self.cluster.to(self.cluster.storage, timeout=5.0) as storage:
                        while not over.is_set():
                            reply = storage.request(UPLOAD_FILES, request(usual(contents)))
                            if reply.status != 0:
                                break  # it is stopping
                            files = read_reply(reply.body)[3]
                            with lock:
                                stored.extend((f[2], c) for f, c in zip(files, contents) if not f[0])
                            mine.shuffle(contents)
                except (OSError, fastdfs.ConnectionClosed):
                    pass  # it is down, or starting
                over.wait(0.05)

        pool = concurrent.futures.ThreadPoolExecutor(3)
        clients = [pool.submit(load, rng.random()) for _ in range(3)]
        try:
            for _ in range(5):
                known = len(stored)
                fastdfs.wait_until("uploads", lambda known=known: len(stored) > known + 50, 30.0)
                time.sleep(rng.uniform(0, 0.3))  # seeded: the kill falls anywhere
                self.cluster.kill(self.cluster.storage)
                self.cluster.start_node(self.cluster.storage)
        finally:
            over.set()
            for client in clients:
                client.result()
        self.cluster.wait_active()
        for name, content in stored:
            self.assertEqual(self.cluster.download(name), content, name)


if __name__ == "__main__":
    unittest.main()
