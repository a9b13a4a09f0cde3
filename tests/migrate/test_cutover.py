"""Following a source that changes, freezing it, and the gate: red for each single defect, green when
there is none."""

import http.server
import json
import os
import pathlib
import subprocess
import threading
import time
import unittest

import cluster as clusters
import fastdfs
import trees
import workload


class Cutover(trees.MigrateTest):
    def gate(self, *args, check):
        done = self.migrate("--json", "gate", "j", *args, check=check)
        return {c["name"]: c["green"] for c in json.loads(done.stdout)["checks"]}

    def follow(self, how):
        trees.make_tree(self.source, 11, directories=8, odd=False)
        process = subprocess.Popen(
            [clusters.binary("cairn-migrate"),
             *self.command("run", "--job", "j", "--delete", f"--watch={how}", self.source + "/",
                           self.export)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)

        def status():
            if process.poll() is not None:
                self.fail(f"it ended: {process.communicate()}")
            return json.loads(self.migrate("--json", "status", "j").stdout).get("now", {})

        fastdfs.wait_until("it follows", lambda: status().get("phase") == "following", 60, 0.2)
        s = self.source
        trees.write(f"{s}/2001/01/00001.jpg", b"in place")
        os.makedirs(f"{s}/new/deep/er")
        trees.write(f"{s}/new/deep/er/a.jpg", b"new")
        os.rename(f"{s}/2002/02", f"{s}/2003/moved")
        os.remove(f"{s}/2000/00/00002.jpg")
        expected = trees.describe(s)

        def caught_up():
            found = trees.describe(self.back(f"back{time.monotonic_ns()}"))
            return {p: e[-1] for p, e in found.items()} == {p: e[-1] for p, e in expected.items()}

        fastdfs.wait_until("everything has come over", caught_up, 60, 0.5)
        fastdfs.wait_until("no lag", lambda: status().get("lag_s") == 0, 20, 0.2)
        self.migrate("pause", "j")
        self.assertEqual(process.wait(30), 20)
        process.communicate()
        self.migrate("freeze", "j")
        self.assert_same()

    def test_following_by_inotify(self):
        self.follow("inotify")

    def test_following_by_what_is_best(self):
        self.follow("best")

    def test_following_by_rescans(self):
        self.follow("rescan:2s")

    def test_the_gate_is_red_for_each_defect_alone(self):
        trees.make_tree(self.source, 12, directories=3, odd=False)
        self.migrate("run", "--job", "j", self.source + "/", self.export)
        everything = {"nothing runs": True, "lag": True, "debt": True, "copies": True,
                      "verified": True}
        self.assertEqual(self.gate(check=41), everything | {"lag": False, "verified": False})
        time.sleep(2.1)
        self.migrate("freeze", "j")
        self.assertEqual(self.gate(check=41), everything | {"verified": False})
        self.migrate("verify", "--reread", "j")
        self.assertEqual(self.gate(check=0), everything)

        # URLs: right, wrong, and compared with the old server's.
        workload.cairn(self.cluster, "export", "set", self.export, "--public")
        urls = os.path.join(self.folder, "urls")
        trees.write(urls, b"# old paths\n/2000/00/00001.jpg\n")
        node = self.cluster.storages[0]
        at = f"http://{node.addr}:{node.http}/{self.export}"
        self.assertEqual(self.gate("--urls", urls, "--at", at, check=0), everything | {"urls": True})
        other = self.cluster.storages[1]
        against = f"http://{other.addr}:{other.http}/{self.export}"
        self.gate("--urls", urls, "--at", at, "--against", against, check=0)
        trees.write(urls, b"/2000/00/00001.jpg\n/not/there.jpg\n")
        self.assertEqual(self.gate("--urls", urls, "--at", at, check=41),
                         everything | {"urls": False})

        # A log instead of a list: what was answered well, each once.
        log = os.path.join(self.folder, "access.log")
        trees.write(log, b"".join(
            b'10.0.0.1 - - [22/Nov/2026:10:00:00 +0000] "GET %s HTTP/1.1" %d 10 "-" "x"\n' % line
            for line in [(b"/2000/00/00001.jpg", 200), (b"/not/there.jpg", 404)] * 3))
        self.assertEqual(self.gate("--access-log", log, "--at", at, "--against", against, check=0),
                         everything | {"replay": True})
        trees.write(log, pathlib.Path(log).read_bytes().replace(b" 404 ", b" 200 "))
        self.assertEqual(self.gate("--access-log", log, "--at", at, check=41),
                         everything | {"replay": False})
        self.migrate("gate", "--urls", urls, "j", check=1)
        self.rules_and_shadow(at, everything)

        # One wrong byte at the destination is found by reading again.
        wrong = os.path.join(self.folder, "wrong")
        found = f"{self.source}/2001/01/00003.jpg"
        trees.write(found, b"some content")
        self.migrate("freeze", "j", check=None)
        time.sleep(2.1)
        self.migrate("freeze", "j")
        trees.write(wrong, b"Some content")
        info = os.stat(found)
        os.utime(wrong, ns=(info.st_mtime_ns, info.st_mtime_ns))
        os.chmod(wrong, info.st_mode & 0o7777)
        workload.cairn(self.cluster, "cp", "-p", wrong, f":/{self.export}/2001/01/00003.jpg")
        self.migrate("verify", "--reread", "j", check=8)
        self.assertEqual(self.gate(check=41), everything | {"verified": False})

    def rules_and_shadow(self, at, everything):
        """Red without rules, without tests in them, and when an answer differs from the old one."""
        red = everything | {"rules": False, "shadow": False}
        self.assertEqual(self.gate("--rules", "--shadow", check=41), red)
        content = pathlib.Path(self.source, "2000/00/00001.jpg").read_bytes()
        answers, fields = [content], {}

        class Old(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                for name, value in fields.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answers[0])))
                self.end_headers()
                self.wfile.write(answers[0])

            def log_message(self, *_):
                pass

        old = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Old)
        threading.Thread(target=old.serve_forever, daemon=True).start()
        self.addCleanup(old.server_close)
        self.addCleanup(old.shutdown)
        rules = os.path.join(self.folder, "old.rules")
        text = f"""rules old {{
            host old.example;
            origin web {{ type http; server 127.0.0.1:{old.server_port}; }}
            shadow web 100%;
            location /img/ {{ object path:/{self.export}/2000/00/00001.jpg; }}
            TEST
        }}"""
        trees.write(rules, text.replace("TEST", "").encode())
        workload.cairn(self.cluster, "rules", "load", rules)
        self.assertEqual(self.gate("--rules", "--shadow", check=41), red)
        trees.write(rules, text.replace("TEST", "test GET /img/a -> rule 1;").encode())
        workload.cairn(self.cluster, "rules", "load", rules)
        self.assertEqual(self.gate("--rules", check=0), everything | {"rules": True})

        def ask(path, method="GET"):
            node = self.cluster.storages[0]
            answer = clusters.http_get(node.addr, node.http, path, {"Host": "old.example"}, method)
            self.assertEqual((answer.status, answer.body), (200, content if method == "GET" else b""))
            return answer

        def compared(count):
            told = json.loads(workload.cairn(self.cluster, "--json", "rules", "shadow",
                                             check=False).stdout)
            return sum(s["compared"] for s in told["sets"]) >= count

        # The old server answers as Cairn does (HEAD is not compared), then otherwise.
        learnt = ask("/img/a", "HEAD")
        fields.update({name: learnt.headers[name]
                       for name in ("content-type", "last-modified", "cache-control")
                       if name in learnt.headers})
        ask("/img/a")
        fastdfs.wait_until("it was compared", lambda: compared(1), 20, 0.1)
        self.assertEqual(self.gate("--rules", "--shadow", check=0),
                         everything | {"rules": True, "shadow": True})
        answers[0] = b"something else"
        ask("/img/a")
        fastdfs.wait_until("it was compared", lambda: compared(2), 20, 0.1)
        self.assertEqual(self.gate("--rules", "--shadow", check=41), red | {"rules": True})
        workload.cairn(self.cluster, "rules", "load", "--none")


if __name__ == "__main__":
    unittest.main(verbosity=2)
