"""A million small files in 20,000 directories, with CAIRN_TEST_FULL=1 (else a hundredth of them):
imported with kill -9 at random, while files change and a storage node is restarted; the manifest is
that of the source, and one more pass finds nothing."""

import json
import os
import random
import subprocess
import sys
import time
import unittest

import cluster as clusters
import trees
import workload
from test_kill import Writer

DIRECTORIES, FILES = (20_000, 50) if workload.FULL else (200, 50)
KILLS = 8 if workload.FULL else 3
# Of one run before it is killed, at most.
LIFE = 60.0 if workload.FULL else 1.0
MEMORY_KIB = 128 * 1024


class Million(trees.MigrateTest):
    def make_source(self, rng):
        for d in range(DIRECTORIES):
            folder = os.path.join(self.source, f"{d // 200:03d}", f"{d % 200:03d}")
            os.makedirs(folder)
            for f in range(FILES):
                trees.write(os.path.join(folder, f"{f:04d}.jpg"), rng.randbytes(rng.choice((1, 300, 900))))
        odd = os.path.join(os.fsencode(self.source), b"odd")
        os.mkdir(odd)
        for number, name in enumerate(trees.ODD_NAMES):
            trees.write(os.path.join(odd, name), b"odd %d" % number)

    def last_line(self, *args):
        done = self.migrate("--json", *args, timeout=3000)
        return json.loads(done.stdout.splitlines()[-1])

    def test_killed_at_random(self):
        seed = int(os.environ.get("CAIRN_SEED", time.time_ns() % 1_000_000))
        print(f"seed {seed}", file=sys.stderr)
        rng = random.Random(seed)
        self.make_source(rng)
        writer = Writer(os.path.join(self.source, "000"), seed)
        writer.start()
        run = ("run", "--job", "j", "--delete", "--memory", "128M", self.source + "/", self.export)
        for kill in range(KILLS):
            process = subprocess.Popen([clusters.binary("cairn-migrate"), *self.command(*run)],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.addCleanup(process.kill)
            until = time.monotonic() + rng.uniform(0.1, LIFE)
            while process.poll() is None and time.monotonic() < until:
                time.sleep(0.05)
                try:
                    self.assertLess(clusters.resident_kib(process.pid), MEMORY_KIB)
                except StopIteration:
                    break  # it has just ended: what is over has no memory
            if kill == 1:
                node = self.cluster.storages[1]
                self.cluster.kill(node)
                self.cluster.start_node(node)
            process.kill()
            process.wait()
        writer.stop()
        self.assertIsNone(writer.failure)
        for _ in range(3):  # the first may see files vanish that the writer removed last
            code = self.migrate(*run, check=None, timeout=3000).returncode
            self.assertIn(code, (0, 24))
        self.assertEqual(code, 0)
        self.assertEqual(self.manifest("j"), trees.hashes(self.source))
        self.assertEqual(self.last_line("verify", "j")["different"], 0)
        again = self.last_line("resume", "j")
        for name in ("files", "attributes", "removed", "failed", "debt"):
            self.assertEqual(again[name], 0, f"{name}: {again}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
