"""What can be seen in the text of our files: an opening comment, one subject a file, no marks of
unfinished work, and the first of the two coroutine traps of GCC 12."""

import pathlib
import re
import unittest

import sources

LINES_MAX = 700
# Files that may be longer, each with its reason: "path  # why".
LONG_FILES = pathlib.Path("tests/tidy/long_files.txt")

COMMENT = {
    **dict.fromkeys(sources.CPP, ("//", "/*")),
    ".py": ('"""', "#"),
    ".cmake": ("#",),
    ".sh": ("#",),
    ".conf": ("#",),
}
# Written in two halves, or this file would find itself.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b")

# Classes with constructors of their own are safe inside co_await; aggregates are not, and the two
# look alike in the text.
CLASSES = {"Error", "Bytes", "View"}
LAMBDA = re.compile(r"(?<![\w\])])\[\s*[^\]\s\[][^\]]*\]\s*(?=[({]|mutable|->)")
AGGREGATE = re.compile(r"(?:(?<=[(,])\s*\{(?!\s*\})|\b((?:\w+::)*[A-Z]\w*)(?:<[^;{}()]*>)?\s*\{)")


def awaited(code):
    """(offset, text) of every operand of co_await: up to the end of its statement, or of the
    parentheses around it."""
    for found in re.finditer(r"\bco_await\b", code):
        depth = 0
        for offset in range(found.end(), len(code)):
            letter = code[offset]
            if letter in "([{":
                depth += 1
            elif letter in ")]}":
                depth -= 1
            if depth < 0 or (depth == 0 and letter == ";"):
                break
        yield found.start(), code[found.end() : offset]


def traps(path):
    code = sources.code(path)
    for offset, operand in awaited(code):
        where = f"{path}:{sources.line_of(path, offset)}"
        if LAMBDA.search(operand):
            yield f"{where}: a capturing lambda inside co_await; name it on the line before"
        for found in AGGREGATE.finditer(operand):
            name = (found.group(1) or "").split("::")[-1]
            # "-> Task<void> {" is the body of a lambda, not an object.
            before = operand[: found.start()].rstrip()
            if name not in CLASSES and not before.endswith("->"):
                yield f"{where}: an aggregate inside co_await; name it on the line before"
                break


class Texts(unittest.TestCase):
    def none_of(self, found, rule):
        if found:
            self.fail(f"{rule}:\n" + "\n".join(found))

    def test_files_open_with_a_comment(self):
        silent = []
        for path in sources.files(*COMMENT):
            # A unit test says by its name which source file it is about.
            if path.parts[:2] == ("tests", "unit") and path.stem.endswith("_test"):
                continue
            lines = sources.text(path).splitlines() or [""]
            first = lines[1] if lines[0].startswith("#!") and len(lines) > 1 else lines[0]
            if not first.startswith(COMMENT[path.suffix]):
                silent.append(str(path))
        self.none_of(silent, "the first lines do not say what the file is")

    def test_headers_are_included_once(self):
        bare = [
            str(path)
            for path in sources.files(".h", ".hpp")
            if not re.search(r"^#(pragma once|ifndef \w+\n#define)", sources.text(path), re.M)
        ]
        self.none_of(bare, "no #pragma once")

    def test_nothing_is_marked_unfinished(self):
        marks = []
        for path in sources.files(*COMMENT, ".md", ".txt"):
            for number, line in enumerate(sources.text(path).splitlines(), 1):
                if UNFINISHED.search(line):
                    marks.append(f"{path}:{number}: {line.strip()}")
        self.none_of(marks, "finish it, or file an issue")

    def test_files_have_one_subject(self):
        listed = set()
        if (sources.ROOT / LONG_FILES).exists():
            for line in sources.text(LONG_FILES).splitlines():
                path, _, reason = line.partition("#")
                if path.strip():
                    self.assertTrue(reason.strip(), f"{LONG_FILES}: no reason for {path}")
                    listed.add(path.strip())
        long = {
            path.as_posix(): sources.text(path).count("\n")
            for path in sources.files(*sources.CPP, ".py")
            if sources.text(path).count("\n") > LINES_MAX
        }
        self.none_of(
            [f"{path}: {count} lines" for path, count in long.items() if path not in listed],
            f"over {LINES_MAX} lines: split it, or list it with a reason in {LONG_FILES}",
        )
        self.none_of(sorted(listed - set(long)), f"{LONG_FILES} lists files that are not long")

    def test_nothing_is_built_inside_co_await(self):
        found = [trap for path in sources.cpp_files() for trap in traps(path)]
        self.none_of(found, "GCC 12 destroys what is built inside co_await twice")

    def test_the_trap_is_recognised(self):
        bad = (
            "co_await send(Request{path, 1});",
            "co_await send({.path = path});",
            "co_await send(a, {.path = path});",
            "co_await disk.run([path] { return 1; });",
            "co_await disk.run([&](int a) { return a; });",
            "CAIRN_CO_TRY(x, co_await send(wire::Request{path}));",
        )
        good = (
            "co_await send(request);",
            "co_await disk.run([] { return 1; });",
            "co_await async_read(socket, buffers[index], as_result);",
            "if (!co_await ready()) { co_return Error{Errc::timeout}; }",
            "CAIRN_CO_TRY(x, co_await send(request)); Request other{1};",
            "co_await fail(Error{Errc::timeout});",
        "co_await connection.write(make_reply(code, {}));",  # an empty span
        )
        for sample in bad + good:
            caught = any(
                LAMBDA.search(operand) or self.aggregate(operand)
                for _, operand in awaited(sample)
            )
            self.assertEqual(caught, sample in bad, sample)

    @staticmethod
    def aggregate(operand):
        return any(
            (found.group(1) or "").split("::")[-1] not in CLASSES
            for found in AGGREGATE.finditer(operand)
        )


if __name__ == "__main__":
    unittest.main()
