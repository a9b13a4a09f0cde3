"""The worker of a mount is killed: another one takes the mount over. Nobody hangs, handles and locks
go on, what was not stored is told as lost exactly once, and what was acknowledged is there."""

import errno
import fcntl
import os
import signal
import threading
import time
import unittest

import mounts
import workload
from fastdfs import wait_until

CALLS = 64


class Calls:
    """Many calls at a time, each on a thread; says how each ended."""

    def __init__(self, calls):
        self.ends = {}
        self._threads = [threading.Thread(target=self._run, args=(name, call), daemon=True)
                         for name, call in calls.items()]
        for thread in self._threads:
            thread.start()

    def _run(self, name, call):
        try:
            call()
            self.ends[name] = 0
        except OSError as error:
            self.ends[name] = error.errno

    def under_way(self):
        return len(self._threads) - len(self.ends)

    def wait(self, seconds):
        """Names of those that have not ended by then."""
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0, end - time.monotonic()))
        return [thread.name for thread in self._threads if thread.is_alive()]


def statistic(files, name):
    text = os.getxattr(files.directory, "user.cairn.stats").decode()
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


class Supervised(mounts.MountTest):
    copies = 2

    def pause(self, signal_number):
        os.kill(self.cluster.tracker.pid, signal_number)

    def write(self, path, content):
        with open(path, "wb") as file:
            file.write(content)

    def read(self, path):
        with open(path, "rb") as file:
            return file.read()

    def wait_other_worker(self, files, than):
        wait_until("another worker", lambda: files.worker() not in (None, than), 5)

    def test_64_operations_in_flight(self):
        """With a tracker that stands still they are all under way when the worker dies."""
        files = self.mount()
        for number in range(CALLS):
            self.write(files.path(f"old{number}"), b"as it was")
        kinds = [
            lambda n: (lambda: os.mkdir(files.path(f"made{n}"))),
            lambda n: (lambda: self.write(files.path(f"new{n}"), b"new")),
            lambda n: (lambda: os.unlink(files.path(f"old{n}"))),
            lambda n: (lambda: os.rename(files.path(f"old{n}"), files.path(f"renamed{n}"))),
            lambda n: (lambda: self.read(files.path(f"old{n}"))),
            lambda n: (lambda: os.stat(files.path(f"nothing{n}"))),
            lambda n: (lambda: os.chmod(files.path(f"old{n}"), 0o600)),
            lambda n: (lambda: os.getxattr(files.path(f"old{n}"), "user.none")),
        ]
        calls = {(n % len(kinds), n): kinds[n % len(kinds)](n) for n in range(CALLS)}
        self.pause(signal.SIGSTOP)
        try:
            running = Calls(calls)
            time.sleep(0.5)
            self.assertEqual(running.under_way(), CALLS)
            killed = files.kill_worker()
            self.wait_other_worker(files, killed)
        finally:
            self.pause(signal.SIGCONT)
        began = time.monotonic()
        os.listdir(files.directory)
        self.assertLess(time.monotonic() - began, 2, "the mount answers again")
        self.assertEqual(running.wait(10), [])
        told = {kind: {end for (of, _), end in running.ends.items() if of == kind}
                for kind in range(len(kinds))}
        # What the kernel had asked for is told as failed, or asked again; what it had not yet asked
        # for (a name is looked up first) goes its way.
        for kind in (0, 1, 2, 3):
            self.assertLessEqual(told[kind], {0, errno.EIO}, kind)
        self.assertEqual(told[4], {0})
        self.assertEqual(told[5], {errno.ENOENT})
        self.assertEqual(told[6], {0})
        self.assertEqual(told[7], {errno.ENODATA})
        # The kernel believes nothing that is not so: both ways to look agree.
        names = set(os.listdir(files.directory))
        for name in [f"{kind}{n}" for n in range(CALLS) for kind in ("made", "old", "renamed")]:
            self.assertEqual(os.path.lexists(files.path(name)), name in names, name)
        self.assertEqual(statistic(files, "cairn_mount_workers_total"), 2)

    def test_changes_in_flight_are_told_as_failed(self):
        """Names that are known: the kernel asks for the change itself at once."""
        files = self.mount()
        os.mkdir(files.path("flight"))
        for number in range(CALLS):
            self.write(files.path("flight", f"f{number}"), b"x")
        for name in [""] + [f"f{number}" for number in range(CALLS)]:
            os.stat(files.path("flight", name))
        self.pause(signal.SIGSTOP)
        try:
            running = Calls({n: (lambda n=n: os.chmod(files.path("flight", f"f{n}"), 0o640)
                                 if n % 2 else os.unlink(files.path("flight", f"f{n}")))
                             for n in range(CALLS)})
            time.sleep(0.5)
            killed = files.kill_worker()
            wait_until("failures, whatever the tracker does",
                       lambda: errno.EIO in running.ends.values(), 5)
            self.wait_other_worker(files, killed)
        finally:
            self.pause(signal.SIGCONT)
        self.assertEqual(running.wait(10), [])
        self.assertLessEqual({running.ends[n] for n in range(0, CALLS, 2)}, {0, errno.EIO})
        self.assertEqual({running.ends[n] for n in range(1, CALLS, 2)}, {0})

    def test_open_files_go_on(self):
        files = self.mount()
        content = workload.content_of(1, 300_000)
        self.write(files.path("kept"), content)
        self.write(files.path("removed"), content)
        kept = os.open(files.path("kept"), os.O_RDWR)
        removed = os.open(files.path("removed"), os.O_RDONLY)
        os.unlink(files.path("removed"))
        listing = os.scandir(files.directory)
        first = next(listing).name
        self.wait_other_worker(files, files.kill_worker())
        self.assertEqual(os.pread(kept, len(content), 0), content)
        self.assertEqual(os.pread(removed, len(content), 0), content)
        self.assertIn("kept", {first} | {entry.name for entry in listing})
        os.pwrite(kept, b"after", 0)
        os.fsync(kept)
        self.assertEqual(self.read(files.path("kept"))[:5], b"after")
        os.close(kept)
        os.close(removed)
        wait_until("no open file is left behind",
                   lambda: statistic(files, "cairn_mount_open_files") == 0, 5)

    def test_lost_writes_are_told_once(self):
        files = self.mount()
        for how in ("fsync", "close"):
            path = files.path("lost-" + how)
            self.write(path, b"stored")
            file = os.open(path, os.O_RDWR)
            clean = os.open(files.path("clean-" + how), os.O_RDWR | os.O_CREAT)
            os.pwrite(file, b"never stored", 0)
            self.wait_other_worker(files, files.kill_worker())
            if how == "fsync":
                with self.assertRaises(OSError) as caught:
                    os.fsync(file)
                os.fsync(file)
                os.close(file)
            else:
                with self.assertRaises(OSError) as caught:
                    os.close(file)
            self.assertEqual(caught.exception.errno, errno.EIO)
            os.close(clean)
            self.assertEqual(self.read(path), b"stored", "the kernel's pages are dropped too")
            self.write(path, b"written again")
            self.assertEqual(self.read(path), b"written again")

    def test_locks_hold(self):
        mine, other = self.mount(), self.mount()
        path = mine.path("locked")
        self.write(path, b"x")
        held = os.open(path, os.O_RDWR)
        fcntl.lockf(held, fcntl.LOCK_EX)
        self.wait_other_worker(mine, mine.kill_worker())
        rival = os.open(other.path("locked"), os.O_RDWR)
        with self.assertRaises(OSError):
            fcntl.lockf(rival, fcntl.LOCK_EX | fcntl.LOCK_NB)
        waiting = Calls({"lock": lambda: fcntl.lockf(rival, fcntl.LOCK_EX)})
        time.sleep(0.3)
        self.assertEqual(waiting.under_way(), 1)
        # Who waits goes on waiting, through the death of its own worker too.
        self.wait_other_worker(other, other.kill_worker())
        time.sleep(0.5)
        self.assertEqual(waiting.under_way(), 1)
        os.close(held)  # which gives the lock back
        self.assertEqual(waiting.wait(10), [])
        self.assertEqual(waiting.ends, {"lock": 0})
        os.close(rival)

    def test_changes_elsewhere_are_seen_after_it(self):
        """What the kernel keeps of before is still watched."""
        mine, other = self.mount(), self.mount()
        os.mkdir(mine.path("seen"))
        self.write(mine.path("seen", "file"), b"one")
        self.assertEqual(os.stat(mine.path("seen", "file")).st_size, 3)
        self.assertFalse(os.path.exists(mine.path("seen", "later")))
        killed = mine.kill_worker()
        self.write(other.path("seen", "file"), b"longer")
        self.write(other.path("seen", "later"), b"")
        self.wait_other_worker(mine, killed)
        wait_until("the other's changes", lambda: os.path.exists(mine.path("seen", "later")), 2)
        wait_until("its size", lambda: os.stat(mine.path("seen", "file")).st_size == 6, 2)

    def test_killed_again_and_again_under_load(self):
        files = self.mount()
        os.mkdir(files.path("load"))
        kept, failed, stop = [], [], threading.Event()

        def writer(of):
            number = 0
            while not stop.is_set():
                name = f"w{of}-{number}"
                try:
                    self.write(files.path("load", name), workload.content_of(number, 20_000))
                    kept.append((name, number))
                except OSError as error:
                    failed.append(error.errno)
                number += 1

        threads = [threading.Thread(target=writer, args=(of,), daemon=True) for of in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(6 if workload.FULL else 3):
            before = len(kept)
            wait_until("writing goes on", lambda: len(kept) > before + 8, 30)
            killed = files.kill_worker()
            self.wait_other_worker(files, killed)
        stop.set()
        for thread in threads:
            thread.join(30)
            self.assertFalse(thread.is_alive(), "a writer hangs")
        self.assertLessEqual(set(failed), {errno.EIO})
        for name, number in kept:
            self.assertEqual(self.read(files.path("load", name)),
                             workload.content_of(number, 20_000), name)

    def test_the_supervisor_dies(self):
        """The worker goes on; nobody takes over from it."""
        files = self.mount()
        worker = files.worker()
        files.process.kill()
        files.process.wait()
        self.write(files.path("alone"), b"x")
        self.assertEqual(self.read(files.path("alone")), b"x")
        os.kill(worker, signal.SIGTERM)
        wait_until("the end of the worker", lambda: not os.path.exists(f"/proc/{worker}"), 10)

    def test_who_stops_it_stops_the_worker(self):
        files = self.mount()
        stopped = lambda: self.state(files.worker()) == "T"
        files.process.send_signal(signal.SIGSTOP)
        try:
            wait_until("the worker stops too", stopped, 5)
        finally:
            files.process.send_signal(signal.SIGCONT)
        wait_until("both go on", lambda: not stopped(), 5)
        self.write(files.path("thawed"), b"x")

    @staticmethod
    def state(pid):
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0]

    def test_the_end_is_the_end(self):
        files = self.mount()
        self.write(files.path("last"), b"x")
        self.wait_other_worker(files, files.kill_worker())
        self.assertTrue(os.path.exists(files.path("last")))
        files.process.terminate()
        self.assertEqual(files.process.wait(20), 0)
        self.assertFalse(mounts.is_mounted(files.directory))
        files.up()
        self.wait_other_worker(files, files.kill_worker())
        self.assertTrue(os.path.exists(files.path("last")))
        files.down()
        self.assertEqual(files.process.returncode, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
