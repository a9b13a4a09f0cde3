#!/usr/bin/env python3
"""Measures HTTP of a storage node against its alternatives, alternating in one run, 32 KiB, 64
keep-alive connections; ratios of medians:

    get          GET of 200 files by ID against stock nginx over the same store path
    get_tuned    the same against nginx with open_file_cache
    upload       POST against uploads over the FastDFS protocol (the load generator), durable
    tls          GET over TLS against plain GET, the same node
    by_path      GET of a public export's files by path against GET of the same content by ID

    bench/web.py --load ./fdfs_load [--only get] [--rounds 5] [--root DIR]

Needs wrk and nginx. The load generator is any program with the options of `fdfs_load`."""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
os.environ.setdefault("CAIRN_BIN", str(HERE.parent / "build" / "bin"))
sys.path.insert(0, str(HERE.parent / "tests" / "support"))

import certificates  # noqa: E402  (found by the line above)
import cluster as clusters  # noqa: E402
import fastdfs  # noqa: E402

SIZE = 32 * 1024
CONNS = 64


def cpu_seconds(pids):
    """User and system time of processes so far."""
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def wrk(url, script, seconds, pids):
    """Requests per second, and server CPU microseconds a request."""
    before = cpu_seconds(pids)
    done = subprocess.run(["wrk", "-t1", f"-c{CONNS}", f"-d{seconds}s", "-s", script, url], check=True,
                          capture_output=True, text=True).stdout
    used = cpu_seconds(pids) - before
    if "Non-2xx" in done or "Socket errors" in done:
        sys.exit(f"{url}: {done}")
    count = int(re.search(r"(\d+) requests in", done).group(1))
    return float(re.search(r"Requests/sec:\s*([\d.]+)", done).group(1)), used / count * 1e6


def compare(name, rounds, ours, theirs):
    """Runs both in turns; each answers (rate, CPU a request)."""
    results = ([], [])
    for turn in range(rounds):
        for side, run in ((0, ours), (1, theirs)) if turn % 2 == 0 else ((1, theirs), (0, ours)):
            results[side].append(run())
    rate = [statistics.median(run[0] for run in side) for side in results]
    cpu = [statistics.median(run[1] for run in side) for side in results]
    print(f"{name:8}{rate[0]:>10.0f}/s{rate[1]:>10.0f}/s  ratio {rate[0] / rate[1]:.2f}"
          f"   cpu us {cpu[0]:.1f} {cpu[1]:.1f}  ratio {cpu[0] / cpu[1]:.2f}", flush=True)


def get_script(folder, paths):
    """A wrk script that asks for these paths in turn."""
    script = folder / "get.lua"
    listed = ",".join(f'"{path}"' for path in paths)
    script.write_text(f"local paths = {{{listed}}}\nlocal at = 0\n"
                      "request = function() at = at % #paths + 1; return wrk.format('GET', paths[at]) end\n")
    return script


def stored(cluster):
    return [cluster.upload(fastdfs.content(SIZE, seed=number), "jpg") for number in range(200)]


def get(args, cluster, folder):
    """Against nginx as Debian configures it, but for the access log."""
    against_nginx("get", args, cluster, folder, "")


def get_tuned(args, cluster, folder):
    """Against an nginx that keeps descriptors and what stat() says, and does not see changes for a minute."""
    against_nginx("get_tuned", args, cluster, folder, "open_file_cache max=1000 inactive=60s;")


def against_nginx(row, args, cluster, folder, more):
    node = cluster.storage
    ids = stored(cluster)
    conf = folder / "nginx.conf"
    conf.write_text(f"""user root; worker_processes auto; daemon off; error_log {folder}/error.log; pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; include /etc/nginx/mime.types;
  {more}
  server {{ listen {node.addr}:18080; location /group1/M00/ {{ alias {node.store_paths[0]}/data/; }} }} }}
""")
    nginx = subprocess.Popen(["nginx", "-c", conf])
    try:
        time.sleep(1)
        workers = [int(pid) for pid in
                   subprocess.run(["pgrep", "-P", str(nginx.pid)], capture_output=True, text=True,
                                  check=True).stdout.split()]
        script = get_script(folder, ["/" + file_id for file_id in ids])
        compare(row, args.rounds,
                lambda: wrk(f"http://{node.addr}:{node.http}/", script, args.seconds, [node.pid]),
                lambda: wrk(f"http://{node.addr}:18080/", script, args.seconds, workers))
    finally:
        nginx.terminate()
        nginx.wait()


