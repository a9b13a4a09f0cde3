"""G5: files flipped, truncated and deleted under running nodes, from a printed seed. Every reader in
every protocol gets the right bytes all the same, and the copies become right again."""

import os
import random
import time
import unittest

import cluster as clusters
import fastdfs
import workload
from fastdfs import wait_until

SEED = int(os.environ.get("CAIRN_DAMAGE_SEED", "20261122"))
ROUNDS = 400 if workload.FULL else 60
MIB = 1 << 20


class Damage(clusters.ClusterTest):
    shape = {"storages": 3, "paths": 2}

    def setUp(self):
        print(f"seed {SEED} (CAIRN_DAMAGE_SEED)", flush=True)
        self.random = random.Random(SEED)
        self.files = {}  # ID -> content
        self.metadata = {}

    def fill(self, count):
        for number in range(count):
            node = self.random.choice(self.cluster.storages)
            size = self.random.choice((1, 700, 4096, 70_000, 300_000, 2 * MIB + 17, 9 * MIB))
            content = self.random.randbytes(size)
            kind = number % 4
            if kind == 1:
                file_id = self.cluster.upload(content, "log", fastdfs.UPLOAD_APPENDER, node)
                more = self.random.randbytes(5000)
                with self.cluster.to(node) as storage:
                    storage.call(fastdfs.APPEND, fastdfs.append_body(file_id, more))
                content += more
            elif kind == 2:
                master = self.cluster.upload(b"master %d" % number, "jpg", node=node)
                self.files[master] = b"master %d" % number
                with self.cluster.to(node) as storage:
                    reply = storage.call(fastdfs.UPLOAD_SLAVE,
                                         fastdfs.slave_body(master, "_small", content, "jpg"))
                file_id = fastdfs.read_id(reply)
            else:
                file_id = self.cluster.upload(content, "bin", node=node)
                text = b"number\x02%d" % number
                with self.cluster.to(node) as storage:
                    storage.call(fastdfs.SET_METADATA,
                                 fastdfs.metadata_body(file_id, text, b"O"))
                self.metadata[file_id] = text
            self.files[file_id] = content
        workload.assert_converged(self, self.cluster)

    def damage(self, path):
        """Harms one file; says how."""
        size = os.path.getsize(path)
        how = self.random.choice(("flip", "flip", "truncate", "delete", "grow"))
        if how == "delete":
            os.unlink(path)
        elif how == "grow":
            with open(path, "ab") as file:
                file.write(b"x")
        elif how == "truncate" and size > 0:
            os.truncate(path, self.random.randrange(size))
        elif size > 0:
            offset = self.random.randrange(size)
            with open(path, "r+b") as file:
                file.seek(offset)
                byte = file.read(1)[0]
                file.seek(offset)
                file.write(bytes([byte ^ (1 << self.random.randrange(8))]))
            how += f" at {offset} of {size}"
        return how

    def read_everywhere(self, file_id, what):
        """All protocols, at every node."""
        content = self.files[file_id]
        for node in self.cluster.storages:
            note = f"{file_id} {what}, read at {node.id}, seed {SEED}"
            start = self.random.randrange(len(content)) if content else 0
            length = self.random.randint(1, max(1, len(content) - start))
            reads = [
                ("download", lambda: self.cluster.download(file_id, node), content),
                ("range", lambda: self.cluster.download(file_id, node, start, length),
                 content[start:start + length]),
                ("http", lambda: self.http(node, file_id), content),
                ("http range",
                 lambda: self.http(node, file_id, f"bytes={start}-{start + length - 1}"),
                 content[start:start + length]),
            ]
            self.random.shuffle(reads)
            for name, read, wanted in reads:
                try:
                    got = read()
                except Exception as cause:
                    raise AssertionError(f"{name}: {cause!r}, {note}") from cause
                self.assertTrue(got == wanted, f"{name}: {len(got)} bytes, {note}")
            with self.cluster.to(node) as storage:
                size = fastdfs.read_info(storage.call(
                    fastdfs.QUERY_FILE_INFO, fastdfs.named(file_id))).size
                self.assertEqual(size, len(content), note)
                if file_id in self.metadata:
                    text = storage.call(fastdfs.GET_METADATA, fastdfs.named(file_id))
                    self.assertEqual(text, self.metadata[file_id], note)

    def http(self, node, file_id, byte_range=None):
        headers = {"Range": byte_range} if byte_range else {}
        reply = clusters.http_get(node.addr, node.http, "/" + file_id, headers)
        self.assertIn(reply.status, (200, 206), f"{file_id} at {node.id}")
        return reply.body

    def held(self, file_id, node):
        try:
            with open(self.cluster.path_of(file_id, node), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def is_sound(self, file_id, node):
        if self.held(file_id, node) != self.files[file_id]:
            return False
        if file_id not in self.metadata:
            return True
        try:
            with open(self.cluster.path_of(file_id, node) + "-m", "rb") as file:
                return file.read() == self.metadata[file_id]
        except FileNotFoundError:
            return False

    def await_repair(self, file_id, victims, what):
        """What readers stumbled over is repaired at once. What they are not led to (the copies of
        an appender file or of metadata at other nodes than their owner) is left to the check."""
        def sound():
            return all(self.is_sound(file_id, node) for node in victims)
        deadline = time.monotonic() + 2
        while not sound() and time.monotonic() < deadline:
            time.sleep(0.05)
        if not sound():
            done = workload.cairn(self.cluster, "check", "--repair", check=False)
            self.assertEqual(done.returncode, 0, f"{done.stdout}{done.stderr} {what} seed {SEED}")
        wait_until(f"repair of {file_id} ({what}, seed {SEED})", sound, 20)

    def test_readers_get_the_right_bytes(self):
        self.fill(24)
        ids = sorted(self.files)
        for _ in range(ROUNDS):
            file_id = self.random.choice(ids)
            victims = self.random.sample(self.cluster.storages, self.random.randint(1, 2))
            what = []
            for node in victims:
                path = self.cluster.path_of(file_id, node)
                if file_id in self.metadata and self.random.random() < 0.3:
                    path += "-m"
                what.append(f"{node.id}: {os.path.basename(path)[-3:]} {self.damage(path)}")
            self.read_everywhere(file_id, "; ".join(what))
            self.await_repair(file_id, victims, what)
        workload.assert_converged(self, self.cluster)
        for file_id, content in self.files.items():
            for node in self.cluster.storages:
                self.assertEqual(self.held(file_id, node), content)
        metrics = [clusters.http_get(node.addr, node.http, "/metrics").body.decode()
                   for node in self.cluster.storages]
        found = sum(float(line.split()[-1]) for text in metrics for line in text.splitlines()
                    if line.startswith("cairn_damaged_copies_found_total"))
        self.assertGreater(found, ROUNDS / 4)

    def test_the_last_copy_is_refused_and_alarmed(self):
        content = self.random.randbytes(50_000)
        file_id = self.cluster.upload(content, "bin")
        other = self.cluster.upload(content, "bin")
        workload.assert_converged(self, self.cluster)
        for node in self.cluster.storages:
            with open(self.cluster.path_of(file_id, node), "r+b") as file:
                file.seek(1000)
                byte = file.read(1)[0]
                file.seek(1000)
                file.write(bytes([byte ^ 1]))
        for node in self.cluster.storages:
            with self.cluster.to(node) as storage:
                reply = storage.request(fastdfs.DOWNLOAD, fastdfs.download_body(file_id))
                self.assert_status(reply, 5)
            reply = clusters.http_get(node.addr, node.http, "/" + file_id)
            self.assertEqual(reply.status, 503)
            self.assertEqual(self.cluster.download(other, node), content)

        def alarmed():
            done = workload.cairn(self.cluster, "status", check=False)
            return done.returncode == 7 and "copies_lost" in done.stdout

        wait_until("the alarm", alarmed, 20)
        # Nothing was replaced or thrown away.
        for node in self.cluster.storages:
            self.assertEqual(len(self.held(file_id, node)), len(content))
        # One good copy, put back by hand, makes the others right.
        first, *others = self.cluster.storages
        with open(self.cluster.path_of(file_id, first), "wb") as file:
            file.write(content)
        workload.cairn(self.cluster, "check", "--repair", check=False)
        for node in self.cluster.storages:
            wait_until("the others", lambda: self.cluster.download(file_id, node) == content, 20)
            wait_until("their disks", lambda: self.held(file_id, node) == content, 20)
        wait_until("the end of the alarm", lambda: not alarmed(), 90)

    def test_a_large_file_is_verified_as_it_goes_out(self):
        content = self.random.randbytes(40 * MIB)
        file_id = self.cluster.upload(content, "bin")
        workload.assert_converged(self, self.cluster)
        for node in self.cluster.storages[:2]:
            with open(self.cluster.path_of(file_id, node), "r+b") as file:
                file.seek(33 * MIB)
                file.write(b"damage")
        self.files[file_id] = content
        first = self.cluster.storages[0]
        # The damage is found in the middle of the answer; another node goes on from there.
        self.assertTrue(self.cluster.download(file_id, first) == content)
        self.assertTrue(self.http(self.cluster.storages[1], file_id) == content)
        for node in self.cluster.storages:
            wait_until("repair", lambda: self.held(file_id, node) == content, 30)

    def test_the_good_copy_of_an_appender_file_is_at_its_reader(self):
        """The owner, which is asked first, and the next one are damaged, at a place that is seen
        only half-way."""
        owner, second, reader = self.cluster.storages
        content = self.random.randbytes(9 * MIB)
        for wanted in (None, "bytes=7000000-9000000"):
            file_id = self.cluster.upload(content, "log", fastdfs.UPLOAD_APPENDER, owner)
            workload.assert_converged(self, self.cluster)
            os.truncate(self.cluster.path_of(file_id, owner), 5 * MIB)
            with open(self.cluster.path_of(file_id, second), "r+b") as file:
                file.seek(8 * MIB)
                file.write(b"damage")
            got = self.http(reader, file_id, wanted)
            self.assertTrue(got == (content[7000000:9000001] if wanted else content), wanted)
            self.assertTrue(self.cluster.download(file_id, reader) == content)
            for node in (owner, second):
                wait_until("repair", lambda: self.held(file_id, node) == content, 30)

    def test_scrubbing_finds_what_nobody_reads(self):
        content = self.random.randbytes(100_000)
        ids = [self.cluster.upload(content, "bin") for _ in range(20)]
        workload.assert_converged(self, self.cluster)
        node_id = self.cluster.storages[2].id
        node = self.cluster.node(node_id)
        damaged = ids[::4]
        for file_id in damaged:
            self.damage(self.cluster.path_of(file_id, node))
        node = self.cluster.reconfigure(node, scrub_period=1, scrub_rate=1 << 30)
        for file_id in damaged:
            wait_until("the scrubber", lambda: self.held(file_id, node) == content, 30)
        time.sleep(0.1)
        self.cluster.reconfigure(node, scrub_period=0)


if __name__ == "__main__":
    unittest.main()
