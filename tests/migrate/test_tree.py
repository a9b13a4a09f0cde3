"""A legacy tree goes into an export and comes back byte for byte; later passes take what has
changed and nothing else; filters, deletion, dry runs, refusals."""

import json
import os
import pathlib
import shutil
import subprocess
import time
import unittest

import cluster as clusters
import fastdfs
import trees
import workload


class Tree(trees.MigrateTest):
    def test_everything_odd_comes_back_and_a_second_run_finds_nothing(self):
        trees.make_tree(self.source, 1)
        first = self.summary("run", "--job", "j", self.source + "/", self.export)
        self.assertEqual((first["failed"], first["vanished"], first["short_copies"]), (0, 0, 0))
        self.assertEqual(first["hard_links"], 2)
        self.assert_same()
        time.sleep(2.1)  # what has changed in the last two seconds is read again
        self.summary("resume", "j")
        third = self.summary("resume", "j")
        for name in ("files", "unchanged", "attributes", "directories", "symlinks", "hard_links",
                     "removed", "failed", "debt"):
            self.assertEqual(third[name], 0, f"{name}: {third}")
        self.assertGreater(third["skipped_directories"], 20)
        self.assertEqual(self.manifest("j"), {
            path: digest for path, digest in trees.hashes(self.source).items()})
        verified = self.summary("verify", "--reread", "j")
        self.assertEqual((verified["different"], verified["short_copies"]), (0, 0))
        # coreutils read the manifest, odd names included.
        sums = os.path.join(self.folder, "sums")
        self.migrate("report", "j", "--manifest", sums)
        done = subprocess.run(["sha256sum", "--quiet", "-c", sums], cwd=self.source,
                              capture_output=True)
        self.assertEqual((done.returncode, done.stdout), (0, b""))
        page = self.migrate("report", "j", "--html", "-").stdout
        self.assertIn("Everything that the last pass saw is in Cairn", page)
        sound = json.loads(workload.cairn(self.cluster, "--json", "fsck", "--data").stdout)
        self.assertEqual((sound["faults"], sound["missing"]), ([], []))

    def test_changes_of_every_kind_are_taken_by_the_next_run(self):
        trees.make_tree(self.source, 2, directories=6)
        self.migrate("run", "--job", "j", self.source + "/", self.export)
        s = self.source
        trees.write(f"{s}/2000/00/00001.jpg", b"in place, in a directory that did not change")
        os.rename(f"{s}/2001/01/00002.jpg", f"{s}/2001/01/renamed.jpg")
        os.remove(f"{s}/2002/02/00003.jpg")
        os.chmod(f"{s}/2003/03/00004.jpg", 0o600)
        os.remove(f"{s}/special/second")  # one name of three
        trees.write(f"{s}/special/second", b"a file of its own now")
        os.remove(f"{s}/special/link")
        os.mkdir(f"{s}/special/link")  # something else under the name
        trees.write(f"{s}/special/link/x", b"x")
        shutil.rmtree(f"{s}/2004")
        trees.write(f"{s}/2004", b"a directory no more")
        os.mkdir(f"{s}/new")
        trees.write(f"{s}/new/a.jpg", b"new")
        planned = self.migrate("resume", "-n", "-i", "j").stdout
        self.assertIn("<f+++++++++ new/a.jpg", planned)
        self.assertNotIn("renamed.jpg", str(trees.describe(self.back("before")).keys()))
        # Without --delete what is gone stays, and is in nobody's manifest.
        self.summary("run", "--job", "j", s + "/", self.export, check=None)
        self.assertIn(b"2002/02/00003.jpg", trees.describe(self.back("kept")))
        self.assertNotIn(b"2002/02/00003.jpg", self.manifest("j"))
        # With it that goes, also when its directory has not changed for so long that it is not listed.
        folders = sum(1 for _ in os.walk(s))
        clusters.wait_until("no directory is listed", lambda: self.summary(
            "resume", "j", check=None)["skipped_directories"] >= folders, 60, 0.5)
        last = self.summary("run", "--job", "j", "--delete", s + "/", self.export)
        self.assertGreater(last["removed"], 2)
        self.assert_same(name="after")
        self.assertEqual(self.summary("verify", "--reread", "j")["different"], 0)

    def test_filters_dry_runs_and_limits(self):
        trees.make_tree(self.source, 3, directories=4, odd=False)
        trees.write(f"{self.source}/2000/00/x.tmp", b"no")
        os.mkdir(f"{self.source}/cache")
        trees.write(f"{self.source}/cache/y.jpg", b"no")
        planned = self.summary("plan", "--exclude", "*.tmp", "--exclude", "/cache/",
                               self.source + "/", self.export)
        self.assertTrue(planned["dry_run"])
        self.assertEqual(trees.describe(self.back("nothing")).keys(), {b"."})
        done = self.summary("sync", "--exclude", "*.tmp", "--exclude", "/cache/",
                            self.source + "/", self.export + "/deep/er")
        self.assertEqual(done["files"], planned["files"])
        found = trees.describe(self.back("some", "deep/er"))
        self.assertNotIn(b"2000/00/x.tmp", found)
        self.assertNotIn(b"cache", found)
        again = self.summary("sync", "--exclude", "*.tmp", "--exclude", "/cache/",
                             self.source + "/", self.export + "/deep/er")
        self.assertEqual((again["files"], again["unchanged"]), (0, done["files"]))
        begin = time.monotonic()
        trees.write(f"{self.source}/big", os.urandom(3 << 20))
        self.summary("sync", "--bwlimit", "1M", self.source + "/big", self.export)
        self.assertGreater(time.monotonic() - begin, 2)
        # Without the slash: the directory itself.
        self.summary("sync", self.source, self.export)
        self.assertIn(b"source/big", trees.describe(self.back("slash")))
        # `deep` and `source` are not in the source.
        self.summary("sync", "--delete", "--max-delete", "0", self.source + "/", self.export,
                     check=25)
        self.assertIn(b"deep", trees.describe(self.back("kept")))
        self.summary("sync", "--delete", self.source + "/", self.export)
        self.assert_same(name="mirror")

    def test_what_cannot_be_copied_is_told_and_everything_else_is(self):
        trees.make_tree(self.source, 4, directories=3, odd=False)
        # What a reader cannot read even as root: a symlink loop followed, a directory in the way.
        os.symlink(".", f"{self.source}/2000/loop")
        done = self.summary("run", "-L", "--job", "j", self.source + "/", self.export, check=23)
        self.assertEqual(done["failed"], 1)
        self.assertEqual(done["files"], 30)
        report = self.migrate("report", "j").stdout
        self.assertIn("2000/loop: a symlink that leads back", report)
        self.assertEqual(json.loads(self.migrate("--json", "status", "j").stdout)["failed"], 1)
        workload.cairn(self.cluster, "mkdir", "-p", f"/{self.export}/other/f/in-the-way")
        trees.write(f"{self.folder}/f", b"f")
        self.migrate("run", "--job", "k", f"{self.folder}/f", f"{self.export}/other", check=23)
        self.assertIn("a directory is in its place", self.migrate("report", "k").stdout)

    def test_a_job_is_bound_and_an_empty_source_is_not_believed(self):
        trees.make_tree(self.source, 5, directories=2, odd=False)
        self.migrate("run", "--job", "j", self.source + "/", self.export)
        self.migrate("run", "--job", "j", self.source + "/", self.export + "/else", check=5)
        shutil.rmtree(self.source)
        self.migrate("run", "--delete", "--job", "j", self.source + "/", self.export, check=3)
        os.mkdir(self.source)  # as an export looks that is not mounted
        self.migrate("run", "--delete", "--job", "j", self.source + "/", self.export, check=3)
        self.assertGreater(len(trees.describe(self.back())), 20)
        self.migrate("run", "--job", "j", "/", "no-such-export-here", check=5)
        self.migrate("run", "--job", "n", "/etc", "no-such-export-here", check=3)
        self.migrate("run", "--nonsense", check=1)
        self.migrate("status", "nothing", check=3)

    def test_abort_takes_back_what_the_job_has_made(self):
        trees.make_tree(self.source, 6, directories=3)
        workload.cairn(self.cluster, "mkdir", f"/{self.export}/2000")
        other = pathlib.Path(self.folder, "other")
        other.write_bytes(b"somebody else's")
        workload.cairn(self.cluster, "cp", other, f":/{self.export}/2000/other")
        self.migrate("run", "--job", "j", self.source + "/", self.export)
        self.migrate("abort", "--remove", "--yes", "j", check=None)
        self.assertEqual(trees.describe(self.back()).keys(), {b".", b"2000", b"2000/other"})
        self.migrate("resume", "j", check=5)

    def test_a_full_destination_ends_the_run_and_room_lets_it_go_on(self):
        trees.make_tree(self.source, 7, directories=4, odd=False)
        workload.cairn(self.cluster, "export", "set", self.export, "--quota-bytes", "100000")
        begin = time.monotonic()
        self.migrate("run", "--job", "j", self.source + "/", self.export, check=11)
        self.assertLess(time.monotonic() - begin, 30)
        workload.cairn(self.cluster, "export", "set", self.export, "--quota-bytes", "0")
        self.summary("resume", "j")
        self.assert_same()

    def test_a_damaged_ledger_is_told_and_rebuilt_without_copying_again(self):
        trees.make_tree(self.source, 8, directories=4)
        self.migrate("run", "--job", "j", self.source + "/", self.export)
        ledger = pathlib.Path(self.state, "j", "ledger")
        for file in ledger.glob("MANIFEST*"):
            file.write_bytes(file.read_bytes()[:5])
        broken = self.migrate("resume", "j", check=11)
        self.assertIn("--rebuild-ledger", broken.stderr)
        done = self.summary("resume", "--rebuild-ledger", "j")
        self.assertEqual((done["files"], done["failed"]), (0, 0), done)
        self.assert_same()


