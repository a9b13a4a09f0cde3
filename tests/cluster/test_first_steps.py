"""What a newcomer does in the first hour: start a cluster, store images, fetch them from every node
by both protocols, look at them, delete them."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import cluster as clusters
import workload
from fastdfs import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGES = ROOT / "tests/images"


class FirstSteps(clusters.ClusterTest):
    shape = {"storages": 2}

    def get(self, node, file_id):
        return clusters.http_get(node.addr, node.http, f"/{file_id}")

    def test_samples_as_quickstart_stores_them(self):
        with tempfile.TemporaryDirectory() as folder:
            described = pathlib.Path(folder, "cluster.json")
            described.write_text(
                json.dumps(
                    {
                        "storages": [node._asdict() for node in self.cluster.storages],
                        "client_conf": self.cluster.client_conf,
                    }
                )
            )
            command = [sys.executable, ROOT / "scripts/store_samples.py"]
            command += ["--cairn", clusters.binary("cairn"), "--cluster", described]
            command += ["--images", IMAGES, "--state", pathlib.Path(folder, "samples.json")]
            for stored_now in ("33", "0"):
                done = subprocess.run(command, capture_output=True, text=True, timeout=100)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn(f"({stored_now} stored now)", done.stdout)

    def test_every_file_comes_back_from_every_node(self):
        # Hostile and empty images are files like any other.
        paths = sorted(path for path in IMAGES.iterdir() if path.suffix not in (".md", ""))
        printed = workload.cairn(self.cluster, "upload", *paths).stdout.split()
        self.assertEqual(len(printed), len(paths))
        self.assertEqual(len(set(printed)), len(paths))
        for path, file_id in zip(paths, printed):
            content = path.read_bytes()
            for node in self.cluster.storages:
                with self.subTest(file=path.name, node=node.id):
                    reply = self.get(node, file_id)
                    self.assertEqual((reply.status, reply.body), (200, content))
                    self.assertEqual(self.cluster.download(file_id, node), content)

    def test_a_file_from_upload_to_deletion(self):
        source = IMAGES / "rocket.jpg"
        content = source.read_bytes()
        file_id = workload.cairn(self.cluster, "upload", source, "--meta", "width=640").stdout.strip()
        self.assertRegex(file_id, r"^group1/M00/[0-9A-F]{2}/[0-9A-F]{2}/[\w-]{27,}\.jpg$")

        info = json.loads(workload.cairn(self.cluster, "--json", "info", file_id).stdout)
        self.assertEqual(info["size"], len(content))
        meta = workload.cairn(self.cluster, "meta", "get", file_id).stdout
        self.assertEqual(meta.strip(), "width=640")
        with tempfile.TemporaryDirectory() as folder:
            target = os.path.join(folder, "copy.jpg")
            workload.cairn(self.cluster, "download", file_id, "-o", target)
            self.assertEqual(pathlib.Path(target).read_bytes(), content)

        workload.cairn(self.cluster, "delete", file_id)
        gone = workload.cairn(self.cluster, "info", file_id, check=False)
        self.assertEqual(gone.returncode, 3, gone.stderr)
        for node in self.cluster.storages:
            wait_until(f"no file on {node.id}", lambda n=node: self.get(n, file_id).status == 404)

    def test_status_shows_every_node(self):
        shown = workload.cairn(self.cluster, "status").stdout
        for node in self.cluster.storages:
            self.assertIn(node.addr, shown)
        json.loads(workload.cairn(self.cluster, "--json", "status").stdout)

    def test_health_and_metrics(self):
        for node in self.cluster.trackers + self.cluster.storages:
            for page in ("/healthz", "/readyz", "/metrics", "/status"):
                with self.subTest(node=node.id, page=page):
                    reply = clusters.http_get(node.addr, node.http, page)
                    self.assertEqual(reply.status, 200)
                    if page == "/status":
                        json.loads(reply.body)
                    if page == "/metrics":
                        self.assertIn(b"cairn_build_info{", reply.body)

    def test_up_again_reuses_the_cluster(self):
        command = ["local", "up", "--root", self.cluster.root, "--storages", 2, "--json"]
        again = json.loads(clusters.run_cairn(*command).stdout)
        pids = [node.pid for node in self.cluster.trackers + self.cluster.storages]
        self.assertEqual([entry["pid"] for entry in again["trackers"] + again["storages"]], pids)

    def test_a_node_that_takes_long_to_end_is_started(self):
        """`local start` comes while the killed process is still there, as it is when its disk is
        busy: the process that ends meanwhile is followed by a new one."""
        node = self.cluster.storages[1]

        def is_offline():
            page = clusters.http_get(self.cluster.tracker.addr, self.cluster.tracker.http, "/status")
            return b"offline" in page.body

        os.kill(node.pid, signal.SIGSTOP)
        try:
            wait_until(f"{node.id} is offline", is_offline, 30)
            command = [clusters.binary("cairn"), "local", "start", node.id, "--root",
                       self.cluster.root, "--json"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as start:
                time.sleep(1)
                self.assertIsNone(start.poll())  # it waits for a process that does not answer
                os.kill(node.pid, signal.SIGKILL)
                answer = json.loads(start.communicate(timeout=60)[0])
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(node.pid, signal.SIGKILL)
        self.assertEqual(start.returncode, 0)
        self.assertNotEqual(answer["pid"], node.pid)
        self.cluster.storages[1] = node._replace(pid=answer["pid"])


if __name__ == "__main__":
    unittest.main()
