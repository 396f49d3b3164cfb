# SPDX-License-Identifier: Apache-2.0
"""What scripts changed, put into a flow, in the order the broker gave.

The broker has checked every op. What it cannot check is whether a URL, a method
or a scheme makes a request: those raise BadOp, and the flow must not go on. How
long a message is, is never a script's to say: after the ops, the headers that
tell it are put right.

Start with `change_request` and `change_response`.
"""

import re
from urllib.parse import quote, urlsplit

from mitmproxy.net.http import status_codes

from .events import host_port

# RFC 3986: what may stand unescaped in a path, and in a query.
PATH_SAFE = "/:@!$&'()*+,;=~-._"
QUERY_SAFE = PATH_SAFE + "?%[]{}|\\^`"
TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
NO_HOST = re.compile(r"[\x00-\x20\x7f<>\"\\^`{|}@/?#]")
PORTS = {"http": 80, "https": 443}
# Not allowed in HTTP/2, where the framing does their work (RFC 9113 8.2.2).
NOT_IN_HTTP2 = {b"connection", b"keep-alive", b"proxy-connection",
                b"transfer-encoding", b"upgrade"}
LENGTHS = ("content-length", "transfer-encoding")
NO_BODY = {204, 304}


class BadOp(ValueError):
    """Scripts made a message that cannot be sent."""


def to_bytes(value):
    return value if isinstance(value, bytes) else str(value).encode()


def to_text(value):
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise BadOp(f"not text: {value!r:.100}") from None


# --- headers and body, the same on both sides

def set_header(message, name, value):
    if may_carry(message, name):
        message.headers[header_name(message, name)] = to_bytes(value)


def add_header(message, name, value):
    if may_carry(message, name):
        message.headers.add(header_name(message, name), to_bytes(value))


def del_header(message, name):
    message.headers.pop(to_text(name), None)


def may_carry(message, name):
    return not (message.is_http2 and to_bytes(name).lower() in NOT_IN_HTTP2)


def header_name(message, name):
    name = to_text(name)
    return name.lower() if message.is_http2 else name


def set_body(message, content):
    message.headers.pop("content-encoding", None)
    message.headers.pop("transfer-encoding", None)
    message.trailers = None                 # only chunked messages carry them
    message.raw_content = to_bytes(content)


def lengths(message):
    return {name: message.headers.get_all(name) for name in LENGTHS}


def frame(message, was, replaced):
    """Length headers that are true: `was` those before any op."""
    if replaced:
        message.headers.pop("transfer-encoding", None)
        message.headers["content-length"] = str(len(message.raw_content))
        return
    for name, values in was.items():
        message.headers.set_all(name, values)


def replaces_body(ops):
    return any(op[0].endswith(".set_body") for op in ops)


class Instead:
    """A stream function that sends `content` in the place of what arrives."""

    def __init__(self, content):
        self.content = content

    def __call__(self, data):
        content, self.content = self.content, b""
        return content or []


# --- requests

def authority(value):
    """(host, port or None) of HOST[:PORT]."""
    value = to_text(value)
    try:
        parts = urlsplit("//" + value)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadOp(f"host {value!r:.200}: {error}") from None
    if not host or parts.netloc != value or NO_HOST.search(value):
        raise BadOp(f"host {value!r:.200}")
    return host, port


class _Target:
    """Where a request goes, taken apart while ops change pieces of it."""

    def __init__(self, request):
        self.scheme = request.scheme
        self.host = request.host
        self.port = request.port
        if self.port == PORTS.get(self.scheme):
            self.port = None                # follows the scheme
        self.path, mark, query = request.data.path.partition(b"?")
        self.query = mark + query

    def set_host(self, value):
        self.host, self.port = authority(value)

    def set_scheme(self, value):
        self.scheme = to_text(value).lower()

    def set_path(self, value):
        path = to_bytes(value)
        if path != b"*" and not path.startswith(b"/"):
            path = b"/" + path
        self.path = quote(path, safe=PATH_SAFE).encode()

    def set_query(self, value):
        query = quote(to_bytes(value), safe=QUERY_SAFE).encode()
        self.query = b"?" + query if query else b""

    def set_url(self, value):
        url = to_text(value)
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise BadOp(f"URL {url!r:.200}: {error}") from None
        if parts.scheme.lower() not in PORTS:
            raise BadOp(f"URL {url!r:.200}: neither http nor https")
        self.scheme = parts.scheme.lower()
        self.host, self.port = authority(parts.netloc.rpartition("@")[2])
        self.path = quote(parts.path or "/", safe=PATH_SAFE + "%").encode()
        self.set_query(parts.query)

    def put(self, request):
        if self.scheme not in PORTS:
            raise BadOp(f"scheme {self.scheme!r:.50}")
        port = self.port or PORTS[self.scheme]
        was = (request.scheme, request.host, request.port)
        request.data.scheme = self.scheme.encode()
        request.data.host, request.data.port = self.host, port
        request.data.path = self.path + self.query
        if was != (self.scheme, self.host, port):
            request.host_header = host_port(self.host, port, self.scheme)


