"""A tar stream as the source: as GNU tar writes it, compressed or not, cut off, killed, hostile."""

import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import tarfile
import time
import unittest

import cluster as clusters
import trees


class Tar(trees.MigrateTest):
    def pack(self, name, *options, what=(".",)):
        """The source as GNU tar packs it."""
        path = os.path.join(self.folder, name)
        subprocess.run(["tar", *options, "-C", self.source, "-cf", path, *what], check=True,
                       stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return path

    def start(self, stream, *args):
        return subprocess.Popen([clusters.binary("cairn-migrate"), *self.command("--json", *args)],
                                stdin=stream, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def stream(self, path, *args, check=0):
        """The summary of a run that reads `path` from its standard input."""
        with open(path, "rb") as file, self.start(file, *args) as process:
            out, err = process.communicate(timeout=200)
        self.assertEqual(process.returncode, check, (out[-3000:], err[-3000:]))
        return json.loads(out.splitlines()[-1])

    def test_all_that_tar_can_pack(self):
        trees.make_tree(self.source, 41)
        path = self.pack("all.tar", "--format=posix", "-S")
        done = self.stream(path, "run", "--job", "t", "-", self.export)
        self.assertEqual((done["failed"], done["foreign"]), (0, 0))
        self.assert_same()
        self.assertEqual(self.manifest("t"), trees.hashes(self.source))
        self.assertEqual(self.summary("verify", "--reread", "t")["different"], 0)
        # The same once more: nothing is to be done.
        again = self.stream(path, "resume", "t")
        self.assertEqual((again["files"], again["unchanged"], again["debt"]), (0, 0, 0))
        self.stream(path, "freeze", "t")
        # What is new or changed in a later one; what it has no more stays.
        os.remove(f"{self.source}/2000/00/00000.jpg")
        trees.write(f"{self.source}/2000/00/00001.jpg", b"changed")
        trees.write(f"{self.source}/2000/00/new.jpg", b"new")
        later = self.stream(self.pack("later.tar", "--format=posix", "-S"), "resume", "t")
        self.assertEqual((later["files"], later["removed"]), (2, 0))
        self.assertIn(b"2000/00/00000.jpg", trees.describe(self.back()))

    def test_compressed_and_without_directories(self):
        trees.make_tree(self.source, 42, directories=4, odd=False)
        path = self.pack("old.tgz", "--format=gnu", "-z",
                         what=("--no-recursion", "-T", self.names("2000/00", "2001/01")))
        done = self.summary("run", "--job", "z", f"tar:{path}", self.export)
        self.assertEqual((done["files"], done["failed"]), (20, 0))
        self.assertEqual({p: e[-1] for p, e in trees.describe(self.back()).items() if len(e) > 5},
                         {p: h for p, h in trees.hashes(self.source).items()
                          if p.startswith((b"2000/00/", b"2001/01/"))})
        self.assertEqual(self.summary("verify", "--reread", "z")["different"], 0)
        self.migrate("freeze", "z")
        self.migrate("gate", "z", check=41)  # verified before the last pass
        self.migrate("verify", "z")
        self.migrate("gate", "z")

    def names(self, *folders):
        listed = os.path.join(self.folder, "names")
        with open(listed, "w", encoding="utf-8") as file:
            for folder in folders:
                for name in sorted(os.listdir(f"{self.source}/{folder}")):
                    file.write(f"{folder}/{name}\n")
        return listed

    def test_a_stream_that_is_cut_off_or_killed(self):
        rng = random.Random(43)
        os.makedirs(self.source)
        for number in range(3000):
            trees.write(f"{self.source}/{number:05}", rng.randbytes(4000), 10**18 + number)
        trees.write(f"{self.source}/zz-long", rng.randbytes(40 << 20), 10**18)
        path = self.pack("many.tar", "--format=posix", "--sort=name")
        cut = os.path.join(self.folder, "cut.tar")
        shutil.copy(path, cut)
        os.truncate(cut, os.path.getsize(cut) // 3)
        done = self.stream(cut, "run", "--job", "c", "-", self.export, check=11)
        self.assertIn("tar", done["error"])
        for pause in (0.3, 0.6):
            with open(path, "rb") as file, self.start(file, "resume", "c") as process:
                time.sleep(pause)
                process.kill()
        self.stream(path, "resume", "c")
        self.assert_same()
        self.assertEqual(self.stream(path, "resume", "c")["files"], 0)
        # Work of a run that was broken off, and a stream without it.
        other = os.path.join(self.folder, "other")
        os.mkdir(other)
        self.source = other
        trees.write(f"{other}/a", b"1")
        small = self.pack("small.tar")
        trees.write(f"{other}/b", rng.randbytes(30 << 20))
        large = self.pack("large.tar", "--sort=name")
        os.truncate(large, 20 << 20)
        self.stream(large, "run", "--job", "d", "-", f"{self.export}/d", check=11)
        self.stream(small, "resume", "d")

    def test_work_of_a_broken_run_is_done_before_it_is_offered_again(self):
        """The stream's offer of a file is written down after a copy of it, begun for what a broken-off
        run had left, is done."""
        os.makedirs(self.source)
        for name in "ab":
            trees.write(f"{self.source}/{name}", name.encode() * 100_000)
        path = self.pack("two.tar", "--sort=name")

        def now(key):
            status = json.loads(self.migrate("--json", "status", "w", check=None).stdout or "{}")
            return status.get("now", {}).get(key)

        nodes = self.cluster.storages
        with open(path, "rb") as file, self.start(file, "run", "--job", "w", "-", self.export) as process:
            for node in nodes:
                os.kill(node.pid, signal.SIGSTOP)
            try:
                clusters.wait_until("all of it waits", lambda: now("debt") == 3, 60, 0.2)
            finally:
                process.kill()
                for node in nodes:
                    os.kill(node.pid, signal.SIGCONT)
        with open(path, "rb") as file:
            first, rest = file.read(150_000), file.read()
        with self.start(subprocess.PIPE, "resume", "w") as process:
            process.stdin.write(first)
            process.stdin.flush()
            clusters.wait_until("the first is copied", lambda: now("files") == 1, 60, 0.2)
            out, err = process.communicate(rest, timeout=60)
        self.assertEqual(process.returncode, 0, (out[-3000:], err[-3000:]))
        self.assertEqual(trees.hashes(self.back()), trees.hashes(self.source))

    def test_hostile_and_broken_ones(self):
        path = os.path.join(self.folder, "bad.tar")
        with tarfile.open(path, "w") as tar:
            for name in ("../out", "a/../../out", "/abs/olute", "./good", "a//b/./c"):
                info = tarfile.TarInfo(name)
                info.size = 4
                tar.addfile(info, io.BytesIO(b"data"))
            link = tarfile.TarInfo("lost")
            link.type, link.linkname = tarfile.LNKTYPE, "nowhere"
            tar.addfile(link)
        done = self.stream(path, "run", "--job", "h", "-", self.export, check=23)
        self.assertEqual((done["files"], done["foreign"], done["failed"]), (3, 2, 1))
        found = {p for p, e in trees.describe(self.back()).items() if len(e) > 5}
        self.assertEqual(found, {b"abs/olute", b"good", b"a/b/c"})
        trees.write(path, hashlib.sha256(b"no tar").digest() * 1000)
        self.stream(path, "run", "--job", "n", "-", self.export, check=11)
        self.migrate("run", "--job", "n", "tar:/nowhere.tar", self.export, check=3)
        self.migrate("run", "--job", "o", "--delete", f"tar:{path}", self.export, check=1)
        self.migrate("sync", f"tar:{path}", self.export, check=1)

    def test_a_stream_that_stalls(self):
        os.makedirs(self.source)
        trees.write(f"{self.source}/a", b"a" * 100_000)
        trees.write(f"{self.source}/b", b"b" * 100_000)
        with open(self.pack("half.tar", "--sort=name"), "rb") as file:
            half = file.read(150_000)
        for signalled, code in ((False, 30), (True, 20)):
            with self.start(subprocess.PIPE, "run", "--job", "s", "--timeout",
                            "60" if signalled else "1", "-", self.export) as process:
                process.stdin.write(half)
                process.stdin.flush()
                if signalled:
                    clusters.wait_until("it waits for more", lambda: "now" in json.loads(
                        self.migrate("--json", "status", "s", check=None).stdout or "{}"), 60, 0.2)
                    process.send_signal(signal.SIGTERM)
                out = process.stdout.read()  # its end of the pipe closes when it ends
                self.assertEqual(process.wait(30), code, out[-3000:])
        self.stream(self.pack("whole.tar", "--sort=name"), "resume", "s")
        self.assertEqual(trees.hashes(self.back()), trees.hashes(self.source))


if __name__ == "__main__":
    unittest.main(verbosity=2)
