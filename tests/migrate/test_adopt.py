"""Trees on the machine of a storage node are taken over where they lie: as hard links when nobody
writes into them any more, else as copies that the node makes itself; only below adopt_from, and
never through a symbolic link."""

import json
import os
import pathlib
import shutil
import tempfile
import unittest

import trees
import workload


class Adopt(trees.MigrateTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # On the disk of the store paths: links do not lead to another one.
        cls.allowed = tempfile.mkdtemp(prefix="cairn-adopt-from-",
                                       dir=os.path.dirname(cls.cluster.root))
        cls.addClassCleanup(shutil.rmtree, cls.allowed, True)
        cls.cluster.reconfigure(cls.cluster.storages[0], adopt_from=[cls.allowed])
        cls.cluster.wait_active()

    def setUp(self):
        super().setUp()
        self.source = os.path.join(self.allowed, self.export)

    def stored(self):
        """The names of this node's stored files, by inode."""
        out = {}
        for store in self.cluster.storages[0].store_paths:
            for path in pathlib.Path(store, "data").glob("??/??/*"):
                out[path.stat().st_ino] = path
        return out

    def with_content(self):
        return {info.st_ino for info in map(os.lstat, trees.regular_files(self.source))
                if info.st_size > 0}

    def test_a_frozen_source_is_linked(self):
        trees.make_tree(self.source, 21)
        inodes = self.with_content()
        before = trees.describe(self.source)
        done = self.summary("run", "--job", "j", "--mode", "adopt", "--source-frozen",
                            self.source + "/", self.export)
        self.assertEqual((done["failed"], done["linked"] + done["cloned"], done["short_copies"]),
                         (0, len(inodes), 0))
        if done["linked"]:
            self.assertLessEqual(inodes, self.stored().keys())
        self.assert_same()
        self.assertEqual(trees.describe(self.source), before)
        self.assertEqual(self.manifest("j"), trees.hashes(self.source))
        verified = self.summary("verify", "--reread", "j")
        self.assertEqual((verified["different"], verified["short_copies"]), (0, 0))
        sound = json.loads(workload.cairn(self.cluster, "--json", "fsck", "--data").stdout)
        self.assertEqual((sound["faults"], sound["missing"]), ([], []))
        # What is new is taken over by the next pass; and without the old tree all is there still.
        trees.write(f"{self.source}/2001/01/new", b"new content")
        again = self.summary("resume", "j")
        self.assertEqual((again["files"], again["linked"] + again["cloned"]), (1, 1))
        # Giving up leaves the old tree as it was.
        kept = trees.describe(self.source)
        self.migrate("abort", "--remove", "--yes", "j")
        self.assertEqual(trees.describe(self.back("after")).keys(), {b"."})
        self.assertEqual(trees.describe(self.source), kept)

    def test_what_may_still_be_written_is_not_shared(self):
        trees.make_tree(self.source, 22, directories=3, odd=False)
        expected = trees.describe(self.source)
        done = self.summary("run", "--job", "j", "--mode", "adopt", self.source + "/", self.export)
        self.assertEqual((done["failed"], done["linked"]), (0, 0))
        if not done["cloned"]:
            self.assertFalse(self.with_content() & self.stored().keys())
        for path in trees.regular_files(self.source):
            with open(path, "r+b") as file:  # in place, as an old application might
                file.write(b"!")
        found = trees.describe(self.back())
        self.assertEqual({p: e[-1] for p, e in found.items()},
                         {p: e[-1] for p, e in expected.items()})
        # The next pass takes what was written since.
        self.summary("resume", "j")
        self.assert_same(name="again")

    def test_only_below_adopt_from_and_never_through_a_symbolic_link(self):
        outside = os.path.join(self.folder, "outside")
        trees.make_tree(outside, 23, directories=2, odd=False)
        done = self.migrate("--json", "run", "--job", "o", "--mode", "adopt", "--source-frozen",
                            outside + "/", self.export)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual((events[-1]["linked"], events[-1]["cloned"], events[-1]["failed"]),
                         (0, 0, 0))
        self.assertTrue(any("adopt_from" in e.get("error", "") for e in events), events[:3])
        self.assert_same(source=outside)
        os.mkdir(self.source)
        os.symlink(outside, os.path.join(self.source, "way-out"))
        done = self.summary("run", "-L", "--job", "l", "--mode", "adopt", "--source-frozen",
                            self.source + "/", self.export + "/l")
        self.assertEqual((done["linked"], done["cloned"], done["failed"]), (0, 0, 0))
        self.assertGreater(done["files"], 10)

    def test_strangers_are_refused(self):
        with self.cluster.to(self.cluster.storages[0]) as storage:
            reply = storage.request(198, b"\0" * 64)
            self.assertNotEqual(reply.status, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
