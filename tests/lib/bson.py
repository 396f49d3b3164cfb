# SPDX-License-Identifier: Apache-2.0
"""BSON, and MongoDB's messages, as far as tests need them."""

import itertools
import socket
import struct

OP_MSG, OP_REPLY, OP_QUERY = 2013, 1, 2004
_ids = itertools.count(1)


class Oid(bytes):
    """12 bytes."""


class Raw:
    """A value of any type: its type byte and its bytes."""

    def __init__(self, kind, data):
        self.kind, self.data = kind, data


def date(ms):
    return Raw(0x09, struct.pack("<q", ms))


def symbol(text):
    data = text.encode() + b"\0"
    return Raw(0x0E, struct.pack("<i", len(data)) + data)


UNDEFINED = Raw(0x06, b"")
# Kinds that stay as they are when they are read: how many bytes they have.
KEPT = {0x06: 0, 0x09: 8, 0x11: 8}
REGEX = Raw(0x0B, b"a\0i\0")
TIMESTAMP = Raw(0x11, bytes(8))


def _value(v):
    if isinstance(v, Raw):
        return v.kind, v.data
    if isinstance(v, Oid):
        return 0x07, bytes(v)
    if isinstance(v, bool):
        return 0x08, bytes([v])
    if isinstance(v, int):
        if -2**31 <= v < 2**31:
            return 0x10, struct.pack("<i", v)
        return 0x12, struct.pack("<q", v)
    if isinstance(v, float):
        return 0x01, struct.pack("<d", v)
    if v is None:
        return 0x0A, b""
    if isinstance(v, str):
        data = v.encode("utf-8", "surrogateescape") + b"\0"
        return 0x02, struct.pack("<i", len(data)) + data
    if isinstance(v, bytes):
        return 0x05, struct.pack("<iB", len(v), 0) + v
    if isinstance(v, dict):
        return 0x03, encode(v)
    if isinstance(v, list):
        return 0x04, encode({str(i): e for i, e in enumerate(v)})
    raise TypeError(type(v))


def encode(doc):
    body = b""
    for key, v in doc.items():
        kind, data = _value(v)
        body += bytes([kind]) + key.encode() + b"\0" + data
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _read(kind, data, at):
    """The value there and where it ends."""
    if kind in KEPT:
        end = at + KEPT[kind]
        return Raw(kind, data[at:end]), end
    if kind == 0x0B:
        end = data.index(b"\0", data.index(b"\0", at) + 1) + 1
        return Raw(kind, data[at:end]), end
    if kind == 0x0E:
        end = at + 4 + struct.unpack_from("<i", data, at)[0]
        return Raw(kind, data[at:end]), end
    if kind == 0x02:
        n = struct.unpack_from("<i", data, at)[0]
        text = data[at + 4:at + 3 + n].decode("utf-8", "surrogateescape")
        return text, at + 4 + n
    if kind in (0x03, 0x04):
        n = struct.unpack_from("<i", data, at)[0]
        doc = decode(data[at:at + n])
        return (list(doc.values()) if kind == 0x04 else doc), at + n
    if kind == 0x05:
        n = struct.unpack_from("<i", data, at)[0]
        return data[at + 5:at + 5 + n], at + 5 + n
    if kind == 0x07:
        return Oid(data[at:at + 12]), at + 12
    if kind == 0x08:
        return data[at] != 0, at + 1
    if kind == 0x0A:
        return None, at
    size = {0x01: "<d", 0x10: "<i", 0x12: "<q"}[kind]
    return struct.unpack_from(size, data, at)[0], at + struct.calcsize(size)


def decode(data):
    doc, at = {}, 4
    while data[at]:
        kind, end = data[at], data.index(b"\0", at + 1)
        key = data[at + 1:end].decode()
        doc[key], at = _read(kind, data, end + 1)
    return doc


# --- messages

def read_exactly(sock, n):
    data = b""
    while len(data) < n:
        more = sock.recv(n - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def message(op, body, to=0):
    return struct.pack("<iiii", 16 + len(body), next(_ids), to, op) + body


def msg(doc, to=0):
    return message(OP_MSG, struct.pack("<iB", 0, 0) + encode(doc), to)


def read_message(sock):
    """(id, opcode, document)"""
    size, ident, _, op = struct.unpack("<iiii", read_exactly(sock, 16))
    body = read_exactly(sock, size - 16)
    if op == OP_QUERY:
        at = body.index(b"\0", 4) + 1 + 8
        return ident, op, decode(body[at:])
    doc, at = {}, 4
    while at < len(body):
        kind = body[at]
        n = struct.unpack_from("<i", body, at + 1)[0]
        if kind == 0:
            doc.update(decode(body[at + 1:at + 1 + n]))
        else:  # a sequence of documents
            end = body.index(b"\0", at + 5)
            key, at2, docs = body[at + 5:end].decode(), end + 1, []
            while at2 < at + 1 + n:
                size = struct.unpack_from("<i", body, at2)[0]
                docs.append(decode(body[at2:at2 + size]))
                at2 += size
            doc[key] = docs
        at += 1 + n
    return ident, op, doc


def command(address, doc):
    """One command to a server that asks for no password."""
    with socket.create_connection(address, 10) as sock:
        sock.sendall(msg(doc))
        return read_message(sock)[2]
