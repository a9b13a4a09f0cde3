"""Directories that a real FastDFS 6.16 has written (tests/compat/data) are taken over in place:
every ID downloads with equal bytes, by the FastDFS protocol and over HTTP, from every node; damage
is told; and giving them back leaves them as FastDFS left them."""

import gzip
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest
import zlib

import cluster as clusters
import fastdfs
import workload

DATA = pathlib.Path(__file__).parents[1] / "compat" / "data"
FORMER = "10.78.0.11"  # the address in the names


def ids(kind):
    """{file ID: SHA-256 or None for what was deleted}."""
    out = {}
    for line in (DATA / "ids.tsv").read_text().splitlines():
        if not line.startswith("#"):
            where, file_id, _, digest = line.split("\t")
            if where == kind:
                out[file_id] = None if digest == "deleted" else digest
    return out


def describe(root):
    """{path: size, time, content, extended attributes, target of a link} of all there is."""
    out = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = pathlib.Path(folder, name)
            info = path.lstat()
            entry = [info.st_mode]
            if path.is_symlink():
                entry.append(os.readlink(path))
            elif path.is_file():
                entry += [info.st_size, info.st_mtime_ns, path.read_bytes(), os.listxattr(path)]
            out[str(path.relative_to(root))] = entry
    return out


