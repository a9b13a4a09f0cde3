"""Stock nginx serves a store path that Cairn wrote, by conf/nginx/static.conf: the same bytes from the
disk, the storage node for what is not there, and nothing else."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import cluster as clusters
import fastdfs
import workload
from fastdfs import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
PORT = 8080


class Nginx(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # nginx's workers are another user: they must get through to the store path.
        cls.root = tempfile.mkdtemp(prefix="cairn-test-")
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        os.chmod(cls.root, 0o755)
        cls.cluster = clusters.Cluster(storages=2, root=os.path.join(cls.root, "cluster"))
        os.mkdir(cls.cluster.root, 0o755)
        cls.addClassCleanup(cls.cluster.down)
        cls.cluster.start()
        cls.node, cls.other = cls.cluster.storages
        cls.start_nginx()

    @classmethod
    def start_nginx(cls):
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        sample = (ROOT / "conf/nginx/static.conf").read_text()
        for there, here in (
            ("listen 8080", f"listen {cls.node.addr}:{PORT}"),
            ("127.0.0.1:8888", f"{cls.node.addr}:{cls.node.http}"),
            ("/var/lib/cairn/storage/path0", cls.node.store_paths[0]),
        ):
            assert there in sample, there
            sample = sample.replace(there, here)
        folder = pathlib.Path(cls.root, "nginx")
        folder.mkdir(mode=0o755)
        (folder / "static.conf").write_text(sample)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
        (folder / "nginx.conf").write_text(
            f"daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;"
            f"events {{}} http {{ access_log off; {paths} include static.conf; }}\n"
        )
        command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf")]
        command += ["-e", str(folder / "error.log")]
        cls.nginx = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        cls.addClassCleanup(cls.nginx.wait, 20)
        cls.addClassCleanup(cls.nginx.terminate)
        wait_until("nginx", lambda: clusters.http_get(cls.node.addr, PORT, "/").status == 404)

    def get(self, target, **headers):
        return clusters.http_get(self.node.addr, PORT, target, headers)

    def direct(self, file_id):
        return clusters.http_get(self.node.addr, self.node.http, f"/{file_id}")

    def test_files_are_served_from_the_disk(self):
        paths = [p for p in (ROOT / "tests/images").iterdir() if p.suffix not in (".md", "")]
        ids = {path: self.cluster.upload(path.read_bytes(), path.suffix[1:][:6], node=self.node)
               for path in paths}
        # With its storage node away nginx has only the disk.
        self.cluster.stop(self.node)
        try:
            for path, file_id in ids.items():
                reply = self.get(f"/{file_id}")
                self.assertEqual((reply.status, reply.body), (200, path.read_bytes()), path.name)
                short = fastdfs.split_id(file_id)[1]
                self.assertEqual(self.get(f"/{short}").body, path.read_bytes())
            part = self.get(f"/{ids[ROOT / 'tests/images/rocket.jpg']}", Range="bytes=100-199")
            self.assertEqual(part.status, 206)
            self.assertEqual(part.body, (ROOT / "tests/images/rocket.jpg").read_bytes()[100:200])
        finally:
            type(self).node = self.cluster.start_node(self.node)
            self.cluster.wait_active()

    def test_what_is_not_on_the_disk_comes_from_the_storage_node(self):
        for number in range(100):
            content = workload.content_of(number, 20_000)
            file_id = self.cluster.upload(content, "jpg", node=self.other)
            reply = self.get(f"/{file_id}")
            self.assertEqual((reply.status, reply.body), (200, content), file_id)
        # And one that certainly is not: taken off the disk behind the storage node's back.
        wait_until("the copy", lambda: os.path.exists(self.cluster.path_of(file_id, self.node)))
        os.unlink(self.cluster.path_of(file_id, self.node))
        reply = self.get(f"/{file_id}")
        self.assertEqual((reply.status, reply.body), (200, content))

    def test_what_never_was_is_not_found(self):
        file_id = self.cluster.upload(b"x" * 100, "jpg", node=self.node)
        absent = file_id[:-12] + ("A" if file_id[-12] != "A" else "B") + file_id[-11:]
        self.assertEqual(self.get(f"/{absent}").status, 404)

    def test_what_is_nobodys_business_is_refused(self):
        file_id = self.cluster.upload(b"with metadata", "txt", node=self.node)
        workload.cairn(self.cluster, "meta", "set", file_id, "secret=1")
        beside = self.cluster.path_of(file_id, self.node) + "-m"
        wait_until("the metadata", lambda: os.path.exists(beside))
        data = pathlib.Path(self.node.store_paths[0], "data")
        (data / ".hidden").mkdir(exist_ok=True)
        (data / ".hidden" / "file").write_text("secret")
        (data / "00" / "00").mkdir(parents=True, exist_ok=True)
        (data / "00" / "00" / "000001").write_text("a trunk file")
        for target in (f"/{file_id}-m", f"/{file_id}%2dm", "/group1/M00/.hidden/file",
                       "/M00/00/00/000001", "/group1/M00/00/../.hidden/file", "/status", "/metrics",
                       "/group1/M00/00/00/", "/group1/M00/", "/group2/" + file_id[7:]):
            with self.subTest(target):
                self.assertEqual(self.get(target).status, 404)
        for method in ("PUT", "POST", "DELETE"):
            reply = clusters.http_get(self.node.addr, PORT, f"/{file_id}", method=method, body=b"")
            self.assertEqual(reply.status, 405, method)
        self.assertEqual(self.get(f"/{file_id}").body, b"with metadata")


if __name__ == "__main__":
    unittest.main()
