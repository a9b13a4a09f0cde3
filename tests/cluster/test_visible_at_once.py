"""G2: from the moment an upload is acknowledged, every node of the group answers a read of it, by
both protocols, whatever else the nodes are busy with."""

import http.client
import unittest

import cluster as clusters
import fastdfs
import workload

COUNT = 10_000 if workload.FULL else 500
LOAD_CONNECTIONS = 4


class VisibleAtOnce(clusters.ClusterTest):
    shape = {"storages": 2}

    def test_uploaded_here_is_readable_there(self):
        nodes = self.cluster.storages
        web = [http.client.HTTPConnection(node.addr, node.http, timeout=20) for node in nodes]
        raw = [self.to_storage(node) for node in nodes]
        misses = []
        with workload.uploading(self.cluster, [n.id for n in nodes], LOAD_CONNECTIONS) as load:
            for number in range(COUNT):
                here, there = (0, 1) if number % 2 == 0 else (1, 0)
                # From tiny to larger than one read of the receiving node.
                content = workload.content_of(-1 - number, (200, 4096, 40_000, 300_000)[number % 4])
                body = fastdfs.upload_body(content, "jpg")
                file_id = fastdfs.read_id(raw[here].call(fastdfs.UPLOAD, body))
                # The first read is the one that finds the file not yet there: take turns.
                for protocol in ("http", "fastdfs") if number % 4 < 2 else ("fastdfs", "http"):
                    if protocol == "http":
                        web[there].request("GET", f"/{file_id}")
                        reply = web[there].getresponse()
                        status, got = reply.status, reply.read()
                        good = status == 200 and got == content
                    else:
                        request = fastdfs.download_body(file_id)
                        status, got = raw[there].request(fastdfs.DOWNLOAD, request)
                        good = status == 0 and got == content
                    if not good:
                        misses.append((number, protocol, status, len(got), file_id))
        self.assertEqual(misses, [], f"{len(misses)} of {2 * COUNT} reads")
        self.assertGreater(sum(len(uploader.stored) for uploader in load), 0, "there was no load")
        self.assertEqual([uploader.refused for uploader in load if uploader.refused], [])


if __name__ == "__main__":
    unittest.main()
