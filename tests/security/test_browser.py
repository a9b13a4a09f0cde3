"""A page of another origin uploads by a presigned URL, shows what it uploaded, and cannot do more; a plain
form uploads as well: in headless Chromium, where that is installed."""
import html
import http.server
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import unittest

import cluster as clusters
from cluster import http_get
from fastdfs import wait_until

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
                None)

PAGE = """<!doctype html><title>page</title><pre id=out>waiting</pre><script>
const show = (result) => { document.getElementById("out").textContent = JSON.stringify(result); };
const attempt = async (what) => { try { return await what(); } catch (e) { return "refused"; } };
(async () => {
  const result = {};
  const content = new Uint8Array(100000).map((_, i) => i * 7 %% 251);
  result.put = await attempt(async () => {
    const reply = await fetch(%(put)s, {method: "PUT", body: content,
                                        headers: {"Content-Type": "image/jpeg"}});
    return [reply.status, await reply.json(), reply.headers.get("Location")];
  });
  result.same = await attempt(async () => {
    const reply = await fetch(%(node)s + "/" + result.put[1].id);
    const got = new Uint8Array(await reply.arrayBuffer());
    return got.length === content.length && got.every((byte, i) => byte === content[i]);
  });
  result.form = await attempt(async () => {
    const form = new FormData();
    form.append("file", new Blob(["from a form"]), "note.txt");
    const reply = await fetch(%(post)s, {method: "POST", body: form});
    return [reply.status, await reply.json()];
  });
  result.unsigned = await attempt(async () => {
    const reply = await fetch(%(node)s + "/group1/a.jpg", {method: "PUT", body: content});
    return reply.status;
  });
  result.deleted = await attempt(async () => (await fetch(
      %(node)s + "/" + result.put[1].id, {method: "DELETE"})).status);
  result.cookie = document.cookie;
  show(result);
})();
</script>"""

# A form without a script, as it always worked, but for who chooses the file and presses the button.
FORM = """<!doctype html><title>form</title>
<form id=form method=post enctype="multipart/form-data" action="%(post)s">
<input type=text name=note value=ignored><input type=file name=file id=file></form><script>
const chosen = new DataTransfer();
chosen.items.add(new File(["chosen in a form"], "plain.txt", {type: "text/plain"}));
document.getElementById("file").files = chosen.files;
document.getElementById("form").submit();
</script>"""


class Page(http.server.BaseHTTPRequestHandler):
    text = ""

    def do_GET(self):
        body = self.text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@unittest.skipUnless(CHROMIUM, "no chromium here: the page in a browser is not tried")
class BrowserTest(clusters.ClusterTest):
    shape = {"storages": 1}

    def test_a_page_uploads(self):
        node = self.cluster.storage
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.addCleanup(server.server_close)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        origin = f"http://127.0.0.1:{server.server_address[1]}"
        node = self.cluster.reconfigure(node, http_cors_origins=origin)
        base = f"http://{node.addr}:{node.http}"
        key = os.path.join(self.cluster.root, "page.key")
        clusters.run_cairn("--conf", self.cluster.client_conf, "key", "add", "--rights",
                           "write", "-o", key)
        sign = lambda method, path: json.dumps(clusters.run_cairn(
            "sign", "--key", key, "--method", method, "--expires", "5m", base + path)
            .stdout.strip())
        wait_until("the key at the node", lambda: b"does not match" not in http_get(
            node.addr, node.http, json.loads(sign("GET", "/group1/M00/00/00/none.jpg"))[len(base):])
            .body, 10)
        Page.text = PAGE % {"node": json.dumps(base), "put": sign("PUT", "/group1/photo.jpg"),
                            "post": sign("POST", "/group1")}
        result = self.open(origin + "/")
        self.assertEqual(result["put"][0], 201)
        stored = result["put"][1]
        self.assertEqual((stored["size"], result["put"][2]), (100_000, "/" + stored["id"]))
        self.assertIs(result["same"], True)
        self.assertEqual(result["form"][0], 201)
        self.assertEqual(self.cluster.download(result["form"][1]["id"]), b"from a form")
        self.assertEqual((result["unsigned"], result["deleted"]), (401, 401))
        self.assertEqual(result["cookie"], "")
        # A page of an origin that is not listed gets nothing out of the same URLs.
        self.cluster.reconfigure(node, http_cors_origins="https://elsewhere.example")
        result = self.open(origin + "/")
        self.assertEqual((result["put"], result["form"], result["unsigned"]),
                         ("refused", "refused", "refused"))
        # A form needs no such leave: the URL does it, and the page does not see the answer.
        Page.text = FORM % {"post": html.escape(json.loads(sign("POST", "/group1")))}
        shown = wait_until("the answer to a form", lambda: re.search(
            r"<pre>(\{.*?\})\s*</pre>", self.dump(origin + "/"), re.S), 100)
        stored = json.loads(html.unescape(shown.group(1)))
        self.assertEqual(self.cluster.download(stored["id"]), b"chosen in a form")

    def open(self, url):
        """What the page says when its script has run."""
        shown = self.dump(url)
        found = re.search(r"<pre id=\"out\">(.*?)</pre>", shown, re.S)
        self.assertTrue(found, shown)
        return json.loads(html.unescape(found.group(1)))

    def dump(self, url):
        """The document that the browser shows in the end."""
        with tempfile.TemporaryDirectory() as profile:
            done = subprocess.run(
                [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
                 "--disable-dev-shm-usage", "--no-proxy-server", "--user-data-dir=" + profile,
                 "--virtual-time-budget=15000", "--dump-dom", url],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        return done.stdout


if __name__ == "__main__":
    unittest.main()
