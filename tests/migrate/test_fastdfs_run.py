"""A FastDFS that is in service, played by directories that a real 6.16 has written (tests/compat/data)
and whose log grows meanwhile: its files come into a group of the same name under their old IDs, with
metadata and times; what changes is followed; the gate is green in the end."""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import unittest

import cluster as clusters
import fastdfs
import test_fastdfs as recorded
import trees
import workload

APPENDER = "group1/M00/00/00/Ck4AC2sCVNOETIJ_AAAAADUkQcI458.txt"
METADATA = "group1/M01/00/00/Ck4AC2sCVDiEJIc1AAAAAOMwc68991.txt"
DAMAGED = "group1/M01/00/00/Ck4AC2sCVNWAMtMDAABT06Disk4337.jpg"
DELETED = "group1/M00/00/00/Ck4AC2sCVNWAJsMLAAAA1Wdmmuo222.png"
SLAVE = "group1/M01/00/00/Ck4AC2sCVNWAVRQfAABT06Disk4146_new.jpg"


class Running(recorded.Node):
    """Such directories, and what a daemon does with them: files first, then a line in the log."""

    def __init__(self, folder, kind):
        super().__init__(folder, kind)
        self.age()

    def age(self):
        """As if nothing had been written lately."""
        for path in self.root.rglob("*"):
            if path.is_file():
                os.utime(path, (1_600_000_000, 1_600_000_000))

    def line(self, op, file_id, extra=""):
        with self.log().open("a") as log:
            log.write(f"{int(time.time())} {op} {file_id.split('/', 1)[1]}{extra}\n")

    def put(self, file_id, content, op="C"):
        path = self.path(file_id)
        path.with_name("tmp").write_bytes(content)
        path.with_name("tmp").rename(path)
        self.line(op, file_id)

    def delete(self, file_id):
        self.path(file_id).unlink()
        self.line("D", file_id)


class FromFastdfs(trees.MigrateTest):
    """A cluster for each class: what was deleted in one test keeps its tombstones."""

    shape = {"storages": 2, "paths": 2}

    def source_of(self, kind):
        node = Running(self.folder, kind)
        return node, f"fastdfs:{node.conf}"

    def check_ids(self, expected):
        """{ID: SHA-256 or None}: on every node, by both protocols."""
        for file_id, digest in expected.items():
            for node in self.cluster.storages:
                answer = clusters.http_get(node.addr, node.http, "/" + file_id)
                self.assertEqual(answer.status, 200 if digest else 404, (file_id, node.id))
                with self.cluster.to(node) as storage:
                    reply = storage.request(fastdfs.DOWNLOAD, fastdfs.download_body(file_id))
                self.assertEqual(reply.status, 0 if digest else 2, (file_id, node.id))
                for body in (answer.body, reply.body) if digest else ():
                    self.assertEqual(hashlib.sha256(body).hexdigest(), digest, file_id)

    def metadata(self, file_id):
        done = clusters.run_cairn("--conf", self.cluster.client_conf, "meta", "get", file_id)
        return dict(line.split("=", 1) for line in done.stdout.splitlines())


