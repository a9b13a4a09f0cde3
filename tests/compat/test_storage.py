"""The storage's commands: points 44 to 68 of docs/compat.md."""
import concurrent.futures
import os
import random
import threading
import unittest

import fastdfs
from cluster import Cluster, ClusterTest, alive
from fastdfs import (APPEND, CREATE_LINK, DELETE, DOWNLOAD, GET_METADATA, MODIFY, QUERY_FILE_INFO,
                     REGENERATE, SET_METADATA, TRUNCATE, UPLOAD, UPLOAD_APPENDER, UPLOAD_SLAVE,
                     ConnectionClosed, append_body, content, crc32, decode_name, download_body,
                     frame, i64, metadata_body, modify_body, named, read_id, read_info,
                     sign_extended, slave_body, split_id, text, truncate_body, upload_body,
                     wait_until)

KIB = 1024


class StorageTest(ClusterTest):
    def upload(self, data, ext="", command=UPLOAD, path=0xFF, connection=None):
        connection = connection or self.to_storage()
        body = connection.call(command, upload_body(data, ext, path))
        return read_id(body)

    def appender(self, data=b"", ext="log"):
        return self.upload(data, ext, UPLOAD_APPENDER)

    def download(self, file_id, offset=0, size=0):
        return self.to_storage().call(DOWNLOAD, download_body(file_id, offset, size))

    def info(self, file_id, flags=0):
        return read_info(self.to_storage().call(QUERY_FILE_INFO, named(file_id), flags))

    def delete(self, file_id):
        self.assertEqual(self.to_storage().call(DELETE, named(file_id)), b"")

    def refused(self, command, body, *statuses, request_status=0):
        """The request is answered with one of the statuses and no body; after 22 the storage
        closes the connection."""
        connection = self.cluster.to(self.cluster.storage)
        try:
            reply = connection.request(command, body, request_status)
            self.assertEqual(reply.body, b"")
            self.assertIn(reply.status, statuses)
            if reply.status == 22:
                self.assertTrue(connection.ended(), "22 must end the connection")
        finally:
            connection.close()

    def missing_appender(self):
        file_id = self.appender(b"gone")
        self.delete(file_id)
        return file_id


class UploadTest(StorageTest):
    shape = {"paths": 2}

    def test_44_sizes(self):
        for size in (0, 1, 255 * KIB, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 5 * KIB * KIB):
            with self.subTest(size=size):
                data = content(size, size)
                connection = self.to_storage()
                body = connection.call(UPLOAD, upload_body(data, "bin"))
                self.assertEqual(len(body), 60)
                self.assertEqual(body[:16], b"group1" + bytes(10))
                file_id = read_id(body)
                self.assertRegex(
                    split_id(file_id)[1],
                    r"^M0[01]/[0-9A-F]{2}/[0-9A-F]{2}/[A-Za-z0-9_-]{27}\d\d\d\.bin$")
                self.assertEqual(self.download(file_id), data)
                name = decode_name(split_id(file_id)[1])
                self.assertEqual((name.kind, name.size, name.crc), ("normal", size, crc32(data)))

    def test_45_path_index(self):
        for path in (0, 1):
            for _ in range(3):
                self.assertIn(f"/M{path:02X}/", self.upload(b"hello\n", path=path))
        self.refused(UPLOAD, upload_body(b"hello\n", path=2), 22)
        self.refused(UPLOAD, upload_body(b"hello\n", path=0x7F), 22)
        self.refused(UPLOAD, upload_body(b"hello\n", path=0x80), 22)
        seen = {self.upload(b"hello\n", path=0xFF).split("/")[1] for _ in range(8)}
        self.assertTrue(seen <= {"M00", "M01"})

    def test_46_extensions(self):
        for ext in ("", "c", "gz", "txt", "jpeg", "a.b_c", "tar.gz", "-_.9zZ"):
            with self.subTest(ext):
                file_id = self.upload(b"hello\n", ext)
                block = split_id(file_id)[1][37:]
                digits = 7 if not ext else 6 - len(ext)
                pattern = r"^\d{%d}" % digits + ("" if not ext else r"\.") + ext.replace(".", r"\.")
                self.assertRegex(block, pattern + "$")
                self.assertEqual(self.download(file_id), b"hello\n")
        for ext in (b"a/b", b"a b", b"../..", b"a\\b", b"\xffxy", b"a\nb", b"/"):
            with self.subTest(ext):
                self.refused(UPLOAD, b"\0" + i64(1) + text(ext, 6) + b"x", 22)

    def test_46_bytes_behind_the_nul_do_not_count(self):
        """The C client's buffer may hold rests behind the terminator."""
        file_id = read_id(self.to_storage().call(UPLOAD, b"\0" + i64(1) + b"c\0x/yz" + b"x"))
        self.assertRegex(file_id, r"\d{5}\.c$")

    def test_47_length_mismatch(self):
        body = upload_body(b"hello\n", "txt")
        for size in (0, 5, 7, -1, 1 << 62, -(1 << 63)):
            with self.subTest(size=size):
                self.refused(UPLOAD, body[:1] + i64(size) + body[9:], 22)
        self.refused(UPLOAD, body[:14], 22)
        self.refused(UPLOAD_APPENDER, body[:1] + i64(7) + body[9:], 22)

    def test_50_metadata_on_the_same_connection(self):
        connection = self.to_storage()
        for step in range(20):
            file_id = self.upload(b"photo %d" % step, "jpg", connection=connection)
            meta = b"height\x02480\x01width\x02640"
            self.assertEqual(connection.call(SET_METADATA, metadata_body(file_id, meta)), b"")
            self.assertEqual(connection.call(GET_METADATA, named(file_id)), meta)

    def test_06_upload_without_tracker(self):
        """fdfs_upload_file CONF FILE IP:PORT sends index -1 without asking a tracker."""
        self.assertEqual(self.download(self.upload(b"x", path=0xFF)), b"x")


