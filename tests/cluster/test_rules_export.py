"""`cairn rules export`: a real nginx and a real HAProxy with the exported rules choose the location
that the rules choose, and ask the storage node for the object that the rules name."""

import http.server
import json
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import unittest
import urllib.parse

import cluster as clusters
import test_rules_nginx as shapes
from fastdfs import wait_until

SETS, URLS = 30, 40
ADDR = "127.0.0.1"
HOST = "img.test"
NAMED = r"""
rules named {
    host img.test;
    cache public max-age=60s;
    map $brand $bucket { default misc; nike b-nike; "~^adi" b-adidas; }
    origin old { type http; server @OLD@; store off; }
    location = /gone          { return 410 gone; }
    location = /moved         { redirect 301 http://new.test/there; }
    location ~ "^/(?<brand>[a-z]+)/(?<p>.+)_(?<w>\d{2,4})\.(?<ext>jpg|png)$" {
        require $w in 50 100;
        deny    400;
        object  path:/images/$bucket/$p.$ext;
    }
    location ~* "^/up/(\d{4})/(.+)$" { object alias:/names/$1/$2; }
    location ^~ /group1/      { object id:$uri; }
    location /old/            { object path:/images$uri; on_miss pull old; }
    location /leech/          { object path:/images$uri; referer allow none *.img.test; }
}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind((ADDR, 0))
        return probe.getsockname()[1]


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers who it is and what it was asked for; 404 for what has `missing` in it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        missing = self.server.label == "node" and "missing" in self.path
        body = f"{self.server.label} {self.path}".encode()
        self.send_response(404 if missing else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-cache")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class RulesExport(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="cairn-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        cls.node, cls.old = (cls.echo(label) for label in ("node", "old"))
        (cls.root / "named.rules").write_text(NAMED.replace("@OLD@", f"{ADDR}:{cls.old}"))
        cls.seed = int(os.environ.get("CAIRN_SEED") or random.SystemRandom().randrange(1 << 30))
        rng = random.Random(cls.seed)
        cls.urls, sets = [], []
        for number in range(SETS):
            locations = shapes.random_locations(rng)
            lines = [f"location {kind} {shapes.nginx_quoted(uri)} {{ return 200 n{place}; }}"
                     for place, (kind, uri) in enumerate(locations, 1)]
            sets.append(f"rules s{number} {{ host s{number}.test;\n" + "\n".join(lines) + "}")
            paths = [shapes.encode(shapes.random_path(rng), rng) for _ in range(URLS)]
            paths += [shapes.encode(uri, rng) for kind, uri in locations if kind[:1] != "~"]
            cls.urls += [(f"s{number}.test", path) for path in paths]
        (cls.root / "random.rules").write_text("\n".join(sets))

    @classmethod
    def echo(cls, label):
        server = http.server.ThreadingHTTPServer((ADDR, 0), Echo)
        server.label = label
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cls.addClassCleanup(server.server_close)
        cls.addClassCleanup(server.shutdown)
        return server.server_port

    def cairn(self, *args, stdin=None):
        return subprocess.run([clusters.binary("cairn"), "--json", "rules", *map(str, args)],
                              input=stdin, capture_output=True, text=True, timeout=120)

    def export(self, front, rules, port):
        done = self.cairn("export", front, self.root / rules, "--listen", f"{ADDR}:{port}",
                          "--node", f"{ADDR}:{self.node}")
        self.assertIn(done.returncode, (0, 2), done.stderr)
        told = json.loads(done.stdout)
        self.assertEqual(done.returncode, 2 if told["notes"] else 0)
        return told

    def start(self, command, port):
        process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL)
        self.addCleanup(process.wait, 20)
        self.addCleanup(process.terminate)

        def answers():
            self.assertIsNone(process.poll(), f"{command[0]} does not start")
            try:
                socket.create_connection((ADDR, port), 1).close()
                return True
            except OSError:
                return False

        wait_until(str(command[0]), answers, 20)

    def start_nginx(self, rules):
        port = free_port()
        told = self.export("nginx", rules, port)
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.root))
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
        (folder / "rules.conf").write_text(told["configuration"])
        (folder / "nginx.conf").write_text(
            f"daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;"
            f"events {{}} http {{ access_log off; {paths} default_type text/plain;"
            "server_names_hash_bucket_size 128; include rules.conf; }\n")
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        self.start([program, "-p", folder, "-c", folder / "nginx.conf", "-e",
                    folder / "error.log"], port)
        return port, told["notes"]

    def start_haproxy(self, rules):
        port = free_port()
        told = self.export("haproxy", rules, port)
        path = self.root / f"{rules}.cfg"
        path.write_text("global\n    maxconn 100\ndefaults\n    mode http\n    timeout connect 5s\n"
                        "    timeout client 20s\n    timeout server 20s\n" + told["configuration"])
        program = shutil.which("haproxy") or "/usr/sbin/haproxy"
        self.start([program, "-db", "-f", path], port)
        return port, told["notes"]

    def explain(self, rules, urls):
        done = self.cairn("explain", "--file", self.root / rules, "-",
                          stdin="".join(f"http://{host}{path}\n" for host, path in urls))
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def same_locations(self, port, urls):
        ours = self.explain("random.rules", urls)
        self.assertEqual(len(ours), len(urls))
        decided = 0
        for (host, path), mine in zip(urls, ours):
            theirs = clusters.http_get(ADDR, port, path, {"Host": host})
            where = f"seed {self.seed}, http://{host}{path}: {theirs.status} {theirs.body}, {mine}"
            if mine.get("status") == 200:
                decided += 1
                self.assertEqual((theirs.status, theirs.body), (200, mine["body"].encode()), where)
            else:
                self.assertIn(theirs.status, (400, 404), where)
        self.assertGreater(decided, len(urls) // 4)

    def test_nginx_chooses_the_same_location(self):
        port, notes = self.start_nginx("random.rules")
        self.assertEqual(notes, [])
        self.same_locations(port, self.urls)

    def test_haproxy_chooses_the_same_location(self):
        port, notes = self.start_haproxy("random.rules")
        self.assertEqual(notes, [])
        # HAProxy leaves the path as it came, but for percents.
        plain = [(host, path) for host, path in self.urls
                 if not re.search("//|/[.]", urllib.parse.unquote(path, "latin-1"))]
        self.same_locations(port, plain)

    def get(self, port, path, **headers):
        return clusters.http_get(ADDR, port, path, {"Host": HOST, **headers})

    def objects(self, port):
        for path, asked in (("/nike/shoe_100.jpg", "/images/b-nike/shoe.jpg"),
                            ("/adidas/shoe_50.png", "/images/b-adidas/shoe.png"),
                            ("/puma/a%20b_50.png", "/images/misc/a%20b.png")):
            yield path, asked, "map"
        yield "/UP/2011/x/y.jpg?z", "/names/2011/x/y.jpg", "alias"
        yield "/group1/M00/00/01/abc.jpg", "/group1/M00/00/01/abc.jpg", "id"

    def test_nginx_asks_for_the_object(self):
        port, notes = self.start_nginx("named.rules")
        self.assertTrue(any("aliases" in note for note in notes), notes)
        for path, asked, _ in self.objects(port):
            reply = self.get(port, path)
            self.assertEqual((reply.status, reply.body.decode()), (200, f"node {asked}"), path)
            self.assertEqual(reply.headers["cache-control"], "public, max-age=60")
        self.assertEqual(self.get(port, "/nike/shoe_101.jpg").status, 400)
        self.assertEqual(self.get(port, "/gone").status, 410)
        moved = self.get(port, "/moved")
        self.assertEqual((moved.status, moved.headers["location"]), (301, "http://new.test/there"))
        self.assertEqual(self.get(port, "/nothing").status, 404)
        # What is not there comes from the old server, by its old path.
        self.assertEqual(self.get(port, "/old/a.jpg").body, b"node /images/old/a.jpg")
        self.assertEqual(self.get(port, "/old/missing.jpg").body, b"old /old/missing.jpg")
        self.assertEqual(self.get(port, "/leech/a.jpg").status, 200)
        self.assertEqual(self.get(port, "/leech/a.jpg", Referer="http://evil.test/").status, 403)
        self.assertEqual(self.get(port, "/leech/a.jpg", Referer="http://a.img.test/").status, 200)

    def test_haproxy_asks_for_the_object(self):
        port, notes = self.start_haproxy("named.rules")
        told = "\n".join(notes)
        for word in ("map", "require", "on_miss", "referer"):
            self.assertIn(f"'{word}'", told)
        for path, asked, kind in self.objects(port):
            if kind == "map":
                continue
            reply = self.get(port, path.split("?")[0])
            self.assertEqual((reply.status, reply.body.decode()), (200, f"node {asked}"), path)
        self.assertEqual(self.get(port, "/gone").status, 410)
        self.assertEqual(self.get(port, "/moved").headers["location"], "http://new.test/there")
        self.assertEqual(self.get(port, "/nothing").status, 404)


if __name__ == "__main__":
    unittest.main()
