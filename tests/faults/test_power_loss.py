"""G1 under power loss: nodes are cut off in the middle of mixed load, what they had not synced is
undone on their disks (all of it, or some of it as a real disk would), and every acknowledged
operation must still hold at every node."""

import json
import os
import shutil
import tempfile
import time
import unittest

import cluster as clusters
import faults
import ledger
import workload

ROUNDS = 40 if workload.FULL else 6
KEPT = 1500  # files that live on from one turn to the next


class PowerLoss(clusters.ClusterTest):
    shape = {"storages": 2}
    rounds = ROUNDS

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="cairn-shim-")
        cls.addClassCleanup(folder.cleanup)
        cls.root = tempfile.mkdtemp(prefix="cairn-test-")
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        cls.shape = cls.shape | {"root": cls.root}
        cls.shim = faults.shim_environment(folder.name, os.path.join(cls.root, "data"))
        cls.addClassCleanup(faults.end_of_environment)
        super().setUpClass()

    def cut(self, victims, seed):
        """Power loss of these nodes at once; how many changes were undone."""
        for node in victims:
            self.cluster.kill(node)
        lost = 0
        for node in victims:
            data = next(p for p in (os.path.join(self.root, "data", node.id),) if os.path.isdir(p))
            cut = faults.PowerCut(self.shim, data, node.pid, seed)
            cut.apply()
            lost += cut.lost
        return lost

    def settle(self, book):
        """For those whose copies may differ for good reason."""

    def test_acknowledged_operations_survive(self):
        book = ledger.Ledger(self.cluster)
        undone, slowest = 0, 0.0
        for turn in range(self.rounds):
            seed = None if turn % 3 == 0 else turn
            with self.subTest(turn=turn, seed=seed):
                ids = [node.id for node in self.cluster.storages]
                with book.load(ids, connections=4):
                    time.sleep(0.6 + 0.13 * (turn % 5))
                    # One node, the other, or the whole rack.
                    victims = [n for i, n in enumerate(self.cluster.storages) if turn % 3 in (i, 2)]
                    undone += self.cut(victims, seed)
                    begin = time.monotonic()
                    for node in victims:
                        self.cluster.start_node(node)
                    self.cluster.wait_active()
                    slowest = max(slowest, time.monotonic() - begin)
                    time.sleep(0.3)
                self.settle(book)
                book.check(self)
                if workload.FULL:
                    book.thin(KEPT)
        print(f"power loss: {self.rounds} times, {book.acknowledged} acknowledged operations on "
              f"{book.file_count} files, {undone} unsynced changes undone, healthy after at most "
              f"{slowest:.1f} s")
        self.assertGreater(undone, 0, "nothing was unsynced: the test proves nothing")
        self.assertGreater(book.acknowledged, 100)


class PowerLossWithCopies(PowerLoss):
    """The same with uploads on two nodes, which get them side by side."""

    shape = {"storages": 2, "copies": 2}
    rounds = ROUNDS // 2

    def settle(self, book):
        """A peer may have a file that its origin has lost before it was durable there: nobody was
        promised it, and a comparison brings it back (docs/guarantees.md)."""
        done = workload.cairn(self.cluster, "--json", "--timeout", 60, "check", check=False)
        self.assertIn(done.returncode, (0, 8), done.stdout + done.stderr)
        for group in json.loads(done.stdout)["groups"]:
            for found in group["files_differing"]:
                self.assertEqual(found["kind"], "missing", found)
                self.assertNotIn(found["id"], book.files, found)
        if done.returncode == 8:
            workload.cairn(self.cluster, "check", "--repair")


if __name__ == "__main__":
    unittest.main()
