#!/usr/bin/env python3
"""Measures what old URLs cost, alternating in one run, 64 keep-alive connections; ratios of medians:

    rules        GET of 200 old URLs through a rule and an alias against GET of the same files by ID
    accel        GET of the same old URLs through nginx, which asks the node where each file is
                 (X-Accel-Redirect, conf/nginx/old-urls.conf), against nginx sending the same files
                 from the same disk

    bench/fronts.py [--only rules] [--size 32768] [--rounds 5] [--root DIR]

The decision alone, with 1,000 rules and 1,000,000 aliases, is build/bin/rules_decision. Needs wrk and
nginx."""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import time

import web  # the runs of wrk and their comparison; finds tests/support

import cluster as clusters
import fastdfs

HOST = "img.test"
FILES = 200
CONF = pathlib.Path(__file__).resolve().parents[1] / "conf" / "nginx" / "old-urls.conf"


def script_of(folder, name, paths):
    """A wrk script that asks for these paths of HOST in turn."""
    script = folder / f"{name}.lua"
    listed = ",".join(f'"{path}"' for path in paths)
    script.write_text(
        f'wrk.headers["Host"] = "{HOST}"\nlocal paths = {{{listed}}}\nlocal at = 0\n'
        "request = function() at = at % #paths + 1; return wrk.format('GET', paths[at]) end\n")
    return script


def prepare(args, cluster, folder):
    """Scripts for the same files by ID and by old URL."""
    ids = [cluster.upload(fastdfs.content(args.size, seed=number), "jpg") for number in range(FILES)]
    aliases = "".join(f"/names/{number}.jpg\t{file_id}\t1300000000\n"
                      for number, file_id in enumerate(ids))
    conf = ["--conf", cluster.client_conf]
    subprocess.run([clusters.binary("cairn"), *conf, "alias", "load", "-"], input=aliases, text=True,
                   check=True, stdout=subprocess.DEVNULL)
    rules = folder / "bench.rules"
    rules.write_text(f"rules bench {{ host {HOST}; pass; cache public max-age=1d;\n"
                     "  location ~ ^/old/(?<n>[^/]+)$ { object alias:/names/$n; }\n}\n")
    clusters.run_cairn(*conf, "rules", "load", rules)
    by_id = script_of(folder, "id", ["/" + file_id for file_id in ids])
    by_rule = script_of(folder, "rule", [f"/old/{number}.jpg" for number in range(FILES)])
    node = cluster.storage
    clusters.wait_until("the rules", lambda: clusters.http_get(
        node.addr, node.http, "/old/0.jpg", {"Host": HOST}).status == 200, 20)
    return by_id, by_rule


def rules(args, cluster, _, by_id, by_rule):
    node = cluster.storage
    url = f"http://{node.addr}:{node.http}/"
    web.compare("rules", args.rounds, lambda: web.wrk(url, by_rule, args.seconds, [node.pid]),
                lambda: web.wrk(url, by_id, args.seconds, [node.pid]))


def accel(args, cluster, folder, by_id, by_rule):
    """Two servers of one nginx, so that both have the same workers."""
    node = cluster.storage
    sample = CONF.read_text()
    for there, here in (
            ("listen 8080", f"listen {node.addr}:18081"),
            ("server 127.0.0.1:8888", f"server {node.addr}:{node.http}"),
            ("/var/lib/cairn/storage/path0", node.store_paths[0]),
            ("/var/cache/nginx", str(folder))):
        assert there in sample, there
        sample = sample.replace(there, here)
    (folder / "old-urls.conf").write_text(sample)
    conf = folder / "nginx.conf"
    conf.write_text(f"""user root; worker_processes auto; daemon off; error_log {folder}/error.log; pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 1000000000; include /etc/nginx/mime.types; include old-urls.conf;
  server {{ listen {node.addr}:18082; sendfile on; tcp_nopush on; location /group1/M00/ {{ alias {node.store_paths[0]}/data/; }} }} }}
""")
    nginx = subprocess.Popen(["nginx", "-c", conf])
    try:
        time.sleep(1)
        workers = [int(pid) for pid in
                   subprocess.run(["pgrep", "-P", str(nginx.pid)], capture_output=True, text=True,
                                  check=True).stdout.split()]
        told = clusters.http_get(node.addr, node.http, "/old/0.jpg",
                                 {"Host": HOST, "X-Cairn-Accel": "/x"})
        if "x-accel-redirect" not in told.headers:
            sys.exit("the node does not say where the file is")
        web.compare("accel", args.rounds,
                    lambda: web.wrk(f"http://{node.addr}:18081/", by_rule, args.seconds,
                                    [*workers, node.pid]),
                    lambda: web.wrk(f"http://{node.addr}:18082/", by_id, args.seconds, workers))
    finally:
        nginx.terminate()
        nginx.wait()


ROWS = {row.__name__: row for row in (rules, accel)}


def main():
    options = argparse.ArgumentParser(description=__doc__,
                                      formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--only", default="", help="rows whose name has this in it")
    options.add_argument("--size", type=int, default=web.SIZE, help="of each file, in bytes")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=4, help="of each run")
    options.add_argument("--root", type=pathlib.Path, help="where the cluster is made")
    args = options.parse_args()
    with tempfile.TemporaryDirectory(dir=args.root) as temporary:
        folder = pathlib.Path(temporary)
        cluster = clusters.Cluster(root=str(folder / "cluster"))
        try:
            cluster.start()
            cluster.wait_active()
            scripts = prepare(args, cluster, folder)
            for name, row in ROWS.items():
                if args.only in name:
                    row(args, cluster, folder, *scripts)
        finally:
            cluster.down()


if __name__ == "__main__":
    main()
