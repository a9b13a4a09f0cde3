"""Every rules file that the documentation shows loads, and the tests in it pass."""

import pathlib
import re
import tempfile
import unittest

import cluster as clusters

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```nginx\n(rules .*?)^```$", re.MULTILINE | re.DOTALL)


class RulesOfTheDocs(unittest.TestCase):
    def test_every_block_checks(self):
        count = 0
        for page in sorted((ROOT / "docs").glob("*.md")):
            for text in BLOCK.findall(page.read_text()):
                with self.subTest(page=page.name, begins=text.splitlines()[0]):
                    with tempfile.NamedTemporaryFile("w", suffix=".rules") as file:
                        file.write(text)
                        file.flush()
                        done = clusters.run_cairn("rules", "check", file.name, check=False)
                        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                        self.assertNotIn("warning", done.stdout)
                count += 1
        self.assertGreaterEqual(count, 4)


if __name__ == "__main__":
    unittest.main()
