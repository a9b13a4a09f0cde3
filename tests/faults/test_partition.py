"""G1-G4 with nodes that cannot talk: storage nodes in network namespaces on one bridge, cut off from
each other and from the tracker while clients go on at both sides, then joined again."""

import os
import pathlib
import secrets
import shutil
import subprocess
import tempfile
import time
import unittest

import cluster as clusters
import fastdfs
import ledger
import workload
from fastdfs import wait_until

# Addresses for such tests (RFC 2544): nobody's; others in each run, so that two do not meet.
NET = f"198.{18 + os.getpid() // 256 % 2}.{os.getpid() % 256}"


def ip(*words, check=True):
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=check)


class Namespaces:
    """A bridge and a namespace a daemon. cut() takes the link of one off."""

    def __init__(self, names):
        self.tag = f"cf{os.getpid() % 10000}"
        self.names = names
        self.bridge = self.tag + "br"

    def make(self):
        made = ip("link", "add", self.bridge, "type", "bridge", check=False)
        if made.returncode != 0:
            raise unittest.SkipTest("no network namespaces here: " + made.stderr.strip())
        ip("addr", "add", f"{NET}.1/24", "dev", self.bridge)
        ip("link", "set", self.bridge, "up")
        for name in self.names:
            space, outer = self.space(name), self.link(name)
            ip("netns", "add", space)
            ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", space)
            ip("link", "set", outer, "master", self.bridge, "up")
            ip("-n", space, "addr", "add", f"{self.address(name)}/24", "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")
            ip("-n", space, "link", "set", "lo", "up")

    def address(self, name):
        return f"{NET}.{11 + self.names.index(name)}"

    def space(self, name):
        return f"{self.tag}{self.names.index(name)}"

    def link(self, name):
        return f"{self.tag}v{self.names.index(name)}"

    def cut(self, name):
        """The node's frames reach only clients on its own machine."""
        ip("link", "set", self.link(name), "nomaster")

    def join(self, name):
        ip("link", "set", self.link(name), "master", self.bridge)

    def remove(self):
        for name in self.names:
            ip("netns", "del", self.space(name), check=False)
        ip("link", "del", self.bridge, check=False)


class SpacedCluster:
    """A tracker and three storages in namespaces, with the interface of clusters.Cluster that a
    Ledger needs. Clients run outside, so a node that is cut off has none."""

    def __init__(self, root):
        self.root = root
        self.nets = Namespaces(["tracker1", "s1", "s2", "s3"])
        self.processes = {}
        self.storages, self.trackers = [], []

    def start(self):
        self.nets.make()
        self.secret = self.root / "cluster.secret"
        self.secret.write_text(secrets.token_hex(32) + "\n")
        self.secret.chmod(0o600)
        tracker = self.nets.address("tracker1")
        hosts = f"{NET}.0/24, 127.0.0.0/8"
        self._start("cairn-tracker", "tracker1", [f"bind_addr = {tracker}",
                                                  f"allow_hosts = {hosts}",
                                                  f"admin_hosts = {hosts}",
                                                  "check_active_interval = 3"])
        self.trackers = [self._node("tracker1", "tracker", 22122, 22180)]
        for name in ("s1", "s2", "s3"):
            store = self.root / name / "store"
            store.mkdir(parents=True)
            self._start("cairn-storage", name, [
                f"bind_addr = {self.nets.address(name)}", f"allow_hosts = {hosts}",
                f"admin_hosts = {hosts}", "group_name = group1", f"store_path0 = {store}",
                f"tracker_server = {tracker}:22122", "network_timeout = 3",
                "connect_timeout = 1", "reserved_storage_space = 1M"])
        self.storages = [self._node(name, "storage", 23000, 8888) for name in ("s1", "s2", "s3")]
        self.client_conf = self.root / "client.conf"
        self.client_conf.write_text(f"tracker_server = {tracker}:22122\n"
                                    f"cluster_secret_file = {self.secret}\n")
        wait_until("three active storages", lambda: self.active_count() == 3, 60)

    def _node(self, name, role, port, http):
        return clusters.Node(name, role, "group1", self.nets.address(name), port, http,
                             self.processes[name].pid, [str(self.root / name / "store")])

    def _start(self, program, name, lines):
        base = self.root / name / "base"
        base.mkdir(parents=True, exist_ok=True)
        conf = self.root / f"{name}.conf"
        conf.write_text("\n".join([*lines, f"base_path = {base}",
                                    f"cluster_secret_file = {self.secret}"]) + "\n")
        with open(self.root / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                ["ip", "netns", "exec", self.nets.space(name), clusters.binary(program), conf],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def down(self):
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        self.nets.remove()

    def to(self, node, **options):
        return fastdfs.Connection(node.addr, node.port, **({"timeout": 5.0} | options))

    def node(self, node_id):
        return next(n for n in self.storages + self.trackers if n.id == node_id)

    def group(self, _):
        return self.storages

    active_count = clusters.Cluster.active_count
    tracker = clusters.Cluster.tracker


class Partition(unittest.TestCase):
    ROUNDS = 20 if workload.FULL else 4

    def setUp(self):
        if os.geteuid() != 0 or shutil.which("ip") is None:
            self.skipTest("needs root and the program ip")
        root = pathlib.Path(tempfile.mkdtemp(prefix="cairn-test-"))
        self.addCleanup(shutil.rmtree, root, ignore_errors=True)
        self.cluster = SpacedCluster(root)
        self.addCleanup(self.cluster.down)
        self.cluster.start()

    def test_nodes_are_cut_off_and_join_again(self):
        book = ledger.Ledger(self.cluster, sizes=(100, 30_000, 200_000))
        nets = self.cluster.nets
        slowest = 0.0
        for turn in range(self.ROUNDS):
            lost = (["s1"], ["s2", "s3"], ["tracker1"], ["s3", "tracker1"])[turn % 4]
            with self.subTest(turn=turn, lost=lost):
                with book.load(["s1", "s2", "s3"], connections=1):
                    time.sleep(0.5)
                    for name in lost:
                        nets.cut(name)
                    time.sleep(5)
                    for name in lost:
                        nets.join(name)
                    begin = time.monotonic()
                    wait_until("all active", lambda: self.cluster.active_count() == 3, 60)
                    slowest = max(slowest, time.monotonic() - begin)
                    time.sleep(0.5)
                book.check(self)
                if workload.FULL:
                    book.thin(keep=1500)
        print(f"partitions: {self.ROUNDS}, {book.acknowledged} acknowledged operations on "
              f"{book.file_count} files, all active again after at most {slowest:.1f} s")
        self.assertGreater(book.acknowledged, 50 * self.ROUNDS)


if __name__ == "__main__":
    unittest.main()
