"""G1 and G3 under kill -9: what was acknowledged survives, and when the node is back all members
hold the same files."""

import time
import unittest

import cluster as clusters
import workload

ROUNDS = 20 if workload.FULL else 3


class Kill(clusters.ClusterTest):
    shape = {"storages": 2}

    def check_stored(self, uploaders):
        for uploader in uploaders:
            self.assertGreater(len(uploader.stored), 0, f"nothing was stored on {uploader.node_id}")
            for node in self.cluster.storages:
                wrong = workload.missing_reads(self.cluster, node, uploader)
                self.assertEqual(wrong[:5], [], f"{len(wrong)} acknowledged files, at {node.id}")

    def test_a_node_is_killed_during_uploads(self):
        first, second = (node.id for node in self.cluster.storages)
        for turn in range(ROUNDS):
            victim = (first, second)[turn % 2]
            with self.subTest(turn=turn, victim=victim):
                with workload.uploading(self.cluster, (first, second), connections=2) as load:
                    time.sleep(0.5 + 0.1 * (turn % 5))
                    self.cluster.kill(self.cluster.node(victim))
                    time.sleep(0.5)
                    self.cluster.start_node(self.cluster.node(victim))
                    time.sleep(0.5)
                self.check_stored(load)
                workload.assert_converged(self, self.cluster)

    def test_the_tracker_is_killed_during_uploads(self):
        # Who knows a storage node needs no tracker; after its return it finds the nodes again.
        with workload.uploading(self.cluster, [node.id for node in self.cluster.storages]) as load:
            time.sleep(0.3)
            self.cluster.kill(self.cluster.tracker)
            time.sleep(0.5)
            self.cluster.start_node(self.cluster.tracker)
        self.cluster.wait_active()
        for uploader in load:
            self.assertEqual((uploader.breaks, uploader.refused), (0, []))
        self.check_stored(load)
        workload.assert_converged(self, self.cluster)

    def test_both_nodes_are_killed_at_once(self):
        with workload.uploading(self.cluster, [node.id for node in self.cluster.storages]) as load:
            time.sleep(0.7)
            for node in self.cluster.storages:
                self.cluster.kill(node)
        for node in list(self.cluster.storages):
            self.cluster.start_node(node)
        self.cluster.wait_active()
        self.check_stored(load)
        workload.assert_converged(self, self.cluster)


if __name__ == "__main__":
    unittest.main()