class FullTest(StorageTest):
    """Points 48 and 49: a full path and a read-only path."""

    shape = {"paths": 2}

    def reconfigure(self, **settings):
        self.cluster.reconfigure(self.cluster.storage, **settings)
        self.cluster.wait_active()

    def test_48_full(self):
        disk = os.statvfs(self.cluster.storage.store_paths[0])
        before = self.upload(b"before it was full")
        self.reconfigure(reserved_storage_space=f"{disk.f_blocks * disk.f_frsize >> 20}MB")
        for data in (b"small", content(3 * KIB * KIB)):
            for command in (UPLOAD, UPLOAD_APPENDER):
                connection = self.cluster.to(self.cluster.storage)
                try:
                    connection.send(frame(command, upload_body(data, "bin")))
                except (BrokenPipeError, ConnectionResetError):
                    pass  # it may answer and close before all was sent
                self.assert_status(connection.read_reply(), 28)
                # Either the rest of the content was read, or the connection ends: nothing of it
                # may be taken for a request.
                try:
                    self.assertTrue(connection.alive() or connection.ended())
                except (ConnectionResetError, BrokenPipeError):
                    pass
                connection.close()
        self.assertEqual(self.download(before), b"before it was full", "reads go on")
        self.assertEqual(self.leftovers(), [])
        self.reconfigure(reserved_storage_space="1MB")
        self.assertEqual(self.download(self.upload(b"room again")), b"room again")

    def leftovers(self):
        """Regular files in the two directory levels that are no whole upload."""
        found = []
        for store in self.cluster.storage.store_paths:
            for where, dirs, files in os.walk(os.path.join(store, "data")):
                dirs[:] = [d for d in dirs if not d.startswith(".")]
                for file in files:
                    path = os.path.join(where, file)
                    if not file.startswith(".") and os.path.getsize(path) != 18:
                        found.append(path)
        return found

    def test_49_readonly_path(self):
        self.reconfigure(store_path0_readonly="true")
        for path in (0, 1, 0xFF):
            self.assertIn("/M01/", self.upload(b"hello\n", path=path))
        self.reconfigure(store_path0_readonly=None, store_path1_readonly="yes")
        for path in (0, 1, 0xFF):
            self.assertIn("/M00/", self.upload(b"hello\n", path=path))
        self.reconfigure(store_path1_readonly=None)


