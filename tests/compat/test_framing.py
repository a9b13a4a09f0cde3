"""Framing: points 1 to 14 of docs/compat.md."""
import resource
import select
import socket
import struct
import time
import unittest

import fastdfs
from cluster import ClusterTest, alive, resident_kib
from fastdfs import ConnectionClosed, frame, i64, text, wait_until

# Bytes of ACTIVE_TEST and its reply.
ACTIVE_REQUEST = bytes.fromhex("00000000000000006F00")
ACTIVE_REPLY = bytes.fromhex("00000000000000006400")
MISSING = "group1/M00/00/00/oYYBAGVT8QCAEjRWAAAABjY6MCA417.txt"
TCP_INFO_DATA_SEGMENTS_IN = 152  # offset of tcpi_data_segs_in


def segments_in(connection):
    """How many TCP segments with data have arrived."""
    info = connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
    return struct.unpack_from("=I", info, TCP_INFO_DATA_SEGMENTS_IN)[0]


def send_bytewise(connection, data):
    """Every byte in a segment of its own (TCP_NODELAY is set)."""
    for offset in range(len(data)):
        connection.send(data[offset:offset + 1])


class FramingTest(ClusterTest):
    @property
    def both(self):
        """One server of each kind."""
        return (self.cluster.tracker, self.cluster.storage)

    def test_01_one_byte_segments(self):
        body = fastdfs.upload_body(b"hello\n", "txt")
        with self.cluster.to(self.cluster.storage) as storage:
            send_bytewise(storage, frame(fastdfs.UPLOAD, body))
            file_id = fastdfs.read_id(storage.read_reply().body)
            send_bytewise(storage, frame(fastdfs.DOWNLOAD, fastdfs.download_body(file_id)))
            self.assertEqual(storage.read_reply(), (0, b"hello\n"))
        with self.cluster.to(self.cluster.tracker) as tracker:
            send_bytewise(tracker, frame(fastdfs.QUERY_FETCH_ONE, fastdfs.named(file_id)))
            self.assertEqual(len(tracker.read_reply().body), 39)

    def test_01_any_two_segments(self):
        request = frame(fastdfs.QUERY_STORE_GROUP, text("group1", 16))
        tracker = self.to_tracker()
        for cut in range(1, len(request)):
            tracker.send(request[:cut])
            tracker.send(request[cut:])
            self.assertEqual(len(tracker.read_reply().body), 40)

    def assert_one_segment(self, connection, request, size):
        """The reply of 10 + `size` bytes comes in one segment, so one write sent it."""
        before = segments_in(connection)
        connection.send(request)
        first = connection.socket.recv(65536)
        self.assertEqual(len(first), 10 + size, "header and body did not arrive together")
        self.assertEqual(segments_in(connection) - before, 1)

    def test_02_one_write_a_reply(self):
        storage, tracker = self.to_storage(), self.to_tracker()
        sizes = (1, 100, 4096, 16 * 1024 - 10)
        files = {size: self.cluster.upload(fastdfs.content(size)) for size in sizes}
        name = fastdfs.named(files[100])
        for _ in range(20):
            self.assert_one_segment(tracker, frame(fastdfs.QUERY_STORE), 40)
            self.assert_one_segment(tracker, frame(fastdfs.QUERY_FETCH_ONE, name), 39)
            self.assert_one_segment(tracker, frame(fastdfs.QUERY_STORE_ALL), 40)
            self.assert_one_segment(tracker, frame(fastdfs.LIST_ALL_GROUPS), 113)
            self.assert_one_segment(storage, frame(fastdfs.QUERY_FILE_INFO, name), 40)
            self.assert_one_segment(
                storage, frame(fastdfs.UPLOAD, fastdfs.upload_body(b"x" * 20, "bin")), 60)
            for size, file_id in files.items():
                self.assert_one_segment(
                    storage, frame(fastdfs.DOWNLOAD, fastdfs.download_body(file_id)), size)

    def test_03_reply_command_is_100(self):
        for node in self.both:
            with self.subTest(node.role), self.cluster.to(node) as connection:
                for request in (frame(fastdfs.ACTIVE_TEST), frame(fastdfs.ACTIVE_TEST, b"x")):
                    connection.send(request)
                    self.assertEqual(connection.read_header()[1], 100)
        storage = self.to_storage()
        storage.send(frame(fastdfs.DOWNLOAD, fastdfs.download_body(MISSING)))
        self.assertEqual(storage.recv_exact(10), bytes.fromhex("00000000000000006402"))

    def test_04_active_test_a_thousand_times(self):
        for node in self.both:
            with self.subTest(node.role), self.cluster.to(node) as connection:
                for _ in range(1000):
                    connection.send(ACTIVE_REQUEST)
                    self.assertEqual(connection.recv_exact(10), ACTIVE_REPLY)

    def test_05_active_test_with_a_body(self):
        for node in self.both:
            with self.subTest(node.role), self.cluster.to(node) as connection:
                self.assert_status(connection.request(fastdfs.ACTIVE_TEST, b"x"), 22)

    def test_06_quit(self):
        for node in self.both:
            with self.subTest(node.role), self.cluster.to(node) as connection:
                self.assertTrue(connection.alive())
                connection.send(frame(fastdfs.QUIT))
                self.assertTrue(connection.ended(), "QUIT did not end the connection")

    def test_07_back_to_back_requests_in_order(self):
        tracker = self.to_tracker()
        tracker.send(frame(fastdfs.QUERY_STORE) + ACTIVE_REQUEST
                     + frame(fastdfs.QUERY_STORE_GROUP, text("nosuch", 16))
                     + frame(fastdfs.LIST_ALL_GROUPS))
        replies = [tracker.read_reply() for _ in range(4)]
        self.assertEqual([(r.status, len(r.body)) for r in replies],
                         [(0, 40), (0, 0), (2, 0), (0, 113)])
        storage = self.to_storage()
        uploads = [fastdfs.content(100 * i, i) for i in range(8)]
        storage.send(b"".join(frame(fastdfs.UPLOAD, fastdfs.upload_body(x)) for x in uploads))
        ids = [fastdfs.read_id(storage.read_reply().body) for _ in uploads]
        storage.send(b"".join(frame(fastdfs.DOWNLOAD, fastdfs.download_body(x)) for x in ids))
        self.assertEqual([storage.read_reply().body for _ in ids], uploads)

    def test_08_negative_body_length(self):
        for length in (-1, -(1 << 63), -4096):
            for node in self.both:
                with self.subTest(node.role), self.cluster.to(node) as connection:
                    for command in (fastdfs.ACTIVE_TEST, fastdfs.UPLOAD, fastdfs.QUERY_FETCH_ONE):
                        with self.cluster.to(node) as other:
                            other.send(fastdfs.HEADER.pack(length, command, 0))
                            self.assertTrue(other.ended(), f"command {command} length {length}")
                    self.assertTrue(connection.alive())
                    self.assertTrue(alive(node.pid))

    def test_09_huge_body_length(self):
        for length in (1 << 62, (1 << 63) - 1, 1 << 40):
            for node in self.both:
                with self.subTest(node.role), self.cluster.to(node) as connection:
                    before = resident_kib(node.pid)
                    for command in (fastdfs.QUERY_STORE, fastdfs.QUERY_FETCH_ONE, fastdfs.DOWNLOAD,
                                    fastdfs.SET_METADATA, fastdfs.ACTIVE_TEST):
                        with self.cluster.to(node) as other:
                            other.send(fastdfs.HEADER.pack(length, command, 0) + bytes(100))
                            self.assert_refused(other)
                    self.assertTrue(connection.alive())
                    self.assertLess(resident_kib(node.pid) - before, 16 * 1024)

    def assert_refused(self, connection):
        """Status 22 and the end, or just the end."""
        try:
            length, command, status = connection.read_header()
        except ConnectionClosed as closed:
            self.assertEqual(closed.received, b"")
            return
        self.assertEqual((length, command, status), (0, 100, 22))
        self.assertTrue(connection.ended())

    def test_10_unknown_command(self):
        used = {name: value for name, value in vars(fastdfs).items()
                if name.isupper() and isinstance(value, int)}
        for command in (0, 1, 99, 110, 120, 159, 255):
            self.assertNotIn(command, used.values())
            with self.subTest(command=command):
                tracker = self.cluster.to(self.cluster.tracker)
                self.assert_status(tracker.request(command), 22)
                self.assertTrue(tracker.alive(), "the tracker must keep the connection")
                self.assert_status(tracker.request(command, b"some body"), 22)
                self.assertTrue(tracker.alive())
                tracker.close()
                storage = self.cluster.to(self.cluster.storage)
                self.assert_status(storage.request(command), 22)
                self.assertTrue(storage.ended(), "the storage must close the connection")
                storage.close()

    def failing_requests(self):
        """role, command, body, status: every command of each server in a way that fails."""
        group = text("group1", 16)
        yield from (("tracker", *case) for case in (
            (fastdfs.QUERY_STORE, b"x", 22),
            (fastdfs.QUERY_STORE_ALL, b"x", 22),
            (fastdfs.QUERY_STORE_GROUP, text("nosuch", 16), 2),
            (fastdfs.QUERY_STORE_GROUP, b"group1", 22),
            (fastdfs.QUERY_STORE_GROUP_ALL, text("nosuch", 16), 2),
            (fastdfs.QUERY_STORE_GROUP_ALL, group + b"x", 22),
            (fastdfs.QUERY_FETCH_ONE, group + b"M00/00/00/short", 22),
            (fastdfs.QUERY_UPDATE, group + b"M" * 128, 22),
            (fastdfs.QUERY_FETCH_ALL, fastdfs.named(MISSING.replace("group1", "nosuch")), 2),
            (fastdfs.LIST_ONE_GROUP, text("nosuch", 16), 2),
            (fastdfs.LIST_ONE_GROUP, b"", 22),
            (fastdfs.LIST_ALL_GROUPS, b"x", 22),
            (fastdfs.LIST_STORAGES, text("nosuch", 16), 2),
            (fastdfs.LIST_STORAGES, b"x", 22),
            (fastdfs.DELETE_STORAGE, group + b"999", 2),
            (fastdfs.DELETE_STORAGE, group, 22),
            (fastdfs.DELETE_GROUP, text("nosuch", 16), 2),
            (fastdfs.SET_TRUNK_SERVER, group, 95),
            (fastdfs.FETCH_STORAGE_IDS, b"xxx", 22),
            (fastdfs.GET_PARAMETERS, b"x", 22),
            (fastdfs.GET_STORAGE_ID, text("nosuch", 16) + b"127.0.0.1", 2)))
        yield from (("storage", *case) for case in (
            (fastdfs.UPLOAD, b"", 22),
            (fastdfs.UPLOAD, fastdfs.upload_body(b"x", path=77), 22),
            (fastdfs.UPLOAD_APPENDER, fastdfs.upload_body(b"x", ext="a/b"), 22),
            (fastdfs.UPLOAD_SLAVE, fastdfs.slave_body(MISSING, "_s", b"x"), 2),
            (fastdfs.APPEND, fastdfs.append_body(MISSING, b"x"), 22),
            (fastdfs.MODIFY, fastdfs.modify_body(MISSING, 0, b"x"), 22),
            (fastdfs.TRUNCATE, fastdfs.truncate_body(MISSING, 0), 22),
            (fastdfs.REGENERATE, fastdfs.split_id(MISSING)[1].encode(), 22),
            (fastdfs.DELETE, fastdfs.named(MISSING), 2),
            (fastdfs.DELETE, fastdfs.named(MISSING.replace("group1", "group2")), 22),
            (fastdfs.DOWNLOAD, fastdfs.download_body(MISSING), 2),
            (fastdfs.DOWNLOAD, fastdfs.download_body(MISSING, offset=-1), 22),
            (fastdfs.SET_METADATA, fastdfs.metadata_body(MISSING, b"a\2b"), 2),
            (fastdfs.SET_METADATA, fastdfs.metadata_body(MISSING, b"a\2b", b"?"), 22),
            (fastdfs.GET_METADATA, fastdfs.named(MISSING), 2),
            (fastdfs.QUERY_FILE_INFO, fastdfs.named(MISSING), 2),
            (fastdfs.QUERY_FILE_INFO, b"group1", 22),
            (fastdfs.CREATE_LINK, b"", 22)))

    def test_11_failures_leave_no_stray_bytes(self):
        # APPEND and its like on a name without the appender bit: 22 (normal type) or 2 (missing)
        # are both right, whichever is looked at first.
        either = {fastdfs.APPEND, fastdfs.MODIFY, fastdfs.TRUNCATE, fastdfs.REGENERATE}
        for role, command, body, status in self.failing_requests():
            with self.subTest(role, command=command, body=body[:24]):
                node = self.cluster.tracker if role == "tracker" else self.cluster.storage
                with self.cluster.to(node) as connection:
                    reply = connection.request(command, body)
                    self.assertEqual(reply.body, b"")
                    wanted = {status, 2} if command in either else {status}
                    self.assertIn(reply.status, wanted)
                    # Then a working connection or a closed one; stray bytes would make alive()
                    # or ended() fail.
                    if not connection.alive():
                        self.assertTrue(connection.ended())

    def test_13_ten_thousand_idle_connections(self):
        count = 10_000
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < count + 200:
            self.fail(f"the limit of open files ({hard}) is too low for this test")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 200), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for node in self.both:
            with self.subTest(node.role):
                before = resident_kib(node.pid)
                connections = []
                try:
                    for index in range(count):
                        # Distinct sources: one alone has some 28,000 ports.
                        source = f"127.0.0.{1 + index % 4}"
                        connections.append(self.cluster.to(node, source=source))
                    for connection in connections:
                        connection.send(ACTIVE_REQUEST)
                    for connection in connections:
                        self.assertEqual(connection.recv_exact(10), ACTIVE_REPLY)
                    extra = resident_kib(node.pid) - before
                    self.assertLess(extra, 64 * 1024, "KiB for 10,000 idle connections")
                finally:
                    for connection in connections:
                        connection.close()
                with self.cluster.to(node) as connection:
                    self.assertTrue(connection.alive())


