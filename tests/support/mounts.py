"""Real mounts for tests: made with cairn-mount, always unmounted, never removed while mounted."""

import os
import signal
import subprocess
import tempfile
import unittest

import cluster as clusters
from fastdfs import wait_until


def need_fuse():
    """Skips, in words, on a machine where nobody can mount."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        raise unittest.SkipTest("SKIPPED: no /dev/fuse here, nothing was mounted")


def is_mounted(directory):
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return any(line.split()[4] == directory for line in file)


class Mount:
    """One mount of an export; use it with `with`."""

    def __init__(self, cluster, export, options="", path=""):
        self.cluster, self.options = cluster, options
        self.source = f":/{export}" + (f"/{path}" if path else "")
        self.directory = os.path.realpath(tempfile.mkdtemp(prefix="cairn-mount-"))
        self.log = tempfile.TemporaryFile()
        self.process = None

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, *exc):
        self.down()
        self.log.close()
        os.rmdir(self.directory)  # only ever empty: what is mounted stays where it is

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def up(self, seconds=30):
        options = f"conf={self.cluster.client_conf}"
        if self.options:
            options += "," + self.options
        self.process = subprocess.Popen(
            [clusters.binary("cairn-mount"), "-f", "-o", options, self.source, self.directory],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_until(f"mount of {self.source}",
                   lambda: is_mounted(self.directory) or self.process.poll() is not None, seconds)
        if self.process.poll() is not None:
            raise AssertionError(f"cairn-mount ended: {self.messages()}")

    def down(self):
        """Unmounts and waits for the end of the program."""
        if is_mounted(self.directory):
            done = subprocess.run(["umount", self.directory], capture_output=True, text=True)
            if done.returncode != 0:
                subprocess.run(["umount", "-l", self.directory], check=False)
        if self.process is not None:
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
        if is_mounted(self.directory):
            raise AssertionError(f"{self.directory} is still mounted")

    def worker(self):
        """The process that serves the mount; None while there is none."""
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            children = file.read().split()
        return int(children[0]) if children else None

    def kill_worker(self):
        """Its supervisor starts another one."""
        pid = self.worker()
        os.kill(pid, signal.SIGKILL)
        return pid

    def kill(self):
        """Both processes, the supervisor first: nobody takes over."""
        worker = self.worker()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if worker is not None:
            os.kill(worker, signal.SIGKILL)
        subprocess.run(["umount", "-l", self.directory], check=False)

    def messages(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")


class MountTest(unittest.TestCase):
    """A cluster with one export, `files`, for all tests of a class."""

    shape = {"storages": 2}
    copies = 1

    @classmethod
    def setUpClass(cls):
        need_fuse()
        cls.cluster = clusters.Cluster(**cls.shape).start()
        cls.addClassCleanup(cls.cluster.down)
        clusters.run_cairn("--conf", cls.cluster.client_conf, "export", "add", "files",
                           "--copies", cls.copies)

    def mount(self, options="", path=""):
        made = Mount(self.cluster, "files", options, path)
        made.__enter__()
        self.addCleanup(made.__exit__)
        return made
