"""kill -9 of the migrator at random, files that change and vanish meanwhile, and a storage node and
the tracker restarted: at the end the export is the source, and nothing is left to do."""

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import unittest

import cluster as clusters
import trees
import workload

KILLS = 12 if workload.FULL else 5
DIRECTORIES, FILES = (400, 50) if workload.FULL else (120, 25)


class Writer(threading.Thread):
    """Adds, rewrites, renames and removes files until stop()."""

    def __init__(self, root, seed):
        super().__init__(daemon=True)
        self.root, self.rng = root, random.Random(seed)
        self.stopping = threading.Event()
        self.failure = None

    def run(self):
        try:
            number = 0
            while not self.stopping.wait(0.005):
                number += 1
                folder = os.path.join(self.root, self.rng.choice(sorted(os.listdir(self.root))))
                files = sorted(os.listdir(folder))
                what = self.rng.randrange(41) // 8
                if what == 0 or not files:
                    trees.write(os.path.join(folder, f"new{number}"), self.rng.randbytes(3000))
                    continue
                if what == 5:  # a directory goes, with all that may be waiting to be copied
                    shutil.rmtree(folder)
                    os.mkdir(os.path.join(self.root, f"d{number}"))
                    trees.write(os.path.join(self.root, f"d{number}", "first"), b"1")
                    continue
                victim = os.path.join(folder, self.rng.choice(files))
                if what == 1:
                    trees.write(victim, self.rng.randbytes(2000))  # in place
                elif what == 2:
                    os.rename(victim, os.path.join(folder, f"moved{number}"))
                elif what == 3:
                    os.remove(victim)
                else:
                    trees.write(victim + ".part", self.rng.randbytes(2500))
                    os.rename(victim + ".part", victim)
        except OSError as error:
            self.failure = error

    def stop(self):
        self.stopping.set()
        self.join(30)


class Kill(trees.MigrateTest):
    def test_killed_at_random_while_everything_changes(self):
        seed = int(os.environ.get("CAIRN_SEED", time.time_ns() % 1_000_000))
        print(f"seed {seed}", file=sys.stderr)
        rng = random.Random(seed)
        for d in range(DIRECTORIES):
            folder = os.path.join(self.source, f"{d:04d}")
            os.makedirs(folder)
            for f in range(FILES):
                trees.write(os.path.join(folder, f"{f:04d}.jpg"), rng.randbytes(2000))
        os.link(f"{self.source}/0000/0000.jpg", f"{self.source}/0001/linked")
        writer = Writer(self.source, seed)
        writer.start()
        arguments = self.command("run", "--job", "j", "--delete", self.source + "/", self.export)
        killed, longest = 0, 1.2
        for _ in range(5 * KILLS):
            if killed == KILLS:
                break
            process = subprocess.Popen([clusters.binary("cairn-migrate"), *arguments],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            try:
                process.wait(rng.uniform(0.02, longest))
                longest = max(longest / 2, 0.1)  # it was over before it could be killed
            except subprocess.TimeoutExpired:
                killed += 1
                if killed == 1:
                    node = self.cluster.storages[1]
                    self.cluster.kill(node)
                    self.cluster.start_node(node)
                if killed == 2:
                    self.cluster.kill(self.cluster.tracker)
                    self.cluster.start_node(self.cluster.tracker)
                process.kill()
            process.communicate()
        self.assertGreaterEqual(killed, 2, "the runs were over before they could be killed")
        status = json.loads(self.migrate("--json", "status", "j").stdout)
        self.assertEqual(status["state"], "interrupted" if status["debt"] else "idle")
        writer.stop()
        self.assertIsNone(writer.failure)
        for _ in range(3):  # the first may see files vanish that the writer removed last
            code = self.migrate(*arguments[4:], check=None).returncode
            self.assertIn(code, (0, 24))
        self.assertEqual(code, 0)
        self.assertEqual(self.manifest("j"), trees.hashes(self.source))
        self.assertEqual(self.summary("verify", "--reread", "j")["different"], 0)
        self.assert_same()
        again = self.summary("resume", "j")
        for name in ("files", "attributes", "removed", "failed", "debt"):
            self.assertEqual(again[name], 0, f"{name}: {again}")

    def test_pause_and_a_signal_end_it_and_resume_goes_on(self):
        trees.make_tree(self.source, 9, directories=40, files=50, odd=False)
        arguments = self.command("run", "--job", "j", "--bwlimit", "1M", self.source + "/",
                                 self.export)
        process = subprocess.Popen([clusters.binary("cairn-migrate"), *arguments],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(1.5)
        status = json.loads(self.migrate("--json", "status", "j").stdout)
        self.assertEqual((status["state"], status["pid"]), ("running", process.pid))
        self.assertGreater(status["now"]["todo"], 0)
        self.migrate("run", "--job", "j", self.source + "/", self.export, check=5)
        self.migrate("pause", "j")
        self.assertEqual(process.wait(30), 20)
        process.communicate()
        process = subprocess.Popen([clusters.binary("cairn-migrate"), *arguments],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(1.0)
        process.terminate()
        self.assertEqual(process.wait(30), 20)
        process.communicate()
        self.migrate("run", "--job", "j", self.source + "/", self.export)
        self.assert_same()


if __name__ == "__main__":
    unittest.main(verbosity=2)
