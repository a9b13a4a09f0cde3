"""Mounts a running cluster, copies an image into the mount, and fetches it by its path over HTTP
from every storage node. A step of ./quickstart; unmounts again, since whoever deletes a directory
with a mount in it deletes the cluster's files. Where nobody can mount it says so and succeeds."""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import urllib.request

# Loopback addresses are never a proxy's business, whatever the environment says.
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))
EXPORT = "pictures"


def fail(line):
    sys.exit(f"mount_samples: {line}")


def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        fail(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, type=pathlib.Path, help="where the programs are")
    parser.add_argument("--cluster", required=True, help="what `cairn local up --json` printed")
    parser.add_argument("--image", required=True, type=pathlib.Path)
    parser.add_argument("--directory", required=True, type=pathlib.Path, help="where to mount")
    args = parser.parse_args()

    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        print("No /dev/fuse here: nothing was mounted.")
        return
    cluster = json.loads(pathlib.Path(args.cluster).read_text())
    conf = cluster["client_conf"]
    cairn = [args.bin / "cairn", "--conf", conf]
    exports = [line.split()[0] for line in run(*cairn, "export", "ls").splitlines() if line.strip()]
    if EXPORT not in exports:
        run(*cairn, "export", "add", EXPORT, "--public")

    args.directory.mkdir(exist_ok=True)
    unmount = ["umount"] if os.geteuid() == 0 else ["fusermount3", "-u"]
    run(args.bin / "cairn-mount", "-o", f"conf={conf}", f":/{EXPORT}", args.directory)
    try:
        shutil.copyfile(args.image, args.directory / args.image.name)
    finally:
        run(*unmount, args.directory)

    for node in cluster["storages"]:
        url = f"http://{node['addr']}:{node['http']}/{EXPORT}/{args.image.name}"
        with HTTP.open(url, timeout=30) as reply:
            if reply.read() != args.image.read_bytes():
                fail(f"{url} is not what was copied into the mount")
        print(f"copied into the mount, fetched by its path: {url}")


if __name__ == "__main__":
    main()
