"""G9: what is too much is refused early and by the protocol's own answer, health checks go on, and
who holds a connection without moving is cut."""

import contextlib
import os
import resource
import select
import socket
import time
import unittest

import cluster as clusters
import fastdfs
from cluster import http_get, resident_kib
from fastdfs import HEADER, ConnectionClosed, frame, wait_until

BUSY = HEADER.pack(0, fastdfs.REPLY, 16)


def read_to_end(sock, seconds=10.0):
    sock.settimeout(seconds)
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while part := sock.recv(65536):
            received += part
    return received


class Overload(clusters.ClusterTest):
    shape = {"storages": 1}
    CONNECTIONS = 40
    PER_ADDRESS = 30

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        limits = {"max_connections": cls.CONNECTIONS,
                  "max_connections_per_address": cls.PER_ADDRESS, "network_timeout": 2}
        cls.cluster.reconfigure(cls.cluster.tracker, **limits)
        cls.cluster.reconfigure(cls.cluster.storage, max_request_memory="4M", **limits)
        cls.cluster.wait_active()

    def tearDown(self):
        # Whatever was tried, the same processes serve as ever.
        for node in (self.cluster.tracker, self.cluster.storage):
            self.assertTrue(clusters.alive(node.pid))
            wait_until(f"{node.id} serves", lambda n=node: self.serves(n))
        file_id = wait_until("an upload", lambda: self.cluster.upload(b"as ever", "txt"))
        self.assertEqual(self.cluster.download(file_id), b"as ever")

    def serves(self, node):
        with self.cluster.to(node) as connection:
            return connection.alive()

    def fill(self, node, port, count, source):
        """`count` connections that stay open until the test ends; refused ones are left out."""
        held = []
        for _ in range(count):
            sock = socket.create_connection((node.addr, port), 20, (source, 0))
            self.addCleanup(sock.close)
            held.append(sock)
        time.sleep(0.2)
        refused, _, _ = select.select(held, [], [], 0)
        return [sock for sock in held if sock not in refused]

    def refused_frames(self, node, source):
        """What an ACTIVE_TEST is answered."""
        with fastdfs.Connection(node.addr, node.port, source=source) as connection:
            connection.send(frame(fastdfs.ACTIVE_TEST))
            return connection.recv_exact(HEADER.size)

    def refused_http(self, node, source, target):
        with socket.create_connection((node.addr, node.http), 20, (source, 0)) as sock:
            sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            return read_to_end(sock)

    def test_connections_of_one_address(self):
        for node in (self.cluster.tracker, self.cluster.storage):
            with self.subTest(node.role):
                held = self.fill(node, node.port, self.PER_ADDRESS + 5, "127.0.9.1")
                self.assertEqual(len(held), self.PER_ADDRESS)
                self.assertEqual(self.refused_frames(node, "127.0.9.1"), BUSY)
                with self.cluster.to(node, source="127.0.9.2") as other:
                    self.assertTrue(other.alive())
                for sock in held:
                    sock.close()
                wait_until("room again", lambda n=node: (
                    self.refused_frames(n, "127.0.9.1") != BUSY))

    def test_connections_in_all(self):
        node = self.cluster.storage
        for source in ("127.0.9.1", "127.0.9.2"):
            self.fill(node, node.port, self.PER_ADDRESS, source)
        self.assertEqual(self.refused_frames(node, "127.0.9.3"), BUSY)
        refused = http_get(node.addr, node.http, "/metrics").body.decode()
        self.assertRegex(refused, r'cairn_connections_refused_total\{entry="frames"\} [1-9]')

    def test_http_says_503_and_health_checks_go_on(self):
        node = self.cluster.storage
        file_id = self.cluster.upload(b"content", "txt")
        for source in ("127.0.9.1", "127.0.9.2"):
            self.fill(node, node.http, self.PER_ADDRESS, source)
        reply = self.refused_http(node, "127.0.9.3", "/" + file_id)
        self.assertTrue(reply.startswith(b"HTTP/1.1 503 "), reply)
        self.assertIn(b"\r\nRetry-After: 1\r\n", reply)
        self.assertIn(b"\r\nConnection: close\r\n", reply)
        for _ in range(200):
            reply = self.refused_http(node, "127.0.9.3", "/healthz")
            self.assertTrue(reply.startswith(b"HTTP/1.1 200 "), reply)

    def test_health_checks_while_both_are_saturated(self):
        # Also while all places of the overload answers are held by clients that say nothing.
        node = self.cluster.storage
        for source in ("127.0.9.1", "127.0.9.2"):
            self.fill(node, node.http, self.PER_ADDRESS, source)
        silent = [socket.create_connection((node.addr, node.http), 20) for _ in range(200)]
        for sock in silent:
            self.addCleanup(sock.close)
        answered = wait_until("a health check", lambda: self.refused_http(
            node, "127.0.9.3", "/healthz").startswith(b"HTTP/1.1 200 "), 10)
        self.assertTrue(answered)

    def test_no_descriptors_left(self):
        node = self.cluster.storage
        file_id = self.cluster.upload(b"x" * 100_000, "bin")
        before = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
        with self.cluster.to(node) as inside:
            self.assertTrue(inside.alive())
            used = max(int(fd) for fd in os.listdir(f"/proc/{node.pid}/fd")) + 1
            resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (used + 4, before[1]))
            try:
                replies = set()
                held = []
                for _ in range(12):
                    sock = socket.create_connection((node.addr, node.port), 20)
                    self.addCleanup(sock.close)
                    held.append(sock)
                time.sleep(0.3)
                readable, _, _ = select.select(held, [], [], 0)
                for sock in readable:
                    replies.add(read_to_end(sock))
                self.assertEqual(replies, {BUSY})
                self.assertGreaterEqual(len(readable), 6)
                # Who is in goes on; what needs a descriptor is told to come back.
                self.assertTrue(inside.alive())
                reply = inside.request(fastdfs.UPLOAD, fastdfs.upload_body(b"y" * 5000, "bin"))
                self.assertIn(reply.status, (0, 11), "no descriptor for the file")
                for sock in held:
                    sock.close()
            finally:
                resource.prlimit(node.pid, resource.RLIMIT_NOFILE, before)
        wait_until("downloads", lambda: self.cluster.download(file_id) == b"x" * 100_000)
        status = http_get(node.addr, node.http, "/status").body.decode()
        self.assertIn('"state":"ok"', status, "no descriptors is no failure of the disk")

    def trickle(self, sock, data, seconds):
        """Sends a byte every tenth of a second until the peer closes; after how long it did."""
        begin = time.monotonic()
        for byte in data:
            if time.monotonic() - begin > seconds:
                self.fail(f"still served after {seconds} s")
            try:
                sock.sendall(bytes([byte]))
            except (BrokenPipeError, ConnectionResetError):
                break
            if select.select([sock], [], [], 0.1)[0] and read_to_end(sock) == b"":
                break
        return time.monotonic() - begin

    def test_slow_senders_are_cut(self):
        body = fastdfs.upload_body(bytes(60_000), "bin")
        large = fastdfs.upload_body(bytes(2_000_000), "bin")
        for node, data in ((self.cluster.storage, frame(fastdfs.UPLOAD, body)),
                           (self.cluster.storage, frame(fastdfs.UPLOAD, large)),
                           (self.cluster.tracker, frame(fastdfs.QUERY_FETCH_ONE, bytes(60_000)))):
            with self.subTest(node.role, size=len(data)):
                with socket.create_connection((node.addr, node.port), 20) as sock:
                    sock.sendall(data[:30])
                    self.assertGreater(self.trickle(sock, data[30:], 12), 1.5)

    def test_a_header_that_trickles_is_cut(self):
        node = self.cluster.storage
        with socket.create_connection((node.addr, node.http), 20) as sock:
            self.trickle(sock, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000, 25)

    def slow_reader(self, node, port, request):
        """Asks and takes nothing; returns when it is cut."""
        sock = socket.socket()
        self.addCleanup(sock.close)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(20)
        sock.connect((node.addr, port))
        sock.sendall(request)
        wait_until("the end of a reader that takes nothing",
                   lambda: sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[0] != 1)

    def test_slow_readers_are_cut(self):
        node = self.cluster.storage
        file_id = self.cluster.upload(bytes(30_000_000), "bin")
        self.slow_reader(node, node.port,
                         frame(fastdfs.DOWNLOAD, fastdfs.download_body(file_id)))
        self.slow_reader(node, node.http,
                         f"GET /{file_id} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    def test_memory_of_requests_is_limited(self):
        # 60 halves of 60,000 bytes fit into 4 MiB, then there is no room for a 61st, 62nd …
        node = self.cluster.storage
        self.cluster.reconfigure(node, max_connections=4000, max_connections_per_address=0,
                                 network_timeout=10)
        self.addCleanup(self.cluster.wait_active)
        self.addCleanup(lambda: self.cluster.reconfigure(
            self.cluster.storage, max_connections=self.CONNECTIONS, network_timeout=2,
            max_connections_per_address=self.PER_ADDRESS))
        self.cluster.wait_active()
        node = self.cluster.storage
        data = frame(fastdfs.UPLOAD, fastdfs.upload_body(bytes(60_000), "bin"))
        before = resident_kib(node.pid)
        held = [self.cluster.to(node) for _ in range(1000)]
        for connection in held:
            self.addCleanup(connection.close)
            connection.send(data[:30_000])
        time.sleep(0.5)
        self.assertLess(resident_kib(node.pid) - before, 60 * 1024)
        statuses = []
        for connection in held:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.send(data[30_000:])
            with contextlib.suppress(ConnectionClosed):
                statuses.append(connection.read_reply().status)
        self.assertEqual(set(statuses), {0, 16})
        self.assertGreater(statuses.count(0), 50)
        self.assertGreater(statuses.count(16), 500)


class Operations(clusters.ClusterTest):
    """Limits of their own for uploads and downloads."""

    shape = {"storages": 1}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster.reconfigure(cls.cluster.storage, max_uploads=2, max_downloads=2)
        cls.cluster.wait_active()

    def test_uploads_do_not_take_from_downloads_nor_these_from_those(self):
        node = self.cluster.storage
        file_id = self.cluster.upload(bytes(20_000_000), "bin")
        # Two uploads that stand still.
        begun = frame(fastdfs.UPLOAD, fastdfs.upload_body(bytes(2_000_000), "bin"))
        uploads = [self.to_storage() for _ in range(2)]
        for connection in uploads:
            connection.send(begun[:1_000_000])
        time.sleep(0.5)
        reply = self.to_storage().request(fastdfs.UPLOAD, fastdfs.upload_body(b"third", "txt"))
        self.assertEqual(reply.status, 16)
        self.assertEqual(len(self.cluster.download(file_id)), 20_000_000)
        for connection in uploads:
            connection.send(begun[1_000_000:])
            self.assertEqual(connection.read_reply().status, 0)
        # Two downloads that stand still, one of each protocol.
        stopped = self.to_storage()
        stopped.send(frame(fastdfs.DOWNLOAD, fastdfs.download_body(file_id)))
        other = socket.create_connection((node.addr, node.http), 20)
        self.addCleanup(other.close)
        other.sendall(f"GET /{file_id} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        time.sleep(0.5)
        reply = self.to_storage().request(fastdfs.DOWNLOAD, fastdfs.download_body(file_id))
        self.assertEqual(reply.status, 16)
        self.assertEqual(http_get(node.addr, node.http, "/" + file_id).status, 503)
        self.cluster.upload(b"fourth", "txt")


class Memory(clusters.ClusterTest):
    """What idle connections cost."""

    shape = {"storages": 1}

    def test_resident_memory_with_idle_connections(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 1 << 16), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for node in (self.cluster.tracker, self.cluster.storage):
            held = []
            try:
                for count, kib_max in ((1_000, 40 << 10), (10_000, 120 << 10)):
                    while len(held) < count:
                        connection = self.cluster.to(node, source=f"127.0.9.{1 + len(held) % 4}")
                        held.append(connection)
                        connection.send(frame(fastdfs.ACTIVE_TEST))
                    for connection in held[-(count - (1_000 if count > 1_000 else 0)):]:
                        connection.recv_exact(10)
                    resident = resident_kib(node.pid)
                    print(f"{node.role}: {count} idle connections, {resident} KiB resident")
                    self.assertLessEqual(resident, kib_max, f"{node.role} with {count}")
            finally:
                for connection in held:
                    connection.close()


if __name__ == "__main__":
    unittest.main()
