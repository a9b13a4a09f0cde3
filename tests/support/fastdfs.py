"""The FastDFS client protocol and the file ID format, written from the protocol description and
independent of the C++ codec on purpose: a mistake there must not be repeated here.
"""
import base64
import collections
import random
import socket
import struct
import time
import zlib

# Commands of the tracker ...
DELETE_STORAGE = 93
DELETE_GROUP = 108
LIST_ONE_GROUP = 90
LIST_ALL_GROUPS = 91
LIST_STORAGES = 92
SET_TRUNK_SERVER = 94
GET_LEADER = 95
FETCH_STORAGE_IDS = 69
GET_STORAGE_ID = 70
GET_STORAGE_STATUS = 71
GET_PARAMETERS = 75
QUERY_STORE = 101
QUERY_FETCH_ONE = 102
QUERY_UPDATE = 103
QUERY_STORE_GROUP = 104
QUERY_FETCH_ALL = 105
QUERY_STORE_ALL = 106
QUERY_STORE_GROUP_ALL = 107
# ... and of the storage.
UPLOAD = 11
DELETE = 12
SET_METADATA = 13
DOWNLOAD = 14
GET_METADATA = 15
CREATE_LINK = 20
UPLOAD_SLAVE = 21
QUERY_FILE_INFO = 22
UPLOAD_APPENDER = 23
APPEND = 24
MODIFY = 34
TRUNCATE = 36
REGENERATE = 38
QUIT = 82
REPLY = 100
ACTIVE_TEST = 111

HEADER = struct.Struct(">qBB")  # body length, command, status

Reply = collections.namedtuple("Reply", "status body")
Target = collections.namedtuple("Target", "group addr port path")


class ConnectionClosed(Exception):
    """The peer closed the connection; `received` holds what came of the wanted bytes."""

    def __init__(self, received=b""):
        super().__init__(f"connection closed after {len(received)} of the wanted bytes")
        self.received = received


class Connection:
    """One TCP connection with raw and framed exchanges. Every wait has a deadline."""

    def __init__(self, addr, port, source=None, timeout=20.0):
        self.timeout = timeout
        where = (source, 0) if source else None
        self.socket = socket.create_connection((addr, port), timeout=timeout, source_address=where)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def recv_exact(self, size):
        """`size` bytes, or ConnectionClosed with those that came before the end."""
        parts, missing = [], size
        while missing:
            try:
                part = self.socket.recv(min(missing, 1 << 20))
            except (ConnectionResetError, BrokenPipeError):
                part = b""
            if not part:
                raise ConnectionClosed(b"".join(parts))
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def read_header(self):
        """(body length, command, status) of the next frame."""
        return HEADER.unpack(self.recv_exact(HEADER.size))

    def read_reply(self):
        """The next frame as a Reply; AssertionError unless its command byte is 100."""
        length, command, status = self.read_header()
        if command != REPLY:
            raise AssertionError(f"reply has command byte {command}, not {REPLY}")
        if length < 0 or length > 1 << 40:
            raise AssertionError(f"reply announces a body of {length} bytes")
        return Reply(status, self.recv_exact(length))

    def request(self, command, body=b"", status=0):
        self.send(frame(command, body, status))
        return self.read_reply()

    def call(self, command, body=b"", status=0):
        """The body of the reply; AssertionError unless the status is 0."""
        reply = self.request(command, body, status)
        if reply.status != 0:
            raise AssertionError(f"command {command}: status {reply.status}")
        return reply.body

    def ended(self, seconds=5.0):
        """True when the peer closes within `seconds`; stray bytes are an AssertionError."""
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(4096)
        except (ConnectionResetError, BrokenPipeError):
            return True
        except TimeoutError:
            return False
        finally:
            self.socket.settimeout(self.timeout)
        if data:
            raise AssertionError(f"stray bytes {data[:64]!r}")
        return True

    def alive(self):
        """True when an ACTIVE_TEST is answered; False when the peer has closed."""
        try:
            reply = self.request(ACTIVE_TEST)
        except (ConnectionClosed, ConnectionResetError, BrokenPipeError):
            return False
        if reply != (0, b""):
            raise AssertionError(f"ACTIVE_TEST answered {reply}")
        return True


def frame(command, body=b"", status=0):
    return HEADER.pack(len(body), command, status) + body


def text(value, size):
    """A text field: NUL padded, full when as long as the field."""
    raw = value.encode() if isinstance(value, str) else value
    if len(raw) > size:
        raise ValueError(f"{raw!r} is longer than {size} bytes")
    return raw.ljust(size, b"\0")


def field(raw):
    """The text of a NUL padded field; AssertionError when the padding is not all zero."""
    value, _, padding = raw.partition(b"\0")
    if padding.strip(b"\0"):
        raise AssertionError(f"the padding of {raw!r} is not zero")
    return value.decode()


def i64(value):
    return struct.pack(">q", value)


def read_i64(raw, offset):
    return struct.unpack_from(">q", raw, offset)[0]


