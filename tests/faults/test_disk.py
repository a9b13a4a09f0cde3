"""G6: full, failing, hanging disks. New files are refused with the right status or go to another
path, reads go on, nothing half-written is visible, and a healed path comes back by itself."""

import contextlib
import errno
import json
import os
import subprocess
import tempfile
import threading
import time
import unittest

import cluster as clusters
import fastdfs
import faults
import workload
from cluster import http_get
from fastdfs import frame, wait_until


class FaultyDisks(clusters.ClusterTest):
    """One node with two store paths, and the shim in it."""

    shape = {"storages": 1, "paths": 2}

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="cairn-shim-")
        cls.addClassCleanup(folder.cleanup)
        cls.shim = faults.shim_environment(folder.name)
        cls.addClassCleanup(faults.end_of_environment)
        super().setUpClass()
        cls.bad, cls.good = cls.cluster.storage.store_paths

    def tearDown(self):
        self.shim.heal()
        self.wait_well()
        for path in (0, 1):
            file_id = self.cluster.upload(b"after", "txt", path=path)
            self.assertEqual(self.cluster.download(file_id), b"after")

    def paths(self):
        node = self.cluster.storage
        return json.loads(http_get(node.addr, node.http, "/status").body)["paths"]

    def states(self):
        return [path["state"] for path in self.paths()]

    def wait_well(self):
        """Until both paths take uploads: one that said ENOSPC is asked for its free space first."""
        wait_until("both paths are well", lambda: all(
            path["state"] == "ok" and path["free_bytes"] > 0 for path in self.paths()), 40)

    def status_of_upload(self, content, path=0xFF):
        with self.cluster.to(self.cluster.storage) as storage:
            body = fastdfs.upload_body(content, "bin", path)
            reply = storage.request(fastdfs.UPLOAD, body)
            return reply.status, reply.body

    def visible(self):
        return set(workload.files_on(self.cluster.storage))

    def nothing_left_by(self, calls, error, status, size):
        """The first, second … such call of an upload fails, until one goes through: each time the
        answer is `status`, and no file appears."""
        tried = 0
        for skip in range(100):
            before = self.visible()
            self.shim.fail(calls, self.bad, error, skip=skip, times=1)
            got, body = self.status_of_upload(bytes(size), path=0)
            matched = self.shim.matched
            self.shim.heal()
            if got == 0:
                self.assertLessEqual(matched, skip + 1)
                self.assertEqual(len(self.visible() - before), 1)
                if matched <= skip:
                    return tried
            else:
                tried += 1
                self.assertEqual((got, body), (status, b""), f"call {skip}")
                self.assertEqual(self.visible(), before, f"call {skip} left something")
            self.wait_well()
        self.fail("an upload makes more than 100 such calls")

    def test_no_space_in_the_middle_of_an_upload(self):
        for size in (100, 200_000, 3_000_000):
            with self.subTest(size=size):
                calls = faults.WRITE | faults.CREATE | faults.LINK
                self.assertGreater(self.nothing_left_by(calls, errno.ENOSPC, 28, size), 0)

    def test_io_error_in_the_middle_of_an_upload(self):
        for size in (100, 3_000_000):
            with self.subTest(size=size):
                self.wait_well()
                # A retry inside the node on another path would be as good as an error.
                self.shim.fail(faults.WRITE, self.bad, errno.EIO)
                before = self.visible()
                got, _ = self.status_of_upload(bytes(size), path=0)
                self.assertIn(got, (0, 5))
                new = self.visible() - before
                if got == 5:
                    self.assertEqual(new, set())
                self.assertEqual(self.states(), ["read-only", "ok"])
                self.shim.heal()

    def test_others_carry_on_while_one_path_fails(self):
        old = self.cluster.upload(b"on the bad path", "txt", path=0)
        self.assertTrue(fastdfs.split_id(old)[1].startswith("M00/"))
        self.shim.fail(faults.WRITE | faults.CREATE | faults.SYNC, self.bad, errno.EIO)
        self.status_of_upload(b"meets the error", path=0)
        wait_until("the path is out", lambda: self.states()[0] == "read-only")
        for _ in range(50):
            # Also who asks for the bad path gets a place.
            status, body = self.status_of_upload(b"elsewhere", path=0)
            self.assertEqual(status, 0)
            self.assertTrue(fastdfs.read_id(body).split("/", 1)[1].startswith("M01/"))
        self.assertEqual(self.cluster.download(old), b"on the bad path")
        # It stays out as long as it fails.
        time.sleep(5)
        self.assertEqual(self.states(), ["read-only", "ok"])

    def test_a_disk_that_hangs(self):
        old = self.cluster.upload(b"on the other path", "txt", path=1)
        self.shim.fail(faults.WRITE | faults.CREATE | faults.STAT, self.bad, 0, delay_ms=25_000)
        stuck = threading.Thread(target=self.upload_that_may_fail)
        stuck.start()
        begin = time.monotonic()
        wait_until("the path is out", lambda: self.states()[0] != "ok", 25)
        for _ in range(20):
            status, body = self.status_of_upload(b"elsewhere", path=0)
            self.assertEqual(status, 0)
            self.assertTrue(fastdfs.read_id(body).split("/", 1)[1].startswith("M01/"))
        self.assertEqual(self.cluster.download(old), b"on the other path")
        node = self.cluster.storage
        self.assertEqual(http_get(node.addr, node.http, "/healthz").status, 200)
        self.assertLess(time.monotonic() - begin, 25)
        self.shim.heal()
        stuck.join(60)
        self.assertFalse(stuck.is_alive())

    def uploads_in(self, seconds, connections):
        """How many uploads so many connections get answered with success in that time."""
        end = time.monotonic() + seconds
        counts = [0] * connections

        def run(number):
            with self.cluster.to(self.cluster.storage) as storage:
                body = fastdfs.upload_body(workload.content_of(number, 4096), "bin")
                while time.monotonic() < end:
                    counts[number] += storage.request(fastdfs.UPLOAD, body).status == 0

        threads = [threading.Thread(target=run, args=(number,)) for number in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts)

    def test_uploads_that_wait_together_share_a_flush(self):
        """On a disk that takes 5 ms for a flush one connection is bound by it; many are not."""
        self.shim.fail(faults.SYNC, delay_ms=5, error=0)
        one, eight, many = (self.uploads_in(2, connections) for connections in (1, 8, 32))
        self.assertLessEqual(one, 2 / 0.005)
        self.assertGreater(eight, 2 * one, (one, eight, many))
        self.assertGreater(many, 1.5 * eight, (one, eight, many))
        # What is shared are the flushes: fewer of them than files.
        self.assertLess(self.shim.matched, one + eight + many)

    def upload_that_may_fail(self):
        with contextlib.suppress(OSError, fastdfs.ConnectionClosed):
            with clusters.Connection(self.cluster.storage.addr, self.cluster.storage.port,
                                     timeout=60) as storage:
                storage.request(fastdfs.UPLOAD, fastdfs.upload_body(b"stuck", "bin", 0))


