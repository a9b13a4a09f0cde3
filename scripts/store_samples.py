"""Stores the sample images in a running cluster, fetches each back over HTTP from every storage
node, compares, and prints where they are. The last step of ./quickstart; the cluster is left as it
is. Images stored by an earlier run and still there are not stored again."""

import argparse
import json
import pathlib
import subprocess
import sys
import urllib.error
import urllib.request

# Loopback addresses are never a proxy's business, whatever the environment says.
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fail(line):
    sys.exit(f"store_samples: {line}")


def upload(cairn, conf, paths):
    """The IDs of `paths`, in their order."""
    done = subprocess.run(
        [cairn, "--conf", conf, "upload", *map(str, paths)], capture_output=True, text=True
    )
    ids = done.stdout.split()
    if done.returncode != 0 or len(ids) != len(paths):
        fail(
            f"cairn upload exited {done.returncode} with {len(ids)} IDs for {len(paths)} files: "
            f"{done.stderr.strip()}"
        )
    return ids


def fetch(url):
    """The body, or None when the node says there is no such file."""
    try:
        with HTTP.open(url, timeout=30) as reply:
            return reply.read()
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        fail(f"{url}: HTTP status {error.code}")
    except OSError as error:
        fail(f"{url}: {error}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cairn", required=True, help="the cairn command")
    parser.add_argument("--cluster", required=True, help="what `cairn local up --json` printed")
    parser.add_argument("--images", required=True, type=pathlib.Path)
    parser.add_argument("--state", required=True, type=pathlib.Path, help="IDs of earlier runs")
    args = parser.parse_args()

    cluster = json.loads(pathlib.Path(args.cluster).read_text())
    nodes = [f"http://{node['addr']}:{node['http']}" for node in cluster["storages"]]
    # bad-*: files made to hurt image decoders; they are for the tests.
    paths = sorted(
        path
        for path in args.images.iterdir()
        if path.is_file() and path.suffix != ".md" and not path.name.startswith("bad-")
    )
    if not paths:
        fail(f"no images in {args.images}")

    known = json.loads(args.state.read_text()) if args.state.exists() else {}
    kept = {
        path.name: known[path.name]
        for path in paths
        if path.name in known and fetch(f"{nodes[0]}/{known[path.name]}") == path.read_bytes()
    }
    new = [path for path in paths if path.name not in kept]
    if new:
        kept.update(zip((path.name for path in new), upload(args.cairn, cluster["client_conf"], new)))
        args.state.write_text(json.dumps(kept, indent=1) + "\n")

    for path in paths:
        for node in nodes:
            url = f"{node}/{kept[path.name]}"
            body = fetch(url)
            if body is None:
                fail(f"{url}: not there, though the upload of {path.name} was acknowledged")
            if body != path.read_bytes():
                fail(f"{url}: {len(body)} bytes that differ from {path.name}")

    print(f"\n{len(paths)} images, each equal on {len(nodes)} nodes ({len(new)} stored now):")
    width = max(len(path.name) for path in paths)
    for path in paths:
        print(f"  {path.name:{width}}  {nodes[0]}/{kept[path.name]}")
    for node in nodes[1:]:
        print(f"The same paths work at {node}/")


if __name__ == "__main__":
    main()
