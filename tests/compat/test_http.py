"""Files over HTTP as the FastDFS nginx module serves them: points 87 to 96 of docs/compat.md."""
import email.utils
import hashlib
import os
import re
import time
import unittest

import fastdfs
from cluster import ClusterTest, http_get
from fastdfs import content, split_id

SECRET = "FastDFS1234567890"


class HttpTest(ClusterTest):
    shape = {"paths": 2}

    def get(self, target, headers=None, method="GET", node=None, body=None):
        node = node or self.cluster.storage
        return http_get(node.addr, node.http, target, headers, method, body)

    def make(self, data, ext="jpg", path=0xFF):
        return self.cluster.upload(data, ext, path=path)

    def test_87_both_shapes(self):
        for path in (0, 1):
            data = content(50_000, path)
            file_id = self.make(data, path=path)
            for target in ("/" + file_id, "/" + split_id(file_id)[1]):
                with self.subTest(target):
                    response = self.get(target)
                    self.assertEqual((response.status, response.body), (200, data))
                    self.assertEqual(response.headers["content-length"], "50000")
                    self.assertEqual(response.headers["content-type"], "image/jpeg")
                    self.assertEqual(response.headers["accept-ranges"], "bytes")

    def test_87_wrong_group_and_names(self):
        file_id = self.make(b"hello")
        name = split_id(file_id)[1]
        self.assertIn(self.get("/group2/" + name).status, (400, 404))
        self.assertEqual(self.get("/group1/" + name[:-9] + "x" * 9).status, 404)
        for bad in ("M00/00/00/short", "M00/zz/00/" + name[10:], "M77/00/00/" + name[10:],
                    "M00/00/00/" + name[10:] + "/x", "M00/00/00/../" + name[10:],
                    "M00/00/00/%2e%2e/" + name[10:], "M00/00/00/a%00" + name[12:],
                    "M00/0a/00/" + name[10:]):
            for prefix in ("/", "/group1/"):
                with self.subTest(prefix + bad):
                    self.assertIn(self.get(prefix + bad).status, (400, 404))
        # As the original's module: the shape of a file ID, but not one that can be.
        for bad in ("M00/zz/00/", "M00/0a/00/"):
            with self.subTest(bad):
                self.assertEqual(self.get("/group1/" + bad + name[10:]).status, 400)
        self.assertEqual(self.get("/M00/00/00/%").status, 400)
        self.assertEqual(self.get("/group1/" + name).status, 200)

    def test_91_head(self):
        file_id = self.make(content(5000))
        response = self.get("/" + file_id, method="HEAD")
        self.assertEqual((response.status, response.body), (200, b""))
        self.assertEqual(response.headers["content-length"], "5000")
        self.assertEqual(self.get("/" + file_id[:-9] + "x" * 9, method="HEAD").status, 404)

    def test_91_ranges(self):
        data = content(10_000)
        target = "/" + self.make(data)
        for value, begin, end in (("0-0", 0, 1), ("0-99", 0, 100), ("500-", 500, 10_000),
                                  ("-1", 9999, 10_000), ("-500", 9500, 10_000),
                                  ("9999-", 9999, 10_000), ("9000-20000", 9000, 10_000),
                                  ("-20000", 0, 10_000), ("0-", 0, 10_000)):
            for method in ("GET", "HEAD"):
                with self.subTest(value, method=method):
                    response = self.get(target, {"Range": "bytes=" + value}, method)
                    self.assertEqual(response.status, 206)
                    self.assertEqual(response.headers["content-range"],
                                     f"bytes {begin}-{end - 1}/10000")
                    self.assertEqual(response.headers["content-length"], str(end - begin))
                    self.assertEqual(response.body, data[begin:end] if method == "GET" else b"")
        for value in ("10000-", "20000-30000", "-0"):
            with self.subTest(value):
                response = self.get(target, {"Range": "bytes=" + value})
                self.assertEqual(response.status, 416)
                self.assertEqual(response.headers["content-range"], "bytes */10000")
        for value in ("bytes=5-4", "bytes=a-b", "bytes=", "items=0-5", "bytes=--5"):
            with self.subTest(value):
                self.assertIn(self.get(target, {"Range": value}).status, (200, 416))

    def test_91_several_ranges(self):
        data = content(10_000)
        response = self.get("/" + self.make(data),
                            {"Range": "bytes=0-9,100-199,-50"})
        self.assertEqual(response.status, 206)
        kind, _, boundary = response.headers["content-type"].partition("; boundary=")
        self.assertEqual(kind, "multipart/byteranges")
        self.assertEqual(response.headers["content-length"], str(len(response.body)))
        parts = response.body.split(b"--" + boundary.strip('"').encode())
        self.assertEqual(parts[-1].strip(), b"--")
        found = []
        for part in parts[1:-1]:
            head, _, body = part.partition(b"\r\n\r\n")
            span = re.search(rb"(?i)content-range: bytes (\d+)-(\d+)/10000", head).groups()
            self.assertIn(b"image/jpeg", head)
            found.append((int(span[0]), int(span[1]), body.removesuffix(b"\r\n")))
        self.assertEqual(found, [(0, 9, data[:10]), (100, 199, data[100:200]),
                                 (9950, 9999, data[9950:])])

    def test_92_dates(self):
        file_id = self.make(b"hello")
        name = fastdfs.decode_name(split_id(file_id)[1])
        response = self.get("/" + file_id)
        stamp = response.headers["last-modified"]
        self.assertEqual(email.utils.parsedate_to_datetime(stamp).timestamp(), name.time)
        self.assertTrue(stamp.endswith(" GMT"))
        response = self.get("/" + file_id, {"If-Modified-Since": stamp})
        self.assertEqual((response.status, response.body), (304, b""))
        early = email.utils.formatdate(name.time - 10, usegmt=True)
        self.assertEqual(self.get("/" + file_id, {"If-Modified-Since": early}).status, 200)
        tag = self.get("/" + file_id).headers["etag"]
        self.assertEqual(self.get("/" + file_id, {"If-None-Match": tag}).status, 304)
        self.assertEqual(self.get("/" + file_id, {"If-None-Match": '"other"'}).status, 200)

    def test_92_appender_has_the_time_of_the_disk(self):
        file_id = self.cluster.upload(b"hello", "txt", fastdfs.UPLOAD_APPENDER)
        path = self.cluster.path_of(file_id)
        response = self.get("/" + file_id)
        stamp = email.utils.parsedate_to_datetime(response.headers["last-modified"]).timestamp()
        self.assertEqual(stamp, int(os.stat(path).st_mtime))
        self.assertEqual(response.body, b"hello")

    def test_93_disposition(self):
        target = "/" + self.make(b"hello")
        self.assertNotIn("content-disposition", self.get(target).headers)
        for key in ("filename", "attname"):
            value = self.get(f"{target}?{key}=photo.jpg").headers["content-disposition"]
            self.assertRegex(value, r'^attachment; *filename="?photo\.jpg"?')
        for evil in ("a%22b.jpg", "a%0d%0aX-Evil:%201.jpg", "a%5cb.jpg", "a%0ab"):
            with self.subTest(evil):
                response = self.get(f"{target}?filename={evil}")
                self.assertNotIn("x-evil", response.headers)
                if response.status == 200:
                    value = response.headers["content-disposition"]
                    self.assertNotRegex(value, r"[\r\n]")
                    plain = re.match(r'^attachment; *filename="((?:[^"\\]|\\.)*)"', value)
                    self.assertTrue(plain, value)
                else:
                    self.assertEqual(response.status, 400)

    def test_95_flv(self):
        data = b"FLV\x01\x05" + content(9995)
        target = "/" + self.make(data, "flv")
        head = data[:13]
        for query, wanted in (("", data), ("?start=0", data), ("?start=5000", head + data[5000:]),
                              ("?start=5000&end=6000", head + data[5000:6000])):
            with self.subTest(query):
                response = self.get(target + query)
                self.assertEqual((response.status, response.body), (200, wanted))
        other = "/" + self.make(data, "mp4")
        self.assertEqual(self.get(other + "?start=5000").body, data, "only of .flv files")

    def test_96_other_methods(self):
        target = "/" + self.make(b"hello")
        # DELETE exists, for those with an access key.
        for method, status in (("POST", 405), ("PUT", 405), ("DELETE", 401), ("PATCH", 405),
                               ("OPTIONS", 405)):
            with self.subTest(method):
                body = b"" if method != "OPTIONS" else None
                self.assertEqual(self.get(target, method=method, body=body).status, status)
        self.assertEqual(self.get(target).body, b"hello")

    def test_91_empty_file(self):
        target = "/" + self.make(b"", "txt")
        response = self.get(target)
        self.assertEqual((response.status, response.body), (200, b""))
        self.assertEqual(response.headers["content-length"], "0")
        self.assertIn(self.get(target, {"Range": "bytes=0-0"}).status, (200, 416))


