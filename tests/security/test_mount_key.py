"""A mount that came by an access key ends with the key, also while it is attached."""
import os
import tempfile
import types
import unittest

import cluster as clusters
import mounts
from fastdfs import wait_until


class MountKeyTest(clusters.ClusterTest):
    shape = {"storages": 1}

    def cairn(self, *options):
        return clusters.run_cairn("--conf", self.cluster.client_conf, *options).stdout

    def setUp(self):
        mounts.need_fuse()
        self.cairn("export", "add", "files")
        folder = tempfile.TemporaryDirectory(prefix="cairn-key-")
        self.addCleanup(folder.cleanup)
        self.key = self.cairn("key", "add", "--rights", "all", "--prefix", "files",
                              "--prefix", "group1").split()[:2]
        key_file = os.path.join(folder.name, "key")
        with open(os.open(key_file, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            file.write(" ".join(self.key) + "\n")
        conf = os.path.join(folder.name, "client.conf")
        tracker = self.cluster.tracker
        with open(conf, "w", encoding="utf-8") as file:
            file.write(f"tracker_server = {tracker.addr}:{tracker.port}\naccess_key_file = {key_file}\n")
        self.mount = mounts.Mount(types.SimpleNamespace(client_conf=conf), "files", "soft,timeout=2")

    def may_write(self, mount, name):
        try:
            os.mkdir(mount.path(name))
            return True
        except OSError:
            return False

    def test_a_removed_key_ends_the_session(self):
        with self.mount as mount:
            self.assertTrue(self.may_write(mount, "before"))
            self.cairn("key", "rm", self.key[0])
            wait_until("the mount is cut off", lambda: not self.may_write(mount, os.urandom(4).hex()), 10)
            self.assertFalse(self.may_write(mount, "after"))
        self.assertNotIn("after", self.cairn("ls", "/files"))


if __name__ == "__main__":
    unittest.main()
