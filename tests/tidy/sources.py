"""What the checks of this folder share: our files, their text without comments and strings, their
includes, and a memory of what was found good before."""

import concurrent.futures
import functools
import hashlib
import json
import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CAIRN_BUILD", ROOT / "build"))
# Folders without our sources: build trees, clusters, captured data, editors' and tools' own.
SKIPPED = re.compile(r"^(build|build-.*|local|\..*|__pycache__|golden|images|data)$")
CPP = {".h", ".cpp", ".c", ".cc", ".hpp"}


@functools.cache
def files(*suffixes):
    """Our files with one of the suffixes (all when none), relative to ROOT, sorted."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not SKIPPED.match(name)]
        for name in names:
            path = pathlib.Path(folder, name)
            if not suffixes or path.suffix in suffixes:
                found.append(path.relative_to(ROOT))
    return sorted(found)


def cpp_files():
    return files(*CPP)


@functools.cache
def text(path):
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


TOKENS = re.compile(
    r"""//[^\n]*                                    # a comment
      | /\*.*?\*/
      | R"(?P<delimiter>[^(\s]*)\(.*?\)(?P=delimiter)"  # strings
      | "(?:\\.|[^"\\\n])*"
      | (?<![0-9a-zA-Z_])'(?:\\.|[^'\\\n])+'        # a character; not the ' of 1'000
    """,
    re.DOTALL | re.VERBOSE,
)


@functools.cache
def code(path):
    """The text with comments and strings blanked; offsets and line numbers stay."""
    return TOKENS.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text(path))


def line_of(path, offset):
    return text(path).count("\n", 0, offset) + 1


INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
# Where an include of ours may start; the second is what users of the library see.
INCLUDE_ROOTS = ("", "client/include")


@functools.cache
def includes(path):
    """[(line, our file that is included, or None for another's, the name as written)]"""
    found = []
    for match in INCLUDE.finditer(text(path)):
        name = match.group(2)
        candidates = [pathlib.PurePosixPath(root, name) for root in INCLUDE_ROOTS]
        candidates.append(pathlib.PurePosixPath(pathlib.Path(path).parent.as_posix(), name))
        ours = next((c for c in candidates if (ROOT / c).is_file()), None)
        found.append((line_of(path, match.start()), ours and pathlib.Path(ours), name))
    return found


def closure(path):
    """`path` and every file of ours it includes, directly or not."""
    seen, left = set(), [pathlib.Path(path)]
    while left:
        current = left.pop()
        if current not in seen:
            seen.add(current)
            left += [ours for _, ours, _ in includes(current) if ours]
    return sorted(seen)


@functools.cache
def compile_commands():
    """{file relative to ROOT: its compiler arguments} of the build tree."""
    listed = json.loads((BUILD / "compile_commands.json").read_text())
    commands = {}
    for entry in listed:
        path = pathlib.Path(entry["directory"], entry["file"]).resolve()
        if path.is_relative_to(ROOT):
            commands[path.relative_to(ROOT)] = entry["command"].split()
    return commands


def preprocessor_flags(arguments):
    """-D, -I and -isystem of a compiler call."""
    flags = []
    for position, argument in enumerate(arguments):
        if argument in ("-isystem", "-I", "-D"):
            flags += [argument, arguments[position + 1]]
        elif argument.startswith(("-I", "-D")):
            flags.append(argument.replace('\\"', '"'))
    return flags


def all_preprocessor_flags():
    """What any target of ours is compiled with: for headers, which belong to no call."""
    flags = {}
    for arguments in compile_commands().values():
        given = iter(preprocessor_flags(arguments))
        for flag in given:
            flags[(flag, next(given)) if flag in ("-isystem", "-I", "-D") else (flag,)] = None
    return [part for flag in flags for part in flag]


def compile_each(jobs):
    """Runs {file: command}, as many at a time as there are cores; answers the failures' output.

    A file that compiled is not compiled again until its text, an included text of ours, the command
    or the compiler changes. The memory is outside the build tree, so that it serves a fresh
    checkout too; its keys are hashes of contents.
    """
    memory = pathlib.Path(
        os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"), "cairn-tidy"
    )
    memory.mkdir(parents=True, exist_ok=True)

    @functools.cache
    def version(compiler):
        return subprocess.run([compiler, "--version"], capture_output=True).stdout

    def one(item):
        path, command = item
        digest = hashlib.sha256(version(command[0]))
        digest.update("\0".join(command).replace(str(ROOT), "").encode())
        for part in closure(path):
            digest.update(f"\0{part}\0".encode() + text(part).encode())
        mark = memory / digest.hexdigest()
        if mark.exists():
            os.utime(mark)
            return None
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode == 0:
            mark.touch()
            return None
        first = [line for line in done.stderr.splitlines() if "error" in line][:3]
        return f"{path}: " + "\n    ".join(first or done.stderr.splitlines()[:3])

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [failure for failure in pool.map(one, jobs.items()) if failure]
