"""An access log over a migrated tree, replayed against the old server and the new one: directly and
through stock nginx and HAProxy. Equal status, bytes, length, type and Last-Modified for every line
(CAIRN_TEST_FULL: 100,000 lines). And a log that is larger than memory should ever be."""

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.parse

import cluster as clusters
import fronts
import workload
from fastdfs import wait_until
from fronts import HOST

FILES, LINES = (5_000, 100_000) if workload.FULL else (300, 2_000)
EXTENSIONS = ["jpg", "jpg", "jpg", "JPG", "jpeg", "png", "gif", "webp", "html", "css", "txt", "svg",
              "ico", "bin", "unknown", ""]
ODD = ["a b", "ä€", "100%", "a+b", "q?x", "semi;colon", "hash#1", "ampers&nd", "quote'\"", "UPPER",
       "-dash", "tilde~", "comma,", "colon:x", "star*", "[b]", "back\\slash", "trailing "]


def measured(command, **options):
    """Runs a command; its output and the most memory it had, in KiB."""
    done = subprocess.run([sys.executable, "-c", MEASURE, *map(str, command)],
                          capture_output=True, text=True, check=True, **options)
    return json.loads(done.stdout)


# A process of its own, so that ru_maxrss is that of the command alone.
MEASURE = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdin=sys.stdin, stdout=subprocess.PIPE, text=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps([done.returncode, peak, done.stdout]))
"""


class Replay(fronts.FrontTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.seed = int(os.environ.get("CAIRN_SEED") or random.SystemRandom().randrange(1 << 30))
        rng = random.Random(cls.seed)
        cls.old = cls.root / "old"
        cls.names = [cls.make(rng, number) for number in range(FILES)]
        cls.start_old_server()
        cls.migrate()
        cls.log = cls.root / "access.log"
        cls.write_log(rng)

    @classmethod
    def make(cls, rng, number):
        """One old file, and the URL that the old server has it under."""
        folder = rng.choice(["photos/2011/03", "photos/2012", "up/a", "up/b/c", "shop", "deep/er/and/er"])
        extension = rng.choice(EXTENSIONS)
        stem = f"{rng.choice(ODD)}{number}" if rng.random() < 0.3 else str(number)
        name = f"{folder}/{stem}" + ("." + extension if extension else "")
        path = cls.old / name
        path.parent.mkdir(parents=True, exist_ok=True)
        size = rng.choice([0, 1, 500, 5_000, 20_000, 70_000, 300_000])
        path.write_bytes(workload.content_of(number, size))
        time = 1_200_000_000 + number * 997
        os.utime(path, (time, time))
        return "/" + urllib.parse.quote(name, safe="/+;,:'*~&[]" if number % 2 else "/")

    @classmethod
    def start_old_server(cls):
        """Stock nginx over the old tree, as it may have been."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=cls.root))
        os.chmod(folder, 0o755)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
        cls.old_port = 8085
        (folder / "nginx.conf").write_text(
            f"daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1; "
            f"events {{ worker_connections 1024; }} http {{ access_log off; {paths} "
            "include /etc/nginx/mime.types; default_type application/octet-stream;"
            f"server {{ listen {cls.node.addr}:{cls.old_port}; root {cls.old}; }} }}\n")
        process = subprocess.Popen(
            [fronts.program("nginx"), "-p", folder, "-c", folder / "nginx.conf", "-e",
             folder / "error.log"], stdin=subprocess.DEVNULL)
        cls.addClassCleanup(process.wait, 20)
        cls.addClassCleanup(process.terminate)
        wait_until("the old server", lambda: clusters.http_get(
            cls.node.addr, cls.old_port, cls.names[0]).status == 200)

    @classmethod
    def migrate(cls):
        """All but "up" is migrated into an export; "up" is pulled as it is asked for."""
        cls.cairn("export", "add", "legacy", "--public", "--copies", "1")
        for folder in ("photos", "shop", "deep"):
            if not (cls.old / folder).exists():
                continue
            clusters.run_cairn("--conf", cls.cluster.client_conf, "--state", cls.root / "state",
                               "run", "--job", folder, "-a", cls.old / folder, "legacy",
                               program="cairn-migrate", timeout=600)
        rules = cls.root / "legacy.rules"
        rules.write_text(
            f"rules legacy {{ host {HOST};\n"
            f"origin old {{ type http; server {cls.node.addr}:{cls.old_port}; timeout 20s;\n"
            "              inflight 256; not_found_ttl 60s; }\n"
            "location /up/ { on_miss pull old; }\n"
            "location / { object path:/legacy$uri; }\n"
            "test GET /photos/a.jpg -> object path:/legacy/photos/a.jpg;\n"
            "test GET /up/a.jpg -> object alias:/up/a.jpg, miss pull old;\n}\n")
        cls.cairn("rules", "load", rules)

    @classmethod
    def write_log(cls, rng):
        """Lines as nginx writes them: popular files and rare ones, misses, parts, other methods."""
        with open(cls.log, "w", encoding="utf-8") as log:
            for number in range(LINES):
                target = cls.names[min(int(rng.expovariate(8 / FILES)), FILES - 1)]
                status, length = 200, "-"
                kind = rng.random()
                if kind < 0.03:
                    target, status = target + "-gone", 404
                elif kind < 0.06:
                    status, length = 304, "0"
                elif kind < 0.08:
                    target += "?v=3&x=%20"
                method = "POST" if kind > 0.999 else "HEAD" if kind > 0.99 else "GET"
                log.write(f'10.0.0.{number % 250} - - [22/Nov/2026:00:00:00 +0000] "{method} {target} '
                          f'HTTP/1.1" {status} {length} "http://a.test/" "Mozilla/5.0"\n')

    def replay(self, server):
        done = subprocess.run(
            [clusters.binary("cairn"), "--conf", self.cluster.client_conf, "--json", "rules",
             "replay", self.log, "--host", HOST, "--server", server, "--old",
             f"{self.node.addr}:{self.old_port}"],
            capture_output=True, text=True, timeout=3_000, check=False)
        report = json.loads(done.stdout)
        self.assertEqual((report["differing"], report["lost"], report["unreadable"]), (0, 0, 0),
                         f"seed {self.seed}: {report['examples'][:20]}")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(report["lines"], LINES)
        self.assertEqual(report["compared"] + report["other_methods"], LINES)
        self.assertGreater(report["objects"], LINES * 9 // 10)
        return report

    def test_directly_first_and_again(self):
        self.replay(f"{self.node.addr}:{self.node.http}")
        # Now everything that is pulled is stored, and the other node has it as well.
        self.replay(f"{self.other.addr}:{self.other.http}")

    def test_through_nginx(self):
        self.start_nginx()
        self.replay(f"{self.node.addr}:{self.port}")

    def test_through_a_cache_of_nginx(self):
        self.start_nginx_cache()
        self.replay(f"{self.node.addr}:{self.port}")

    def test_through_haproxy(self):
        self.start_haproxy()
        self.replay(f"{self.node.addr}:{self.port}")

    def test_a_difference_is_found(self):
        """The comparison above can fail."""
        path = self.old / "photos" / "changed.jpg"
        path.write_bytes(b"before")
        os.utime(path, (1_300_000_000, 1_300_000_000))
        clusters.run_cairn("--conf", self.cluster.client_conf, "--state", self.root / "state2",
                           "run", "--job", "again", "-a", self.old / "photos", "legacy",
                           program="cairn-migrate", timeout=600)
        log = self.root / "one.log"
        log.write_text('1.2.3.4 - - [x] "GET /photos/changed.jpg HTTP/1.1" 200 6 "-" "t"\n')
        for content, time, word in ((b"before", 1_300_000_000, None),
                                    (b"beforE", 1_300_000_000, "other bytes"),
                                    (b"longer than", 1_300_000_000, "length"),
                                    (b"before", 1_300_000_001, "last-modified")):
            path.write_bytes(content)
            os.utime(path, (time, time))
            done = subprocess.run(
                [clusters.binary("cairn"), "--conf", self.cluster.client_conf, "--json", "rules",
                 "replay", log, "--host", HOST, "--server", f"{self.node.addr}:{self.node.http}",
                 "--old", f"{self.node.addr}:{self.old_port}"],
                capture_output=True, text=True, timeout=60, check=False)
            report = json.loads(done.stdout)
            self.assertEqual(done.returncode, 8 if word else 0, report)
            if word:
                self.assertIn(word, report["examples"][0]["why"])


class BigLog(unittest.TestCase):
    """replay and suggest take a log of any size, and any rubbish, in the same memory."""

    SIZE = (10 << 30) if workload.FULL else (48 << 20)

    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="cairn-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        cls.rules = cls.root / "a.rules"
        cls.rules.write_text("rules a { location /a/ { object alias:$uri; } }\n")

    def block(self):
        """About a MiB: good lines with ever new shapes, and what no log should have."""
        rng = random.Random(7)
        lines = [b'1.2.3.4 - - [x] "GET /a/%d.jpg HTTP/1.1" 200 10 "-" "t"' % i for i in range(4_000)]
        lines += [b'1.2.3.4 - - [x] "GET /b%s/%d.e%d HTTP/1.1" 200 1 "-" "t"' %
                  (bytes(rng.choices(b"abcdefghij", k=12)), i, i) for i in range(4_000)]
        lines += [rng.randbytes(200).replace(b"\n", b"") for _ in range(200)]
        lines += [b'"GET /' + b"x" * 300_000 + b' HTTP/1.1" 200 1', b"\0" * 1000, b'"""\\', b""]
        rng.shuffle(lines)
        return b"\n".join(lines) + b"\n"

    def run_on_big_log(self, *verb):
        """Fed through a pipe: ten gigabytes need no disk."""
        block = self.block()
        read_end, write_end = os.pipe()

        def feed():
            with os.fdopen(write_end, "wb") as out:
                try:
                    for _ in range(self.SIZE // len(block) + 1):
                        out.write(block)
                except BrokenPipeError:
                    pass
        feeder = threading.Thread(target=feed)
        feeder.start()
        with os.fdopen(read_end, "rb") as pipe:
            code, peak, out = measured([clusters.binary("cairn"), "--json", "rules", *verb],
                                       stdin=pipe, timeout=3_000)
        feeder.join()
        return code, peak, out

    def test_replay(self):
        code, peak, out = self.run_on_big_log("replay", "-", "--file", self.rules)
        report = json.loads(out)
        self.assertEqual(code, 8)
        self.assertGreater(report["lines"], 8_000 * (self.SIZE >> 20) // 2)
        self.assertGreater(report["unreadable"], 0)
        self.assertLess(peak, 64 << 10, "KiB")

    def test_suggest(self):
        code, peak, out = self.run_on_big_log("suggest", "-")
        self.assertEqual(code, 0)
        self.assertIn("rules suggested", out)
        self.assertLess(peak, 64 << 10, "KiB")


if __name__ == "__main__":
    unittest.main()