class Marks(trees.MigrateTest):
    """With a cluster of its own: what is looked at is all that the cluster stores."""

    def test_every_stored_file_says_what_it_is_for(self):
        trees.make_tree(self.source, 10, directories=5)
        self.migrate("run", "--job", "j", self.source + "/", self.export)
        with_content = {info.st_ino for info in map(os.lstat, trees.regular_files(self.source))
                        if info.st_size > 0}
        told = json.loads(workload.cairn(self.cluster, "--json", "namespace", "rebuild",
                                         "--dry-run").stdout)
        self.assertEqual(told, {"stored_files": len(with_content), "files": 0, "exports": [],
                                "named_before": len(with_content), "undecided": []})


class AccessKey(trees.MigrateTest):
    """Who migrates needs no secret of the cluster."""

    def test_by_an_access_key(self):
        key = workload.cairn(self.cluster, "key", "add", "--rights", "all").stdout.split()[:2]
        key_file = os.path.join(self.folder, "key")
        with open(os.open(key_file, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            file.write(" ".join(key) + "\n")
        tracker = self.cluster.tracker
        conf = os.path.join(self.folder, "client.conf")
        with open(conf, "w", encoding="utf-8") as file:
            file.write(f"tracker_server = {tracker.addr}:{tracker.port}\naccess_key_file = {key_file}\n")
        trees.make_tree(self.source, 11, directories=4)

        def sync(to):
            return clusters.run_cairn("--conf", conf, "--state", self.state, "sync", self.source + "/", to,
                                      program="cairn-migrate", check=False).returncode

        # The nodes hear of the key with their next heartbeat.
        fastdfs.wait_until("both nodes know the key", lambda: sync(self.export) == 0)
        before = self.refused()
        self.assertEqual(sync(self.export + "/again"), 0)
        self.assert_same(path="again")
        self.assertEqual(self.refused(), before)

    def refused(self):
        """Introductions that the nodes have refused."""
        texts = [clusters.http_get(node.addr, node.http, "/metrics").body.decode()
                 for node in self.cluster.storages]
        lines = [line for text in texts for line in text.splitlines()
                 if line.startswith("cairn_hello_refused_total ")]
        self.assertEqual(len(lines), len(texts))
        return lines


if __name__ == "__main__":
    unittest.main(verbosity=2)
