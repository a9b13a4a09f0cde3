"""Files that are written a few blocks at a time stay good: they are rewritten into few stored files
while others write on, no write is lost, and what is not needed any more leaves the disks."""

import json
import os
import re
import subprocess
import time
import unittest

import cluster as clusters
import workload

SEED = int(os.environ.get("CAIRN_FRAGMENTS_SEED", "20261122"))
# Full: 100,000 random writes of 4 KiB with a flush every 10, as one file.
FLUSHES = 10_000 if workload.FULL else 400
WRITERS = 1 if workload.FULL else 3
SIZE = 256 << 20 if workload.FULL else 16 << 20
WINDOW = 64 << 20
EXTENTS_MAX = 64  # of a window


class Fragments(clusters.ClusterTest):
    shape = {"storages": 2}

    def metric(self, name):
        tracker = self.cluster.tracker
        text = clusters.http_get(tracker.addr, tracker.http, "/metrics").body.decode()
        return float(re.search(rf"^{name} (\S+)$", text, re.M)[1])

    def test_random_writers_leave_few_files(self):
        print(f"seed {SEED} (CAIRN_FRAGMENTS_SEED)", flush=True)
        self.cluster.reconfigure(self.cluster.tracker, rewrite_idle="1s", delete_grace="2s")
        workload.cairn(self.cluster, "export", "add", "random", "--copies", "2")
        command = [clusters.binary("cairn-fragment-storm"), self.cluster.client_conf, "random",
                   SEED, WRITERS, SIZE, FLUSHES, 10, 25 if workload.FULL else 12]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                              timeout=1500, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        told = json.loads(done.stdout)
        windows = SIZE // WINDOW + 1
        self.assertGreater(told["extents_most"], windows * EXTENTS_MAX)
        self.assertLessEqual(told["extents"], windows * EXTENTS_MAX, done.stdout)
        self.assertLessEqual(told["stored"], windows * EXTENTS_MAX, done.stdout)
        self.assertGreater(self.metric("cairn_ns_rewrites_total"), 0)
        self.assertGreaterEqual(self.metric("cairn_ns_rewritten_extents_total"), FLUSHES)
        # What was replaced goes from the disks.
        most = WRITERS * windows * EXTENTS_MAX
        deadline = time.monotonic() + (300 if workload.FULL else 90)
        while len(workload.names_on(self.cluster.storages[0])) > most:
            self.assertLess(time.monotonic(), deadline, "the old stored files stay")
            time.sleep(1)
        sound = json.loads(workload.cairn(self.cluster, "--json", "fsck", "--data").stdout)
        self.assertEqual((sound["faults"], sound["missing"]), ([], []))


if __name__ == "__main__":
    unittest.main()