class IdleTest(ClusterTest):
    """Point 12, with a network timeout that is short, but longer than a disk stands still."""

    TIMEOUT = 2

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster.reconfigure(cls.cluster.tracker, network_timeout=cls.TIMEOUT)
        cls.cluster.reconfigure(cls.cluster.storage, network_timeout=cls.TIMEOUT)
        cls.cluster.wait_active()

    def both(self):
        return (self.cluster.tracker, self.cluster.storage)

    def test_12_idle_after_a_request_survives(self):
        connections = [self.cluster.to(node) for node in self.both()]
        for connection in connections:
            self.addCleanup(connection.close)
            self.assertTrue(connection.alive())
        sockets = [connection.socket for connection in connections]
        readable, _, _ = select.select(sockets, [], [], 10 * self.TIMEOUT + 1)
        self.assertEqual(readable, [], "an idle connection was closed")
        for connection in connections:
            self.assertTrue(connection.alive())

    def dropped(self, node, data):
        with self.cluster.to(node) as connection:
            begin = time.monotonic()
            connection.send(data)
            self.assertTrue(connection.ended(self.TIMEOUT + 10), "half a request was kept")
            return time.monotonic() - begin

    def test_12_half_a_request_is_dropped(self):
        halves = {"tracker": (ACTIVE_REQUEST[:5], frame(fastdfs.QUERY_FETCH_ONE, bytes(60))[:30]),
                  "storage": (ACTIVE_REQUEST[:5], frame(fastdfs.GET_METADATA, bytes(60))[:30],
                              frame(fastdfs.UPLOAD, fastdfs.upload_body(bytes(1000)))[:500],
                              frame(fastdfs.UPLOAD, fastdfs.upload_body(bytes(1000)))[:20])}
        for node in self.both():
            for data in halves[node.role]:
                with self.subTest(node.role, size=len(data)):
                    self.assertGreater(self.dropped(node, data), 0.5 * self.TIMEOUT)

    def test_12_no_first_request_is_dropped(self):
        for node in self.both():
            with self.subTest(node.role):
                self.dropped(node, b"")

    def test_12_a_slow_upload_that_moves_is_kept(self):
        """Three times as long as the timeout, but never silent for that long. (A message of some
        kilobytes must come within the timeout as a whole.)"""
        content = fastdfs.content(2_000_000)
        data = frame(fastdfs.UPLOAD, fastdfs.upload_body(content))
        pieces = [data[offset:offset + 200_000] for offset in range(0, len(data), 200_000)]
        with self.cluster.to(self.cluster.storage) as storage:
            for piece in pieces[:-1]:
                storage.send(piece)
                # Not to sleep: nothing may come yet.
                readable, _, _ = select.select([storage.socket], [], [], 0.3 * self.TIMEOUT)
                self.assertEqual(readable, [], "cut or answered before the end")
            storage.send(pieces[-1])
            file_id = fastdfs.read_id(storage.read_reply().body)
        self.assertEqual(self.cluster.download(file_id), content)


