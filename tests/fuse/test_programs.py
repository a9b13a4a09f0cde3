"""Programs that people run in a directory: databases, archives, version control, rsync."""

import contextlib
import os
import pathlib
import shutil
import sqlite3
import subprocess
import tarfile
import unittest

import mounts

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, **options)
    if done.returncode != 0:
        raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


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
