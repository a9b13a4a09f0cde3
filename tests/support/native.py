"""Cairn's native protocol, as far as strangers try it: hello, the mutual proof, and frames. Written
from docs/protocol.md and docs/security.md, independent of the C++ on purpose."""
import hashlib
import hmac
import os
import struct

HELLO = 160
ADMIN = 161
JOIN = 162
HEARTBEAT = 163
CLUSTER_VIEW = 164
PROVE = 165
SYNC_HELLO = 180
SYNC_BATCH = 181
SYNC_HAVE = 182
SYNC_DONE = 183
FETCH = 184
PROBE = 185
FETCH_META = 186
LIST_FILES = 187
CLIENT, STORAGE, TRACKER, ADMINISTRATOR = range(4)

TO_SERVER = b"cairn handshake 1: client to server"
TO_CLIENT = b"cairn handshake 1: server to client"


def tagged(data):
    return struct.pack(">I", len(data)) + data


def hello_body(role=ADMINISTRATOR, uuid="", node_id=0, group="", nonce=b"", key_id="", version=1):
    return (struct.pack(">IB", version, role) + tagged(uuid.encode())
            + struct.pack(">I", node_id) + tagged(group.encode()) + tagged(nonce) + tagged(b"")
            + tagged(key_id.encode()))


def read_tagged(data, at):
    size = struct.unpack_from(">I", data, at)[0]
    return data[at + 4:at + 4 + size], at + 4 + size


def read_hello_reply(body):
    """(version, role, uuid, node_id, credentials)"""
    version, role = struct.unpack_from(">IB", body)
    uuid, at = read_tagged(body, 5)
    node_id = struct.unpack_from(">I", body, at)[0]
    credentials, _ = read_tagged(body, at + 4)
    return version, role, uuid.decode(), node_id, credentials


def client_mac(secret, hello, server_nonce, channel=b""):
    text = tagged(TO_SERVER) + tagged(hello) + tagged(server_nonce) + tagged(channel)
    return hmac.new(secret, text, hashlib.sha256).digest()


def server_mac(secret, hello, server_nonce, proof, identity, channel=b""):
    text = (tagged(TO_CLIENT) + tagged(hello) + tagged(server_nonce) + tagged(channel)
            + tagged(proof) + tagged(identity))
    return hmac.new(secret, text, hashlib.sha256).digest()


def challenge(connection, **hello):
    """Says hello with a fresh nonce; (the hello as sent, the server's nonce)."""
    body = hello_body(nonce=os.urandom(32), **hello)
    reply = connection.request(HELLO, body)
    if reply.status != 0:
        raise PermissionError(reply.status)
    version, _, uuid, node_id, nonce = read_hello_reply(reply.body)
    # A stranger learns a version and a random number.
    assert (uuid, node_id, len(nonce)) == ("", 0, 32), reply.body
    assert version == 1
    return body, nonce


def introduce(connection, secret, **hello):
    """The whole handshake under `secret` (bytes); the server's (role, uuid, node_id)."""
    sent, nonce = challenge(connection, **hello)
    proof = client_mac(secret, sent, nonce)
    reply = connection.request(PROVE, tagged(proof))
    if reply.status != 0:
        raise PermissionError(reply.status)
    identity, at = read_tagged(reply.body, 0)
    mac, _ = read_tagged(reply.body, at)
    assert hmac.compare_digest(mac, server_mac(secret, sent, nonce, proof, identity))
    _, role, uuid, node_id, _ = read_hello_reply(identity)
    return role, uuid, node_id
