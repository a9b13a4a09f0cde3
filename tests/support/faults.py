"""Faults of disks, made by the shim of tests/faults/fault_shim.cpp in the storage nodes: calls that
fail or take long, and power cuts that lose what was not synced."""

import collections
import contextlib
import errno
import mmap
import os
import random
import struct

# Kinds of calls, as in the shim.
WRITE, SYNC, LINK, CREATE, RENAME, UNLINK, MKDIR, STAT = (1 << bit for bit in range(8))
_CONTROL = struct.Struct("=IIiIqqQ256s")
_MATCHED = slice(32, 40)


def shim_environment(folder, journal_root=None, program="cairn-storage"):
    """Sets this process's environment so that the nodes it starts load the shim; answers the Shim.
    `folder` is an empty directory on the file system of the store paths. `journal_root`: the
    directory whose changes a power cut undoes; None: no journal."""
    control = os.path.join(folder, "control")
    with open(control, "wb") as file:
        file.write(bytes(_CONTROL.size))
    os.environ.update({"LD_PRELOAD": os.environ["CAIRN_SHIM"], "CAIRN_SHIM_CONTROL": control,
                       "CAIRN_SHIM_PROGRAM": program})
    if journal_root:
        os.makedirs(os.path.join(folder, "graveyard"))
        os.environ.update({"CAIRN_SHIM_JOURNAL": folder, "CAIRN_SHIM_ROOT": journal_root})
    return Shim(folder, control)


def end_of_environment():
    for key in ("LD_PRELOAD", "CAIRN_SHIM_CONTROL", "CAIRN_SHIM_PROGRAM", "CAIRN_SHIM_JOURNAL",
                "CAIRN_SHIM_ROOT"):
        os.environ.pop(key, None)


class Shim:
    """What the shim does now. One for all nodes; `path` says whose calls are meant."""

    def __init__(self, folder, control):
        self.folder = folder
        with open(control, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), _CONTROL.size)

    def fail(self, calls, path="", error=errno.EIO, skip=0, times=-1, delay_ms=0):
        """From now on calls of these kinds below `path` fail with `error` (0: they only take
        `delay_ms`): the first `skip` go through, then `times` fail (-1: all)."""
        self.heal()
        raw = _CONTROL.pack(0, calls, error, delay_ms, skip, times, 0, path.encode())
        self._map[4:_CONTROL.size] = raw[4:]
        self._map[0:4] = struct.pack("=I", 1)

    def heal(self):
        self._map[0:4] = struct.pack("=I", 0)

    @property
    def matched(self):
        """Calls of the chosen kinds and path since fail()."""
        return struct.unpack("=Q", self._map[_MATCHED])[0]


Change = collections.namedtuple("Change", "kind number inode a b path data")
_NAMES = "CLRUM"  # kinds that change directory entries


def _read_journal(path):
    with open(path, "rb") as file:
        raw = file.read()
    at = 0
    while at < len(raw):
        end = raw.find(b"\n", at)
        if end < 0:
            return  # the last record was cut off by kill -9
        kind, number, inode, a, b, name = raw[at:end].decode().split(" ", 5)
        size = int(b) if kind == "W" else 0
        at = end + 1 + size
        if at > len(raw):
            return
        yield Change(kind, int(number), int(inode), int(a), int(b), name, raw[end + 1:at])