class AllowHostsTest(ClusterTest):
    """Point 14: only 127.0.0.1 and the cluster's own addresses may speak the protocol."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        nodes = cls.cluster.trackers + cls.cluster.storages
        cls.allowed = ["127.0.0.1"] + [node.addr for node in nodes]
        cls.cluster.reconfigure(cls.cluster.tracker, allow_hosts=cls.allowed)
        cls.cluster.reconfigure(cls.cluster.storage, allow_hosts=cls.allowed)
        cls.cluster.wait_active()

    def test_14_stranger_is_closed(self):
        for node in (self.cluster.tracker, self.cluster.storage):
            with self.subTest(node.role):
                with self.cluster.to(node, source="127.0.0.1") as friend:
                    self.assertTrue(friend.alive())
                with self.cluster.to(node, source="127.3.3.3") as stranger:
                    begin = time.monotonic()
                    try:
                        stranger.send(ACTIVE_REQUEST)
                    except (BrokenPipeError, ConnectionResetError):
                        pass
                    self.assertTrue(stranger.ended())
                    self.assertLess(time.monotonic() - begin, 2.0)

    def test_14_stranger_writes_nothing(self):
        def files():
            with self.cluster.to(self.cluster.tracker, source="127.0.0.1") as tracker:
                raw = tracker.call(fastdfs.LIST_STORAGES, text("group1", 16))
            return fastdfs.read_storage(raw)["upload_total"]

        before = files()
        with self.cluster.to(self.cluster.storage, source="127.3.3.3") as stranger:
            try:
                stranger.send(frame(fastdfs.UPLOAD, fastdfs.upload_body(b"hello\n", "txt")))
            except (BrokenPipeError, ConnectionResetError):
                pass
            self.assertTrue(stranger.ended())
        file_id = self.cluster.upload(b"a friend's file")
        self.assertEqual(self.cluster.download(file_id), b"a friend's file")
        wait_until("the friend's upload in the counters", lambda: files() > before)
        self.assertEqual(files(), before + 1)


if __name__ == "__main__":
    unittest.main()
