#!/usr/bin/env python3
"""The migrator against rsync, on one machine in one run: a tree of small files into an export with
two copies, a second pass with nothing changed, and the same by rsync onto local disk and onto the
mount. Prints the ratios.

  bench/migrate.py [--files N] [--size BYTES] [--directories N] [--bin DIR] [--adopt] [--mount]

--adopt includes taking the tree over where it lies, by hard links. --mount includes rsync onto the mount, which takes long."""

import argparse
import json
import os
import pathlib
import random
import resource
import shutil
import subprocess
import tempfile
import time


def make_tree(root, files, size, directories):
    """`files` files of `size` random bytes, spread evenly."""
    rng = random.Random(1)
    pool = rng.randbytes(size + 65536)
    for number in range(files):
        folder = root / f"{number % directories // 100:03d}" / f"{number % directories:05d}"
        if number < directories:
            folder.mkdir(parents=True, exist_ok=True)
        at = rng.randrange(65536)
        (folder / f"{number:07d}.jpg").write_bytes(number.to_bytes(8, "big") + pool[at : at + size - 8])


def timed(*command, **options):
    begin = time.monotonic()
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise SystemExit(f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return time.monotonic() - begin, done.stdout


def own_bytes(root):
    """Bytes on the disk of what is below `root`, without what is linked from elsewhere."""
    total = 0
    for at, folders, files in os.walk(root):
        for name in folders + files:
            info = os.lstat(os.path.join(at, name))
            if os.path.isdir(os.path.join(at, name)) or info.st_nlink == 1:
                total += info.st_blocks * 512
    return total


def adopt(programs, folder, source, args):
    """The tree taken over by a node on this machine, alone in its group: no second copy is made."""
    root = folder / "single"
    up = timed(programs / "cairn", "local", "up", "--root", root, "--net", "auto", "--json")[1]
    try:
        conf = ["--conf", json.loads(up)["client_conf"]]
        with open(root / "conf/group1-storage1.conf", "a") as storage_conf:
            storage_conf.write(f"adopt_from = {source}\n")
        timed(programs / "cairn", "local", "kill", "group1-storage1", "--root", root)
        timed(programs / "cairn", "local", "start", "group1-storage1", "--root", root)
        timed(programs / "cairn", *conf, "export", "add", "adopted", "--copies", "1")
        os.sync()
        before = own_bytes(root)
        took, out = timed(programs / "cairn-migrate", *conf, "--json", "run", "--job", "a", "--mode",
                          "adopt", "--source-frozen", f"{source}/", "adopted")
        os.sync()
        grown = own_bytes(root) + own_bytes(pathlib.Path(os.environ["CAIRN_STATE"], "a")) - before
        linked = json.loads(out.splitlines()[-1])["linked"]
        print(f"adopt             {took:8.2f} s  {args.files / took:8.0f} files/s, "
              f"{took * 100_000 / args.files:.1f} s for 100,000; {linked} linked")
        print(f"adopt, space      {100 * grown / (args.files * args.size):8.2f} % of the tree, "
              "ledger and databases included")
    finally:
        subprocess.run([programs / "cairn", "local", "down", "--root", root], capture_output=True,
                       check=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=10 * 1024)
    parser.add_argument("--directories", type=int, default=2_000)
    parser.add_argument("--bin", default=str(pathlib.Path(__file__).parents[1] / "build/bin"))
    parser.add_argument("--adopt", action="store_true")
    parser.add_argument("--mount", action="store_true")
    parser.add_argument("--mount-files", type=int, default=5_000,
                        help="of them by rsync onto the mount; its time is scaled up")
    args = parser.parse_args()
    programs = pathlib.Path(args.bin)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cairn-bench-"))
    source, root = folder / "source", folder / "cluster"
    mounted = None
    try:
        make_tree(source, args.files, args.size, args.directories)
        up = timed(programs / "cairn", "local", "up", "--root", root, "--storages", "2", "--net",
                   "auto", "--json")[1]
        os.environ["CAIRN_CONF"] = json.loads(up)["client_conf"]
        os.environ["CAIRN_STATE"] = str(folder / "state")
        timed(programs / "cairn", "export", "add", "bench", "--copies", "2")
        os.sync()
        time.sleep(3)  # changes of the last two seconds are read again
        migrate = [programs / "cairn-migrate", "--json"]
        first, out = timed(*migrate, "run", "--job", "b", f"{source}/", "bench")
        summary = json.loads(out.splitlines()[-1])
        second = timed(*migrate, "run", "--job", "b", f"{source}/", "bench")[0]
        second = min(second, timed(*migrate, "run", "--job", "b", f"{source}/", "bench")[0])
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        os.sync()
        local = timed("rsync", "-a", f"{source}/", folder / "copy")[0]
        local_again = min(timed("rsync", "-a", f"{source}/", folder / "copy")[0] for _ in range(2))
        print(f"files {summary['files']}, failed {summary['failed']}, "
              f"too few copies {summary['short_copies']}")
        print(f"import            {first:8.2f} s  {args.files / first:8.0f} files/s")
        print(f"rsync local       {local:8.2f} s  import is {local / first:.2f}x as fast")
        print(f"second pass       {second:8.2f} s")
        print(f"rsync second      {local_again:8.2f} s  ours takes {second / local_again:.2f}x the time")
        print(f"largest process   {peak} MiB")
        if args.adopt:
            adopt(programs, folder, source, args)
        if args.mount:
            mount = folder / "mount"
            mount.mkdir()
            timed(programs / "cairn", "export", "add", "mounted", "--copies", "2")
            timed(programs / "cairn-mount", ":/mounted", mount)
            mounted = mount
            some = folder / "some"
            make_tree(some, args.mount_files, args.size, max(args.directories * args.mount_files // args.files, 1))
            by_mount = timed("rsync", "-a", f"{some}/", mount)[0] * args.files / args.mount_files
            print(f"rsync on mount    {by_mount:8.2f} s  import is {by_mount / first:.2f}x as fast "
                  f"(measured with {args.mount_files} files)")
    finally:
        if mounted:
            subprocess.run(["fusermount3", "-u", str(mounted)], check=False)
        subprocess.run([programs / "cairn", "local", "down", "--root", root], capture_output=True,
                       check=False)
        if not mounted or not os.path.ismount(mounted):
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
