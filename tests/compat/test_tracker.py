"""The tracker's commands: points 15 to 43 of docs/compat.md.

Cairn's answers to 102 and 105 differ from the original on purpose (points 25 to 28): every active
node of a group can answer for every file, so no clock decides who is offered.
"""
import configparser
import os
import random
import struct
import unittest

import fastdfs
from cluster import ClusterTest, StandaloneTracker, alive
from fastdfs import ConnectionClosed, field, read_i64, read_target, text, wait_until

GROUP1 = text("group1", 16)
UNKNOWN_SOURCE = "M00/00/00/oYYBAGVT8QCAEjRWAAAABjY6MCA417.txt"  # server ID 100001


def fetch_all(body, layout="old", width=16):
    """Reply to 105 as a list of (address, port)."""
    first = 39 + (width - 16)
    target = read_target(body[:first], width)
    nodes, rest = [(target.addr, target.port)], body[first:]
    step = width - 1 + (8 if layout == "new" else 0)
    if len(rest) % step:
        raise AssertionError(f"{len(body)} bytes are no fetch-all reply in the {layout} layout")
    for offset in range(0, len(rest), step):
        entry = rest[offset:offset + step]
        port = read_i64(entry, width - 1) if layout == "new" else target.port
        nodes.append((field(entry[:width - 1]), port))
    return nodes


def store_all(body, width=16):
    """Reply to 106 and 107: group, [(address, port)], path index."""
    step = width - 1 + 8
    if (len(body) - 17) % step:
        raise AssertionError(f"a store-all reply of {len(body)} bytes")
    nodes = [(field(body[o:o + width - 1]), read_i64(body, o + width - 1))
             for o in range(16, len(body) - 1, step)]
    return field(body[:16]), nodes, body[-1]


def fetch_ids(connection, start=0, body_size=5):
    """Reply to 69: total count and the lines as lists of words."""
    raw = connection.call(fastdfs.FETCH_STORAGE_IDS, struct.pack(">iB", start, 1)[:body_size])
    total, count = struct.unpack_from(">ii", raw)
    lines = raw[8:].decode().splitlines()
    if len(lines) != count:
        raise AssertionError(f"{count} lines announced, {len(lines)} sent")
    return total, [line.split() for line in lines]


class TrackerTest(ClusterTest):
    def storages(self, group="group1", layout="6.15"):
        """The reply to 92, parsed."""
        raw = self.to_tracker().call(fastdfs.LIST_STORAGES, text(group, 16))
        size = fastdfs.STORAGE_LAYOUTS[layout][0]
        self.assertEqual(len(raw) % size, 0, f"{len(raw)} bytes are no multiple of {size}")
        return [fastdfs.read_storage(raw[o:o + size], layout) for o in range(0, len(raw), size)]

    def id_of(self, node):
        return next(s["id"] for s in self.storages(node.group) if s["ip"] == node.addr)

    def endpoints(self, group="group1"):
        return {(node.addr, node.port) for node in self.cluster.group(group)}

    def store(self, count=1, command=fastdfs.QUERY_STORE, body=b""):
        tracker = self.to_tracker()
        return [read_target(tracker.call(command, body)) for _ in range(count)]


