"""A Cairn cluster for a test: `cairn local up` in a temporary directory on loopback addresses of
its own, `cairn local down` at the end whatever happens.

The binaries are those of the directory CAIRN_BIN. With CAIRN_ENDPOINTS=FILE the tests talk to a
running cluster instead, described by the JSON that `cairn local up --json` prints (docs/compat.md).
"""
import atexit
import collections
import glob
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

import fastdfs
from fastdfs import Connection, wait_until

Node = collections.namedtuple("Node", "id role group addr port http pid store_paths")

# Response of an HTTP request: header names in lower case.
Response = collections.namedtuple("Response", "status headers body")

UP_TIMEOUT = 120.0


def binary(name):
    """The path of a program under test."""
    directory = os.environ.get("CAIRN_BIN")
    if not directory:
        raise RuntimeError("CAIRN_BIN must name the directory of the Cairn programs")
    path = os.path.join(directory, name)
    if not os.access(path, os.X_OK):
        raise RuntimeError(f"there is no program {path}")
    return path


def run_cairn(*args, timeout=UP_TIMEOUT, check=True, program="cairn", env=None):
    """Runs a Cairn program to its end and captures what it prints."""
    done = subprocess.run([binary(program), *map(str, args)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=timeout, env=env)
    if check and done.returncode != 0:
        raise AssertionError(f"{program} {' '.join(map(str, args))}: exit {done.returncode}\n"
                             f"{done.stdout}\n{done.stderr}")
    return done


def _end(*_):
    """SIGTERM ends the test like an error, so that everything is cleaned up."""
    raise SystemExit("stopped by SIGTERM")


class Cluster:
    """A running cluster. Use start() (or `with Cluster(...)`), then down()."""

    def __init__(self, trackers=1, groups=1, storages=1, paths=1, copies=None, root=None):
        self.shape = {"trackers": trackers, "groups": groups, "storages": storages, "paths": paths}
        if copies is not None:
            self.shape["copies"] = copies
        self.root = root
        self.trackers, self.storages, self.client_conf = [], [], None
        self.external = os.environ.get("CAIRN_ENDPOINTS")
        self._own_root = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.down()

    def start(self):
        if self.external:
            with open(self.external, encoding="utf-8") as file:
                self._read_endpoints(json.load(file))
            self._check_shape()
            return self
        if self.root is None:
            self.root = self._own_root = tempfile.mkdtemp(prefix="cairn-test-")
        atexit.register(self.down)
        signal.signal(signal.SIGTERM, _end)  # else a time limit would leave the daemons running
        try:
            args = ["local", "up", "--root", self.root, "--net", "auto", "--json"]
            for key, value in self.shape.items():
                args += [f"--{key}", value]
            self._read_endpoints(json.loads(run_cairn(*args).stdout))
        except BaseException:
            self.down()
            raise
        return self

    def down(self):
        """Stops every process of this cluster and removes its directory. May be called twice."""
        if self.external or self.root is None or not os.path.isdir(self.root):
            return
        atexit.unregister(self.down)
        try:
            run_cairn("local", "down", "--root", self.root)
            self._check_logs()
        finally:
            if self._own_root and not os.environ.get("CAIRN_KEEP"):
                shutil.rmtree(self._own_root, ignore_errors=True)

    def _check_logs(self):
        """What a sanitizer has found in a daemon fails the test, also when it was while stopping."""
        for name in glob.glob(os.path.join(self.root, "log", "*")):
            with open(name, encoding="utf-8", errors="replace") as file:
                for line in file:
                    if "ERROR: AddressSanitizer" in line or "runtime error:" in line \
                            or "WARNING: ThreadSanitizer" in line:
                        raise AssertionError(f"{os.path.basename(name)}: {line.strip()}")

    def _read_endpoints(self, endpoints):
        self.trackers = [self._node(entry, "tracker") for entry in endpoints["trackers"]]
        self.storages = [self._node(entry, "storage") for entry in endpoints["storages"]]
        self.client_conf = endpoints["client_conf"]

    @staticmethod
    def _node(entry, role):
        return Node(entry["id"], role, entry.get("group"), entry["addr"], entry["port"],
                    entry["http"], entry["pid"], entry.get("store_paths", []))

    def _check_shape(self):
        groups = {node.group for node in self.storages}
        if (len(self.trackers) < self.shape["trackers"] or len(groups) != self.shape["groups"]
                or len(self.storages) != self.shape["groups"] * self.shape["storages"]
                or any(len(node.store_paths) < self.shape["paths"] for node in self.storages)):
            raise unittest.SkipTest(f"the cluster of CAIRN_ENDPOINTS is not {self.shape}")

    # --- nodes ---

    @property
    def tracker(self):
        return self.trackers[0]

    @property
    def storage(self):
        return self.storages[0]

    def node(self, node_id):
        return next(n for n in self.trackers + self.storages if n.id == node_id)

    def group(self, name):
        return [node for node in self.storages if node.group == name]

    def _needs_own(self):
        if self.external:
            raise unittest.SkipTest("needs a cluster of its own, not CAIRN_ENDPOINTS")

    def kill(self, node):
        """kill -9."""
        self._needs_own()
        run_cairn("local", "kill", node.id, "--root", self.root)

    def stop(self, node):
        """SIGTERM, and waits for the end of the process."""
        self._needs_own()
        os.kill(node.pid, signal.SIGTERM)
        wait_until(f"end of {node.id}", lambda: not alive(node.pid), 30)

    def start_node(self, node):
        """Starts a node that is down; returns it with its new pid when it is ready."""
        self._needs_own()
        done = run_cairn("local", "start", node.id, "--root", self.root, "--json")
        entry = json.loads(done.stdout)
        fresh = self._node(entry, node.role)
        nodes = self.trackers if node.role == "tracker" else self.storages
        nodes[next(i for i, n in enumerate(nodes) if n.id == node.id)] = fresh
        return fresh

    def conf_file(self, node):
        path = os.path.join(self.root, "conf", node.id + ".conf")
        if not os.path.exists(path):
            raise AssertionError(f"no {path} among {glob.glob(self.root + '/conf/*')}")
        return path

    def set_conf(self, node, **settings):
        """Replaces keys in the configuration of a node that is down (in key names `__` stands for
        a dot). A list is a repeated key, None removes the key."""
        path = self.conf_file(node)
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
        for key, value in settings.items():
            key = key.replace("__", ".")
            lines = [x for x in lines if not re.match(rf"\s*{re.escape(key)}\s*=", x)]
            values = value if isinstance(value, list) else [] if value is None else [value]
            lines += [f"{key} = {v}" for v in values]
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def reconfigure(self, node, **settings):
        """Stops the node, changes its configuration, starts it. Returns the node."""
        self._needs_own()
        self.stop(node)
        self.set_conf(node, **settings)
        return self.start_node(node)

    def wait_active(self, count=None, seconds=30.0):
        """Waits until the first tracker counts `count` (default: all) active storages."""
        count = len(self.storages) if count is None else count
        return wait_until(f"{count} active storages",
                          lambda: self.active_count() == count, seconds)

    def active_count(self):
        with self.to(self.tracker) as tracker:
            groups = tracker.call(fastdfs.LIST_ALL_GROUPS)
        stats = (fastdfs.read_group(groups[i:i + 113]) for i in range(0, len(groups), 113))
        return sum(stat["readable_count"] for stat in stats)

    # --- FastDFS ---

    def to(self, node, **options):
        """A connection to a node."""
        return Connection(node.addr, node.port, **options)

    def upload(self, content, ext="", command=fastdfs.UPLOAD, node=None, path=0xFF):
        """Uploads to `node` (default: the first storage); the file ID."""
        with self.to(node or self.storage) as storage:
            return fastdfs.read_id(storage.call(command, fastdfs.upload_body(content, ext, path)))

    def download(self, file_id, node=None, offset=0, size=0):
        with self.to(node or self.storage) as storage:
            return storage.call(fastdfs.DOWNLOAD, fastdfs.download_body(file_id, offset, size))

    def info(self, file_id, node=None, flags=0):
        with self.to(node or self.storage) as storage:
            return fastdfs.read_info(
                storage.call(fastdfs.QUERY_FILE_INFO, fastdfs.named(file_id), flags))

    def path_of(self, file_id, node=None):
        """Where the plain file of an ID is on disk."""
        name = fastdfs.split_id(file_id)[1]
        store = (node or self.storage).store_paths[int(name[1:3], 16)]
        return os.path.join(store, "data", name[4:])


class StandaloneTracker:
    """A tracker without any storage, from a configuration of its own."""

    def __init__(self, addr, port=22122, **settings):
        self.addr, self.port, self.settings = addr, port, settings
        self.role, self.id = "tracker", "standalone"
        self.process = None

    def __enter__(self):
        self.root = tempfile.mkdtemp(prefix="cairn-test-")
        conf = os.path.join(self.root, "tracker.conf")
        settings = {"bind_addr": self.addr, "port": self.port, "http_port": 0,
                    "base_path": os.path.join(self.root, "data"), **self.settings}
        os.mkdir(os.path.join(self.root, "data"))
        with open(conf, "w", encoding="utf-8") as file:
            file.writelines(f"{key} = {value}\n" for key, value in settings.items())
        self.log = open(os.path.join(self.root, "log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen([binary("cairn-tracker"), conf], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)
        try:
            wait_until("a listening tracker", self._answers, 20)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _answers(self):
        if self.process.poll() is not None:
            self.log.seek(0)
            raise RuntimeError(f"cairn-tracker ended: {self.log.read()}")
        with Connection(self.addr, self.port) as tracker:
            return tracker.alive()

    def __exit__(self, *exc):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()
        shutil.rmtree(self.root, ignore_errors=True)


class ClusterTest(unittest.TestCase):
    """Base of tests that share one cluster per class; `shape` are the arguments of Cluster."""

    shape = {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster = Cluster(**cls.shape)
        cls.addClassCleanup(cls.cluster.down)
        cls.cluster.start()

    def to_tracker(self, **options):
        connection = self.cluster.to(self.cluster.tracker, **options)
        self.addCleanup(connection.close)
        return connection

    def to_storage(self, node=None, **options):
        connection = self.cluster.to(node or self.cluster.storage, **options)
        self.addCleanup(connection.close)
        return connection

    def assert_status(self, reply, status):
        """A failing reply has no body, whatever the status."""
        self.assertEqual((reply.status, reply.body), (status, b""))


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def http_get(addr, port, target, headers=None, method="GET", body=None):
    """One HTTP request on a connection of its own."""
    connection = http.client.HTTPConnection(addr, port, timeout=20)
    try:
        own_host = any(key.lower() == "host" for key in headers or {})
        connection.putrequest(method, target, skip_host=own_host, skip_accept_encoding=True)
        for key, value in (headers or {}).items():
            connection.putheader(key, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        fields = {key.lower(): value for key, value in response.getheaders()}
        return Response(response.status, fields, response.read())
    finally:
        connection.close()
