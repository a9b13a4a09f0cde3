"""Two mounts of one export: what one does the other finds."""

import fcntl
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import unittest

import mounts
import workload
from fastdfs import wait_until

# Run by two processes, one a mount: read, add one, write, under a lock.
COUNTER = """
import fcntl, sys
for _ in range(int(sys.argv[2])):
    with open(sys.argv[1], "r+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        number = int(file.read() or 0)
        file.seek(0)
        file.write(str(number + 1))
        file.flush()
        fcntl.lockf(file, fcntl.LOCK_UN)
"""


class TwoMounts(mounts.MountTest):
    def setUp(self):
        self.one = self.mount()
        self.two = self.mount()

    def test_open_after_close_is_exact(self):
        for turn in range(40):
            content = f"{turn} ".encode() * (turn * 50 + 1)
            writer, reader = (self.one, self.two) if turn % 2 else (self.two, self.one)
            with open(writer.path("shared"), "wb") as file:
                file.write(content)
            with open(reader.path("shared"), "rb") as file:
                self.assertEqual(file.read(), content)

    def test_what_is_fetched_before_the_open_is_of_that_open(self):
        """A listing tells where a small file lies, and it is changed before it is opened."""
        os.mkdir(self.one.path("listed"))
        for turn in range(30):
            content = f"{turn:04} ".encode() * 900
            for text in (b"old" + content, b"new" + content):
                with open(self.one.path("listed", "file"), "wb") as file:
                    file.write(text)
                if text.startswith(b"old"):
                    self.assertEqual([entry.stat().st_size for entry in
                                      os.scandir(self.two.path("listed"))], [len(text)])
            with open(self.two.path("listed", "file"), "rb") as file:
                self.assertEqual(file.read(), b"new" + content)
            with open(self.two.path("listed", "file"), "rb") as file:
                self.assertEqual(os.pread(file.fileno(), 100, 1000), content[997:1097])

    def test_changes_are_pushed(self):
        def soon(what, look):
            wait_until(what, look, 2)

        there = self.two.path("pushed")
        self.assertFalse(os.path.exists(there))
        with open(self.one.path("pushed"), "wb") as file:
            file.write(b"12345")
        soon("the new name", lambda: os.path.exists(there))
        soon("its size", lambda: os.stat(there).st_size == 5)
        os.chmod(self.one.path("pushed"), 0o600)
        soon("its mode", lambda: os.stat(there).st_mode & 0o777 == 0o600)
        with open(self.one.path("pushed"), "ab") as file:
            file.write(b"678")
        soon("the longer size", lambda: os.stat(there).st_size == 8)
        with open(self.one.path("other"), "wb") as file:
            file.write(b"other")
        os.rename(self.one.path("other"), self.one.path("pushed"))
        soon("the replaced file", lambda: os.stat(there).st_size == 5)
        os.unlink(self.one.path("pushed"))
        soon("its end", lambda: not os.path.exists(there))
        self.assertNotIn("pushed", os.listdir(self.two.directory))

    def answered_here(self, mount):
        text = os.getxattr(mount.directory, "user.cairn.stats").decode()
        return int(re.search(r"^cairn_mount_answered_here_total (\d+)$", text, re.M).group(1))

    def test_what_one_has_made_the_other_changes(self):
        """Of a directory that it has made a mount knows which names are not in it, and how it is
        after each change: until others change it."""
        one, two = self.one.path("made"), self.two.path("made")
        os.mkdir(one)
        before = self.answered_here(self.one)
        for number in range(20):
            self.assertFalse(os.path.exists(f"{one}/never{number}"))
            with open(f"{one}/own{number}", "x", encoding="ascii"):
                pass
            os.mkdir(f"{one}/{number}")
            self.assertEqual(os.stat(one).st_nlink, 3 + number)
        self.assertGreaterEqual(self.answered_here(self.one) - before, 80)
        for number in range(20):
            with open(f"{two}/theirs{number}", "x", encoding="ascii") as file:
                file.write(str(number))
            if number % 2:
                with self.assertRaises(FileExistsError):
                    os.close(os.open(f"{one}/theirs{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                with self.assertRaises(FileExistsError):
                    os.mkdir(f"{one}/theirs{number}")
            else:
                with open(os.open(f"{one}/theirs{number}", os.O_CREAT | os.O_RDWR),
                          encoding="ascii") as file:
                    self.assertEqual(file.read(), str(number))
        os.mkdir(f"{two}/theirs")
        wait_until("the other's directory", lambda: os.stat(one).st_nlink == 23, 2)
        wait_until("its name", lambda: os.path.exists(f"{one}/theirs"), 2)
        os.chmod(two, 0o700)
        wait_until("the other's mode", lambda: os.stat(one).st_mode & 0o777 == 0o700, 2)
        os.rename(f"{two}/theirs", f"{two}/0/moved")
        wait_until("the other's rename", lambda: os.path.exists(f"{one}/0/moved"), 2)
        self.assertFalse(os.path.exists(f"{one}/theirs"))
        os.rename(f"{one}/0", self.one.path("away"))
        self.assertEqual(os.stat(one).st_nlink, 21)
        self.assertEqual(sorted(os.listdir(one)), sorted(os.listdir(two)))

    def test_what_another_has_closed_is_opened_at_once(self):
        """Also by a name that the mount, which has made the directory, knows not to be in it."""
        one, two = self.one.path("at once"), self.two.path("at once")
        os.mkdir(one)
        for number in range(500):
            if number % 3 == 0:
                self.assertFalse(os.path.exists(f"{one}/other{number}"))
            with open(f"{two}/{number}", "x", encoding="ascii") as file:
                file.write(str(number))
            with open(f"{one}/{number}", encoding="ascii") as file:
                self.assertEqual(file.read(), str(number))

    def test_two_storm_in_what_each_has_made(self):
        """Random changes of both in directories of both: the tracker lets each happen once, and in
        the end both see the same."""
        seed = random.randrange(1 << 32)
        with self.subTest(seed=seed):
            for mount, name in ((self.one, "a"), (self.two, "b")):
                os.mkdir(mount.path(name))
            names = [f"{directory}/{number}" for directory in "ab" for number in range(6)]
            results = {}

            def storm(mount, mark):
                choice = random.Random(f"{seed} {mark}")
                made = removed = 0
                for _ in range(400):
                    path = mount.path(choice.choice(names))
                    try:
                        kind = choice.randrange(4)
                        if kind == 0:
                            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                            made += 1
                        elif kind == 1:
                            os.unlink(path)
                            removed += 1
                        elif kind == 2:
                            os.link(path, mount.path(choice.choice(names)))
                            made += 1
                        else:
                            os.stat(path)
                    except (FileExistsError, FileNotFoundError):
                        pass
                results[mark] = made - removed

            threads = [threading.Thread(target=storm, args=pair)
                       for pair in ((self.one, "one"), (self.two, "two"))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

            def there(mount):
                return [name for name in names if os.path.exists(mount.path(name))]

            listed = [f"{name}/{entry}" for name in "ab"
                      for entry in sorted(os.listdir(self.one.path(name)), key=int)]
            self.assertEqual(len(listed), sum(results.values()))
            wait_until("what one has", lambda: there(self.one) == listed, 2)
            wait_until("what two has", lambda: there(self.two) == listed, 2)
            for mount in (self.one, self.two):
                for name in names:
                    if name not in listed:
                        with open(mount.path(name), "x", encoding="ascii"):
                            pass
                        os.unlink(mount.path(name))

    def test_without_a_cache_everything_is_asked(self):
        mount = self.mount("cache=0")
        os.mkdir(mount.path("asked"))
        for number in range(5):
            with open(mount.path("asked", str(number)), "x", encoding="ascii"):
                pass
        self.assertEqual(self.answered_here(mount), 0)

    def test_an_open_file_shows_what_the_other_wrote(self):
        with open(self.one.path("open"), "wb") as file:
            file.write(b"first")
        with open(self.two.path("open"), "rb", buffering=0) as reader:
            self.assertEqual(reader.read(), b"first")
            with open(self.one.path("open"), "wb") as file:
                file.write(b"later")
            wait_until("the new content", lambda: os.pread(reader.fileno(), 9, 0) == b"later", 2)
            os.unlink(self.one.path("open"))
            self.assertEqual(os.pread(reader.fileno(), 9, 0), b"later")

    def test_appends_of_both_are_all_there(self):
        def append(mount, mark):
            for number in range(60):
                with open(mount.path("log"), "ab") as file:
                    file.write(f"{mark}{number:04}\n".encode())

        threads = [threading.Thread(target=append, args=pair)
                   for pair in ((self.one, "a"), (self.two, "b"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with open(self.one.path("log"), "rb") as file:
            lines = file.read().splitlines()
        expected = [f"{mark}{number:04}".encode() for mark in "ab" for number in range(60)]
        self.assertEqual(sorted(lines), sorted(expected))
        with open(self.two.path("log"), "rb") as file:
            self.assertEqual(file.read().splitlines(), lines)

    def test_a_counter_under_a_lock_loses_nothing(self):
        with open(self.one.path("counter"), "w", encoding="ascii") as file:
            file.write("0")
        rounds = 50
        running = [subprocess.Popen([sys.executable, "-c", COUNTER, mount.path("counter"), str(rounds)])
                   for mount in (self.one, self.two)]
        for process in running:
            self.assertEqual(process.wait(120), 0)
        with open(self.two.path("counter"), encoding="ascii") as file:
            self.assertEqual(file.read(), str(2 * rounds))

    def test_locks_exclude_and_go_with_their_mount(self):
        for mount in (self.one, self.two):
            with open(mount.path("lock"), "ab"):
                pass
        with open(self.two.path("lock"), "r+b") as other:
            with open(self.one.path("lock"), "r+b") as held:
                fcntl.flock(held, fcntl.LOCK_EX)
                with self.assertRaises(BlockingIOError):
                    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(other, fcntl.LOCK_EX)

    @unittest.skipUnless(workload.FULL, "waits for the end of a lease: CAIRN_TEST_FULL=1")
    def test_a_frozen_mount_has_lost_its_lock_and_what_it_had_not_stored(self):
        mine = os.open(self.one.path("frozen"), os.O_RDWR | os.O_CREAT)
        os.write(mine, b"before")
        os.fsync(mine)
        fcntl.flock(mine, fcntl.LOCK_EX)
        os.pwrite(mine, b"too late", 0)
        self.one.process.send_signal(signal.SIGSTOP)
        try:
            with open(self.two.path("frozen"), "r+b", buffering=0) as other:
                start = time.monotonic()
                fcntl.flock(other, fcntl.LOCK_EX)
                self.assertLess(time.monotonic() - start, 40)
                other.write(b"theirs")
        finally:
            self.one.process.send_signal(signal.SIGCONT)
        with self.assertRaises(OSError):
            os.fsync(mine)
        os.close(mine)
        for mount in (self.one, self.two):
            with open(mount.path("frozen"), "rb") as file:
                self.assertEqual(file.read(), b"theirs")

    def test_a_storm_of_both_ends_the_same_at_both(self):
        seed = int(os.environ.get("CAIRN_SEED", "0")) or random.randrange(1 << 30)
        print(f"seed {seed}", file=sys.stderr)
        kept = [{}, {}]

        def storm(mount, which):
            dice = random.Random(seed + which)
            mine = kept[which]
            for step in range(150):
                name = f"storm{which}-{dice.randrange(20)}"
                act = dice.randrange(4)
                if act < 2:
                    content = dice.randbytes(dice.randrange(20_000))
                    with open(mount.path(name), "ab" if act else "wb") as file:
                        file.write(content)
                    mine[name] = (mine.get(name, b"") if act else b"") + content
                elif act == 2 and name in mine:
                    to = f"storm{which}-{dice.randrange(20)}"
                    os.rename(mount.path(name), mount.path(to))
                    mine[to] = mine.pop(name)
                elif name in mine:
                    os.unlink(mount.path(name))
                    del mine[name]

        threads = [threading.Thread(target=storm, args=(mount, which))
                   for which, mount in enumerate((self.one, self.two))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expected = {**kept[0], **kept[1]}
        for mount in (self.one, self.two):
            wait_until("all names", lambda m=mount: {
                name for name in os.listdir(m.directory) if name.startswith("storm")
            } == set(expected), 2)
            for name, content in expected.items():
                with open(mount.path(name), "rb") as file:
                    self.assertEqual(file.read(), content, f"{name}, seed {seed}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
