"""Following a source that changes, freezing it, and the gate: red for each single defect, green when
there is none."""

import json
import os
import subprocess
import time
import unittest

import cluster as clusters
import fastdfs
import trees
import workload


class Cutover(trees.MigrateTest):
    def gate(self, *args, check):
        done = self.migrate("--json", "gate", "j", *args, check=check)
        return {c["name"]: c["green"] for c in json.loads(done.stdout)["checks"]}

    def follow(self, how):
        trees.make_tree(self.source, 11, directories=8, odd=False)
        process = subprocess.Popen(
            [clusters.binary("cairn-migrate"),
             *self.command("run", "--job", "j", "--delete", f"--watch={how}", self.source + "/",
                           self.export)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)

        def status():
            if process.poll() is not None:
                self.fail(f"it ended: {process.communicate()}")
            return json.loads(self.migrate("--json", "status", "j").stdout).get("now", {})

        fastdfs.wait_until("it follows", lambda: status().get("phase") == "following", 60, 0.2)
        s = self.source
        trees.write(f"{s}/2001/01/00001.jpg", b"in place")
        os.makedirs(f"{s}/new/deep/er")
        trees.write(f"{s}/new/deep/er/a.jpg", b"new")
        os.rename(f"{s}/2002/02", f"{s}/2003/moved")
        os.remove(f"{s}/2000/00/00002.jpg")
        expected = trees.describe(s)

        def caught_up():
            found = trees.describe(self.back(f"back{time.monotonic_ns()}"))
            return {p: e[-1] for p, e in found.items()} == {p: e[-1] for p, e in expected.items()}

        fastdfs.wait_until("everything has come over", caught_up, 60, 0.5)
        fastdfs.wait_until("no lag", lambda: status().get("lag_s") == 0, 20, 0.2)
        self.migrate("pause", "j")
        self.assertEqual(process.wait(30), 20)
        process.communicate()
        self.migrate("freeze", "j")
        self.assert_same()

    def test_following_by_inotify(self):
        self.follow("inotify")

    def test_following_by_what_is_best(self):
        self.follow("best")

    def test_following_by_rescans(self):
        self.follow("rescan:2s")

    def test_the_gate_is_red_for_each_defect_alone(self):
        trees.make_tree(self.source, 12, directories=3, odd=False)
        self.migrate("run", "--job", "j", self.source + "/", self.export)
        everything = {"nothing runs": True, "lag": True, "debt": True, "copies": True,
                      "verified": True}
        self.assertEqual(self.gate(check=41), everything | {"lag": False, "verified": False})
        time.sleep(2.1)
        self.migrate("freeze", "j")
        self.assertEqual(self.gate(check=41), everything | {"verified": False})
        self.migrate("verify", "--reread", "j")
        self.assertEqual(self.gate(check=0), everything)

        # URLs: right, wrong, and compared with the old server's.
        workload.cairn(self.cluster, "export", "set", self.export, "--public")
        urls = os.path.join(self.folder, "urls")
        trees.write(urls, b"# old paths\n/2000/00/00001.jpg\n")
        node = self.cluster.storages[0]
        at = f"http://{node.addr}:{node.http}/{self.export}"
        self.assertEqual(self.gate("--urls", urls, "--at", at, check=0), everything | {"urls": True})
        other = self.cluster.storages[1]
        against = f"http://{other.addr}:{other.http}/{self.export}"
        self.gate("--urls", urls, "--at", at, "--against", against, check=0)
        trees.write(urls, b"/2000/00/00001.jpg\n/not/there.jpg\n")
        self.assertEqual(self.gate("--urls", urls, "--at", at, check=41),
                         everything | {"urls": False})

        # One wrong byte at the destination is found by reading again.
        wrong = os.path.join(self.folder, "wrong")
        found = f"{self.source}/2001/01/00003.jpg"
        trees.write(found, b"some content")
        self.migrate("freeze", "j", check=None)
        time.sleep(2.1)
        self.migrate("freeze", "j")
        trees.write(wrong, b"Some content")
        info = os.stat(found)
        os.utime(wrong, ns=(info.st_mtime_ns, info.st_mtime_ns))
        os.chmod(wrong, info.st_mode & 0o7777)
        workload.cairn(self.cluster, "cp", "-p", wrong, f":/{self.export}/2001/01/00003.jpg")
        self.migrate("verify", "--reread", "j", check=8)
        self.assertEqual(self.gate(check=41), everything | {"verified": False})


if __name__ == "__main__":
    unittest.main(verbosity=2)
