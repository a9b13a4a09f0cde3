"""G4: a file deleted while a node was away does not come back with it, from either side."""

import unittest

import cluster as clusters
import fastdfs
import workload
from fastdfs import wait_until

COUNT = 400 if workload.FULL else 40


class Delete(clusters.ClusterTest):
    shape = {"storages": 2}

    def stored_everywhere(self, count, node):
        """IDs of `count` new files, uploaded to `node` and already on the disk of every node."""
        ids = [self.cluster.upload(workload.content_of(n, 2000), "jpg", node=node)
               for n in range(count)]
        for member in self.cluster.storages:
            for file_id in ids:
                wait_until(f"{file_id} on the disk of {member.id}",
                           lambda i=file_id, m=member: self.on_disk(i, m))
        return ids

    def on_disk(self, file_id, node):
        name = fastdfs.split_id(file_id)[1]
        return name in workload.files_on(node)

    def delete(self, ids, node):
        with self.cluster.to(node) as storage:
            for file_id in ids:
                storage.call(fastdfs.DELETE, fastdfs.named(file_id))

    def assert_gone(self, ids):
        for node in self.cluster.storages:
            held = workload.files_on(node)
            for file_id in ids:
                name = fastdfs.split_id(file_id)[1]
                self.assertNotIn(name, held, f"on the disk of {node.id}")
                with self.cluster.to(node) as storage:
                    reply = storage.request(fastdfs.DOWNLOAD, fastdfs.download_body(file_id))
                    self.assert_status(reply, 2)
                status = clusters.http_get(node.addr, node.http, f"/{file_id}").status
                self.assertEqual(status, 404, f"{file_id} at {node.id}")

    def assert_there(self, ids):
        for node in self.cluster.storages:
            for number, file_id in ids:
                self.assertEqual(self.cluster.download(file_id, node),
                                 workload.content_of(number, 2000))

    def check(self, uploaded_to, away, leave):
        """Files of node `uploaded_to`; half of them are deleted while node `away` is down."""
        source, absent = self.cluster.storages[uploaded_to], self.cluster.storages[away]
        present = self.cluster.storages[1 - away]
        ids = self.stored_everywhere(COUNT, source)
        deleted, kept = ids[::2], list(enumerate(ids))[1::2]
        leave(absent)
        self.delete(deleted, present)
        # The one that knows of the deletion restarts too: it must not have known by heart only.
        self.cluster.kill(present)
        self.cluster.start_node(present)
        self.cluster.start_node(self.cluster.node(absent.id))
        self.cluster.wait_active()
        workload.assert_converged(self, self.cluster)
        self.assert_gone(deleted)
        self.assert_there(kept)

    def test_the_replica_was_away(self):
        self.check(0, 1, self.cluster.stop)

    def test_the_source_was_away(self):
        self.check(0, 0, self.cluster.stop)

    def test_the_source_was_killed(self):
        self.check(1, 1, self.cluster.kill)

    def test_delete_and_upload_race_the_return(self):
        first, second = self.cluster.storages
        ids = self.stored_everywhere(COUNT, first)
        self.cluster.stop(second)
        self.delete(ids[: COUNT // 2], first)
        second = self.cluster.start_node(second)
        # While the first half's deletions are on their way, the other half is deleted at the node
        # that has just returned.
        self.delete(ids[COUNT // 2 :], second)
        workload.assert_converged(self, self.cluster)
        self.assert_gone(ids)


if __name__ == "__main__":
    unittest.main()
