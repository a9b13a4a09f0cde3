"""Host names in allow_hosts while a daemon runs: a name that moves counts at its new address and no
longer at the old one, at the interval and on SIGHUP; one that is not found changes nothing."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import cluster as clusters
import fastdfs
from fastdfs import Connection, wait_until

NAME = "office.test"


class NamesTest(unittest.TestCase):
    """A tracker in a mount namespace of its own, with a file in the place of /etc/hosts."""

    def setUp(self):
        if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False,
                                               capture_output=True).returncode != 0:
            self.skipTest("needs root and mount namespaces")
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="cairn-test-"))
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        self.net = f"127.{192 + os.getpid() % 60}.{os.getpid() % 250}"
        self.addr = f"{self.net}.1"
        self.hosts = self.root / "hosts"
        (self.root / "nsswitch.conf").write_text("hosts: files\n")
        (self.root / "data").mkdir()

    def start(self, interval):
        (self.root / "tracker.conf").write_text(
            f"bind_addr = {self.addr}\nport = 22122\nhttp_port = 0\nbase_path = {self.root}/data\n"
            f"allow_hosts = {self.net}.9, {NAME}\nnames_interval = {interval}\n")
        self.log = self.root / "log"
        with open(self.log, "wb") as log:
            self.tracker = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c",
                 f"mount --bind {self.hosts} /etc/hosts && "
                 f"mount --bind {self.root}/nsswitch.conf /etc/nsswitch.conf && "
                 f"exec {clusters.binary('cairn-tracker')} {self.root}/tracker.conf"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(self.tracker.wait, 60)
        self.addCleanup(self.tracker.terminate)
        wait_until("the tracker", lambda: self.may(9), 60)

    def name_is(self, *hosts):
        """In place: the daemon sees this very file."""
        self.hosts.write_text("".join(f"{self.net}.{host} {NAME}\n" for host in hosts))

    def may(self, host):
        """Whether a client from that address is served."""
        try:
            with Connection(self.addr, 22122, source=f"{self.net}.{host}") as connection:
                return connection.request(fastdfs.LIST_ALL_GROUPS).status == 0
        except (OSError, fastdfs.ConnectionClosed):
            return False

    def lines(self, text):
        return [line for line in self.log.read_text().splitlines() if text in line]

    def test_on_sighup(self):
        self.name_is(5)
        self.start(interval=0)
        self.assertTrue(self.may(5))
        self.assertFalse(self.may(6))
        self.name_is(6, 7)
        time.sleep(1.5)
        self.assertTrue(self.may(5), "nobody has asked for it")
        self.reload()
        wait_until("the new address", lambda: self.may(6), 60)
        self.assertTrue(self.may(7))
        self.assertFalse(self.may(5))
        self.assertEqual(len(self.lines("other addresses")), 1)
        self.assertIn(f"counting={self.net}.6,{self.net}.7", self.lines("other addresses")[0])
        # Not found any more: the last good answer stays, and is told once.
        self.name_is()
        self.reload()
        wait_until("a warning", lambda: self.lines("not found"), 60)
        self.reload()
        self.assertTrue(self.may(6))
        self.assertTrue(self.may(9))
        self.name_is(8)
        self.reload()
        wait_until("the next address", lambda: self.may(8), 60)
        self.assertFalse(self.may(6))
        self.assertEqual(len(self.lines("not found")), 1)

    def reload(self):
        """SIGHUP, and the line of the log that says it was taken."""
        before = len(self.lines("configuration reloaded"))
        self.tracker.send_signal(signal.SIGHUP)
        wait_until("the reload", lambda: len(self.lines("configuration reloaded")) > before, 60)

    def test_at_the_interval(self):
        self.name_is()
        self.start(interval=1)
        self.assertEqual(len(self.lines("not found")), 1)
        self.assertFalse(self.may(5))
        self.name_is(5)
        wait_until("the name", lambda: self.may(5), 60)
        self.name_is(6)
        wait_until("its new address", lambda: self.may(6) and not self.may(5), 60)
        self.tracker.terminate()
        self.assertEqual(self.tracker.wait(60), 0, "a look-up holds up the end")


if __name__ == "__main__":
    unittest.main()
