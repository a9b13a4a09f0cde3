"""No secret gets out of the daemons' memory and their own files: not into logs, pages, metrics,
process lists, the audit log, error texts, nor a core file."""
import os
import subprocess
import tempfile
import time
import unittest

import certificates
import cluster as clusters
import fastdfs
import native
import signing
from cluster import http_get
from fastdfs import Connection, wait_until

NOBODY = 65534


class LeakTest(clusters.ClusterTest):
    shape = {"storages": 2}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        authority = certificates.Authority(os.path.join(cls.cluster.root, "tls"))
        pair = authority.sign("node", ["127.0.0.1"])
        for node in [*cls.cluster.trackers, *cls.cluster.storages]:
            cls.cluster.reconfigure(node, log_level="debug", tls="optional",
                                    tls_certificate_file=pair[0], tls_key_file=pair[1])
        cls.cluster.wait_active(2)
        with open(os.path.join(cls.cluster.root, "conf", "cluster.secret"), "rb") as file:
            cls.secret = file.read().strip()
        with open(pair[1], "rb") as file:
            cls.tls_key = file.read().splitlines()[1]
        made = clusters.run_cairn("--conf", cls.cluster.client_conf, "key", "add", "--rights", "all")
        cls.key = made.stdout.split()[:2]
        made = clusters.run_cairn("--conf", cls.cluster.client_conf, "key", "rotate", cls.key[0])
        cls.needles = [cls.secret, cls.tls_key, cls.key[1].encode(),
                       made.stdout.split()[1].encode()]
        cls.key[1] = made.stdout.split()[1]

    def use_everything(self):
        """What a secret takes part in, done right and wrong; all bytes that came back."""
        heard = b""
        time.sleep(2.5)  # the key travels with a heartbeat
        for node in self.cluster.storages:
            for key in (self.key, [self.key[0], "wrong" * 9]):
                target = signing.sign("PUT", "/group1/a.jpg", *key)
                heard += repr(http_get(node.addr, node.http, target, method="PUT",
                                       body=b"content")).encode()
                login = {"Authorization": "Basic " + fastdfs.base64.b64encode(
                    f"{key[0]}:wrong".encode()).decode()}
                heard += repr(http_get(node.addr, node.http, "/group1/a.jpg", login, "PUT",
                                       b"content")).encode()
            for page in ("/metrics", "/status"):
                heard += http_get(node.addr, node.http, page).body
        for node in (self.cluster.tracker, *self.cluster.storages):
            for secret, options in ((self.secret, {}), (b"wrong" * 10, {}),
                                    (self.key[1].encode(), {"role": native.CLIENT,
                                                            "key_id": self.key[0]})):
                with Connection(node.addr, node.port) as connection:
                    try:
                        heard += repr(native.introduce(connection, secret, **options)).encode()
                    except (PermissionError, fastdfs.ConnectionClosed) as error:
                        heard += repr(error).encode()
        for page in ("/metrics", "/status", "/"):
            heard += http_get(self.cluster.tracker.addr, self.cluster.tracker.http, page).body
        for verb in (("key", "ls"), ("--json", "key", "ls"), ("status",), ("--json", "status")):
            heard += clusters.run_cairn("--conf", self.cluster.client_conf, *verb).stdout.encode()
        return heard

    def test_nothing_that_is_written_or_answered(self):
        heard = self.use_everything()
        for needle in self.needles:
            self.assertNotIn(needle, heard)
        # Where a secret may be: its own file, and the tracker's facts.
        allowed = {os.path.join(self.cluster.root, "conf", "cluster.secret")}
        facts = os.path.join(self.cluster.root, "data", self.cluster.tracker.id, "data", "meta")
        searched = 0
        for folder, _, names in os.walk(self.cluster.root):
            for name in names:
                path = os.path.join(folder, name)
                if path in allowed or folder.startswith(facts) or folder.endswith("/tls"):
                    continue
                if os.path.getsize(path) > 64 << 20:
                    continue
                with open(path, "rb") as file:
                    content = file.read()
                searched += 1
                for needle in self.needles:
                    self.assertNotIn(needle, content, path)
        self.assertGreater(searched, 10)

    def test_process_lists(self):
        for node in (self.cluster.tracker, *self.cluster.storages):
            for what in ("cmdline", "environ"):
                with open(f"/proc/{node.pid}/{what}", "rb") as file:
                    content = file.read()
                for needle in self.needles:
                    self.assertNotIn(needle, content)

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_memory_is_not_dumped(self):
        """A process that is not dumpable leaves no core file and cannot be looked into by others of
        its user: the kernel gives what /proc shows of it to root."""
        with tempfile.TemporaryDirectory() as folder:
            os.chown(folder, NOBODY, NOBODY)
            conf = os.path.join(folder, "t.conf")
            with open(conf, "w", encoding="utf-8") as file:
                file.write(f"base_path = {folder}\nbind_addr = 127.0.0.1\nport = 29122\n"
                           "http_port = 0\n")
            for wanted, owner in (("", 0), ("on", NOBODY)):
                process = subprocess.Popen(
                    ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                     clusters.binary("cairn-tracker"), conf],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL, env={**os.environ, "CAIRN_CORE_DUMPS": wanted})
                try:
                    wait_until("its answer", lambda: self.answers(29122), 20)
                    self.assertEqual(os.stat(f"/proc/{process.pid}/mem").st_uid, owner)
                finally:
                    process.terminate()
                    process.wait(20)

    @staticmethod
    def answers(port):
        try:
            with Connection("127.0.0.1", port) as connection:
                return connection.alive()
        except OSError:
            return False

    def test_the_tables_of_keys_are_private(self):
        """Files of a daemon that hold an access key are for its user alone."""
        found = 0
        for node in (self.cluster.tracker, *self.cluster.storages):
            base = os.path.join(self.cluster.root, "data", node.id)
            for folder, _, names in os.walk(base):
                for name in names:
                    path = os.path.join(folder, name)
                    with open(path, "rb") as file:
                        if self.key[1].encode() not in file.read(64 << 20):
                            continue
                    found += 1
                    parts = [path]
                    while parts[-1] != base:
                        parts.append(os.path.dirname(parts[-1]))
                    self.assertTrue(any(os.stat(p).st_mode & 0o077 == 0 for p in parts), path)
        self.assertGreater(found, 0)  # the tracker keeps them


if __name__ == "__main__":
    unittest.main()