class Changes(FromFastdfs):
    def test_plain_files_and_what_changes(self):
        node, source = self.source_of("plain")
        before = recorded.describe(node.root)
        expected = recorded.ids("plain")
        dry = self.summary("run", "-n", "--job", "j", source, "group://group1")
        self.assertEqual(dry["files"], len(expected))
        done = self.summary("run", "--job", "j", "--delete", source, "group://group1")
        self.assertEqual((done["files"], done["attributes"], done["failed"], done["short_copies"]),
                         (len(expected), 11, 0, 0))  # one of the 12 is of a file that is gone
        self.check_ids(expected)
        self.assertEqual(self.metadata(METADATA)["width"], "1024")
        answer = clusters.http_get(self.cluster.storage.addr, self.cluster.storage.http, "/" + SLAVE)
        self.assertEqual(answer.status, 404)
        self.assertEqual(recorded.describe(node.root), before)  # the source is read only
        self.assertEqual(self.summary("verify", "--reread", "j")["different"], 0)
        self.assertEqual(self.manifest("j").keys(),
                         {i.split("/", 1)[1].encode() for i in expected})
        again = self.summary("resume", "j")
        self.assertEqual((again["files"], again["attributes"], again["debt"]), (0, 0, 0))

        # What the daemon does now is told by its log: a slave, an append, a delete, new metadata.
        node.put(SLAVE, b"a new slave")
        with node.path(APPENDER).open("ab") as file:
            file.write(b"-more")
        node.line("A", APPENDER, " 6 5")
        node.delete(DELETED)
        meta = node.path(METADATA)
        meta.with_name(meta.name + "-m").write_bytes(b"height\x02768\x01width\x022048")
        node.line("U", METADATA + "-m")
        last = self.summary("run", "--job", "j", "--quick", "--delete", source, "group://group1")
        self.assertEqual((last["files"], last["attributes"], last["removed"], last["failed"]),
                         (2, 1, 1, 0))
        self.assertLess(last["scanned"], 12)  # the log only, not the directories
        expected[SLAVE] = hashlib.sha256(b"a new slave").hexdigest()
        expected[APPENDER] = hashlib.sha256(b"abcdef-more").hexdigest()
        expected[DELETED] = None
        self.check_ids(expected)
        self.assertEqual(self.metadata(METADATA), {"height": "768", "width": "2048"})
        # A slave may be stored anew, with other content.
        node.put(SLAVE, b"another one")
        last = self.summary("run", "--job", "j", "--quick", "--delete", source, "group://group1")
        self.assertEqual((last["files"], last["removed"], last["failed"]), (1, 0, 0))
        expected[SLAVE] = hashlib.sha256(b"another one").hexdigest()
        self.check_ids(expected)
        # What no line tells of is found by the passes that look everywhere, as that of `freeze`.
        node.path(SLAVE).unlink()
        self.assertEqual(self.migrate("gate", "j", check=None).returncode, 41)
        self.migrate("freeze", "j")
        self.migrate("verify", "--reread", "j")
        self.migrate("gate", "j")
        expected[SLAVE] = None
        self.check_ids(expected)
        workload.cairn(self.cluster, "check", "--group", "group1")


class Trunk(FromFastdfs):
    def test_trunk_files(self):
        node, source = self.source_of("trunk")
        expected = recorded.ids("trunk")
        alive = [i for i, digest in expected.items() if digest]
        # Some of the log is not there yet: those names come later.
        lines = node.log().read_text().splitlines(keepends=True)
        late = alive[0]
        node.log().write_text("".join(line for line in lines if late.split("/", 1)[1] not in line))
        done = self.summary("run", "--job", "t", source, "group://group1")
        # Without the late one, and with one that ids.tsv does not list.
        self.assertEqual((done["files"], done["failed"]), (len(alive), 0))
        node.line("C", late)
        done = self.summary("resume", "t")
        self.assertEqual((done["files"], done["failed"]), (1, 0))
        self.check_ids(expected)
        self.migrate("freeze", "t")
        self.assertEqual(self.summary("verify", "--reread", "t")["different"], 0)
        self.migrate("gate", "t")
        # A slot that is freed: its file is gone, though no directory tells so.
        name = fastdfs.decode_name(late.split("/", 1)[1])
        trunk = node.root / f"store{name.path}/data/00/00/{name.slot[0]:06d}"
        with trunk.open("r+b") as file:
            file.seek(name.slot[1])
            file.write(b"\0")
        done = self.summary("run", "--job", "t", "--delete", source, "group://group1")
        self.assertEqual(done["removed"], 1)
        expected[late] = None
        self.check_ids(expected)


class Followed(FromFastdfs):
    def test_followed_until_it_is_told_to_stop(self):
        node, source = self.source_of("plain")
        process = subprocess.Popen(
            [clusters.binary("cairn-migrate"),
             *self.command("run", "--watch", "--job", "w", "--delete", source, "group://group1")],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)

        def following():
            if process.poll() is not None:
                self.fail(f"it ended: {process.communicate()}")
            state = json.loads(self.migrate("--json", "status", "w", check=None).stdout or "{}")
            return state.get("now", {}).get("phase") == "following"

        clusters.wait_until("the first pass is over", following, 60)
        node.put(SLAVE, b"while it is followed")
        node.delete(DELETED)

        def arrived():
            first = self.cluster.storage
            new = clusters.http_get(first.addr, first.http, "/" + SLAVE)
            old = clusters.http_get(first.addr, first.http, "/" + DELETED)
            return new.status == 200 and old.status == 404

        clusters.wait_until("what has changed is there", arrived, 20)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(30), 20)
        expected = recorded.ids("plain")
        expected[SLAVE] = hashlib.sha256(b"while it is followed").hexdigest()
        expected[DELETED] = None
        self.check_ids(expected)


