# SPDX-License-Identifier: Apache-2.0
"""A small MQTT client for tests: 3.1, 3.1.1 and 5, without a thread.

It reads only while it waits for something; acknowledgements that the protocol
demands are sent while it reads. Return codes and properties are as on the wire.

    with Mqtt(port, "c1", version=5, username="u", password=b"p") as c:
        c.connect().code                        # 0
        c.subscribe([("a/+", 1)])               # [1]
        c.publish("a/b", b"hi", qos=1)          # 0, or the reason code
        c.message().payload
"""

import socket
import struct
import time
from collections import namedtuple

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = range(1, 8)
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = range(8, 12)
PINGREQ, PINGRESP, DISCONNECT, AUTH = range(12, 16)

FORMAT, EXPIRY, CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION = 1, 2, 3, 8, 9
SUBSCRIPTION_ID, SESSION_EXPIRY, AUTH_METHOD, AUTH_DATA = 11, 17, 21, 22
WILL_DELAY, USER = 24, 38

# property -> how its value is written
TYPES = {FORMAT: "byte", EXPIRY: "u32", CONTENT_TYPE: "text", RESPONSE_TOPIC: "text",
         CORRELATION: "bytes", SUBSCRIPTION_ID: "varint", SESSION_EXPIRY: "u32",
         18: "text", 19: "u16", AUTH_METHOD: "text", AUTH_DATA: "bytes", 23: "byte",
         WILL_DELAY: "u32", 25: "byte", 26: "text", 28: "text", 31: "text",
         33: "u16", 34: "u16", 35: "u16", 36: "byte", 37: "byte", USER: "pair",
         39: "u32", 40: "byte", 41: "byte", 42: "byte"}

Connack = namedtuple("Connack", "present code properties")
Message = namedtuple("Message", "topic payload qos retain properties")


class Closed(Exception):
    """The broker closed the connection; `.code` is DISCONNECT's, if one came."""

    def __init__(self, code=None):
        super().__init__(f"closed, DISCONNECT code {code}")
        self.code = code


def raw(value):
    return value.encode() if isinstance(value, str) else bytes(value)


def field(value):
    value = raw(value)
    return struct.pack(">H", len(value)) + value


def varint(n):
    out = b""
    while True:
        n, digit = divmod(n, 128)
        out += bytes([digit | (0x80 if n else 0)])
        if not n:
            return out


def properties(pairs):
    """`pairs`: [(id, value)], for USER the value is (name, value)."""
    out = b""
    for number, value in pairs or ():
        kind = TYPES[number]
        out += bytes([number])
        if kind == "byte":
            out += bytes([value])
        elif kind == "u16":
            out += struct.pack(">H", value)
        elif kind == "u32":
            out += struct.pack(">I", value)
        elif kind == "varint":
            out += varint(value)
        elif kind == "pair":
            out += field(value[0]) + field(value[1])
        else:
            out += field(value)
    return varint(len(out)) + out


class Reader:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, n):
        part = self.data[self.at:self.at + n]
        assert len(part) == n, "a packet ends too early"
        self.at += n
        return part

    def byte(self):
        return self.take(1)[0]

    def u16(self):
        return struct.unpack(">H", self.take(2))[0]

    def field(self):
        return self.take(self.u16())

    def varint(self):
        value = shift = 0
        while True:
            digit = self.byte()
            value |= (digit & 127) << shift
            shift += 7
            if digit < 128:
                return value

    def rest(self):
        return self.take(len(self.data) - self.at)

    def properties(self):
        if self.at == len(self.data):
            return []
        end = self.varint()
        end += self.at
        found = []
        while self.at < end:
            number = self.byte()
            kind = TYPES[number]
            if kind == "byte":
                value = self.byte()
            elif kind == "u16":
                value = self.u16()
            elif kind == "u32":
                value = struct.unpack(">I", self.take(4))[0]
            elif kind == "varint":
                value = self.varint()
            elif kind == "pair":
                value = (self.field().decode(), self.field().decode())
            else:
                value = self.field()
                value = value if kind == "bytes" else value.decode()
            found.append((number, value))
        return found