class QueryStoreTest(TrackerTest):
    """One group of two nodes with two paths: store queries in their default form."""

    shape = {"storages": 2, "paths": 2}

    def test_15_store_reply_bytes(self):
        body = self.to_tracker().call(fastdfs.QUERY_STORE)
        self.assertEqual(len(body), 40)
        node = next(n for n in self.cluster.storages if n.addr == field(body[16:31]))
        self.assertEqual(body[:16], b"group1" + bytes(10))
        self.assertEqual(body[16:31], node.addr.encode().ljust(15, b"\0"))
        self.assertEqual(body[31:39], node.port.to_bytes(8, "big"))
        self.assertIn(body[39], (0, 1))

    def test_16_group(self):
        tracker = self.to_tracker()
        self.assertEqual(len(tracker.call(fastdfs.QUERY_STORE_GROUP, GROUP1)), 40)
        for name in ("nosuch", "group11", "Group1", "sixteencharacter", ""):
            with self.subTest(name):
                self.assert_status(tracker.request(fastdfs.QUERY_STORE_GROUP, text(name, 16)), 2)
        for body in (b"", b"group1", GROUP1[:15], GROUP1 + b"\0", GROUP1 * 2):
            with self.subTest(size=len(body)):
                self.assert_status(tracker.request(fastdfs.QUERY_STORE_GROUP, body), 22)

    def test_17_store_all(self):
        order = [(s["ip"], s["port"]) for s in sorted(self.storages(), key=lambda s: s["id"])]
        for command, body in ((fastdfs.QUERY_STORE_ALL, b""),
                              (fastdfs.QUERY_STORE_GROUP_ALL, GROUP1)):
            reply = self.to_tracker().call(command, body)
            self.assertEqual(len(reply), 17 + 23 * 2)
            group, nodes, path = store_all(reply)
            self.assertEqual((group, nodes), ("group1", order), "the order is that of the IDs")
            self.assertIn(path, (0, 1))

    def test_22_round_robin_over_servers_and_paths(self):
        targets = self.store(16)
        for a, b in zip(targets, targets[1:]):
            self.assertNotEqual(a.addr, b.addr, "store_server = 0 takes them in turn")
        for node in self.cluster.storages:
            paths = [t.path for t in targets if t.addr == node.addr]
            self.assertEqual(sorted(paths), [0] * 4 + [1] * 4, "store_path = 0 takes them in turn")
            for a, b in zip(paths, paths[1:]):
                self.assertNotEqual(a, b)

    def test_19_fetch_and_update(self):
        tracker = self.to_tracker()
        name = fastdfs.named(self.cluster.upload(b"hello\n", "txt"))
        for command in (fastdfs.QUERY_FETCH_ONE, fastdfs.QUERY_UPDATE):
            body = tracker.call(command, name)
            self.assertEqual(len(body), 39)
            target = read_target(body)
            self.assertEqual(target.group, "group1")
            self.assertIn((target.addr, target.port), self.endpoints())
            for bad in (GROUP1, GROUP1 + b"M00/00/00/" + b"A" * 11, GROUP1 + b"M" * 128, b"x"):
                with self.subTest(command=command, size=len(bad)):
                    self.assert_status(tracker.request(command, bad), 22)
            self.assertEqual(tracker.request(command, GROUP1 + name[16:] + b"_" * 80).status, 0)
            self.assert_status(tracker.request(command, text("nosuch", 16) + name[16:]), 2)

    def test_25_fresh_file_any_node_answers(self):
        """Different from the original: a fresh file is offered by every active node, and every
        one of them gives it."""
        content = fastdfs.content(2000)
        file_id = self.cluster.upload(content, "bin", node=self.cluster.storages[0])
        tracker = self.to_tracker()
        nodes = fetch_all(tracker.call(fastdfs.QUERY_FETCH_ALL, fastdfs.named(file_id)))
        self.assertIn((self.cluster.storages[0].addr, 23000), nodes, "the source is among them")
        for _ in range(4):
            target = read_target(tracker.call(fastdfs.QUERY_FETCH_ONE, fastdfs.named(file_id)))
            nodes.append((target.addr, target.port))
        for addr, port in set(nodes):
            with self.subTest(addr), fastdfs.Connection(addr, port) as storage:
                self.assertEqual(storage.call(fastdfs.DOWNLOAD, fastdfs.download_body(file_id)),
                                 content)

    def test_26_old_names_are_offered_by_all(self):
        """A name whose time is years ago: every active server, the source unknown."""
        body = GROUP1 + UNKNOWN_SOURCE.encode()
        nodes = fetch_all(self.to_tracker().call(fastdfs.QUERY_FETCH_ALL, body))
        self.assertEqual(set(nodes), self.endpoints())

    def test_28_appender_is_read_fresh_wherever_offered(self):
        source = self.cluster.storages[0]
        file_id = self.cluster.upload(b"one", command=fastdfs.UPLOAD_APPENDER, node=source)
        tracker = self.to_tracker()
        expected = b"one"
        for step in range(5):
            with self.cluster.to(source) as storage:
                storage.call(fastdfs.APPEND, fastdfs.append_body(file_id, b"-%d" % step))
            expected += b"-%d" % step
            nodes = fetch_all(tracker.call(fastdfs.QUERY_FETCH_ALL, fastdfs.named(file_id)))
            for addr, port in nodes:
                with fastdfs.Connection(addr, port) as storage:
                    self.assertEqual(
                        storage.call(fastdfs.DOWNLOAD, fastdfs.download_body(file_id)), expected)

    def test_29_update_goes_to_the_source(self):
        tracker = self.to_tracker()
        for source in self.cluster.storages:
            for command in (fastdfs.UPLOAD, fastdfs.UPLOAD_APPENDER):
                file_id = self.cluster.upload(b"hello\n", "txt", command, node=source)
                for _ in range(3):
                    target = read_target(tracker.call(fastdfs.QUERY_UPDATE,
                                                      fastdfs.named(file_id)))
                    self.assertEqual(target.addr, source.addr)

    def test_30_unknown_source(self):
        tracker = self.to_tracker()
        body = GROUP1 + UNKNOWN_SOURCE.encode()
        for command in (fastdfs.QUERY_FETCH_ONE, fastdfs.QUERY_UPDATE):
            target = read_target(tracker.call(command, body))
            self.assertIn((target.addr, target.port), self.endpoints())