class AppenderTest(StorageTest):
    def check(self, file_id, expected):
        self.assertEqual(self.download(file_id), expected)
        info = self.info(file_id)
        self.assertEqual((info.size, info.crc), (len(expected), sign_extended(crc32(expected))))

    def test_51_sequence(self):
        connection = self.to_storage()
        data = content(1500, 1)
        file_id = self.upload(data, "jpg", UPLOAD_APPENDER, connection=connection)
        name = decode_name(split_id(file_id)[1])
        self.assertEqual((name.kind, name.size, name.crc), ("appender", 0, crc32(data)))
        self.check(file_id, data)
        steps = [
            (TRUNCATE, truncate_body(file_id, 750), lambda d: d[:750]),
            (APPEND, append_body(file_id, content(1500, 2)), lambda d: d + content(1500, 2)),
            (MODIFY, modify_body(file_id, 100, b"patch"), lambda d: d[:100] + b"patch" + d[105:]),
            (MODIFY, modify_body(file_id, 2250, content(70, 3)), lambda d: d + content(70, 3)),
            (MODIFY, modify_body(file_id, 2300, bytes(100)), lambda d: d[:2300] + bytes(100)),
            (TRUNCATE, truncate_body(file_id, 5000), lambda d: d.ljust(5000, b"\0")),
            (APPEND, append_body(file_id, b"end"), lambda d: d + b"end"),
            (TRUNCATE, truncate_body(file_id, 0), lambda d: b""),
            (APPEND, append_body(file_id, content(300 * KIB, 4)), lambda d: content(300 * KIB, 4)),
            (MODIFY, modify_body(file_id, 1000, content(270 * KIB, 5)),
             lambda d: d[:1000] + content(270 * KIB, 5) + d[1000 + 270 * KIB:])]
        for command, body, change in steps:
            with self.subTest(command=command, size=len(body)):
                self.assertEqual(connection.call(command, body), b"")
                data = change(data)
                self.check(file_id, data)

    def test_52_no_op_has_an_empty_body(self):
        file_id = self.appender(b"hello\n")
        connection = self.to_storage()
        for command, body in ((APPEND, append_body(file_id, b"")),
                              (MODIFY, modify_body(file_id, 3, b"")),
                              (TRUNCATE, truncate_body(file_id, 6))):
            with self.subTest(command=command):
                self.assertEqual(connection.request(command, body), (0, b""))
        self.assertTrue(connection.alive())
        self.check(file_id, b"hello\n")

    def test_53_errors(self):
        normal = self.upload(b"hello\n", "txt")
        appender = self.appender(b"hello\n")
        missing = self.missing_appender()
        for file_id, status in ((normal, 22), (missing, 2)):
            for command, body in ((APPEND, append_body(file_id, b"x")),
                                  (MODIFY, modify_body(file_id, 0, b"x")),
                                  (TRUNCATE, truncate_body(file_id, 1)),
                                  (REGENERATE, split_id(file_id)[1].encode())):
                with self.subTest(command=command, status=status):
                    self.refused(command, body, status)
        self.refused(MODIFY, modify_body(appender, 7, b"x"), 22)
        self.refused(MODIFY, modify_body(appender, -1, b"x"), 22)
        self.refused(TRUNCATE, truncate_body(appender, -1), 22)
        self.refused(APPEND, append_body(appender, b"x") + b"y", 22)
        self.refused(APPEND, i64(200) + append_body(appender, b"x")[8:], 22)
        self.refused(APPEND, i64(0) + i64(1) + b"x", 22)
        self.check(appender, b"hello\n")
        self.assertEqual(self.download(normal), b"hello\n")

    def test_54_regenerate(self):
        connection = self.to_storage()
        old = self.appender(b"", "txt")
        data = content(300, 9)
        connection.call(APPEND, append_body(old, data))
        meta = b"height\x02480"
        connection.call(SET_METADATA, metadata_body(old, meta))
        body = connection.call(REGENERATE, split_id(old)[1].encode())
        self.assertEqual(len(body), 60)
        new = read_id(body)
        name = decode_name(split_id(new)[1])
        self.assertEqual((name.kind, name.size, name.crc), ("normal", 300, crc32(data)))
        self.assertEqual(new[-7:], old[-7:], "the last 7 characters are kept")
        self.assertEqual(new[:17], old[:17], "the sub-directory is kept")
        self.assertEqual(self.download(new), data)
        self.assertEqual(connection.call(GET_METADATA, named(new)), meta, "metadata follows")
        for command, request in ((DOWNLOAD, download_body(old)), (GET_METADATA, named(old)),
                                 (DELETE, named(old)), (QUERY_FILE_INFO, named(old))):
            with self.subTest(command=command):
                self.refused(command, request, 2)
        self.refused(APPEND, append_body(new, b"x"), 22)

    def test_65_concurrent_appends(self):
        file_id = self.appender(b"")
        blocks, connections, size = 12, 16, 20_000
        barrier = threading.Barrier(connections)

        def work(number):
            with self.cluster.to(self.cluster.storage, timeout=60) as connection:
                barrier.wait()
                for block in range(blocks):
                    # A block is one byte value, so that any interleaving shows.
                    data = bytes([number * blocks + block]) * size
                    connection.call(APPEND, append_body(file_id, data))

        with concurrent.futures.ThreadPoolExecutor(connections) as pool:
            for future in [pool.submit(work, n) for n in range(connections)]:
                future.result()
        data = self.download(file_id)
        self.assertEqual(len(data), connections * blocks * size)
        seen = [data[o:o + size] for o in range(0, len(data), size)]
        self.assertEqual(sorted({part[0] for part in seen}), list(range(connections * blocks)))
        for part in seen:
            self.assertEqual(part, part[:1] * size, "two requests were interleaved")


