"""Programs that people run in a directory: databases, archives, version control, rsync."""

import contextlib
import os
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

import mounts
from fastdfs import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, **options)
    if done.returncode != 0:
        raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


NGINX = """
daemon off;
pid {scratch}/pid;
error_log {scratch}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {scratch}/1;
  proxy_temp_path {scratch}/2;
  fastcgi_temp_path {scratch}/3;
  uwsgi_temp_path {scratch}/4;
  scgi_temp_path {scratch}/5;
  sendfile on;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""

# Loopback addresses are never a proxy's business, whatever the environment says.
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(url):
    for _ in range(100):
        try:
            with HTTP.open(url, timeout=30) as reply:
                return reply.read()
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
            time.sleep(0.05)  # it is still starting
    raise AssertionError(f"nobody answers {url}")


def need(program):
    if shutil.which(program) is None:
        raise unittest.SkipTest(f"SKIPPED: no {program} here")


class Programs(mounts.MountTest):
    def setUp(self):
        self.files = self.mount()
        self.here = self.files.path(self._testMethodName)
        os.mkdir(self.here)

    def test_sqlite_in_both_journal_modes(self):
        def run_sql(*statements):
            # Closed each time: what is left open keeps the mount.
            with contextlib.closing(sqlite3.connect(path)) as base, base:
                return [base.execute(*statement).fetchall() for statement in statements]

        for mode in ("DELETE", "WAL"):
            path = os.path.join(self.here, mode)
            run_sql((f"PRAGMA journal_mode={mode}",),
                    ("CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)",))
            for _ in range(15):
                run_sql(*[("INSERT INTO t (data) VALUES (?)", (os.urandom(500),))] * 10)
            self.files.down()
            self.files.up()
            self.assertEqual(run_sql(("PRAGMA integrity_check",), ("SELECT count(*) FROM t",)),
                             [[("ok",)], [(150,)]])

    def test_an_archive_and_two_copies(self):
        archive = self.files.path("tree.tar")
        with tarfile.open(archive, "w") as tar:
            tar.add(ROOT / "common", "common")
        run("tar", "-x", "-f", archive, "-C", self.here)
        self.assertEqual(run("diff", "-r", ROOT / "common", os.path.join(self.here, "common")), "")
        run("cp", "-a", os.path.join(self.here, "common"), os.path.join(self.here, "copy"))
        self.assertEqual(run("diff", "-r", ROOT / "common", os.path.join(self.here, "copy")), "")

    def test_a_second_rsync_has_nothing_to_say(self):
        need("rsync")
        command = ["rsync", "-ai", f"{ROOT}/common/", os.path.join(self.here, "common/")]
        self.assertNotEqual(run(*command), "")
        self.assertEqual(run(*command), "")

    def test_nginx_serves_whole_files_while_they_are_replaced(self):
        need("nginx")
        writer = self.mount()
        os.chmod(self.here, 0o755)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        scratch = tempfile.mkdtemp(prefix="cairn-nginx-")
        self.addCleanup(shutil.rmtree, scratch)
        conf = os.path.join(scratch, "nginx.conf")
        with open(conf, "w", encoding="utf-8") as file:
            file.write(NGINX.format(scratch=scratch, port=port, root=self.here))

        def put(version):
            # As publishers do it: a new file, renamed over the old one.
            there = writer.path(self._testMethodName)
            with open(os.path.join(there, "new"), "wb") as file:
                file.write(bytes([version]) * (40_000 + version))
            os.rename(os.path.join(there, "new"), os.path.join(there, "page"))

        put(0)
        server = subprocess.Popen(["nginx", "-p", scratch, "-c", conf])
        try:
            seen = set()
            for version in range(1, 40):
                changing = threading.Thread(target=put, args=(version,))
                changing.start()
                for _ in range(5):
                    body = fetch(f"http://127.0.0.1:{port}/page")
                    self.assertEqual(body, body[:1] * (40_000 + body[0]))
                    seen.add(body[0])
                changing.join()
            self.assertGreater(len(seen), 5)
            wait_until("the last version",
                       lambda: fetch(f"http://127.0.0.1:{port}/page")[0] == 39, 5)
        finally:
            server.terminate()
            server.wait(30)
            with open(os.path.join(scratch, "error.log"), encoding="utf-8") as log:
                print(log.read(), end="", file=sys.stderr)

    def test_git(self):
        need("git")
        origin = os.path.join(self.here, "origin")
        shutil.copytree(ROOT / "common" / "base", origin)
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "safe.directory=*"]
        run("git", "init", "-q", origin)
        run("git", *who, "-C", origin, "add", ".")
        run("git", *who, "-C", origin, "commit", "-q", "-m", "all")
        clone = os.path.join(self.here, "clone")
        run("git", *who, "clone", "-q", "--no-local", origin, clone)
        run("git", *who, "-C", clone, "gc", "-q")
        run("git", *who, "-C", clone, "fsck", "--full", "--strict")
        self.assertEqual(run("git", *who, "-C", clone, "status", "--porcelain"), "")


if __name__ == "__main__":
    unittest.main(verbosity=2)