class FullDisk(clusters.ClusterTest):
    """A store path on a small ext4 of its own."""

    shape = {"storages": 1, "paths": 2}
    SIZE = 96 << 20

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.mkdtemp(prefix="cairn-disk-")
        cls.addClassCleanup(os.rmdir, cls.folder)
        image = tempfile.NamedTemporaryFile(prefix="cairn-disk-")
        cls.addClassCleanup(image.close)
        image.truncate(cls.SIZE)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-N", "2048", image.name], check=True)
        mounted = subprocess.run(["mount", "-o", "loop", image.name, cls.folder],
                                 capture_output=True, text=True)
        if mounted.returncode != 0:
            raise unittest.SkipTest("this machine mounts no loop devices: " + mounted.stderr)
        cls.addClassCleanup(subprocess.run, ["umount", cls.folder], check=True)
        node = cls.cluster.storage
        # Not the last tearDown: the daemon must be gone before the disk is.
        cls.addClassCleanup(cls.cluster.down)
        cls.cluster.stop(node)
        cls.cluster.set_conf(node, store_path0=cls.folder, reserved_storage_space="8M")
        cls.cluster.start_node(node)
        cls.cluster.wait_active()

    def setUp(self):
        self.empty()

    def empty(self):
        """Deletes everything that is on the small disk."""
        for name in workload.files_on(self.small()):
            with self.cluster.to(self.cluster.storage) as storage:
                storage.request(fastdfs.DELETE, fastdfs.named("group1/" + name))

    def small(self):
        return self.cluster.storage._replace(store_paths=[self.folder])

    def upload(self, content, path=0):
        with self.cluster.to(self.cluster.storage) as storage:
            return storage.request(fastdfs.UPLOAD, fastdfs.upload_body(content, "bin", path))

    def free_share(self):
        info = os.statvfs(self.folder)
        return info.f_bavail / info.f_blocks, info.f_favail / info.f_files

    def fill(self, size):
        """Uploads to the small disk until it takes no more; the IDs."""
        stored = []
        for number in range(5000):
            reply = self.upload(workload.content_of(number, size))
            self.assertEqual(reply.status, 0)
            file_id = fastdfs.read_id(reply.body)
            if "/M01/" in file_id:
                return stored  # the other path takes over
            stored.append((file_id, number))
        self.fail("it never fills")

    def check(self, stored, size):
        for file_id, number in stored:
            self.assertEqual(self.cluster.download(file_id), workload.content_of(number, size))

    def test_bytes(self):
        stored = self.fill(1_000_000)
        self.assertGreater(len(stored), 40)
        # A tenth of a second of uploads may have come in between two looks at the free space.
        self.assertGreater(self.free_share()[0], 0.02, "the reserve is kept")
        self.check(stored, 1_000_000)
        self.empty()
        wait_until("room again",
                   lambda: "/M00/" in fastdfs.read_id(self.upload(bytes(100)).body), 10)

    def test_inodes(self):
        stored = self.fill(10)
        self.assertGreater(len(stored), 800)
        self.assertGreater(self.free_share()[1], 0.02, "a reserve of inodes is kept")
        self.check(stored, 10)

    def test_an_upload_that_does_not_fit(self):
        reply = self.upload(bytes(self.SIZE))
        self.assertEqual(reply.status, 0)
        self.assertIn("/M01/", fastdfs.read_id(reply.body))

    def test_the_disk_is_filled_by_somebody_else_during_an_upload(self):
        # The reserve is overrun from outside: the kernel's ENOSPC comes in the middle of a file.
        before = set(workload.files_on(self.small()))
        size = 30_000_000
        data = frame(fastdfs.UPLOAD, fastdfs.upload_body(bytes(size), "bin", 0))
        filler = os.path.join(self.folder, "filler")
        try:
            with self.cluster.to(self.cluster.storage) as storage:
                storage.send(data[:1_000_000])
                with open(filler, "wb") as file, contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(1 << 20))
                        file.flush()
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    storage.send(data[1_000_000:])
                with contextlib.suppress(fastdfs.ConnectionClosed):
                    self.assertEqual(storage.read_reply().status, 28)
            self.assertEqual(set(workload.files_on(self.small())), before)
            # A full disk is no broken one, and what it holds is still read.
            node = self.cluster.storage
            status = json.loads(http_get(node.addr, node.http, "/status").body)
            self.assertEqual([path["state"] for path in status["paths"]], ["ok", "ok"])
        finally:
            os.unlink(filler)
        wait_until("room again",
                   lambda: "/M00/" in fastdfs.read_id(self.upload(bytes(100)).body), 10)


class AllFull(clusters.ClusterTest):
    """No path has room: uploads are refused, reads and deletes go on."""

    shape = {"storages": 1}

    def test_uploads_are_refused_and_reads_go_on(self):
        file_id = self.cluster.upload(b"content", "txt")
        node = self.cluster.storage
        self.cluster.reconfigure(node, reserved_storage_space="100%")
        for command in (fastdfs.UPLOAD, fastdfs.UPLOAD_APPENDER):
            with self.cluster.to(self.cluster.storage) as storage:
                reply = storage.request(command, fastdfs.upload_body(b"x", "txt"))
                self.assertEqual(reply, (28, b""))
                large = storage.request(command, fastdfs.upload_body(bytes(500_000), "txt"))
                self.assertEqual(large, (28, b""))
        self.assertEqual(self.cluster.download(file_id), b"content")
        with self.cluster.to(self.cluster.storage) as storage:
            self.assertEqual(storage.request(fastdfs.DELETE, fastdfs.named(file_id)).status, 0)


if __name__ == "__main__":
    unittest.main()
