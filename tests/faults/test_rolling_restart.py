"""Every node of a group and the tracker are restarted in turn under load: no request fails, neither
of our client (one process a command) nor of HTTP through two nodes."""

import hashlib
import http.client
import pathlib
import tempfile
import threading
import time
import unittest

import cluster as clusters
import workload
from fastdfs import wait_until


class HttpReader(threading.Thread):
    """Reads files over kept connections as a proxy with two upstreams does: when one refuses the
    connection, breaks it off before an answer or says 503, the other is asked."""

    def __init__(self, cluster, files):
        super().__init__(daemon=True)
        self.cluster, self.files = cluster, files
        self.stopping = threading.Event()
        self.done, self.failed, self.retried = 0, [], 0
        self._kept = {}

    def run(self):
        turn = 0
        while not self.stopping.is_set():
            turn += 1
            file_id = list(self.files)[turn % len(self.files)]
            problems = []
            for attempt in range(2):
                node = self.cluster.storages[(turn + attempt) % 2]
                problem = self._get(node, file_id)
                if problem is None:
                    break
                problems.append(problem)
                self.retried += 1
            if len(problems) == 2:
                self.failed.append((file_id, problems))
            self.done += 1
            time.sleep(0.002)
        for connection in self._kept.values():
            connection.close()

    def _get(self, node, file_id):
        """None for the right bytes; else what went wrong."""
        connection = self._kept.pop(node.id, None)
        for fresh in (connection is None, True):
            if connection is None:
                connection = http.client.HTTPConnection(node.addr, node.http, timeout=20)
            try:
                connection.request("GET", "/" + file_id)
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                connection = None
                if not fresh:
                    continue  # a kept connection that was closed meanwhile says nothing
                return f"{node.id}: {error!r}"
            if response.status != 200:
                connection.close()
                return f"{node.id}: status {response.status}"
            if hashlib.sha256(body).digest() != self.files[file_id]:
                connection.close()
                self.failed.append((file_id, "wrong bytes"))
            else:
                self._kept[node.id] = connection
            return None
        return f"{node.id}: no answer"


class RollingRestart(clusters.ClusterTest):
    shape = {"storages": 2}

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.stored, self.failed = {}, []
        self.stopping = threading.Event()

    def client(self, name):
        """Uploads a file and downloads an earlier one, each by a command of its own."""
        source, target = self.folder / f"{name}.bin", self.folder / f"{name}.copy"
        number, mine = hash(name) % 1000 * 1000, []
        while not self.stopping.is_set():
            number += 1
            content = workload.content_of(number, 30_000)
            source.write_bytes(content)
            done = workload.cairn(self.cluster, "upload", source, check=False)
            if done.returncode != 0:
                self.failed.append(("upload", done.returncode, done.stderr.strip()))
                continue
            mine.append(done.stdout.strip())
            self.stored[mine[-1]] = hashlib.sha256(content).digest()
            older = mine[number * 7 % len(mine)]
            done = workload.cairn(self.cluster, "download", older, "-o", target, check=False)
            if done.returncode != 0:
                self.failed.append(("download", done.returncode, done.stderr.strip()))
            elif hashlib.sha256(target.read_bytes()).digest() != self.stored[older]:
                self.failed.append(("download", "wrong content", older))

    def test_no_request_fails(self):
        files = {}
        for number in range(40):
            content = workload.content_of(number, (500, 70_000, 900_000)[number % 3])
            file_id = self.cluster.upload(content, "bin")
            files[file_id] = hashlib.sha256(content).digest()
        workload.assert_converged(self, self.cluster)
        threads = [threading.Thread(target=self.client, args=(name,)) for name in ("a", "b")]
        readers = [HttpReader(self.cluster, files) for _ in range(4)]
        for thread in threads + readers:
            thread.start()
        try:
            order = [n.id for n in self.cluster.storages] + [self.cluster.tracker.id]
            for node_id in order:
                before = len(self.stored)
                self.cluster.stop(self.cluster.node(node_id))
                self.cluster.start_node(self.cluster.node(node_id))
                self.cluster.wait_active()
                wait_until("uploads after the restart",
                           lambda b=before: len(self.stored) > b + 3, 60)
        finally:
            self.stopping.set()
            for reader in readers:
                reader.stopping.set()
            for thread in threads + readers:
                thread.join(120)
        requests = sum(reader.done for reader in readers)
        print(f"rolling restart: {len(self.stored)} uploads and as many downloads by command, "
              f"{requests} requests of HTTP, {sum(r.retried for r in readers)} of them sent to the "
              f"other node")
        self.assertEqual(self.failed[:5], [])
        self.assertEqual([problem for reader in readers for problem in reader.failed][:5], [])
        self.assertGreater(requests, 200)
        workload.assert_converged(self, self.cluster)


if __name__ == "__main__":
    unittest.main()
