"""The configurations of conf/ for nginx, HAProxy and Varnish in front of a cluster with URL rules:
the same bytes, times and types as directly, nodes that stop, the pages that are nobody's business."""

import http.client
import json
import os
import pathlib
import tempfile
import time
import unittest

import cluster as clusters
import fronts
import signing
import workload
from fastdfs import wait_until
from fronts import HOST

FULL = bool(os.environ.get("CAIRN_TEST_FULL"))
SAME = ("content-type", "content-length", "last-modified", "cache-control", "etag",
        "x-content-type-options", "content-security-policy")


class Fronts(fronts.FrontTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        rules = cls.root / "t.rules"
        rules.write_text(f"rules t {{ host {HOST}; pass; cache public max-age=60s;\n"
                         "location ~ ^/old/(.+)$ { object alias:/names/$1; }\n"
                         "location ~ ^/tree/(.+)$ { object path:/front/$1; }\n"
                         "location = /moved { redirect 301 http://new.test/; }\n"
                         "test GET /moved -> status 301; }")
        cls.cairn("rules", "load", rules)
        cls.cairn("export", "add", "front", "--public")
        cls.contents = {}
        lines = []
        for i, extension in enumerate(("jpg", "png", "html", "bin") * 5):
            content = workload.content_of(i, 1_000 + 997 * i)
            file_id = cls.cluster.upload(content, "bin", node=(cls.node, cls.other)[i % 2])
            name = f"{i} ä.{extension}"
            lines.append(f"/names/{name}\t{file_id}\t{1_300_000_000 + i}")
            cls.contents[f"/old/{i}%20%C3%A4.{extension}"] = content
        cls.cairn("alias", "load", "-", stdin="\n".join(lines) + "\n")

    def purge_at(self, cache):
        self.cluster.reconfigure(self.cluster.tracker, purge_cache=cache)
        # A storage node that was told of no cache tells of its deletions only then again.
        time.sleep(10)

    def compare_all(self):
        for target, content in self.contents.items():
            here, there = self.get(target), self.direct(target)
            self.assertEqual((here.status, here.body), (200, content), target)
            for name in SAME:
                self.assertEqual(here.headers.get(name), there.headers.get(name), (target, name))
        first, content = next(iter(self.contents.items()))
        part = self.get(first, Range="bytes=10-19")
        self.assertEqual((part.status, part.body), (206, content[10:20]))
        again = self.get(first, If_Modified_Since=self.direct(first).headers["last-modified"])
        self.assertEqual(again.status, 304)
        self.assertEqual(self.get("/moved").headers["location"], "http://new.test/")
        self.assertEqual(self.get("/old/none").status, 404)
        for page in ("/status", "/metrics"):
            self.assertEqual(self.get(page).status, 404, page)

    def test_nginx_sends_old_urls_from_the_disk(self):
        self.start_nginx()
        # All of them on this disk: then nginx sends every one itself.
        for target in self.contents:
            wait_until(target, lambda: clusters.http_get(
                self.node.addr, self.node.http, target,
                {"Host": HOST, "X-Cairn-Accel": "/x"}).headers.get("x-accel-redirect"))
        self.compare_all()
        self.assertIsNone(self.get(next(iter(self.contents))).headers.get("x-accel-redirect"))
        self.assertEqual(self.get("/_cairn/M00/00/00/x").status, 404)

    def test_uploads_are_visible_at_once_through_nginx(self):
        self.start_nginx()
        missing = []
        for i in range(10_000 if FULL else 300):
            content = workload.content_of(10_000 + i, 3_000)
            file_id = self.cluster.upload(content, "jpg", node=self.other)
            reply = self.get(f"/{file_id}")
            if (reply.status, reply.body) != (200, content):
                missing.append((file_id, reply.status))
        self.assertEqual(missing, [])

    def test_nginx_goes_on_without_a_node(self):
        """Uploads are visible at once through the nginx of a node that is stopped, too."""
        self.start_nginx(nodes=2)
        missing = []

        def upload_and_get(first, count):
            for i in range(first, first + count):
                content = workload.content_of(i, 3_000)
                file_id = self.cluster.upload(content, "jpg", node=self.other)
                self.cairn_alias(f"/names/{i}.jpg", file_id)
                for target in (f"/{file_id}", f"/old/{i}.jpg"):
                    reply = self.get(target)
                    if (reply.status, reply.body) != (200, content):
                        missing.append((target, reply.status))
        upload_and_get(30_000, 20)
        self.cluster.stop(self.node)
        try:
            upload_and_get(40_000, 1_000 if FULL else 100)
        finally:
            type(self).node = self.cluster.start_node(self.node)
            self.cluster.wait_active()
        upload_and_get(50_000, 20)
        self.assertEqual(missing, [])

    def cairn_alias(self, name, file_id):
        self.cairn("alias", "put", name, file_id)

    def test_a_condition_of_one_client_is_no_answer_for_another(self):
        """nginx would keep a 304 that has a lifetime, and give it to everybody."""
        for start in (self.start_nginx, self.start_nginx_cache):
            start()
            for target, content in self.contents.items():
                tag = self.direct(target).headers["etag"]
                self.assertEqual(self.get(target, If_None_Match=tag).status, 304, target)
                reply = self.get(target)
                self.assertEqual((reply.status, reply.body), (200, content), target)

    def test_nginx_keeps_hot_files(self):
        self.start_nginx_cache()
        self.compare_all()
        target, content = next(iter(self.contents.items()))
        self.assertEqual(self.get(target).headers["x-cache"], "HIT")
        self.cluster.stop(self.other)
        try:
            self.compare_all()
            # No node at all: what was asked for before is still answered, however old.
            self.cluster.stop(self.node)
            try:
                time.sleep(11)
                for one, wanted in self.contents.items():
                    self.assertEqual(self.get(one).body, wanted, one)
                self.assertEqual(self.get(target).headers["x-cache"], "STALE")
            finally:
                type(self).node = self.cluster.start_node(self.node)
        finally:
            type(self).other = self.cluster.start_node(self.other)
            self.cluster.wait_active()
        self.assertEqual(self.get(target).body, content)

    def test_nginx_forgets_what_is_gone(self):
        """Also when nobody tells it."""
        self.cluster.reconfigure(self.cluster.tracker, purge_cache=None)
        self.start_nginx_cache()
        content = workload.content_of(90, 4_000)
        ids = [self.cluster.upload(workload.content_of(90 + i, 4_000), "bin", node=self.node)
               for i in range(3)]
        for file_id in ids:
            self.assertEqual(self.get(f"/{file_id}").status, 200)
            self.assertEqual(self.get(f"/{file_id}").headers["x-cache"], "HIT")
        self.cairn("delete", *ids)
        wait_until("the deletion at both nodes", lambda: all(
            clusters.http_get(node.addr, node.http, f"/{file_id}").status == 404
            for node in self.cluster.storages for file_id in ids), 20)
        # Fetched anew on demand, by those who may, and otherwise after ten seconds.
        self.assertEqual(self.get(f"/{ids[0]}").body, content, "still in the cache")
        self.assertEqual(self.get(f"/{ids[0]}", source=self.other.addr, X_Cairn_Refresh="1").status, 200)
        self.assertEqual(self.get(f"/{ids[0]}", source=self.node.addr, X_Cairn_Refresh="1").status, 404)
        self.assertEqual(self.get(f"/{ids[0]}").status, 404)
        for file_id in ids[1:]:
            wait_until("the end of its ten seconds",
                       lambda u=file_id: self.get(f"/{u}").status == 404, 13)

        # A name that leads elsewhere. What still holds is not sent again.
        first, second = (self.cluster.upload(workload.content_of(i, 900), "bin", node=self.node)
                         for i in (95, 96))
        self.cairn_alias("/names/95.bin", first)
        wait_until("the alias", lambda: self.get("/old/95.bin").status == 200, 20)
        self.cairn_alias("/names/95.bin", second)
        wait_until("the new one", lambda: self.get("/old/95.bin").body ==
                   workload.content_of(96, 900), 40)
        wait_until("a question", lambda: self.get("/old/95.bin").headers["x-cache"] ==
                   "REVALIDATED", 25)

    def test_nginx_fetches_anew_what_changes(self):
        """What is kept counts for an hour here, and yet nothing that is gone is shown: the tracker
        has every URL of it fetched anew."""
        self.purge_at(f"nginx://{self.node.addr}:8084")
        self.start_nginx_cache(seconds=3600)
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.root))
        (folder / "dir").mkdir()
        for number in (1, 2):
            (folder / "dir" / str(number)).write_bytes(workload.content_of(number, 700))
        self.cairn("mkdir", "/front/dir")
        for number in (1, 2):
            self.cairn("cp", folder / "dir" / str(number), f":/front/dir/{number}")
        # Until then the tracker tells once more what it has told.
        quiet = time.monotonic() + 13

        def kept(target, content):
            """In the cache, surely."""
            wait_until(f"a hit of {target}", lambda: self.get(target).headers["x-cache"] == "HIT")
            self.assertEqual(self.get(target).body, content)

        def becomes(target, status, content=None):
            wait_until(f"{target} to be fetched anew", lambda: (
                lambda r: r.status == status and content in (None, r.body))(self.get(target)), 15)

        # A file by ID: two forms of its URL, with arguments, and an old name by a rule.
        content = workload.content_of(177, 5_000)
        file_id = self.cluster.upload(content, "bin", node=self.node)
        self.cairn_alias("/names/177.bin", file_id)
        urls = [f"/{file_id}", f"/{file_id}?v=2", "/" + file_id.split("/", 1)[1], "/old/177.bin"]
        wait_until("the alias", lambda: self.get("/old/177.bin").status == 200, 20)
        for url in urls:
            kept(url, content)
            # A part is cut out of what is kept.
            part = self.get(url, Range="bytes=10-19")
            self.assertEqual((part.status, part.body, part.headers["x-cache"]),
                             (206, content[10:20], "HIT"))
        for header in ("x-cairn-tags", "x-cairn-kept"):
            self.assertNotIn(header, self.get(urls[0]).headers)
        self.cairn("delete", file_id)
        for url in urls:
            becomes(url, 404)
        self.assertEqual(self.get(urls[0], method="HEAD").status, 404)

        # An alias that leads elsewhere.
        first, second = (self.cluster.upload(workload.content_of(i, 900), "bin", node=self.node)
                         for i in (178, 179))
        self.cairn_alias("/names/178.bin", first)
        wait_until("the alias", lambda: self.get("/old/178.bin").status == 200, 20)
        kept("/old/178.bin", workload.content_of(178, 900))
        self.cairn_alias("/names/178.bin", second)
        becomes("/old/178.bin", 200, workload.content_of(179, 900))

        # A path of an export: replaced, renamed, removed.
        self.cairn("cp", folder / "dir" / "1", ":/front/n")
        kept("/tree/n", workload.content_of(1, 700))
        self.cairn("cp", folder / "dir" / "2", ":/front/n")
        becomes("/tree/n", 200, workload.content_of(2, 700))
        self.cairn("mv", "/front/n", "/front/m")
        becomes("/tree/n", 404)
        kept("/tree/m", workload.content_of(2, 700))
        self.cairn("rm", "/front/m")
        becomes("/tree/m", 404)

        # By pattern: the files of a directory that was renamed have not changed, and nobody tells.
        for number in (1, 2):
            kept(f"/tree/dir/{number}", workload.content_of(number, 700))
        time.sleep(max(0, quiet - time.monotonic()))
        self.cairn("mv", "/front/dir", "/front/other")
        time.sleep(3)
        for number in (1, 2):
            kept(f"/tree/dir/{number}", workload.content_of(number, 700))
        self.cairn("purge", "--pattern", "^/tree/dir/[12]$")
        for number in (1, 2):
            becomes(f"/tree/dir/{number}", 404)

        metrics = clusters.http_get(self.cluster.tracker.addr, self.cluster.tracker.http, "/metrics")
        self.assertRegex(metrics.body.decode(), r"(?m)^cairn_cache_refreshes_total [1-9]")
        self.assertRegex(metrics.body.decode(), r"(?m)^cairn_cache_purge_waiting 0$")

    def test_nginx_beside_the_disk_fetches_anew_too(self):
        self.purge_at(f"nginx://{self.node.addr}:8081")
        self.start_nginx(seconds=3600)
        file_id = self.cluster.upload(workload.content_of(181, 5_000), "bin", node=self.node)
        self.cairn_alias("/names/181.bin", file_id)
        wait_until("the alias", lambda: self.get("/old/181.bin").status == 200, 20)
        # From the disk: nothing is kept. Then as something that came as a body.
        wait_until("it on this disk", lambda: "x-cache" not in self.get("/old/181.bin").headers)
        self.assertNotIn("x-cache", self.get("/old/181.bin").headers)
        self.assertEqual(self.get("/old/181.bin", X_Cairn_Refresh="1", source=self.node.addr)
                         .headers["x-cache"], "BYPASS")
        self.assertEqual(self.get("/old/181.bin").headers["x-cache"], "HIT")
        self.cairn("delete", file_id)
        wait_until("the end of it", lambda: self.get("/old/181.bin").status == 404, 15)

    def test_what_fronts_say_to_nodes_is_not_for_clients_to_say(self):
        """One client's header would else put an answer without a body, or "no such file", into the
        cache for everybody."""
        for start in (self.start_nginx, self.start_nginx_cache, self.start_haproxy,
                      self.start_varnish):
            start()
            for target, content in self.contents.items():
                for headers in ({"X_Cairn_Accel": "/bogus"}, {"X_Cairn_Tags": "1"},
                                {"X_Cairn_Kept": "3600"}, {}):
                    reply = self.get(target, **headers)
                    self.assertEqual((reply.status, reply.body), (200, content),
                                     (start.__name__, target, headers))
                    for name in ("x-accel-redirect", "x-cairn-tags"):
                        self.assertNotIn(name, reply.headers)
        # A front without these lines: the answer is for that header only.
        told = clusters.http_get(self.node.addr, self.node.http, next(iter(self.contents)),
                                 {"Host": HOST, "X-Cairn-Accel": "/x"})
        if "x-accel-redirect" in told.headers:
            self.assertEqual(told.headers["vary"], "X-Cairn-Accel")

    def test_uploads_pass_through_every_front(self):
        """Signed, with a length and in pieces, larger than what nginx would take by itself; and what
        is stored is seen and deleted through the front at once."""
        made = clusters.run_cairn("--conf", self.cluster.client_conf, "key", "add", "--rights", "all")
        key = made.stdout.split()[:2]
        content = workload.content_of(191, 3_000_000)
        for node in self.cluster.storages:
            wait_until("the key at the node", lambda n=node: b"does not match" not in clusters.http_get(
                n.addr, n.http, signing.sign("GET", "/group1/M00/00/00/none.jpg", *key)).body, 15)
        for start in (self.start_nginx, self.start_nginx_cache, self.start_haproxy,
                      self.start_varnish):
            start()
            for pieces in (False, True):
                stored = self.put(signing.sign("PUT", "/group1/a.jpg", *key), content, pieces)
                self.assertEqual(stored.status, 201, (start.__name__, pieces, stored))
                target = "/" + json.loads(stored.body)["id"]
                self.assertEqual(self.get(target).body, content, start.__name__)
                gone = clusters.http_get(self.node.addr, self.port,
                                         signing.sign("DELETE", target, *key), {}, "DELETE")
                self.assertEqual(gone.status // 100, 2, (start.__name__, gone))
            unsigned = self.put("/group1/a.jpg", b"x", False)
            self.assertIn(unsigned.status, (401, 403), start.__name__)

    def put(self, target, content, pieces):
        """Through the front; in chunks of unknown number, or with its length."""
        connection = http.client.HTTPConnection(self.node.addr, self.port, timeout=20)
        try:
            body = iter(content[i:i + 100_000] for i in range(0, len(content), 100_000))
            headers = {"Transfer-Encoding": "chunked"} if pieces else {}
            connection.request("PUT", target, body if pieces else content, headers,
                               encode_chunked=pieces)
            reply = connection.getresponse()
            return clusters.Response(reply.status, dict(reply.getheaders()), reply.read())
        finally:
            connection.close()

    def test_haproxy(self):
        self.start_haproxy()
        self.compare_all()
        self.compare_all()
        self.cluster.stop(self.other)
        try:
            self.compare_all()
        finally:
            type(self).other = self.cluster.start_node(self.other)
            self.cluster.wait_active()

    def test_varnish(self):
        self.start_varnish()
        self.compare_all()
        target, content = next(iter(self.contents.items()))
        self.assertEqual(self.get(target).headers["x-cache"], "HIT")
        self.assertEqual(self.get(target, method="PURGE").status, 200)
        self.assertEqual(self.get(target).headers["x-cache"], "MISS")
        self.assertEqual(self.get("/old/.*", method="BAN").status, 200)
        self.assertEqual(self.get(target).headers["x-cache"], "MISS")
        self.cluster.stop(self.other)
        try:
            self.assertEqual(self.get("/old/.*", method="BAN").status, 200)
            for one, wanted in self.contents.items():
                self.assertEqual(self.get(one).body, wanted, one)
        finally:
            type(self).other = self.cluster.start_node(self.other)
            self.cluster.wait_active()

    def test_what_changes_leaves_the_cache_under_every_url(self):
        self.purge_at(f"{self.node.addr}:8083")
        self.start_varnish()

        def cached(target):
            """The body, surely from the cache."""
            wait_until(f"a hit of {target}", lambda: self.get(target).headers["x-cache"] == "HIT")
            return self.get(target).body

        def gone(target, seconds=10):
            wait_until(f"{target} to leave the cache", lambda: self.get(target).status == 404,
                       seconds)

        # A file by ID: two forms of its URL, and an old name by a rule.
        content = workload.content_of(77, 5_000)
        file_id = self.cluster.upload(content, "bin", node=self.node)
        self.cairn("alias", "put", "/names/77.bin", file_id)
        urls = [f"/{file_id}", "/" + file_id.split("/", 1)[1], "/old/77.bin"]
        for url in urls:
            wait_until(url, lambda u=url: self.get(u).status == 200, 20)
            self.assertEqual(cached(url), content)
        self.assertNotIn("x-cairn-tags", self.get(urls[0]).headers)
        self.cairn("delete", file_id)
        for url in urls:
            gone(url)

        # An alias that leads elsewhere, and one that is made after it was asked for.
        first, second = (self.cluster.upload(workload.content_of(i, 900), "bin", node=self.node)
                         for i in (78, 79))
        self.cairn("alias", "put", "/names/78.bin", first)
        wait_until("the alias", lambda: self.get("/old/78.bin").status == 200, 20)
        self.assertEqual(cached("/old/78.bin"), workload.content_of(78, 900))
        self.cairn("alias", "put", "/names/78.bin", second)
        # Nodes themselves remember a name for ten seconds.
        wait_until("the new one", lambda: self.get("/old/78.bin").body ==
                   workload.content_of(79, 900), 30)

        # A path of an export, by a rule that lets caches keep it: replaced, renamed, removed.
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.root))
        for number in (1, 2):
            (folder / str(number)).write_bytes(workload.content_of(number, 700))
        self.cairn("cp", folder / "1", ":/front/a")
        self.assertEqual(cached("/tree/a"), workload.content_of(1, 700))
        self.cairn("cp", folder / "2", ":/front/a")
        wait_until("the new content",
                   lambda: self.get("/tree/a").body == workload.content_of(2, 700), 10)
        self.cairn("mv", "/front/a", "/front/b")
        gone("/tree/a")
        wait_until("its new name", lambda: self.get("/tree/b").status == 200, 10)
        self.assertEqual(cached("/tree/b"), workload.content_of(2, 700))
        self.cairn("rm", "/front/b")
        gone("/tree/b")

        # By hand, by URL.
        target, wanted = next(iter(self.contents.items()))
        self.assertEqual(cached(target), wanted)
        self.cairn("purge", "--pattern", "^/old/0")
        wait_until("a miss", lambda: self.get(target).headers["x-cache"] == "MISS", 10)


if __name__ == "__main__":
    unittest.main()
