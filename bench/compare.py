#!/usr/bin/env python3
"""Compares a Cairn storage node with another server of the FastDFS protocol, in one run.

Every row is measured on both, alternating, and printed as a ratio of medians: figures of two runs on
a shared machine say nothing. The other server is started by whoever runs this; Cairn's cluster (one
tracker, one storage node) is made here and taken down again. The load generator is any program with
the options of `fdfs_load` (--tracker --op --conns --size --count --ids --json).

    bench/compare.py --load ./fdfs_load --peer 127.200.1.1:22122 --peer-pids 812,845
    bench/compare.py --load ./fdfs_load --durability durable --only upload-4k --json

Removing many files makes the next creations slow for minutes (ext4 passes over inodes deleted just
now): with --keep the data stays, to be removed when nothing is to be measured any more.
"""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

BIN = pathlib.Path(__file__).resolve().parent.parent / "build" / "bin"

# name, operation, connections, bytes, files; `must` and `aim` are ratios to the peer. Downloads
# take as many as give the same figure twice.
ROWS = {
    "upload-4k-1": ("upload", 1, 4096, 4000, None, None),
    "upload-4k-64": ("upload", 64, 4096, 90000, 1.3, 1.8),
    "upload-4k-300": ("upload", 300, 4096, 90000, 1.3, 1.8),
    "upload-4k-1000": ("upload", 1000, 4096, 90000, 1.3, 1.8),
    "upload-4k-2000": ("upload", 2000, 4096, 90000, None, None),
    "upload-32k-64": ("upload", 64, 32768, 30000, 1.2, 1.8),
    "upload-256k-64": ("upload", 64, 262144, 4000, 1.2, 1.8),
    "download-4k-64": ("download", 64, 4096, 200000, 1.3, 1.6),
    "download-32k-64": ("download", 64, 32768, 100000, 1.1, 1.3),
    "download-256k-64": ("download", 64, 262144, 12000, 1.2, 1.4),
}

# The same for durable uploads, beside a peer that syncs nothing.
DURABLE = {
    "upload-4k-1": (0.4, 0.7), "upload-4k-64": (1.2, 2.0), "upload-4k-300": (1.2, 2.0),
    "upload-4k-1000": (1.2, 2.0), "upload-4k-2000": (None, None), "upload-32k-64": (1.2, None),
    "upload-256k-64": (1.0, None),
}