class Mqtt:
    """One connection; a client that comes back is another one of these."""

    def __init__(self, port, client_id, version=4, username=None, password=None,
                 clean=True, will=None, properties=(), keepalive=60, timeout=15.0,
                 on_auth=None, tls=None):
        self.port = port
        self.client_id = client_id
        self.version = version
        self.username = username
        self.password = password
        self.clean = clean
        self.will = will            # dict(topic, payload, qos, retain, properties)
        self.properties = list(properties)
        self.keepalive = keepalive
        self.timeout = timeout
        self.on_auth = on_auth      # f(code, properties) -> properties, of an AUTH
        self.messages = []
        self.acks = {}              # (type, packet id) -> body Reader
        self.connack = None
        self.auths = []
        self.closed = False
        self.disconnect_code = None
        self._buffer = b""
        self._id = 0
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")

    # --- doing

    def connect(self):
        """The Connack; Closed when the broker closes instead."""
        self.send_connect()
        return self.wait(lambda: self.connack, "CONNACK")

    def send_connect(self):
        name = "MQIsdp" if self.version == 3 else "MQTT"
        flags = 2 if self.clean else 0
        body = b""
        if self.version == 5:
            body += properties(self.properties)
        body += field(self.client_id)
        if self.will:
            will = self.will
            flags |= 4 | will.get("qos", 0) << 3 | (32 if will.get("retain") else 0)
            if self.version == 5:
                body += properties(will.get("properties"))
            body += field(will["topic"]) + field(will.get("payload", b""))
        if self.username is not None:
            flags |= 128
            body += field(self.username)
        if self.password is not None:
            flags |= 64
            body += field(self.password)
        head = field(name) + bytes([self.version, flags])
        self._send(CONNECT << 4, head + struct.pack(">H", self.keepalive) + body)

    def publish(self, topic, payload=b"", qos=0, retain=False, properties=(), wait=True):
        """QoS 1 and 2: the reason code of PUBACK or PUBREC (0 before MQTT 5)."""
        number = self.send_publish(topic, payload, qos, retain, properties)
        if qos == 0 or not wait:
            return None
        ack = self._ack(PUBACK if qos == 1 else PUBREC, number)
        if qos == 1 or ack >= 128:
            return ack
        self._send(PUBREL << 4 | 2, struct.pack(">H", number))
        return self._ack(PUBCOMP, number)

    def send_publish(self, topic, payload=b"", qos=0, retain=False, props=()):
        number = self._next() if qos else None
        body = field(topic) + (struct.pack(">H", number) if qos else b"")
        if self.version == 5:
            body += properties(props)
        self._send(PUBLISH << 4 | qos << 1 | int(retain), body + raw(payload))
        return number

    def subscribe(self, filters, props=()):
        """`filters`: [(filter, options byte or QoS)]; the codes of SUBACK."""
        number = self._next()
        body = struct.pack(">H", number)
        if self.version == 5:
            body += properties(props)
        body += b"".join(field(name) + bytes([options]) for name, options in filters)
        self._send(SUBSCRIBE << 4 | 2, body)
        return list(self._body(SUBACK, number).rest())

    def unsubscribe(self, filters, props=()):
        number = self._next()
        body = struct.pack(">H", number)
        if self.version == 5:
            body += properties(props)
        body += b"".join(field(name) for name in filters)
        self._send(UNSUBSCRIBE << 4 | 2, body)
        return list(self._body(UNSUBACK, number).rest())

    def auth(self, code, props):
        self._send(AUTH << 4, bytes([code]) + properties(props))

    def ping(self):
        """A round trip: everything sent before has been dealt with."""
        self.acks.pop((PINGRESP, None), None)
        self._send(PINGREQ << 4, b"")
        self.wait(lambda: self.acks.pop((PINGRESP, None), None), "PINGRESP")

    def disconnect(self):
        if not self.closed:
            try:
                self._send(DISCONNECT << 4, b"")
            except (OSError, Closed):
                pass
        self.drop()

    def drop(self):
        """Close without a word, as a broken network does."""
        self.closed = True
        self.sock.close()

    # --- seeing

    def message(self, timeout=None):
        """The next message that was delivered."""
        self.wait(lambda: self.messages, "a message", timeout)
        return self.messages.pop(0)

    def nothing(self, through=None):
        """No message has come. Proven by a round trip, not by waiting a while;
        `through` is another connection whose messages might still be on the way."""
        for client in filter(None, (through, self)):
            client.ping()
            client.ping()
        assert self.messages == []

    def wait_closed(self, timeout=None):
        """Wait until the broker closes; the code of its DISCONNECT, or None."""
        try:
            self.wait(lambda: False, "the end", timeout)
        except Closed as end:
            return end.code
        raise AssertionError("unreachable")

    def wait(self, check, what, timeout=None):
        deadline = time.monotonic() + (timeout or self.timeout)
        while True:
            value = check()
            if value:
                return value
            if self.closed:
                raise Closed(self.disconnect_code)
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{self.client_id}: no {what}")
            self._read(left)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.disconnect()

    # --- within

    def _next(self):
        self._id = self._id % 65535 + 1
        return self._id

    def _send(self, first, body):
        try:
            self.sock.settimeout(self.timeout)
            self.sock.sendall(bytes([first]) + varint(len(body)) + body)
        except ConnectionError:
            self._drain()
            raise Closed(self.disconnect_code) from None

    def _drain(self):
        while not self.closed:
            self._read(1.0)

    def _read(self, timeout):
        self.sock.settimeout(timeout)
        try:
            data = self.sock.recv(1 << 18)
        except socket.timeout:
            return
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return
        self._buffer += data
        while self._packet():
            pass

    def _packet(self):
        n = shift = 0
        at = 1
        while True:
            if at >= len(self._buffer):
                return False
            digit = self._buffer[at]
            n |= (digit & 127) << shift
            shift += 7
            at += 1
            if digit < 128:
                break
        if len(self._buffer) < at + n:
            return False
        first, body = self._buffer[0], self._buffer[at:at + n]
        self._buffer = self._buffer[at + n:]
        self._take(first >> 4, first & 15, Reader(body))
        return True

    def _take(self, kind, flags, r):
        if kind == CONNACK:
            present, code = r.byte(), r.byte()
            self.connack = Connack(bool(present & 1), code,
                                   r.properties() if self.version == 5 else [])
        elif kind == PUBLISH:
            self._publish(flags, r)
        elif kind == PUBREL:
            number = r.u16()
            self._send(PUBCOMP << 4, struct.pack(">H", number))
        elif kind == DISCONNECT:
            self.disconnect_code = r.byte() if r.data else 0
        elif kind == AUTH:
            code, props = (r.byte(), r.properties()) if r.data else (0, [])
            self.auths.append((code, props))
            if self.on_auth and code == 24:
                self.auth(24, self.on_auth(code, props))
        elif kind == PINGRESP:
            self.acks[PINGRESP, None] = True
        else:
            self.acks[kind, r.u16()] = r

    def _publish(self, flags, r):
        qos = flags >> 1 & 3
        topic = r.field().decode()
        number = r.u16() if qos else None
        props = r.properties() if self.version == 5 else []
        self.messages.append(Message(topic, r.rest(), qos, bool(flags & 1), props))
        if qos:
            kind = PUBACK if qos == 1 else PUBREC
            self._send(kind << 4, struct.pack(">H", number))

    def _body(self, kind, number):
        key = (kind, number)
        self.wait(lambda: key in self.acks, f"answer of type {kind}")
        r = self.acks.pop(key)
        if self.version == 5 and kind in (SUBACK, UNSUBACK):
            r.properties()
        return r

    def _ack(self, kind, number):
        r = self._body(kind, number)
        return r.byte() if r.at < len(r.data) else 0
