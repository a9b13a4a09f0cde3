"""The tracker's disk is lost without a backup: what a mount has written comes back under its name."""

import json
import os
import pathlib
import shutil
import subprocess
import unittest

import cluster as clusters
import mounts
import workload


class Rebuild(mounts.MountTest):
    def test_files_of_a_mount_keep_their_names(self):
        contents = {}
        with mounts.Mount(self.cluster, "files") as mount:
            os.makedirs(mount.path("2012", "03"))
            for name in ("a.jpg", "2012/b c.jpg", "2012/03/d.bin"):
                contents[name] = os.urandom(10_000 + len(name))
                pathlib.Path(mount.path(name)).write_bytes(contents[name])
            # In pieces, and renamed before the last of them.
            with open(mount.path("2012/03/before"), "wb") as file:
                file.write(b"1" * 5000)
                file.flush()
                os.fsync(file.fileno())
                os.rename(mount.path("2012/03/before"), mount.path("2012/03/after"))
                file.write(b"2" * 5000)
            contents["2012/03/after"] = b"1" * 5000 + b"2" * 5000
        with mounts.Mount(self.cluster, "files", path="2012/03") as below:
            pathlib.Path(below.path("below")).write_bytes(b"below")
            contents["2012/03/below"] = b"below"

        tracker = self.cluster.tracker
        self.cluster.stop(tracker)
        shutil.rmtree(pathlib.Path(self.cluster.root, "data", tracker.id, "data", "meta"))
        self.cluster.start_node(tracker)
        self.cluster.wait_active()
        done = workload.cairn(self.cluster, "--json", "namespace", "rebuild", check=False)
        told = json.loads(done.stdout)
        # Only the export's settings are not known.
        self.assertEqual((told["files"], len(told["undecided"])), (len(contents), 1), told)
        for name, content in contents.items():
            got = subprocess.run(
                [clusters.binary("cairn"), "--conf", self.cluster.client_conf, "cat",
                 "/files/" + name], capture_output=True)
            self.assertEqual((got.returncode, got.stdout == content), (0, True), name)


if __name__ == "__main__":
    unittest.main()
