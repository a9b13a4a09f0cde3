#!/usr/bin/env python3
"""Measures what a group of two storage nodes does, in the default configuration (durable):

    first_start        seconds until a node with an empty store path answers
    visible_idle       acknowledged at one node -> whole on the other node's own disk, milliseconds
    visible_busy       the same while the load generator uploads 4 KiB files over 64 connections
    both_hold          20,000 files of 10 KiB over 16 connections: the time until both nodes hold all of
                       them, as a multiple of the time to the last answer
    beside_reads       99th percentile of the latency of 200 uploads a second, alone and while 64 connections
                       download 4 KiB and 256 KiB files as fast as they can, milliseconds
    memory_connections resident memory of a node with 1,000 and with 10,000 uploading connections
    memory_2gib        peak resident memory after small files, and after a file of 2 GiB went in and out

    bench/group.py --load ./fdfs_load [--only visible] [--root DIR] [--json]

The load generator is any program with the options of `fdfs_load`. Needs 5 GiB of disk."""

import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
os.environ.setdefault("CAIRN_BIN", str(HERE.parent / "build" / "bin"))
sys.path.insert(0, str(HERE.parent / "tests" / "support"))

import cluster as clusters  # noqa: E402  (found by the line above)
import fastdfs  # noqa: E402


def status_kb(pid, key):
    """A line of /proc/PID/status in kB."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    return 0


def load(args, cluster, conns, size, count, processes=1):
    """Runs the load generator against a cluster, `processes` of it at once; answers what they counted."""
    begun = []
    for number in range(processes):
        ids = pathlib.Path(cluster.root) / ("ids" if number == 0 else f"ids{number}")
        command = [args.load, "--tracker", f"{cluster.tracker.addr}:{cluster.tracker.port}", "--op", "upload",
                   "--conns", str(conns // processes), "--size", str(size), "--count",
                   str(count // processes), "--ids", str(ids), "--json"]
        begun.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    results = [json.loads(process.communicate()[0]) for process in begun]
    for result in results:
        if result["err"]:
            print(f"errors: {result['errors']}", file=sys.stderr)
    return {"ops": sum(result["ops"] for result in results), "err": sum(result["err"] for result in results)}


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def times_to_visible(cluster, count):
    """Milliseconds from each acknowledgement at the first node to the file on the second's disk."""
    here, there = cluster.storages
    found = []
    with cluster.to(here) as storage:
        for number in range(count):
            content = fastdfs.content(10 * 1024, seed=number)
            file_id = fastdfs.read_id(storage.call(fastdfs.UPLOAD, fastdfs.upload_body(content, "jpg")))
            begin = time.monotonic()
            path = cluster.path_of(file_id, there)
            while not (os.path.exists(path) and os.path.getsize(path) == len(content)):
                if time.monotonic() - begin > 30:
                    sys.exit(f"{file_id} has not arrived after 30 s")
                time.sleep(0.0005)
            found.append((time.monotonic() - begin) * 1000)
            time.sleep(0.01)
    return {"files": count, "median_ms": statistics.median(found), "p99_ms": percentile(found, 0.99),
            "max_ms": max(found)}


def visible_idle(args):
    with clusters.Cluster(storages=2, root=args.root) as cluster:
        return times_to_visible(cluster, 300)


def visible_busy(args):
    with clusters.Cluster(storages=2, root=args.root) as cluster:
        result = {}
        busy = threading.Thread(target=lambda: result.update(load(args, cluster, 64, 4096, 90000)))
        busy.start()
        time.sleep(0.5)
        seen = times_to_visible(cluster, 100)
        during = busy.is_alive()
        busy.join()
        return seen | {"load_per_second": result["ops"], "under_load_throughout": during}


def both_hold(args):
    count = 20_000
    with clusters.Cluster(storages=2, root=args.root) as cluster:
        begin = time.monotonic()
        answered = load(args, cluster, 16, 10 * 1024, count)
        last_answer = time.monotonic() - begin
        lines = (pathlib.Path(cluster.root) / "ids").read_text().splitlines()
        ids = [line.split()[0] for line in lines]
        wanted = {cluster.path_of(file_id, node) for file_id in ids for node in cluster.storages}
        while wanted:
            wanted = {path for path in wanted
                      if not os.path.exists(path) or os.path.getsize(path) != 10 * 1024}
            if time.monotonic() - begin > 300:
                sys.exit(f"{len(wanted)} copies have not arrived after 300 s")
        both = time.monotonic() - begin
        return {"files": len(ids), "errors": answered["err"], "last_answer_s": last_answer,
                "both_hold_s": both, "ratio": both / last_answer}


