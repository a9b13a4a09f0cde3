"""Access keys on the FastDFS and native ports: rights, prefixes, limits, and their end. The client
comes from an address that is not in allow_hosts, so the key is all it has."""
import json
import os
import time
import unittest

import cluster as clusters
import fastdfs
import native
import signing
from cluster import http_get
from fastdfs import Connection, ConnectionClosed, wait_until

DENIED, BUSY = 13, 16
STRANGER = "127.0.0.77"


class KeyTest(clusters.ClusterTest):
    shape = {"groups": 2, "storages": 1}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for node in [*cls.cluster.trackers, *cls.cluster.storages]:
            cls.cluster.reconfigure(node, allow_hosts="127.0.0.1")
        cls.first, cls.second = cls.cluster.group("group1")[0], cls.cluster.group("group2")[0]

    def key(self, *options):
        """(ID, secret) of a new key that both storage nodes know."""
        made = clusters.run_cairn("--conf", self.cluster.client_conf, "key", "add", *options)
        key = made.stdout.split()[:2]
        for node in (self.first, self.second):
            wait_until("the key at " + node.id, lambda: self.try_login(node, key), 10)
        return key

    def try_login(self, node, key):
        try:
            self.login(node, key).close()
            return True
        except (PermissionError, ConnectionClosed):
            return False

    def login(self, node, key):
        connection = Connection(node.addr, node.port, source=STRANGER)
        self.addCleanup(connection.close)
        native.introduce(connection, key[1].encode(), role=native.CLIENT, key_id=key[0])
        return connection

    def status(self, connection, command, body):
        return connection.request(command, body).status

    def test_a_key_for_a_group(self):
        key = self.key("--rights", "all", "--prefix", "group2")
        tracker = self.login(self.cluster.tracker, key)
        for _ in range(4):  # round robin would name the other group
            self.assertEqual(fastdfs.read_target(tracker.call(fastdfs.QUERY_STORE)).group, "group2")
        group1 = fastdfs.text("group1", 16)
        for command in (fastdfs.QUERY_STORE_GROUP, fastdfs.QUERY_STORE_GROUP_ALL):
            self.assertEqual(self.status(tracker, command, group1), DENIED)
        storage = self.login(self.second, key)
        file_id = fastdfs.read_id(storage.call(fastdfs.UPLOAD, fastdfs.upload_body(b"mine")))
        self.assertEqual(storage.call(fastdfs.DOWNLOAD, fastdfs.download_body(file_id)), b"mine")
        storage.call(fastdfs.DELETE, fastdfs.named(file_id))
        other = self.login(self.first, key)
        theirs = self.cluster.upload(b"theirs", node=self.first)
        self.assertEqual(self.status(other, fastdfs.UPLOAD, fastdfs.upload_body(b"x")), DENIED)
        for command, body in self.requests(theirs):
            self.assertEqual(self.status(other, command, body), DENIED, command)
        self.assertEqual(self.cluster.download(theirs, self.first), b"theirs")

    @staticmethod
    def requests(file_id):
        """Every command that names a file."""
        return [(fastdfs.DOWNLOAD, fastdfs.download_body(file_id)),
                (fastdfs.QUERY_FILE_INFO, fastdfs.named(file_id)),
                (fastdfs.GET_METADATA, fastdfs.named(file_id)),
                (fastdfs.SET_METADATA, fastdfs.metadata_body(file_id, b"a\x02b")),
                (fastdfs.UPLOAD_SLAVE, fastdfs.slave_body(file_id, "-s", b"s")),
                (fastdfs.CREATE_LINK,
                 fastdfs.link_body("group1", fastdfs.split_id(file_id)[1], b"0" * 40)),
                (fastdfs.DELETE, fastdfs.named(file_id))]

    def test_a_key_for_a_part_of_a_group(self):
        here = self.cluster.upload(b"here", node=self.first)
        directory = here[:here.rindex("/")]
        there = next(x for x in (self.cluster.upload(b"there", node=self.first)
                                 for _ in range(1000)) if not x.startswith(directory + "/"))
        key = self.key("--rights", "all", "--prefix", directory)
        storage = self.login(self.first, key)
        self.assertEqual(storage.call(fastdfs.DOWNLOAD, fastdfs.download_body(here)), b"here")
        # A new file gets its directory from the node.
        self.assertEqual(self.status(storage, fastdfs.UPLOAD, fastdfs.upload_body(b"x")), DENIED)
        for command, body in self.requests(there):
            self.assertEqual(self.status(storage, command, body), DENIED, command)
        # Another spelling of the same name is no way around.
        name = fastdfs.split_id(there)[1]
        spelled = f"group1/{name.replace('M00', 'm00')}"
        self.assertNotEqual(self.status(self.login(self.first, key), fastdfs.DOWNLOAD,
                                        fastdfs.download_body(spelled)), 0)
        slave = fastdfs.read_id(
            storage.call(fastdfs.UPLOAD_SLAVE, fastdfs.slave_body(here, "-s", b"slave")))
        self.assertTrue(slave.startswith(directory + "/"))
        storage.call(fastdfs.DELETE, fastdfs.named(here))
        self.assertEqual(self.cluster.download(there, self.first), b"there")

    def test_rights(self):
        file_id = self.cluster.upload(b"content", node=self.first)
        read_key = self.key("--rights", "read")
        reader = self.login(self.first, read_key)
        self.assertEqual(reader.call(fastdfs.DOWNLOAD, fastdfs.download_body(file_id)), b"content")
        for command, body in self.requests(file_id)[3:]:
            self.assertEqual(self.status(reader, command, body), DENIED, command)
        writer = self.login(self.first, self.key("--rights", "write"))
        self.assertEqual(self.status(writer, fastdfs.DOWNLOAD, fastdfs.download_body(file_id)),
                         DENIED)
        self.assertEqual(self.status(writer, fastdfs.DELETE, fastdfs.named(file_id)), DENIED)
        # A link is a way to read what it links to.
        self.assertEqual(self.status(writer, *self.requests(file_id)[5]), DENIED)
        for command in (native.ADMIN, native.JOIN, native.SYNC_HELLO, native.LIST_FILES):
            self.assertNotEqual(
                self.status(self.login(self.first, read_key), command, b'{"verb":"status"}'), 0)

    def test_an_administrator_has_no_prefix(self):
        done = clusters.run_cairn("--conf", self.cluster.client_conf, "key", "add", "--rights",
                                  "admin", "--prefix", "group1", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("prefix", done.stderr)

    def test_expired_wrong_and_unknown_keys(self):
        key = self.key("--rights", "all", "--expires", "5s")
        kept = self.login(self.first, key)
        for bad in ((key[0], key[1][:-1]), (key[0], ""), (key[0][:-1], key[1]),
                    ("CK" + "A" * 18, key[1])):
            self.assertFalse(self.try_login(self.first, bad), bad)
        wait_until("its end", lambda: not self.try_login(self.first, key), 15)
        with self.assertRaises((ConnectionClosed, ConnectionResetError, BrokenPipeError)):
            kept.request(fastdfs.ACTIVE_TEST)
        # After a rotation both secrets hold, until the overlap is over.
        key = self.key("--rights", "all")
        done = clusters.run_cairn("--conf", self.cluster.client_conf, "key", "rotate", key[0],
                                  "--overlap", "4s")
        fresh = done.stdout.split()[:2]
        wait_until("the new secret", lambda: self.try_login(self.first, fresh), 10)
        wait_until("the end of the old one", lambda: not self.try_login(self.first, key), 15)
        self.assertTrue(self.try_login(self.first, fresh))

    def test_a_key_that_ends_ends_its_connections(self):
        key = self.key("--rights", "all")
        connections = [self.login(node, key) for node in (self.cluster.tracker, self.first)]
        for connection in connections:
            connection.call(fastdfs.ACTIVE_TEST)
        clusters.run_cairn("--conf", self.cluster.client_conf, "key", "rm", key[0])
        for connection in connections:
            def refused():
                try:
                    connection.request(fastdfs.ACTIVE_TEST)
                    return False
                except (ConnectionClosed, ConnectionResetError, BrokenPipeError):
                    return True
            wait_until("the end of the connection", refused, 10)

    def test_requests_a_second(self):
        key = self.key("--rights", "all", "--requests-rate", "5")
        time.sleep(1.1)  # what the logins used comes back
        storage = self.login(self.first, key)
        answers = [self.status(storage, fastdfs.ACTIVE_TEST, b"") for _ in range(20)]
        self.assertEqual(answers[:4], [0] * 4)
        self.assertIn(BUSY, answers)
        # One bucket, whatever the protocol.
        target = signing.sign("GET", "/group1/M00/00/00/" + "A" * 27, *key)
        self.assertEqual(http_get(self.first.addr, self.first.http, target).status, 429)
        time.sleep(1.1)
        self.assertEqual(self.status(storage, fastdfs.ACTIVE_TEST, b""), 0)

    def test_bytes_a_second(self):
        key = self.key("--rights", "all", "--bytes-rate", "100K")
        storage = self.login(self.first, key)
        body = fastdfs.upload_body(bytes(300_000))
        file_id = fastdfs.read_id(storage.call(fastdfs.UPLOAD, body))
        self.assertEqual(self.status(storage, fastdfs.DOWNLOAD, fastdfs.download_body(file_id)),
                         BUSY)
        wait_until("credit again", lambda: self.status(storage, fastdfs.ACTIVE_TEST, b"") == 0, 10)
        self.assertEqual(len(storage.call(fastdfs.DOWNLOAD, fastdfs.download_body(file_id))),
                         300_000)
        self.assertEqual(self.status(storage, fastdfs.ACTIVE_TEST, b""), BUSY)

    def test_removing_a_node_by_fastdfs_is_audited(self):
        with self.cluster.to(self.cluster.tracker) as tracker:
            gone = fastdfs.text("group9", 16)
            self.assertNotEqual(tracker.request(fastdfs.DELETE_GROUP, gone).status, 0)
            self.assertNotEqual(
                tracker.request(fastdfs.DELETE_STORAGE, gone + b"127.0.0.9").status, 0)
        base = os.path.join(self.cluster.root, "data", self.cluster.tracker.id)
        lines = [json.loads(line) for line in clusters.run_cairn("audit", base).stdout.splitlines()]
        noted = {line["what"]: line for line in lines}
        self.assertEqual(noted["delete_group"]["object"], "group9")
        self.assertEqual(noted["delete_storage"]["object"], "group9 127.0.0.9")
        for what in ("delete_group", "delete_storage"):
            self.assertEqual((noted[what]["who"], noted[what]["from"]), ("client", "127.0.0.1"))
            self.assertNotEqual(noted[what]["result"], "ok")


if __name__ == "__main__":
    unittest.main()
