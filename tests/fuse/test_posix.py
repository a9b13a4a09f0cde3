"""What programs expect of a directory, on one mount."""

import errno
import fcntl
import json
import mmap
import os
import socket
import stat
import subprocess
import threading
import time
import unittest

import cluster as clusters
import mounts
from fastdfs import wait_until


class Posix(mounts.MountTest):
    def setUp(self):
        self.files = self.mount()
        self.here = self.files.path(self._testMethodName)
        os.mkdir(self.here)

    def at(self, *names):
        return os.path.join(self.here, *names)

    def put(self, name, content=b"content"):
        with open(self.at(name), "wb") as file:
            file.write(content)
        return self.at(name)

    def get(self, name):
        with open(self.at(name), "rb") as file:
            return file.read()

    def assert_errno(self, number, call, *args, **named):
        with self.assertRaises(OSError) as caught:
            call(*args, **named)
        self.assertEqual(errno.errorcode[caught.exception.errno], errno.errorcode[number])

    def test_what_is_written_is_read_and_listed(self):
        for size in (0, 1, 4095, 4096, 100_000, 9_000_000):
            content = os.urandom(size)
            path = self.put(f"f{size}", content)
            self.assertEqual(os.stat(path).st_size, size)
            self.assertEqual(self.get(f"f{size}"), content)
        self.assertEqual(len(os.listdir(self.here)), 6)
        # And at a node that the kernel here knows nothing of.
        shown = clusters.run_cairn("--conf", self.cluster.client_conf, "stat",
                                   f"/files/{self._testMethodName}/f9000000").stdout
        self.assertIn("9000000", shown)

    def test_files_survive_a_new_mount(self):
        self.put("kept", b"x" * 70_000)
        os.symlink("kept", self.at("link"))
        before = os.stat(self.at("kept"))
        self.files.down()
        self.files.up()
        after = os.stat(self.at("link"))
        self.assertEqual((before.st_ino, before.st_mtime_ns, before.st_ctime_ns),
                         (after.st_ino, after.st_mtime_ns, after.st_ctime_ns))
        self.assertEqual(self.get("link"), b"x" * 70_000)

    def test_rename_replaces_swaps_and_refuses(self):
        self.put("a", b"1")
        self.put("b", b"2")
        os.rename(self.at("a"), self.at("b"))
        self.assertEqual(os.listdir(self.here), ["b"])
        self.assertEqual(self.get("b"), b"1")
        os.mkdir(self.at("full"))
        self.put("full/x")
        os.mkdir(self.at("dir"))
        self.assert_errno(errno.ENOTEMPTY, os.rename, self.at("dir"), self.at("full"))
        self.assert_errno(errno.EISDIR, os.rename, self.at("b"), self.at("dir"))
        self.assert_errno(errno.EINVAL, os.rename, self.at("full"), self.at("full/below"))
        os.rename(self.at("full"), self.at("dir"))
        self.assertEqual(os.listdir(self.at("dir")), ["x"])

    def test_an_unlinked_file_lives_while_it_is_open(self):
        path = self.put("gone", b"still here")
        with open(path, "r+b") as file:
            os.unlink(path)
            self.assertEqual(os.fstat(file.fileno()).st_nlink, 0)
            self.assertEqual(file.read(), b"still here")
            file.write(b", and longer")
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            self.assertEqual(file.read(), b"still here, and longer")
        self.assertFalse(os.path.exists(path))
        os.rmdir(self.here)
        os.mkdir(self.here)

    def test_the_last_close_ends_a_file_without_a_name(self):
        """The tracker is told of closes, though nobody waits for that."""
        def used():
            told = clusters.run_cairn("--conf", self.cluster.client_conf, "--json", "export", "ls",
                                      "files").stdout
            return json.loads(told)[0]["used_inodes"]

        before = used()
        for turn in range(3):
            opened = []
            for number in range(20):
                path = self.put(f"{turn}-{number}")
                opened += [open(path, "rb"), open(path, "rb")]
                os.unlink(path)
            self.assertEqual(used(), before + 20)
            for file in opened[::2]:
                file.close()
            self.assertEqual(used(), before + 20)
            for file in opened[1::2]:
                file.close()
            wait_until("they are gone", lambda: used() == before, 5)

    def test_append_truncate_and_holes(self):
        path = self.put("f", b"0123456789")
        with open(path, "ab") as file:
            file.write(b"abc")
        self.assertEqual(self.get("f"), b"0123456789abc")
        os.truncate(path, 5)
        os.truncate(path, 8)
        self.assertEqual(self.get("f"), b"01234\0\0\0")
        with open(path, "r+b") as file:
            file.seek(1 << 20)
            file.write(b"end")
            file.flush()
            os.fsync(file.fileno())
            self.assertEqual(os.lseek(file.fileno(), 8, os.SEEK_DATA), 1 << 20)
            self.assertLess(os.fstat(file.fileno()).st_blocks * 512, 1 << 20)
        self.assertEqual(self.get("f"), b"01234\0\0\0" + bytes((1 << 20) - 8) + b"end")
        with open(path, "wb"):
            pass
        self.assertEqual(os.stat(path).st_size, 0)

    def test_allocate_and_copy_ranges(self):
        path = self.put("f", b"x" * 100_000)
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, 200_000)
            self.assertEqual(os.fstat(file.fileno()).st_size, 200_000)
            subprocess.run(["fallocate", "-p", "-o", "4096", "-l", "8192", path], check=True)
            expected = b"x" * 4096 + bytes(8192) + b"x" * (100_000 - 12_288) + bytes(100_000)
            self.assertEqual(self.get("f"), expected)
            with open(self.at("copy"), "w+b") as to:
                left = 200_000
                while left:
                    left -= os.copy_file_range(file.fileno(), to.fileno(), left)
        self.assertEqual(self.get("copy"), expected)

    def test_mappings_are_read_and_written(self):
        path = self.put("f", b"a" * 10_000)
        with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
            self.assertEqual(mapped[9_999], ord("a"))
            mapped[5_000:5_003] = b"bcd"
            mapped.flush()
        self.assertEqual(self.get("f"), b"a" * 5_000 + b"bcd" + b"a" * 4_997)

    def test_links(self):
        path = self.put("one")
        os.link(path, self.at("two"))
        self.assertEqual(os.stat(path).st_nlink, 2)
        self.assertTrue(os.path.samefile(path, self.at("two")))
        with open(self.at("two"), "wb") as file:
            file.write(b"changed")
        self.assertEqual(self.get("one"), b"changed")
        os.unlink(path)
        self.assertEqual(os.stat(self.at("two")).st_nlink, 1)
        os.symlink("nowhere/" + "x" * 1000, self.at("dangling"))
        self.assertEqual(os.readlink(self.at("dangling")), "nowhere/" + "x" * 1000)
        self.assert_errno(errno.ENOENT, os.stat, self.at("dangling"))

    def test_odd_names(self):
        names = [b"a b", b"-x", b"\xff\xfe", "Ünï".encode(), b"new\nline", b"x" * 255, b"%2f", b"..."]
        here = os.fsencode(self.here)
        for name in names:
            with open(os.path.join(here, name), "wb") as file:
                file.write(name)
        self.assertEqual(sorted(os.listdir(here)), sorted(names))
        for name in names:
            with open(os.path.join(here, name), "rb") as file:
                self.assertEqual(file.read(), name)
        self.assert_errno(errno.ENAMETOOLONG, open, os.path.join(here, b"y" * 256), "wb")

    def test_extended_attributes(self):
        path = self.put("f")
        os.setxattr(path, "user.one", b"1")
        os.setxattr(path, "user.two", bytes(range(256)))
        self.assertEqual(sorted(os.listxattr(path)), ["user.one", "user.two"])
        self.assertEqual(os.getxattr(path, "user.two"), bytes(range(256)))
        self.assert_errno(errno.EEXIST, os.setxattr, path, "user.one", b"", os.XATTR_CREATE)
        self.assert_errno(errno.ENODATA, os.setxattr, path, "user.no", b"", os.XATTR_REPLACE)
        os.removexattr(path, "user.one")
        self.assert_errno(errno.ENODATA, os.getxattr, path, "user.one")

    def test_modes_times_and_special_files(self):
        path = self.put("f")
        os.chmod(path, 0o4750)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o4750)
        os.utime(path, ns=(-5_000_000_001, 4_000_000_000_123_456_789))
        seen = os.stat(path)
        self.assertEqual((seen.st_atime_ns, seen.st_mtime_ns),
                         (-5_000_000_001, 4_000_000_000_123_456_789))
        os.mkfifo(self.at("fifo"))
        self.assertTrue(stat.S_ISFIFO(os.stat(self.at("fifo")).st_mode))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.at("socket"))
        self.assertTrue(stat.S_ISSOCK(os.stat(self.at("socket")).st_mode))
        if os.geteuid() == 0:
            os.mknod(self.at("null"), 0o666 | stat.S_IFCHR, os.makedev(1, 3))
            self.assertEqual(os.stat(self.at("null")).st_rdev, os.makedev(1, 3))

    def test_a_time_that_was_set_stays_after_close(self):
        with open(self.at("f"), "wb") as file:
            file.write(b"x" * 5_000)
            file.flush()
            os.utime(file.fileno(), ns=(10**18, 10**18))
        self.assertEqual(os.stat(self.at("f")).st_mtime_ns, 10**18)

    def test_a_long_listing_while_it_changes(self):
        for number in range(1_500):
            os.close(os.open(self.at(f"n{number}"), os.O_CREAT | os.O_EXCL))
        seen = []
        with os.scandir(self.here) as listing:
            for entry in listing:
                seen.append(entry.name)
                if entry.name.endswith("7"):
                    os.unlink(entry.path)
        self.assertEqual(sorted(seen), sorted(f"n{number}" for number in range(1_500)))
        self.assertEqual(len(os.listdir(self.here)), 1_350)

    def test_a_waiting_lock_is_granted_and_can_be_interrupted(self):
        path = self.put("f")
        held = open(path, "r+b")
        fcntl.flock(held, fcntl.LOCK_EX)
        with open(path, "r+b") as other:
            self.assert_errno(errno.EAGAIN, fcntl.flock, other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            waiter = subprocess.Popen(["flock", path, "true"])
            time.sleep(0.5)
            self.assertIsNone(waiter.poll())
            waiter.terminate()
            self.assertNotEqual(waiter.wait(5), 0)
            threading.Timer(0.3, held.close).start()
            fcntl.flock(other, fcntl.LOCK_EX)

    def test_space_is_told(self):
        space = os.statvfs(self.here)
        self.assertGreater(space.f_blocks, 0)
        self.assertGreaterEqual(space.f_blocks, space.f_bfree)
        self.assertEqual(space.f_namemax, 255)

    def test_what_it_did_is_told(self):
        self.put("f", b"x" * 5_000)
        told = os.getxattr(self.files.directory, "user.cairn.stats").decode()
        seen = dict(line.rsplit(" ", 1) for line in told.splitlines() if not line.startswith("#"))
        self.assertEqual(seen["cairn_mount_connected"], "1")
        self.assertGreaterEqual(int(seen["cairn_mount_stored_bytes_total"]), 5_000)
        self.assertGreaterEqual(int(seen['cairn_mount_operations_total{op="create"}']), 1)
        self.assertEqual(seen["cairn_mount_unstored_bytes"], "0")
        self.assertEqual(os.listxattr(self.files.directory), [])

    def test_the_cli_tells_it_too(self):
        self.put("f", b"x" * 5_000)
        directory = self.files.directory
        self.assertIn("cairn_mount_connected 1\n",
                      clusters.run_cairn("mount", "stats", directory).stdout)
        told = json.loads(clusters.run_cairn("--json", "mount", "stats", directory).stdout)
        self.assertGreaterEqual(told["cairn_mount_stored_bytes_total"], 5_000)
        self.assertGreaterEqual(told["cairn_mount_operations_total"]["create"], 1)
        elsewhere = clusters.run_cairn("mount", "stats", "/proc", check=False)
        self.assertEqual(elsewhere.returncode, 3, elsewhere.stderr)


class Ways(mounts.MountTest):
    """Other ways to mount."""

    def test_a_directory_of_an_export_read_only(self):
        whole = self.mount()
        os.makedirs(whole.path("a/b"))
        with open(whole.path("a/b/f"), "w", encoding="utf-8") as file:
            file.write("x")
        part = self.mount("ro", "a/b")
        self.assertEqual(os.listdir(part.directory), ["f"])
        with self.assertRaises(OSError) as caught:
            open(part.path("g"), "wb").close()
        self.assertEqual(caught.exception.errno, errno.EROFS)
        self.assertEqual(os.stat(part.directory).st_ino, os.stat(whole.path("a/b")).st_ino)

    def test_the_background_answers_when_the_mount_does(self):
        made = mounts.Mount(self.cluster, "files")
        self.addCleanup(os.rmdir, made.directory)
        self.addCleanup(made.down)
        clusters.run_cairn("-o", f"conf={self.cluster.client_conf},_netdev,nofail,x-test=1",
                           made.source, made.directory, program="mount.cairn", timeout=60)
        self.assertTrue(mounts.is_mounted(made.directory))
        os.mkdir(made.path("from-the-background"))

    def test_mistakes_are_told_and_nothing_is_mounted(self):
        for arguments, code in (
            (["-o", f"conf={self.cluster.client_conf}", ":/nothing", "/tmp"], 3),
            (["-o", f"conf={self.cluster.client_conf},nonsense", ":/files", "/tmp"], 1),
            (["-o", f"conf={self.cluster.client_conf}", ":/files", "/nonexistent"], 3),
            (["-o", "timeout=1", "127.0.0.1:1:/files", "/tmp"], 6),
        ):
            with self.subTest(arguments=arguments):
                done = clusters.run_cairn(*arguments, program="cairn-mount", check=False, timeout=60)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertTrue(done.stderr.startswith("cairn-mount: "), done.stderr)
                self.assertFalse(mounts.is_mounted("/tmp"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
