"""The network is cut: a network of its own, whose one interface goes down and up again. Nothing
hangs longer than it is down, nothing acknowledged is lost, and no remount is needed."""

import ctypes
import errno
import fcntl
import os
import socket
import struct
import threading
import time
import unittest

import mounts
import workload
from fastdfs import wait_until

CLONE_NEWNET = 0x40000000
LEASE = 15  # seconds a session lives without a sign of life, and what a mount may keep


SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def network(up):
    """By hand: a program would be a child, whose exec closes, and so flushes, our open files."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH22x", b"lo", 0)
        flags = struct.unpack("16sH22x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
        flags = flags | IFF_UP if up else flags & ~IFF_UP
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags))


def own_network():
    """A network that the processes started from now on share with nobody else."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise unittest.SkipTest("SKIPPED: no network namespace here: "
                                + os.strerror(ctypes.get_errno()))
    network(True)


class Network(mounts.MountTest):
    copies = 2

    @classmethod
    def setUpClass(cls):
        mounts.need_fuse()
        own_network()
        super().setUpClass()

    def write(self, path, content):
        with open(path, "wb") as file:
            file.write(content)

    def read(self, path):
        with open(path, "rb") as file:
            return file.read()

    def cut(self, seconds):
        network(False)
        try:
            time.sleep(seconds)
        finally:
            network(True)

    def test_a_short_cut_is_a_wait(self):
        files = self.mount()
        os.mkdir(files.path("short"))
        written, errors, stop = [], [], threading.Event()

        def writer():
            number = 0
            while not stop.is_set():
                try:
                    self.write(files.path("short", f"f{number}"),
                               workload.content_of(number, 20_000))
                    written.append(number)
                except OSError as error:
                    errors.append(error)
                number += 1

        thread = threading.Thread(target=writer, daemon=True)
        thread.start()
        wait_until("some files", lambda: len(written) > 5, 30)
        unstored = os.open(files.path("kept"), os.O_CREAT | os.O_RDWR)
        os.write(unstored, b"written before, stored after")
        self.cut(4)
        before = len(written)
        wait_until("writing goes on", lambda: len(written) > before + 5, 40)
        stop.set()
        thread.join(40)
        self.assertFalse(thread.is_alive())
        self.assertEqual(errors, [], "a hard mount waits")
        os.close(unstored)
        self.assertEqual(self.read(files.path("kept")), b"written before, stored after")
        for number in written:
            self.assertEqual(self.read(files.path("short", f"f{number}")),
                             workload.content_of(number, 20_000))

    def test_longer_than_the_lease(self):
        """What was not committed is lost and told; everything else goes on."""
        files = self.mount()
        self.write(files.path("stored"), b"stored")
        unstored = os.open(files.path("lost"), os.O_CREAT | os.O_RDWR)
        kept = os.open(files.path("stored"), os.O_RDWR)
        os.write(unstored, b"never stored")
        self.cut(LEASE + 10)
        wait_until("the mount again", lambda: os.path.exists(files.path("stored")), 30)
        self.addCleanup(os.close, unstored)
        with self.assertRaises(OSError, msg=files.messages()) as caught:
            os.fsync(unstored)
        self.assertEqual(caught.exception.errno, errno.EIO)
        self.assertEqual(os.pread(kept, 10, 0), b"stored")
        os.pwrite(kept, b"STORED", 0)
        os.close(kept)
        self.assertEqual(self.read(files.path("stored")), b"STORED")

    def test_soft_mounts_give_up_in_time(self):
        files = self.mount("soft,timeout=3")

        def writes(name):
            try:
                self.write(files.path(name), b"x")
                return True
            except OSError:
                return False
        wait_until("everybody has found each other again", lambda: writes("soft"), 60)
        network(False)
        try:
            began = time.monotonic()
            with self.assertRaises(OSError) as caught:
                os.mkdir(files.path("too-late"))
            self.assertEqual(caught.exception.errno, errno.EIO)
            self.assertLess(time.monotonic() - began, 10)
        finally:
            network(True)
        wait_until("the mount again", lambda: writes("after"), 60)
        self.assertEqual(self.read(files.path("soft")), b"x")


if __name__ == "__main__":
    unittest.main(verbosity=2)
