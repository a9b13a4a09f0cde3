"""Uploads, deletes and signatures over HTTP: what the documentation says works, everything else is
refused. Real nodes, real sockets."""
import base64
import hashlib
import http.client
import json
import os
import re
import socket
import subprocess
import time
import unittest
import urllib.request
import zlib

import cluster as clusters
import signing
from cluster import http_get
from fastdfs import wait_until

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class HttpTest(clusters.ClusterTest):
    shape = {"storages": 1}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.node = cls.cluster.storage
        cls.key = cls.make_key("--rights", "all")

    @classmethod
    def make_key(cls, *options):
        """(ID, secret), once the storage node knows it."""
        made = clusters.run_cairn("--conf", cls.cluster.client_conf, "key", "add", *options)
        key = tuple(made.stdout.split()[:2])
        cls.wait_known(key)
        return key

    @classmethod
    def wait_known(cls, key, known=True):
        """Until a signature under `key` is (not) refused as unknown."""
        def seen():
            reply = http_get(cls.node.addr, cls.node.http,
                             signing.sign("GET", "/group1/M00/00/00/none.jpg", *key))
            return (b"does not match" in reply.body) != known
        wait_until("the key at the node", seen, 10)

    def send(self, method, target, body=None, key=None, signed=True, headers=None):
        if signed:
            target = signing.sign(method, target, *(key or self.key))
        return http_get(self.node.addr, self.node.http, target, headers, method, body)

    def store(self, content, name="a.bin", **options):
        reply = self.send("PUT", "/group1/" + name, content, **options)
        self.assertEqual(reply.status, 201, reply)
        return json.loads(reply.body)

    def raw(self, data, seconds=5.0):
        """Everything the node answers to raw bytes until it closes or is silent."""
        with socket.create_connection((self.node.addr, self.node.http), timeout=seconds) as peer:
            peer.sendall(data)
            got = b""
            try:
                while piece := peer.recv(65536):
                    got += piece
            except (TimeoutError, ConnectionResetError):
                pass
            return got


