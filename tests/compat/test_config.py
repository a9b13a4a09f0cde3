"""FastDFS configuration files are understood: points 97 to 100 of docs/compat.md. The files in
data/conf are of our own writing, with every key that FastDFS 5 and 6 know.
"""
import os
import re
import shutil
import tempfile
import unittest

import fastdfs
from cluster import ClusterTest, run_cairn

CONF = os.path.join(os.path.dirname(__file__), "data", "conf")

# Keys of FastDFS that work as they do there (so no note is due), by program.
USED = {
    "tracker": {"bind_addr", "port", "connect_timeout", "network_timeout", "base_path",
                "max_connections", "work_threads", "store_lookup", "store_group", "store_server",
                "store_path", "download_server", "reserved_storage_space", "log_level",
                "allow_hosts", "check_active_interval", "storage_sync_file_max_delay",
                "storage_sync_file_max_time", "response_ip_addr_size", "storage_ids_filename",
                "use_storage_id", "disabled"},
    "storage": {"group_name", "bind_addr", "port", "connect_timeout", "network_timeout",
                "heart_beat_interval", "stat_report_interval", "base_path", "max_connections",
                "buff_size", "work_threads", "store_path_count", "store_path0", "store_path1",
                "store_path1_readonly", "subdir_count_per_path", "tracker_server", "log_level",
                "allow_hosts", "file_distribute_path_mode", "file_distribute_rotate_count",
                "upload_priority", "server_id", "disabled"},
}


class CheckTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="cairn-test-")
        self.addCleanup(shutil.rmtree, self.folder)
        shutil.copytree(CONF, self.folder, dirs_exist_ok=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def check(self, role, name):
        return run_cairn("--check", self.path(name), program="cairn-" + role, check=False)

    def accepted(self, role, name):
        done = self.check(role, name)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return name

    def variant(self, base, *lines, without=()):
        """A copy of a file with more lines and without some keys."""
        with open(self.path(base), encoding="utf-8") as file:
            kept = [line for line in file.read().splitlines()
                    if line.partition("=")[0].strip() not in without]
        # Sections come last in these files: new keys go to the front.
        return self.write("variant.conf", "\n".join([*lines, *kept]) + "\n")

    FILES = (("tracker", "tracker-5.conf"), ("tracker", "tracker-6.conf"),
             ("storage", "storage-5.conf"), ("storage", "storage-6.conf"))

    def test_97_known_keys_are_accepted(self):
        for role, name in self.FILES:
            with self.subTest(name):
                self.accepted(role, name)

    def test_97_a_note_for_every_key_without_effect(self):
        for role, name in self.FILES:
            with open(self.path(name), encoding="utf-8") as file:
                text = re.sub(r"(?m)^#.*", "", file.read())
            said = self.accepted(role, name)
            section = ""
            for line in text.splitlines():
                if line.startswith("["):
                    section = line.strip()[1:-1] + "."
                key, equals, value = line.partition("=")
                if not equals or not value.strip() or (not section and key.strip() in USED[role]):
                    continue
                with self.subTest(name, key=section + key.strip()):
                    self.assertTrue(key.strip() in said, "neither used nor noted")

    def test_97_unknown_keys_are_an_error(self):
        """Not as in the original, which ignores them."""
        for role, name in self.FILES:
            with self.subTest(name):
                made = self.variant(name, "max_conections = 1024")
                done = self.check(role, made)
                self.assertEqual(done.returncode, 1)
                said = done.stdout + done.stderr
                self.assertIn("variant.conf:1:", said)
                self.assertIn("max_conections", said)
                self.assertIn("max_connections", said, "the nearest known key")

    def test_98_everybody_needs_a_second_word(self):
        """Not as in the original: its samples say `allow_hosts = *`."""
        for role, name in self.FILES:
            with self.subTest(name):
                made = self.variant(name, "allow_hosts = *", without=("allow_hosts",))
                self.assertEqual(self.check(role, made).returncode, 1)
                made = self.variant(name, "allow_hosts = *", "allow_strangers = on",
                                    without=("allow_hosts",))
                self.assertEqual(self.check(role, made).returncode, 0)

    def test_99_booleans_and_sizes(self):
        for value in ("true", "false", "yes", "no", "on", "off", "1", "0", "True", "OFF"):
            self.accepted("storage", self.variant("storage-6.conf", f"store_path0_readonly={value}"))
        for value in ("maybe", "2", "ja"):
            done = self.check("storage",
                              self.variant("storage-6.conf", f"store_path0_readonly = {value}"))
            self.assertEqual(done.returncode, 1)
        for value in ("65536", "256KB", "256K", "256kb", "1MB", "1m", "1M"):
            self.accepted("storage", self.variant("storage-6.conf", f"buff_size = {value}",
                                                  without=("buff_size",)))
        for value in ("1GB", "1G", "20%", "20.5%", "1024MB", "1073741824"):
            self.accepted("tracker", self.variant("tracker-6.conf",
                                                  f"reserved_storage_space = {value}",
                                                  without=("reserved_storage_space",)))
        for value in ("20%%", "-1", "12 apples", "101%"):
            done = self.check("tracker", self.variant("tracker-6.conf",
                                                      f"reserved_storage_space = {value}",
                                                      without=("reserved_storage_space",)))
            self.assertEqual(done.returncode, 1, value)

    def test_99_includes_and_repeated_keys(self):
        self.write("hosts.conf", "allow_hosts = 10.1.0.0/16\nallow_hosts = 127.0.0.1\n")
        self.accepted("storage", self.variant("storage-6.conf", "#include hosts.conf"))
        self.accepted("storage", self.variant("storage-6.conf",
                                              "tracker_server = 10.9.9.9:22122",
                                              "tracker_server = 10.9.9.8"))
        self.write("loop.conf", "#include loop.conf\n")
        done = self.check("storage", self.variant("storage-6.conf", "#include loop.conf"))
        self.assertEqual(done.returncode, 1)
        done = self.check("storage", self.variant("storage-6.conf", "#include nosuch.conf"))
        self.assertEqual(done.returncode, 1)

    def test_99_a_key_that_comes_twice(self):
        done = self.check("storage", self.variant("storage-6.conf", "port = 23001"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("port", done.stdout + done.stderr)

    def test_99_hosts(self):
        for value in ("10.0.1.[1-15,20]", "web[01-08,20].example", "192.168.5.64/26", "10.0.0.0/8",
                      "10.0.0.1,10.0.0.2"):
            self.accepted("storage", self.variant("storage-6.conf", f"allow_hosts = {value}"))
        for value in ("10.0.0.0/33", "10.0.0.[5-1]", "10.0.0.[1", "300.1.1.1/8"):
            done = self.check("storage",
                              self.variant("storage-6.conf", f"allow_hosts = {value}"))
            self.assertEqual(done.returncode, 1, value)

    def test_100_storage_ids(self):
        lines = {"100001 group1 192.168.0.196": 0,
                 "100001 group1 192.168.0.196,10.0.0.1": 0,
                 "100001 group1 192.168.0.196:23000": 0,
                 "100001 group1 192.168.0.196 rw=read": 0,
                 "100001 group1 192.168.0.196,10.0.0.1:23000 rw=none": 0,
                 "100001\tgroup1\t192.168.0.196  rw=both": 0,
                 "16777216 group1 192.168.0.196": 1,
                 "0 group1 192.168.0.196": 1,
                 "100001 group1": 1,
                 "100001 gr-up1 192.168.0.196": 1,
                 "100001 group1 192.168.0.196 rw=maybe": 1}
        for line, code in lines.items():
            with self.subTest(line):
                self.write("storage_ids.conf", f"# a comment\n{line}\n\n"
                                               "100002 group1 192.168.0.197\n")
                made = self.variant("tracker-6.conf", "storage_ids_filename = storage_ids.conf",
                                    without=("storage_ids_filename",))
                done = self.check("tracker", made)
                self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.write("storage_ids.conf", "1 group1 10.0.0.1\n1 group1 10.0.0.2\n")
        self.assertEqual(self.check("tracker", "tracker-6.conf").returncode, 1, "an ID twice")


class DefaultsTest(ClusterTest):
    """Point 98, as far as defaults show over the wire."""

    def test_97_client_conf(self):
        """Our tools read the client.conf of the C and the Java client."""
        node = self.cluster.tracker
        source = os.path.join(self.cluster.root, "hello.txt")
        with open(source, "wb") as file:
            file.write(b"hello\n")
        for name in ("client-c.conf", "client-java.conf"):
            with self.subTest(name):
                with open(os.path.join(CONF, name), encoding="utf-8") as file:
                    text = re.sub(r"(?m)^tracker_server =.*$",
                                  f"tracker_server = {node.addr}:{node.port}", file.read())
                conf = os.path.join(self.cluster.root, name)
                with open(conf, "w", encoding="utf-8") as file:
                    file.write(text)
                file_id = run_cairn("--conf", conf, "upload", source).stdout.strip()
                self.assertEqual(self.cluster.download(file_id), b"hello\n")

    def test_98_defaults_over_the_wire(self):
        """256 directories a level, priority 10, port 23000, a day until all have a file."""
        with self.cluster.to(self.cluster.tracker) as tracker:
            raw = tracker.call(fastdfs.LIST_STORAGES, fastdfs.text("group1", 16))
            values = tracker.call(fastdfs.GET_PARAMETERS).decode().splitlines()
        stat = fastdfs.read_storage(raw)
        self.assertEqual((stat["subdir_count"], stat["upload_priority"], stat["port"]),
                         (256, 10, 23000))
        self.assertIn("storage_sync_file_max_delay=86400", values)
        self.assertIn("store_path=0", values)


if __name__ == "__main__":
    unittest.main()