def crc32(data):
    return zlib.crc32(data) & 0xFFFFFFFF


# --- Bodies of requests ---------------------------------------------------------------------------


def split_id(file_id):
    group, _, name = file_id.partition("/")
    return group, name


def named(file_id):
    """str[16] group and the name."""
    group, name = split_id(file_id)
    return text(group, 16) + name.encode()


def upload_body(content, ext="", path=0xFF):
    return bytes([path]) + i64(len(content)) + text(ext, 6) + content


def slave_body(master, prefix, content, ext=""):
    name = split_id(master)[1].encode()
    return (i64(len(name)) + i64(len(content)) + text(prefix, 16) + text(ext, 6) + name + content)


def append_body(file_id, content):
    name = split_id(file_id)[1].encode()
    return i64(len(name)) + i64(len(content)) + name + content


def modify_body(file_id, offset, content):
    name = split_id(file_id)[1].encode()
    return i64(len(name)) + i64(offset) + i64(len(content)) + name + content


def truncate_body(file_id, size):
    name = split_id(file_id)[1].encode()
    return i64(len(name)) + i64(size) + name


def download_body(file_id, offset=0, size=0):
    return i64(offset) + i64(size) + named(file_id)


def metadata_body(file_id, data, flag=b"O"):
    group, name = split_id(file_id)
    return (i64(len(name)) + i64(len(data)) + flag + text(group, 16) + name.encode() + data)


def link_body(group, source, signature, prefix="", ext="", master=""):
    parts = (master.encode(), source.encode(), signature)
    return (b"".join(i64(len(p)) for p in parts) + text(group, 16) + text(prefix, 16)
            + text(ext, 6) + b"".join(parts))


# --- Bodies of replies ----------------------------------------------------------------------------


def read_target(body, width=16):
    """Reply to 101 and 104 (with a path index) or 102 and 103 (without)."""
    port = 15 + width
    path = body[port + 8] if len(body) == port + 9 else None
    if len(body) not in (port + 8, port + 9):
        raise AssertionError(f"a target of {len(body)} bytes")
    return Target(field(body[:16]), field(body[16:port]), read_i64(body, port), path)


def read_id(body):
    """Reply to an upload as a file ID."""
    return field(body[:16]) + "/" + body[16:].decode("ascii")


FileInfo = collections.namedtuple("FileInfo", "size mtime crc source")


def read_info(body, width=16):
    """Reply to 22; the CRC as the 64 bits that were sent."""
    if len(body) != 24 + width:
        raise AssertionError(f"a file info of {len(body)} bytes")
    size, mtime, crc = struct.unpack_from(">qqQ", body)
    return FileInfo(size, mtime, crc, field(body[24:]))


def sign_extended(crc):
    return crc | 0xFFFFFFFF00000000 if crc & 0x80000000 else crc


def parse_metadata(raw):
    if not raw:
        return {}
    return dict(record.split(b"\2", 1) for record in raw.split(b"\1"))


GROUP_FIELDS = ("total_mb", "free_mb", "reserved_mb", "trunk_free_mb", "storage_count",
                "storage_port", "readable_count", "writable_count", "write_index", "path_count",
                "subdir_count", "trunk_file_id")
GROUP_FIELDS_CLASSIC = ("total_mb", "free_mb", "trunk_free_mb", "storage_count", "storage_port",
                        "http_port", "active_count", "write_index", "path_count", "subdir_count",
                        "trunk_file_id")
GROUP_FIELDS_6_13_0 = GROUP_FIELDS_CLASSIC[:5] + ("readable_count", "writable_count") + (
    GROUP_FIELDS_CLASSIC[7:])


def read_group(raw, fields=GROUP_FIELDS):
    if len(raw) != 17 + 8 * len(fields):
        raise AssertionError(f"a group of {len(raw)} bytes")
    stat = {"name": field(raw[:17])}
    for index, name in enumerate(fields):
        stat[name] = read_i64(raw, 17 + 8 * index)
    return stat


# Layouts of a storage in the reply to 92: name -> total size, then offset and size per field.
STORAGE_LAYOUTS = {}


def _layouts():
    tail = ("upload_priority", "path_count", "subdir_count", "write_path", "port")
    for name, rw, width, domain, version, reserved in (
            ("5", 0, 16, 128, 6, 0), ("6.11", 0, 46, 128, 6, 0), ("6.12", 0, 46, 128, 8, 0),
            ("6.13.0", 1, 46, 0, 8, 0), ("6.15v6", 1, 46, 0, 8, 1), ("6.15", 1, 16, 0, 8, 1)):
        offset, fields = 0, {}

        def add(key, size):
            nonlocal offset
            fields[key] = (offset, size)
            offset += size

        add("status", 1)
        if rw:
            add("rw", 1)
        add("id", 16)
        add("ip", width)
        if domain:
            add("domain", domain)
        add("source", 16)
        add("version", version)
        for key in ("join_time", "up_time", "total_mb", "free_mb"):
            add(key, 8)
        if reserved:
            add("reserved_mb", 8)
        for key in tail:
            add(key, 8)
        if domain:
            add("http_port", 8)
        add("counters", 348)
        add("trunk", 1)
        STORAGE_LAYOUTS[name] = (offset, fields)


