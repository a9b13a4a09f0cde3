"""Every .cpp file is built by some target of this tree: what nobody builds rots."""

import unittest

import sources

# Built only by presets of their own, or by the test that installs the library.
OTHER_PRESETS = ("tests/fuzz/", "tests/install/program/")


class Built(unittest.TestCase):
    def test_every_source_has_a_target(self):
        built = sources.compile_commands()
        forgotten = [
            str(path)
            for path in sources.files(".cpp", ".c", ".cc")
            if path not in built and not path.as_posix().startswith(OTHER_PRESETS)
        ]
        if forgotten:
            self.fail("no target builds:\n" + "\n".join(forgotten))


if __name__ == "__main__":
    unittest.main()