TARGET_OPS = {
    "req.set_host": _Target.set_host,
    "req.set_scheme": _Target.set_scheme,
    "req.set_path": _Target.set_path,
    "req.set_query": _Target.set_query,
    "req.set_url": _Target.set_url,
}


def set_method(request, value):
    method = to_bytes(value)
    if not TOKEN.fullmatch(method) or method.upper() == b"CONNECT":
        raise BadOp(f"method {method!r:.50}")
    request.data.method = method


REQUEST_OPS = {
    "req.set_method": set_method,
    "req.set_body": set_body,
    "req.set_header": set_header,
    "req.add_header": add_header,
    "req.del_header": del_header,
}


def change_request(request, ops):
    """Put req.* ops into a request that has not been sent."""
    streamed = request.raw_content is None
    was = lengths(request)
    target = None
    for name, *args in ops:
        if name in TARGET_OPS:
            target = target or _Target(request)
            TARGET_OPS[name](target, *args)
        elif name in REQUEST_OPS:
            if target and name.endswith("_header"):
                target.put(request)         # a Host set by hand comes last
                target = None
            REQUEST_OPS[name](request, *args)
    if target:
        target.put(request)
    frame(request, was, replaces_body(ops))
    if streamed and request.raw_content is not None:
        request.stream = Instead(request.raw_content)
        request.raw_content = None


def change_connect(request, ops):
    """Of a CONNECT, only where it goes can be changed."""
    for name, *args in ops:
        if name == "req.set_host":
            host, port = authority(*args)
            request.data.host, request.data.port = host, port or request.port


# --- responses

def set_status(response, status):
    response.status_code = int(status)
    phrase = status_codes.RESPONSES.get(int(status), "")
    response.reason = "" if response.is_http2 else phrase


RESPONSE_OPS = {
    "resp.set_status": set_status,
    "resp.set_body": set_body,
    "resp.set_header": set_header,
    "resp.add_header": add_header,
    "resp.del_header": del_header,
}


def change_response(response, ops, method):
    """Put resp.* ops into a response of which nothing has been sent.

    One that streams stays so; a new body then replaces what arrives.
    """
    ops = [op for op in ops if op[0] in RESPONSE_OPS]
    if not ops:
        return
    streamed = response.raw_content is None
    was, status = lengths(response), response.status_code
    for name, *args in ops:
        RESPONSE_OPS[name](response, *args)
    if status == 101 != response.status_code:
        response.headers.pop("upgrade", None)
        response.headers["connection"] = "close"    # it speaks no HTTP any more
        response.raw_content = response.raw_content or b""
    frame(response, was, replaces_body(ops))
    settle_length(response, method)
    if streamed and response.raw_content is not None:
        response.stream = Instead(response.raw_content)
        response.raw_content = None


def settle_length(response, method):
    """An answer to HEAD and some statuses carry no body; others tell a length."""
    if response.status_code in NO_BODY:
        set_body(response, b"")
        response.headers.pop("content-length", None)
    elif method == "HEAD":
        if response.raw_content:
            response.raw_content = b""      # its length is told all the same
    elif response.raw_content is not None and not any(lengths(response).values()):
        response.headers["content-length"] = str(len(response.raw_content))


# --- WebSocket messages

def change_message(message, ops):
    for name, *args in ops:
        if name == "ws.set_data":
            message.content = to_bytes(*args)
        elif name == "ws.drop":
            message.drop()
