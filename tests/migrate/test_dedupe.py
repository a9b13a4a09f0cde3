"""--dedupe: equal files share what is stored, each with its own name, time and mode; what is removed
or changed takes nothing away from the others, also when the migrator is killed on the way."""

import collections
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import unittest

import cluster as clusters
import trees
import workload

FILES, CONTENTS = 1000, 300


def sha256(content):
    return hashlib.sha256(content).hexdigest()


class Dedupe(trees.MigrateTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster.reconfigure(cls.cluster.tracker, delete_grace="1s")

    def make_source(self, seed, long=True):
        """FILES files of CONTENTS contents, every file with a time and a mode of its own; a few are
        long, so that they are read while they are sent. Returns {path: content}."""
        rng = random.Random(seed)
        contents = [rng.randbytes(rng.choice([1, 700, 5_000, 30_000])) + number.to_bytes(4, "big")
                    for number in range(CONTENTS)]
        if long:
            contents[:4] = [rng.randbytes(size) for size in (300_000, 300_000, 300_000, 1_500_000)]
        files = {}
        for number in range(FILES):
            # Each content at least once, and those of one content far apart and side by side.
            content = contents[number if number < CONTENTS else rng.randrange(CONTENTS)]
            name = f"{number % 7:02d}/{(number * 7919) % FILES:05d}.jpg"
            path = os.path.join(self.source, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            trees.write(path, content, 1_400_000_000_000_000_000 + number * 1_000_000_007)
            os.chmod(path, 0o600 + number % 0o100)
            files[name] = content
        return files

    def stored(self, contents):
        """{content: how often} on each node, of the files on its disks; {} where nodes differ."""
        wanted = {sha256(content) for content in contents}
        found = [collections.Counter(digest for digest in workload.files_on(node).values()
                                     if digest in wanted) for node in self.cluster.storages]
        return found[0] if all(one == found[0] for one in found) else {}

    def is_gone(self, contents):
        """None of these is on any node."""
        digests = {sha256(content) for content in contents}
        return not any(digests & set(workload.files_on(node).values())
                       for node in self.cluster.storages)

    def assert_stored_once(self, contents, seconds=30):
        expected = {sha256(content): 1 for content in contents}
        clusters.wait_until("each content is stored once", lambda: self.stored(contents) == expected,
                            seconds, 0.3)

    def remove(self, names):
        for name in names:
            workload.cairn(self.cluster, "rm", f"/{self.export}/{name}")

    def test_a_thousand_files_of_three_hundred_contents(self):
        files = self.make_source(1)
        distinct = set(files.values())
        first = self.summary("run", "--job", "j", "--dedupe", self.source + "/", self.export)
        self.assertEqual((first["files"], first["shared"], first["failed"], first["short_copies"]),
                         (FILES, FILES - len(distinct), 0, 0))
        saved = sum(map(len, files.values())) - sum(map(len, distinct))
        self.assertEqual(first["shared_bytes"], saved)
        self.assert_stored_once(distinct)
        self.assert_same()
        # What the others say of it.
        self.assertEqual(self.manifest("j"),
                         {name.encode(): sha256(content) for name, content in files.items()})
        verified = self.summary("verify", "--reread", "j")
        self.assertEqual((verified["different"], verified["short_copies"]), (0, 0))
        status = json.loads(self.migrate("--json", "status", "j").stdout)
        self.assertEqual((status["shared"], status["shared_bytes"]),
                         (FILES - len(distinct), saved))
        self.assertIn(f"{FILES - len(distinct)} of the files share",
                      self.migrate("report", "j").stdout)
        self.assertIn("saved", self.migrate("report", "j", "--html", "-").stdout)
        sound = json.loads(workload.cairn(self.cluster, "--json", "fsck", "--data").stdout)
        self.assertEqual((sound["faults"], sound["missing"]), ([], []))
        time.sleep(2.1)  # what has changed in the last two seconds is read again
        self.summary("resume", "j")
        again = self.summary("resume", "j")
        for name in ("files", "shared", "attributes", "removed", "failed", "debt"):
            self.assertEqual(again[name], 0, f"{name}: {again}")
        self.assertEqual(again["total_shared"], FILES - len(distinct))

        # Half of the names go, at the source: the rest has all that it had.
        rng = random.Random(2)
        gone = set(rng.sample(sorted(files), FILES // 2))
        for name in gone:
            os.remove(os.path.join(self.source, name))
        left = {name: content for name, content in files.items() if name not in gone}
        last = self.summary("run", "--job", "j", "--dedupe", "--delete", self.source + "/",
                            self.export)
        self.assertEqual(last["removed"], len(gone))
        kept = set(left.values())
        self.assertLess(len(kept), len(distinct))
        clusters.wait_until("content without a name is gone", lambda: self.is_gone(
            distinct - kept), 60, 0.3)
        self.assert_stored_once(kept)
        self.assert_same(name="half")
        self.assertEqual(self.summary("verify", "--reread", "j")["different"], 0)
        # The job is taken back: nothing stays.
        self.migrate("abort", "--remove", "--yes", "j")
        clusters.wait_until("nothing is stored any more", lambda: self.is_gone(kept),
                            60, 0.3)
        sound = json.loads(workload.cairn(self.cluster, "--json", "fsck").stdout)
        self.assertEqual(sound["faults"], [])

    def test_what_was_changed_or_removed_there_is_not_believed(self):
        content, other = b"one content " * 500, b"another content " * 400
        names = [f"{number}.jpg" for number in range(4)]
        os.makedirs(self.source)
        for name in names[:2]:
            trees.write(os.path.join(self.source, name), content, 10**18)
        self.summary("run", "--job", "j", "--dedupe", self.source + "/", self.export)
        self.assert_stored_once([content])
        # Somebody writes over the one and removes the other, under the job.
        trees.write(os.path.join(self.folder, "other"), other)
        workload.cairn(self.cluster, "cp", os.path.join(self.folder, "other"),
                       f":/{self.export}/{names[0]}")
        self.remove(names[1:2])
        clusters.wait_until("it is gone", lambda: self.is_gone([content]), 60, 0.3)
        trees.write(os.path.join(self.source, names[2]), content, 10**18)
        summary = self.summary("resume", "j")
        self.assertEqual((summary["files"], summary["shared"]), (1, 0))
        self.assert_stored_once([content])
        trees.write(os.path.join(self.source, names[3]), content, 10**18)
        summary = self.summary("resume", "j")
        self.assertEqual((summary["files"], summary["shared"]), (1, 1))
        self.assert_stored_once([content])
        back = self.back()
        for name, expected in ((names[0], other), (names[2], content), (names[3], content)):
            with open(os.path.join(back, name), "rb") as file:
                self.assertEqual(file.read(), expected)

    def test_content_that_changes_at_the_source(self):
        old, new = b"as it was " * 900, b"as it is now " * 800
        os.makedirs(self.source)
        names = [os.path.join(self.source, f"{number:03d}.jpg") for number in range(30)]
        for name in names:
            trees.write(name, old, 10**18)
        trees.write(os.path.join(self.source, "new.jpg"), new, 10**18)
        os.link(names[0], os.path.join(self.source, "linked.jpg"))
        self.summary("run", "--job", "j", "--dedupe", self.source + "/", self.export)
        self.assert_stored_once([old, new])
        for name in names[:29]:  # in place, so that it is seen by the times alone
            trees.write(name, new, 10**18 + 5)
        changed = self.summary("freeze", "j")
        self.assertEqual(changed["failed"], 0)
        self.assert_stored_once([old, new])
        self.assert_same(name="changed")
        trees.write(names[29], new, 10**18 + 5)
        self.summary("resume", "j")
        clusters.wait_until("the old content is gone", lambda: self.is_gone([old]), 60, 0.3)
        self.assert_stored_once([new])
        self.assert_same(name="last")
        self.assertEqual(self.summary("verify", "--reread", "j")["different"], 0)

    def test_it_is_refused_where_nothing_can_be_shared(self):
        os.makedirs(self.source)
        self.migrate("run", "--job", "a", "--dedupe", "--mode", "adopt", self.source + "/",
                     self.export, check=1)
        self.migrate("sync", "--dedupe", f":/{self.export}/", self.source, check=1)


class Killed(trees.MigrateTest):
    def test_killed_on_the_way(self):
        seed = int(os.environ.get("CAIRN_SEED", time.time_ns() % 1_000_000))
        print(f"seed {seed}", file=sys.stderr)
        files = Dedupe.make_source(self, seed)
        distinct = set(files.values())
        rng = random.Random(seed)
        arguments = self.command("run", "--job", "j", "--dedupe", self.source + "/", self.export)
        for _ in range(8 if not workload.FULL else 30):
            process = subprocess.Popen([clusters.binary("cairn-migrate"), *arguments],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            try:
                process.wait(rng.uniform(0.05, 0.4))
            except subprocess.TimeoutExpired:
                process.kill()
            process.communicate()
        last = self.summary("run", "--job", "j", "--dedupe", self.source + "/", self.export)
        self.assertEqual((last["failed"], last["debt"], last["short_copies"]), (0, 0, 0))
        self.assert_same()
        self.assertEqual(self.summary("verify", "--reread", "j")["different"], 0)
        sound = json.loads(workload.cairn(self.cluster, "--json", "fsck", "--data",
                                          check=False).stdout)
        self.assertEqual((sound["faults"], sound["missing"]), ([], []))
        # What is named is stored once; uploads that were cut off wait to be found by their marks.
        self.assertEqual(sound["stored_files"], len(distinct))
        self.assertEqual(last["total_shared"], FILES - len(distinct))


class WrittenDown(trees.MigrateTest):
    def test_the_first_of_a_content_comes_first(self):
        """Who shares with a file is not written down before it: of two files one shares, and not
        both. What was found at the destination waits for a node that does not answer."""
        content = b"the same in both" * 100
        os.makedirs(self.source)
        trees.write(os.path.join(self.source, "a.jpg"), content, 10**18)
        self.summary("run", "--job", "before", self.source + "/", self.export)
        deep = os.path.join(self.source, "b/c/d/e/f")  # so that the other one is the first to look
        os.makedirs(deep)
        trees.write(os.path.join(deep, "b.jpg"), content, 10**18)
        arguments = ["run", "--job", "j", "--dedupe", self.source + "/", self.export]
        # Not the node that has to give the content, but the one that is asked whether it has it too.
        stored = json.loads(workload.cairn(self.cluster, "--json", "stat",
                                           f"/{self.export}/a.jpg").stdout)[0]["ids"][0]
        source = json.loads(workload.cairn(self.cluster, "--json", "info", stored).stdout)
        stopped = next(node for node in self.cluster.storages
                       if node.addr != source["source_host"]).pid
        os.kill(stopped, signal.SIGSTOP)
        try:
            process = subprocess.Popen([clusters.binary("cairn-migrate"),
                                        *self.command(*arguments)],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            with contextlib.suppress(AssertionError):  # it has not come to that: as it should be
                clusters.wait_until("the other one is there", lambda: "b.jpg" in workload.cairn(
                    self.cluster, "ls", f"/{self.export}/b/c/d/e/f", check=False).stdout, 6)
            time.sleep(0.5)
            process.kill()
            process.wait()
        finally:
            os.kill(stopped, signal.SIGCONT)
        last = self.summary(*arguments)
        self.assertEqual((last["failed"], last["total_shared"]), (0, 1))
        self.assert_same()


if __name__ == "__main__":
    unittest.main(verbosity=2)