_layouts()

# Counters of a storage: offset in the block of 348 bytes, size.
COUNTERS = {"connections_allocated": (0, 4), "connections_current": (4, 4),
            "connections_max": (8, 4)}
for _index, _name in enumerate(("upload", "append", "modify", "truncate", "set_meta", "delete",
                                "download", "get_meta", "create_link", "delete_link",
                                "upload_bytes", "append_bytes", "modify_bytes", "download_bytes",
                                "sync_in_bytes", "sync_out_bytes", "open", "read", "write")):
    COUNTERS[_name + "_total"] = (12 + 16 * _index, 8)
    COUNTERS[_name + "_success"] = (20 + 16 * _index, 8)
for _index, _name in enumerate(("last_source_update", "last_sync_update", "last_synced",
                                "last_heartbeat")):
    COUNTERS[_name] = (316 + 8 * _index, 8)


def read_storage(raw, layout="6.15"):
    """One storage of a reply to 92 as a dict, its counters under their names."""
    total, fields = STORAGE_LAYOUTS[layout]
    if len(raw) != total:
        raise AssertionError(f"a storage of {len(raw)} bytes, not {total}")
    stat = {}
    for key, (offset, size) in fields.items():
        part = raw[offset:offset + size]
        if key == "counters":
            for name, (at, width) in COUNTERS.items():
                stat[name] = int.from_bytes(part[at:at + width], "big", signed=True)
        elif key in ("status", "rw", "trunk") or size == 8 and key not in ("version",):
            stat[key] = int.from_bytes(part, "big")
        else:
            stat[key] = field(part)
    return stat


# --- File IDs -------------------------------------------------------------------------------------

APPENDER_BIT = 1 << 58
TRUNK_BIT = 1 << 59
SERVER_ID_MAX = 0xFFFFFF

Name = collections.namedtuple(
    "Name", "path high low source time size_field size crc kind block prefix slot")


def base64_decode(chars):
    return base64.urlsafe_b64decode(chars + "=" * (-len(chars) % 4))


def base64_encode(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode_name(name):
    """The fields of a remote file name ("M00/00/00/…"). `source` is a server ID (int) or an IPv4
    address (str); `block` the extension block, `prefix` what a slave name has between; `slot`
    (file, offset, size) of a trunk name.
    """
    if len(name) < 44 or name[0] != "M" or name[3] != "/" or name[6] != "/" or name[9] != "/":
        raise ValueError(f"not a file name: {name!r}")
    raw = base64_decode(name[10:37])
    if len(raw) != 20:
        raise ValueError(f"not 20 bytes: {name!r}")
    number = struct.unpack("<I", raw[:4])[0]
    source = number if 1 <= number <= SERVER_ID_MAX else socket.inet_ntoa(raw[:4])
    stamp, bits, crc = struct.unpack(">IQI", raw[4:])
    if bits & APPENDER_BIT:
        kind = "appender"
    elif len(name) > 60 or len(name) > 44 and not bits & TRUNK_BIT:
        kind = "slave"
    elif len(name) == 60:
        kind = "trunk"
    else:
        kind = "normal"
    size = bits & 0xFFFFFFFF if bits >> 63 or bits & TRUNK_BIT else bits
    slot, rest = None, name[37:]
    if bits & TRUNK_BIT and len(name) >= 60:
        slot, rest = struct.unpack(">iii", base64_decode(name[37:53])), name[53:]
    return Name(int(name[1:3], 16), name[4:6], name[7:9], source, stamp, bits, size, crc, kind,
                rest, rest if kind == "slave" else "", slot)


def encode_20(source, stamp, bits, crc):
    """The 27 characters of the 20 bytes."""
    first = struct.pack("<I", source) if isinstance(source, int) else socket.inet_aton(source)
    return base64_encode(first + struct.pack(">IQI", stamp, bits, crc))


def slave_name(master, prefix, ext):
    """The name of a slave, by the rule of the clients' genSlaveFilename. `ext` as sent, None: that
    of the master."""
    dot = master.find(".", len(master) - 7)
    stem = master if dot < 0 else master[:dot]
    if ext is None:
        return stem + prefix + ("" if dot < 0 else master[dot:])
    if ext and not ext.startswith("."):
        ext = "." + ext
    return stem + prefix + ext


# --- Content --------------------------------------------------------------------------------------


def content(size, seed=1):
    """`size` bytes that look random and depend on the seed."""
    return random.Random(seed).randbytes(size)


def wait_until(what, condition, seconds=20.0, pause=0.05):
    """The first true value of condition(); AssertionError with `what` after the deadline.
    Exceptions of connecting and asking count as "not yet"."""
    deadline = time.monotonic() + seconds
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except (OSError, ConnectionClosed, AssertionError) as error:
            last = error
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds} s: {what} (last: {last!r})")
        time.sleep(pause)
