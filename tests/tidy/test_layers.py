"""Includes point down: a folder includes only what its line in docs/architecture.md names, and what
those folders may include in turn. tracker/ and storage/ never meet."""

import pathlib
import re
import unittest

import sources

# Whoever checks or measures may look at everything.
FREE = ("tests", "bench")
ROW = re.compile(r"^\| `([a-z_/]+)` \|[^|\n]*\|([^|\n]*)\|$", re.MULTILINE)


def allowed():
    """{folder: every folder it may include}"""
    page = sources.text(pathlib.Path("docs/architecture.md"))
    direct = {
        folder: re.findall(r"`([a-z_/]+)`", names) for folder, names in ROW.findall(page)
    }

    def reach(folder, seen):
        for name in direct.get(folder, ()):
            if name not in seen:
                seen.add(name)
                reach(name, seen)
        return seen

    return {folder: reach(folder, {folder}) for folder in direct}


def folder_of(path, known):
    """The longest folder of the table that holds `path`, or None."""
    for parent in path.parents:
        if parent.as_posix() in known:
            return parent.as_posix()
    return None


class Layers(unittest.TestCase):
    def test_table_names_folders_that_exist(self):
        rules = allowed()
        self.assertGreater(len(rules), 8, "no table found in docs/architecture.md")
        named = set(rules).union(*rules.values())
        gone = [name for name in sorted(named) if not (sources.ROOT / name).is_dir()]
        self.assertEqual(gone, [], "docs/architecture.md names folders that are not there")
        unexplained = sorted(named - set(rules))
        self.assertEqual(unexplained, [], "these have no line of their own in the table")

    def test_every_include_points_down(self):
        rules = allowed()
        wrong = []
        for path in sources.cpp_files():
            if path.parts[0] in FREE:
                continue
            folder = folder_of(path, rules)
            if folder is None:
                wrong.append(f"{path}: its folder has no line in docs/architecture.md")
                continue
            for line, ours, name in sources.includes(path):
                if ours is None:
                    continue
                target = folder_of(ours, rules)
                if target not in rules[folder]:
                    wrong.append(f"{path}:{line}: {folder} may not include {name}")
        if wrong:
            self.fail("\n" + "\n".join(wrong))

    def test_tracker_and_storage_never_meet(self):
        rules = allowed()
        for folder, reached in rules.items():
            sides = {name.split("/")[0] for name in reached} & {"tracker", "storage"}
            self.assertLess(len(sides), 2, f"{folder} reaches both tracker/ and storage/")


if __name__ == "__main__":
    unittest.main()
