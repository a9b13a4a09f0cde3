"""What files written through the protocol look like on disk: points 77 to 86 of docs/compat.md as
far as they concern our own directories. Taking over old ones is tested with the adoption.
"""
import os
import re
import shutil
import stat
import unittest

import fastdfs
from cluster import ClusterTest, http_get
from fastdfs import (APPEND, DELETE, DOWNLOAD, GET_METADATA, REGENERATE, SET_METADATA, UPLOAD,
                     UPLOAD_APPENDER, UPLOAD_SLAVE, append_body, content, download_body,
                     metadata_body, named, read_id, slave_body, split_id, upload_body)

# What may lie in HH/HH: a plain or slave file, with or without "-m".
LEAF = re.compile(r"^[A-Za-z0-9_-]{27}[A-Za-z0-9._-]{7,60}$")


def visible_files(store):
    """All files below data/ that are not under a name with a leading dot."""
    found = []
    for where, dirs, files in os.walk(os.path.join(store, "data")):
        dirs[:] = [d for d in dirs if not d.startswith(".")]
        found += [os.path.join(where, f) for f in files if not f.startswith(".")]
    return found


class DiskTest(ClusterTest):
    shape = {"paths": 2}

    def make(self, data=b"hello\n", ext="txt", command=UPLOAD, path=0xFF):
        return self.cluster.upload(data, ext, command, path=path)

    def read(self, path):
        with open(path, "rb") as file:
            return file.read()

    def call(self, command, body):
        return self.to_storage().call(command, body)

    def test_77_where_files_are(self):
        for path in (0, 1):
            for size in (0, 6, 70_000, 3_000_000):
                with self.subTest(path=path, size=size):
                    data = content(size, path)
                    file_id = self.make(data, "bin", path=path)
                    name = split_id(file_id)[1]
                    self.assertEqual(name[:4], f"M{path:02X}/")
                    where = os.path.join(self.cluster.storage.store_paths[path], "data", name[4:])
                    self.assertEqual(self.read(where), data)
                    self.assertRegex(name[4:], r"^[0-9A-F]{2}/[0-9A-F]{2}/[^/]{34}$")

    def test_77_kinds_of_files(self):
        appender = self.make(b"one", "log", UPLOAD_APPENDER)
        self.call(APPEND, append_body(appender, b"-two"))
        self.assertEqual(self.read(self.cluster.path_of(appender)), b"one-two")
        master = self.make()
        slave = read_id(self.call(UPLOAD_SLAVE, slave_body(master, "_big", b"slave", "txt")))
        self.assertEqual(self.read(self.cluster.path_of(slave)), b"slave")
        self.assertEqual(self.cluster.path_of(slave),
                         self.cluster.path_of(master).replace(".txt", "_big.txt"))
        regenerated = read_id(self.call(REGENERATE, split_id(appender)[1].encode()))
        self.assertEqual(self.read(self.cluster.path_of(regenerated)), b"one-two")
        self.assertFalse(os.path.exists(self.cluster.path_of(appender)))

    def test_77_modification_time_is_that_of_the_name(self):
        for size in (6, 1_000_000):
            file_id = self.make(content(size))
            name = fastdfs.decode_name(split_id(file_id)[1])
            self.assertEqual(int(os.stat(self.cluster.path_of(file_id)).st_mtime), name.time)

    def test_79_metadata_file(self):
        file_id = self.make()
        self.call(SET_METADATA, metadata_body(file_id, b"width\x02640\x01height\x02480"))
        side = self.cluster.path_of(file_id) + "-m"
        self.assertEqual(self.read(side), b"height\x02480\x01width\x02640")
        self.assertEqual(stat.S_IMODE(os.stat(side).st_mode), 0o644)
        self.call(SET_METADATA, metadata_body(file_id, b"a\x021", b"M"))
        self.assertEqual(self.read(side), b"a\x021\x01height\x02480\x01width\x02640")
        self.call(SET_METADATA, metadata_body(file_id, b""))
        self.assertFalse(os.path.exists(side))

    def test_79_metadata_moves_and_goes_with_its_file(self):
        file_id = self.make(b"one", "log", UPLOAD_APPENDER)
        self.call(SET_METADATA, metadata_body(file_id, b"a\x021"))
        new = read_id(self.call(REGENERATE, split_id(file_id)[1].encode()))
        self.assertFalse(os.path.exists(self.cluster.path_of(file_id) + "-m"))
        self.assertEqual(self.read(self.cluster.path_of(new) + "-m"), b"a\x021")
        self.call(DELETE, named(new))
        self.assertFalse(os.path.exists(self.cluster.path_of(new)))
        self.assertFalse(os.path.exists(self.cluster.path_of(new) + "-m"))

    def test_79_rests_behind_the_metadata_are_ignored(self):
        """As the original leaves them: NUL and old bytes behind the text."""
        file_id = self.make()
        self.call(SET_METADATA, metadata_body(file_id, b"a\x021\x01b\x022"))
        with open(self.cluster.path_of(file_id) + "-m", "ab") as file:
            file.write(b"\x01junk\x00rest")
        found = fastdfs.parse_metadata(
            b"\1".join(r for r in self.call(GET_METADATA, named(file_id)).split(b"\1")
                       if b"\2" in r))
        self.assertEqual({k: v.split(b"\0")[0] for k, v in found.items()},
                         {b"a": b"1", b"b": b"2"})
        self.call(SET_METADATA, metadata_body(file_id, b"c\x023", b"M"))
        self.assertEqual(self.read(self.cluster.path_of(file_id) + "-m"),
                         b"a\x021\x01b\x022\x01c\x023")

    def test_80_modes_and_no_leftovers(self):
        made = [self.make(content(size, size), "bin") for size in (0, 100, 70_000, 500_000)]
        made.append(self.make(b"x", "log", UPLOAD_APPENDER))
        with self.cluster.to(self.cluster.storage) as storage:  # an upload that breaks off
            storage.send(fastdfs.frame(UPLOAD, upload_body(content(400_000)))[:200_000])
        for file_id in made:
            path = self.cluster.path_of(file_id)
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o644)
            for _ in range(3):
                path = os.path.dirname(path)
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o755, path)
        for store in self.cluster.storage.store_paths:
            for path in visible_files(store):
                leaf = os.path.basename(path)
                self.assertRegex(leaf, LEAF)
                if not leaf.endswith("-m"):
                    name = fastdfs.decode_name("M00/00/00/" + leaf)
                    if name.kind == "normal":
                        data = self.read(path)
                        self.assertEqual((len(data), fastdfs.crc32(data)), (name.size, name.crc))

    def test_80_dot_names_are_never_served(self):
        data = os.path.join(self.cluster.storage.store_paths[0], "data")
        dots = [name for name in os.listdir(data) if name.startswith(".")]
        for name in dots + [".fastdfs_vars", ".cp0.tmp"]:
            with self.subTest(name):
                reply = self.to_storage().request(
                    DOWNLOAD, download_body("group1/M00/" + name.ljust(11, "x")))
                self.assertEqual(reply, (22, b""))
                node = self.cluster.storage
                for target in (f"/group1/M00/{name}", f"/M00/{name}"):
                    self.assertIn(http_get(node.addr, node.http, target).status, (400, 404))

    def test_77_another_user_can_read_it(self):
        """nginx runs as a user of its own: the way to a file is open to it from `data` on."""
        file_id = self.make(b"for everybody")
        path = self.cluster.path_of(file_id)
        data = os.path.join(self.cluster.storage.store_paths[0 if "/M00/" in file_id else 1],
                            "data")
        below = path
        while below != os.path.dirname(data):
            mode = os.stat(below).st_mode
            self.assertTrue(mode & stat.S_IROTH, below)
            self.assertTrue(mode & stat.S_IXOTH or os.path.isfile(below), below)
            below = os.path.dirname(below)
        self.assertEqual(os.stat(path).st_uid, os.stat(data).st_uid)

    def test_85_a_copied_file_is_found(self):
        """What somebody put into the tree under a well-formed name is served: the disk decides."""
        file_id = self.make(b"copied", "txt", path=0)
        path = self.cluster.path_of(file_id)
        twin = os.path.join(os.path.dirname(path), "Ck4A" + os.path.basename(path)[4:])
        shutil.copy(path, twin)
        twin_id = f"group1/M00/{split_id(file_id)[1][4:9]}/{os.path.basename(twin)}"
        self.assertEqual(self.call(DOWNLOAD, download_body(twin_id)), b"copied")
        self.assertEqual(self.cluster.info(twin_id).size, 6)

    def test_67_directory_after_a_restart(self):
        made = {self.make(content(900 + n), "bin"): content(900 + n) for n in range(20)}
        self.cluster.kill(self.cluster.storage)
        before = {store: sorted(visible_files(store))
                  for store in self.cluster.storage.store_paths}
        self.cluster.start_node(self.cluster.storage)
        for file_id, data in made.items():
            self.assertEqual(self.read(self.cluster.path_of(file_id)), data)
        for store, files in before.items():
            self.assertEqual(sorted(visible_files(store)), files)


if __name__ == "__main__":
    unittest.main()
