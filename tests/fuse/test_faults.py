"""The mount, a storage node and the tracker killed in the middle: nothing acknowledged is lost,
nothing hangs that can be told."""

import os
import signal
import subprocess
import threading
import time
import unittest

import mounts
import workload
from fastdfs import wait_until


class Writer(threading.Thread):
    """Writes files until stop(); `kept` are those whose close came back."""

    def __init__(self, directory):
        super().__init__(daemon=True)
        self.directory, self.kept, self.errors = directory, [], []
        self._stopping = threading.Event()

    def run(self):
        number = 0
        while not self._stopping.is_set():
            try:
                with open(os.path.join(self.directory, f"f{number}"), "wb") as file:
                    file.write(workload.content_of(number, 20_000))
                self.kept.append(number)
            except OSError as error:
                self.errors.append(error)
                time.sleep(0.05)
            number += 1

    def stop(self):
        self._stopping.set()
        self.join(120)
        return not self.is_alive()


class Faults(mounts.MountTest):
    copies = 2

    def check(self, directory, numbers):
        for number in numbers:
            with open(os.path.join(directory, f"f{number}"), "rb") as file:
                self.assertEqual(file.read(), workload.content_of(number, 20_000), number)

    def test_a_killed_mount_keeps_what_was_closed(self):
        files = self.mount()
        os.mkdir(files.path("killed"))
        writer = Writer(files.path("killed"))
        writer.start()
        wait_until("some files", lambda: len(writer.kept) > 20, 60)
        files.kill()
        self.assertTrue(writer.stop(), "a writer hangs although its mount is gone")
        files.up()
        self.check(files.path("killed"), writer.kept)

    def test_the_tracker_goes_and_comes_back(self):
        files = self.mount()
        os.mkdir(files.path("tracker"))
        writer = Writer(files.path("tracker"))
        writer.start()
        wait_until("some files", lambda: len(writer.kept) > 10, 60)
        self.cluster.kill(self.cluster.tracker)
        time.sleep(1)
        before = len(writer.kept)
        self.cluster.start_node(self.cluster.tracker)
        wait_until("writing goes on", lambda: len(writer.kept) > before + 10, 60)
        self.assertTrue(writer.stop())
        self.assertEqual(writer.errors, [], "a hard mount waits")
        self.check(files.directory + "/tracker", writer.kept)

    def test_what_hangs_is_logged_and_a_signal_ends_it(self):
        files = self.mount()
        self.cluster.kill(self.cluster.tracker)
        try:
            waiter = subprocess.Popen(["mkdir", files.path("hangs")], stderr=subprocess.DEVNULL)
            wait_until("a line about it", lambda: 'waits_for="the tracker"' in files.messages(), 20)
            self.assertIsNone(waiter.poll())
            waiter.send_signal(signal.SIGINT)
            self.assertNotEqual(waiter.wait(10), 0)
        finally:
            self.cluster.start_node(self.cluster.tracker)
        wait_until("the mount again", lambda: self.works(files.path("after")), 30)

    def test_a_storage_node_goes(self):
        files = self.mount()
        os.mkdir(files.path("storage"))
        writer = Writer(files.path("storage"))
        writer.start()
        wait_until("some files", lambda: len(writer.kept) > 5, 60)
        node = self.cluster.storages[0]
        self.cluster.kill(node)
        before = len(writer.kept)
        try:
            wait_until("writing goes on", lambda: len(writer.kept) > before + 3, 100)
            self.assertTrue(writer.stop())
            self.check(files.path("storage"), writer.kept)
        finally:
            self.cluster.start_node(node)
        self.assertEqual(writer.errors, [])

    def test_a_soft_mount_gives_up(self):
        files = self.mount("soft,timeout=2")
        with open(files.path("soft"), "wb") as file:
            file.write(b"x")
        self.cluster.kill(self.cluster.tracker)
        try:
            start = time.monotonic()
            with self.assertRaises(OSError):
                os.mkdir(files.path("too-late"))
            self.assertLess(time.monotonic() - start, 20)
        finally:
            self.cluster.start_node(self.cluster.tracker)
        wait_until("the mount again", lambda: self.works(files.path("after")), 30)

    @staticmethod
    def works(path):
        try:
            os.makedirs(path, exist_ok=True)
            return True
        except OSError:
            return False


if __name__ == "__main__":
    unittest.main(verbosity=2)