class Node:
    """What is left of a FastDFS storage daemon: a copy of the recorded directories."""

    def __init__(self, folder, kind, bind_addr="127.0.0.1"):
        self.root = pathlib.Path(folder, kind)
        shutil.copytree(DATA / kind, self.root)
        for path in [self.root, *self.root.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        self.conf = self.root / "storage.conf"
        self.conf.write_text(f"""
            group_name = group1
            bind_addr = {bind_addr}
            base_path = {self.root}/base
            store_path_count = 2
            store_path0 = {self.root}/store0
            store_path1 = {self.root}/store1
            subdir_count_per_path = 4
            tracker_server = 10.78.0.1:22122
            allow_hosts = 127.0.0.0/8
            run_by_group =
            """)

    def path(self, file_id):
        name = file_id.split("/", 1)[1]
        return self.root / f"store{int(name[1:3], 16)}" / "data" / name[4:]

    def log(self):
        return self.root / "base/data/sync/binlog.000"


def adopt(node, *args, check=0):
    """Runs cairn-migrate adopt; its summary and its findings as {name: kind}."""
    done = clusters.run_cairn("--json", "adopt", "--fastdfs", node.conf, *args,
                              program="cairn-migrate", check=False)
    if done.returncode != check:
        raise AssertionError(f"exit {done.returncode}, not {check}\n{done.stdout}\n{done.stderr}")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    summary = next((e for e in events if e["event"] == "summary"), None)
    return summary, {e["path"]: e["event"] for e in events if "path" in e}


class Offline(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="cairn-adopt-")
        self.addCleanup(shutil.rmtree, self.folder, True)

    def test_a_dry_run_touches_nothing_and_tells_what_there_is(self):
        expected = {"plain": {"normal": 11, "appender": 4, "slave": 6, "trunk": 0, "metadata": 12},
                    "trunk": {"normal": 0, "appender": 0, "slave": 1, "trunk": 6, "metadata": 2}}
        for kind, counts in expected.items():
            with self.subTest(kind):
                node = Node(self.folder, kind)
                before = describe(node.root)
                summary, findings = adopt(node, "-n", "-c")
                self.assertEqual({k: summary[k] for k in counts}, counts)
                self.assertEqual(findings, {})
                self.assertEqual(list(summary["sources"]), [FORMER])
                self.assertEqual(summary["own_source"], FORMER)
                self.assertEqual(describe(node.root), before)
                again, _ = adopt(node)
                self.assertEqual({k: again[k] for k in counts}, counts)

    def test_taken_over_and_given_back(self):
        for kind in ("plain", "trunk"):
            with self.subTest(kind):
                node = Node(self.folder, kind)
                before = describe(node.root)
                adopt(node)
                for file_id, digest in ids(kind).items():
                    path = node.path(file_id)
                    self.assertEqual(path.exists(), digest is not None, file_id)
                    if digest:
                        found = hashlib.sha256(path.read_bytes()).hexdigest()
                        self.assertEqual(found, digest, file_id)
                adopt(node, check=5)
                _, findings = adopt(node, "--undo")
                self.assertEqual(findings, {})
                self.assertEqual(describe(node.root), before)
                adopt(node, "--undo", check=3)

    def test_symbolic_links(self):
        """As FastDFS makes them for slave files and for equal content, when told to."""
        node = Node(self.folder, "plain")
        master = node.path("group1/M01/00/00/Ck4AC2sCVNWAVRQfAABT06Disk4146.jpg")
        linked = master.with_name("Ck4AC2sCVNWAVRQfAABT06Disk4146_small.jpg")
        dangling = master.with_name("Ck4AC2sCVNWAVRQfAABT06Disk4146_gone.jpg")
        outside = master.with_name("Ck4AC2sCVNWAVRQfAABT06Disk4146_out.jpg")
        linked.symlink_to(f"/srv/was/elsewhere/store1/data/00/00/{master.name}")
        dangling.symlink_to(master.with_name("Ck4AC2sCVNWAVRQfAABT06Disk4999.jpg"))
        outside.symlink_to("/etc/passwd")
        before = describe(node.root)
        summary, findings = adopt(node, check=2)
        self.assertEqual(summary["links"], 1)
        self.assertEqual(findings, {f"group1/M01/00/00/{dangling.name}": "damaged",
                                    f"group1/M01/00/00/{outside.name}": "damaged"})
        self.assertFalse(linked.is_symlink())
        self.assertTrue(linked.samefile(master))
        adopt(node, "--undo")
        self.assertEqual(describe(node.root), before)

    def test_what_is_not_right_is_told_and_the_rest_is_taken(self):
        node = Node(self.folder, "plain")
        short = node.path("group1/M01/00/00/Ck4AC2sCVNWAMtMDAABT06Disk4337.jpg")
        short.write_bytes(short.read_bytes()[:-1])
        wrong = node.path("group1/M00/00/00/Ck4AC2sCVNSAR_cIAAAF3OF19QQ420.jpg")
        wrong.write_bytes(b"X" + wrong.read_bytes()[1:])
        gone = node.path("group1/M00/00/00/Ck4AC2sCVNWAUx24AAAADOMwc68985.txt")
        gone.unlink()
        (gone.parent / "README").write_text("somebody's")
        (gone.parent / "folder").mkdir()
        with node.log().open("ab") as log:
            log.write(b"17953149\x00\xff nonsense\n" + b"x" * 3000 + b"\n1795314901 C M0")
        summary, findings = adopt(node, "-c", check=2)
        self.assertEqual(summary["log_damaged"], 3)
        self.assertEqual({pathlib.Path(k).name: v for k, v in findings.items()},
                         {short.name: "damaged", wrong.name: "damaged", gone.name: "missing",
                          "README": "skipped", "folder": "skipped"})
        self.assertEqual(summary["files"], 20)

    def test_trunk_files_and_their_log(self):
        node = Node(self.folder, "trunk")
        damaged = "group1/M01/00/00/Ck4AC2sCVWGIYoHJAABT06Disk4AAAAAgAACAAAAFQA263.jpg"
        trunk = node.root / "store1/data/00/00/000002"
        with trunk.open("r+b") as file:
            file.seek(2048 + 24 + 100)
            file.write(b"!")
        # What the log does not name any more cannot be named by anybody.
        unnamed = "Ck4AC2sCVWGIQ3HxAAAA1WdmmuoAAAAAQAAAgAAAAEA946.png"
        lines = [line for line in node.log().read_text().splitlines() if unnamed not in line]
        # A name whose place somebody else has by now, and one of a trunk file that is lost.
        lines.insert(0, "1795315041 C M00/00/00/Ck4AC2sCVWGIfJ8DAAAADOMwc68AAAAAQAAAQAAAAEA345.txt")
        lost = fastdfs.decode_name("M00/00/00/Ck4AC2sCVWGIfJ8DAAAADOMwc68AAAAAQAAAQAAAAEA344.txt")
        self.assertEqual(lost.kind, "trunk")
        node.log().unlink()
        with gzip.open(str(node.log()) + ".gz", "wt") as log:  # as FastDFS keeps old ones
            log.write("\n".join(lines) + "\n")
        before = describe(node.root)
        summary, findings = adopt(node, check=2)
        self.assertEqual(findings, {
            damaged: "damaged",
            "group1/M00/00/00/Ck4AC2sCVWGIfJ8DAAAADOMwc68AAAAAQAAAQAAAAEA345.txt": "missing",
            "group1/M00/00/00/000001 at 512": "unnamed"})
        self.assertEqual(summary["trunk"], 4)
        self.assertFalse(node.path(damaged).exists())
        # Without any log nothing has a name.
        adopt(node, "--undo")
        self.assertEqual(describe(node.root), before)
        os.remove(str(node.log()) + ".gz")
        summary, findings = adopt(node, "-n", check=2)
        self.assertEqual(set(findings.values()), {"unnamed"})
        self.assertEqual(summary["trunk"], 0)
        self.assertGreaterEqual(summary["unnamed"], 4)  # those behind a deleted one are not seen

    def test_killed_and_run_again(self):
        """What a run that was killed may leave behind, and what a power loss may take of it."""
        node = Node(self.folder, "trunk")
        before = describe(node.root)
        adopt(node)
        made = describe(node.root)
        for store in ("store0", "store1"):
            (node.root / store / "data/.adopted/done").unlink()
        node.path("group1/M01/00/00/Ck4AC2sCVWGIIU3SAAAF3OF19QQAAAAAgAAAAAAAAYA477.jpg").unlink()
        cut = node.path("group1/M00/00/00/Ck4AC2sCVWGIfJ8DAAAADOMwc68AAAAAQAAAQAAAAEA344.txt")
        cut.write_bytes(b"")
        adopt(node)
        after = describe(node.root)
        self.assertEqual({k: v for k, v in made.items() if ".gz" not in k and "done" not in k},
                         {k: v for k, v in after.items() if ".gz" not in k and "done" not in k})
        adopt(node, "--undo")
        self.assertEqual(describe(node.root), before)

    def test_a_storage_id_is_kept(self):
        node = Node(self.folder, "plain")
        for store in ("store0", "store1"):
            for path in (node.root / store / "data/00/00").iterdir():
                path.unlink()
        content = b"named by a number"
        name = "M00/00/00/" + fastdfs.encode_20(
            100_001, 1_700_000_000, 1 << 63 | len(content), zlib.crc32(content)) + "417.txt"
        node.path("group1/" + name).write_bytes(content)
        node.log().write_text(f"1700000000 C {name}\n")
        conf = os.path.join(self.folder, "cairn.conf")
        summary, findings = adopt(node, "-c", "--write-conf", conf)
        self.assertEqual((summary["normal"], findings, summary["own_source"]), (1, {}, "100001"))
        self.assertIn("server_id = 100001\n", pathlib.Path(conf).read_text())
        subprocess.run([clusters.binary("cairn-storage"), "--check", conf], check=True,
                       capture_output=True)

    def test_storage_ids_conf_tells_the_number_that_names_do_not(self):
        node = Node(self.folder, "plain", bind_addr=FORMER)
        conf = os.path.join(self.folder, "cairn.conf")
        names = {"100001": "10.78.0.9", "100007": FORMER}
        listed = "# id group ip\n" + "".join(f"{k} group1 {v}\n" for k, v in names.items())

        # Beside its storage.conf; all files are from before numbers were used.
        (node.root / "storage_ids.conf").write_text(listed + f"100009 group2 {FORMER}\n")
        summary, _ = adopt(node, "-n", "-c")
        self.assertEqual((summary["own_source"], summary["server_id"]), (FORMER, 100007))
        # Where it is named; a bad one is refused before anything is touched.
        before = describe(node.root)
        (node.root / "storage_ids.conf").unlink()
        other = pathlib.Path(self.folder, "ids")
        adopt(node, "--storage-ids", other, check=3)
        other.write_text(listed + "nonsense\n")
        adopt(node, "--storage-ids", other, check=1)
        self.assertEqual({k: v for k, v in before.items() if k != "storage_ids.conf"},
                         describe(node.root))
        # No line of this node.
        other.write_text("100001 group1 10.78.0.9\n")
        self.assertNotIn("server_id", adopt(node, "-n", "--storage-ids", other)[0])

        other.write_text(listed)
        said = clusters.run_cairn("adopt", "--fastdfs", node.conf, "--storage-ids", other,
                                  "--write-conf", conf, program="cairn-migrate").stdout
        self.assertIn("server_id = 100007\n", pathlib.Path(conf).read_text())
        self.assertIn(f"cairn node alias add NODE {FORMER}", said)
        adopt(node, "--undo")

    def test_a_running_daemon_and_a_bad_configuration_are_refused(self):
        node = Node(self.folder, "plain")
        program = pathlib.Path(self.folder, "fdfs_storaged")
        shutil.copy("/bin/sleep", program)
        with subprocess.Popen([program, "60"]) as daemon:
            (node.root / "base/data/fdfs_storaged.pid").write_text(str(daemon.pid))
            adopt(node, check=5)
            adopt(node, "-n")
            daemon.kill()
        (node.root / "base/data/fdfs_storaged.pid").write_text("1")
        adopt(node)
        adopt(node, "--undo")
        node.conf.write_text("group_name = group1\n")
        adopt(node, check=1)
        node.conf.write_text(f"group_name = group1\nbase_path = {self.folder}/nothing\n")
        adopt(node, check=3)


class TakenOver(clusters.ClusterTest):
    """What follows: the taken-over node joins a group that has a member already."""

    shape = {"paths": 2}

    def start(self, conf):
        log = open(os.path.join(self.folder, "node.log"), "wb")
        self.addCleanup(log.close)
        process = subprocess.Popen([clusters.binary("cairn-storage"), conf],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def end():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(30)

        self.addCleanup(end)
        self.cluster.wait_active(2)
        return end

    def check_every_id(self, kind, nodes):
        for file_id, digest in ids(kind).items():
            for node in nodes:
                answer = clusters.http_get(node.addr, node.http, "/" + file_id)
                self.assertEqual(answer.status, 200 if digest else 404, (file_id, node.id))
                with self.cluster.to(node) as storage:
                    reply = storage.request(fastdfs.DOWNLOAD, fastdfs.download_body(file_id))
                self.assertEqual(reply.status, 0 if digest else 2, (file_id, node.id))
                if digest:
                    for body in (answer.body, reply.body):
                        self.assertEqual(hashlib.sha256(body).hexdigest(), digest, file_id)

    def take_over(self, kind):
        self.folder = tempfile.mkdtemp(prefix="cairn-adopt-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        first = self.cluster.storage
        addr = first.addr.rsplit(".", 1)[0] + (".2" if kind == "plain" else ".3")
        node = Node(self.folder, kind, addr)
        before = describe(node.root)
        conf = os.path.join(self.folder, "cairn.conf")
        clusters.run_cairn("--conf", self.cluster.client_conf, "adopt", "--fastdfs", node.conf,
                           "--write-conf", conf, "--base-path",
                           os.path.join(self.folder, "cairn-base"), program="cairn-migrate")
        end = self.start(conf)
        taken = clusters.Node(f"adopted-{kind}", "storage", "group1", addr, 23000, 8888, 0, [])
        return node, before, taken, end

    def member(self, taken):
        """The name of the taken-over node in the cluster."""
        told = json.loads(workload.cairn(self.cluster, "--json", "status").stdout)
        return next(n for n in told["nodes"] if taken.addr in json.dumps(n))


class TakenOverPlain(TakenOver):
    def test_plain(self):
        node, before, taken, end = self.take_over("plain")
        first = self.cluster.storage
        self.check_every_id("plain", [taken, first])
        metadata = clusters.run_cairn("--conf", self.cluster.client_conf, "meta", "get",
                                      "group1/M01/00/00/Ck4AC2sCVDiEJIc1AAAAAOMwc68991.txt").stdout
        self.assertIn("width=1024", metadata)
        # Changes of old files come to this node, once its former address means it.
        name = self.member(taken)["id"]
        workload.cairn(self.cluster, "node", "alias", "add", name, FORMER)
        appender = "group1/M00/00/00/Ck4AC2sCVNOETIJ_AAAAADUkQcI458.txt"
        deleted = "group1/M00/00/00/Ck4AC2sCVNWAJsMLAAAA1Wdmmuo222.png"
        path = os.path.join(self.folder, "more")
        pathlib.Path(path).write_bytes(b"-more")

        def appended():
            done = workload.cairn(self.cluster, "append", appender, path, check=False)
            return done.returncode == 0

        fastdfs.wait_until("the alias is known", appended, 10, 0.3)
        for one in (taken, first):
            self.assertTrue(
                self.cluster.download(appender, one).startswith(b"abcdef-more"), one.id)
        workload.cairn(self.cluster, "delete", deleted)
        added = self.cluster.upload(b"stored since", "txt", node=taken)
        workload.cairn(self.cluster, "check", "--group", "group1")
        # And back: what was there is there, what was changed since is told.
        end()
        _, findings = adopt(node, "--undo")
        self.assertEqual(findings, {deleted: "removed", appender: "changed", added: "added"})
        after = describe(node.root)
        for changed in (deleted, appender):
            key = str(node.path(changed).relative_to(node.root))
            before.pop(key)
            after.pop(key, None)
        aside = {k: v for k, v in after.items() if ".cairn-added" in k}
        self.assertIn(b"stored since", [e[3] for e in aside.values() if len(e) > 3])
        made = {k for k in after if k not in before and k not in aside}
        self.assertTrue(all(pathlib.Path(node.root, k).is_dir() for k in made), made)
        self.assertEqual(before, {k: v for k, v in after.items() if k in before})


class TakenOverTrunk(TakenOver):
    def test_trunk(self):
        node, before, taken, end = self.take_over("trunk")
        first = self.cluster.storage
        self.check_every_id("trunk", [taken, first])
        workload.cairn(self.cluster, "check", "--group", "group1")
        # What was taken out of the trunk files is what the group has, not the trunk files.
        stored = [p.name for store in first.store_paths
                  for p in pathlib.Path(store, "data").glob("??/??/*")]
        self.assertNotIn("000001", stored)
        self.assertNotIn("000002", stored)
        end()
        adopt(node, "--undo")
        after = describe(node.root)
        self.assertEqual(before, {k: v for k, v in after.items() if k in before})


if __name__ == "__main__":
    unittest.main(verbosity=2)
