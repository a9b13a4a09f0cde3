"""Who is not of the cluster gets nowhere by the native protocol: without credentials, with wrong,
cut, replayed or reflected ones, as a fake node or a fake tracker. Real nodes, real sockets."""
import os
import socket
import struct
import tempfile
import threading
import unittest

import cluster as clusters
import fastdfs
import native
from fastdfs import Connection, ConnectionClosed, frame, wait_until

# Every native command but hello itself.
COMMANDS = [161, 162, 163, 164, 165, *range(166, 180), *range(180, 200)]
# What an unlisted address may not send either.
FASTDFS = [11, 12, 13, 14, 15, 20, 21, 22, 23, 24, 34, 36, 38, 69, 70, 71, 75, 90, 91, 92, 93, 94,
           95, 96, 97, 98, 101, 102, 103, 104, 105, 106, 107, 108, 111]


def refused(call):
    """True when `call` is answered by a status that is not 0, or by the end of the connection."""
    try:
        return call().status != 0
    except (ConnectionClosed, ConnectionResetError, BrokenPipeError):
        return True


class HandshakeTest(clusters.ClusterTest):
    shape = {"storages": 2}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with open(os.path.join(cls.cluster.root, "conf", "cluster.secret"), "rb") as file:
            cls.secret = file.read().strip()
        cls.daemons = [cls.cluster.tracker, *cls.cluster.storages]

    def connect(self, node):
        connection = self.cluster.to(node)
        self.addCleanup(connection.close)
        return connection

    def test_both_sides_prove(self):
        for node in self.daemons:
            role, uuid, _ = native.introduce(self.connect(node), self.secret)
            self.assertEqual(role, native.TRACKER if node.role == "tracker" else native.STORAGE)
            self.assertEqual(len(uuid), 36)

    def test_nothing_without_hello(self):
        for node in self.daemons:
            for command in COMMANDS:
                if node.role == "tracker" and command == native.CLUSTER_VIEW:
                    continue  # which nodes there are, FastDFS clients may know as well
                for body in (b"", b"{}", b'{"verb":"status"}', bytes(64)):
                    connection = self.connect(node)
                    self.assertTrue(refused(lambda: connection.request(command, body)),
                                    f"{node.id} answers command {command}")
                    connection.close()

    def test_the_view_of_a_client_holds_no_keys(self):
        made = clusters.run_cairn("--conf", self.cluster.client_conf, "key", "add").stdout.split()
        view = self.connect(self.cluster.tracker).call(native.CLUSTER_VIEW, native.tagged(b""))
        self.assertNotIn(made[0].encode(), view)
        peer = self.connect(self.cluster.tracker)
        native.introduce(peer, self.secret)
        sealed = peer.call(native.CLUSTER_VIEW, native.tagged(b""))
        self.assertGreater(len(sealed), len(view))
        self.assertNotIn(made[1].encode(), sealed)

    def test_wrong_secrets(self):
        for node in self.daemons:
            for secret in (b"", b"0" * 64, self.secret[:-1], self.secret.upper() + b"0",
                           self.secret[::-1]):
                connection = self.connect(node)
                with self.assertRaises((PermissionError, ConnectionClosed)):
                    native.introduce(connection, secret)

    def test_no_nonce(self):
        for node in self.daemons:
            for nonce in (b"", b"x", bytes(31), bytes(33)):
                connection = self.connect(node)
                self.assertTrue(refused(lambda: connection.request(
                    native.HELLO, native.hello_body(nonce=nonce))))

    def test_altered_and_cut_proofs(self):
        node = self.cluster.storage
        for bit in (0, 7, 100, 255):
            connection = self.connect(node)
            hello, nonce = native.challenge(connection)
            proof = bytearray(native.client_mac(self.secret, hello, nonce))
            proof[bit // 8] ^= 1 << bit % 8
            self.assertTrue(refused(
                lambda: connection.request(native.PROVE, native.tagged(bytes(proof)))))
        for size in (0, 1, 16, 31):
            connection = self.connect(node)
            hello, nonce = native.challenge(connection)
            proof = native.client_mac(self.secret, hello, nonce)[:size]
            self.assertTrue(refused(lambda: connection.request(native.PROVE, native.tagged(proof))))
        connection = self.connect(node)
        native.challenge(connection)
        # A body longer than any proof is not waited for.
        connection.send(frame(native.PROVE, bytes(1 << 20))[:4096])
        self.assertNotEqual(connection.read_reply().status, 0)

    def test_a_proof_that_comes_too_late_or_out_of_order(self):
        connection = self.connect(self.cluster.tracker)
        hello, nonce = native.challenge(connection)
        # Another command between challenge and proof ends the handshake.
        self.assertTrue(refused(lambda: connection.request(native.ADMIN, b'{"verb":"status"}')))
        proof = native.tagged(native.client_mac(self.secret, hello, nonce))
        self.assertTrue(refused(lambda: connection.request(native.PROVE, proof)))
        self.assertTrue(refused(lambda: connection.request(native.ADMIN, b'{"verb":"status"}')))

    def test_a_replayed_handshake(self):
        for node in self.daemons:
            first = self.connect(node)
            hello, nonce = native.challenge(first)
            proof = native.tagged(native.client_mac(self.secret, hello, nonce))
            self.assertEqual(first.request(native.PROVE, proof).status, 0)
            again = self.connect(node)
            reply = again.request(native.HELLO, hello)
            self.assertEqual(reply.status, 0)
            fresh = native.read_hello_reply(reply.body)[4]
            self.assertNotEqual(fresh, nonce)
            self.assertTrue(refused(lambda: again.request(native.PROVE, proof)))

    def test_a_reflected_proof(self):
        """What a server says is no proof of a client, and the other way round."""
        connection = self.connect(self.cluster.storage)
        hello, nonce = native.challenge(connection)
        forged = native.server_mac(self.secret, hello, nonce, b"", b"")
        self.assertTrue(refused(lambda: connection.request(native.PROVE, native.tagged(forged))))

    def test_a_proof_for_another_role(self):
        """The proof of an administrator does not make a node."""
        connection = self.connect(self.cluster.tracker)
        hello, nonce = native.challenge(connection, role=native.STORAGE, uuid="0" * 36)
        as_admin = native.hello_body(nonce=hello[-44:-12])
        proof = native.client_mac(self.secret, as_admin, nonce)
        self.assertTrue(refused(lambda: connection.request(native.PROVE, native.tagged(proof))))

    def test_a_fake_node_does_not_join(self):
        nodes = self.cluster.active_count()
        join = native.tagged(b"0" * 36) + struct.pack(">I", 4711) + native.tagged(b"group1")
        connection = self.connect(self.cluster.tracker)
        self.assertTrue(refused(lambda: connection.request(native.JOIN, join)))
        self.assertTrue(refused(lambda: connection.request(native.HEARTBEAT, join)))
        self.assertEqual(self.cluster.active_count(), nodes)

    def test_a_fake_node_with_a_guessed_secret_gets_no_files(self):
        for command in (native.SYNC_HELLO, native.SYNC_HAVE, native.LIST_FILES, native.FETCH):
            connection = self.connect(self.cluster.storage)
            self.assertTrue(refused(lambda: connection.request(command, bytes(64))))

    def test_handshakes_still_work_after_all_that(self):
        native.introduce(self.connect(self.cluster.tracker), self.secret)
        self.cluster.wait_active(2)


class FakeTrackerTest(clusters.ClusterTest):
    """A tracker that does not know the secret: a node tells it nothing and takes nothing from it."""

    shape = {"storages": 1}

    def test_the_node_stays_away(self):
        heard = []
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            port = listener.getsockname()[1]
            threading.Thread(target=self.pretend, args=(listener, heard), daemon=True).start()
            tracker = self.cluster.tracker
            node = self.cluster.reconfigure(
                self.cluster.storage,
                tracker_server=[f"{tracker.addr}:{tracker.port}", f"127.0.0.1:{port}"])
            wait_until("three tries", lambda: len(heard) >= 6, 30)
            self.cluster.wait_active(1)
            self.assertEqual(set(heard) - {native.HELLO, native.PROVE}, set(), heard)
            self.assertIn(native.PROVE, heard)
            self.assertTrue(clusters.alive(node.pid))

    @staticmethod
    def pretend(listener, heard):
        """Welcomes without a challenge, then with one and a wrong proof, in turn."""
        turn = 0
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            turn += 1
            with peer:
                try:
                    while True:
                        header = peer.recv(10, socket.MSG_WAITALL)
                        if len(header) < 10:
                            break
                        size, command, _ = struct.unpack(">qBB", header)
                        peer.recv(size, socket.MSG_WAITALL)
                        heard.append(command)
                        credentials = b"" if turn % 2 else os.urandom(32)
                        body = (struct.pack(">IB", 1, native.TRACKER) + native.tagged(b"f" * 36)
                                + struct.pack(">I", 0) + native.tagged(credentials))
                        if command == native.PROVE:
                            body = native.tagged(body) + native.tagged(os.urandom(32))
                        peer.sendall(struct.pack(">qBB", len(body), 100, 0) + body)
                except OSError:
                    pass


class StrangerTest(clusters.ClusterTest):
    """An address that is not in allow_hosts: no byte but the end, and a challenge for hello."""

    shape = {"storages": 1}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for node in [*cls.cluster.trackers, *cls.cluster.storages]:
            cls.cluster.reconfigure(node, allow_hosts="127.0.0.1")

    def stranger(self, node):
        connection = Connection(node.addr, node.port, source="127.0.0.77")
        self.addCleanup(connection.close)
        return connection

    def test_no_command_is_served(self):
        for node in (self.cluster.tracker, self.cluster.storage):
            for command in [*FASTDFS, *COMMANDS]:
                connection = self.stranger(node)
                connection.send(frame(command, bytes(32)))
                self.assertTrue(connection.ended(), f"{node.id} serves {command}")
                connection.close()

    def test_a_refused_stranger_is_not_kept(self):
        for node in (self.cluster.tracker, self.cluster.storage):
            connection = self.stranger(node)
            connection.request(native.HELLO, native.hello_body())
            self.assertTrue(connection.ended(), "a refused stranger stays connected")
            silent = self.stranger(node)
            self.assertTrue(silent.ended(10), "a silent stranger stays connected")
            half = self.stranger(node)
            native.challenge(half)
            self.assertTrue(half.ended(10), "an unfinished handshake stays open")

    def test_a_member_of_the_cluster_comes_from_anywhere(self):
        with open(os.path.join(self.cluster.root, "conf", "cluster.secret"), "rb") as file:
            secret = file.read().strip()
        native.introduce(self.stranger(self.cluster.tracker), secret)


class RotationTest(clusters.ClusterTest):
    """The secret is replaced in three steps while files come in and nodes restart."""

    shape = {"storages": 2}

    def test_three_steps(self):
        secret = os.path.join(self.cluster.root, "conf", "cluster.secret")
        with open(secret, "rb") as file:
            old = file.read().strip()
        for step in range(3):
            clusters.run_cairn("init", "--secret", secret, "--rotate")
            self.assertEqual(os.stat(secret).st_mode & 0o777, 0o600)
            for node in (self.cluster.tracker, *self.cluster.storages):
                os.kill(node.pid, 1)
            self.cluster.stop(self.cluster.storages[1])
            self.cluster.start_node(self.cluster.storages[1])
            self.cluster.wait_active(2)
            file_id = self.cluster.upload(b"step %d" % step)
            wait_until("the copy", lambda: os.path.exists(
                self.cluster.path_of(file_id, self.cluster.storages[1])), 20)
        with open(secret, "rb") as file:
            new = file.read().strip()
        self.assertNotEqual(new, old)
        self.assertNotIn(b"\n", new)
        native.introduce(self.to_tracker(), new)
        with self.assertRaises(PermissionError):
            native.introduce(self.to_tracker(), old)


class CheckTest(unittest.TestCase):
    """Bad secrets and open doors are told by --check, in one line."""

    def check(self, program, *lines, folder):
        conf = os.path.join(folder, "c.conf")
        with open(conf, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        return clusters.run_cairn("--check", conf, check=False, program=program)

    def test_secret_files(self):
        with tempfile.TemporaryDirectory() as folder:
            secret = os.path.join(folder, "secret")
            clusters.run_cairn("init", "--secret", secret)
            tracker = ["base_path = " + folder, "cluster_secret_file = " + secret]
            storage = [*tracker, "group_name = group1", "tracker_server = 127.0.0.1:22122"]
            for program, lines in (("cairn-tracker", tracker), ("cairn-storage", storage)):
                os.chmod(secret, 0o600)
                self.assertEqual(self.check(program, *lines, folder=folder).returncode, 0)
                os.chmod(secret, 0o644)
                done = self.check(program, *lines, folder=folder)
                self.assertEqual(done.returncode, 1)
                self.assertIn("chmod 0600", done.stderr)
                self.assertEqual(done.stderr.count("\n"), 1)
                done = self.check(program, *lines[:1], *lines[2:], folder=folder)
                self.assertEqual(done.returncode, 0)
                self.assertIn("warning: no cluster_secret_file", done.stdout)

    def test_open_doors(self):
        with tempfile.TemporaryDirectory() as folder:
            for hosts in ("*", "0.0.0.0/0", "0.0.0.0/1,128.0.0.0/1", "::/0"):
                lines = ["base_path = " + folder, "allow_hosts = " + hosts]
                done = self.check("cairn-tracker", *lines, folder=folder)
                self.assertEqual(done.returncode, 1, hosts)
                self.assertIn("allow_strangers = on", done.stderr)
                done = self.check("cairn-tracker", *lines, "allow_strangers = on", folder=folder)
                self.assertEqual(done.returncode, 0, hosts)
                self.assertIn("warning: allow_hosts", done.stdout)
                # Also where it lets nobody in, but shows or believes too much.
                lines = ["base_path = " + folder, "bind_addr = 0.0.0.0", "group_name = group1",
                         "tracker_server = 127.0.0.1:22122"]
                for key in ("admin_hosts", "http_trusted_proxies"):
                    done = self.check("cairn-storage", *lines, f"{key} = {hosts}", folder=folder)
                    self.assertEqual(done.returncode, 0, hosts)
                    self.assertEqual(done.stdout.count(f"warning: {key} "), 1, done.stdout)

    def test_words_that_never_match(self):
        with tempfile.TemporaryDirectory() as folder:
            lines = ["base_path = " + folder, "group_name = group1",
                     "tracker_server = 127.0.0.1:22122"]
            for key, good, bad in (
                    ("http_cors_origins", ("*", "null", "https://shop.example", "http://[::1]:8080",
                                           "app://x, http://127.0.0.1:8080"),
                     ("shop.example", "https://shop.example/", "https://", "https://*.shop.example",
                      "http://good.example, bad")),
                    ("http_referer_allow", ("*", "*.shop.example, shop.*"),
                     ("https://shop.example", "shop.example/x", "shop.example:8080")),
                    ("http_referer_deny", ("evil.example",), ("//evil.example",)),
                    ("http_referer_exempt", ("jpg, css",), (".jpg", "*.jpg"))):
                for words, code in [(one, 0) for one in good] + [(one, 1) for one in bad]:
                    done = self.check("cairn-storage", *lines, f"{key} = {words}", folder=folder)
                    self.assertEqual(done.returncode, code, (key, words, done.stderr))
                    if code:
                        self.assertIn(f"c.conf:4: {key}: '", done.stderr)
                        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)


class ListenerTest(clusters.ClusterTest):
    """fastdfs_clients by listener: all, reading only, nobody."""

    shape = {"storages": 1}

    def test_modes(self):
        node = self.cluster.storage
        self.cluster.reconfigure(node, listener=[
            f"{node.addr}:23001 fastdfs_clients=read-only", f"{node.addr}:23002 fastdfs_clients=off"])
        file_id = self.cluster.upload(b"inside")
        upload = fastdfs.upload_body(b"x", "")
        with Connection(node.addr, 23001) as reader:
            self.assertEqual(
                reader.call(fastdfs.DOWNLOAD, fastdfs.download_body(file_id, 0, 0)), b"inside")
            for command in (fastdfs.UPLOAD, fastdfs.UPLOAD_APPENDER):
                self.assertEqual(reader.request(command, upload).status, 13)
            for command in (fastdfs.DELETE, fastdfs.TRUNCATE, fastdfs.SET_METADATA,
                            fastdfs.REGENERATE, fastdfs.APPEND, fastdfs.MODIFY,
                            fastdfs.UPLOAD_SLAVE, fastdfs.CREATE_LINK):
                self.assertEqual(reader.request(command, fastdfs.named(file_id)).status, 13)
        for command in FASTDFS:
            closed = Connection(node.addr, 23002)
            self.addCleanup(closed.close)
            closed.send(frame(command, bytes(32)))
            self.assertTrue(closed.ended(), command)
        with open(os.path.join(self.cluster.root, "conf", "cluster.secret"), "rb") as file:
            secret = file.read().strip()
        with Connection(node.addr, 23002) as peer:
            native.introduce(peer, secret)
            self.assertTrue(peer.alive())
        self.assertEqual(self.cluster.download(file_id), b"inside")


if __name__ == "__main__":
    unittest.main()
