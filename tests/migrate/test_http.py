"""An old web server as the source: by a list of paths, by an access log, by its index pages; what it
has changed or lost since; what it fails at."""

import email.utils
import hashlib
import http.server
import json
import os
import random
import threading
import unittest
import urllib.parse

import cluster as clusters
import trees
import workload


class Handler(http.server.SimpleHTTPRequestHandler):
    """Index pages and If-Modified-Since come with it."""

    def do_GET(self):
        self.server.asked.append(self.path)
        if urllib.parse.unquote(self.path) in self.server.broken:
            self.send_error(500)
            return
        super().do_GET()

    def log_message(self, *_):
        pass


class Http(trees.MigrateTest):
    def setUp(self):
        super().setUp()
        rng = random.Random(31)
        self.files = {}
        os.makedirs(f"{self.source}/images")
        for name in ["a.jpg", "2001/b.jpg", "2001/01/c.png", "odd/with space.jpg", "odd/p%2F&+.gif",
                     "odd/ümlaut.jpg", "empty", "long.bin"]:
            size = {"empty": 0, "long.bin": 3 << 20}.get(name, 3000)
            self.put(name, rng.randbytes(size), 1_400_000_000 + len(self.files))
        handler = lambda *args: Handler(*args, directory=self.source)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.asked, self.server.broken = [], set()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.url = f"http://127.0.0.1:{self.server.server_port}/images/"

    def put(self, name, content, mtime):
        path = f"{self.source}/images/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        trees.write(path, content, mtime * 10**9)
        self.files[name.encode()] = (content, mtime)

    def assert_files(self, expected, name):
        found = {p: e for p, e in trees.describe(self.back(name)).items() if len(e) > 5}
        self.assertEqual(set(found), set(expected))
        for path, entry in found.items():
            content, mtime = self.files[path]
            self.assertEqual(entry[-1], hashlib.sha256(content).hexdigest(), path)
            self.assertEqual(entry[2], mtime * 10**9, path)

    def test_index_pages_and_later_passes(self):
        first = self.summary("run", "--job", "j", self.url, self.export)
        self.assertEqual((first["files"], first["failed"], first["vanished"]), (8, 0, 0))
        self.assert_files(self.files, "first")
        self.assertEqual(self.manifest("j"),
                         {p: hashlib.sha256(c).hexdigest() for p, (c, _) in self.files.items()})
        self.assertEqual(self.summary("verify", "--reread", "j")["different"], 0)
        again = self.summary("resume", "j")
        self.assertEqual((again["files"], again["unchanged"], again["debt"]), (0, 8, 0))
        # Changed, new and lost.
        self.put("a.jpg", b"another content", 1_500_000_000)
        self.put("new/n.jpg", b"new", 1_500_000_001)
        last = self.summary("resume", "j")
        self.assertEqual((last["files"], last["unchanged"]), (2, 7))
        self.assert_files(self.files, "last")
        self.migrate("freeze", "j")

    def test_a_list_with_what_is_lost_and_what_is_broken(self):
        listed = os.path.join(self.folder, "list")
        trees.write(listed, (f"# old paths\na.jpg\n/images/2001/b.jpg?w=100\n{self.url}2001/01/c.png\n"
                             "odd/with%20space.jpg\n../../etc/passwd\n/elsewhere/x.jpg\ngone.jpg\n"
                             "http://other.example/images/a.jpg\na.jpg\nlong.bin\n").encode())
        self.server.broken.add("/images/long.bin")
        done = self.summary("run", "--job", "j", "--files-from", listed, self.url, self.export,
                            check=23)
        self.assertEqual((done["files"], done["failed"], done["vanished"]), (4, 1, 1))
        self.assertEqual(self.server.asked.count("/images/a.jpg"), 1)
        self.assertIn("500", self.migrate("report", "j").stdout)
        self.server.broken.clear()
        os.remove(f"{self.source}/images/2001/b.jpg")
        done = self.summary("run", "--job", "j", "--delete", "--files-from", listed, self.url,
                            self.export, check=24)
        self.assertEqual((done["files"], done["removed"]), (1, 1))
        self.assert_files([b"a.jpg", b"2001/01/c.png", b"odd/with space.jpg", b"long.bin"], "left")

    def test_what_the_list_forgot_is_pulled_on_its_first_miss(self):
        listed = os.path.join(self.folder, "list")
        trees.write(listed, b"a.jpg\n")
        self.summary("run", "--job", "j", "--files-from", listed, self.url, self.export)
        rules = os.path.join(self.folder, "pull.rules")
        trees.write(rules, f"""rules photos {{
            host img.example;
            origin old {{ type http; server 127.0.0.1:{self.server.server_port}; }}
            location ~ ^/images/(.+)$ {{ object path:/{self.export}/$1; on_miss next; }}
            location ~ ^/images/ {{ object alias:$uri; on_miss pull old; }}
            test GET /images/a.jpg -> object path:/{self.export}/a.jpg;
        }}""".encode())
        workload.cairn(self.cluster, "export", "set", self.export, "--public")
        workload.cairn(self.cluster, "rules", "load", rules)
        self.addCleanup(workload.cairn, self.cluster, "rules", "load", "--none")
        node = self.cluster.storage

        def get(name):
            return clusters.http_get(node.addr, node.http, f"/images/{name}",
                                     {"Host": "img.example"})

        clusters.wait_until("the rules are in force", lambda: get("a.jpg").status == 200)
        asked = len(self.server.asked)
        self.assertEqual(get("a.jpg").body, self.files[b"a.jpg"][0])
        self.assertEqual(len(self.server.asked), asked)  # it was copied
        self.assertEqual(get("2001/b.jpg").body, self.files[b"2001/b.jpg"][0])
        self.assertIn("/images/2001/b.jpg", self.server.asked)
        # It is stored, and the old server may go.
        os.remove(f"{self.source}/images/2001/b.jpg")

        def stored():
            before = len(self.server.asked)
            answer = get("2001/b.jpg")
            return (answer.status, len(self.server.asked) - before) == (200, 0) and answer

        answer = clusters.wait_until("it is answered without the old server", stored)
        self.assertEqual(answer.body, self.files[b"2001/b.jpg"][0])

    def test_an_access_log(self):
        log = os.path.join(self.folder, "access.log")
        now = email.utils.formatdate()
        lines = [("GET", "/images/a.jpg", 200), ("GET", "/images/2001/b.jpg?x=1", 304),
                 ("POST", "/images/upload", 200), ("GET", "/images/none.jpg", 404),
                 ("GET", "/index.html", 200), ("HEAD", "/images/empty", 200)]
        trees.write(log, "".join(f'10.0.0.1 - - [{now}] "{m} {p} HTTP/1.1" {s} 17 "-" "x"\n'
                                 for m, p, s in lines * 3).encode() + b"damaged \"\n")
        done = self.summary("run", "--job", "j", "--access-log", log, self.url, self.export)
        self.assertEqual((done["files"], done["failed"]), (3, 0))
        self.assert_files([b"a.jpg", b"2001/b.jpg", b"empty"], "logged")

    def test_a_server_that_is_away(self):
        self.server.shutdown()
        self.server.server_close()
        self.migrate("run", "--job", "j", "--timeout", "3s", self.url, self.export, check=10)
        listed = os.path.join(self.folder, "list")
        trees.write(listed, b"a.jpg\n")
        self.migrate("run", "--job", "k", "--timeout", "3s", "--files-from", listed, self.url,
                     self.export, check=30)
        self.migrate("plan", self.url, self.export, check=1)
        state = json.loads(self.migrate("--json", "status", "k").stdout)
        self.assertEqual((state["state"], state["debt"] > 0), ("interrupted", True))


if __name__ == "__main__":
    unittest.main(verbosity=2)