class ListTest(TrackerTest):
    """Statistics and small commands, in their default form."""

    shape = {"groups": 2, "storages": 2, "paths": 2}

    def test_32_list_one_group(self):
        tracker = self.to_tracker()
        raw = tracker.call(fastdfs.LIST_ONE_GROUP, GROUP1)
        self.assertEqual(len(raw), 113)
        stat = fastdfs.read_group(raw)
        self.assertEqual(stat["name"], "group1")
        self.assertEqual((stat["storage_count"], stat["readable_count"], stat["writable_count"]),
                         (2, 2, 2))
        self.assertEqual((stat["storage_port"], stat["path_count"]), (23000, 2))
        self.assertEqual(stat["subdir_count"], 256)
        self.assertEqual(stat["trunk_file_id"], -1)
        self.assertEqual(stat["trunk_free_mb"], 0)
        self.assertTrue(0 < stat["free_mb"] <= stat["total_mb"], stat)
        disk = os.statvfs(self.cluster.storage.store_paths[0])
        self.assertAlmostEqual(stat["total_mb"], 2 * disk.f_blocks * disk.f_frsize >> 20,
                               delta=0.6 * stat["total_mb"])
        self.assert_status(tracker.request(fastdfs.LIST_ONE_GROUP, text("nosuch", 16)), 2)
        for body in (b"", b"group1", GROUP1 + b"x"):
            self.assert_status(tracker.request(fastdfs.LIST_ONE_GROUP, body), 22)

    def test_33_list_all_groups(self):
        raw = self.to_tracker().call(fastdfs.LIST_ALL_GROUPS)
        self.assertEqual(len(raw), 2 * 113)
        self.assertEqual([fastdfs.read_group(raw[:113])["name"],
                          fastdfs.read_group(raw[113:])["name"]], ["group1", "group2"])

    def test_34_list_storages(self):
        tracker = self.to_tracker()
        stats = self.storages()
        self.assertEqual(len(stats), 2)
        self.assertEqual([s["id"] for s in stats], sorted(s["id"] for s in stats))
        self.assertEqual({(s["ip"], s["port"]) for s in stats}, self.endpoints())
        for stat in stats:
            self.assertEqual((stat["status"], stat["rw"]), (7, 6))
            self.assertEqual((stat["path_count"], stat["subdir_count"]), (2, 256))
            self.assertTrue(0 < stat["free_mb"] <= stat["total_mb"])
            self.assertTrue(0 < stat["join_time"] <= stat["up_time"] + 5)
            self.assertLess(abs(stat["last_heartbeat"] - stat["up_time"]), 7200)
            self.assertEqual(stat["upload_priority"], 10)
            self.assertEqual(stat["trunk"], 0)
            raw = tracker.call(fastdfs.LIST_STORAGES, GROUP1 + stat["id"].encode())
            self.assertEqual(fastdfs.read_storage(raw)["id"], stat["id"])
            raw = tracker.call(fastdfs.LIST_STORAGES,
                               GROUP1 + stat["id"].encode().ljust(15, b"\0"))
            self.assertEqual(fastdfs.read_storage(raw)["id"], stat["id"])
        self.assert_status(tracker.request(fastdfs.LIST_STORAGES, GROUP1 + b"nosuch"), 2)
        self.assert_status(tracker.request(fastdfs.LIST_STORAGES, text("nosuch", 16)), 2)
        self.assert_status(tracker.request(fastdfs.LIST_STORAGES, GROUP1 + b"1" * 16), 22)
        self.assert_status(tracker.request(fastdfs.LIST_STORAGES, b"group1"), 22)

    def test_34_address_in_place_of_the_id(self):
        """The Java client sends an address of up to 15 bytes."""
        node = self.cluster.storages[0]
        raw = self.to_tracker().call(fastdfs.LIST_STORAGES, GROUP1 + node.addr.encode())
        self.assertEqual(fastdfs.read_storage(raw)["ip"], node.addr)

    def test_34_counters(self):
        """Every counter at its place: one operation of each kind moves its own pair by one."""
        node = self.cluster.group("group2")[0]

        def stat():
            return next(s for s in self.storages("group2") if s["ip"] == node.addr)

        before = stat()
        connection = self.to_storage(node)

        def upload(content, command=fastdfs.UPLOAD):
            return fastdfs.read_id(connection.call(command, fastdfs.upload_body(content, "bin")))

        normal = upload(bytes(1000))
        appender = upload(bytes(10), fastdfs.UPLOAD_APPENDER)
        connection.call(fastdfs.APPEND, fastdfs.append_body(appender, bytes(20)))
        connection.call(fastdfs.MODIFY, fastdfs.modify_body(appender, 0, bytes(5)))
        connection.call(fastdfs.TRUNCATE, fastdfs.truncate_body(appender, 7))
        connection.call(fastdfs.SET_METADATA, fastdfs.metadata_body(normal, b"a\2b"))
        connection.call(fastdfs.GET_METADATA, fastdfs.named(normal))
        connection.call(fastdfs.DOWNLOAD, fastdfs.download_body(normal, 0, 400))
        connection.call(fastdfs.DELETE, fastdfs.named(normal))
        wanted = {"upload": 2, "append": 1, "modify": 1, "truncate": 1, "set_meta": 1,
                  "get_meta": 1, "download": 1, "delete": 1, "create_link": 0, "delete_link": 0,
                  "upload_bytes": 1010, "append_bytes": 20, "modify_bytes": 5,
                  "download_bytes": 400}

        def moved():
            now = stat()
            return {name: now[name + "_success"] - before[name + "_success"] for name in wanted}

        wait_until("the counters of the last operation", lambda: moved()["delete"] == 1)
        self.assertEqual(moved(), wanted)
        now = stat()
        for name in wanted:
            self.assertGreaterEqual(now[name + "_total"], now[name + "_success"], name)
        self.assertGreaterEqual(now["connections_current"], 1)
        self.assertGreaterEqual(now["connections_max"], now["connections_current"])
        self.assertGreaterEqual(now["last_source_update"], before["up_time"])

    def test_35_text_fields(self):
        """read_group, read_storage and read_target check the padding of every text field."""
        tracker = self.to_tracker()
        for _ in range(3):  # replies of several kinds on one connection: no rests of the last one
            fastdfs.read_group(tracker.call(fastdfs.LIST_ONE_GROUP, GROUP1))
            tracker.call(fastdfs.GET_PARAMETERS)
            for stat in self.storages():
                self.assertTrue(1 <= len(stat["version"]) <= 7)
                self.assertTrue(stat["version"].isascii())
            read_target(tracker.call(fastdfs.QUERY_STORE))
            store_all(tracker.call(fastdfs.QUERY_STORE_ALL))

    def test_37_trunk_server(self):
        tracker = self.to_tracker()
        for body in (GROUP1, GROUP1 + self.id_of(self.cluster.storage).encode(),
                     text("nosuch", 16)):
            self.assert_status(tracker.request(fastdfs.SET_TRUNK_SERVER, body), 95)

    def test_38_parameters(self):
        raw = self.to_tracker().call(fastdfs.GET_PARAMETERS)
        self.assertLess(len(raw), 1024)
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string("[all]\n" + raw.decode())
        values = dict(parser["all"])
        self.assertEqual(set(values), {
            "use_storage_id", "id_type_in_filename", "trust_storage_server_id",
            "response_ip_addr_size", "storage_ip_changed_auto_adjust",
            "storage_sync_file_max_delay", "store_path", "reserved_storage_space",
            "use_trunk_file", "slot_min_size", "slot_max_size", "trunk_alloc_alignment_size",
            "trunk_file_size", "trunk_create_file_advance", "trunk_create_file_time_base",
            "trunk_create_file_interval", "trunk_create_file_space_threshold",
            "trunk_init_check_occupying", "trunk_init_reload_from_binlog",
            "trunk_free_space_merge", "delete_unused_trunk_files",
            "trunk_compress_binlog_min_interval", "trunk_compress_binlog_interval",
            "trunk_compress_binlog_time_base", "trunk_binlog_max_backups",
            "store_slave_file_use_link"})
        self.assertIn(values["use_storage_id"], ("1", "true", "yes", "on"))
        self.assertEqual(values["id_type_in_filename"], "id")
        self.assertEqual(values["response_ip_addr_size"], "16")
        self.assertEqual(values["storage_sync_file_max_delay"], "86400")
        self.assertIn(values["use_trunk_file"], ("0", "false", "no", "off"))
        self.assertRegex(values["reserved_storage_space"], r"^\d+MB$|^\d+\.\d\d%$")
        for key in ("trunk_create_file_time_base", "trunk_compress_binlog_time_base"):
            self.assertRegex(values[key], r"^\d\d:\d\d$")
        self.assert_status(self.to_tracker().request(fastdfs.GET_PARAMETERS, b"x"), 22)

    def test_39_storage_ids(self):
        tracker = self.to_tracker()
        for size in (5, 4):
            total, lines = fetch_ids(tracker, 0, size)
            self.assertEqual((total, len(lines)), (4, 4))
            self.assertEqual({(words[1], words[2]) for words in lines},
                             {(n.group, f"{n.addr}:{n.port}") for n in self.cluster.storages})
            for words in lines:
                self.assertTrue(1 <= int(words[0]) <= fastdfs.SERVER_ID_MAX)
                self.assertEqual(words[0], str(int(words[0])), "a canonical decimal")
        all_ids = [words[0] for words in lines]
        self.assertEqual(len(set(all_ids)), 4)
        for start in range(4):
            total, lines = fetch_ids(tracker, start)
            self.assertEqual((total, [words[0] for words in lines]), (4, all_ids[start:]))
        for body in (struct.pack(">iB", 4, 1), struct.pack(">iB", -1, 1), struct.pack(">iB", 9, 0),
                     b"", bytes(3), bytes(6)):
            with self.subTest(body=body):
                self.assert_status(tracker.request(fastdfs.FETCH_STORAGE_IDS, body), 22)

    def test_40_id_and_status_of_a_storage(self):
        tracker = self.to_tracker()
        node = self.cluster.storages[0]
        number = self.id_of(node)
        for tail in (node.addr, f"{node.addr}:{node.port}"):
            with self.subTest(tail):
                body = GROUP1 + tail.encode()
                self.assertEqual(tracker.call(fastdfs.GET_STORAGE_ID, body), number.encode())
                brief = tracker.call(fastdfs.GET_STORAGE_STATUS, body)
                self.assertEqual(len(brief), 67)
                self.assertEqual(brief[0], 7)
                self.assertEqual(struct.unpack_from(">i", brief, 1)[0], node.port)
                self.assertEqual((field(brief[5:21]), field(brief[21:67])), (number, node.addr))
        for command in (fastdfs.GET_STORAGE_ID, fastdfs.GET_STORAGE_STATUS):
            for tail in (b"127.9.9.9:23000", b"127.9.9.9"):
                self.assert_status(tracker.request(command, GROUP1 + tail), 2)

    def test_41_monitoring(self):
        tracker = self.to_tracker()
        node = self.cluster.tracker
        self.assertEqual(tracker.call(fastdfs.GET_LEADER), f"{node.addr}:{node.port}".encode())
        self.assert_status(tracker.request(fastdfs.GET_LEADER, b"x"), 22)
        raw = tracker.call(96, bytes(3))
        self.assertEqual(len(raw), 1 + raw[0] * 90)
        self.assertEqual(raw[0], 1)
        self.assertEqual(field(raw[1:53]), f"{node.addr}:{node.port}")
        self.assertEqual((raw[53], raw[54]), (1, 1), "leader and active")
        self.assertTrue(1 <= len(field(raw[67:75])) <= 7)
        raw = tracker.call(97, b"\0=\0\0")
        self.assertEqual(raw[:2], b"\1\0", "storage IDs are used, trunk files are not")
        count = struct.unpack_from(">i", raw, 2)[0]
        self.assertEqual((count, len(raw)), (4, 6 + 106 * 4))
        seen = {field(raw[o + 16:o + 68]) for o in range(6, len(raw), 106)}
        self.assertEqual(seen, {f"{n.addr}:{n.port}" for n in self.cluster.storages})
        for offset in range(6, len(raw), 106):
            self.assertEqual((raw[offset + 68], raw[offset + 69]), (0, 7), "not trunk, active")
        raw = tracker.call(98, bytes(4))
        self.assertEqual(raw[0], 0)
        self.assertEqual((struct.unpack_from(">i", raw, 1)[0], len(raw)), (2, 5 + 59 * 2))
        for offset, name in ((5, "group1"), (64, "group2")):
            self.assertEqual(field(raw[offset:offset + 17]), name)
            total, free, reserved, available, trunk = struct.unpack_from(">5q", raw, offset + 17)
            self.assertTrue(0 < free <= total)
            self.assertEqual((trunk, raw[offset + 57]), (0, 1))
            self.assertLessEqual(available, free)

    def test_42_storage_commands_without_a_join(self):
        bodies = {79: b"", 83: b"", 84: bytes(16), 85: bytes(67), 87: b"", 88: bytes(24),
                  89: bytes(20), 59: b"\7", 72: b"", 73: bytes(4), 74: bytes(8)}
        for command, body in bodies.items():
            with self.subTest(command=command), self.cluster.to(self.cluster.tracker) as tracker:
                self.assert_status(tracker.request(command, body), 13)
                self.assertTrue(tracker.alive())
        self.assertTrue(alive(self.cluster.tracker.pid))
        self.assertEqual({s["status"] for s in self.storages()}, {7}, "nobody's state changed")

    def test_43_random_bodies(self):
        rng = random.Random(20)
        sizes = (0, 1, 4, 5, 15, 16, 17, 24, 31, 32, 38, 60, 143, 144, 300, 5000)
        for node in (self.cluster.tracker, self.cluster.storage):
            connection = None
            for command in range(128):
                if command == fastdfs.QUIT:
                    continue
                for size in sizes:
                    connection = connection or self.cluster.to(node, timeout=5.0)
                    body = rng.randbytes(size)
                    if rng.random() < 0.5:
                        body = (GROUP1 + body)[:size]
                    try:
                        connection.request(command, body, rng.randrange(4))
                    except ConnectionClosed as closed:
                        self.assertEqual(closed.received, b"", f"command {command} size {size}")
                        connection.close()
                        connection = None
                    except (BrokenPipeError, ConnectionResetError, TimeoutError) as error:
                        # The storage closes after 22; a native command may wait for more.
                        connection.close()
                        connection = None
                        self.assertNotIsInstance(error, TimeoutError,
                                                 f"command {command} size {size}")
            if connection:
                connection.close()
            self.assertTrue(alive(node.pid))
            with self.cluster.to(node) as connection:
                self.assertTrue(connection.alive())
        self.assertEqual({s["status"] for s in self.storages()}, {7})


