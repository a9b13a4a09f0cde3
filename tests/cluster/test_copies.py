"""Copies: an upload that asks for two of them is on two nodes' disks before it is acknowledged, so
that a node which dies then takes nothing with it; too few nodes are told, or refused."""

import json
import os
import unittest

import cluster as clusters
import fastdfs
import workload

COUNT = 300


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)
    return path


def wait_following(node):
    """Until the node's peers take its changes as they come."""
    def follows():
        page = clusters.http_get(node.addr, node.http, "/status")
        peers = json.loads(page.body)["peers"]
        return peers and all(peer["phase"] == "tail" for peer in peers)
    clusters.wait_until("peers that follow", follows, 30)


class Copies(clusters.ClusterTest):
    shape = {"storages": 2, "copies": 2}

    def test_an_acknowledged_file_is_on_both_disks(self):
        here, there = self.cluster.storages
        wait_following(here)
        with workload.uploading(self.cluster, [here.id], 4):
            client = self.to_storage(here)
            for number in range(COUNT):
                content = workload.content_of(-1 - number, (100, 4096, 70_000, 400_000)[number % 4])
                file_id = fastdfs.read_id(
                    client.call(fastdfs.UPLOAD, fastdfs.upload_body(content, "bin")))
                # No request that could bring it there: the file itself.
                path = self.cluster.path_of(file_id, there)
                self.assertEqual(read(path), content, file_id)

    def test_appended_bytes_too(self):
        here, there = self.cluster.storages
        wait_following(here)
        client = self.to_storage(here)
        file_id = fastdfs.read_id(client.call(fastdfs.UPLOAD_APPENDER, fastdfs.upload_body(b"begin ")))
        for number in range(20):
            client.call(fastdfs.APPEND, fastdfs.append_body(file_id, b"%d " % number))
            content = read(self.cluster.path_of(file_id, there))
            self.assertTrue(content.endswith(b" %d " % number), content[-20:])

    def test_by_command_line(self):
        here, there = self.cluster.storages
        wait_following(here)
        wait_following(there)
        file = write(os.path.join(self.cluster.root, "one.bin"), b"content" * 1000)
        out = workload.cairn(self.cluster, "upload", "--copies", "2", "--json", file).stdout
        answer = json.loads(out)[0]
        self.assertEqual((answer["copies"], answer["copies_wanted"]), (2, 2))
        for node in (here, there):
            self.assertEqual(read(self.cluster.path_of(answer["id"], node)), read(file))


class TooFew(clusters.ClusterTest):
    shape = {"storages": 2, "copies": 2}

    def upload(self, node):
        """Status and reply of an upload by a FastDFS client."""
        body = fastdfs.upload_body(b"some content", "bin")
        return self.to_storage(node).request(fastdfs.UPLOAD, body)

    def test_accepted_or_refused(self):
        here, there = self.cluster.storages
        wait_following(here)
        self.cluster.kill(there)
        file = write(os.path.join(self.cluster.root, "one.bin"), b"content")
        # accept, the default: stored, told by exit code and counter.
        status, reply = self.upload(here)
        self.assertEqual(status, 0)
        done = workload.cairn(self.cluster, "upload", "--copies", "2", file, check=False)
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertIn("1 of 2 copies", done.stderr)
        late = done.stdout.strip()
        page = clusters.http_get(here.addr, here.http, "/metrics").body.decode()
        line = next(l for l in page.splitlines() if l.startswith("cairn_copies_short_total"))
        self.assertGreaterEqual(float(line.split()[-1]), 2)
        # refuse: nothing is taken while the other node is away, and all works when it is back.
        here = self.cluster.reconfigure(here, copies_short="refuse")
        self.assertEqual(self.upload(here)[0], 11)
        before = len(workload.files_on(here))
        self.assertEqual(self.upload(here)[0], 11)
        self.assertEqual(len(workload.files_on(here)), before)
        there = self.cluster.start_node(there)
        workload.assert_converged(self, self.cluster)
        self.assertEqual(read(self.cluster.path_of(late, there)), b"content")
        wait_following(here)
        self.assertEqual(self.upload(here)[0], 0)


if __name__ == "__main__":
    unittest.main()
