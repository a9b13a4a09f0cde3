"""Exports at their limits: quotas are exact when many clients write at once, by HTTP and CLI; a PUT to
an export that another group keeps finds its way; and only listed clients attach."""

import base64
import concurrent.futures
import json
import pathlib
import subprocess
import tempfile
import time
import unittest

import cluster as clusters
import workload

WORKERS = 16
SIZE = 1000


class Exports(clusters.ClusterTest):
    shape = {"groups": 2}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.key = pathlib.Path(cls.folder.name, "key")
        workload.cairn(cls.cluster, "key", "add", "--rights", "read,write,delete", "-o", cls.key)
        words = [x for x in cls.key.read_text().splitlines() if x and x[0] != "#"][0].split()
        cls.user = ":".join(words[:2])
        secret = base64.b64encode(cls.user.encode()).decode()
        cls.password = {"Authorization": "Basic " + secret}
        # Of a private export nobody else is told what is not there.
        workload.cairn(cls.cluster, "export", "add", "private")
        for node in cls.cluster.storages:
            clusters.wait_until(
                f"the key at {node.id}",
                lambda n=node: cls.request(n, "/private/x").status == 404, 20)

    @classmethod
    def request(cls, node, path, method="GET", body=None):
        return clusters.http_get(node.addr, node.http, path, method=method, body=body,
                                 headers=cls.password)

    def cairn(self, *args, check=True):
        return workload.cairn(self.cluster, *args, check=check)

    def usage(self, name):
        told = json.loads(self.cairn("--json", "export", "ls", name).stdout)[0]
        return told["used_bytes"], told["used_inodes"]

    def put_all(self, name, count):
        """Status by number of file: many at a time, on all nodes."""

        def put(number):
            node = self.cluster.storages[number % len(self.cluster.storages)]
            while True:
                path = f"/{name}/f{number}"
                reply = self.request(node, path, "PUT", bytes([number % 256]) * SIZE)
                if reply.status != 503:
                    return reply.status
                time.sleep(0.05)

        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            return list(pool.map(put, range(count)))

    def test_quota_of_bytes_is_exact(self):
        self.cairn("export", "add", "bytes", "--quota-bytes", 50 * SIZE, "--copies", 1)
        answers = self.put_all("bytes", 120)
        self.assertEqual((answers.count(201), answers.count(507)), (50, 70), set(answers))
        self.assertEqual(self.usage("bytes")[0], 50 * SIZE)
        # Replacing counts the difference; one byte more is too many.
        number = answers.index(201)
        node = self.cluster.storages[0]
        path = f"/bytes/f{number}"
        self.assertEqual(self.request(node, path, "PUT", b"x" * (SIZE + 1)).status, 507)
        self.assertEqual(self.request(node, path, "PUT", b"x" * SIZE).status, 200)
        self.assertEqual(self.request(node, path, "DELETE").status, 204)
        self.assertEqual(sorted(self.put_all("bytes", number + 1))[-1], 201)
        self.assertEqual(self.usage("bytes")[0], 50 * SIZE)
        self.assertEqual(json.loads(self.cairn("--json", "fsck").stdout)["faults"], [])

    def test_quota_of_inodes_is_exact(self):
        self.cairn("export", "add", "inodes", "--quota-inodes", 40, "--copies", 1)
        used = self.usage("inodes")[1]
        answers = self.put_all("inodes", 100)
        self.assertEqual((answers.count(201), answers.count(507)), (40 - used, 60 + used))
        # By other clients at the same time: still one for each that goes.
        for number in [i for i, status in enumerate(answers) if status == 201][:10]:
            self.cairn("rm", f"/inodes/f{number}")

        def mkdir(number):
            return self.cairn("mkdir", f"/inodes/d{number}", check=False).returncode

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            made = list(pool.map(mkdir, range(16)))
        self.assertEqual(made.count(0), 10, made)
        self.assertEqual(self.usage("inodes")[1], 40)

    def test_put_to_another_group_is_redirected(self):
        self.cairn("export", "add", "second", "--groups", "group2", "--copies", 1)
        first = next(node for node in self.cluster.storages if node.group == "group1")
        content = bytes(range(256)) * 4096
        file = pathlib.Path(self.folder.name, "content")
        file.write_bytes(content)

        def curl(*args):
            done = subprocess.run(
                ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{num_redirects}", *args],
                capture_output=True, text=True, timeout=60)
            return done.stdout or done.stderr

        url = f"http://{first.addr}:{first.http}/second/a/1.bin"
        self.assertEqual(curl("-u", self.user, "-T", file, url), "307 0")
        # curl gives a password to another host only when it is told to.
        self.assertEqual(curl("-L", "-u", self.user, "-T", file, url), "401 1")
        self.assertEqual(curl("--location-trusted", "-u", self.user, "-T", file, url), "201 1")
        signed = self.cairn("sign", "--key", self.key, "--method", "PUT", url).stdout.strip()
        self.assertEqual(curl("-L", "-T", file, signed), "200 1")
        for node in self.cluster.storages:
            reply = self.request(node, "/second/a/1.bin")
            self.assertEqual((reply.status, reply.body == content), (200, True), node.id)
        stored = json.loads(self.cairn("--json", "stat", "/second/a/1.bin").stdout)[0]["ids"]
        self.assertTrue(all(one.startswith("group2/") for one in stored), stored)

    def test_only_listed_clients_attach(self):
        conf = pathlib.Path(self.folder.name, "client.conf")
        tracker = self.cluster.tracker
        conf.write_text(f"tracker_server = {tracker.addr}:{tracker.port}\n"
                        f"access_key_file = {self.key}\n")

        def attach():
            return clusters.run_cairn("--conf", conf, "ls", "/listed", check=False)

        self.cairn("export", "add", "listed", "--copies", 1, "--clients", "10.1.0.0/16,10.2.0.[3-9]")
        refused = attach()
        self.assertEqual(refused.returncode, 4, refused.stderr)
        log = pathlib.Path(self.cluster.root, "log", f"{tracker.id}.log")
        self.assertIn("127.0.0.1 is no client of listed", log.read_text())
        self.cairn("export", "set", "listed", "--clients", "127.0.0.1")
        self.assertEqual(attach().returncode, 0)
        # What could never match is refused, and changes nothing.
        for words, why in (("127.0.0.1,web1.example", "'web1.example' is a host name"),
                           ("localhost", "'localhost' is a host name"),
                           ("10.0.0.0/33", "'10.0.0.0/33' is no network"), ("a b", "'a b' is no")):
            for verb in (("set", "listed"), ("add", "never")):
                done = self.cairn("export", *verb, "--clients", words, check=False)
                self.assertEqual(done.returncode, 1, (words, done.stderr))
                self.assertIn(why, done.stderr)
                self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        told = json.loads(self.cairn("--json", "export", "ls").stdout)
        self.assertEqual({one["name"]: one["clients"] for one in told}["listed"], ["127.0.0.1"])
        self.assertNotIn("never", [one["name"] for one in told])
        self.assertEqual(attach().returncode, 0)


if __name__ == "__main__":
    unittest.main()
