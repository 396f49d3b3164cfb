# SPDX-License-Identifier: Apache-2.0
"""A flow as the event of a hook (PROTOCOL.md 3).

`query`, `cookies` and the like are left out: the broker's side derives them.
Bodies are raw, as they came. One above `INLINE_BODY` is announced by its length
and put into `Held`, from where the broker fetches what a script reads.
"""

import struct
from urllib.parse import unquote_to_bytes

import msgpack

from .client import EXT_LAZY, INLINE_BODY


class Held:
    """Large bodies of one event: kept here, asked for by `body.get`.

    Without `lazy` (a broker that cannot ask) they go inline up to `limit`
    and are left out above it; the event still tells their length.
    """

    def __init__(self, lazy, limit=8 << 20):
        self.lazy = lazy
        self.limit = limit
        self.bodies = {}

    def put(self, name, content):
        """What to write into the event for it; None: nothing."""
        if len(content) <= INLINE_BODY:
            return content
        if self.lazy:
            self.bodies[name] = content
            return msgpack.ExtType(EXT_LAZY, struct.pack(">Q", len(content)))
        return content if len(content) <= self.limit else None


def text(data):
    """str where the bytes are UTF-8, else the bytes."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def host_port(host, port, scheme=None):
    """host:port, without the port where the scheme implies it."""
    name = f"[{host}]" if ":" in host else host
    if port == {"http": 80, "https": 443}.get(scheme):
        return name
    return f"{name}:{port}"


def address(peer):
    return host_port(peer[0], peer[1]) if peer else ""


def request_host(flow, by_header):
    """The host of a request: where it really goes.

    A client that speaks to a proxy names its destination in the request line or
    in CONNECT, and its Host header may say anything; only where there is no such
    name (transparent and reverse mode, `by_header`) the header is what counts.
    """
    request = flow.request
    if by_header and request.host_header:
        return request.host_header
    return host_port(request.host, request.port, request.scheme)


def request_map(flow, by_header=False):
    """`req` without its body."""
    request = flow.request
    data = request.data
    host = request_host(flow, by_header)
    target = data.path
    if request.method == "CONNECT":
        scheme, target = b"", b""
    else:
        scheme = data.scheme
    path = target.partition(b"?")[0]
    return {
        "proto": request.http_version,
        "host": host,
        "scheme": text(scheme),
        "method": text(data.method),
        "path": text(unquote_to_bytes(path)),
        "url": text(b"%s://%s%s" % (scheme or b"http", host.encode(),
                                    b"" if target == b"*" else target)),
        "remote_addr": address(flow.client_conn.peername),
        "headers": headers(request, host),
    }


def response_map(response):
    """`resp` without its body."""
    reason = response.reason
    return {
        "proto": response.http_version,
        "status_code": response.status_code,
        "status": f"{response.status_code} {reason}".rstrip(),
        "headers": headers(response),
    }


def headers(message, host=None):
    """[[name, value]] in wire order; Host only where it differs from `host`."""
    found = []
    for name, value in message.headers.fields:
        if host is not None and name.lower() == b"host" and text(value) == host:
            continue
        found.append([text(name), text(value)])
    return found


def add_body(part, key, message, held):
    """Put the body of `message` into `part` ("req" or "resp" map)."""
    content = message.raw_content
    if content is None:                     # streamed, or not here yet
        length = message.headers.get("content-length", "")
        if length.isdigit():
            part["content_length"] = int(length)
        return
    part["content_length"] = len(content)
    if content:
        value = held.put(key, content)
        if value is not None:
            part["body"] = value


def ws_map(message, held):
    """`ws` of a message; mitmproxy hands over whole messages, not frames."""
    event = {
        "direction": "client_to_server" if message.from_client
                     else "server_to_client",
        "opcode": int(message.type),
        "timestamp": int(message.timestamp * 1000),
    }
    if message.content:
        value = held.put("ws.data", message.content)
        if value is not None:
            event["data"] = value
    return event
