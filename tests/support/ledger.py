"""Mixed load with a memory: every acknowledged operation is known, and every one whose answer was
lost is known to be open. Afterwards each node is asked for each file."""

import contextlib
import random
import threading
import time

import cluster as clusters
import fastdfs
import workload

# Answers that are no failure of the cluster while nodes go down and come back: try again (11),
# owner not reachable (110), stopping; not found where a delete was under way.
PATIENT = {11, 16, 110}

# Until a change has come to every node.
SYNC_SECONDS = 30


class File:
    """What a file may be: one of `contents`, or absent when `may_be_absent`. A content is a tuple of
    pieces, each (number, size) of workload.content_of(): a storm writes more than memory holds."""

    def __init__(self, piece, appender):
        self.contents = [(piece,)]
        self.appender = appender
        self.deleted = False  # acknowledged
        self.may_be_absent = False  # a delete without an answer
        self.metadata = [None]  # None: not set

    def appended(self, piece, acknowledged):
        grown = [content + (piece,) for content in self.contents]
        self.contents = grown if acknowledged else self.contents + grown

    def may_be(self, got):
        """Whether these bytes are one of the contents."""
        return any(len(got) == sum(size for _, size in content) and
                   got == b"".join(workload.content_of(*piece) for piece in content)
                   for content in self.contents)


class Client(threading.Thread):
    """Uploads, appends, deletes, metadata and reads, one at a time, against one node; every file is
    this client's alone. A lost connection leaves the outcome of its operation open."""

    def __init__(self, cluster, node_id, seed, sizes):
        super().__init__(daemon=True)
        self.cluster, self.node_id, self.sizes = cluster, node_id, sizes
        self.random = random.Random(seed)
        self.files = {}
        self.acknowledged = 0
        self.breaks = 0
        self.wrong = []
        self.pause = 0.0
        self._stopping = threading.Event()
        self._number = seed * 1_000_000

    def run(self):
        while not self._stopping.is_set():
            try:
                with self.cluster.to(self.cluster.node(self.node_id)) as storage:
                    while not self._stopping.is_set():
                        self._step(storage)
                        time.sleep(self.pause)
            except (OSError, fastdfs.ConnectionClosed):
                self.breaks += 1
                self._stopping.wait(0.05)

    def stop(self):
        self._stopping.set()
        self.join(90)
        if self.is_alive():
            raise AssertionError(f"an operation at {self.node_id} does not end")

    def _note(self, what, reply, expected=(0,)):
        """True for success."""
        if reply.status == 0:
            self.acknowledged += 1
            return True
        if reply.status not in PATIENT and reply.status not in expected:
            self.wrong.append((what, reply.status))
        time.sleep(0.02)
        return False

    def _step(self, storage):
        live = [i for i, f in self.files.items() if not f.deleted and not f.may_be_absent]
        choice = self.random.random()
        if choice < 0.5 or len(live) < 3:
            return self._upload(storage)
        file_id = self.random.choice(live)
        file = self.files[file_id]
        if choice < 0.65 and file.appender:
            return self._append(storage, file_id, file)
        if choice < 0.75:
            return self._remove(storage, file_id, file)
        if choice < 0.82:
            return self._set_metadata(storage, file_id, file)
        return self._read(storage, file_id, file)

    def _upload(self, storage):
        self._number += 1
        piece = (self._number, self.random.choice(self.sizes))
        appender = self.random.random() < 0.3
        command = fastdfs.UPLOAD_APPENDER if appender else fastdfs.UPLOAD
        reply = storage.request(command,
                                fastdfs.upload_body(workload.content_of(*piece), "bin"))
        if self._note("upload", reply):
            self.files[fastdfs.read_id(reply.body)] = File(piece, appender)

    def _append(self, storage, file_id, file):
        self._number += 1
        piece = (self._number, self.random.choice((10, 3000, 70_000)))
        before = list(file.contents)
        file.appended(piece, acknowledged=False)
        reply = storage.request(fastdfs.APPEND,
                                fastdfs.append_body(file_id, workload.content_of(*piece)))
        if self._note("append", reply):
            file.contents = before
            file.appended(piece, acknowledged=True)
        elif reply.status in (11, 16, 28):
            file.contents = before  # refused before anything was done

    def _remove(self, storage, file_id, file):
        file.may_be_absent = True
        reply = storage.request(fastdfs.DELETE, fastdfs.named(file_id))
        if self._note("delete", reply):
            file.deleted = True

    def _set_metadata(self, storage, file_id, file):
        self._number += 1
        before = list(file.metadata)
        value = str(self._number).encode()
        file.metadata = before + [value]
        reply = storage.request(fastdfs.SET_METADATA,
                                fastdfs.metadata_body(file_id, b"k\2" + value))
        if self._note("set metadata", reply):
            file.metadata = [value]

    def _read(self, storage, file_id, file):
        reply = storage.request(fastdfs.DOWNLOAD, fastdfs.download_body(file_id))
        if reply.status == 0 and not file.may_be(reply.body):
            self.wrong.append(("read", file_id, len(reply.body)))
        elif reply.status != 0:
            self._note("read " + file_id, reply, expected=())


