"""The namespace on a real cluster: what the CLI stores comes back, by path over HTTP too; removed
data leaves the storage nodes; kill -9 of the tracker in a storm loses nothing and does nothing
twice."""

import base64
import contextlib
import functools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest
import zlib

import cluster as clusters
import workload

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGES = ROOT / "tests/images"
KILLS = 10 if workload.FULL else 3


def b64(text):
    return base64.b64encode(text.encode()).decode()


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
            # Also whether a name is there is nobody's business.
            for name in ("a.jpg", "nothing.jpg"):
                self.assertEqual(self.get("/closed/" + name, node).status, 401)
        listed = json.loads(self.get("/open/2012/03").body)
        self.assertEqual([(e["name"], e["size"]) for e in listed], [("a b.jpg", len(content))])

    def test_http_with_a_key_reads_and_changes(self):
        self.cairn("export", "add", "keyed", "--owner", "1000:1000")
        self.cairn("export", "add", "frozen", "--readonly")
        with tempfile.TemporaryDirectory() as folder:
            key = pathlib.Path(folder, "key")
            rights = ("--rights", "read,write,delete", "--prefix", "keyed", "--prefix", "frozen")
            self.cairn("key", "add", *rights, "-o", key)
            words = [x for x in key.read_text().splitlines() if x and x[0] != "#"][0].split()
            password = {"Authorization": "Basic " + b64(":".join(words[:2]))}
            node = self.cluster.storages[0]
            clusters.wait_until(
                "the key at the node",
                lambda: self.get("/keyed/a/b.jpg", headers=password).status == 404,
                20,
            )
            content = (IMAGES / "rocket.jpg").read_bytes()

            def put(path, body=content, **headers):
                return self.get(path, method="PUT", body=body, headers={**password, **headers})

            made = put("/keyed/a/b.jpg")
            self.assertEqual(made.status, 201, made.body)
            self.assertEqual(json.loads(made.body)["size"], len(content))
            self.assertEqual(put("/keyed/a/b.jpg", b"other").status, 200)
            self.assertEqual(put("/keyed/a/b.jpg", **{"If-None-Match": "*"}).status, 412)
            self.assertEqual(put("/keyed/a/b.jpg").status, 200)
            self.assertEqual(put("/keyed/a/b.jpg/c").status, 409)
            self.assertEqual(put("/keyed/a").status, 409)
            self.assertEqual(put("/keyed/empty", b"").status, 201)
            self.assertEqual(put("/keyed/" + "x" * 256).status, 400)
            self.assertEqual(put("/frozen/a").status, 403)
            self.assertEqual(put("/nothing/a").status, 403, "the key is not for it")
            self.assertEqual(self.get("/keyed/c", method="PUT", body=b"x").status, 401)
            status = json.loads(self.cairn("--json", "stat", "/keyed/a/b.jpg").stdout)[0]
            self.assertEqual((status["size"], status["uid"]), (len(content), 1000))

            # Nobody, the key, and a signed URL of the key.
            for name in ("a/b.jpg", "a/nothing"):
                self.assertEqual(self.get("/keyed/" + name).status, 401)
            for other in self.cluster.storages:
                reply = self.get("/keyed/a/b.jpg", other, headers=password)
                self.assertEqual((reply.status, reply.body), (200, content))
                self.assertIn("private", reply.headers["cache-control"])
            url = f"http://{node.addr}:{node.http}/keyed/a/b.jpg"
            signed = self.cairn("sign", "--key", key, url).stdout.strip()
            reply = self.get(signed[len(url) - len("/keyed/a/b.jpg"):])
            self.assertEqual((reply.status, reply.body), (200, content))
            part = self.get(
                "/keyed/a/b.jpg", headers={**password, "Range": "bytes=5-9,20-29", "X": "y"}
            )
            self.assertEqual(part.status, 206)
            # A front with the node's disk.
            front = {**password, "X-Cairn-Accel": "/_cairn"}
            there = [self.get("/keyed/a/b.jpg", n, headers=front) for n in self.cluster.storages]
            place = there[0].headers["x-accel-redirect"]
            self.assertEqual(there[0].body, b"")
            path = place.removeprefix("/_cairn/M00/")
            self.assertEqual(
                pathlib.Path(node.store_paths[0], "data", path).read_bytes(), content
            )

            def delete(path):
                return self.get(path, method="DELETE", headers=password).status

            self.assertEqual(delete("/keyed/a"), 409)
            self.assertEqual(delete("/keyed/a/b.jpg"), 204)
            self.assertEqual(delete("/keyed/a/b.jpg"), 404)
            self.assertEqual(self.get("/keyed/a/b.jpg", headers=password).status, 404)
            self.assertEqual(delete("/keyed/a"), 204)
            sound = json.loads(self.cairn("--json", "fsck").stdout)
            self.assertEqual(sound["faults"], [])

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
        # By name, and by when it went.
        self.assertEqual(self.cairn("trash", "/bin", "--name", "*.png").stdout, "")
        self.assertIn("r.jpg", self.cairn("trash", "/bin", "--name", "r.*").stdout)
        self.assertEqual(self.cairn("trash", "/bin", "--before", "1h").stdout, "")
        self.assertEqual(self.cairn("trash", "/bin", "--before", "2001-01-01 12:00").stdout, "")
        self.assertIn("r.jpg", self.cairn("trash", "/bin", "--since", "2001-01-01T12:00").stdout)
        self.assertEqual(self.cairn("trash", "/bin", "--since", "soon", check=False).returncode, 1)
        self.cairn("cp", IMAGES / "rocket.jpg", ":/bin/s.jpg")
        self.cairn("rm", "/bin/s.jpg")
        self.cairn("trash", "/bin/", "--name", "s.*", "--since", "10m", "--restore")
        self.assertEqual(self.cairn("ls", "/bin").stdout.split(), ["s.jpg"])
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
            # Also of pieces that came to their end after the look at them.
            lambda: set(self.marks(first)) | set(self.marks(second)) == {kept},
            90,
        )
        self.assertEqual(cairn("stat", "/crash/never.bin", check=False).returncode, 3)
        self.assertEqual(set(self.marks(first)), {kept})
        cairn("info", by_id)
        self.assertEqual(
            subprocess.run([*command, "cat", "/crash/moved.jpg"], capture_output=True).stdout,
            (IMAGES / "rocket.jpg").read_bytes(),
        )
        # The nodes list what their catalogues say, which follow the disk a moment later.
        sound = {}

        def is_sound():
            sound.update(json.loads(cairn("--json", "fsck", "--data", "--repair", check=False).stdout))
            return not sound["unnamed"]

        clusters.wait_until("a namespace and nodes that agree", is_sound, 30)
        self.assertEqual((sound["faults"], sound["missing"], sound["unnamed"]), ([], [], []))


