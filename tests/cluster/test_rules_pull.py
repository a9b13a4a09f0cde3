"""Answered while storing: what a pull from a slow old server gives to clients before it is stored,
and what becomes of them when it fails half way."""

import base64
import hashlib
import http.client
import http.server
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import cluster as clusters
import workload
from fastdfs import wait_until

HOST = "img.test"
DATE = "Sun, 13 Mar 2011 07:06:40 GMT"
KIB = 1024


class Object:
    """What the old server has under one path: it sends `content` up to `stop`, waits for `go`, and
    sends the rest, or with `cut` ends the connection."""

    def __init__(self, content, stop=None, cut=False, length=True, headers=()):
        self.content, self.cut, self.length, self.headers = content, cut, length, dict(headers)
        self.stop = len(content) if stop is None else stop
        self.go = threading.Event()
        if stop is None:
            self.go.set()
        self.asked = 0


class SlowServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        self.objects = {}
        super().__init__(("127.0.0.1", 0), SlowHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class SlowHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        one = self.server.objects.get(self.path)
        if one is None:
            self.send_error(404)
            return
        one.asked += 1
        self.close_connection = True
        self.send_response(200)
        self.send_header("Last-Modified", DATE)
        self.send_header("Connection", "close")
        if one.length:
            self.send_header("Content-Length", str(len(one.content)))
        for name, value in one.headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(one.content[:one.stop])
            self.wfile.flush()
            one.go.wait(60)
            if one.cut:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.wfile.write(one.content[one.stop:])
        except OSError:
            pass

    def log_message(self, *args):
        pass


class Pulls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="cairn-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        cls.cluster = clusters.Cluster(root=str(cls.root / "cluster"))
        cls.addClassCleanup(cls.cluster.down)
        cls.cluster.start()
        cls.cluster.wait_active()
        cls.node = cls.cluster.storage
        cls.old = SlowServer()
        cls.addClassCleanup(cls.old.server_close)
        cls.addClassCleanup(cls.old.shutdown)
        rules = cls.root / "t.rules"
        rules.write_text(
            f"rules t {{ host {HOST};\n"
            f"origin web {{ type http; server 127.0.0.1:{cls.old.server_port}; timeout 30s;\n"
            "             inflight 8; not_found_ttl 60s; verify on; }\n"
            "location /t/ { token fastdfs key=secret; on_miss pull web; }\n"
            f"origin far {{ type http; server 127.0.0.1:{cls.old.server_port}; store off; }}\n"
            "location /through/ { token fastdfs key=secret; on_miss pull far; }\n"
            "location / { on_miss pull web; cache public max-age=60s; }\n}\n")
        subprocess.run([clusters.binary("cairn"), "--conf", cls.cluster.client_conf, "rules",
                        "load", rules], check=True, timeout=60, stdout=subprocess.DEVNULL)
        wait_until("the rules", lambda: clusters.http_get(
            cls.node.addr, cls.node.http, "/none", {"Host": HOST}).status == 404)

    def offer(self, path, size, **options):
        """An object of the old server; its pull is let go at the end of the test."""
        one = Object(workload.content_of(hash(path) % 10_000, size), **options)
        self.old.objects[path] = one
        self.addCleanup(one.go.set)
        return one

    def get(self, target, method="GET", **headers):
        headers = {key.replace("_", "-"): value for key, value in headers.items()}
        return clusters.http_get(self.node.addr, self.node.http, target,
                                 {"Host": HOST, **headers}, method)

    def begin(self, target, **headers):
        """A response whose head has come."""
        connection = http.client.HTTPConnection(self.node.addr, self.node.http, timeout=20)
        self.connection = connection
        self.addCleanup(connection.close)
        headers = {key.replace("_", "-"): value for key, value in headers.items()}
        connection.request("GET", target, headers={"Host": HOST, **headers})
        return connection.getresponse()

    def stored(self, target, content):
        """Waits until the object has a name of its own, and compares it."""
        reply = wait_until(f"{target} to be stored", lambda: (
            lambda r: r if r.status == 200 and "etag" in r.headers else None)(self.get(target)), 20)
        self.assertEqual(reply.body, content)
        return reply

    def test_bytes_come_before_the_origin_has_sent_them_all(self):
        for size in (20 * KIB, 64 * KIB, 65 * KIB, 1000 * KIB):
            with self.subTest(size=size):
                path = f"/a/{size}.jpg"
                one = self.offer(path, size, stop=size * 3 // 4)
                first = self.begin(path)
                self.assertEqual(first.status, 200)
                self.assertEqual(first.getheader("Content-Length"), str(size))
                self.assertEqual(first.getheader("Last-Modified"), DATE)
                self.assertEqual(first.getheader("Content-Type"), "image/jpeg")
                self.assertEqual(first.getheader("Cache-Control"), "public, max-age=60")
                self.assertEqual(first.getheader("X-Content-Type-Options"), "nosniff")
                half = size // 2
                self.assertEqual(first.read(half), one.content[:half])
                # Who comes meanwhile gets the same, from the beginning.
                second = self.begin(path)
                self.assertEqual(second.read(half), one.content[:half])
                self.assertFalse(one.go.is_set())
                one.go.set()
                self.assertEqual(first.read(), one.content[half:])
                self.assertEqual(second.read(), one.content[half:])
                self.stored(path, one.content)
                self.assertEqual(one.asked, 1)

    def test_a_client_that_leaves_does_not_end_the_pull(self):
        one = self.offer("/left.bin", 500 * KIB, stop=300 * KIB)
        self.assertEqual(len(self.begin("/left.bin").read(100 * KIB)), 100 * KIB)
        self.connection.close()
        one.go.set()
        self.stored("/left.bin", one.content)
        self.assertEqual(one.asked, 1)

    def test_a_pull_that_fails_half_way_is_no_short_answer(self):
        for size in (10 * KIB, 700 * KIB):
            with self.subTest(size=size):
                path = f"/cut/{size}.png"
                one = self.offer(path, size, stop=size - 1, cut=True)
                replies = [self.begin(path), self.begin(path)]
                for reply in replies:
                    self.assertEqual(reply.read(KIB), one.content[:KIB])
                one.go.set()
                for reply in replies:
                    with self.assertRaises((http.client.IncompleteRead, ConnectionError)):
                        reply.read()
                # Nothing of it was kept: it is asked for again.
                whole = self.offer(path, size)
                self.assertEqual(self.get(path).body, whole.content)
                self.assertEqual(whole.asked, 1)
                self.stored(path, whole.content)

    def test_wrong_content_is_never_whole(self):
        digest = base64.b64encode(hashlib.md5(b"other").digest()).decode()
        one = self.offer("/md5.bin", 90 * KIB, headers={"Content-MD5": digest})
        reply = self.begin("/md5.bin")
        with self.assertRaises((http.client.IncompleteRead, ConnectionError)):
            reply.read()
        one.headers["Content-MD5"] = base64.b64encode(hashlib.md5(one.content).digest()).decode()
        self.assertEqual(self.get("/md5.bin").body, one.content)

    def test_heads_ranges_and_conditions_meanwhile(self):
        size = 400 * KIB
        one = self.offer("/r.jpg", size, stop=300 * KIB)
        first = self.begin("/r.jpg")
        self.assertEqual(first.read(10), one.content[:10])
        head = self.get("/r.jpg", "HEAD")
        self.assertEqual((head.status, head.headers["content-length"]), (200, str(size)))
        part = self.get("/r.jpg", Range="bytes=200000-200099")
        self.assertEqual((part.status, part.body), (206, one.content[200_000:200_100]))
        self.assertEqual(part.headers["content-range"], f"bytes 200000-200099/{size}")
        dated = self.get("/r.jpg", Range="bytes=0-9", If_Range=DATE)
        self.assertEqual((dated.status, dated.body), (206, one.content[:10]))
        several = self.get("/r.jpg", Range="bytes=0-9,100-109")
        self.assertEqual(several.status, 206)
        self.assertIn(one.content[100:110], several.body)
        self.assertEqual(self.get("/r.jpg", Range=f"bytes={size}-").status, 416)
        self.assertEqual(self.get("/r.jpg", If_Modified_Since=DATE).status, 304)
        # What has not come yet, and what needs the tag of the stored object, waits.
        late, tagged = {}, {}
        def ask(into, **headers):
            into["reply"] = self.get("/r.jpg", **headers)
        threads = [threading.Thread(target=ask, args=(late,), kwargs={"Range": "bytes=-5"}),
                   threading.Thread(target=ask, args=(tagged,), kwargs={"If_None_Match": '"x"'})]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        self.assertEqual((late, tagged), ({}, {}))
        one.go.set()
        for thread in threads:
            thread.join(20)
        self.assertEqual((late["reply"].status, late["reply"].body), (206, one.content[-5:]))
        self.assertEqual(tagged["reply"].body, one.content)
        self.assertIn("etag", tagged["reply"].headers)
        self.assertEqual(first.read(), one.content[10:])
        self.assertEqual(one.asked, 1)

    def test_an_answer_without_a_length_is_given_when_it_is_stored(self):
        one = self.offer("/nolength.bin", 300 * KIB, stop=200 * KIB, length=False)
        threading.Timer(0.5, one.go.set).start()
        reply = self.get("/nolength.bin")
        self.assertEqual(reply.body, one.content)
        self.assertIn("etag", reply.headers)
        empty = self.offer("/empty.bin", 0)
        self.assertEqual(self.get("/empty.bin").body, empty.content)

    def test_without_a_token_nothing_is_pulled_or_passed_through(self):
        for path in ("/t/a.jpg", "/through/a.jpg"):
            one = self.offer(path, 100)
            self.assertEqual(self.get(path).status, 400)
            self.assertEqual(self.get(path + "?token=0&ts=1").status, 403)
            self.assertEqual(one.asked, 0)
            ts = int(time.time())
            token = hashlib.md5(f"{path[1:]}secret{ts}".encode()).hexdigest()
            reply = self.get(f"{path}?token={token}&ts={ts}")
            self.assertEqual((reply.status, reply.body), (200, one.content))
            self.assertRegex(reply.headers["cache-control"], "^private")

    def test_clients_that_do_not_read_cost_no_memory(self):
        size = 96 * KIB * KIB
        content = os.urandom(KIB * KIB) * 96
        one = Object(content, stop=size - 1)
        self.old.objects["/big.bin"] = one
        self.addCleanup(one.go.set)
        before = clusters.resident_kib(self.node.pid)
        lazy = [self.begin("/big.bin") for _ in range(20)]
        quick = self.begin("/big.bin")
        received = 0
        while received < size - KIB * KIB:
            received += len(quick.read(KIB * KIB))
        grown = clusters.resident_kib(self.node.pid) - before
        one.go.set()
        self.assertLess(grown, 48 * KIB, "KiB for 96 MiB and 21 clients")
        self.assertEqual(received + len(quick.read()), size)
        digest = hashlib.md5(content).hexdigest()
        self.assertEqual(hashlib.md5(lazy[0].read()).hexdigest(), digest)
        self.assertEqual(one.asked, 1)

    def test_what_cannot_be_stored_is_passed_through(self):
        node = self.cluster.reconfigure(self.node, reserved_storage_space="100%")
        type(self).node = node
        try:
            one = self.offer("/full.html", 100 * KIB, headers={"Content-Type": "text/html"})
            for _ in range(2):
                reply = self.get("/full.html")
                self.assertEqual((reply.status, reply.body), (200, one.content))
                self.assertEqual(reply.headers["cache-control"], "public, max-age=60")
                # Nor may it run in the site's origin.
                self.assertIn("sandbox", reply.headers["content-security-policy"])
                self.assertEqual(reply.headers["x-content-type-options"], "nosniff")
        finally:
            type(self).node = self.cluster.reconfigure(node, reserved_storage_space="64M")
            self.cluster.wait_active()
        self.stored("/full.html", one.content)

    def test_inflight_counts_pulls_not_clients(self):
        ones = [self.offer(f"/i/{i}.bin", 100 * KIB, stop=50 * KIB) for i in range(8)]
        begun = [self.begin(f"/i/{i}.bin") for i in range(8) for _ in range(3)]
        self.assertEqual({reply.status for reply in begun}, {200})
        self.offer("/i/more.bin", 100)
        refused = self.get("/i/more.bin")
        self.assertEqual((refused.status, refused.headers["retry-after"]), (503, "1"))
        for one in ones:
            one.go.set()
        for number, reply in enumerate(begun):
            self.assertEqual(reply.read(), ones[number // 3].content)
        wait_until("room", lambda: self.get("/i/more.bin").status == 200)

    def test_a_node_that_stops_meanwhile_stops(self):
        self.offer("/stop.bin", 500 * KIB, stop=300 * KIB)
        reply = self.begin("/stop.bin")
        self.assertEqual(len(reply.read(100 * KIB)), 100 * KIB)
        self.cluster.stop(self.node)
        log = pathlib.Path(self.cluster.root, "log").glob(f"{self.node.id}*")
        text = "".join(path.read_text(errors="replace") for path in log)
        type(self).node = self.cluster.start_node(self.node)
        self.cluster.wait_active()
        self.assertIsNone(re.search(r"assert|ERROR: |terminate", text))


if __name__ == "__main__":
    unittest.main()