class SlaveTest(StorageTest):
    def slave(self, master, prefix, data=b"slave", ext="jpg"):
        body = self.to_storage().call(UPLOAD_SLAVE, slave_body(master, prefix, data, ext))
        return read_id(body)

    def test_55_names(self):
        masters = [self.upload(content(100), ext) for ext in ("", "c", "jpg", "jpeg", "tar.gz")]
        for master in masters:
            for prefix, ext in (("_150x150", "jpg"), ("_big", ""), ("-part-2.x", "png"),
                                ("x", master.rpartition(".")[2] if "." in master[-7:] else ""),
                                ("sixteencharacter", "tar.gz")):
                with self.subTest(master=master[-7:], prefix=prefix, ext=ext):
                    wanted = fastdfs.slave_name(master, prefix, ext)
                    self.assertEqual(self.slave(master, prefix, b"s", ext), wanted)
                    self.assertEqual(self.download(wanted), b"s")

    def test_55_slave_of_a_slave(self):
        master = self.upload(b"hello\n", "txt")
        first = self.slave(master, "_a", b"1", "txt")
        second = self.slave(first, "_b", b"2", "txt")
        self.assertEqual(second, fastdfs.slave_name(first, "_b", "txt"))
        self.assertEqual(self.download(second), b"2")

    def test_55_slave_of_an_appender(self):
        master = self.appender(b"hello\n", "txt")
        slave = self.slave(master, "_s", b"1", "txt")
        self.assertEqual(self.download(slave), b"1")
        self.assertEqual(self.info(slave).size, 1)

    def test_55_existing(self):
        master = self.upload(b"hello\n", "txt")
        slave = self.slave(master, "_big", b"first", "txt")
        self.refused(UPLOAD_SLAVE, slave_body(master, "_big", b"second", "txt"), 17)
        self.assertEqual(self.download(slave), b"first")

    def test_55_early_error_keeps_the_stream_in_step(self):
        """EEXIST with much content behind: it is read or the connection ends, never parsed."""
        master = self.upload(b"hello\n", "txt")
        self.slave(master, "_big", b"first", "txt")
        connection = self.to_storage()
        data = frame(fastdfs.DELETE, named(master)) * 30_000  # content that looks like requests
        try:
            connection.send(frame(UPLOAD_SLAVE, slave_body(master, "_big", data, "txt")))
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            self.assert_status(connection.read_reply(), 17)
            self.assertTrue(connection.alive() or connection.ended())
        except (ConnectionClosed, ConnectionResetError, BrokenPipeError):
            pass  # closed with unread data: the reply may be lost with a reset
        self.assertEqual(self.download(master), b"hello\n", "the content was not executed")

    def test_55_errors(self):
        master = self.upload(b"hello\n", "txt")
        gone = self.upload(b"gone", "txt")
        self.delete(gone)
        self.refused(UPLOAD_SLAVE, slave_body(gone, "_big", b"x", "txt"), 2)
        self.refused(UPLOAD_SLAVE, slave_body(master, "", b"x", "txt"), 22)
        self.refused(UPLOAD_SLAVE, slave_body(master, "", b"x", "jpg"), 22)
        self.refused(UPLOAD_SLAVE, slave_body(master, "-m", b"x", ""), 22)
        for prefix in ("../x", "a/b", "a b", "a\nb"):
            self.refused(UPLOAD_SLAVE, slave_body(master, prefix, b"x", "txt"), 22)
        self.refused(UPLOAD_SLAVE, slave_body(master, "_x", b"x", "a/b"), 22)
        body = slave_body(master, "_x", b"xyz", "txt")
        self.refused(UPLOAD_SLAVE, body + b"more", 22)
        self.refused(UPLOAD_SLAVE, body[:8] + i64(-1) + body[16:], 22)
        self.refused(UPLOAD_SLAVE, i64(1 << 40) + body[8:], 22)
        self.refused(UPLOAD_SLAVE, body[:30], 22)

    def test_56_delete(self):
        connection = self.to_storage()
        master = self.upload(b"hello\n", "txt")
        slave = self.slave(master, "_big", b"slave", "txt")
        appender = self.appender(b"app")
        for file_id in (slave, appender, master):
            connection.call(SET_METADATA, metadata_body(file_id, b"a\2b"))
        self.delete(master)
        self.assertEqual(self.download(slave), b"slave", "slaves stay")
        self.assertEqual(connection.call(GET_METADATA, named(slave)), b"a\2b")
        self.delete(slave)
        self.delete(appender)
        for file_id in (master, slave, appender):
            with self.subTest(file_id):
                for command, body in ((DELETE, named(file_id)), (DOWNLOAD, download_body(file_id)),
                                      (GET_METADATA, named(file_id)),
                                      (QUERY_FILE_INFO, named(file_id))):
                    self.refused(command, body, 2)
                path = self.cluster.path_of(file_id)
                self.assertFalse(os.path.exists(path) or os.path.exists(path + "-m"))

    def test_64_slave_and_appender_info(self):
        master = self.upload(b"hello\n", "txt")
        data = content(5000, 3)
        for file_id in (self.slave(master, "_big", data, "txt"), self.appender(data)):
            info = self.info(file_id)
            self.assertEqual((info.size, info.crc), (5000, sign_extended(crc32(data))))
            info = self.info(file_id, flags=1)
            self.assertEqual((info.size, info.crc), (5000, 0), "flag 1: no CRC")
            self.assertEqual(self.info(file_id, flags=2).size, 5000)


