"""Every test class of this folder is registered in CMakeLists.txt."""
import glob
import os
import re
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


class Registered(unittest.TestCase):
    def test_every_class(self):
        with open(os.path.join(HERE, "CMakeLists.txt"), encoding="utf-8") as file:
            words = set(re.findall(r"\w+", file.read()))
        for path in sorted(glob.glob(os.path.join(HERE, "test_*.py"))):
            with open(path, encoding="utf-8") as file:
                text = file.read()
            for class_text in re.split(r"(?m)^class ", text)[1:]:
                name = class_text.split("(")[0]
                if re.search(r"(?m)^    def test_", class_text) and path != __file__:
                    self.assertIn(name, words, os.path.basename(path))


if __name__ == "__main__":
    unittest.main()
