"""G1-G4 under kill -9: nodes die at random moments of mixed load, one or several at once, the
tracker too; what was acknowledged holds at every node after each round."""

import random
import time
import unittest

import cluster as clusters
import ledger
import workload
from fastdfs import wait_until

ROUNDS = 500 if workload.FULL else 20
SEED = 20
KEPT = 1500  # files that live on from one check to the next


class KillStorm(clusters.ClusterTest):
    shape = {"storages": 3}

    def test_random_kills(self):
        rng = random.Random(SEED)
        book = ledger.Ledger(self.cluster)
        kills, slowest = 0, 0.0
        for turn in range(ROUNDS):
            with self.subTest(seed=SEED, turn=turn):
                ids = [node.id for node in self.cluster.storages]
                victims = rng.sample(ids, rng.choice((1, 1, 1, 2, 3)))
                if rng.random() < 0.15:
                    victims.append(self.cluster.tracker.id)
                with book.load(ids, connections=1):
                    time.sleep(rng.uniform(0.1, 1.0))
                    for victim in victims:
                        self.cluster.kill(self.cluster.node(victim))
                        kills += 1
                        time.sleep(rng.choice((0, 0, rng.uniform(0, 0.4))))
                    begin = time.monotonic()
                    for victim in rng.sample(victims, len(victims)):
                        self.cluster.start_node(self.cluster.node(victim))
                    self.cluster.wait_active()
                    slowest = max(slowest, time.monotonic() - begin)
                # All of it at the end of a storm; now and then what is known so far.
                if turn % 5 == 4 or turn == ROUNDS - 1:
                    book.check(self)
                    if workload.FULL:
                        book.thin(KEPT)
        print(f"kill -9: {ROUNDS} rounds, {kills} kills, {book.acknowledged} acknowledged "
              f"operations on {book.file_count} files, healthy after at most {slowest:.1f} s")
        self.assertGreater(book.acknowledged, 20 * ROUNDS)


if __name__ == "__main__":
    unittest.main()