class DownloadTest(StorageTest):
    def test_57_ranges(self):
        size = 300_000
        data = content(size)
        file_id = self.upload(data)
        for offset, count in ((0, 0), (0, 1), (0, size), (0, size + 1), (1, 0), (1000, 2000),
                              (size - 1, 0), (size - 1, 1), (size - 1, 100), (262_143, 2),
                              (0, 1 << 40), (size, 0), (size, 10), (5, (1 << 63) - 1)):
            with self.subTest(offset=offset, count=count):
                wanted = data[offset:offset + count] if count else data[offset:]
                self.assertEqual(self.download(file_id, offset, count), wanted)
        for offset, count in ((size + 1, 0), (size + 1, 1), (1 << 62, 0), (-1, 0), (0, -1)):
            with self.subTest(offset=offset, count=count):
                self.refused(DOWNLOAD, download_body(file_id, offset, count), 22)

    def test_57_empty_file(self):
        file_id = self.upload(b"", "txt")
        connection = self.to_storage()
        self.assertEqual(connection.request(DOWNLOAD, download_body(file_id)), (0, b""))
        self.assertTrue(connection.alive())
        self.assertEqual(self.info(file_id).size, 0)

    def test_58_errors(self):
        file_id = self.upload(b"hello\n", "txt")
        name = split_id(file_id)[1]
        self.refused(DOWNLOAD, download_body("group2/" + name), 22)
        self.refused(DOWNLOAD, download_body("/" + name), 22)
        self.refused(DOWNLOAD, download_body("group1/" + name[:-1] + "x"), 2)
        directory = self.cluster.path_of(file_id)[:-7] + "000.dir"
        os.mkdir(directory)
        self.addCleanup(os.rmdir, directory)
        self.refused(DOWNLOAD, download_body(file_id[:-7] + "000.dir"), 21)
        self.refused(DOWNLOAD, download_body(file_id)[:32], 22)
        self.refused(DOWNLOAD, download_body(file_id)[:31], 22)
        self.refused(DOWNLOAD, b"", 22)


class MetadataTest(StorageTest):
    def setUp(self):
        self.file_id = self.upload(b"hello\n", "txt")

    def set(self, data, flag=b"O", file_id=None):
        body = metadata_body(file_id or self.file_id, data, flag)
        self.assertEqual(self.to_storage().call(SET_METADATA, body), b"")

    def get(self):
        return self.to_storage().call(GET_METADATA, named(self.file_id))

    def test_59_overwrite_and_merge(self):
        self.set(b"width\x02640\x01height\x02480")
        self.assertEqual(self.get(), b"height\x02480\x01width\x02640", "sorted by name")
        self.set(b"c\x023\x01a\x021", b"M")
        self.assertEqual(self.get(), b"a\x021\x01c\x023\x01height\x02480\x01width\x02640")
        self.set(b"width\x0210", b"M")
        self.assertEqual(self.get(), b"a\x021\x01c\x023\x01height\x02480\x01width\x0210")
        self.set(b"", b"M")
        self.assertEqual(self.get(), b"a\x021\x01c\x023\x01height\x02480\x01width\x0210")
        self.set(b"z\x021")
        self.assertEqual(self.get(), b"z\x021")
        self.set(b"Z\x02\x01a\x02b\x02c\x01B\x02")
        self.assertEqual(self.get(), b"B\x02\x01Z\x02\x01a\x02b\x02c")
        self.set(b"")
        self.refused(GET_METADATA, named(self.file_id), 2)
        self.set(b"")
        self.set(b"", b"M")
        self.refused(GET_METADATA, named(self.file_id), 2)
        self.set(b"m\x021", b"M")
        self.assertEqual(self.get(), b"m\x021", "merge into nothing")

    def test_59_truncation(self):
        self.set(b"k" * 70 + b"\x02" + b"v" * 300)
        self.assertEqual(self.get(), b"k" * 64 + b"\x02" + b"v" * 256)
        self.set(b"n" * 64 + b"\x02" + b"w" * 256)
        self.assertEqual(self.get(), b"n" * 64 + b"\x02" + b"w" * 256)

    def test_59_records_without_a_separator_are_dropped(self):
        self.set(b"a\x021\x01nothing\x01b\x022")
        self.assertEqual(self.get(), b"a\x021\x01b\x022")
        self.set(b"a\x021\x01")
        self.assertEqual(self.get(), b"a\x021", "no trailing separator, no rest of the input")

    def test_59_on_disk(self):
        self.set(b"b\x022\x01junk\x01a\x021\x01")
        with open(self.cluster.path_of(self.file_id) + "-m", "rb") as file:
            self.assertEqual(file.read(), b"a\x021\x01b\x022")

    def test_59_errors(self):
        for flag in (b"o", b"m", b"X", b"\0"):
            self.refused(SET_METADATA, metadata_body(self.file_id, b"a\2b", flag), 22)
        good = metadata_body(self.file_id, b"a\2b")
        self.refused(SET_METADATA, good + b"x", 22)
        self.refused(SET_METADATA, good[:8] + i64(-3) + good[16:], 22)
        self.refused(SET_METADATA, i64(1 << 40) + good[8:], 22)
        self.refused(SET_METADATA, i64(0) + good[8:], 22)
        foreign = self.file_id.replace("group1", "group2")
        self.refused(SET_METADATA, metadata_body(foreign, b"a\2b"), 22)
        self.refused(GET_METADATA, named(self.file_id), 2)

    def test_60_get(self):
        self.refused(GET_METADATA, named(self.file_id), 2)
        self.set(b"a\x021")
        self.assertEqual(self.get(), b"a\x021")
        self.delete(self.file_id)
        self.refused(GET_METADATA, named(self.file_id), 2)
        self.refused(SET_METADATA, metadata_body(self.file_id, b"a\2b"), 2)
        self.refused(GET_METADATA, named("group2/" + split_id(self.file_id)[1]), 22)

    def test_60_thousand_records(self):
        pairs = sorted((b"key%03d" % n, b"value%d" % n) for n in range(1000))
        shuffled = list(pairs)
        random.Random(7).shuffle(shuffled)
        self.set(b"\1".join(b"\2".join(pair) for pair in shuffled))
        self.assertEqual(self.get(), b"\1".join(b"\2".join(pair) for pair in pairs))


