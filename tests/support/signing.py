"""Signatures of HTTP requests, from docs/http-api.md and independent of the C++."""
import base64
import hashlib
import hmac
import time
import urllib.parse


def encode(text, safe=""):
    return urllib.parse.quote(text, safe=safe + "-._~")


def canonical(method, path, query, key, expires, headers):
    pairs = sorted(f"{encode(n)}={encode(v)}"
                   for n, v in urllib.parse.parse_qsl(query.replace("+", "%2B"), True))
    lines = ["CAIRN1-HMAC-SHA256", method, encode(urllib.parse.unquote(path), "/"),
             "&".join(pairs), key, str(expires), ";".join(name for name, _ in headers)]
    lines += [f"{name}:{value.strip()}" for name, value in headers]
    return "\n".join(lines)


def signature(secret, text):
    mac = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(mac).decode().rstrip("=")


def sign(method, target, key, secret, expires=None, headers=()):
    """`target` with the parameters of a signature; `headers` are (name, value), lower case."""
    expires = int(time.time()) + 600 if expires is None else expires
    path, _, query = target.partition("?")
    text = canonical(method, path, query, key, expires, headers)
    extra = f"cairn-key={encode(key)}&cairn-expires={expires}"
    if headers:
        extra += "&cairn-headers=" + encode(";".join(name for name, _ in headers))
    extra += "&cairn-signature=" + signature(secret, text)
    return f"{path}?{query}&{extra}" if query else f"{path}?{extra}"


def authorization(method, target, key, secret, expires=None, headers=()):
    """The value of an Authorization header."""
    expires = int(time.time()) + 600 if expires is None else expires
    path, _, query = target.partition("?")
    text = canonical(method, path, query, key, expires, headers)
    names = f" headers={';'.join(name for name, _ in headers)}," if headers else ""
    return (f"CAIRN1-HMAC-SHA256 key={key}, expires={expires},{names} "
            f"signature={signature(secret, text)}")
