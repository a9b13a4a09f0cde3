"""G3: every kind of change on both nodes, with a node killed in between; when writing stops, both
hold the same files, bytes and metadata."""

import random
import time
import unittest

import cluster as clusters
import fastdfs
import workload

SEED = 20260101
CHANGES = 3000 if workload.FULL else 300


class Converge(clusters.ClusterTest):
    shape = {"storages": 2, "paths": 2}

    def setUp(self):
        self.random = random.Random(SEED)
        self.files = {}  # ID -> whether it is an appender file

    def change(self):
        """One change at a node chosen by chance. One that meets a dead node is as good as none: a
        file whose deletion was not answered may be there or not, but the same on both."""
        node = self.random.choice(self.cluster.storages)
        with self.cluster.to(node) as storage:
            kind = self.random.random()
            if kind < 0.4 or not self.files:
                appender = self.random.random() < 0.4
                command = fastdfs.UPLOAD_APPENDER if appender else fastdfs.UPLOAD
                content = self.random.randbytes(self.random.choice((0, 100, 5000, 200_000)))
                body = fastdfs.upload_body(content, "dat")
                self.files[fastdfs.read_id(storage.call(command, body))] = appender
                return
            file_id = self.random.choice(list(self.files))
            if kind < 0.55:
                del self.files[file_id]
                storage.request(fastdfs.DELETE, fastdfs.named(file_id))
            elif kind < 0.7:
                text = f"turn\x02{self.random.random()}".encode()
                flag = self.random.choice((b"O", b"M"))
                storage.request(fastdfs.SET_METADATA, fastdfs.metadata_body(file_id, text, flag))
            elif self.files[file_id] and kind < 0.9:
                content = self.random.randbytes(self.random.randint(1, 3000))
                storage.request(fastdfs.APPEND, fastdfs.append_body(file_id, content))
            elif self.files[file_id]:
                size = self.random.randint(0, 2000)
                storage.request(fastdfs.TRUNCATE, fastdfs.truncate_body(file_id, size))
            else:
                storage.request(fastdfs.UPLOAD_SLAVE,
                                fastdfs.slave_body(file_id, "_s", self.random.randbytes(50), "dat"))

    def changes(self, count):
        for _ in range(count):
            try:
                self.change()
            except (OSError, fastdfs.ConnectionClosed, AssertionError):
                # The node is down, or its peer is whose file this is.
                time.sleep(0.01)

    def test_all_changes_meet(self):
        first, second = (node.id for node in self.cluster.storages)
        self.changes(CHANGES // 3)
        for victim in (first, second):
            self.cluster.kill(self.cluster.node(victim))
            self.changes(CHANGES // 3)
            self.cluster.start_node(self.cluster.node(victim))
        self.cluster.wait_active()
        held = workload.assert_converged(self, self.cluster)
        self.assertGreater(len(held), CHANGES // 10, f"seed {SEED}: hardly anything was stored")
        for file_id in self.files:
            self.assertIn(fastdfs.split_id(file_id)[1], held, f"seed {SEED}")


if __name__ == "__main__":
    unittest.main()
