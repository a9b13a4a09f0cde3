"""Uploads under way while something else happens, and what is on the nodes afterwards."""

import contextlib
import hashlib
import os
import threading
import time

import cluster as clusters
import fastdfs

# --full: the long versions.
FULL = bool(os.environ.get("CAIRN_TEST_FULL"))


def content_of(number, size):
    """Content that is different for every number, and cheap to make again."""
    digest = hashlib.sha256(str(number).encode()).digest()
    return (digest * (size // len(digest) + 1))[:size]


class Uploader(threading.Thread):
    """Uploads to one node without a pause until stop(). `stored` maps the IDs that were answered
    with success to their number; a node that goes away is retried until it is back."""

    def __init__(self, cluster, node_id, first=0, size=4096):
        super().__init__(daemon=True)
        self.cluster, self.node_id, self.size = cluster, node_id, size
        self.stored = {}
        self.refused = []
        self.breaks = 0
        self._next = first
        self._stopping = threading.Event()

    def content(self, number):
        return content_of(number, self.size)

    def run(self):
        while not self._stopping.is_set():
            try:
                with self.cluster.to(self.cluster.node(self.node_id)) as storage:
                    while not self._stopping.is_set():
                        self._upload(storage)
            except (OSError, fastdfs.ConnectionClosed):
                self.breaks += 1
                time.sleep(0.05)

    def _upload(self, storage):
        number = self._next
        self._next += 1
        body = fastdfs.upload_body(self.content(number), "bin")
        reply = storage.request(fastdfs.UPLOAD, body)
        if reply.status == 0:
            self.stored[fastdfs.read_id(reply.body)] = number
        else:
            self.refused.append(reply.status)

    def stop(self):
        self._stopping.set()
        self.join(60)
        if self.is_alive():
            raise AssertionError(f"an upload to {self.node_id} does not end")


@contextlib.contextmanager
def uploading(cluster, node_ids, connections=1, size=4096):
    """Uploads to each of the nodes over that many connections; yields the Uploaders."""
    uploaders = [
        Uploader(cluster, node_id, first=index * 1_000_000, size=size)
        for index, node_id in enumerate(list(node_ids) * connections)
    ]
    for uploader in uploaders:
        uploader.start()
    try:
        yield uploaders
    finally:
        for uploader in uploaders:
            uploader.stop()


def names_on(node):
    """{store path number and relative name: path} of the plain files and metadata of a node, as they
    lie on its disks. Dot-directories hold nothing that is served."""
    found = {}
    for index, root in enumerate(node.store_paths):
        data = os.path.join(root, "data")
        for folder, folders, names in os.walk(data):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                if not name.startswith("."):
                    path = os.path.join(folder, name)
                    found[f"M{index:02X}/{os.path.relpath(path, data)}"] = path
    return found


def files_on(node):
    """names_on() with the SHA-256 of each file instead of its path."""
    found = {}
    for name, path in names_on(node).items():
        with contextlib.suppress(FileNotFoundError):  # deleted since
            with open(path, "rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def missing_reads(cluster, node, uploader):
    """The IDs of an Uploader that `node` does not give back as they were sent."""
    wrong = []
    with cluster.to(node) as storage:
        for file_id, number in uploader.stored.items():
            reply = storage.request(fastdfs.DOWNLOAD, fastdfs.download_body(file_id))
            if reply.status != 0 or reply.body != uploader.content(number):
                wrong.append((file_id, reply.status, len(reply.body)))
    return wrong


def cairn(cluster, *args, check=True, timeout=120):
    """The CLI with the configuration of this cluster."""
    return clusters.run_cairn("--conf", cluster.client_conf, *args, check=check, timeout=timeout)


# A request that a cut connection held back can still be taken after the network has healed.
LATE_SECONDS = 20


def assert_converged(test, cluster, group="group1", seconds=60):
    """All members of the group hold the same files: by `cairn check`, which waits for sync and
    exits 8 when copies differ, and by what is on the disks, at the latest LATE_SECONDS later."""
    done = cairn(cluster, "--timeout", seconds, "check", "--group", group, check=False,
                 timeout=seconds + 60)
    test.assertEqual(done.returncode, 0, done.stdout + done.stderr)
    first, *others = cluster.group(group)
    until = time.monotonic() + LATE_SECONDS
    while True:
        # Compared is what was read in one go: a late request may come between two readings.
        wanted = files_on(first)
        held = {node.id: files_on(node) for node in others}
        if time.monotonic() > until or all(files == wanted for files in held.values()):
            break
        time.sleep(0.5)
    for node_id, files in held.items():
        test.assertEqual(sorted(set(wanted) - set(files))[:5], [], f"not on {node_id}")
        test.assertEqual(sorted(set(files) - set(wanted))[:5], [], f"only on {node_id}")
        different = [name for name in wanted if files[name] != wanted[name]]
        test.assertEqual(different[:5], [], f"different bytes on {node_id}")
    return wanted