class Ledger:
    """The clients of one test, over all of its rounds."""

    def __init__(self, cluster, sizes=(100, 4096, 30_000, 100_000, 700_000)):
        self.cluster, self.sizes = cluster, sizes
        self.files = {}  # that are checked, the oldest first
        self.file_count = 0  # of all rounds
        self.acknowledged = 0
        self.wrong = []
        self._seed = 0

    @contextlib.contextmanager
    def load(self, node_ids, connections=2, pause=0.0):
        """Mixed load at each of the nodes while the body runs."""
        clients = []
        for node_id in list(node_ids) * connections:
            self._seed += 1
            clients.append(Client(self.cluster, node_id, self._seed, self.sizes))
            clients[-1].pause = pause
        for client in clients:
            client.start()
        try:
            yield clients
        finally:
            for client in clients:
                client.stop()
                self.files.update(client.files)
                self.file_count += len(client.files)
                self.acknowledged += client.acknowledged
                self.wrong += client.wrong

    def thin(self, keep):
        """So that a long storm does not fill the disk: the first and the last files stay, `keep` in all,
        and those between are deleted. As many that are deleted go on being checked, the rest is
        forgotten. After a check(), without load."""
        deleted = [i for i, file in self.files.items() if file.deleted]
        for file_id in deleted[:-keep]:
            del self.files[file_id]
        live = [i for i, file in self.files.items() if not file.deleted]
        going = live[keep // 2:len(live) - keep // 2]
        nodes = self.cluster.group("group1")
        for index, node in enumerate(nodes):
            with self.cluster.to(node) as storage:
                for file_id in going[index::len(nodes)]:
                    file = self.files[file_id]
                    reply = storage.request(fastdfs.DELETE, fastdfs.named(file_id))
                    if reply.status == 0:
                        file.deleted = True
                        self.acknowledged += 1
                    elif reply.status == 2 and file.may_be_absent:
                        del self.files[file_id]
                    else:
                        self.wrong.append(("thin " + file_id, reply.status))

    def problems(self, node):
        """What `node` answers that cannot be: a line each."""
        found = []
        with self.cluster.to(node) as storage:
            for file_id, file in self.files.items():
                reply = storage.request(fastdfs.DOWNLOAD, fastdfs.download_body(file_id))
                if reply.status == 0:
                    if file.deleted:
                        found.append(f"{file_id}: deleted, but {node.id} has it")
                    elif not file.may_be(reply.body):
                        sizes = [sum(size for _, size in content) for content in file.contents]
                        found.append(f"{file_id}: {len(reply.body)} other bytes at {node.id}, "
                                     f"not one of the contents of {sizes}")
                elif not (file.deleted or file.may_be_absent):
                    found.append(f"{file_id}: status {reply.status} at {node.id}")
                if reply.status == 0 and file.metadata != [None]:
                    found += self._metadata_problems(storage, node, file_id, file)
        return found

    @staticmethod
    def _metadata_problems(storage, node, file_id, file):
        reply = storage.request(fastdfs.GET_METADATA, fastdfs.named(file_id))
        value = None
        if reply.status == 0:
            value = fastdfs.parse_metadata(reply.body).get(b"k")
        if (reply.status in (0, 2)) and value in file.metadata:
            return []
        return [f"{file_id}: metadata {value!r} (status {reply.status}) at {node.id}, "
                f"not one of {file.metadata}"]

    def check(self, test, group="group1"):
        """Everything that was acknowledged is at every node of the group, and all are equal."""
        workload.assert_converged(test, self.cluster, group)
        self.check_acknowledged(test, group)

    def check_acknowledged(self, test, group="group1"):
        """Every node of the group answers for everything that was acknowledged; deletes and
        metadata may take until sync has brought them."""
        test.assertEqual(self.wrong[:5], [], "wrong answers under load")
        until = time.monotonic() + SYNC_SECONDS
        for node in self.cluster.group(group):
            problems = self.problems(node)
            while problems and time.monotonic() < until:
                time.sleep(0.5)
                problems = self.problems(node)
            test.assertEqual(problems[:5], [], f"{len(problems)} of {len(self.files)} files")