class TokenTest(ClusterTest):
    """Points 88 to 90: the token of the nginx module."""

    TTL = 600

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster.reconfigure(cls.cluster.storage, http__anti_steal__check_token="true",
                                http__anti_steal__secret_key=SECRET,
                                http__anti_steal__token_ttl=cls.TTL)
        cls.cluster.wait_active()
        cls.data = content(3000)
        cls.file_id = cls.cluster.upload(cls.data, "jpg")

    @staticmethod
    def token(name, ts):
        return hashlib.md5(f"{name}{SECRET}{ts}".encode()).hexdigest()

    def get(self, query, with_group=True, name=None):
        name = name or split_id(self.file_id)[1]
        node = self.cluster.storage
        return http_get(node.addr, node.http, ("/group1/" if with_group else "/") + name + query)

    def signed(self, ts):
        return f"?token={self.token(split_id(self.file_id)[1], ts)}&ts={ts}"

    def test_88_vector(self):
        self.assertEqual(self.token("M00/00/00/wKgBFF1Tvn6AL_ulAAhuqKakO_M091.png", 1700000000),
                         "703f2ed50ccb7d63f2b2ac6e0acf901f")

    def test_90_good_token_in_both_shapes(self):
        for with_group in (True, False):
            for ts in (int(time.time()), int(time.time()) - self.TTL + 60):
                response = self.get(self.signed(ts), with_group)
                self.assertEqual((response.status, response.body), (200, self.data))
        ts = int(time.time())
        swapped = f"?ts={ts}&token={self.token(split_id(self.file_id)[1], ts)}&attname=x.jpg"
        self.assertEqual(self.get(swapped).status, 200, "the order is free")

    def test_90_token_over_the_group_is_wrong(self):
        ts = int(time.time())
        token = self.token(self.file_id, ts)
        self.assertEqual(self.get(f"?token={token}&ts={ts}").status, 400)

    def test_89_bad_tokens(self):
        now = int(time.time())
        good = self.token(split_id(self.file_id)[1], now)
        for query in ("", f"?ts={now}", f"?token={good}", f"?token={good}&ts={now - 1}",
                      f"?token={good[:-1]}0x&ts={now}", f"?token={good.upper()}&ts={now}",
                      f"?token=&ts={now}", f"?token={good}&ts=", f"?token={good}&ts=abc",
                      f"?token={'0' * 32}&ts={now}", self.signed(now - self.TTL - 60),
                      self.signed(1700000000)):
            with self.subTest(query):
                response = self.get(query)
                self.assertEqual(response.status, 400)
                self.assertNotIn(self.data[:50], response.body)

    def test_89_persistent_token_is_refused(self):
        """Not as in the original, where ts = 0 never expires."""
        self.assertEqual(self.get(self.signed(0)).status, 400)

    def test_89_token_of_another_file(self):
        other = self.cluster.upload(b"other", "jpg")
        self.assertEqual(self.get(self.signed(int(time.time())),
                                  name=split_id(other)[1]).status, 400)