class NoStorageTest(unittest.TestCase):
    """A tracker that knows no storage."""

    def test_18_33_empty(self):
        with StandaloneTracker("127.60.1.1") as node:
            with fastdfs.Connection(node.addr, node.port) as tracker:
                for command, body in ((fastdfs.QUERY_STORE, b""), (fastdfs.QUERY_STORE_ALL, b""),
                                      (fastdfs.QUERY_STORE_GROUP, GROUP1),
                                      (fastdfs.QUERY_STORE_GROUP_ALL, GROUP1),
                                      (fastdfs.LIST_ONE_GROUP, GROUP1),
                                      (fastdfs.QUERY_FETCH_ONE, GROUP1 + UNKNOWN_SOURCE.encode())):
                    self.assertEqual(tracker.request(command, body), (2, b""))
                self.assertEqual(tracker.request(fastdfs.LIST_ALL_GROUPS), (0, b""))
                self.assertEqual(fetch_ids(tracker), (0, []))


class TrackerConfigTest(TrackerTest):
    """Base: a tracker with a configuration of its own."""

    settings = {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.configure(**cls.settings)

    @classmethod
    def configure(cls, **settings):
        cls.cluster.reconfigure(cls.cluster.tracker, **settings)
        with cls.cluster.to(cls.cluster.tracker):
            pass
        cls.cluster_active()

    @classmethod
    def cluster_active(cls):
        """Until all storages are back with the restarted tracker, whatever its layouts."""
        def count():
            with cls.cluster.to(cls.cluster.tracker) as tracker:
                raw = tracker.call(97, b"\2=\7\0")
            return struct.unpack_from(">i", raw, 2)[0]

        wait_until("all storages active", lambda: count() == len(cls.cluster.storages), 30)


class WideAddressTest(TrackerConfigTest):
    """response_ip_addr_size = 46."""

    shape = {"storages": 2}
    settings = {"response_ip_addr_size": 46}

    def test_15_17_store(self):
        tracker = self.to_tracker()
        body = tracker.call(fastdfs.QUERY_STORE)
        self.assertEqual(len(body), 70)
        target = read_target(body, 46)
        self.assertIn((target.addr, target.port), self.endpoints())
        self.assertEqual(len(tracker.call(fastdfs.QUERY_STORE_GROUP, GROUP1)), 70)
        body = tracker.call(fastdfs.QUERY_STORE_ALL)
        self.assertEqual(len(body), 17 + 53 * 2)
        self.assertEqual(set(store_all(body, 46)[1]), self.endpoints())

    def test_19_20_fetch(self):
        name = fastdfs.named(self.cluster.upload(b"hello\n"))
        tracker = self.to_tracker()
        for command in (fastdfs.QUERY_FETCH_ONE, fastdfs.QUERY_UPDATE):
            body = tracker.call(command, name)
            self.assertEqual(len(body), 69)
            read_target(body, 46)
        body = tracker.call(fastdfs.QUERY_FETCH_ALL, name)
        self.assertEqual(len(body), 69 + 45)
        self.assertEqual(set(fetch_all(body, width=46)), self.endpoints())

    def test_34_storages_have_517_bytes(self):
        self.assertEqual({s["ip"] for s in self.storages(layout="6.15v6")},
                         {n.addr for n in self.cluster.storages})

    def test_38_parameters(self):
        raw = self.to_tracker().call(fastdfs.GET_PARAMETERS)
        self.assertIn(b"response_ip_addr_size=46\n", raw)
        self.assertLess(len(raw), 1024)


class StatVersionTest(TrackerConfigTest):
    """compat_stat_version: the sizes that old clients want."""

    CASES = (("5", "5", 105, fastdfs.GROUP_FIELDS_CLASSIC),
             ("6.11", "6.11", 105, fastdfs.GROUP_FIELDS_CLASSIC),
             ("6.12", "6.12", 105, fastdfs.GROUP_FIELDS_CLASSIC),
             ("6.13", "6.13.0", 105, fastdfs.GROUP_FIELDS_6_13_0),
             ("6.15", "6.15", 113, fastdfs.GROUP_FIELDS))

    def test_32_34_sizes(self):
        for value, layout, group_size, group_fields in self.CASES:
            with self.subTest(value):
                self.configure(compat_stat_version=value)
                raw = self.to_tracker().call(fastdfs.LIST_ALL_GROUPS)
                self.assertEqual(len(raw), group_size)
                stat = fastdfs.read_group(raw, group_fields)
                self.assertEqual((stat["name"], stat["storage_count"], stat["storage_port"],
                                  stat["path_count"], stat["subdir_count"]),
                                 ("group1", 1, 23000, 1, 256))
                storage, = self.storages(layout=layout)
                self.assertEqual((storage["ip"], storage["port"], storage["status"]),
                                 (self.cluster.storage.addr, 23000, 7))
                self.assertTrue(storage["version"])


class FetchAllTest(TrackerConfigTest):
    """105 with 1 to 4 nodes, old and new layout."""

    shape = {"storages": 4}

    def reply(self, file_id):
        return self.to_tracker().call(fastdfs.QUERY_FETCH_ALL, fastdfs.named(file_id))

    def test_20_21_layouts(self):
        source = self.cluster.storages[0]
        file_id = self.cluster.upload(b"hello\n", "txt", node=source)
        # n = 3: an old-layout reply of 69 bytes would be misread by the Java client, so one less.
        for active, listed in ((4, 4), (3, 2), (2, 2), (1, 1)):
            with self.subTest(active=active):
                self.wait_listed(active)
                body = self.reply(file_id)
                self.assertEqual(len(body), 39 + 15 * (listed - 1))
                nodes = fetch_all(body)
                self.assertIn((source.addr, source.port), nodes)
                self.assertEqual(len(set(nodes)), listed)
            if active > 1:
                self.cluster.kill(self.cluster.storages[active - 1])
        self.cluster.start_node(self.cluster.storages[1])
        self.cluster.reconfigure(self.cluster.tracker, fetch_all_layout="new")
        self.wait_listed(2)
        body = self.reply(file_id)
        self.assertEqual(len(body), 39 + 23)
        self.assertEqual(set(fetch_all(body, "new")),
                         {(n.addr, n.port) for n in self.cluster.storages[:2]})
        self.cluster.kill(self.cluster.storages[1])
        self.wait_listed(1)
        self.assertEqual(len(self.reply(file_id)), 39)

    def wait_listed(self, count):
        wait_until(f"{count} active storages", lambda: self.cluster.active_count() == count, 30)


class PortsTest(TrackerConfigTest):
    """Point 21: the new layout by itself when ports of a group differ."""

    shape = {"storages": 2}

    def test_21_ports_differ(self):
        second = self.cluster.storages[1]
        self.cluster.stop(second)
        self.cluster.set_conf(second, port=23007)
        second = self.cluster.start_node(second)
        file_id = self.cluster.upload(b"hello\n", "txt")

        def listed():
            body = self.to_tracker().call(fastdfs.QUERY_FETCH_ALL, fastdfs.named(file_id))
            return len(body) == 39 + 23 and set(fetch_all(body, "new"))

        first = self.cluster.storages[0]
        self.assertEqual(wait_until("both storages in the new layout", listed),
                         {(first.addr, 23000), (second.addr, 23007)})


class StoreLookupTest(TrackerConfigTest):
    """Point 22: which group."""

    shape = {"groups": 2, "storages": 1}

    def groups(self):
        return [t.group for t in self.store(8)]

    def test_22_store_lookup(self):
        self.configure(store_lookup=0)
        groups = self.groups()
        self.assertIn(groups, (["group1", "group2"] * 4, ["group2", "group1"] * 4))
        self.configure(store_lookup=1, store_group="group2")
        self.assertEqual(self.groups(), ["group2"] * 8)
        self.assertEqual(self.store(1, fastdfs.QUERY_STORE_GROUP, GROUP1)[0].group, "group1",
                         "104 asks for another group")
        self.configure(store_lookup=1, store_group="nosuch")
        self.assert_status(self.to_tracker().request(fastdfs.QUERY_STORE), 2)
        self.configure(store_lookup=2, store_group=None)
        self.assertEqual(len(set(self.groups())), 1, "the one with most free space")

    def test_22_fixed_group_down(self):
        self.configure(store_lookup=1, store_group="group2")
        node = self.cluster.group("group2")[0]
        self.cluster.kill(node)
        tracker = self.to_tracker()
        wait_until("status 2", lambda: tracker.request(fastdfs.QUERY_STORE).status == 2)
        self.assertEqual(self.store(1, fastdfs.QUERY_STORE_GROUP, GROUP1)[0].group, "group1")
        self.configure_without_wait(store_lookup=0, store_group=None)
        wait_until("uploads go to the other group",
                   lambda: {t.group for t in self.store(4)} == {"group1"})
        self.cluster.start_node(node)

    def configure_without_wait(self, **settings):
        self.cluster.reconfigure(self.cluster.tracker, **settings)


class StoreServerTest(TrackerConfigTest):
    """Point 22: which server and path."""

    shape = {"storages": 3, "paths": 2}

    def addresses(self):
        return [t.addr for t in self.store(9)]

    def test_22_store_server(self):
        by_id = [s["ip"] for s in sorted(self.storages(), key=lambda s: s["id"])]
        self.configure(store_server=0)
        self.assertEqual(sorted(self.addresses()), sorted(by_id * 3))
        self.configure(store_server=1)
        first = set(self.addresses())
        self.assertEqual(len(first), 1)
        self.assertIn(first.pop(), (by_id[0], min(by_id)), "the first by ID or address")
        last = self.cluster.storages[2]
        self.cluster.reconfigure(last, upload_priority=1)
        self.configure(store_server=2)
        wait_until("the lowest upload_priority",
                   lambda: set(self.addresses()) == {last.addr})

    def test_22_store_path(self):
        self.configure(store_server=0, store_path=2)
        self.assertTrue(all(t.path in (0, 1) for t in self.store(9)))
        self.configure(store_path=0)
        paths = {t.path for t in self.store(12)}
        self.assertEqual(paths, {0, 1})

    def test_31_source_first(self):
        self.configure(download_server=1, store_server=0)
        tracker = self.to_tracker()
        for source in self.cluster.storages:
            name = fastdfs.named(self.cluster.upload(b"hello\n", node=source))
            for _ in range(4):
                self.assertEqual(read_target(tracker.call(fastdfs.QUERY_FETCH_ONE, name)).addr,
                                 source.addr)


class ReadWriteTest(TrackerConfigTest):
    """Point 23: rw= in storage_ids.conf."""

    shape = {"storages": 2}

    def test_23_read_only_and_write_only(self):
        reader, writer = self.cluster.storages
        lines = [f"{self.id_of(reader)} group1 {reader.addr} rw=read",
                 f"{self.id_of(writer)} group1 {writer.addr} rw=write"]
        path = os.path.join(self.cluster.root, "conf", "storage_ids.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        file_id = self.cluster.upload(b"hello\n", "txt", node=writer)
        name = fastdfs.named(file_id)
        self.configure(use_storage_id="true", storage_ids_filename=path)
        tracker = self.to_tracker()
        self.assertEqual({t.addr for t in self.store(6)}, {writer.addr})
        self.assertEqual(store_all(tracker.call(fastdfs.QUERY_STORE_ALL))[1],
                         [(writer.addr, 23000)])
        for _ in range(4):
            self.assertEqual(read_target(tracker.call(fastdfs.QUERY_FETCH_ONE, name)).addr,
                             reader.addr)
        self.assertEqual(fetch_all(tracker.call(fastdfs.QUERY_FETCH_ALL, name)),
                         [(reader.addr, 23000)])
        self.assertEqual(read_target(tracker.call(fastdfs.QUERY_UPDATE, name)).addr, writer.addr)
        self.assertEqual({s["ip"]: s["rw"] for s in self.storages()},
                         {reader.addr: 4, writer.addr: 2})
        self.assertEqual({words[0]: words[3:] for words in fetch_ids(tracker)[1]},
                         {self.id_of(reader): ["rw=read"], self.id_of(writer): ["rw=write"]})
        stat = fastdfs.read_group(tracker.call(fastdfs.LIST_ONE_GROUP, GROUP1))
        self.assertEqual((stat["readable_count"], stat["writable_count"]), (1, 1))


class ReservedSpaceTest(TrackerConfigTest):
    """Points 18 and 24. The exact boundary is the unit tests' (a real disk's free space moves)."""

    def store_status(self):
        tracker = self.to_tracker()
        return {tracker.request(fastdfs.QUERY_STORE).status,
                tracker.request(fastdfs.QUERY_STORE_GROUP, GROUP1).status,
                tracker.request(fastdfs.QUERY_STORE_ALL).status}

    def test_18_24_reserved_space(self):
        disk = os.statvfs(self.cluster.storage.store_paths[0])
        free_mb = disk.f_bavail * disk.f_frsize >> 20
        percent = 100 * disk.f_bavail // disk.f_blocks
        for value, status in ((f"{free_mb // 2}MB", 0), (f"{free_mb * 2}MB", 28), ("0", 0),
                              (f"{max(percent // 2, 0)}%", 0), (f"{min(percent + 10, 100)}%", 28),
                              ("1MB", 0)):
            with self.subTest(value):
                self.configure(reserved_storage_space=value)
                wait_until(f"status {status}", lambda: self.store_status() == {status}, 10)
                if status:
                    file_id = UNKNOWN_SOURCE.encode()
                    reply = self.to_tracker().request(fastdfs.QUERY_FETCH_ONE, GROUP1 + file_id)
                    self.assertEqual(reply.status, 0, "reads go on when the disks are full")


class SourceDownTest(TrackerTest):
    """Points 28 and 29: what is offered while the source is down."""

    shape = {"storages": 2}

    def test_28_29_source_down(self):
        source, other = self.cluster.storages
        content = fastdfs.content(3000)
        normal = self.cluster.upload(content, node=source)
        appender = self.cluster.upload(b"hello\n", command=fastdfs.UPLOAD_APPENDER, node=source)

        def arrived():
            # Asked without the source, or the answer could come from there.
            return os.path.exists(self.cluster.path_of(normal, other))

        wait_until("sync of the normal file", arrived)
        self.cluster.kill(source)
        tracker = self.to_tracker()
        wait_until("the loss is seen", lambda: self.cluster.active_count() == 1)
        for file_id in (normal, appender):
            name = fastdfs.named(file_id)
            for command in (fastdfs.QUERY_FETCH_ONE, fastdfs.QUERY_UPDATE):
                self.assertEqual(read_target(tracker.call(command, name)).addr, other.addr)
            self.assertEqual(fetch_all(tracker.call(fastdfs.QUERY_FETCH_ALL, name)),
                             [(other.addr, other.port)])
        self.assertEqual(self.cluster.download(normal, other), content)
        self.cluster.start_node(source)
        self.cluster.wait_active()
        for file_id in (normal, appender):
            name = fastdfs.named(file_id)
            self.assertEqual(read_target(tracker.call(fastdfs.QUERY_UPDATE, name)).addr,
                             source.addr)


class DeleteTest(TrackerTest):
    """Point 36: deleting storages and groups."""

    shape = {"groups": 2, "storages": 1}

    def test_36_delete_storage_and_group(self):
        tracker = self.to_tracker()
        node = self.cluster.group("group2")[0]
        group = text("group2", 16)
        number = self.id_of(node).encode()
        self.assert_status(tracker.request(fastdfs.DELETE_STORAGE, group + number), 16)
        self.assert_status(tracker.request(fastdfs.DELETE_GROUP, group), 16)
        self.assert_status(tracker.request(fastdfs.DELETE_STORAGE, GROUP1 + number), 2)
        self.cluster.kill(node)
        wait_until("offline", lambda: self.storages("group2")[0]["status"] == 5)
        self.assert_status(tracker.request(fastdfs.DELETE_GROUP, group), 16)
        self.assertEqual(tracker.request(fastdfs.DELETE_STORAGE, group + number), (0, b""))
        self.assert_status(tracker.request(fastdfs.DELETE_STORAGE, group + number), 114)
        self.assertEqual(tracker.request(fastdfs.DELETE_GROUP, group), (0, b""))
        self.assert_status(tracker.request(fastdfs.DELETE_GROUP, group), 2)
        self.assertEqual(len(tracker.call(fastdfs.LIST_ALL_GROUPS)), 113)


if __name__ == "__main__":
    unittest.main()
