"""Legacy trees for the migrator's tests, and comparison of what came back."""

import hashlib
import json
import os
import pathlib
import random
import shutil
import stat
import tempfile
import unittest

import cluster as clusters
import workload

ODD_NAMES = [
    b"with space.jpg",
    b" leading and trailing ",
    b"new\nline.png",
    b"back\\slash",
    b"percent%2F.gif",
    b"plus+and&amp;",
    b"\xff\xfe not utf-8",
    b"quote'\"",
    b"-dash",
    b"*star?[x]",
    "ümlaut.gif".encode(),
    b"Case.TXT",
    b"case.txt",
    b"x" * 255,
]


def write(path, content, mtime=None):
    with open(path, "wb") as file:
        file.write(content)
    if mtime is not None:
        os.utime(path, ns=(mtime, mtime))


def make_tree(root, seed, directories=20, files=10, odd=True):
    """A tree of small files and everything that is odd about old ones. `root` is bytes-like."""
    rng = random.Random(seed)
    root = os.fsencode(root)
    os.makedirs(root, exist_ok=True)
    base = 1_400_000_000_000_000_000
    for d in range(directories):
        folder = os.path.join(root, b"%04d" % (2000 + d % 7), b"%02d" % d)
        os.makedirs(folder, exist_ok=True)
        for f in range(files):
            size = rng.choice([0, 1, 100, 5_000, 20_000])
            write(os.path.join(folder, b"%05d.jpg" % f), rng.randbytes(size),
                  base + rng.randrange(10**17))
    if not odd:
        return
    folder = os.path.join(root, b"odd")
    os.makedirs(folder)
    for number, name in enumerate(ODD_NAMES):
        write(os.path.join(folder, name), b"odd %d" % number, base + number)
    os.makedirs(os.path.join(root, b"empty", b"dir \xe9"))
    special = os.path.join(root, b"special")
    os.makedirs(special)
    write(os.path.join(special, b"first"), b"one of three names", base)
    os.link(os.path.join(special, b"first"), os.path.join(special, b"second"))
    os.link(os.path.join(special, b"first"), os.path.join(folder, b"third"))
    os.symlink(b"first", os.path.join(special, b"link"))
    os.symlink(b"../nowhere/\xff", os.path.join(special, b"dangling"))
    os.symlink(b".", os.path.join(special, b"loop"))
    os.mkfifo(os.path.join(special, b"fifo"), 0o640)
    with open(os.path.join(special, b"sparse"), "wb") as file:
        file.seek(50 << 20)
        file.write(b"end")
        file.truncate(80 << 20)
    write(os.path.join(special, b"long"), rng.randbytes(3 << 20), base + 7)
    os.chmod(os.path.join(special, b"first"), 0o4755)
    os.chmod(os.path.join(root, b"empty"), 0o555)
    os.utime(os.path.join(root, b"empty"), ns=(base, base))


def describe(root):
    """{path: what it is} of a tree; directories' sizes and all change times are left out."""
    root = os.fsencode(root)
    out, names = {}, {}
    for folder, folders, files in os.walk(root):
        for name in [b"."] + folders + files if folder == root else folders + files:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            key = os.path.relpath(path, root)
            entry = [stat.S_IFMT(info.st_mode), stat.S_IMODE(info.st_mode), info.st_mtime_ns,
                     info.st_uid, info.st_gid]
            if stat.S_ISREG(info.st_mode):
                with open(path, "rb") as file:
                    entry += [info.st_size, hashlib.file_digest(file, "sha256").hexdigest()]
                names.setdefault(info.st_ino, []).append(key)
            elif stat.S_ISLNK(info.st_mode):
                entry[1] = 0o777
                entry.append(os.readlink(path))
            out[key] = entry
    for group in names.values():
        if len(group) > 1:
            for key in group:
                out[key].append(sorted(group))
    return out


class MigrateTest(clusters.ClusterTest):
    """Tests with a cluster, and an export and a folder for each test."""

    shape = {"storages": 2}

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="cairn-migrate-")
        self.source = os.path.join(self.folder, "source")
        self.state = os.path.join(self.folder, "state")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.export = "e" + hashlib.md5(self.id().encode()).hexdigest()[:12]
        workload.cairn(self.cluster, "export", "add", self.export, "--copies", "2")

    def migrate(self, *args, check=0, timeout=200):
        """Runs cairn-migrate; `check` is the exit code it must have, None: any."""
        done = clusters.run_cairn(*self.command(*args), program="cairn-migrate", check=False,
                                  timeout=timeout)
        if check is not None:
            self.assertEqual(done.returncode, check,
                             f"cairn-migrate {args}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        return done

    def command(self, *args):
        return ["--conf", self.cluster.client_conf, "--state", self.state, *args]

    def summary(self, *args, check=0):
        """The last line of a run with --json."""
        done = self.migrate("--json", *args, check=check)
        return json.loads(done.stdout.splitlines()[-1])

    def back(self, name="back", path=""):
        """What is in the export, copied to a local folder."""
        target = os.path.join(self.folder, name)
        self.migrate("sync", f":/{self.export}/{path}".rstrip("/") + "/", target)
        return target

    def assert_same(self, source=None, **where):
        expected, found = describe(source or self.source), describe(self.back(**where))
        self.assertEqual(sorted(expected), sorted(found))
        for path, entry in expected.items():
            self.assertEqual(entry, found[path], path)

    def manifest(self, job):
        """{path: SHA-256} of a job's list."""
        out = {}
        listed = pathlib.Path(self.folder, "list.jsonl")
        self.migrate("report", job, "--list", listed)
        for line in listed.read_text().splitlines():
            row = json.loads(line)
            if row["type"] == "file" and not row.get("gone") and not row.get("metadata"):
                key = bytes.fromhex(row["path_hex"]) if "path_hex" in row else row["path"].encode()
                out[key] = row["sha256"]
        return out


def regular_files(root):
    """The paths of all regular files below `root`."""
    for folder, _, files in os.walk(os.fsencode(root)):
        for name in files:
            path = os.path.join(folder, name)
            if stat.S_ISREG(os.lstat(path).st_mode):
                yield path


def hashes(root):
    """{path: SHA-256} of the regular files of a tree."""
    out = {}
    for path in regular_files(root):
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        out[os.path.relpath(path, os.fsencode(root))] = digest
    return out


main = unittest.main
