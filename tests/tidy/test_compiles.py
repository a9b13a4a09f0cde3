"""What only a compiler can tell: every header compiles alone, and no coroutine drops the Result it
waited for (GCC 12 is silent about that; clang 14 warns). A first run compiles everything and takes
a minute or two; what has not changed since is not compiled again."""

import shutil
import unittest

import sources


class Compiles(unittest.TestCase):
    def assert_all_compile(self, jobs):
        failed = sources.compile_each(jobs)
        if failed:
            self.fail(f"{len(failed)} of {len(jobs)} files:\n" + "\n".join(failed))

    def test_headers_compile_alone(self):
        # Without the precompiled header, which would lend every header its includes.
        flags = sources.all_preprocessor_flags()
        jobs = {
            path: ["g++", "-std=c++20", "-fcoroutines", "-fsyntax-only", *flags]
            + ["-x", "c++", "-include", str(path), "/dev/null"]
            for path in sources.files(".h", ".hpp")
        }
        self.assert_all_compile(jobs)

    def test_no_awaited_result_is_dropped(self):
        clang = shutil.which("clang++-14")
        self.assertTrue(clang, "clang++-14 is not installed; scripts/install-packages.sh test")
        jobs = {
            path: [clang, "-std=c++20", "-fsyntax-only", "-Wno-everything"]
            + ["-Werror=unused-result", *sources.preprocessor_flags(arguments), str(path)]
            for path, arguments in sources.compile_commands().items()
            if path.suffix == ".cpp" and path.parts[0] not in ("tests", "bench")
        }
        self.assert_all_compile(jobs)


if __name__ == "__main__":
    unittest.main()