def beside_reads(args):
    with clusters.Cluster(storages=1, root=args.root) as cluster:
        def fdfs_load(op, ids, *more):
            return [args.load, "--tracker", f"{cluster.tracker.addr}:{cluster.tracker.port}", "--op", op,
                    "--ids", str(pathlib.Path(cluster.root) / ids), "--json", *map(str, more)]

        def uploads(ids):
            paced = fdfs_load("upload", ids, "--conns", 32, "--size", 4096, "--count", 3000, "--rate", 200)
            return json.loads(subprocess.run(paced, check=True, capture_output=True, text=True).stdout)["p99"]

        for size, count in ((4096, 4000), (262144, 400)):
            subprocess.run(fdfs_load("upload", f"read{size}", "--conns", 16, "--size", size, "--count", count),
                           check=True, capture_output=True)
        found = {"alone_ms": uploads("alone")}
        for size in (4096, 262144):
            reading = fdfs_load("download", f"read{size}", "--conns", 64, "--repeat", 100_000, "--max-time", 17)
            with subprocess.Popen(reading, stdout=subprocess.PIPE, text=True) as reader:
                time.sleep(1)
                beside = uploads(f"beside{size}")
                during = reader.poll() is None
                reads = json.loads(reader.communicate()[0])["ops"]
            found |= {f"beside_{size}_ms": beside, f"times_{size}": beside / found["alone_ms"],
                      f"reads_{size}": reads, f"throughout_{size}": during}
        return found


def first_start(args):
    with clusters.Cluster(storages=1, root=args.root) as cluster:
        node = cluster.storage
        cluster.stop(node)
        conf = pathlib.Path(cluster.conf_file(node))
        empty = pathlib.Path(tempfile.mkdtemp(dir=cluster.root))
        conf.write_text("\n".join(f"store_path0 = {empty}" if line.startswith("store_path0") else line
                                  for line in conf.read_text().splitlines()) + "\n")
        # Another data directory as well: a new node, not one whose disk was lost.
        conf.write_text("\n".join(f"base_path = {empty / 'base'}" if line.startswith("base_path") else line
                                  for line in conf.read_text().splitlines()) + "\n")
        (empty / "base").mkdir()
        begin = time.monotonic()
        with subprocess.Popen([clusters.binary("cairn-storage"), conf], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as process:
            while True:
                try:
                    socket.create_connection((node.addr, node.port), timeout=1).close()
                    break
                except OSError:
                    if time.monotonic() - begin > 30 or process.poll() is not None:
                        sys.exit("the node does not start")
                    time.sleep(0.002)
            seconds = time.monotonic() - begin
            process.terminate()
        return {"seconds": seconds}


def memory_connections(args):
    found = {}
    with clusters.Cluster(storages=1, root=args.root) as cluster:
        for conns in (1000, 10000):
            # One process may not have enough open files for 10,000 connections.
            answered = load(args, cluster, conns, 4096, 90000, processes=max(1, conns // 2500))
            found[f"rss_mb_{conns}"] = status_kb(cluster.storage.pid, "VmRSS") / 1000
            found[f"errors_{conns}"] = answered["err"]
            found[f"per_second_{conns}"] = answered["ops"]
    return found


def memory_2gib(args):
    size = 2 << 30
    with clusters.Cluster(storages=1, root=args.root) as cluster:
        node = cluster.storage
        load(args, cluster, 16, 4096, 2000)
        small = status_kb(node.pid, "VmHWM") / 1000
        path = pathlib.Path(cluster.root) / "large"
        with open(path, "wb") as file:
            file.truncate(size)
            for offset in range(0, size, 64 << 20):  # not a file of zeros alone
                file.seek(offset)
                file.write(os.urandom(1 << 20))
        conf = ["--conf", cluster.client_conf]
        file_id = clusters.run_cairn(*conf, "upload", path, timeout=600).stdout.split()[-1]
        got = pathlib.Path(cluster.root) / "got"
        clusters.run_cairn(*conf, "download", file_id, "-o", got, timeout=600)
        same = subprocess.run(["cmp", path, got], check=False).returncode == 0
        return {"peak_mb_small": small, "peak_mb_2gib": status_kb(node.pid, "VmHWM") / 1000, "same": same}


ROWS = {row.__name__: row for row in
        (first_start, visible_idle, visible_busy, both_hold, beside_reads, memory_connections, memory_2gib)}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--load", required=True, help="the load generator")
    options.add_argument("--only", default="", help="rows whose name has this in it")
    options.add_argument("--root", type=pathlib.Path, help="where the clusters are made")
    options.add_argument("--json", action="store_true")
    args = options.parse_args()
    roots = args.root
    for name, row in ROWS.items():
        if args.only not in name:
            continue
        if roots:
            args.root = tempfile.mkdtemp(prefix="cairn-bench-", dir=roots)
        result = row(args)
        if args.json:
            print(json.dumps({"row": name} | result), flush=True)
        else:
            print(f"{name:20}" + "  ".join(f"{key} {value:.4g}" if isinstance(value, float) else
                                           f"{key} {value}" for key, value in result.items()), flush=True)


if __name__ == "__main__":
    main()
