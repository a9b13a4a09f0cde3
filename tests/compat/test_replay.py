"""Plays frames recorded between real clients and a real FastDFS 6.16.1 to Cairn, and compares its
replies with the recorded ones: same command byte, status and body length, and the same bytes but
for the variable fields below. What must differ in a request is rewritten: names that the server
made are mapped from the recorded to the actual one, in the order of their making.

Variable fields per command, as offset and size in the reply's body; what is asked of them instead
is in `check_…` below.

  command            offset  size  field
  101 104            16      15    address of the storage
                     39      1     store path index (recorded 0 and 1 in turn: ours may start at 1)
  106 107            16      15    address
                     39      1     store path index
  102 103 105        16      15    address
  11 23 21 38        16      rest  the name: path index, sub-directories, source, time, random bits
  22                 8       8     time of the file
                     24      16    address of the source
  91                 17      16    total and free MB
                     33      8     reserved MB
                     49      8     storages (the recorded group had a second one, never active)
                     81      8     index of the next server
                     97      8     sub-directories per path (recorded 4)
  92, each of 487    all           but rw (1), address (18), version length, path count (106) and
                                   port (130): see test_tracker.py for this structure
  69                 all           the recorded server had storage IDs off: eight zero bytes. Ours
                                   are on: the list of nodes
"""
import collections
import json
import os
import unittest

import fastdfs
from cluster import ClusterTest
from fastdfs import ConnectionClosed, Reply, decode_name, field

FRAMES = os.path.join(os.path.dirname(__file__), "data", "frames.jsonl")
MAKES_NAMES = {fastdfs.UPLOAD, fastdfs.UPLOAD_APPENDER, fastdfs.UPLOAD_SLAVE, fastdfs.REGENERATE}
VARIABLE = {
    fastdfs.QUERY_STORE: ((16, 15), (39, 1)),
    fastdfs.QUERY_STORE_GROUP: ((16, 15), (39, 1)),
    fastdfs.QUERY_STORE_ALL: ((16, 15), (39, 1)),
    fastdfs.QUERY_STORE_GROUP_ALL: ((16, 15), (39, 1)),
    fastdfs.QUERY_FETCH_ONE: ((16, 15),),
    fastdfs.QUERY_UPDATE: ((16, 15),),
    fastdfs.QUERY_FETCH_ALL: ((16, 15),),
    fastdfs.UPLOAD: ((16, None),),
    fastdfs.UPLOAD_APPENDER: ((16, None),),
    fastdfs.UPLOAD_SLAVE: ((16, None),),
    fastdfs.REGENERATE: ((16, None),),
    fastdfs.QUERY_FILE_INFO: ((8, 8), (24, 16)),
    fastdfs.LIST_ALL_GROUPS: ((17, 16), (33, 8), (49, 8), (81, 8), (97, 8)),
}

Exchange = collections.namedtuple("Exchange", "run number request command recorded actual")


def exchanges_of(frames):
    """Pairs of request and reply, in the order of the requests."""
    waiting, pairs = {}, []
    for frame in frames:
        if frame["dir"] == "request":
            pair = [frame, None]
            waiting.setdefault(frame["conn"], []).append(pair)
            pairs.append(pair)
        else:
            waiting[frame["conn"]].pop(0)[1] = frame
    return pairs