class PowerCut:
    """Undoes on disk what a killed node had not synced. `seed` None: everything unsynced is lost;
    else some of it, as a real disk would: of directory entries the later ones (file systems keep
    their order), of each file a part of what was written, or zeros in its place."""

    def __init__(self, shim, root, pid, seed=None):
        self.folder, self.root, self.pid = shim.folder, root, pid
        self.random = random.Random(seed)
        self.everything = seed is None
        self.journal = os.path.join(self.folder, f"journal.{pid}")
        self.lost = 0

    def apply(self):
        changes = list(_read_journal(self.journal))
        volatile = self._volatile(changes)
        names = [c for c in volatile if c.kind in _NAMES]
        keep_names = 0 if self.everything else self.random.randint(0, len(names))
        undo = {c.number for c in names[keep_names:]}
        by_inode = collections.defaultdict(list)
        for change in volatile:
            if change.kind in "TW":
                by_inode[change.inode].append(change)
        handles = self._open_all(by_inode)
        zeros = {}
        for inode, written in by_inode.items():
            fate = "lost" if self.everything else self.random.choice(("lost", "part", "zeros", "kept"))
            if fate == "lost":
                undo.update(c.number for c in written)
            elif fate == "part":
                undo.update(c.number for c in written[self.random.randint(0, len(written)):])
            elif fate == "zeros":
                zeros[inode] = min(c.a for c in written if c.kind == "T")
        for change in reversed(volatile):
            if change.number in undo:
                # The last call before kill -9 may have been made and not noted.
                with contextlib.suppress(FileNotFoundError):
                    self._undo(change, handles)
                self.lost += 1
        for inode, begin in zeros.items():
            self._zero(handles.get(inode), begin)
        for fd in handles.values():
            os.close(fd)
        os.unlink(self.journal)
        for name in os.listdir(os.path.join(self.folder, "graveyard")):
            if name.startswith(f"{self.pid}."):
                os.unlink(os.path.join(self.folder, "graveyard", name))

    def _volatile(self, changes):
        """The changes that no sync covers, in their order. Those of files that are gone and whose
        inode number another file has by now are left out."""
        life, last_life = {}, collections.Counter()
        for change in changes:
            if change.kind in "NC":
                last_life[change.inode] += 1
            life[change.number] = last_life[change.inode]
        files, directories, everything = {}, {}, 0
        for change in changes:
            if change.kind == "S":
                files[change.inode, life[change.number]] = change.a
            elif change.kind == "D":
                directories[change.path] = change.a
            elif change.kind == "A":
                everything = max(everything, change.a)
        left = []
        for change in changes:
            if change.number <= everything or change.kind not in "TWCLRUM":
                continue
            if change.kind in "TW":
                mine = life[change.number]
                if mine != last_life[change.inode] or change.number <= files.get(
                        (change.inode, mine), 0):
                    continue
            else:
                path = change.path[change.b:] if change.kind == "R" else change.path
                if change.number <= directories.get(os.path.dirname(path), 0):
                    continue
            left.append(change)
        return left

    def _open_all(self, inodes):
        """{inode: descriptor} of the files with these numbers, removed ones included."""
        found = {}
        for top in (self.root, os.path.join(self.folder, "graveyard")):
            for folder, _, names in os.walk(top):
                for name in names:
                    path = os.path.join(folder, name)
                    inode = os.stat(path).st_ino
                    if inode in inodes and inode not in found:
                        found[inode] = os.open(path, os.O_RDWR)
        return found

    def _dig_up(self, number, path):
        os.link(os.path.join(self.folder, "graveyard", f"{self.pid}.{number}"), path)

    def _undo(self, change, handles):
        if change.kind in "TW":
            fd = handles.get(change.inode)
            if fd is None:
                return  # an unnamed file: it went with its process
            if change.kind == "W":
                os.pwrite(fd, change.data, change.a)
            else:
                os.ftruncate(fd, change.a)
        elif change.kind in "CL":
            os.unlink(change.path)
        elif change.kind == "M":
            if not os.listdir(change.path):
                os.rmdir(change.path)
        elif change.kind == "R":
            source, path = change.path[:change.b], change.path[change.b:]
            os.rename(path, source)
            if change.a:
                self._dig_up(change.a, path)
        elif change.kind == "U":
            self._dig_up(change.a, change.path)

    @staticmethod
    def _zero(fd, begin):
        if fd is None:
            return
        size = os.fstat(fd).st_size
        if size > begin:
            os.pwrite(fd, bytes(size - begin), begin)
