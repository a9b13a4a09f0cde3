"""Random operations on one file, as fsx does them, against a plain byte array. A failure prints its
seed; CAIRN_SEED=N runs it again."""

import mmap
import os
import random
import subprocess
import sys
import unittest

import mounts
import workload

SIZE_MAX = 256 * 1024


class Random(mounts.MountTest):
    def run_seed(self, seed, steps):
        dice = random.Random(seed)
        files = self.mount()
        path = files.path(f"random{seed}")
        model = bytearray()
        file = os.open(path, os.O_RDWR | os.O_CREAT)
        history = []

        def write_model(at, content):
            if len(model) < at:
                model.extend(bytes(at - len(model)))
            model[at:at + len(content)] = content

        for step in range(steps):
            act = dice.choice(["write", "write", "write", "append", "read", "read", "truncate",
                               "mapread", "mapwrite", "punch", "zero", "sync", "reopen", "copy"])
            at, length = dice.randrange(SIZE_MAX), dice.randrange(1, 30_000)
            history.append(f"{step}: {act} {at} {length}, size {len(model)}")
            if act == "write":
                content = dice.randbytes(length)
                os.pwrite(file, content, at)
                write_model(at, content)
            elif act == "append":
                if len(model) > SIZE_MAX:
                    continue
                content = dice.randbytes(length)
                other = os.open(path, os.O_WRONLY | os.O_APPEND)
                os.write(other, content)
                os.close(other)
                model.extend(content)
            elif act == "read":
                seen = os.pread(file, length, at)
                self.check(seed, history, seen, bytes(model[at:at + length]))
            elif act == "truncate":
                os.ftruncate(file, at)
                write_model(at, b"")
                del model[at:]
            elif act in ("mapread", "mapwrite") and model:
                with mmap.mmap(file, len(model)) as mapped:
                    if act == "mapread":
                        self.check(seed, history, mapped[:], bytes(model))
                    else:
                        at %= len(model)
                        content = dice.randbytes(min(length, len(model) - at))
                        mapped[at:at + len(content)] = content
                        model[at:at + len(content)] = content
            elif act == "punch":
                subprocess.run(["fallocate", "-p", "-o", str(at), "-l", str(length), path], check=True)
                end = min(at + length, len(model))
                if at < end:
                    model[at:end] = bytes(end - at)
            elif act == "zero":
                subprocess.run(["fallocate", "-z", "-o", str(at), "-l", str(length), path], check=True)
                write_model(at, bytes(length))
            elif act == "sync":
                os.fsync(file)
            elif act == "reopen":
                os.close(file)
                file = os.open(path, os.O_RDWR)
            elif act == "copy" and len(model) > 2 * length:
                to = len(model) - length
                if to >= length:
                    copied = os.copy_file_range(file, file, length, 0, to)
                    model[to:to + copied] = model[:copied]
            self.check(seed, history, os.fstat(file).st_size, len(model))
        os.close(file)
        with open(path, "rb") as again:
            self.check(seed, history, again.read(), bytes(model))
        files.down()
        files.up()
        with open(path, "rb") as again:
            self.check(seed, history, again.read(), bytes(model))

    def check(self, seed, history, seen, expected):
        if seen == expected:
            return
        where = ""
        if isinstance(seen, bytes):
            first = next((i for i, pair in enumerate(zip(seen, expected)) if pair[0] != pair[1]),
                         min(len(seen), len(expected)))
            where = f", {len(seen)} and {len(expected)} bytes, different at {first}"
        else:
            where = f", {seen} and not {expected}"
        self.fail(f"seed {seed}{where}; the last steps:\n" + "\n".join(history[-30:]))

    def test_one_file_against_an_array(self):
        seed = int(os.environ.get("CAIRN_SEED", "0")) or random.randrange(1 << 30)
        print(f"seed {seed}", file=sys.stderr)
        self.run_seed(seed, 3_000 if workload.FULL else 250)


if __name__ == "__main__":
    unittest.main(verbosity=2)