def upload(args, cluster, folder):
    node = cluster.storage
    run = ["--conf", cluster.client_conf]
    key = folder / "key"
    clusters.run_cairn(*run, "key", "add", "--rights", "all", "-o", key)
    time.sleep(3)  # until the node knows it
    url = clusters.run_cairn(*run, "sign", "--key", key, "--method", "PUT", "--expires", "1h",
                             f"http://{node.addr}:{node.http}/group1/a.bin").stdout.strip()
    script = folder / "put.lua"
    script.write_text(f'wrk.method = "PUT"\nwrk.body = string.rep("x", {SIZE})\n')

    def by_fastdfs():
        before = cpu_seconds([node.pid])
        done = subprocess.run([args.load, "--tracker", f"{cluster.tracker.addr}:{cluster.tracker.port}",
                               "--op", "upload", "--conns", str(CONNS), "--size", str(SIZE), "--count", "20000",
                               "--ids", folder / "ids", "--json"], check=True, capture_output=True, text=True)
        result = json.loads(done.stdout)
        return result["ops"], (cpu_seconds([node.pid]) - before) / result["ok"] * 1e6

    compare("upload", args.rounds, lambda: wrk(url, script, args.seconds, [node.pid]), by_fastdfs)


def tls(args, cluster, folder):
    node = cluster.storage
    pair = certificates.Authority(str(folder / "ca")).sign("node", [node.addr])
    node = cluster.reconfigure(node, http_tls="optional", tls_certificate_file=pair[0],
                               tls_key_file=pair[1])
    script = get_script(folder, ["/" + file_id for file_id in stored(cluster)])
    compare("tls", args.rounds,
            lambda: wrk(f"https://{node.addr}:{node.http}/", script, args.seconds, [node.pid]),
            lambda: wrk(f"http://{node.addr}:{node.http}/", script, args.seconds, [node.pid]))


def by_path(args, cluster, folder):
    node = cluster.storage
    run = ["--conf", cluster.client_conf]
    clusters.run_cairn(*run, "export", "add", "public", "--public", "--copies", "1")
    tree = folder / "tree"
    tree.mkdir()
    for number in range(200):
        (tree / f"{number}.jpg").write_bytes(fastdfs.content(SIZE, seed=number))
    clusters.run_cairn(*run, "cp", "-r", f"{tree}/", ":/public/images", timeout=120)
    paths = (folder / "paths", folder / "ids")
    for each in paths:
        each.mkdir()
    named = get_script(paths[0], [f"/public/images/{number}.jpg" for number in range(200)])
    by_id = get_script(paths[1], ["/" + file_id for file_id in stored(cluster)])
    url = f"http://{node.addr}:{node.http}/"
    pids = [node.pid, cluster.tracker.pid]
    compare("by_path", args.rounds, lambda: wrk(url, named, args.seconds, pids),
            lambda: wrk(url, by_id, args.seconds, pids))


ROWS = {row.__name__: row for row in (get, get_tuned, upload, tls, by_path)}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--load", required=True, help="the load generator")
    options.add_argument("--only", default="", help="rows whose name has this in it")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=4, help="of each run")
    options.add_argument("--root", type=pathlib.Path, help="where the clusters are made")
    args = options.parse_args()
    for name, row in ROWS.items():
        if args.only not in name:
            continue
        with tempfile.TemporaryDirectory(prefix="cairn-bench-", dir=args.root) as folder:
            with clusters.Cluster(storages=1, root=f"{folder}/cluster") as cluster:
                row(args, cluster, pathlib.Path(folder))


if __name__ == "__main__":
    main()
