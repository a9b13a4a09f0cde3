"""The configurations of conf/ for nginx, HAProxy and Varnish in front of a cluster with URL rules:
the same bytes, times and types as directly, nodes that stop, the pages that are nobody's business."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import cluster as clusters
import workload
from fastdfs import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
FULL = bool(os.environ.get("CAIRN_TEST_FULL"))
HOST = "img.test"
SAME = ("content-type", "content-length", "last-modified", "cache-control", "etag",
        "x-content-type-options", "content-security-policy")


def program(name):
    return shutil.which(name) or f"/usr/sbin/{name}"


class Fronts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # nginx's workers are another user: they must get through to the store path.
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="cairn-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        os.chmod(cls.root, 0o755)
        cls.cluster = clusters.Cluster(storages=2, root=str(cls.root / "cluster"))
        os.mkdir(cls.cluster.root, 0o755)
        cls.addClassCleanup(cls.cluster.down)
        cls.cluster.start()
        cls.cluster.wait_active()
        cls.node, cls.other = cls.cluster.storages
        rules = cls.root / "t.rules"
        rules.write_text(f"rules t {{ host {HOST}; pass; cache public max-age=60s;\n"
                         "location ~ ^/old/(.+)$ { object alias:/names/$1; }\n"
                         "location ~ ^/tree/(.+)$ { object path:/front/$1; }\n"
                         "location = /moved { redirect 301 http://new.test/; }\n"
                         "test GET /moved -> status 301; }")
        cls.cairn("rules", "load", rules)
        cls.contents = {}
        lines = []
        for i, extension in enumerate(("jpg", "png", "html", "bin") * 5):
            content = workload.content_of(i, 1_000 + 997 * i)
            file_id = cls.cluster.upload(content, "bin", node=(cls.node, cls.other)[i % 2])
            name = f"{i} ä.{extension}"
            lines.append(f"/names/{name}\t{file_id}\t{1_300_000_000 + i}")
            cls.contents[f"/old/{i}%20%C3%A4.{extension}"] = content
        cls.cairn("alias", "load", "-", stdin="\n".join(lines) + "\n")

    @classmethod
    def cairn(cls, *args, stdin=""):
        subprocess.run([clusters.binary("cairn"), "--conf", cls.cluster.client_conf,
                        *map(str, args)], input=stdin, text=True, check=True, timeout=60,
                       stdout=subprocess.DEVNULL)

    def start(self, command, port):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait, 20)
        self.addCleanup(process.terminate)
        self.port = port
        wait_until(command[0], lambda: self.answers(), 30)

    def answers(self):
        try:
            return self.get("/healthz").status == 200
        except OSError:
            return False

    def sample(self, name, replacements):
        text = (ROOT / "conf" / name).read_text()
        for there, here in replacements:
            self.assertIn(there, text)
            text = text.replace(there, here)
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.root))
        os.chmod(folder, 0o755)
        path = folder / pathlib.Path(name).name
        path.write_text(text)
        return path

    def get(self, target, method="GET", **headers):
        headers = {key.replace("_", "-"): value for key, value in headers.items()}
        return clusters.http_get(self.node.addr, self.port, target, {"Host": HOST, **headers}, method)

    def direct(self, target):
        return clusters.http_get(self.node.addr, self.node.http, target, {"Host": HOST})

    def start_nginx(self):
        sample = self.sample("nginx/old-urls.conf", (
            ("listen 8080", f"listen {self.node.addr}:8081"),
            ("server 127.0.0.1:8888", f"server {self.node.addr}:{self.node.http}"),
            ("/var/lib/cairn/storage/path0", self.node.store_paths[0]),
            ("/var/cache/nginx/cairn", str(self.root / "nginx-cache")),
        ))
        folder = sample.parent
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
        (folder / "nginx.conf").write_text(
            f"daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;"
            f"events {{}} http {{ access_log {folder}/access.log; {paths} include old-urls.conf; }}\n")
        self.start([program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf"),
                    "-e", str(folder / "error.log")], 8081)

    def start_haproxy(self):
        sample = self.sample("haproxy/cairn.cfg", (
            ("bind :8080", f"bind {self.node.addr}:8082"),
            ("127.0.0.1:8888", f"{self.node.addr}:{self.node.http}"),
            ("127.0.0.2:8888", f"{self.other.addr}:{self.other.http}"),
        ))
        self.start([program("haproxy"), "-db", "-f", str(sample)], 8082)

    def start_varnish(self):
        sample = self.sample("varnish/cairn.vcl", (
            ('"127.0.0.1"; .port = "8888"', f'"{self.node.addr}"; .port = "{self.node.http}"'),
            ('"127.0.0.2"; .port = "8888"', f'"{self.other.addr}"; .port = "{self.other.http}"'),
        ))
        self.start([program("varnishd"), "-F", "-n", str(sample.parent / "n"), "-f", str(sample),
                    "-a", f"{self.node.addr}:8083", "-s", "malloc,16m", "-t", "60"], 8083)

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

    def test_haproxy(self):
        self.start_haproxy()
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
        self.cluster.reconfigure(self.cluster.tracker, purge_cache=f"{self.node.addr}:8083")
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
        self.cairn("export", "add", "front", "--public")
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
