"""nginx, HAProxy and Varnish in front of two storage nodes, by the samples of conf/ as they stand but for
the addresses in them."""

import http.client
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import cluster as clusters
from fastdfs import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOST = "img.test"


def program(name):
    return shutil.which(name) or f"/usr/sbin/{name}"


class FrontTest(unittest.TestCase):
    """A cluster of two nodes of one group, and one front at a time, listening on `self.port` of the
    first node's address."""

    @classmethod
    def setUpClass(cls):
        # nginx's workers are another user: they must get through to the store path.
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="cairn-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        os.chmod(cls.root, 0o755)
        cls.cluster = clusters.Cluster(storages=2, root=str(cls.root / "cluster"))
        os.mkdir(cls.cluster.root, 0o755)
        cls.addClassCleanup(cls.cluster.down)
        cls.cluster.start()
        cls.cluster.wait_active()
        cls.node, cls.other = cls.cluster.storages

    @classmethod
    def cairn(cls, *args, stdin=""):
        subprocess.run([clusters.binary("cairn"), "--conf", cls.cluster.client_conf,
                        *map(str, args)], input=stdin, text=True, check=True, timeout=60,
                       stdout=subprocess.DEVNULL)

    def run_front(self, command, port):
        process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait, 20)
        self.addCleanup(process.terminate)
        self.port = port
        wait_until(command[0], self.answers, 30)

    def answers(self):
        try:
            return self.get("/healthz").status == 200
        except OSError:
            return False

    def sample(self, name, replacements):
        text = (ROOT / "conf" / name).read_text()
        for there, here in replacements:
            self.assertIn(there, text)
            text = text.replace(there, here)
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.root))
        os.chmod(folder, 0o755)
        path = folder / pathlib.Path(name).name
        path.write_text(text)
        return path

    def get(self, target, method="GET", source=None, **headers):
        """A request to the front, from the address `source`."""
        headers = {key.replace("_", "-"): value for key, value in headers.items()}
        connection = http.client.HTTPConnection(self.node.addr, self.port, timeout=20,
                                                source_address=(source, 0) if source else None)
        try:
            connection.request(method, target, headers={"Host": HOST, **headers})
            reply = connection.getresponse()
            fields = {key.lower(): value for key, value in reply.getheaders()}
            return clusters.Response(reply.status, fields, reply.read())
        finally:
            connection.close()

    def direct(self, target):
        return clusters.http_get(self.node.addr, self.node.http, target, {"Host": HOST})

    def start_nginx(self, nodes=1, seconds=10):
        """On the machine of the first node, beside its disk. What it keeps counts for `seconds`."""
        servers = " ".join(f"server {node.addr}:{node.http} max_fails=2 fail_timeout=5s;"
                           for node in (self.node, self.other)[:nodes])
        self.run_nginx("old-urls.conf", 8081, (
            ("server 127.0.0.1:8888 max_fails=2 fail_timeout=5s;", servers),
            ("/var/lib/cairn/storage/path0", self.node.store_paths[0]),
            *self.kept_for(seconds),
        ))

    def kept_for(self, seconds):
        return (("301 308 10s", f"301 308 {seconds}s"), ("X-Cairn-Kept 10", f"X-Cairn-Kept {seconds}"),
                # The first node's address, and that of the tracker's own connections.
                ("127.0.0.0/8 yes;", f"{self.node.addr}/32 yes; 127.0.0.1/32 yes;"))

    def start_nginx_cache(self, seconds=10):
        """In front of both; the first node's address may refresh."""
        self.run_nginx("cache.conf", 8084, (
            ("server 127.0.0.1:8888", f"server {self.node.addr}:{self.node.http}"),
            ("server 127.0.0.2:8888", f"server {self.other.addr}:{self.other.http}"),
            *self.kept_for(seconds),
        ))

    def run_nginx(self, name, port, replacements):
        cache = tempfile.mkdtemp(dir=self.root)
        os.chmod(cache, 0o777)
        sample = self.sample(f"nginx/{name}", (
            *replacements, ("listen 8080", f"listen {self.node.addr}:{port}"),
            ("/var/cache/nginx", cache)))
        folder = sample.parent
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
        (folder / "nginx.conf").write_text(
            f"daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;"
            f"events {{}} http {{ access_log {folder}/access.log; {paths} include {name}; }}\n")
        self.run_front([program("nginx"), "-p", folder, "-c", folder / "nginx.conf",
                        "-e", folder / "error.log"], port)

    def start_haproxy(self):
        sample = self.sample("haproxy/cairn.cfg", (
            ("bind :8080", f"bind {self.node.addr}:8082"),
            ("127.0.0.1:8888", f"{self.node.addr}:{self.node.http}"),
            ("127.0.0.2:8888", f"{self.other.addr}:{self.other.http}"),
        ))
        self.run_front([program("haproxy"), "-db", "-f", sample], 8082)

    def start_varnish(self):
        sample = self.sample("varnish/cairn.vcl", (
            ('"127.0.0.1"; .port = "8888"', f'"{self.node.addr}"; .port = "{self.node.http}"'),
            ('"127.0.0.2"; .port = "8888"', f'"{self.other.addr}"; .port = "{self.other.http}"'),
        ))
        self.run_front([program("varnishd"), "-F", "-n", sample.parent / "n", "-f", sample,
                        "-a", f"{self.node.addr}:8083", "-s", "malloc,16m", "-t", "60"], 8083)
