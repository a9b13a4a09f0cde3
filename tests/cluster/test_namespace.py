"""The namespace on a real cluster: what the CLI stores comes back, by path over HTTP too; removed
data leaves the storage nodes; kill -9 of the tracker in a storm loses nothing and does nothing
twice."""

import contextlib
import functools
import json
import os
import pathlib
import subprocess
import tempfile
import time
import unittest

import cluster as clusters
import workload

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGES = ROOT / "tests/images"
KILLS = 10 if workload.FULL else 3


class Namespace(clusters.ClusterTest):
    shape = {"storages": 2}

    def cairn(self, *args, check=True):
        return workload.cairn(self.cluster, *args, check=check)

    def get(self, path, node=None, **options):
        node = node or self.cluster.storages[0]
        return clusters.http_get(node.addr, node.http, path, **options)

    def test_a_tree_goes_in_and_comes_back(self):
        self.cairn("export", "add", "tree", "--copies", "2")
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder, "source")
            (source / "a" / "b").mkdir(parents=True)
            names = ["plain.jpg", "with space.png", "ümlaut.gif", "x" * 255]
            for number, name in enumerate(names):
                (source / "a" / name).write_bytes(bytes([number]) * (number * 1000))
            big = pathlib.Path(source, "a", "b", "big.bin")
            big.write_bytes(bytes(range(256)) * 4096 * 70)  # 70 MiB: two stored files
            (source / "a" / "link").symlink_to("plain.jpg")
            self.cairn("cp", "-r", "-p", source, ":/tree/")
            back = pathlib.Path(folder, "back")
            self.cairn("cp", "-r", "-p", ":/tree/source", back)
            done = subprocess.run(
                ["diff", "-r", "--no-dereference", source, back], capture_output=True, text=True
            )
            self.assertEqual((done.returncode, done.stdout), (0, ""))
            status = json.loads(self.cairn("--json", "stat", "/tree/source/a/b/big.bin").stdout)
            self.assertEqual(len(status[0]["ids"]), 2)
            # Nothing has changed: nothing is copied.
            again = json.loads(self.cairn("--json", "sync", source, ":/tree/source").stdout)
            self.assertEqual((again["files"], again["failures"]), (0, 0))
            sound = json.loads(self.cairn("--json", "fsck", "--data").stdout)
            self.assertEqual((sound["faults"], sound["missing"]), ([], []))
            self.assertGreaterEqual(sound["asked"], 5)

    def test_errors_have_their_exit_codes(self):
        self.cairn("export", "add", "codes", "--quota-inodes", "3")
        self.assertEqual(self.cairn("stat", "/codes/nothing", check=False).returncode, 3)
        self.assertEqual(self.cairn("export", "add", "codes", check=False).returncode, 5)
        self.assertEqual(self.cairn("export", "add", "group1", check=False).returncode, 5)
        self.cairn("mkdir", "-p", "/codes/a/b")
        full = self.cairn("mkdir", "/codes/c", check=False)
        self.assertNotEqual(full.returncode, 0)
        self.assertIn("quota", full.stderr)
        self.assertNotEqual(self.cairn("rm", "/codes/a", check=False).returncode, 0)
        self.cairn("rm", "-r", "/codes/a")
        self.cairn("export", "rm", "codes")

    def test_http_serves_public_exports_by_path(self):
        self.cairn("export", "add", "open", "--public", "--listing")
        self.cairn("export", "add", "closed")
        content = (IMAGES / "rocket.jpg").read_bytes()
        self.cairn("mkdir", "-p", "/open/2012/03")
        self.cairn("cp", IMAGES / "rocket.jpg", ":/open/2012/03/a b.jpg")
        self.cairn("cp", IMAGES / "rocket.jpg", ":/closed/a.jpg")
        for node in self.cluster.storages:
            reply = self.get("/open/2012/03/a%20b.jpg", node)
            self.assertEqual((reply.status, reply.body), (200, content))
            self.assertEqual(reply.headers["content-type"], "image/jpeg")
            tag = reply.headers["etag"]
            same = self.get("/open/2012/03/a%20b.jpg", node, headers={"If-None-Match": tag})
            self.assertEqual(same.status, 304)
            part = self.get("/open/2012/03/a%20b.jpg", node, headers={"Range": "bytes=10-19"})
            self.assertEqual((part.status, part.body), (206, content[10:20]))
            self.assertEqual(self.get("/open/nothing.jpg", node).status, 404)
            self.assertEqual(self.get("/closed/a.jpg", node).status, 403)
        listed = json.loads(self.get("/open/2012/03").body)
        self.assertEqual([(e["name"], e["size"]) for e in listed], [("a b.jpg", len(content))])

    def test_http_serves_files_of_many_parts(self):
        self.cairn("export", "add", "parts", "--public")
        with tempfile.TemporaryDirectory() as folder:
            big = pathlib.Path(folder, "big.bin")
            content = bytes(range(251)) * 300_000  # over 64 MiB
            big.write_bytes(content)
            self.cairn("cp", big, ":/parts/big.bin")
        reply = self.get("/parts/big.bin")
        self.assertEqual((reply.status, reply.body == content), (200, True))
        middle = 64 * 1024 * 1024 - 100
        span = {"Range": f"bytes={middle}-{middle + 199}"}
        self.assertEqual(self.get("/parts/big.bin", headers=span).body, content[middle:][:200])

    def test_trash_gives_back(self):
        self.cairn("export", "add", "bin", "--trash", "1h")
        self.cairn("mkdir", "-p", "/bin/x/y")
        self.cairn("cp", IMAGES / "rocket.jpg", ":/bin/x/y/r.jpg")
        self.cairn("rm", "-r", "/bin/x")
        self.assertIn("/bin/x/y/r.jpg", self.cairn("trash", "/bin").stdout)
        self.cairn("trash", "/bin/x", "--restore")
        self.assertEqual(
            json.loads(self.cairn("--json", "stat", "/bin/x/y/r.jpg").stdout)[0]["size"],
            (IMAGES / "rocket.jpg").stat().st_size,
        )


