"""A fresh cluster with the default configuration, scanned from a network namespace that plays the
outside: only the documented ports are open, and nothing there uploads, deletes, joins or tells."""
import ctypes
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import unittest

import cluster as clusters
import fastdfs
import native
import signing
from cluster import http_get
from fastdfs import Connection, frame, wait_until

# Nobody's addresses (RFC 2544).
INSIDE, OUTSIDE = "198.18.78.1", "198.18.78.2"
TRACKER, TRACKER_HTTP, STORAGE, STORAGE_HTTP = 22122, 22180, 23000, 8888
CLONE_NEWNET = 0x40000000


def ip(*words, check=True):
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=check)


class OutsideTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0 or shutil.which("ip") is None:
            raise unittest.SkipTest("needs root and the program ip")
        tag = f"co{os.getpid() % 10000}"
        cls.inside, cls.outside = tag + "in", tag + "out"
        made = ip("netns", "add", cls.inside, check=False)
        if made.returncode != 0:
            raise unittest.SkipTest("no network namespaces here: " + made.stderr.strip())
        cls.addClassCleanup(ip, "netns", "del", cls.inside, check=False)
        ip("netns", "add", cls.outside)
        cls.addClassCleanup(ip, "netns", "del", cls.outside, check=False)
        ip("link", "add", "eth0", "netns", cls.inside, "type", "veth", "peer", "name", "eth0",
           "netns", cls.outside)
        for space, address in ((cls.inside, INSIDE), (cls.outside, OUTSIDE)):
            ip("-n", space, "addr", "add", address + "/24", "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")
            ip("-n", space, "link", "set", "lo", "up")
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="cairn-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        cls.secret = cls.root / "cluster.secret"
        cls.secret.write_text(secrets.token_hex(32) + "\n")
        cls.secret.chmod(0o600)
        cls.store = cls.root / "store"
        cls.store.mkdir()
        # Nothing but what has no default.
        cls.start("cairn-tracker", [])
        cls.start("cairn-storage", ["group_name = group1", f"store_path0 = {cls.store}",
                                    f"tracker_server = {INSIDE}:{TRACKER}",
                                    "reserved_storage_space = 1M"])
        cls.within(cls.inside, lambda: wait_until("an active node", cls.is_active, 60))
        cls.file_id = cls.within(cls.inside, lambda: cls.upload(b"public"))

    @classmethod
    def start(cls, program, lines):
        base = cls.root / program
        base.mkdir()
        conf = cls.root / (program + ".conf")
        conf.write_text("\n".join([*lines, f"base_path = {base}",
                                   f"cluster_secret_file = {cls.secret}"]) + "\n")
        with open(cls.root / (program + ".log"), "wb") as log:
            process = subprocess.Popen(
                ["ip", "netns", "exec", cls.inside, clusters.binary(program), conf],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def stop():
            process.terminate()
            process.wait(40)
        cls.addClassCleanup(stop)

    @staticmethod
    def within(space, work):
        """Runs `work` on a thread whose sockets are made in that namespace; its result."""
        result = []

        def enter():
            libc = ctypes.CDLL(None, use_errno=True)
            with open("/var/run/netns/" + space, "rb") as file:
                if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
                    result.append(OSError(ctypes.get_errno(), "setns"))
                    return
            try:
                result.append(work())
            except BaseException as error:  # told to the test's own thread
                result.append(error)
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if isinstance(result[0], BaseException):
            raise result[0]
        return result[0]

    @staticmethod
    def is_active():
        try:
            with Connection("127.0.0.1", TRACKER) as tracker:
                groups = tracker.call(fastdfs.LIST_ALL_GROUPS)
        except OSError:
            return False
        return len(groups) > 0 and fastdfs.read_group(groups[:113])["readable_count"] == 1

    @staticmethod
    def upload(content):
        with Connection("127.0.0.1", STORAGE) as storage:
            return fastdfs.read_id(storage.call(fastdfs.UPLOAD, fastdfs.upload_body(content)))

    def out(self, work):
        return self.within(self.outside, work)

    def files(self):
        return sorted(str(path) for path in self.store.rglob("*") if path.is_file())

    def test_only_the_documented_ports_are_open(self):
        def scan():
            found = []
            for port in range(1, 65536):
                with socket.socket() as probe:
                    probe.settimeout(2)
                    if probe.connect_ex((INSIDE, port)) == 0:
                        found.append(port)
            return found
        self.assertEqual(self.out(scan), [STORAGE_HTTP, TRACKER, TRACKER_HTTP, STORAGE])

    def test_no_command_of_either_protocol(self):
        before = self.files()

        def attack():
            for port in (TRACKER, STORAGE):
                for command in [*range(0, 160), *range(161, 256)]:
                    for body in (b"", bytes(64)):
                        with Connection(INSIDE, port) as connection:
                            connection.send(frame(command, body))
                            self.assertTrue(connection.ended(), f"{port} serves {command}")
            with Connection(INSIDE, STORAGE) as storage:
                storage.send(frame(fastdfs.UPLOAD, fastdfs.upload_body(b"mine")))
                self.assertTrue(storage.ended())
            with Connection(INSIDE, STORAGE) as storage:
                storage.send(frame(fastdfs.DELETE, fastdfs.named(self.file_id)))
                self.assertTrue(storage.ended())
        self.out(attack)
        self.assertEqual(self.files(), before)

    def test_no_join_and_no_proof(self):
        def attack():
            for port in (TRACKER, STORAGE):
                for role in (native.STORAGE, native.TRACKER, native.ADMINISTRATOR):
                    for secret in (b"", b"0" * 64, secrets.token_hex(32).encode()):
                        with Connection(INSIDE, port) as connection:
                            with self.assertRaises((PermissionError, fastdfs.ConnectionClosed)):
                                native.introduce(connection, secret, role=role)
                with Connection(INSIDE, port) as connection:
                    hello, nonce = native.challenge(connection)  # a random number, nothing else
                    connection.send(frame(native.JOIN, bytes(64)))
                    try:
                        self.assertNotEqual(connection.read_reply().status, 0)
                    except fastdfs.ConnectionClosed:
                        pass
        self.out(attack)
        self.assertTrue(self.within(self.inside, self.is_active))

    def test_http_reads_and_nothing_else(self):
        before = self.files()
        key = ("CK" + "A" * 18, "x" * 43)

        def attack():
            get = http_get(INSIDE, STORAGE_HTTP, "/" + self.file_id)
            self.assertEqual((get.status, get.body), (200, b"public"))
            self.assertNotIn("set-cookie", get.headers)
            for target in ("/group1/a.jpg", "/group1", "/" + self.file_id, "/", "/M00/a"):
                for method in ("PUT", "POST", "DELETE", "PATCH", "MKCOL", "MOVE"):
                    for signed in (target, signing.sign(method, target, *key)):
                        reply = http_get(INSIDE, STORAGE_HTTP, signed, method=method, body=b"mine")
                        self.assertIn(reply.status, (400, 401, 403, 404, 405, 501),
                                      (method, target))
                    reply = http_get(INSIDE, TRACKER_HTTP, target, method=method, body=b"mine")
                    self.assertGreaterEqual(reply.status, 400)
            for port in (STORAGE_HTTP, TRACKER_HTTP):
                for page in ("/metrics", "/status", "/"):
                    reply = http_get(INSIDE, port, page)
                    self.assertGreaterEqual(reply.status, 400, (port, page))
                    self.assertNotIn(b"group1", reply.body)
                    # Nor by saying that one comes from inside.
                    reply = http_get(INSIDE, port, page, {"X-Forwarded-For": "127.0.0.1"})
                    self.assertGreaterEqual(reply.status, 400, (port, page))
        self.out(attack)
        self.assertEqual(self.files(), before)


if __name__ == "__main__":
    unittest.main()