class NotRight(FromFastdfs):
    def test_what_is_not_right(self):
        node, source = self.source_of("plain")
        wrong = node.path(DAMAGED)
        wrong.write_bytes(b"X" + wrong.read_bytes()[1:])
        node.age()
        (wrong.parent / "README").write_text("somebody's")
        outside = wrong.with_name("Ck4AC2sCVNWAVRQfAABT06Disk4146_out.jpg")
        outside.symlink_to("/etc/passwd")
        inside = wrong.with_name("Ck4AC2sCVNWAVRQfAABT06Disk4146_in.jpg")
        inside.symlink_to(wrong.with_name("Ck4AC2sCVNWAVRQfAABT06Disk4146.jpg"))
        # An upload that is being written has a name of that kind, and not yet its content.
        half = wrong.with_name(DAMAGED.rsplit("/", 1)[1].replace("4337", "4338"))
        half.write_bytes(b"half")
        done = self.summary("run", "--job", "j", source, "group://group1", check=23)
        self.assertEqual((done["failed"], done["foreign"]), (2, 1))
        told = self.migrate("report", "j").stdout
        for word in ("checksum in its name", "leads out", wrong.name, outside.name):
            self.assertIn(word, told)
        expected = recorded.ids("plain")
        expected[DAMAGED] = None
        expected["group1/M01/00/00/" + inside.name] = expected[
            "group1/M01/00/00/Ck4AC2sCVNWAVRQfAABT06Disk4146.jpg"]
        self.check_ids(expected)
        # Mended, and the upload has come to its end under another name.
        shutil.copy(recorded.DATA / "plain/store1/data/00/00" / wrong.name, wrong)
        outside.unlink()
        half.unlink()
        done = self.summary("resume", "j")
        self.assertEqual((done["files"], done["failed"]), (1, 0))
        # What has another content at the destination is not written over, nor brought back there.
        workload.cairn(self.cluster, "delete", DAMAGED)
        self.migrate("resume", "--rebuild-ledger", "j", check=23)
        self.check_ids({DAMAGED: None})
        self.migrate("run", "--job", "j", "-I", source, "group://group1")
        self.check_ids({DAMAGED: recorded.ids("plain")[DAMAGED]})
        workload.cairn(self.cluster, "check", "--group", "group1")

    def test_what_cannot_be(self):
        node, source = self.source_of("plain")
        for args in ([source, self.export], [source, "group://group2"],
                     [self.folder + "/", "group://group1"],
                     ["--mode", "adopt", source, "group://group1"]):
            self.migrate("run", "--job", "x", *args, check=1)
            shutil.rmtree(os.path.join(self.state, "x"), True)
        self.migrate("plan", source, "group://group1", check=1)
        shutil.rmtree(node.root / "store1/data/00")
        told = self.migrate("run", "--job", "x", source, "group://group1", check=3)
        self.assertIn("mounted", told.stderr)
        with self.cluster.to(self.cluster.storage) as storage:  # no stranger stores under a name
            self.assertNotEqual(storage.request(199, b"\0\0\0\1" + b"\0" * 64).status, 0)


class Aborted(FromFastdfs):
    def test_abort(self):
        _, source = self.source_of("plain")
        self.migrate("run", "--job", "j", source, "group://group1")
        # What another job finds there is not its own.
        self.migrate("run", "--job", "later", source, "group://group1")
        self.migrate("abort", "--remove", "--yes", "later")
        self.check_ids(recorded.ids("plain"))
        self.migrate("abort", "--remove", "--yes", "j")
        self.check_ids(dict.fromkeys(recorded.ids("plain")))


if __name__ == "__main__":
    unittest.main(verbosity=2)
