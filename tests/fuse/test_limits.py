"""Large directories, many open files, empty and large files, and what a mount takes of memory for
it. With --full in the sizes that docs/mount.md promises."""

import concurrent.futures
import hashlib
import os
import resource
import time
import unittest

import cluster as clusters
import mounts
import workload

ENTRIES = 100_000 if workload.FULL else 3_000
OPEN_FILES = 10_000 if workload.FULL else 1_500
TEN_GIB = 10 << 30
# docs/mount.md: what a mount takes without what is written and not stored.
MEMORY_KIB = 64 * 1024


def in_parallel(work, items, workers=32):
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(work, items, chunksize=16):
            pass


class Limits(mounts.MountTest):
    def names(self, count):
        return [f"entry-{number:06}" for number in range(count)]

    def test_many_entries_and_many_open_files(self):
        files = self.mount()
        directory = files.path("many")
        os.mkdir(directory)
        names = self.names(ENTRIES)
        in_parallel(lambda name: os.close(os.open(os.path.join(directory, name),
                                                  os.O_CREAT | os.O_EXCL | os.O_WRONLY)), names)
        # Another mount knows nothing yet: it reads the directory page by page.
        other = self.mount()
        listed = os.listdir(other.path("many"))
        self.assertEqual(sorted(listed), names, "each of them once")
        walked = sum(entry.stat().st_size == 0 for entry in os.scandir(other.path("many")))
        self.assertEqual(walked, ENTRIES)
        self.assertLess(clusters.resident_kib(other.worker()), MEMORY_KIB)

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, OPEN_FILES + 500)), hard))
        opened = []
        try:
            for name in names[:OPEN_FILES]:
                opened.append(os.open(other.path("many", name), os.O_RDONLY))
            self.assertEqual(len(opened), OPEN_FILES)
            self.assertLess(clusters.resident_kib(other.worker()), MEMORY_KIB)
            # All of them survive the worker.
            killed = other.kill_worker()
            while other.worker() in (None, killed):
                time.sleep(0.01)
            for file in opened[:: max(1, OPEN_FILES // 100)]:
                self.assertEqual(os.read(file, 10), b"")
        finally:
            for file in opened:
                os.close(file)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        in_parallel(lambda name: os.unlink(os.path.join(directory, name)), names)
        self.assertEqual(os.listdir(other.path("many")), [])
        os.rmdir(directory)

    def test_ten_gib_with_holes(self):
        files, other = self.mount(), self.mount()
        path = files.path("large")
        block = workload.content_of(7, 1 << 20)
        places = [0, (4 << 30) - 1000, TEN_GIB - len(block)]
        with open(path, "wb") as file:
            for place in places:
                file.seek(place)
                file.write(block)
        with open(other.path("large"), "rb") as file:
            status = os.fstat(file.fileno())
            self.assertEqual(status.st_size, TEN_GIB)
            self.assertLess(status.st_blocks * 512, 16 << 20, "holes take no space")
            for place in places:
                self.assertEqual(os.pread(file.fileno(), len(block), place), block)
                if place:
                    self.assertEqual(os.pread(file.fileno(), 100, place - 100), bytes(100))
            self.assertEqual(os.lseek(file.fileno(), 2 << 20, os.SEEK_DATA), places[1])
            if workload.FULL:
                expected, found = hashlib.sha256(), hashlib.sha256()
                at = 0
                for place in places:
                    while at < place:
                        step = min(place - at, 1 << 20)
                        expected.update(bytes(step))
                        at += step
                    expected.update(block)
                    at += len(block)
                while piece := file.read(1 << 20):
                    found.update(piece)
                self.assertEqual(found.digest(), expected.digest())
        self.assertLess(clusters.resident_kib(other.worker()), 2 * MEMORY_KIB)
        os.truncate(path, 0)
        self.assertEqual(os.stat(other.path("large")).st_size, 0)
        with open(other.path("large"), "rb") as file:
            self.assertEqual(file.read(), b"")
        os.unlink(path)


if __name__ == "__main__":
    unittest.main(verbosity=2)