class UploadTest(HttpTest):
    def test_put_and_get_and_delete(self):
        for size in (0, 1, 1000, 65536, 262144, 262145, 3_000_000):
            content = os.urandom(size)
            made = self.store(content, "photo.jpg")
            self.assertEqual(made["size"], size)
            self.assertEqual(made["crc32"], f"{zlib.crc32(content):08x}")
            self.assertTrue(made["id"].startswith("group1/M00/"))
            self.assertTrue(made["id"].endswith(".jpg"))
            self.assertEqual(self.cluster.download(made["id"]), content)
            got = http_get(self.node.addr, self.node.http, "/" + made["id"])
            self.assertEqual((got.status, got.body), (200, content))
            self.assertEqual(self.send("DELETE", "/" + made["id"]).status, 204)
            self.assertEqual(http_get(self.node.addr, self.node.http, "/" + made["id"]).status, 404)
            self.assertEqual(self.send("DELETE", "/" + made["id"]).status, 404)

    def test_chunked(self):
        content = os.urandom(700_000)
        target = signing.sign("PUT", "/group1/a.bin", *self.key)
        connection = http.client.HTTPConnection(self.node.addr, self.node.http, timeout=20)
        self.addCleanup(connection.close)
        for _ in range(2):  # and the connection stays
            pieces = (content[i:i + 70_000] for i in range(0, len(content), 70_000))
            connection.request("PUT", target, body=pieces, encode_chunked=True,
                               headers={"Transfer-Encoding": "chunked"})
            reply = connection.getresponse()
            self.assertEqual(reply.status, 201)
            self.assertEqual(self.cluster.download(json.loads(reply.read())["id"]), content)

    def test_a_form(self):
        content = os.urandom(100_000)
        body = (b'--xx\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
                b'--xx\r\nContent-Disposition: form-data; name="f"; filename="C:\\\\a.png"\r\n'
                b"Content-Type: image/png\r\n\r\n" + content + b"\r\n--xx--\r\n")
        headers = {"Content-Type": "multipart/form-data; boundary=xx"}
        reply = self.send("POST", "/group1", body, headers=headers)
        self.assertEqual(reply.status, 201, reply)
        made = json.loads(reply.body)
        self.assertTrue(made["id"].endswith(".png"))
        self.assertEqual(self.cluster.download(made["id"]), content)
        for bad in (body[:-8], body.replace(b"filename", b"filenome"), b"--xx--\r\n", b"x",
                    body[:-8] + body[body.index(b"--xx", 4):]):
            reply = self.send("POST", "/group1", bad, headers=headers)
            self.assertEqual(reply.status, 400, reply)

    def test_checksums(self):
        content = os.urandom(50_000)
        md5, sha = hashlib.md5(content), hashlib.sha256(content)
        encode = lambda digest: base64.b64encode(digest.digest()).decode()
        good = [{"Content-MD5": encode(md5)}, {"Digest": "SHA-256=" + encode(sha)},
                {"Digest": "md5=" + encode(md5) + ",sha-256=" + encode(sha)},
                {"Content-Digest": "sha-256=:" + encode(sha) + ":"}, {"Digest": "unixsum=12"}]
        for headers in good:
            self.store(content, headers=headers)
        made = self.store(content, headers={"Want-Digest": "sha-256, md5"})
        self.assertEqual((made["sha256"], made["md5"]), (sha.hexdigest(), md5.hexdigest()))
        other = encode(hashlib.md5(b"other"))
        for headers, status in (({"Content-MD5": other}, 422), ({"Content-MD5": "x"}, 400),
                                ({"Digest": "md5=" + encode(md5) + ",sha-256=" +
                                  encode(hashlib.sha256(b"x"))}, 422)):
            reply = self.send("PUT", "/group1/a.bin", content, headers=headers)
            self.assertEqual(reply.status, status, reply)

    def test_metadata(self):
        made = self.store(b"x", headers={"X-Cairn-Meta-Owner": "alice", "X-Cairn-Meta-w": "640"})
        head = http_get(self.node.addr, self.node.http, "/" + made["id"], method="HEAD")
        self.assertEqual(head.headers["x-cairn-meta-owner"], "alice")
        self.assertEqual(head.headers["x-cairn-meta-w"], "640")
        reply = self.send("PUT", "/group1/a", b"x", headers={"X-Cairn-Meta-a": "v" * 257})
        self.assertEqual(reply.status, 400)

    def test_expect(self):
        target = signing.sign("PUT", "/group1/a.bin", *self.key)
        with socket.create_connection((self.node.addr, self.node.http), timeout=10) as peer:
            peer.sendall(f"PUT {target} HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n"
                         "Expect: 100-continue\r\n\r\n".encode())
            self.assertEqual(peer.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
            peer.sendall(b"abc")
            self.assertTrue(peer.recv(4096).startswith(b"HTTP/1.1 201 "))
        # Who may not is told before he sends.
        got = self.raw(b"PUT /group1/a.bin HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n"
                       b"Expect: 100-continue\r\n\r\n")
        self.assertTrue(got.startswith(b"HTTP/1.1 401 "), got)

    def test_too_large_is_refused_early(self):
        target = signing.sign("PUT", "/group1/a.bin", *self.key)
        got = self.raw(f"PUT {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {1 << 40}\r\n"
                       "\r\n".encode())
        self.assertTrue(got.startswith(b"HTTP/1.1 413 "), got)
        for length in (-1, "1x", 1 << 64, "0x10", "+3"):
            got = self.raw(f"PUT {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n"
                           "\r\nabc".encode())
            self.assertRegex(got, rb"^HTTP/1.1 4\d\d ")

    def test_python_requests_and_curl(self):
        url = f"http://{self.node.addr}:{self.node.http}"
        content = os.urandom(10_000)
        request = urllib.request.Request(url + signing.sign("PUT", "/group1/a.gif", *self.key),
                                         data=content, method="PUT")
        with DIRECT.open(request) as reply:
            made = json.load(reply)
        self.assertEqual(self.cluster.download(made["id"]), content)
        header = signing.authorization("POST", "/group1/a.gif", *self.key)
        done = subprocess.run(
            ["curl", "-sS", "--noproxy", "*", "-H", "Authorization: " + header, "-H",
             "Content-Type: image/gif", "--data-binary", "@-", url + "/group1/a.gif"],
            input=content, capture_output=True, check=True)
        self.assertEqual(self.cluster.download(json.loads(done.stdout)["id"]), content)

    def test_paths(self):
        for path in ("/group1/../x", "/group1/%2e%2e/x", "/group1/a/b", "/group1/M00/00/00/x.jpg",
                     "/M00/00/00/aaaa.jpg", "/group2/a", "/group1%2Fa", "/group1/a%00b", "/", "/..",
                     "/group12"):
            for method in ("PUT", "POST", "DELETE"):
                reply = self.send(method, path, b"x" if method != "DELETE" else None)
                self.assertIn(reply.status, (400, 403, 404, 405), (method, path, reply))

    def test_an_upload_that_breaks_off_leaves_nothing(self):
        def files():
            return sum(len(names) for _, _, names in os.walk(self.node.store_paths[0]))
        before = files()
        target = signing.sign("PUT", "/group1/a.bin", *self.key)
        with socket.create_connection((self.node.addr, self.node.http)) as peer:
            peer.sendall(f"PUT {target} HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n"
                         "\r\n".encode() + bytes(4_000_000))
        time.sleep(0.5)
        self.assertEqual(files(), before)


class SignatureTest(HttpTest):
    def setUp(self):
        self.made = self.store(b"content")
        self.target = "/" + self.made["id"]

    def get(self, target, method="GET"):
        return http_get(self.node.addr, self.node.http, target, method=method)

    def test_good_ones(self):
        signed = signing.sign("GET", self.target, *self.key)
        self.assertEqual(self.get(signed).body, b"content")
        self.assertEqual(self.get(signed, "HEAD").status, 200)
        named = signing.sign("GET", self.target + "?attname=b%20c.txt", *self.key)
        self.assertEqual(self.get(named).status, 200)
        done = clusters.run_cairn("sign", "--key", self.key_file(), self.made["id"])
        self.assertEqual(self.get(done.stdout.strip()).body, b"content")

    def key_file(self):
        path = os.path.join(self.cluster.root, "conf", "test.key")
        if not os.path.exists(path):
            with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
                file.write(" ".join(self.key) + "\n")
        return path

    def refused(self, target, *words, method="GET", status=403):
        reply = self.get(target, method)
        self.assertEqual(reply.status, status, (target, reply))
        for word in words:
            self.assertIn(word, reply.body.decode())

    def test_every_altered_bit(self):
        path, _, query = signing.sign("GET", self.target, *self.key).partition("?")
        head, _, signature = query.rpartition("cairn-signature=")
        mac = bytearray(base64.urlsafe_b64decode(signature + "="))
        for bit in range(0, 256, 5):
            mac[bit // 8] ^= 1 << bit % 8
            altered = base64.urlsafe_b64encode(mac).decode().rstrip("=")
            self.refused(f"{path}?{head}cairn-signature={altered}", "does not match")
            mac[bit // 8] ^= 1 << bit % 8
        for size in range(0, 43, 7):
            self.refused(f"{path}?{head}cairn-signature={signature[:size]}",
                         status=403 if size else 400)

    def test_late_other_object_other_method_other_key(self):
        now = int(time.time())
        self.refused(signing.sign("GET", self.target, *self.key, expires=now - 60), "expired")
        self.refused(signing.sign("GET", self.target, *self.key, expires=now + 400 * 86400),
                     "too late")
        other = self.store(b"other")
        query = signing.sign("GET", self.target, *self.key).partition("?")[2]
        self.refused(f"/{other['id']}?{query}", "does not match")
        self.refused(signing.sign("PUT", self.target, *self.key), "does not match")
        self.refused(signing.sign("DELETE", self.target, *self.key), "does not match")
        reply = http_get(self.node.addr, self.node.http, signing.sign("GET", self.target, *self.key),
                         method="DELETE")
        self.assertEqual(reply.status, 403)
        self.refused(signing.sign("GET", self.target, self.key[0], "x" * 43), "does not match")
        self.refused(signing.sign("GET", self.target, "CKNOBODY", "x" * 43), "does not match")
        longer = signing.sign("GET", self.target, *self.key).replace("expires=1", "expires=2")
        self.refused(longer)
        self.refused(signing.sign("GET", self.target, *self.key) + "&attname=evil.html",
                     "does not match")
        self.refused(signing.sign("GET", self.target, *self.key) + "&cairn-key=x", status=400)
        self.assertEqual(self.get(self.target).body, b"content")

    def test_signed_headers_must_come_as_signed(self):
        signed = signing.sign("PUT", "/group1/a.png", *self.key,
                              headers=(("content-type", "image/png"), ("content-md5", "")))
        send = lambda kind: http_get(self.node.addr, self.node.http, signed,
                                     {"Content-Type": kind}, "PUT", b"x").status
        self.assertEqual(send("image/png"), 201)
        self.assertEqual(send("text/html"), 403)

    def test_rights_and_prefixes(self):
        reader = self.make_key("--rights", "read")
        elsewhere = self.make_key("--rights", "all", "--prefix", "group1/M00/FF")
        for key in (reader, elsewhere):
            self.assertEqual(self.send("PUT", "/group1/a", b"x", key=key).status, 403)
            self.assertEqual(self.send("DELETE", self.target, key=key).status, 403)
        self.assertEqual(self.send("GET", self.target, key=reader).status, 200)
        self.assertEqual(self.send("GET", self.target, key=elsewhere).status, 403)
        here = self.make_key("--rights", "delete", "--prefix", self.made["id"].rsplit("/", 1)[0])
        self.assertEqual(self.send("DELETE", self.target, key=here).status, 204)

    def test_expired_revoked_and_rotated_keys(self):
        brief = self.make_key("--rights", "all", "--expires", "2s")
        time.sleep(2.2)
        reply = self.send("PUT", "/group1/a", b"x", key=brief)
        self.assertEqual((reply.status, b"expired" in reply.body), (403, True))
        key = self.make_key("--rights", "all")
        run = lambda *args: clusters.run_cairn("--conf", self.cluster.client_conf, "key", *args)
        fresh = tuple(run("rotate", key[0], "--overlap", "4s").stdout.split()[:2])
        began = time.monotonic()
        self.wait_known(fresh)
        self.assertEqual(self.send("PUT", "/group1/a", b"x", key=key).status, 201)
        self.assertEqual(self.send("PUT", "/group1/a", b"x", key=fresh).status, 201)
        time.sleep(max(0, began + 5.5 - time.monotonic()))
        self.assertEqual(self.send("PUT", "/group1/a", b"x", key=key).status, 403)
        self.assertEqual(self.send("PUT", "/group1/a", b"x", key=fresh).status, 201)
        run("rm", fresh[0])
        self.wait_known(fresh, False)
        self.assertEqual(self.send("PUT", "/group1/a", b"x", key=fresh).status, 403)
        listed = run("ls").stdout
        self.assertNotIn(fresh[0], listed)
        self.assertNotIn(self.key[1], listed)

    def test_keys_survive_a_restart_without_trackers(self):
        self.cluster.kill(self.cluster.tracker)
        try:
            self.cluster.stop(self.node)
            process = subprocess.Popen([clusters.binary("cairn-storage"),
                                        self.cluster.conf_file(self.node)],
                                       stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                def answers():
                    try:
                        return self.get(signing.sign("GET", self.target, *self.key)).status == 200
                    except OSError:
                        return False
                wait_until("a node without trackers", answers, 20)
                self.refused(signing.sign("GET", self.target, "CKNOBODY", "x" * 43))
            finally:
                process.terminate()
                process.wait(40)
        finally:
            self.cluster.start_node(self.cluster.tracker)
            self.cluster.start_node(self.node)
            self.cluster.wait_active(1)

    def test_passwords(self):
        basic = lambda key: "Basic " + base64.b64encode(":".join(key).encode()).decode()
        send = lambda key: self.send("PUT", "/group1/a", b"x", signed=False,
                                     headers={"Authorization": basic(key)}).status
        self.assertEqual(send(self.key), 201)
        for wrong in ((self.key[0], self.key[1][:-1]), (self.key[0], ""), ("", ""), ("x", "y")):
            self.assertEqual(send(wrong), 401)

    def test_nothing_without(self):
        for method, path in (("PUT", "/group1/a"), ("POST", "/group1"), ("DELETE", self.target)):
            reply = self.send(method, path, b"x", signed=False)
            self.assertEqual(reply.status, 401)
            self.assertNotIn("set-cookie", reply.headers)
        for value in ("CAIRN1-HMAC-SHA256", "CAIRN1-HMAC-SHA256 key=a", "Bearer x",
                      "Basic !!!!", "Basic " + "A" * 5000):
            reply = self.send("PUT", "/group1/a", b"x", signed=False,
                              headers={"Authorization": value})
            self.assertIn(reply.status, (400, 401), value)

    def test_secrets_are_nowhere(self):
        texts = [self.get("/metrics").body, self.get("/status").body]
        for name in os.listdir(os.path.join(self.cluster.root, "log")):
            with open(os.path.join(self.cluster.root, "log", name), "rb") as file:
                texts.append(file.read())
        with open(f"/proc/{self.cluster.storage.pid}/cmdline", "rb") as file:
            texts.append(file.read())
        with open(os.path.join(self.cluster.root, "data", self.node.id, "data", "access_keys"),
                  "rb") as file:
            texts.append(file.read())
        with open(os.path.join(self.cluster.root, "conf", "cluster.secret"), "rb") as file:
            secret = file.read().strip()
        for text in texts:
            self.assertNotIn(self.key[1].encode(), text)
            self.assertNotIn(secret, text)


class SmugglingTest(HttpTest):
    """What a proxy and we could read differently gets 400 and the end of the connection."""

    def test_refused(self):
        target = signing.sign("PUT", "/group1/a.bin", *self.key).encode()
        start = b"PUT " + target + b" HTTP/1.1\r\nHost: h\r\n"
        second = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
        for lines in (
                b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc" + second,
                b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc" + second,
                b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second,
                b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + second,
                b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + second,
                b"Content-Length: 3\nX: y\r\n\r\nabc" + second,
                b"Content-Length : 3\r\n\r\nabc" + second,
                b"X: y\r\n Content-Length: 3\r\n\r\nabc" + second,
                b"Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n" + second,
                b"Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n" + second,
                b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n" + second,
                b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 7\r\n\r\n" + second,
                b"Host: other\r\nContent-Length: 3\r\n\r\nabc" + second):
            got = self.raw(start + lines)
            self.assertRegex(got, rb"^HTTP/1.1 400 ", lines)
            self.assertEqual(got.count(b"HTTP/1.1 "), 1, lines)

    def test_pipelined_uploads_are_told_apart(self):
        target = signing.sign("PUT", "/group1/a.bin", *self.key).encode()
        one = b"PUT " + target + b" HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
        two = (b"PUT " + target + b" HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
               b"2\r\nde\r\n0\r\n\r\n")
        last = b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        got = self.raw(one + two + one + last)
        self.assertEqual(got.count(b"HTTP/1.1 201 "), 3, got)
        self.assertEqual(got.count(b"HTTP/1.1 200 "), 1, got)
        ids = re.findall(rb'"id":"([^"]+)"', got)
        self.assertEqual([self.cluster.download(i.decode()) for i in ids], [b"abc", b"de", b"abc"])

    def test_huge_headers(self):
        self.assertRegex(self.raw(b"PUT /group1/a HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 40_000),
                         rb"^HTTP/1.1 431 ")
        self.assertRegex(self.raw(b"PUT /" + b"a" * 20_000), rb"^HTTP/1.1 414 ")


class RulesTest(HttpTest):
    """Addresses, referers, limits, other origins, and content that browsers run."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.file = "/" + cls.cluster.upload(b"picture", "jpg")
        cls.style = "/" + cls.cluster.upload(b"style", "css")
        cls.page = "/" + cls.cluster.upload(b"<script>alert(1)</script>", "html")
        cls.drawing = "/" + cls.cluster.upload(b"<svg/>", "svg")

    def configure(self, **settings):
        keys = ("http_allow_hosts", "http_trusted_proxies", "http_signed_reads", "http_uploads",
                "http_referer_allow", "http_referer_deny", "http_referer_none",
                "http_referer_exempt", "http_address_requests", "http_address_bytes",
                "http_cors_origins", "http_active_content", "http_uploads_max")
        self.cluster.reconfigure(self.cluster.storage, **{**dict.fromkeys(keys), **settings})
        self.cluster.wait_active(1)

    def get(self, target=None, **headers):
        return http_get(self.node.addr, self.node.http, target or self.file,
                        {name.replace("_", "-"): value for name, value in headers.items()})

    def test_referers(self):
        self.configure(http_referer_allow="shop.example, *.shop.example",
                       http_referer_deny="bad.shop.example", http_referer_exempt="css")
        for referer, status in (("https://shop.example/page", 200),
                                ("http://www.shop.example:8443/", 200),
                                ("https://bad.shop.example/", 403), ("https://evil.example/", 403),
                                ("https://shop.example.evil.example/", 403),
                                ("https://shop.example@evil.example/", 403),
                                ("https://evil.example/?shop.example", 403), ("blocked", 403)):
            self.assertEqual(self.get(Referer=referer).status, status, referer)
        self.assertEqual(self.get().status, 200)
        self.assertEqual(self.get(self.style, Referer="https://evil.example/").status, 200)
        signed = signing.sign("GET", self.file, *self.key)
        self.assertEqual(self.get(signed, Referer="https://evil.example/").status, 200)
        self.configure(http_referer_none="off")
        self.assertEqual(self.get().status, 403)

    def test_addresses_and_proxies(self):
        self.configure(http_allow_hosts="10.0.0.0/8", http_trusted_proxies="127.0.0.0/8, 10.9.0.0/16")
        self.assertEqual(self.get().status, 403)
        for hops, status in (("10.1.2.3", 200), ("192.0.2.1", 403), ("10.1.2.3, 192.0.2.1", 403),
                             ("192.0.2.1, 10.1.2.3", 200), ("10.1.2.3, 10.9.0.1", 200),
                             ("192.0.2.1, 10.9.0.1", 403), ("nonsense", 403)):
            self.assertEqual(self.get(X_Forwarded_For=hops).status, status, hops)
        self.configure(http_allow_hosts="10.0.0.0/8")
        self.assertEqual(self.get(X_Forwarded_For="10.1.2.3").status, 403)

    def test_limits(self):
        self.configure(http_address_requests="5")
        replies = [self.get() for _ in range(20)]
        self.assertEqual({reply.status for reply in replies}, {200, 429})
        self.assertGreaterEqual(sum(reply.status == 200 for reply in replies), 5)
        late = next(reply for reply in replies if reply.status == 429)
        self.assertGreaterEqual(int(late.headers["retry-after"]), 1)
        self.assertEqual(self.get("/healthz").status, 200)
        self.configure()
        slow = self.make_key("--rights", "read", "--requests-rate", "3")
        time.sleep(1.1)
        statuses = [self.get(signing.sign("GET", self.file, *slow)).status for _ in range(8)]
        self.assertEqual((statuses[0], statuses[-1]), (200, 429))

    def test_signed_reads(self):
        self.configure(http_signed_reads="on")
        self.assertEqual(self.get().status, 401)
        reply = self.get(signing.sign("GET", self.file, *self.key))
        self.assertEqual((reply.status, reply.body), (200, b"picture"))
        self.assertIn("private", reply.headers["cache-control"])

    def test_uploads_off(self):
        self.configure(http_uploads="off")
        self.assertEqual(self.send("PUT", "/group1/a", b"x").status, 403)
        self.assertEqual(self.send("DELETE", self.file).status, 403)
        self.assertEqual(self.get().status, 200)

    def test_other_origins(self):
        preflight = {"Origin": "https://shop.example", "Access-Control-Request-Method": "PUT",
                     "Access-Control-Request-Headers": "content-type"}
        self.configure()
        ask = lambda: http_get(self.node.addr, self.node.http, "/group1/a", preflight, "OPTIONS")
        self.assertNotIn("access-control-allow-origin", ask().headers)
        self.configure(http_cors_origins="https://shop.example")
        reply = ask()
        self.assertEqual(reply.status, 204)
        self.assertEqual(reply.headers["access-control-allow-origin"], "https://shop.example")
        self.assertIn("PUT", reply.headers["access-control-allow-methods"])
        self.assertEqual(reply.headers["access-control-allow-headers"], "content-type")
        got = self.get(Origin="https://shop.example")
        self.assertEqual(got.headers["access-control-allow-origin"], "https://shop.example")
        put = self.send("PUT", "/group1/a", b"x", headers={"Origin": "https://shop.example"})
        self.assertEqual(put.headers["access-control-allow-origin"], "https://shop.example")
        preflight["Origin"] = "https://shop.example.evil"
        self.assertNotIn("access-control-allow-origin", ask().headers)
        self.assertNotIn("access-control-allow-origin",
                         self.get(Origin="https://evil.example").headers)

    def test_active_content(self):
        self.configure()
        for target in (self.page, self.drawing):
            reply = self.get(target)
            self.assertEqual(reply.headers["x-content-type-options"], "nosniff")
            self.assertIn("sandbox", reply.headers["content-security-policy"])
            self.assertNotIn("set-cookie", reply.headers)
        self.configure(http_active_content="on")
        self.assertNotIn("content-security-policy", self.get(self.page).headers)


class AuditTest(HttpTest):
    """Who deleted what, by which protocol, and what administrators did: a chain that shows any
    change to it."""

    def lines(self, node):
        base = os.path.join(self.cluster.root, "data", node.id)
        done = clusters.run_cairn("audit", base, check=False)
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    def test_everything_is_noted(self):
        by_http = self.store(b"a")["id"]
        self.assertEqual(self.send("DELETE", "/" + by_http).status, 204)
        by_list = [self.cluster.upload(b"%d" % i) for i in range(3)]
        listed = os.path.join(self.cluster.root, "list")
        with open(listed, "w", encoding="utf-8") as file:
            file.write("# to go\n" + "\n".join(by_list) + "\ngroup1/M00/00/00/" + "A" * 27 + "\n")
        run = lambda *args: clusters.run_cairn("--conf", self.cluster.client_conf, "delete", *args,
                                               check=False)
        dry = run("--from-list", listed, "--dry-run")
        self.assertEqual((dry.returncode, dry.stdout), (2, "3 would be deleted, 1 failed\n"))
        self.assertEqual(self.cluster.download(by_list[0]), b"0")
        began = time.monotonic()
        done = run("--from-list", listed, "--rate", "10")
        self.assertEqual((done.returncode, done.stdout), (2, "3 deleted, 1 failed\n"))
        self.assertGreater(time.monotonic() - began, 0.25)

        code, lines = self.lines(self.cluster.storage)
        self.assertEqual(code, 0)
        deleted = {line["object"]: line for line in lines if line["what"] == "delete"}
        self.assertEqual(deleted[by_http]["who"], "key " + self.key[0])
        for file_id in by_list:
            self.assertEqual((deleted[file_id]["who"], deleted[file_id]["result"]), ("client", "ok"))
        code, lines = self.lines(self.cluster.tracker)
        self.assertEqual(code, 0)
        self.assertEqual([line["object"] for line in lines if line["what"] == "key.add"],
                         [self.key[0]])
        self.assertNotIn(self.key[1], json.dumps(lines))

        path = os.path.join(self.cluster.root, "data", self.cluster.storage.id, "data", "audit",
                            "audit-000000000001.log")
        with open(path, "rb") as file:
            good = file.read()
        for altered in (good.replace(b'"ok"', b'"no"', 1), good.replace(b"\n", b"\n\n", 1),
                        b"".join(good.splitlines(True)[:1] + good.splitlines(True)[2:])):
            with open(path, "wb") as file:
                file.write(altered)
            self.assertEqual(self.lines(self.cluster.storage)[0], 8)
        with open(path, "wb") as file:
            file.write(good)
        self.assertEqual(self.lines(self.cluster.storage)[0], 0)


class SlowTest(HttpTest):
    def test_many_slow_clients_do_not_stop_others(self):
        slow = []
        for _ in range(200):
            peer = socket.create_connection((self.node.addr, self.node.http), timeout=5)
            self.addCleanup(peer.close)
            peer.sendall(b"PUT /group1/a HTTP/1.1\r\nHost: h\r\n")
            slow.append(peer)
        self.store(b"quick")
        self.assertEqual(http_get(self.node.addr, self.node.http, "/healthz").status, 200)
        slow[0].settimeout(30)
        ended = slow[0].recv(100)  # the header had 15 seconds
        self.assertEqual(ended, b"")


class DocumentTest(HttpTest):
    """Runs the examples of docs/http-api.md as they stand."""

    def test_examples(self):
        with open(os.path.join(ROOT, "docs", "http-api.md"), encoding="utf-8") as file:
            blocks = re.findall(r"```sh\n(.*?)```", file.read(), re.DOTALL)
        self.assertGreaterEqual(len(blocks), 3)
        script = "set -eu\n" + "\n".join(blocks)
        folder = os.path.join(self.cluster.root, "examples")
        os.mkdir(folder)
        with open(os.path.join(folder, "photo.jpg"), "wb") as file:
            file.write(os.urandom(20_000))
        environment = {**os.environ, "NODE": f"{self.node.addr}:{self.node.http}",
                       "CAIRN_CONF": self.cluster.client_conf, "no_proxy": "*",
                       "PATH": os.environ["CAIRN_BIN"] + ":" + os.environ["PATH"]}
        done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment,
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
