"""Writes a directory from which one ctest run executes chosen tests of several build trees:

    merge_trees.py OUT  PRESET DIR -L|-LE REGEX  [PRESET DIR -L|-LE REGEX]…

takes the tests of DIR that ctest selects by label, and names them PRESET/NAME. Labels, time limits,
locks and the other properties come along. ctest has no way to select by label in one tree and by
another label in the next; this is all it lacks."""

import json
import pathlib
import subprocess
import sys

# Properties that name other tests or things that tests share: what one tree prepares is not there
# in another, so the names get the tree's prefix too.
NAMES_WITHIN_TREE = {"DEPENDS", "FIXTURES_REQUIRED", "FIXTURES_SETUP", "FIXTURES_CLEANUP"}


def quoted(value):
    """A CMake argument that is read back as `value`, whatever it contains."""
    marks = "="
    while f"]{marks}]" in value:
        marks += "="
    return f"[{marks}[{value}]{marks}]"


def text_of(value):
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, list):
        return ";".join(text_of(item) for item in value)
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def tests_of(directory, option, regex):
    command = ["ctest", "--test-dir", directory, "--show-only=json-v1", option, regex]
    listed = subprocess.run(command, capture_output=True, text=True)
    if listed.returncode != 0:
        sys.exit(f"merge_trees: {' '.join(command)}: {listed.stderr.strip()}")
    return json.loads(listed.stdout)["tests"]


def lines_of(preset, test):
    name = f"{preset}/{test['name']}"
    if "command" not in test:
        sys.exit(f"merge_trees: {name} has no command; is its program built?")
    yield f"add_test({quoted(name)} {' '.join(map(quoted, test['command']))})"
    for entry in test.get("properties", []):
        key, value = entry["name"], entry["value"]
        if key in NAMES_WITHIN_TREE:
            value = [f"{preset}/{item}" for item in value]
        yield f"set_tests_properties({quoted(name)} PROPERTIES {key} {quoted(text_of(value))})"


def main():
    out, *rest = sys.argv[1:]
    if not rest or len(rest) % 4:
        sys.exit(__doc__)
    lines = ["# Written by tests/support/merge_trees.py for ./test."]
    total = 0
    for preset, directory, option, regex in zip(*[iter(rest)] * 4):
        tests = tests_of(directory, option, regex)
        print(f"{preset}: {len(tests)} tests")
        total += len(tests)
        for test in tests:
            lines += lines_of(preset, test)
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "CTestTestfile.cmake").write_text("\n".join(lines) + "\n")
    print(f"{total} tests in {out}")


if __name__ == "__main__":
    main()
