"""URL rules in a running cluster: aliases, old servers, redirects, reloads, refusals."""

import functools
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time
import unittest

import cluster as clusters
import workload
from fastdfs import wait_until

HOST = "img.test"


class OldServer(http.server.ThreadingHTTPServer):
    """A directory by HTTP that counts what it is asked for; `broken` answers 500."""

    def __init__(self, root):
        self.asked, self.broken, self.delay = [], False, 0.0
        super().__init__(("127.0.0.1", 0), functools.partial(OldHandler, directory=str(root)))
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    def stop(self):
        self.shutdown()
        self.server_close()


class OldHandler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        time.sleep(self.server.delay)
        if self.server.broken:
            self.send_error(500)
            return
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/secret")
            self.end_headers()
            return
        super().do_GET()

    def log_message(self, *args):
        pass


class Rules(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="cairn-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        cls.cluster = clusters.Cluster(groups=2, storages=2, root=str(cls.root / "cluster"))
        cls.addClassCleanup(cls.cluster.down)
        cls.cluster.start()
        cls.cluster.wait_active()
        cls.old = cls.root / "old"
        (cls.old / "a").mkdir(parents=True)
        cls.server = OldServer(cls.old)
        cls.addClassCleanup(cls.server.stop)
        cls.node, cls.other = cls.cluster.group("group1")
        cls.far = cls.cluster.group("group2")[0]

    def cairn(self, *args, check=True, stdin=None):
        done = subprocess.run(
            [clusters.binary("cairn"), "--conf", self.cluster.client_conf, *map(str, args)],
            input=stdin if stdin is not None else "", capture_output=True, text=True, timeout=60,
            check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"{args}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def load(self, body, check=True):
        path = self.root / "t.rules"
        path.write_text(f"rules t {{ host {HOST} second.test; pass;\n"
                        f"origin dir {{ type file; root {self.old}; not_found_ttl 1s; }}\n"
                        f"origin web {{ type http; server 127.0.0.1:{self.server.server_port}; "
                        f"not_found_ttl 60s; }}\n{body}\n}}\n")
        return self.cairn("rules", "load", path, check=check)

    def get(self, target, node=None, method="GET", host=HOST, **headers):
        node = node or self.node
        headers = {key.replace("_", "-"): value for key, value in headers.items()}
        return clusters.http_get(node.addr, node.http, target, {"Host": host, **headers}, method)

    def old_file(self, name, content, mtime=1_300_000_000):
        path = self.old / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (mtime, mtime))
        return path

    # --- aliases and objects ---

    def test_an_alias_is_served_at_every_node_with_its_time(self):
        content = workload.content_of(1, 30_000)
        file_id = self.cluster.upload(content, "bin", node=self.node)
        self.load("location ~ ^/u/(?<n>.+)$ { object alias:/names/$n; cache public max-age=1d; }")
        self.cairn("alias", "load", "-", stdin=f"/names/x y.jpg\t{file_id}\t1300000000\n")
        for node in self.cluster.storages:
            reply = self.get("/u/x%20y.jpg", node)
            self.assertEqual((reply.status, reply.body), (200, content), node.id)
            self.assertEqual(reply.headers["last-modified"], "Sun, 13 Mar 2011 07:06:40 GMT")
            self.assertEqual(reply.headers["content-type"], "image/jpeg")
            self.assertEqual(reply.headers["cache-control"], "public, max-age=86400")
        part = self.get("/u/x%20y.jpg", Range="bytes=10-19")
        self.assertEqual((part.status, part.body), (206, content[10:20]))
        head = self.get("/u/x%20y.jpg", method="HEAD")
        self.assertEqual((head.status, head.headers["content-length"]), (200, "30000"))
        again = self.get("/u/x%20y.jpg", If_Modified_Since="Sun, 13 Mar 2011 07:06:40 GMT")
        self.assertEqual(again.status, 304)
        self.assertEqual(self.get("/u/nothing").status, 404)
        # Other hosts do not see the rules.
        self.assertEqual(self.get("/u/x%20y.jpg", host="other.test").status, 404)
        explained = json.loads(self.cairn("--json", "rules", "explain",
                                          f"http://{HOST}/u/x%20y.jpg").stdout)
        self.assertEqual(explained["alias"], f"id:{file_id}")
        self.assertEqual(explained["size"], 30_000)
        self.assertTrue(explained["nodes"])

    def test_aliases_by_the_command_line(self):
        file_id = self.cluster.upload(b"one", "txt", node=self.node)
        self.cairn("alias", "put", "/cli/a", file_id)
        self.cairn("alias", "put", "/cli/b", "path:/shop/b", "--host", "B.test")
        self.assertEqual(self.cairn("alias", "get", "/cli/a").stdout, f"/cli/a\tid:{file_id}\n")
        self.assertEqual(self.cairn("alias", "get", "/cli/b", check=False).returncode, 3)
        self.assertEqual(self.cairn("alias", "get", "/cli/b", "--host", "b.test:80").returncode, 0)
        rows = "".join(f"/many/{i:05}\t{file_id}\n" for i in range(6_000))
        self.assertIn("6000", self.cairn("alias", "load", "-", stdin=rows).stdout)
        listed = self.cairn("alias", "ls", "/many/").stdout.splitlines()
        self.assertEqual(len(listed), 6_000)
        self.assertEqual(listed, sorted(listed))
        self.assertEqual(len(self.cairn("alias", "ls", "/many/", "--limit", 7).stdout.splitlines()), 7)
        self.cairn("alias", "rm", "/cli/a")
        self.assertEqual(self.cairn("alias", "rm", "/cli/a", check=False).returncode, 3)
        bad = self.cairn("alias", "load", "-", check=False, stdin=f"/ok\t{file_id}\nbad line\n")
        self.assertEqual(bad.returncode, 1)
        self.assertIn("line 2", bad.stderr)

    def test_files_of_another_group_and_by_id(self):
        content = workload.content_of(2, 100_000)
        file_id = self.cluster.upload(content, "jpg", node=self.far)
        self.load("location ~ ^/id/(.+)$ { object fastdfs:/$1; cache public; }")
        for node in (self.node, self.far):
            reply = self.get(f"/id/{file_id}", node)
            self.assertEqual((reply.status, reply.body), (200, content), node.id)
            self.assertEqual(reply.headers["cache-control"], "public")
        self.assertEqual(self.get(f"/id/{file_id}", Range="bytes=5-9").body, content[5:10])
        for bad in ("group1/M00/../../etc/passwd", "group1/M00/00/00/x", "..", "group9/" + file_id[7:]):
            self.assertIn(self.get(f"/id/{bad}").status, (400, 404), bad)
        # A set that passes leaves file IDs as they are.
        self.assertEqual(self.get(f"/{file_id}", self.far).body, content)

    # --- answers without an object ---

    def test_redirects_refusals_and_odd_urls(self):
        self.load(r"""
            location = /img.php { require $arg_id ~ ^\d+$; redirect 301 http://new.test/p/$arg_id; }
            location /gone { return 410 "gone"; }
            location /ref { referer allow none *.good.test; return 200 ok; }
            location ~ "^/s_(\d+)x(\d+)$" { require $1 x $2 in 1x1; deny 400; return 200 ok; }""")
        reply = self.get("/img.php?id=7")
        self.assertEqual((reply.status, reply.headers["location"]), (301, "http://new.test/p/7"))
        self.assertEqual(self.get("/img.php?id=7a").status, 404)
        self.assertEqual(self.get("/gone/x").status, 410)
        self.assertEqual(self.get("/ref", Referer="http://evil.test/").status, 403)
        self.assertEqual(self.get("/ref", Referer="http://a.good.test/").status, 200)
        self.assertEqual(self.get("/s_1x1").status, 200)
        self.assertEqual(self.get("/s_1x2").status, 400)
        self.assertEqual(self.get("/x/..//gone/./y").status, 410)
        for bad, status in (("/..", 400), ("/a/../../b", 400), ("/%00", 400), ("/a%2Fb", 400),
                            ("/%zz", 400), ("/%ff%fe", 404), ("//", 404), ("/" + "x" * 7000, 404),
                            ("/" + "x" * 65_000, 414)):
            self.assertEqual(self.get(bad).status, status, bad[:20])
        self.assertEqual(self.get("/gone", host="IMG.Test:8888").status, 410)

    # --- old servers ---

    def test_pull_stores_once_and_keeps_the_time(self):
        content = workload.content_of(3, 700_000)
        path = self.old_file("a/b c.jpg", content)
        self.load("location /a/ { on_miss pull web; on_miss 404; }")
        self.server.asked.clear()
        self.server.delay = 0.3
        replies = [None] * 8
        def fetch(i):
            replies[i] = self.get("/a/b%20c.jpg")
        threads = [threading.Thread(target=fetch, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.server.delay = 0.0
        for reply in replies:
            self.assertEqual((reply.status, reply.body), (200, content))
            self.assertEqual(reply.headers["last-modified"], "Sun, 13 Mar 2011 07:06:40 GMT")
        self.assertEqual(self.server.asked, ["/a/b%20c.jpg"], "single flight")
        path.unlink()
        self.assertEqual(self.get("/a/b%20c.jpg").body, content)
        wait_until("the name at the other node",
                   lambda: self.get("/a/b%20c.jpg", self.other).body == content)
        # Another host of the same set has the same names.
        self.assertEqual(self.get("/a/b%20c.jpg", host="second.test").body, content)
        self.assertEqual(self.get("/a/none.jpg").status, 404)
        asked = len(self.server.asked)
        self.assertEqual(self.get("/a/none.jpg").status, 404)
        self.assertEqual(len(self.server.asked), asked, "remembered as absent")
        self.server.broken = True
        self.assertEqual(self.get("/a/unknown.jpg").status, 503)
        self.server.broken = False
        top = json.loads(self.cairn("--json", "rules", "top").stdout)
        web = next(o for o in top["origins"] if o["origin"] == "t/web")
        self.assertGreaterEqual(web["stored"], 1)

    def test_directories_are_never_left(self):
        (self.root / "secret").write_text("secret")
        (self.old / "link").symlink_to(self.root / "secret")
        (self.old / "inside").symlink_to("real.txt")
        content = workload.content_of(4, 300)
        self.old_file("real.txt", content)
        self.load("location ~ ^/d/(.*)$ { object alias:/d/$1; on_miss pull dir /$1; }\n"
                  "location = /q { object alias:/q; on_miss pull dir /$arg_f; }\n"
                  "location = /moved { on_miss pull web; }")
        self.assertEqual(self.get("/d/real.txt").body, content)
        self.assertEqual(self.get("/d/inside").body, content)
        for bad in ("/d/link", "/q?f=../secret", "/q?f=%2e%2e/secret", "/q?f=/../secret", "/d/a", "/d/",
                    "/q?f=link"):
            self.assertIn(self.get(bad).status, (400, 404), bad)
        self.assertEqual(self.get("/moved").status, 503, "redirects of an old server are not followed")

    def test_shadow_and_share(self):
        content = workload.content_of(5, 2_000)
        file_id = self.cluster.upload(content, "txt", node=self.node)
        self.cairn("alias", "load", "-", stdin=f"/sh/same.txt\t{file_id}\t1300000000\n"
                                               f"/sh/other.txt\t{file_id}\t1300000000\n")
        self.old_file("sh/same.txt", content)
        self.old_file("sh/other.txt", content[:-1] + b"!")
        self.load("shadow web 100%; cache off; location /sh/ { }")
        self.get("/sh/same.txt")
        self.get("/sh/other.txt")
        def found():
            done = self.cairn("--json", "rules", "shadow", check=False)
            sets = json.loads(done.stdout)["sets"]
            return (done, sets[0]) if sets and sets[0]["compared"] >= 2 else None
        done, totals = wait_until("comparisons", found)
        self.assertEqual(done.returncode, 8)
        self.assertIn("content", done.stdout)
        self.assertEqual(totals["failed"], 0)
        # At 0% of the share the old server answers everything.
        self.load("share 0% web; location / { return 410; }")
        reply = self.get("/sh/same.txt")
        self.assertEqual((reply.status, reply.body), (200, content))

    # --- reloads ---

    def test_a_bad_file_is_refused_whole_and_the_old_one_stays(self):
        self.load("location = /v { return 200 old; }")
        bad = self.load("location = /v { return 200 new; }\nlocation = /w { objekt x; }", check=False)
        self.assertEqual(bad.returncode, 8)
        self.assertIn("t.rules:5:17: error: unknown directive 'objekt'", bad.stderr)
        failing = self.load("location = /v { return 201 x; }\ntest GET /v -> status 200;", check=False)
        self.assertEqual(failing.returncode, 8)
        self.assertIn("test failed", failing.stderr)
        self.assertEqual(self.get("/v").body, b"old")
        expected = self.cairn("rules", "load", "--expect", 99_999, self.root / "t.rules", check=False)
        self.assertIn(expected.returncode, (5, 8))

    def test_reload_under_load_has_no_failure_and_no_mixture(self):
        stop, bad, seen = threading.Event(), [], set()
        self.load("location ~ ^/l/(.*)$ { return 200 first-$1-first; }")
        def ask():
            while not stop.is_set():
                reply = self.get("/l/x")
                seen.add(reply.body)
                if reply.status != 200 or reply.body not in (b"first-x-first", b"second-x-second"):
                    bad.append(reply)
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for turn in range(6):
            word = ("second", "first")[turn % 2]
            self.load(f"location ~ ^/l/(.*)$ {{ return 200 {word}-$1-{word}; }}")
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(bad, [])
        self.assertEqual(len(seen), 2)

    def test_rules_survive_without_a_tracker(self):
        content = workload.content_of(6, 1_000)
        file_id = self.cluster.upload(content, "txt", node=self.node)
        self.cairn("alias", "put", "/keep/a", file_id)
        self.load("location /keep/ { }")
        self.assertEqual(self.get("/keep/a").body, content)
        tracker = self.cluster.tracker
        self.cluster.kill(tracker)
        try:
            self.assertEqual(self.get("/keep/a").body, content)
            self.assertEqual(self.get("/keep/unknown").status, 503)
        finally:
            self.cluster.start_node(tracker)
            self.cluster.wait_active()
        shown = json.loads(self.cairn("--json", "rules", "show").stdout)
        self.assertIn("/keep/", shown["files"][0]["text"])

    # --- logs ---

    def test_replay_against_the_log_and_the_old_server(self):
        lines, expected = [], {}
        for i in range(60):
            name = f"log/{i % 7:02}/{i}.jpg"
            content = workload.content_of(100 + i, 500 + i)
            self.old_file(name, content)
            expected["/" + name] = hashlib.md5(content).hexdigest()
            lines.append(f'1.2.3.4 - - [x] "GET /{name} HTTP/1.1" 200 {len(content)} "-" "t"')
        lines.append('1.2.3.4 - - [x] "GET /log/none.jpg HTTP/1.1" 404 0 "-" "t"')
        lines.append("no log line")
        log = self.root / "access.log"
        log.write_text("\n".join(lines) + "\n")
        self.load("location /log/ { on_miss pull web; }")
        server = f"{self.node.addr}:{self.node.http}"
        done = self.cairn("--json", "rules", "replay", log, "--host", HOST, "--server", server,
                          check=False)
        report = json.loads(done.stdout)
        self.assertEqual(done.returncode, 0, report["examples"])
        self.assertEqual((report["lines"], report["unreadable"], report["objects"]), (62, 1, 61))
        self.assertEqual((report["compared"], report["differing"]), (61, 0))
        self.old_file("log/00/0.jpg", b"changed since")
        done = self.cairn("--json", "rules", "replay", log, "--host", HOST, "--server", server,
                          "--old", f"127.0.0.1:{self.server.server_port}", check=False)
        report = json.loads(done.stdout)
        self.assertEqual(done.returncode, 8)
        self.assertEqual(report["differing"], 1, report["examples"])
        suggested = self.cairn("rules", "suggest", log).stdout
        proposed = self.root / "suggested.rules"
        proposed.write_text(suggested)
        self.cairn("rules", "check", proposed)


if __name__ == "__main__":
    unittest.main()
