"""Our sources are formatted as .clang-format says (LLVM 14, so that everyone gets the same):
clang-format-14 -i FILE mends one."""

import subprocess
import unittest

import sources


class Format(unittest.TestCase):
    def test_clang_format_would_change_nothing(self):
        wrong = []
        paths = [str(path) for path in sources.cpp_files()]
        done = subprocess.run(
            ["clang-format-14", "--dry-run", "-Werror", *paths],
            cwd=sources.ROOT,
            capture_output=True,
            text=True,
        )
        for line in done.stderr.splitlines():
            name = line.split(":", 1)[0]
            if "-Wclang-format-violations" in line and name not in wrong:
                wrong.append(name)
        if wrong:
            self.fail("not as .clang-format says; clang-format-14 -i " + " ".join(wrong))
        self.assertEqual(done.returncode, 0, done.stderr[:2000])


if __name__ == "__main__":
    unittest.main()
