"""Decisions of URL rules compared with the real nginx: the same location and the same captures for
10,000 random URLs over 200 random rule sets."""

import http.client
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import tempfile
import unittest

import cluster as clusters
from fastdfs import wait_until

SETS, URLS = 200, 50
ADDR = "127.0.0.1"
SEGMENTS = ["a", "b", "up", "img", "2011", "12", "x_10x20", "y.jpg", "z.PNG", "w-1.gif", "é", "A"]
REGEXES = [
    r"^/a/(?<y>\d+)/(.+)$", r"\.(jpg|png)$", r"^/(up|img)/(?<name>[^/]+)", r"/(\d{2,4})(/|$)",
    r"^/(?<p>.+)_(?<w>\d+)x(?<h>\d+)$", r"^/img", r"a.b", r"^/(?<one>[a-z]+)/(?<two>[a-z]+)$",
    r"(?i)^/UP/", r"^/[^/]+$", r"w-\d", r"/$", r"^/b/", r"\.gif$", r"^/up/2011/", "é",
]


def random_path(rng):
    parts = [rng.choice(SEGMENTS) for _ in range(rng.randint(0, 4))]
    if rng.random() < 0.2 and parts:
        parts.insert(rng.randrange(len(parts)), rng.choice(["", ".", ".."]))
    return "/" + "/".join(parts) + ("/" if rng.random() < 0.2 else "")


def random_locations(rng):
    """[(modifier, uri)] as nginx accepts them: no path twice, and "" for a plain prefix."""
    found, seen = [], set()
    for _ in range(rng.randint(1, 12)):
        kind = rng.choice(["=", "", "", "^~", "~", "~", "~*"])
        if kind.startswith("~"):
            found.append((kind, rng.choice(REGEXES)))
            continue
        path = random_path(rng)
        while "//" in path or "/./" in path or "/.." in path or path.endswith("/."):
            path = random_path(rng)
        if rng.random() < 0.3:
            path = path[: rng.randint(1, len(path))]  # prefixes end anywhere
        key = (kind == "=", path)
        if key not in seen:
            seen.add(key)
            found.append((kind, path))
    return found


def names_in(regex):
    return [part.split(">")[0] for part in regex.split("(?<")[1:]]


def encode(path, rng):
    """Percent-encodes some bytes; never '/', which the two treat differently."""
    out = []
    for byte in path.encode():
        plain = chr(byte)
        if byte >= 0x80 or plain in "%?#" or (plain != "/" and rng.random() < 0.1):
            out.append(f"%{byte:02{'x' if rng.random() < 0.5 else 'X'}}")
        else:
            out.append(plain)
    return "".join(out)


def nginx_quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$") + '"'


class RulesAgainstNginx(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.seed = int(os.environ.get("CAIRN_SEED") or random.SystemRandom().randrange(1 << 30))
        rng = random.Random(cls.seed)
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="cairn-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        cls.sets = [random_locations(rng) for _ in range(SETS)]
        cls.urls = [[encode(random_path(rng), rng) for _ in range(URLS)] for _ in range(SETS)]
        # The paths that the sets name are the interesting ones.
        for locations, urls in zip(cls.sets, cls.urls):
            for kind, uri in locations:
                if not kind.startswith("~"):
                    urls[rng.randrange(URLS)] = encode(uri, rng)
        rules, servers = [], []
        for number, locations in enumerate(cls.sets):
            ours, theirs = [], []
            for place, (kind, uri) in enumerate(locations):
                head = f"location {kind} {nginx_quoted(uri)}"
                ours.append(f"{head} {{ return 200 x; }}")
                values = [str(place + 1), "$uri"]
                if kind.startswith("~"):
                    values += [f"{name}=${{{name}}}" for name in names_in(uri)]
                theirs.append(f"{head} {{ return 200 {nginx_quoted('|'.join(values))}; }}")
            rules.append(f"rules s{number} {{ host s{number}.test;\n" + "\n".join(ours) + "}")
            servers.append(
                f"server {{ listen {ADDR}:@PORT@; server_name s{number}.test;\n"
                + "\n".join(theirs) + "}")
        (cls.root / "all.rules").write_text("\n".join(rules))
        cls.start_nginx("\n".join(servers))

    @classmethod
    def start_nginx(cls, servers):
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        with socket.socket() as probe:
            probe.bind((ADDR, 0))
            cls.port = probe.getsockname()[1]
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{kind}_temp_path {cls.root}/{kind};" for kind in kinds)
        (cls.root / "nginx.conf").write_text(
            f"daemon off; pid {cls.root}/pid; error_log {cls.root}/error.log; worker_processes 1;"
            f"events {{}} http {{ access_log off; {paths} default_type text/plain;"
            f"server_names_hash_bucket_size 128; server_names_hash_max_size 4096;\n"
            f"server {{ listen {ADDR}:{cls.port} default_server; return 200 ready; }}\n"
            + servers.replace("@PORT@", str(cls.port)) + "}\n")
        command = [program, "-p", str(cls.root), "-c", str(cls.root / "nginx.conf")]
        cls.nginx = subprocess.Popen(command + ["-e", str(cls.root / "error.log")],
                                     stdin=subprocess.DEVNULL)
        cls.addClassCleanup(cls.nginx.wait, 20)
        cls.addClassCleanup(cls.nginx.terminate)
        wait_until("nginx", lambda: clusters.http_get(ADDR, cls.port, "/").body == b"ready")

    def ask_nginx(self):
        """[(status, body)] for every URL."""
        connection = http.client.HTTPConnection(ADDR, self.port, timeout=20)
        found = []
        for number, urls in enumerate(self.urls):
            for url in urls:
                connection.putrequest("GET", url, skip_host=True)
                connection.putheader("Host", f"S{number}.Test:8080")
                connection.endheaders()
                reply = connection.getresponse()
                found.append((reply.status, reply.read().decode("utf-8", "surrogateescape")))
                if reply.will_close:
                    connection.close()
        connection.close()
        return found

    def ask_rules(self):
        urls = "\n".join(f"http://S{number}.Test:8080{url}"
                         for number, urls in enumerate(self.urls) for url in urls)
        done = subprocess.run(
            [clusters.binary("cairn"), "--json", "rules", "explain", "--file",
             str(self.root / "all.rules"), "-"],
            input=urls + "\n", capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_same_location_and_captures(self):
        theirs, ours = self.ask_nginx(), self.ask_rules()
        self.assertEqual(len(theirs), len(ours))
        self.assertEqual(len(theirs), SETS * URLS)
        decided = 0
        for index, (status, body) in enumerate(theirs):
            mine = ours[index]
            where = f"seed {self.seed}, {mine['url']}: nginx {status} {body!r}, rules {mine}"
            if status != 200:
                # Without a location nginx looks at its disk: 404, or 403 for a directory.
                self.assertIn(status, (400, 403, 404), where)
                self.assertEqual(mine.get("status"), 404 if status == 403 else status, where)
                continue
            decided += 1
            place, uri, *captures = body.split("|")
            self.assertEqual(mine.get("rule"), int(place), where)
            if not uri.isascii():
                continue  # JSON shows bytes that are no UTF-8 as replacements
            self.assertEqual(mine["path"], uri, where)
            for capture in captures:
                name, value = capture.split("=", 1)
                self.assertEqual(mine["captures"].get(name), value, where)
        self.assertGreater(decided, len(theirs) // 4, "the random sets decide too little")


if __name__ == "__main__":
    unittest.main()