class InfoTest(StorageTest):
    def test_61_reply(self):
        node = self.cluster.storage
        # CRC32 of the first is 363A3020, of the second FFFFFFFF-like: bit 31 set.
        for data in (b"hello\n", b"hello cairn\n"):
            file_id = self.upload(data, "txt")
            body = self.to_storage().call(QUERY_FILE_INFO, named(file_id))
            self.assertEqual(len(body), 40)
            name = decode_name(split_id(file_id)[1])
            self.assertEqual(body[:8], i64(len(data)))
            self.assertEqual(body[8:16], i64(name.time), "the time of the name")
            self.assertEqual(body[16:24], sign_extended(crc32(data)).to_bytes(8, "big"))
            self.assertEqual(body[24:], node.addr.encode().ljust(16, b"\0"))
        self.assertEqual(sign_extended(crc32(b"hello cairn\n")), 0xFFFFFFFFE33073AF)

    def test_61_wide_addresses(self):
        """The reply of a cluster that has IPv6 addresses, or is told to answer as if."""
        with Cluster(storages=1) as cluster:
            node = cluster.reconfigure(cluster.storage, response_ip_addr_size=46)
            cluster.wait_active()
            file_id = cluster.upload(b"hello\n", "txt", node=node)
            with cluster.to(node) as storage:
                body = storage.call(QUERY_FILE_INFO, named(file_id))
            self.assertEqual(len(body), 70)
            self.assertEqual(body[:8], i64(6))
            self.assertEqual(body[24:], node.addr.encode().ljust(46, b"\0"))

    def test_61_flags(self):
        file_id = self.upload(b"hello\n", "txt")
        for flags in (0, 1, 2, 3):
            self.assertEqual(self.info(file_id, flags).size, 6)
        gone = file_id[:-7] + "000.txt"
        for flags in (0, 1, 2, 3):
            self.refused(QUERY_FILE_INFO, named(gone), 2, request_status=flags)

    def test_61_errors(self):
        file_id = self.upload(b"hello\n", "txt")
        name = split_id(file_id)[1]
        self.refused(QUERY_FILE_INFO, named("group2/" + name), 22)
        # No such file can be; the original looks first and answers 2.
        self.refused(QUERY_FILE_INFO, named("group1/" + name[:36]), 2, 22)
        self.refused(QUERY_FILE_INFO, named("group1/" + name[:10]), 22)
        self.refused(QUERY_FILE_INFO, text("group1", 16), 22)
        self.refused(QUERY_FILE_INFO, b"", 22)

    def test_61_deleted_files_have_no_size(self):
        file_id = self.upload(b"hello\n", "txt")
        self.delete(file_id)
        self.refused(QUERY_FILE_INFO, named(file_id), 2)

    def test_62_create_link(self):
        """The helper of FastDHT de-duplication: a link is made, or 22."""
        file_id = self.upload(b"hello\n", "txt")
        name = split_id(file_id)[1]
        reply = self.to_storage().request(
            CREATE_LINK, fastdfs.link_body("group1", name, bytes(24), ext="txt"))
        if reply.status == 0:
            link = read_id(reply.body)
            self.assertNotEqual(link, file_id)
            self.assertEqual(self.download(link), b"hello\n")
            self.delete(link)
        else:
            self.assert_status(reply, 22)
        self.refused(CREATE_LINK, fastdfs.link_body("group1", name, b""), 22)
        self.refused(CREATE_LINK, fastdfs.link_body("group2", name, bytes(24)), 22)
        self.refused(CREATE_LINK, b"", 22)
        self.assertEqual(self.download(file_id), b"hello\n")

    def test_63_names(self):
        file_id = self.upload(b"hello\n", "txt", path=0)
        name = split_id(file_id)[1]
        good = name[10:]
        self.assertEqual(name[:4], "M00/")
        # A name of before 1.12 has no "M" and means path 0.
        self.assertEqual(self.download("group1/" + name[4:]), b"hello\n")
        for bad in ("M0g/" + name[4:], "M01/" + name[4:], "MFF/" + name[4:], "m00/" + name[4:],
                    "M00/../00/" + good, "M00/00/../" + good, "M00/0a/00/" + good,
                    "M00/00/0f/" + good, "M00//00/00" + good, "M00/00/00/../" + good,
                    "M00/00/00/" + good[:5] + "/" + good[6:], "M00/00/00/../..",
                    "M00/00/00//" + good, "M00_00/00/" + good, "../../../../../../etc/passwd",
                    "M00/00/00", "/" + name,
                    "M00/GG/00/" + good, "M00/00/00/" + good + "/", "../M00/00/00/" + good):
            for command, body in ((DOWNLOAD, i64(0) * 2), (DELETE, b""), (GET_METADATA, b"")):
                with self.subTest(bad, command=command):
                    request = body + text("group1", 16) + bad.encode()
                    self.refused(command, request, 22)
        # Of the right shape, yet no file: the original opens them.
        for odd in ("M00/00/00/..", "M00/00/00/.", name[:20] + "\0" + name[21:]):
            for command, body in ((DOWNLOAD, i64(0) * 2), (DELETE, b""), (GET_METADATA, b"")):
                with self.subTest(odd, command=command):
                    request = body + text("group1", 16) + odd.encode()
                    self.refused(command, request, 2, 21, 22)
        self.assertEqual(self.download(file_id), b"hello\n")

    def test_63_hex_of_the_path_index(self):
        """Upper and lower case are accepted in Mpp; both are too high here."""
        name = split_id(self.upload(b"hello\n"))[1][4:]
        for prefix in ("M0A/", "M0a/", "MfF/"):
            self.refused(DOWNLOAD, download_body("group1/" + prefix + name), 22)

    def test_63_length(self):
        file_id = self.upload(b"hello\n", "txt")
        stem = split_id(file_id)[1]
        self.refused(DOWNLOAD, download_body("group1/" + stem + "x" * (127 - len(stem))), 2)
        self.refused(QUERY_FILE_INFO, named("group1/" + stem + "x" * (132 - len(stem))), 22)
        # Too long for any file; the original looks first and answers 2.
        for size in (128, 129, 255):
            self.refused(DOWNLOAD, download_body("group1/" + stem + "x" * (size - len(stem))),
                         2, 22)

    def test_68_peer_commands(self):
        file_id = self.upload(b"hello\n", "txt")
        name = split_id(file_id)[1].encode()
        group = text("group1", 16)
        stamp = (1_700_000_000).to_bytes(4, "big")
        bodies = {
            16: i64(len(name)) + i64(4) + stamp + group + name + b"evil",
            18: i64(len(name)) + i64(4) + stamp + group + name + b"evil",
            17: stamp + group + name,
            19: i64(len(name)) * 2 + stamp + group + name + name,
            25: i64(len(name)) + i64(6) + i64(4) + stamp + group + name + b"evil",
            35: i64(len(name)) + i64(0) + i64(4) + stamp + group + name + b"evil",
            37: i64(len(name)) + i64(6) + i64(0) + stamp + group + name,
            40: i64(len(name)) * 2 + stamp + group + name + name,
            9: text("100001", 16), 26: group + b"\0", 27: group + bytes(5), 28: group + bytes(15),
            29: group + bytes(15), 30: b"1 A 0 0 0 1 0 64\n", 31: b"", 32: b"", 33: b""}
        for command, body in bodies.items():
            for prefix in (b"", frame(9, text("100001", 16))):
                with self.subTest(command=command):
                    connection = self.to_storage()
                    connection.send(prefix + frame(command, body))
                    try:
                        reply = connection.read_reply()
                        self.assertIn(reply.status, (1, 13, 22))
                        self.assertEqual(reply.body, b"")
                    except ConnectionClosed as closed:
                        self.assertEqual(closed.received, b"")
        self.assertEqual(self.download(file_id), b"hello\n")


