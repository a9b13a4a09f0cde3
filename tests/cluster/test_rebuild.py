"""A member that lost a disk, its log, its positions or its catalogue, or was away for too long: it
is filled again from its peers, and what was deleted stays deleted."""

import glob
import json
import os
import random
import shutil
import time
import unittest

import cluster as clusters
import fastdfs
import workload
from fastdfs import wait_until

SEED = int(os.environ.get("CAIRN_REBUILD_SEED", "20261123"))
FILES = 2000 if workload.FULL else 200


def scribble(path, generator):
    """Damages a file in a few places."""
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        for _ in range(5 if size else 0):
            file.seek(generator.randrange(size))
            file.write(bytes([generator.randrange(256)]))


class Rebuild(clusters.ClusterTest):
    shape = {"storages": 3, "paths": 2}

    def setUp(self):
        print(f"seed {SEED} (CAIRN_REBUILD_SEED)", flush=True)
        self.random = random.Random(SEED)

    def upload_some(self, count, nodes=None):
        ids = {}
        for _ in range(count):
            node = self.random.choice(nodes or self.cluster.storages)
            content = self.random.randbytes(self.random.choice((10, 5000, 100_000)))
            command = self.random.choice((fastdfs.UPLOAD, fastdfs.UPLOAD_APPENDER))
            ids[self.cluster.upload(content, "dat", command, node)] = content
        return ids

    def base_of(self, node):
        with open(self.cluster.conf_file(node), encoding="utf-8") as file:
            for line in file:
                key, _, value = line.partition("=")
                if key.strip() == "base_path":
                    return value.strip()
        raise AssertionError(f"{node.id} has no base_path")

    def assert_all(self, ids):
        for node in self.cluster.storages:
            for file_id, content in ids.items():
                self.assertEqual(self.cluster.download(file_id, node), content, node.id)

    def test_a_replaced_disk_is_filled_again(self):
        ids = self.upload_some(FILES)
        workload.assert_converged(self, self.cluster)
        node = self.cluster.storages[1]
        before = workload.files_on(node)
        self.cluster.stop(node)
        shutil.rmtree(os.path.join(node.store_paths[1], "data"))
        gone = self.upload_some(20, [self.cluster.storages[0]])
        for file_id in list(ids)[::10]:
            with self.cluster.to(self.cluster.storages[0]) as storage:
                storage.call(fastdfs.DELETE, fastdfs.named(file_id))
            del ids[file_id]
        # Slowly enough to be seen.
        for other in (self.cluster.storages[0], self.cluster.storages[2]):
            self.cluster.reconfigure(other, sync_bring_up_rate=400_000)
        node = self.cluster.start_node(node)
        ids.update(gone)
        self.assert_all(ids)  # from the first moment on (G2)

        def progress():
            done = workload.cairn(self.cluster, "--json", "status", check=False)
            return [sync for sync in json.loads(done.stdout)["sync"]
                    if sync["phase"] == "bring_up" and sync["bring_up_total"] > 0]

        seen = []
        held = {}
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            seen += progress()
            held = workload.files_on(node)
            if len(held) >= len(workload.files_on(self.cluster.storages[0])):
                break
            time.sleep(0.2)
        self.assertTrue(seen, "no progress was shown")
        self.assertTrue(any(sync["bring_up_left_seconds"] > 0 for sync in seen), seen[-5:])
        self.assertGreater(len({sync["from"] for sync in seen}), 1, "not from all peers")
        self.assertGreater(len(before), 0)
        workload.assert_converged(self, self.cluster)
        self.assert_all(ids)
        for other in (self.cluster.storages[0], self.cluster.storages[2]):
            self.cluster.reconfigure(other, sync_bring_up_rate=0)

    def test_a_disk_that_is_another_one_is_refused(self):
        workload.assert_converged(self, self.cluster)
        node = self.cluster.storages[2]
        self.cluster.stop(node)
        marks = [os.path.join(path, "data", ".mark") for path in node.store_paths]
        texts = []
        for mark in marks:
            with open(mark, encoding="utf-8") as file:
                texts.append(file.read())
        self.assertNotEqual(*texts)
        for mark, text in zip(marks, reversed(texts)):
            with open(mark, "w", encoding="utf-8") as file:
                file.write(text)
        done = clusters.run_cairn(self.cluster.conf_file(node), program="cairn-storage",
                                  check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("disk of another store path", done.stderr)
        for mark, text in zip(marks, texts):
            with open(mark, "w", encoding="utf-8") as file:
                file.write(text)
        self.cluster.start_node(node)
        self.cluster.wait_active()

    def test_damaged_state_never_stops_a_node(self):
        """Log, cursors, positions and catalogue, deleted or damaged, in turn."""
        ids = self.upload_some(60)
        workload.assert_converged(self, self.cluster)
        harms = ["binlog", "sync/*.cursor", "sync/applied", "catalogue", "scrub", "tombstones"]
        for number, part in enumerate(harms * 2):
            node = self.cluster.storages[number % 3]
            delete = number < len(harms)
            self.cluster.stop(node)
            for path in glob.glob(os.path.join(self.base_of(node), "data", part)):
                if part == "tombstones" and not delete:
                    continue
                if delete:
                    shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
                    continue
                files = [os.path.join(folder, name) for folder, _, names in os.walk(path)
                         for name in names] if os.path.isdir(path) else [path]
                for file in files:
                    if os.path.basename(file) not in ("LOCK", "start"):
                        scribble(file, self.random)
            others = [other for other in self.cluster.storages if other.id != node.id]
            ids.update(self.upload_some(5, others))
            self.cluster.start_node(node)
            ids.update(self.upload_some(5))
            note = f"{'deleted' if delete else 'damaged'} {part} on {node.id}, seed {SEED}"
            with self.subTest(note):
                workload.assert_converged(self, self.cluster)
                self.assert_all(dict(list(ids.items())[-20:]))

    def test_who_was_away_for_too_long_brings_nothing_back(self):
        deleted = self.upload_some(20)
        kept = self.upload_some(20)
        workload.assert_converged(self, self.cluster)
        first, second, late = self.cluster.storages
        # Only the late one has these: nobody ever acknowledged them.
        self.cluster.stop(first)
        self.cluster.stop(second)
        own = self.upload_some(3, [late])
        self.cluster.kill(late)
        for node in (first, second):
            self.cluster.start_node(node)
        for file_id in deleted:
            with self.cluster.to(self.cluster.storages[0]) as storage:
                storage.call(fastdfs.DELETE, fastdfs.named(file_id))
        # Long enough for all that remembers the deletes to be forgotten, and for the late one to be
        # told apart by the day it was seen last.
        time.sleep(2)
        for node in (first, second):
            node = self.cluster.node(node.id)
            self.cluster.stop(node)
            for part in ("tombstones", "binlog"):
                shutil.rmtree(os.path.join(self.base_of(node), "data", part))
            for cursor in glob.glob(os.path.join(self.base_of(node), "data", "sync", "*")):
                if os.path.isfile(cursor):
                    os.unlink(cursor)
        for node in (first, second):
            self.cluster.start_node(self.cluster.node(node.id))
        with open(os.path.join(self.base_of(late), "data", "last_seen"), "w",
                  encoding="utf-8") as file:
            file.write(f"{int(time.time()) - 86400 * 91}\n")
        late = self.cluster.start_node(late)
        self.cluster.wait_active(seconds=60)
        workload.assert_converged(self, self.cluster)
        for node in self.cluster.storages:
            for file_id in deleted:
                with self.cluster.to(node) as storage:
                    reply = storage.request(fastdfs.DOWNLOAD, fastdfs.download_body(file_id))
                    self.assertEqual(reply.status, 2, f"{file_id} came back at {node.id}")
        self.assert_all({**kept, **own})
        returned = [name for path in late.store_paths
                    for name in os.listdir(os.path.join(path, "data", ".returned"))]
        self.assertEqual(len([name for name in returned if not name.endswith("-m")]), len(deleted))


if __name__ == "__main__":
    unittest.main()