def cpu_seconds(pids):
    """User and system time of `pids`, in seconds, from their /proc entry."""
    ticks = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mb(pid):
    """Resident memory of `pid` in MB (10^6 bytes)."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


class Server:
    """One side of the comparison: where it listens and which processes it is."""

    def __init__(self, name, tracker, pids, scratch):
        self.name, self.tracker, self.pids, self.scratch = name, tracker, pids, scratch

    def run(self, load, row):
        operation, conns, size, count, _, _ = row
        ids = self.scratch / f"{self.name}-{size}.ids"
        command = [load, "--tracker", self.tracker, "--op", operation, "--conns", str(conns),
                   "--json", "--ids", str(ids)]
        if operation == "upload":
            command += ["--size", str(size), "--count", str(count)]
        else:
            with open(ids) as listed:
                have = sum(1 for _ in listed)
            # Downloads are of files that fit into the page cache, each read several times.
            command += ["--limit", "4000", "--repeat", str(max(1, count // min(have, 4000)))]
        os.sync()  # what the other side has not written yet would be written during this run
        before = cpu_seconds(self.pids)
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        used = cpu_seconds(self.pids) - before
        result["cpu_per_1000"] = used / max(1, result["ok"]) * 1000
        result["rss_mb"] = max(resident_mb(pid) for pid in self.pids)
        return result


def start_cairn(root, durability):
    command = [BIN / "cairn", "local", "up", "--root", root, "--net", "auto", "--json",
               "--storage-conf", f"durability={durability}"]
    made = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    tracker, storage = made["trackers"][0], made["storages"][0]
    return f'{tracker["addr"]}:{tracker["port"]}', [storage["pid"], tracker["pid"]]


def median(results, key):
    return statistics.median(result[key] for result in results)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--load", required=True, help="the load generator")
    options.add_argument("--peer", help="tracker of the other server, HOST:PORT")
    options.add_argument("--peer-pids", default="", help="its processes, for CPU and memory")
    options.add_argument("--durability", choices=["durable", "relaxed"], default="relaxed")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--scale", type=float, default=1.0, help="of the number of files")
    options.add_argument("--only", default="", help="rows whose name has this in it")
    options.add_argument("--root", help="where Cairn's cluster is made (a temporary directory)")
    options.add_argument("--keep", action="store_true", help="leave the cluster's files")
    options.add_argument("--json", action="store_true")
    args = options.parse_args()

    with contextlib.ExitStack() as ends:
        made = tempfile.mkdtemp(prefix="cairn-bench-", dir=args.root)
        if not args.keep:
            ends.callback(shutil.rmtree, made)
        scratch = pathlib.Path(made)
        root = scratch / "cluster"
        tracker, pids = start_cairn(root, args.durability)
        try:
            servers = [Server("cairn", tracker, pids, scratch)]
            if args.peer:
                peer_pids = [int(pid) for pid in args.peer_pids.split(",") if pid]
                servers.append(Server("peer", args.peer, peer_pids, scratch))
            measure(args, servers)
        finally:
            subprocess.run([BIN / "cairn", "local", "down", "--root", root], check=False,
                           capture_output=True)


def measure(args, servers):
    if not args.json:
        print(f"durability = {args.durability}, {args.rounds} rounds, medians; cpu: server seconds per 1000")
        print(f'{"row":18}{"cairn/s":>9}{"peer/s":>9}{"ratio":>7}{"must":>6}{"aim":>6}'
              f'{"cpu":>8}{"peer":>8}{"ratio":>7}{"p99 ms":>9}{"peer":>9}{"RSS MB":>8}')
    for name, row in ROWS.items():
        if args.only not in name:
            continue
        targets = row[4:] if args.durability == "relaxed" else DURABLE.get(name, row[4:])
        row = row[:3] + (max(row[1], int(row[3] * args.scale)),) + targets
        results = {server.name: [] for server in servers}
        for turn in range(args.rounds):
            for server in servers if turn % 2 == 0 else reversed(servers):
                results[server.name].append(server.run(args.load, row))
        report(args, name, row, results)


def report(args, name, row, results):
    ours, theirs = results["cairn"], results.get("peer")
    line = {"row": name, "ops": median(ours, "ops"), "cpu_per_1000": median(ours, "cpu_per_1000"),
            "p99_ms": median(ours, "p99"), "rss_mb": median(ours, "rss_mb"),
            "errors": sum(result["err"] for result in ours), "must": row[4], "aim": row[5]}
    if theirs:
        line |= {"peer_ops": median(theirs, "ops"), "peer_cpu_per_1000": median(theirs, "cpu_per_1000"),
                 "peer_p99_ms": median(theirs, "p99"),
                 "peer_errors": sum(result["err"] for result in theirs)}
        line["ratio"] = line["ops"] / line["peer_ops"]
        line["cpu_ratio"] = line["cpu_per_1000"] / max(1e-9, line["peer_cpu_per_1000"])
    if args.json:
        print(json.dumps(line), flush=True)
        return

    def number(key, form):
        value = line.get(key)
        return format(value, form) if value is not None else "-"

    print(f'{name:18}{number("ops", ".0f"):>9}{number("peer_ops", ".0f"):>9}{number("ratio", ".2f"):>7}'
          f'{number("must", ".1f"):>6}{number("aim", ".1f"):>6}{number("cpu_per_1000", ".3f"):>8}'
          f'{number("peer_cpu_per_1000", ".3f"):>8}{number("cpu_ratio", ".2f"):>7}'
          f'{number("p99_ms", ".1f"):>9}{number("peer_p99_ms", ".1f"):>9}{number("rss_mb", ".0f"):>8}'
          + (f'  {line["errors"]} errors' if line["errors"] else ""), flush=True)


if __name__ == "__main__":
    sys.exit(main())