class ManyUploadsTest(StorageTest):
    """Point 66, at a size that a test can afford (the benchmark does a million)."""

    COUNT, CONNECTIONS = 12_000, 16

    def test_66_no_duplicate_names(self):
        per = self.COUNT // self.CONNECTIONS

        def work(number):
            ids = []
            with self.cluster.to(self.cluster.storage, timeout=60) as connection:
                for step in range(per):
                    # The same content from all connections: only random bits tell names apart.
                    ids.append(self.upload(b"step %d" % step, connection=connection))
            return ids

        with concurrent.futures.ThreadPoolExecutor(self.CONNECTIONS) as pool:
            ids = [x for part in pool.map(work, range(self.CONNECTIONS)) for x in part]
        self.assertEqual(len(ids), per * self.CONNECTIONS)
        self.assertEqual(len(set(ids)), len(ids), "two uploads got one name")
        count = {}
        for file_id in ids:
            directory = split_id(file_id)[1][4:9]
            count[directory] = count.get(directory, 0) + 1
        # file_distribute_rotate_count = 100 files a directory.
        self.assertGreaterEqual(len(count), self.COUNT // 100)
        self.assertLessEqual(max(count.values()), 100 + self.CONNECTIONS)
        self.assertEqual({d[:2] for d in count}, {"00"}, "one high directory after the other")
        for file_id in random.Random(1).sample(ids, 200):
            self.assertTrue(self.download(file_id).startswith(b"step "))


class CrashTest(StorageTest):
    """Point 67: kill -9 during a load of uploads."""

    def test_67_acknowledged_files_survive_a_kill(self):
        acknowledged, lock, stop = {}, threading.Lock(), threading.Event()

        def work(number):
            step = 0
            while not stop.is_set():
                try:
                    with self.cluster.to(self.cluster.storage, timeout=5) as connection:
                        while not stop.is_set():
                            step += 1
                            size = 1 + (step * 7919 + number) % 70_000
                            data = content(size, 1000 * step + number)
                            file_id = self.upload(data, "bin", connection=connection)
                            with lock:
                                acknowledged[file_id] = crc32(data), len(data)
                except (OSError, ConnectionClosed):
                    stop.wait(0.05)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        try:
            for round_number in (1, 2, 3):
                wait_until("some uploads", lambda: len(acknowledged) > 300 * round_number, 60)
                self.cluster.kill(self.cluster.storage)
                self.assertFalse(alive(self.cluster.storage.pid))
                self.cluster.start_node(self.cluster.storage)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        with self.cluster.to(self.cluster.storage) as connection:
            for file_id, (crc, size) in acknowledged.items():
                data = connection.call(DOWNLOAD, download_body(file_id))
                self.assertEqual((crc32(data), len(data)), (crc, size), file_id)
        for store in self.cluster.storage.store_paths:
            self.check_no_half_files(store)

    def check_no_half_files(self, store):
        """What is visible is whole: size and CRC of the name are those of the content."""
        for where, dirs, files in os.walk(os.path.join(store, "data")):
            dirs[:] = [d for d in dirs if not d.startswith(".")]
            for file in files:
                if file.startswith("."):
                    continue
                name = decode_name("M00/00/00/" + file)
                with open(os.path.join(where, file), "rb") as opened:
                    data = opened.read()
                self.assertEqual((len(data), crc32(data)), (name.size, name.crc), file)


class HugeFileTest(StorageTest):
    """A file over 4 GiB (points 44 and 72)."""

    SIZE = (4 << 30) + 12_345

    def test_44_over_four_gib(self):
        block = content(1 << 20)
        whole, rest = divmod(self.SIZE, len(block))
        crc = 0
        with self.cluster.to(self.cluster.storage, timeout=300) as connection:
            connection.send(fastdfs.HEADER.pack(15 + self.SIZE, UPLOAD, 0) + b"\xff"
                            + i64(self.SIZE) + text("bin", 6))
            for index in range(whole + 1):
                part = index.to_bytes(4, "big") + block[4:len(block) if index < whole else rest]
                crc = fastdfs.zlib.crc32(part, crc)
                connection.send(part)
            file_id = read_id(connection.read_reply().body)
            name = decode_name(split_id(file_id)[1])
            self.assertEqual((name.kind, name.size_field, name.crc), ("normal", self.SIZE, crc))
            info = read_info(connection.call(QUERY_FILE_INFO, named(file_id)))
            self.assertEqual((info.size, info.crc), (self.SIZE, sign_extended(crc)))
            for index in (0, 4095, 4096, whole):
                got = connection.call(DOWNLOAD, download_body(file_id, index << 20, 100))
                self.assertEqual(got, index.to_bytes(4, "big") + block[4:100])
            self.assertEqual(connection.call(DOWNLOAD, download_body(file_id, self.SIZE - 7)),
                             block[rest - 7:rest])
            connection.send(frame(DOWNLOAD, download_body(file_id)))
            self.assertEqual(connection.read_header(), (self.SIZE, 100, 0))
            left, seen = self.SIZE, 0
            while left:
                part = connection.recv_exact(min(left, 4 << 20))
                seen = fastdfs.zlib.crc32(part, seen)
                left -= len(part)
            self.assertEqual(seen, crc)
            connection.call(DELETE, named(file_id))


if __name__ == "__main__":
    unittest.main()
