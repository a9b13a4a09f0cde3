"""Every storage node is restarted in turn while clients go on: no command fails, nothing is lost."""

import hashlib
import pathlib
import tempfile
import threading
import unittest

import cluster as clusters
import workload


class RollingRestart(clusters.ClusterTest):
    shape = {"storages": 2}

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.source = pathlib.Path(folder.name, "file.bin")
        self.target = pathlib.Path(folder.name, "copy.bin")
        self.stored = {}
        self.failed = []
        self.stopping = threading.Event()

    def client(self):
        """Uploads a file and downloads an earlier one, each by a command of its own."""
        number = 0
        while not self.stopping.is_set():
            number += 1
            content = workload.content_of(number, 30_000)
            self.source.write_bytes(content)
            done = workload.cairn(self.cluster, "upload", self.source, check=False)
            if done.returncode != 0:
                self.failed.append(("upload", done.returncode, done.stderr.strip()))
                continue
            file_id = done.stdout.strip()
            self.stored[file_id] = hashlib.sha256(content).digest()
            older = list(self.stored)[number * 7 % len(self.stored)]
            done = workload.cairn(self.cluster, "download", older, "-o", self.target, check=False)
            if done.returncode != 0:
                self.failed.append(("download", done.returncode, done.stderr.strip()))
            elif hashlib.sha256(self.target.read_bytes()).digest() != self.stored[older]:
                self.failed.append(("download", "wrong content", older))

    def test_no_command_fails(self):
        client = threading.Thread(target=self.client)
        client.start()
        try:
            for node in list(self.cluster.storages):
                before = len(self.stored)
                self.cluster.stop(self.cluster.node(node.id))
                self.cluster.start_node(node)
                self.cluster.wait_active()
                clusters.wait_until("uploads after the restart",
                                    lambda b=before: len(self.stored) > b + 2)
        finally:
            self.stopping.set()
            client.join(120)
        self.assertEqual(self.failed, [])
        workload.assert_converged(self, self.cluster)
        for file_id, digest in self.stored.items():
            for node in self.cluster.storages:
                got = hashlib.sha256(self.cluster.download(file_id, node)).digest()
                self.assertEqual(got, digest, f"{file_id} at {node.id}")


if __name__ == "__main__":
    unittest.main()
