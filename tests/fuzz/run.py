"""Runs one libFuzzer target: its corpus, then new inputs for CAIRN_FUZZ_SECONDS (default 10)."""

import os
import subprocess
import sys
import tempfile


def main(program, corpus):
    seconds = os.environ.get("CAIRN_FUZZ_SECONDS", "10")
    with tempfile.TemporaryDirectory() as grown:
        done = subprocess.run(
            [program, f"-max_total_time={seconds}", "-max_len=20000", "-timeout=10",
             "-rss_limit_mb=2048", f"-artifact_prefix={tempfile.gettempdir()}/", "-print_final_stats=1",
             grown, corpus], stdin=subprocess.DEVNULL)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