class ReplayTest(ClusterTest):
    shape = {"paths": 2}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with open(FRAMES, encoding="utf-8") as file:
            frames = [json.loads(line) for line in file]
        cls.names = {}  # recorded -> actual
        cls.played = []
        connections = {}
        try:
            for number, (request, reply) in enumerate(exchanges_of(frames)):
                cls.played.append(cls.play(number, request, reply, connections))
        finally:
            for connection in connections.values():
                connection.close()

    @classmethod
    def rewritten(cls, body):
        # The longest first: a master's name is not part of its slave's, but of its stem it is.
        for recorded in sorted(cls.names, key=len, reverse=True):
            body = body.replace(recorded, cls.names[recorded])
        return body

    @classmethod
    def play(cls, number, request, reply, connections):
        """Sends one recorded request and notes the answer."""
        key = (request["run"], request["conn"])
        role = request["server"]
        node = cls.cluster.tracker if role == "tracker" else cls.cluster.storage
        body = cls.rewritten(bytes.fromhex(request["body"]))
        recorded = Reply(reply["status"], bytes.fromhex(reply["body"]))
        try:
            if key not in connections:
                connections[key] = cls.cluster.to(node)
            actual = connections[key].request(request["cmd"], body, request["status"])
        except (ConnectionClosed, OSError, AssertionError) as error:
            actual = error
        else:
            if request["cmd"] in MAKES_NAMES and (actual.status, recorded.status) == (0, 0):
                cls.names[recorded.body[16:]] = actual.body[16:]
        return Exchange(request["run"], number, body, request["cmd"], recorded, actual)

    def compare(self, exchange):
        with self.subTest(run=exchange.run, number=exchange.number, command=exchange.command):
            if isinstance(exchange.actual, Exception):
                self.fail(f"no reply: {exchange.actual!r}")
            recorded, actual = exchange.recorded, exchange.actual
            self.assertEqual(actual.status, recorded.status)
            special = {fastdfs.LIST_STORAGES: self.check_storages,
                       fastdfs.FETCH_STORAGE_IDS: self.check_storage_ids}.get(exchange.command)
            if special:
                special(recorded.body, actual.body)
                return
            self.assertEqual(len(actual.body), len(recorded.body), "length of the body")
            variable = VARIABLE.get(exchange.command, ())
            self.assertEqual(self.masked(actual.body, variable).hex(" "),
                             self.masked(recorded.body, variable).hex(" "))
            if recorded.status == 0:
                self.check_variable(exchange)

    @staticmethod
    def masked(body, variable):
        body = bytearray(body)
        for offset, size in variable:
            end = len(body) if size is None else offset + size
            body[offset:end] = bytes(end - offset)
        return bytes(body)

    def check_variable(self, exchange):
        body = exchange.actual.body
        address = self.cluster.storage.addr.encode()
        if exchange.command in VARIABLE and VARIABLE[exchange.command][0] == (16, 15):
            self.assertEqual(body[16:31], address.ljust(15, b"\0"))
            if len(body) == 40:
                self.assertIn(body[39], (0, 1))
        elif exchange.command in MAKES_NAMES:
            self.check_name(exchange.recorded.body[16:].decode(), body[16:].decode())
            if exchange.command == fastdfs.UPLOAD_SLAVE:
                self.check_slave(exchange.request, body[16:].decode())
        elif exchange.command == fastdfs.QUERY_FILE_INFO:
            self.assertEqual(body[24:], address.ljust(16, b"\0"))
            self.assertGreater(fastdfs.read_i64(body, 8), fastdfs.read_i64(
                exchange.recorded.body, 8) - (100 << 20))
        elif exchange.command == fastdfs.LIST_ALL_GROUPS:
            group = fastdfs.read_group(body)
            self.assertEqual((group["storage_count"], group["subdir_count"]), (1, 256))
            self.assertTrue(0 < group["free_mb"] <= group["total_mb"])

    def check_slave(self, request, actual):
        """The name is what the clients work out for themselves."""
        size = fastdfs.read_i64(request, 0)
        prefix, extension = field(request[16:32]), field(request[32:38])
        master = request[38:38 + size].decode()
        self.assertEqual(actual, fastdfs.slave_name(master, prefix, extension))

    def check_name(self, recorded, actual):
        """Same size, checksum and type, and the same characters where none is made up."""
        old, new = decode_name(recorded), decode_name(actual)
        self.assertEqual((new.kind, new.size, new.crc), (old.kind, old.size, old.crc))
        self.assertEqual(new.size_field >> 55, old.size_field >> 55, "the flag bits")
        self.assertIn(new.path, (0, 1))
        # Digits made up, then the dot and the extension.
        self.assertEqual([c if not c.isdigit() else "0" for c in new.block],
                         [c if not c.isdigit() else "0" for c in old.block])

    def check_storages(self, recorded, actual):
        """The recorded group had two storages, the second never active: ours has one."""
        self.assertEqual(len(actual), 487)
        old, new = fastdfs.read_storage(recorded[:487]), fastdfs.read_storage(actual)
        self.assertEqual(new["ip"], self.cluster.storage.addr)
        for key in ("status", "rw", "path_count", "port", "upload_priority", "trunk"):
            self.assertEqual(new[key], old[key], key)

    def check_storage_ids(self, recorded, actual):
        self.assertEqual(recorded, bytes(8))
        self.assertEqual(actual[:8], bytes.fromhex("0000000100000001"))
        self.assertIn(self.cluster.storage.addr, actual[8:].decode())

    def run_of(self, name):
        played = [exchange for exchange in self.played if exchange.run == name]
        self.assertTrue(played, "nothing of this run was recorded")
        for exchange in played:
            self.compare(exchange)

    def test_c_upload(self):
        self.run_of("c-upload")

    def test_c_download(self):
        self.run_of("c-download")

    def test_c_test_upload(self):
        self.run_of("c-test-upload")

    def test_c_test_getmeta(self):
        self.run_of("c-test-getmeta")

    def test_c_test_setmeta(self):
        self.run_of("c-test-setmeta")

    def test_c_test_delete(self):
        self.run_of("c-test-delete")

    def test_c_appender(self):
        self.run_of("c-appender")

    def test_c_append(self):
        self.run_of("c-append")

    def test_c_appender_test(self):
        self.run_of("c-appender-test")

    def test_c_regenerate(self):
        self.run_of("c-regenerate")

    def test_c_monitor(self):
        self.run_of("c-monitor")

    def test_c_delete(self):
        self.run_of("c-delete")

    def test_c_download_missing(self):
        self.run_of("c-download-missing")

    def test_java_test(self):
        self.run_of("java-test")

    def test_java_appender(self):
        self.run_of("java-appender")

    def test_java_monitor(self):
        self.run_of("java-monitor")

    def test_php_smoke(self):
        self.run_of("php-smoke")

    def test_go_smoke(self):
        self.run_of("go-smoke")

    def test_every_run_has_a_test(self):
        tested = {name[5:].replace("_", "-") for name in dir(self) if name.startswith("test_")}
        self.assertEqual({exchange.run for exchange in self.played} - tested, set())
        self.assertEqual(len(self.played), 204)

    def test_names_are_new(self):
        self.assertGreater(len(self.names), 20)
        self.assertEqual(len(set(self.names.values())), len(self.names))


if __name__ == "__main__":
    unittest.main()