class TokenPageTest(ClusterTest):
    """Point 89: a page in place of the error, as the module's token_check_fail."""

    def test_89_fail_file(self):
        page = os.path.join(self.cluster.root, "fail.jpg")
        with open(page, "wb") as file:
            file.write(b"no entry")
        self.cluster.reconfigure(self.cluster.storage, http__anti_steal__check_token="true",
                                 http__anti_steal__secret_key=SECRET,
                                 http__anti_steal__token_check_fail=page)
        self.cluster.wait_active()
        file_id = self.cluster.upload(b"hello", "jpg")
        node, ts = self.cluster.storage, int(time.time())
        response = http_get(node.addr, node.http, f"/{file_id}?token={'0' * 32}&ts={ts}")
        self.assertEqual((response.status, response.body), (200, b"no entry"))
        self.assertEqual(response.headers["content-type"], "image/jpeg")
        token = TokenTest.token(split_id(file_id)[1], ts)
        response = http_get(node.addr, node.http, f"/{file_id}?token={token}&ts={ts}")
        self.assertEqual((response.status, response.body), (200, b"hello"))


class ReadThroughTest(ClusterTest):
    """Point 94: a file that this node has not got yet."""

    shape = {"storages": 2}

    def test_94_fresh_files_at_the_other_node(self):
        first, second = self.cluster.storages
        for step in range(40):
            data = content(2000 + step, step)
            file_id = self.cluster.upload(data, "jpg", node=first)
            response = http_get(second.addr, second.http, "/" + file_id)
            self.assertEqual((response.status, response.body), (200, data))

    def test_94_redirect_guard(self):
        """`redirect=1` of the original's proxies changes nothing for a file that is there."""
        first, second = self.cluster.storages
        file_id = self.cluster.upload(b"hello", "jpg", node=first)
        self.assertEqual(http_get(second.addr, second.http, f"/{file_id}?redirect=1").body,
                         b"hello")

    def test_94_missing_everywhere(self):
        first, second = self.cluster.storages
        file_id = self.cluster.upload(b"hello", "jpg", node=first)
        with self.cluster.to(first) as storage:
            storage.call(fastdfs.DELETE, fastdfs.named(file_id))
        for node in (first, second):
            fastdfs.wait_until("404", lambda: http_get(node.addr, node.http,
                                                       "/" + file_id).status == 404)

    def test_94_source_down(self):
        """What only the lost node had: 503 with Retry-After, never "no such file"."""
        first, second = self.cluster.storages
        self.cluster.kill(second)
        data = content(100_000)
        file_id = self.cluster.upload(data, "bin", node=first)
        self.cluster.kill(first)
        second = self.cluster.start_node(second)
        response = http_get(second.addr, second.http, "/" + file_id)
        self.assertEqual(response.status, 503)
        self.assertIn("retry-after", response.headers)
        with self.cluster.to(second) as storage:
            reply = storage.request(fastdfs.DOWNLOAD, fastdfs.download_body(file_id))
        self.assertEqual(reply, (110, b""))
        first = self.cluster.start_node(first)
        # That nobody had it may be remembered for a second.
        fastdfs.wait_until("the file", lambda: http_get(second.addr, second.http,
                                                        "/" + file_id).body == data)


if __name__ == "__main__":
    unittest.main()
