"""The trash: deleted files come back by `cairn trash restore`, on every node, under their IDs; and
what was not restored stays deleted. Bulk deletes by age, and of slave files."""
import json
import os
import time
import unittest

import cluster as clusters
import fastdfs
from cluster import http_get
from fastdfs import wait_until

DAY = 86400


class TrashTest(clusters.ClusterTest):
    shape = {"storages": 2}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for node in cls.cluster.storages:
            cls.cluster.reconfigure(node, trash_days=2)
        cls.cluster.wait_active(2)

    def run_cairn(self, *args, code=0):
        done = clusters.run_cairn("--conf", self.cluster.client_conf, *args, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def on_both(self, file_id, there=True):
        wait_until(f"{file_id} {'at' if there else 'gone from'} both nodes", lambda: all(
            os.path.exists(self.cluster.path_of(file_id, node)) == there
            for node in self.cluster.storages), 20)

    def listed(self):
        reply = json.loads(self.run_cairn("--json", "trash", "ls").stdout)
        return {file["id"]: file for file in reply["files"]}

    def everywhere(self, file_id):
        """The status of GET at each node."""
        return [http_get(node.addr, node.http, "/" + file_id).status
                for node in self.cluster.storages]

    def delete(self, file_id):
        self.run_cairn("delete", file_id)
        self.on_both(file_id, there=False)

    def test_restore(self):
        content = os.urandom(70_000)
        for command in (fastdfs.UPLOAD, fastdfs.UPLOAD_APPENDER):
            file_id = self.cluster.upload(content, "jpg", command)
            self.run_cairn("meta", "set", file_id, "owner=alice")
            self.on_both(file_id)
            wait_until("metadata at both", lambda: all(
                os.path.exists(self.cluster.path_of(file_id, node) + "-m")
                for node in self.cluster.storages))
            self.delete(file_id)
            self.assertEqual(self.everywhere(file_id), [404, 404])
            entry = self.listed()[file_id]
            self.assertEqual(entry["size"], len(content))
            self.assertLess(abs(entry["deleted"] - time.time()), 60)
            self.assertGreater(entry["expires"], time.time() + 2 * DAY - 60)
            self.assertEqual(len(entry["nodes"]), 2)
            self.run_cairn("trash", "restore", file_id)
            self.on_both(file_id)
            for node in self.cluster.storages:
                self.assertEqual(self.cluster.download(file_id, node), content)
            wait_until("metadata", lambda: "owner=alice" in clusters.run_cairn(
                "--conf", self.cluster.client_conf, "meta", "get", file_id).stdout)
            self.assertNotIn(file_id, self.listed())
            self.run_cairn("trash", "restore", file_id, code=3)  # it is there
            # Deleted once more it is deleted, also for a node that was away for all of it.
            self.cluster.stop(self.cluster.storages[1])
            self.run_cairn("delete", file_id)
            self.cluster.start_node(self.cluster.storages[1])
            self.on_both(file_id, there=False)
        self.run_cairn("check", "--group", "group1")

    def test_restore_while_a_member_is_away(self):
        """It has neither seen the delete nor the restore, and another delete that is older."""
        file_id = self.cluster.upload(b"wanted")
        gone = self.cluster.upload(b"not wanted")
        self.on_both(file_id)
        self.on_both(gone)
        self.cluster.stop(self.cluster.storages[1])
        self.run_cairn("delete", file_id, gone)
        self.run_cairn("trash", "restore", file_id, code=0)
        self.cluster.start_node(self.cluster.storages[1])
        self.cluster.wait_active(2)
        wait_until("the delete", lambda: not os.path.exists(
            self.cluster.path_of(gone, self.cluster.storages[1])), 20)
        self.on_both(file_id)
        for node in self.cluster.storages:
            self.assertEqual(self.cluster.download(file_id, node), b"wanted")
        self.assertEqual(self.everywhere(gone), [404, 404])
        self.run_cairn("check", "--group", "group1", "--repair")
        self.assertEqual(self.cluster.download(file_id), b"wanted")
        # A member that lost its disk gets what was restored, and nothing of what was deleted.
        node = self.cluster.storages[1]
        self.cluster.stop(node)
        for path in node.store_paths:
            clusters.shutil.rmtree(os.path.join(path, "data"))
        self.cluster.start_node(node)
        self.on_both(file_id)
        self.assertFalse(os.path.exists(self.cluster.path_of(gone, self.cluster.storages[1])))

    def test_kill_after_restore(self):
        file_id = self.cluster.upload(b"kept")
        self.on_both(file_id)
        self.delete(file_id)
        self.run_cairn("trash", "restore", file_id)
        for node in list(self.cluster.storages):
            self.cluster.kill(node)
        for node in list(self.cluster.storages):
            self.cluster.start_node(node)
        self.on_both(file_id)
        for node in self.cluster.storages:
            self.assertEqual(self.cluster.download(file_id, node), b"kept")

    def test_purge_and_expiry(self):
        ids = [self.cluster.upload(b"%d" % i) for i in range(3)]
        for file_id in ids:
            self.on_both(file_id)
            self.delete(file_id)
        self.run_cairn("trash", "purge", ids[0])
        self.assertNotIn(ids[0], self.listed())
        self.run_cairn("trash", "restore", ids[0], code=3)
        self.run_cairn("trash", "purge", ids[0], code=3)
        # Three days ago, as far as the directories know: gone with the next start.
        for node in self.cluster.storages:
            trash = os.path.join(node.store_paths[0], "data", ".trash")
            today = max(os.listdir(trash))
            os.makedirs(os.path.join(trash, str(int(today) - 3)), exist_ok=True)
            name = fastdfs.split_id(ids[1])[1][4:].replace("/", "_")
            os.rename(os.path.join(trash, today, name),
                      os.path.join(trash, str(int(today) - 3), name))
        self.assertIn(ids[1], self.listed())
        for node in list(self.cluster.storages):
            self.cluster.stop(node)
            self.cluster.start_node(node)
        self.cluster.wait_active(2)
        wait_until("expiry", lambda: ids[1] not in self.listed(), 10)
        self.assertIn(ids[2], self.listed())
        self.run_cairn("trash", "purge", "--all")
        self.assertEqual(self.listed(), {})
        audit = clusters.run_cairn("audit", os.path.join(
            self.cluster.root, "data", self.cluster.storage.id)).stdout
        self.assertIn("trash.purge", audit)

    def test_bulk_deletes(self):
        old = self.cluster.upload(b"old", "jpg")
        with self.cluster.to(self.cluster.storage) as storage:
            slave = fastdfs.read_id(storage.call(
                fastdfs.UPLOAD_SLAVE, fastdfs.slave_body(old, "-small", b"slave", "jpg")))
        time.sleep(3)
        young = self.cluster.upload(b"young")
        self.on_both(old)
        self.on_both(slave)
        dry = self.run_cairn("delete", "--older-than", "2s", "--group", "group1", "--with-slaves",
                             "--dry-run")
        self.assertIn("would be deleted", dry.stdout)
        self.assertEqual(self.everywhere(old), [200, 200])
        began = time.monotonic()
        self.run_cairn("delete", "--older-than", "2s", "--group", "group1", "--with-slaves",
                       "--rate", "20")
        self.assertGreater(time.monotonic() - began, 0.04)
        self.on_both(old, there=False)
        self.on_both(slave, there=False)
        self.assertEqual(self.cluster.download(young), b"young")
        self.run_cairn("delete", "--older-than", "2s", code=1)

        master = self.cluster.upload(b"master", "jpg")
        slaves = []
        with self.cluster.to(self.cluster.storage) as storage:
            for prefix in ("-small", "-large"):
                slaves.append(fastdfs.read_id(storage.call(
                    fastdfs.UPLOAD_SLAVE, fastdfs.slave_body(master, prefix, b"s", "jpg"))))
        wait_until("the slaves in the catalogue", lambda: "3 would be deleted" in self.run_cairn(
            "delete", master, "--with-slaves", "--dry-run").stdout, 10)
        self.run_cairn("delete", master, "--with-slaves")
        for file_id in (master, *slaves):
            self.on_both(file_id, there=False)

    def test_no_trash_by_default(self):
        self.cluster.reconfigure(self.cluster.storages[0], trash_days=None)
        self.addCleanup(lambda: self.cluster.reconfigure(self.cluster.storages[0], trash_days=2))
        file_id = self.cluster.upload(b"gone")
        self.run_cairn("delete", file_id)
        path = os.path.join(self.cluster.storages[0].store_paths[0], "data", ".trash")
        name = fastdfs.split_id(file_id)[1][4:].replace("/", "_")
        self.assertFalse(any(name in files for _, _, files in os.walk(path)))


if __name__ == "__main__":
    unittest.main()
