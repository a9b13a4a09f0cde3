"""Bad input at start: one clear line, an exit code that is not 0, and nothing touched."""

import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import unittest

import cluster as clusters

SECONDS = 20


def snapshot(folder):
    """{path: (mode, size, content)} of everything below a folder."""
    found = {}
    for path in sorted(pathlib.Path(folder).rglob("*")):
        state = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (state.st_mode, state.st_size if content else 0, content)
    return found


class Refusals(clusters.ClusterTest):
    shape = {"storages": 1}

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cairn-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.base = self.folder / "base"
        self.base.mkdir()
        (self.base / "of-someone-else").write_text("untouched")

    def settings(self, program):
        """A good configuration beside the running cluster, on ports of its own."""
        keys = {"bind_addr": self.cluster.tracker.addr, "port": 0, "http_port": 0,
                "base_path": self.base}
        keys["port"] = self.free_port(keys["bind_addr"])
        if program == "cairn-storage":
            tracker = self.cluster.tracker
            keys |= {"group_name": "group1", "store_path0": self.folder / "store",
                     "tracker_server": f"{tracker.addr}:{tracker.port}"}
        return keys

    @staticmethod
    def free_port(addr):
        with socket.socket() as probe:
            probe.bind((addr, 0))
            return probe.getsockname()[1]

    def conf(self, keys, *extra):
        path = self.folder / "given.conf"
        lines = [f"{key} = {value}" for key, value in keys.items()]
        path.write_text("\n".join([*lines, *extra]) + "\n")
        return path

    def refused(self, program, conf, *expected, options=()):
        """Runs the program; checks that it ends with one line that holds each of `expected`."""
        before = snapshot(self.folder)
        done = subprocess.run([clusters.binary(program), *options, str(conf)], text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS)
        self.assertNotEqual(done.returncode, 0)
        self.assertGreater(done.returncode, 0, "it ended by a signal")
        lines = (done.stdout + done.stderr).splitlines()
        self.assertEqual(len(lines), 1, "\n".join(lines))
        for text in expected:
            self.assertRegex(lines[0], text)
        after = snapshot(self.folder)
        self.assertEqual(sorted(set(after) - set(before)), [], "it made files")
        self.assertEqual({k: v for k, v in before.items() if after.get(k) != v}, {}, "it changed")

    def test_good_configuration_passes_the_check(self):
        # Otherwise the refusals below might be for the wrong reason.
        for program in ("cairn-tracker", "cairn-storage"):
            with self.subTest(program):
                conf = self.conf(self.settings(program))
                before = snapshot(self.folder)
                done = clusters.run_cairn("--check", conf, program=program, check=False)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(snapshot(self.folder), before)

    def test_missing_file(self):
        for program in ("cairn-tracker", "cairn-storage"):
            for options in ((), ("--check",)):
                with self.subTest(program, options=options):
                    absent = self.folder / "absent.conf"
                    self.refused(program, absent, re.escape(str(absent)), "No such file|not found",
                                 options=options)

    def test_unknown_key(self):
        for program in ("cairn-tracker", "cairn-storage"):
            for options in ((), ("--check",)):
                with self.subTest(program, options=options):
                    keys = self.settings(program)
                    conf = self.conf(keys, "max_conections = 10")
                    self.refused(program, conf, rf"given\.conf:{len(keys) + 1}\b",
                                 "max_conections", options=options)

    def test_bad_values(self):
        table = (
            ("cairn-storage", {"group_name": "gr/oup"}, r"given\.conf:\d+.*group"),
            ("cairn-storage", {"group_name": "seventeenletters1"}, r"given\.conf:\d+.*group"),
            ("cairn-storage", {"group_name": ""}, "group_name"),
            ("cairn-storage", {"http_port": 70000}, r"given\.conf:\d+.*http_port"),
            ("cairn-storage", {"tracker_server": "nowhere:port"}, "tracker_server|port"),
            ("cairn-storage", {"store_path2": "/tmp/x"}, "store_path"),
            ("cairn-storage", {"allow_hosts": "*"}, "allow_strangers"),
            ("cairn-tracker", {"port": "many"}, r"given\.conf:\d+.*port"),
            ("cairn-tracker", {"allow_hosts": "*"}, "allow_strangers"),
            ("cairn-tracker", {"base_path": ""}, "base_path"),
        )
        for program, changed, expected in table:
            for options in ((), ("--check",)):
                with self.subTest(program, changed=changed, options=options):
                    conf = self.conf(self.settings(program) | changed)
                    self.refused(program, conf, expected, options=options)

    def test_port_in_use(self):
        for program, node in (("cairn-tracker", self.cluster.tracker),
                              ("cairn-storage", self.cluster.storage)):
            with self.subTest(program):
                keys = self.settings(program) | {"bind_addr": node.addr, "port": node.port}
                self.refused(program, self.conf(keys), str(node.port), "in use")
            with self.subTest(program, port="HTTP"):
                keys = self.settings(program) | {"bind_addr": node.addr, "http_port": node.http}
                self.refused(program, self.conf(keys), str(node.http), "in use")

    def test_paths_that_cannot_be_written(self):
        # Under a plain file, and in a file system that takes no directories: that holds for root.
        obstacle = self.folder / "plain-file"
        obstacle.write_text("in the way")
        for bad in (obstacle, obstacle / "below", "/proc/cairn-test"):
            with self.subTest("store_path0", path=bad):
                conf = self.conf(self.settings("cairn-storage") | {"store_path0": bad})
                self.refused("cairn-storage", conf, re.escape(str(bad)))
            for program in ("cairn-tracker", "cairn-storage"):
                with self.subTest("base_path", program=program, path=bad):
                    conf = self.conf(self.settings(program) | {"base_path": bad})
                    self.refused(program, conf, re.escape(str(bad)))

    def running_conf(self, node, **changed):
        """The configuration of a running node with some keys changed."""
        text = pathlib.Path(self.cluster.conf_file(node)).read_text()
        for key, value in changed.items():
            text = re.sub(rf"(?m)^\s*{key}\s*=.*\n", "", text) + f"\n{key} = {value}\n"
        path = self.folder / "second.conf"
        path.write_text(text)
        return path

    def test_second_daemon_on_the_same_data(self):
        for program, node in (("cairn-tracker", self.cluster.tracker),
                              ("cairn-storage", self.cluster.storage)):
            with self.subTest(program):
                ports = {"port": self.free_port(node.addr), "http_port": self.free_port(node.addr)}
                conf = self.running_conf(node, **ports)
                self.refused(program, conf, "in use|another|already")
        # The same store path under another base_path is the same data.
        node = self.cluster.storage
        conf = self.running_conf(node, port=self.free_port(node.addr),
                                 http_port=self.free_port(node.addr), base_path=self.base)
        self.refused("cairn-storage", conf, re.escape(node.store_paths[0]),
                     "in use|another|already|belongs")

    def tearDown(self):
        # Whatever was tried, the running nodes did not mind.
        file_id = self.cluster.upload(b"still here", "txt")
        self.assertEqual(self.cluster.download(file_id), b"still here")


if __name__ == "__main__":
    unittest.main()