class Backup(clusters.ClusterTest):
    shape = {"storages": 2}

    def test_backup_restore_and_rebuild(self):
        cairn = functools.partial(workload.cairn, self.cluster)
        image = IMAGES / "rocket.jpg"
        content = image.read_bytes()
        cairn("export", "add", "kept", "--public", "--quota-bytes", "1G")
        cairn("mkdir", "-p", "/kept/a")
        for name in ("a/1.jpg", "a/2.jpg", "old.jpg"):
            cairn("cp", image, ":/kept/" + name)
        cairn("ln", "-s", "a/1.jpg", "/kept/link")
        lines = [json.loads(x) for x in cairn("namespace", "dump", "kept").stdout.splitlines()]
        dumped = {line["path"]: line for line in lines}
        self.assertEqual(dumped["/kept/link"]["target"], "a/1.jpg")
        crc = f"{zlib.crc32(content):08x}"
        self.assertEqual(dumped["/kept/a/1.jpg"]["stored"][0]["crc32"], crc)

        with tempfile.TemporaryDirectory() as folder:
            backup = pathlib.Path(folder, "backup")
            cairn("namespace", "backup", backup)
            self.assertEqual(backup.stat().st_mode & 0o777, 0o600)
            cairn("cp", image, ":/kept/late/3.jpg", check=False)
            cairn("mkdir", "/kept/late")
            cairn("cp", image, ":/kept/late/3.jpg")
            cairn("rm", "/kept/old.jpg")
            tracker = self.cluster.tracker
            conf = self.cluster.conf_file(tracker)
            # Not while it runs, not over what is there, not from a damaged file.
            self.assertEqual(
                cairn("namespace", "restore", backup, conf, "--replace", check=False).returncode, 5
            )
            self.cluster.stop(tracker)
            refused = cairn("namespace", "restore", backup, conf, check=False)
            self.assertEqual(refused.returncode, 5)
            self.assertIn("--replace", refused.stderr)
            whole = bytearray(backup.read_bytes())
            whole[len(whole) // 2] ^= 1
            bad = pathlib.Path(folder, "bad")
            bad.write_bytes(whole)
            refused = cairn("namespace", "restore", bad, conf, "--replace", check=False)
            self.assertEqual(refused.returncode, 5)
            self.assertIn("damaged", refused.stderr)
            bad.write_bytes(backup.read_bytes()[:-100])
            self.assertEqual(
                cairn("namespace", "restore", bad, conf, "--replace", check=False).returncode, 5
            )
            cairn("namespace", "restore", backup, conf, "--replace")
            tracker = self.cluster.start_node(tracker)
        self.cluster.wait_active()
        names = cairn("find", "/kept").stdout.split()
        self.assertIn("/kept/old.jpg", names)
        self.assertNotIn("/kept/late/3.jpg", names)
        node = self.cluster.storages[0]
        self.assertEqual(clusters.http_get(node.addr, node.http, "/kept/a/2.jpg").body, content)
        # What came after the backup is on the storage nodes.
        self.assertEqual(json.loads(cairn("--json", "fsck").stdout)["faults"], [])
        told = json.loads(cairn("--json", "namespace", "rebuild").stdout)
        self.assertEqual((told["files"], told["undecided"]), (1, []))
        self.assertEqual(
            clusters.http_get(node.addr, node.http, "/kept/late/3.jpg").body, content
        )

        # Without any backup.
        self.cluster.stop(tracker)
        shutil.rmtree(pathlib.Path(self.cluster.root, "data", tracker.id, "data", "meta"))
        self.cluster.start_node(tracker)
        self.cluster.wait_active()
        self.assertEqual(cairn("stat", "/kept/a/1.jpg", check=False).returncode, 3)
        done = cairn("--json", "namespace", "rebuild", check=False)
        self.assertEqual(done.returncode, 2, "the export's settings are not known")
        told = json.loads(done.stdout)
        self.assertEqual(told["exports"], ["kept"])
        for name in ("a/1.jpg", "a/2.jpg", "late/3.jpg"):
            got = subprocess.run(
                [clusters.binary("cairn"), "--conf", self.cluster.client_conf, "cat",
                 "/kept/" + name],
                capture_output=True,
            )
            self.assertEqual((got.returncode, got.stdout), (0, content), name)
        self.assertEqual(json.loads(cairn("--json", "fsck").stdout)["faults"], [])
        # Once more: nothing is left to do.
        told = json.loads(cairn("--json", "namespace", "rebuild").stdout)
        self.assertEqual((told["files"], told["undecided"]), (0, []))


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