class Deletion(clusters.ClusterTest):
    shape = {"storages": 2}

    def test_data_of_removed_files_goes_and_other_data_stays(self):
        tracker = self.cluster.tracker
        self.cluster.reconfigure(tracker, delete_grace="1s")
        by_id = workload.cairn(self.cluster, "upload", IMAGES / "rocket.jpg").stdout.strip()
        workload.cairn(self.cluster, "export", "add", "gone")
        workload.cairn(self.cluster, "cp", IMAGES / "rocket.jpg", ":/gone/a.jpg")
        status = workload.cairn(self.cluster, "--json", "stat", "/gone/a.jpg").stdout
        stored = json.loads(status)[0]["ids"][0]
        workload.cairn(self.cluster, "rm", "/gone/a.jpg")
        end = time.monotonic() + 30
        while workload.cairn(self.cluster, "info", stored, check=False).returncode != 3:
            self.assertLess(time.monotonic(), end, f"{stored} is still there")
            time.sleep(0.2)
        workload.cairn(self.cluster, "info", by_id)
        for node in self.cluster.storages:
            path = self.cluster.path_of(stored, node)
            clusters.wait_until(f"{path} gone", lambda p=path: not os.path.exists(p), 30)
            self.assertTrue(os.path.exists(self.cluster.path_of(by_id, node)))


class Orphans(clusters.ClusterTest):
    """What a client that dies between upload and commit leaves is removed, and nothing else."""

    shape = {"storages": 2}

    def marks(self, node):
        """{ID: origin mark} of the stored files on the disks of a node."""
        found = {}
        for name in workload.files_on(node):
            with contextlib.suppress(OSError):
                path = self.cluster.path_of("group1/" + name, node)
                found["group1/" + name] = os.getxattr(path, "user.cairn.origin")
        return found

    def test_what_has_no_name_goes_and_all_else_stays(self):
        self.cluster.reconfigure(self.cluster.tracker, orphan_age="2s")
        cairn = functools.partial(workload.cairn, self.cluster)
        by_id = cairn("upload", IMAGES / "rocket.jpg").stdout.strip()
        cairn("export", "add", "crash")
        cairn("cp", IMAGES / "rocket.jpg", ":/crash/kept.jpg")
        cairn("mv", "/crash/kept.jpg", "/crash/moved.jpg")  # the mark's hint is wrong now
        kept = json.loads(cairn("--json", "stat", "/crash/moved.jpg").stdout)[0]["ids"][0]
        first, second = self.cluster.storages
        clusters.wait_until("the mark at both", lambda: kept in self.marks(second), 30)
        self.assertEqual(self.marks(first)[kept], self.marks(second)[kept])
        self.assertNotIn(by_id, self.marks(first))
        # By its ID it is only read.
        self.assertEqual(cairn("delete", kept, check=False).returncode, 4)
        self.assertEqual(cairn("meta", "set", kept, "a=b", check=False).returncode, 4)

        with tempfile.TemporaryDirectory() as folder:
            big = pathlib.Path(folder, "big.bin")
            with open(big, "wb") as file:
                file.truncate(1 << 30)
            command = [clusters.binary("cairn"), "--conf", self.cluster.client_conf]
            copy = subprocess.Popen([*command, "cp", big, ":/crash/never.bin"])
            try:
                clusters.wait_until(
                    "a piece of it",
                    lambda: len(set(self.marks(first)) | set(self.marks(second))) > 1,
                    60,
                )
            finally:
                copy.kill()
                copy.wait()
        lost = (set(self.marks(first)) | set(self.marks(second))) - {kept}
        self.assertTrue(lost)
        # Its session is over 20 s after it was last heard of.
        clusters.wait_until(
            "the end of what has no name",
            lambda: not lost & (set(self.marks(first)) | set(self.marks(second))),
            90,
        )
        self.assertEqual(cairn("stat", "/crash/never.bin", check=False).returncode, 3)
        self.assertEqual(set(self.marks(first)), {kept})
        cairn("info", by_id)
        self.assertEqual(
            subprocess.run([*command, "cat", "/crash/moved.jpg"], capture_output=True).stdout,
            (IMAGES / "rocket.jpg").read_bytes(),
        )
        sound = json.loads(cairn("--json", "fsck", "--data", "--repair").stdout)
        self.assertEqual((sound["faults"], sound["missing"], sound["unnamed"]), ([], [], []))


class Storm(clusters.ClusterTest):
    shape = {"storages": 1}

    def test_the_tracker_is_killed_in_a_storm(self):
        workload.cairn(self.cluster, "export", "add", "storm")
        seconds = 4 * KILLS
        command = [clusters.binary("cairn-namespace-storm"), self.cluster.client_conf, "storm"]
        command += [str(seconds), "8", str(time.time_ns() % 1_000_000)]
        storm = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(KILLS):
            time.sleep(1.5)
            self.cluster.kill(self.cluster.tracker)
            time.sleep(0.3)
            self.cluster.start_node(self.cluster.tracker)
        out, complaints = storm.communicate(timeout=120)
        print(" ".join(command[3:]), out.strip())
        self.assertEqual(storm.returncode, 0, complaints)
        self.assertGreater(json.loads(out)["acknowledged"], 100)


if __name__ == "__main__":
    unittest.main()
