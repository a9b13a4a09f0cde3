"""TLS on every port: a running cluster is moved to it node by node, plain connections are refused
where it is required, certificates are checked, replaced and asked for; nobody gets in between."""
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import certificates
import cluster as clusters
import fastdfs
from fastdfs import Connection, ConnectionClosed, frame, wait_until


def context(ca=None, certificate=None):
    """What a client trusts and shows; without `ca` it takes anybody's certificate."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca:
        made.load_verify_locations(ca)
    else:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if certificate:
        made.load_cert_chain(*certificate)
    return made


def secured(node, tls, port=None):
    """A Connection to a node over TLS."""
    connection = Connection(node.addr, port or node.port)
    try:
        connection.socket = tls.wrap_socket(connection.socket, server_hostname=node.addr)
    except BaseException:
        connection.close()
        raise
    return connection


def https(node, target, tls, method="GET", body=b""):
    """(status line and headers, body) of one request on a connection of its own."""
    with secured(node, tls, node.http) as connection:
        connection.send(f"{method} {target} HTTP/1.1\r\nHost: {node.addr}\r\nConnection: close\r\n"
                        f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        data = b""
        while piece := connection.socket.recv(65536):
            data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head.decode(), rest


class TlsTest(clusters.ClusterTest):
    """Moves the cluster to TLS in three steps, files coming in all the time, and then tries it."""

    shape = {"storages": 2}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = os.path.join(cls.cluster.root, "tls")
        cls.authority = certificates.Authority(cls.folder)
        cls.daemons = [*cls.cluster.trackers, *cls.cluster.storages]
        cls.pair = cls.authority.sign("node", [node.addr for node in cls.daemons])
        cls.plain_conf = os.path.join(cls.folder, "plain.conf")
        with open(cls.cluster.client_conf, encoding="utf-8") as file, \
                open(cls.plain_conf, "w", encoding="utf-8") as copy:
            copy.write(file.read())
        cls.files = []
        cls.step(tls="optional", http_tls="optional", tls_certificate_file=cls.pair[0],
                 tls_key_file=cls.pair[1])
        cls.step(tls_connect="on", tls_ca_file=cls.authority.certificate)
        with open(cls.cluster.client_conf, "a", encoding="utf-8") as file:
            file.write(f"tls = on\ntls_ca_file = {cls.authority.certificate}\n")
        cls.step(tls="required", http_tls="required")
        cls.tls = context(cls.authority.certificate)

    @classmethod
    def step(cls, **settings):
        """Every daemon with these settings, one after the other; a file goes in between."""
        for node in cls.daemons:
            cls.cluster.reconfigure(node, **settings)
            path = os.path.join(cls.folder, "file")
            content = os.urandom(100_000)
            with open(path, "wb") as file:
                file.write(content)
            done = clusters.run_cairn("--conf", cls.cluster.client_conf, "upload", path)
            cls.files.append((done.stdout.strip(), content))
        cls.daemons = [*cls.cluster.trackers, *cls.cluster.storages]

    def cairn(self, *args, conf=None, check=True):
        return clusters.run_cairn("--conf", conf or self.cluster.client_conf, *args, check=check)

    def wait_active(self, count):
        """As the cluster's, by a client that speaks TLS."""
        def active():
            with secured(self.cluster.tracker, self.tls) as tracker:
                groups = tracker.call(fastdfs.LIST_ALL_GROUPS)
            return sum(fastdfs.read_group(groups[at:at + 113])["readable_count"]
                       for at in range(0, len(groups), 113))
        wait_until(f"{count} active storages", lambda: active() == count, 30)

    def test_all_files_are_at_both_nodes(self):
        for file_id, content in self.files:
            for node in self.cluster.storages:
                wait_until("the copy of " + file_id, lambda: os.path.exists(
                    self.cluster.path_of(file_id, node)), 20)
                head, body = https(node, "/" + file_id, self.tls)
                self.assertTrue(head.startswith("HTTP/1.1 200"), head)
                self.assertEqual(body, content)
        self.assertIn("active", self.cairn("status").stdout)

    def test_plain_connections_are_refused(self):
        for node in self.daemons:
            with Connection(node.addr, node.port) as connection:
                connection.send(frame(fastdfs.ACTIVE_TEST))
                self.assertTrue(connection.ended())
            with Connection(node.addr, node.http) as connection:
                connection.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assertTrue(connection.ended())
        for verb in (("status",), ("upload", self.plain_conf)):
            self.assertNotEqual(self.cairn("--timeout", "5", *verb, conf=self.plain_conf,
                                           check=False).returncode, 0)

    def test_the_fastdfs_protocol_inside(self):
        node = self.cluster.storage
        with secured(node, self.tls) as connection:
            self.assertIn(connection.socket.version(), ("TLSv1.2", "TLSv1.3"))
            for size in (0, 1, 16_384, 65_536, 65_537, 3_000_000):
                content = os.urandom(size)
                file_id = fastdfs.read_id(
                    connection.call(fastdfs.UPLOAD, fastdfs.upload_body(content)))
                self.assertEqual(
                    connection.call(fastdfs.DOWNLOAD, fastdfs.download_body(file_id)), content)
                head, body = https(node, "/" + file_id, self.tls)
                self.assertEqual(body, content)

    def test_old_protocols_and_ciphers_are_refused(self):
        for options in (["-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"],
                        ["-tls1", "-cipher", "DEFAULT:@SECLEVEL=0"], ["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"],
                        ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"]):
            for port in (self.cluster.storage.port, self.cluster.storage.http):
                done = subprocess.run(
                    ["openssl", "s_client", "-connect", f"{self.cluster.storage.addr}:{port}",
                     *options], stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
                self.assertNotEqual(done.returncode, 0, options)

    def test_a_client_checks_the_certificate(self):
        other = certificates.Authority(os.path.join(self.folder, "other"), "somebody else")
        conf = os.path.join(self.folder, "other.conf")

        def with_tls(*lines):
            with open(self.plain_conf, encoding="utf-8") as file, \
                    open(conf, "w", encoding="utf-8") as copy:
                copy.write(file.read() + "tls = on\n" + "\n".join(lines) + "\n")
            return self.cairn("--timeout", "5", "status", conf=conf, check=False)

        done = with_tls("tls_ca_file = " + other.certificate)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("not trusted", done.stderr)
        self.assertNotEqual(with_tls().returncode, 0)  # nothing to trust: refused at once
        # The very certificate may stand for an authority.
        self.assertEqual(with_tls("tls_ca_file = " + self.pair[0]).returncode, 0)

    def test_a_certificate_of_another_host(self):
        node = self.cluster.storages[1]
        pair = self.authority.sign("elsewhere", ["127.0.0.99", "node.example"])
        conf = os.path.join(self.folder, "names.conf")
        try:
            self.cluster.stop(node)
            self.cluster.set_conf(node, tls_certificate_file=pair[0], tls_key_file=pair[1])
            # It reaches the tracker, so it becomes active; peers and clients refuse it.
            node = self.cluster.start_node(node)
            with self.assertRaises(ssl.SSLCertVerificationError):
                secured(node, self.tls)
            with open(self.cluster.client_conf, encoding="utf-8") as file, \
                    open(conf, "w", encoding="utf-8") as copy:
                copy.write(file.read() + "tls_check_names = off\n")
            file_id, _ = self.files[0]
            self.cairn("where", file_id, conf=conf)
        finally:
            self.cluster.reconfigure(node, tls_certificate_file=self.pair[0],
                                     tls_key_file=self.pair[1])
            self.wait_active(2)

    def serial(self, node, port):
        with secured(node, self.tls, port) as connection:
            return connection.socket.getpeercert()["serialNumber"]

    def test_certificates_are_replaced_without_a_stop(self):
        for node in (self.cluster.tracker, self.cluster.storage):
            kept = secured(node, self.tls)
            self.addCleanup(kept.close)
            before = self.serial(node, node.port)
            metrics = https(node, "/metrics", self.tls)[1]
            expires = re.search(rb"^cairn_tls_certificate_expires_seconds (\d+)$", metrics, re.M)
            self.assertGreater(int(expires.group(1)), time.time())
            fresh = self.authority.sign("fresh", [n.addr for n in self.daemons])
            for old, new in zip(self.pair, fresh):
                with open(new, "rb") as source, open(old, "wb") as target:
                    target.write(source.read())
            os.kill(node.pid, signal.SIGHUP)
            for port in (node.port, node.http):
                wait_until("the new certificate", lambda: self.serial(node, port) != before, 10)
            self.assertTrue(kept.alive())
            # A bad one leaves the good one in place.
            before = self.serial(node, node.port)
            expired = self.authority.sign("expired", [n.addr for n in self.daemons],
                                          "20200101000000Z", "20200201000000Z")
            with open(self.pair[0], "rb") as file:
                good = file.read()
            with open(expired[0], "rb") as source, open(self.pair[0], "wb") as target:
                target.write(source.read())
            log = os.path.join(self.cluster.root, "log", node.id + ".log")
            os.kill(node.pid, signal.SIGHUP)
            wait_until("the complaint", lambda: "expired on" in open(log, encoding="utf-8").read(),
                       10)
            self.assertEqual(self.serial(node, node.port), before)
            with open(self.pair[0], "wb") as file:
                file.write(good)

    def test_client_certificates(self):
        node = self.cluster.storage
        mine = self.authority.sign("client", ["127.0.0.1"])
        try:
            node = self.cluster.reconfigure(node, tls_client_ca_file=self.authority.certificate)
            self.wait_active(2)  # the tracker connects, and the peer
            with self.assertRaises((ssl.SSLError, ConnectionClosed, ConnectionResetError)):
                with secured(node, self.tls) as connection:
                    connection.call(fastdfs.ACTIVE_TEST)
            with secured(node, context(self.authority.certificate, mine)) as connection:
                connection.call(fastdfs.ACTIVE_TEST)
            file_id = self.upload_by(context(self.authority.certificate, mine), node)
            wait_until("the copy at the other node", lambda: os.path.exists(
                self.cluster.path_of(file_id, self.cluster.storages[1])), 20)
            head, _ = https(node, "/" + file_id, self.tls)  # the HTTP port asks for none
            self.assertTrue(head.startswith("HTTP/1.1 200"))
        finally:
            self.cluster.reconfigure(node, tls_client_ca_file=None)
            self.wait_active(2)

    def upload_by(self, tls, node):
        with secured(node, tls) as connection:
            return fastdfs.read_id(
                connection.call(fastdfs.UPLOAD, fastdfs.upload_body(os.urandom(5000))))

    def test_slow_handshakes_are_cut(self):
        node = self.cluster.storage
        for start in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00"):
            with Connection(node.addr, node.port) as connection:
                connection.send(start)
                self.assertTrue(connection.ended(12), start)
        for garbage in (b"\x16" * 4096, b"\x16\x03\x01\xff\xff" + os.urandom(4096)):
            with Connection(node.addr, node.port) as connection:
                connection.send(garbage)
                try:
                    while connection.socket.recv(4096):
                        pass  # a TLS alert
                except ConnectionResetError:
                    pass
        with secured(node, self.tls) as connection:
            connection.call(fastdfs.ACTIVE_TEST)

    def test_records_that_trickle_in(self):
        """Half a record is no request, and one that comes byte by byte is whole in the end."""
        node = self.cluster.storage
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.tls.wrap_bio(incoming, outgoing, server_hostname=node.addr)
        with socket.create_connection((node.addr, node.http), timeout=20) as raw:
            def run(step):
                while True:
                    try:
                        return step()
                    except ssl.SSLWantReadError:
                        raw.sendall(outgoing.read())
                        incoming.write(raw.recv(65536))
            run(tls.do_handshake)
            tls.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            for byte in outgoing.read():
                raw.sendall(bytes([byte]))
            self.assertTrue(run(lambda: tls.read(4096)).startswith(b"HTTP/1.1 200"))

    def test_nobody_in_between(self):
        """One with a certificate of the cluster's authority relays a handshake: the proof of the
        secret is tied to the TLS session, so he has nothing to say in it."""
        pair = self.authority.sign("relay", ["127.0.0.1"])
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(*pair)
        heard = []
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            threading.Thread(target=self.relay, args=(listener, server, heard), daemon=True).start()
            conf = os.path.join(self.folder, "relay.conf")
            with open(self.cluster.client_conf, encoding="utf-8") as file:
                lines = [x for x in file.read().splitlines() if not x.startswith("tracker_server")]
            with open(conf, "w", encoding="utf-8") as file:
                file.write(f"tracker_server = 127.0.0.1:{listener.getsockname()[1]}\n"
                           + "\n".join(lines) + "\n")
            done = self.cairn("--timeout", "5", "key", "ls", conf=conf, check=False)
        self.assertEqual(heard[:2], [160, 165])
        self.assertNotIn(161, heard)
        self.assertNotEqual(done.returncode, 0)

    @staticmethod
    def take(peer, size):
        data = b""
        while len(data) < size:
            piece = peer.recv(size - len(data))
            if not piece:
                raise ConnectionClosed(data)
            data += piece
        return data

    def relay(self, listener, server, heard):
        tracker = self.cluster.tracker
        while True:
            try:
                peer, _ = listener.accept()
                with server.wrap_socket(peer, server_side=True) as near, \
                        secured(tracker, self.tls) as far:
                    while True:
                        header = self.take(near, 10)
                        size, command, _ = struct.unpack(">qBB", header)
                        body = self.take(near, size)
                        heard.append(command)
                        far.send(header + body)
                        reply = far.read_reply()
                        near.sendall(struct.pack(">qBB", len(reply.body), 100, reply.status)
                                     + reply.body)
            except (OSError, ConnectionClosed, ValueError):
                if listener.fileno() < 0:
                    return

    def test_no_way_back_to_plain(self):
        """A client that is told to use TLS sends nothing else, whatever the other side answers."""
        heard = []

        def listen(listener):
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    heard.append(peer.recv(4096))
                    peer.sendall(struct.pack(">qBB", 0, 100, 0))

        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            threading.Thread(target=listen, args=(listener,), daemon=True).start()
            conf = os.path.join(self.folder, "down.conf")
            with open(conf, "w", encoding="utf-8") as file:
                file.write(f"tracker_server = 127.0.0.1:{listener.getsockname()[1]}\n"
                           f"tls = on\ntls_ca_file = {self.authority.certificate}\n")
            done = self.cairn("--timeout", "3", "status", conf=conf, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertTrue(heard)
        for first in heard:
            self.assertEqual(first[:2], b"\x16\x03", first[:16])

    def test_curl(self):
        file_id, content = self.files[0]
        node = self.cluster.storage
        done = subprocess.run(["curl", "-sSf", "--cacert", self.authority.certificate,
                               f"https://{node.addr}:{node.http}/{file_id}"],
                              capture_output=True, timeout=30)
        self.assertEqual(done.stdout, content, done.stderr)


class CheckTest(unittest.TestCase):
    """Certificates that cannot work are told by --check and at start, in one line."""

    def test_the_documented_commands(self):
        """docs/security.md shows how to make an authority and a certificate with openssl."""
        with open(os.path.join(os.path.dirname(__file__), "..", "..", "docs", "security.md"),
                  encoding="utf-8") as file:
            text = file.read().split("With `openssl` alone:\n\n", 1)[1].split("\n\n", 1)[0]
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["sh", "-ec", text], cwd=folder, check=True, capture_output=True,
                           timeout=60)
            conf = os.path.join(folder, "c.conf")
            with open(conf, "w", encoding="utf-8") as file:
                file.write(f"base_path = {folder}\ntls = required\nhttp_tls = required\n"
                           f"tls_certificate_file = {folder}/node.pem\n"
                           f"tls_key_file = {folder}/node.key\n"
                           f"tls_connect = on\ntls_ca_file = {folder}/ca.pem\n")
            done = clusters.run_cairn("--check", conf, check=False, program="cairn-tracker")
            self.assertEqual(done.returncode, 0, done.stderr)
            certificates.openssl("verify", "-CAfile", folder + "/ca.pem", "-verify_ip", "10.0.0.1",
                                 folder + "/node.pem")

    def test_lines(self):
        with tempfile.TemporaryDirectory() as folder:
            authority = certificates.Authority(os.path.join(folder, "ca"))
            good = authority.sign("good", ["127.0.0.1"])
            other = authority.sign("other", ["127.0.0.1"])
            expired = authority.sign("expired", ["127.0.0.1"], "20200101000000Z",
                                     "20200201000000Z")
            future = authority.sign("future", ["127.0.0.1"], "20900101000000Z", "20910201000000Z")
            soon = authority.sign("soon", ["127.0.0.1"], days=3)
            open_key = authority.sign("open", ["127.0.0.1"])
            os.chmod(open_key[1], 0o644)
            tls = lambda pair: ["tls = optional", f"tls_certificate_file = {pair[0]}",
                                f"tls_key_file = {pair[1]}"]
            connect = ["tls_connect = on", "tls_ca_file = " + authority.certificate]
            cases = [(tls(good), 0, ""), (tls(expired), 1, "expired on"),
                     (tls(future), 1, "does not hold before"), (tls(soon), 0, "the certificate expires in "),
                     (tls(open_key), 1, "chmod 0600"),
                     (tls((good[0], other[1])), 1, "is not the key of"),
                     (tls((folder + "/none", good[1])), 1,
                      folder + "/none: no certificate can be read: No such file or directory"),
                     (tls((good[1], good[1])), 1, "no certificate"),
                     (["tls = optional"], 1, "tls_certificate_file"),
                     (["http_tls = required"], 1, "tls_certificate_file"),
                     (["tls = required", *tls(good)[1:]], 1, "tls_connect"),
                     (["tls = required", *tls(good)[1:], *connect], 0, ""),
                     (["tls_connect = on"], 1, "tls_ca_file"),
                     (["tls = sometimes"], 1, "sometimes"),
                     ([*tls(good), "listener = 127.0.0.1:29001 tls=required"], 0, ""),
                     (["listener = 127.0.0.1:29001 tls=required"], 1, "tls_certificate_file"),
                     ([*tls(good), "tls_client_ca_file = " + authority.certificate], 0,
                      "plain connections")]
            for program, own in (("cairn-tracker", []),
                                 ("cairn-storage", ["group_name = group1",
                                                    "tracker_server = 127.0.0.1:22122"])):
                for lines, code, text in cases:
                    conf = os.path.join(folder, "c.conf")
                    with open(conf, "w", encoding="utf-8") as file:
                        file.write("\n".join(["base_path = " + folder, "bind_addr = 127.0.0.1",
                                              *own, *lines]) + "\n")
                    done = clusters.run_cairn("--check", conf, check=False, program=program)
                    self.assertEqual(done.returncode, code, (lines, done.stdout, done.stderr))
                    self.assertIn(text, done.stdout + done.stderr)
                    if code == 1:
                        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
                        done = clusters.run_cairn(conf, check=False, program=program, timeout=20)
                        self.assertEqual(done.returncode, 1)
                        self.assertIn(text, done.stderr)


if __name__ == "__main__":
    unittest.main()
