# SPDX-License-Identifier: Apache-2.0
"""An asyncio client of pinfold's socket: MessagePack-RPC as PROTOCOL.md has it.

Nothing in here knows mitmproxy. Start with `Client`: it keeps one connection up,
says hello, follows `hooks` and `goaway`, and offers `call` and `notify`.

Everything has an end: a call at its deadline, requests in flight and callers
that wait for their turn by count, the write buffer by size (a notification that
does not fit is dropped and counted, a request waits for its turn), and what the
other side declares is never allocated before it has arrived.
"""

import asyncio
import random

import msgpack

PROTOCOL = 1
EXT_LAZY = 1
INLINE_BODY = 16 << 10
RANGE = 1 << 20
MAX_MESSAGE = 16 << 20
MAX_INFLIGHT = 1024
MAX_CALLS = 4096                # in flight and waiting for their turn
MAX_ITEMS = 1 << 16             # of one array or map that we are sent
MAX_UNSENT = 4 << 20            # above it, notifications are dropped
MAX_STUCK = 32 << 20            # above it, the broker is not reading: cut off
SLACK = 0.25                    # the broker may be this late with `timeout`
GRACE = 0.5                     # after a loss, calls wait so long for the next
HELLO_TIMEOUT = 5.0
DRAIN_TIMEOUT = 10.0            # for what is in flight after a goaway
BACKOFF_FIRST = 0.05
BACKOFF_LAST = 2.0


class Failure(Exception):
    """A call that brought no result. `code` is a word of PROTOCOL.md 5."""

    def __init__(self, code, message, script=None):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.script = script


class Answered(Failure):
    """The broker answered, with an error: its policy has decided."""


class Unavailable(Failure):
    """There is no broker to ask, or it went away while it was asked."""

    def __init__(self, message):
        super().__init__("unavailable", message)


class Late(Failure):
    """No answer at all within the deadline."""

    def __init__(self, message):
        super().__init__("timeout", message)


class _Pending:
    __slots__ = ("future", "bodies")

    def __init__(self, future, bodies):
        self.future = future
        self.bodies = bodies or {}


class _Connection(asyncio.Protocol):
    """One connection: bytes to messages, answers to those who wait for them."""

    def __init__(self, owner):
        loop = asyncio.get_running_loop()
        self.owner = owner
        self.lost = loop.create_future()    # gets the reason, never an exception
        self.transport = None
        self.pending = {}
        self.slots = asyncio.Semaphore(MAX_INFLIGHT)
        self.max_message = MAX_MESSAGE
        self.leaving = False
        self._loop = loop
        self._next = 0
        self._unpacker = msgpack.Unpacker(
            raw=False, strict_map_key=False, max_buffer_size=MAX_MESSAGE + (1 << 20),
            max_array_len=MAX_ITEMS, max_map_len=MAX_ITEMS)

    # --- asyncio.Protocol

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, exc):
        self.fail(str(exc) if exc else "closed by the broker")

    def data_received(self, data):
        try:
            self._unpacker.feed(data)
            for message in self._unpacker:
                self._take(message)
        except Exception as error:  # whatever malformed bytes lead to
            self.fail(f"bytes that make no sense: {error!r}")

    # --- out

    async def request(self, method, params, bodies=None):
        self._next = self._next % 0xFFFFFFFF + 1
        msgid = self._next
        data = msgpack.packb([0, msgid, method, params])
        if len(data) > self.max_message:
            raise Answered("too_large", f"{method}: {len(data)} bytes")
        pending = _Pending(self._loop.create_future(), bodies)
        self.pending[msgid] = pending
        try:
            self.write(data)
            return await pending.future
        finally:
            self.pending.pop(msgid, None)
            if self.leaving and not self.pending:
                self.fail("goaway")

    def write(self, data):
        if self.lost.done():
            raise Unavailable(self.lost.result())
        if self.unsent > MAX_STUCK:
            self.fail("the broker does not read")
            raise Unavailable("the broker does not read")
        self.transport.write(data)

    @property
    def unsent(self):
        return self.transport.get_write_buffer_size()

    # --- in

    def _take(self, message):
        kind = message[0]
        if kind == 1:
            _, msgid, error, result = message
            self._answered(msgid, error, result)
        elif kind == 2:
            _, method, params = message
            self.owner.notified(self, method, params)
        elif kind == 0:
            _, msgid, method, params = message
            self._serve(msgid, method, params)
        else:
            raise ValueError(f"message of type {kind!r}")

    def _answered(self, msgid, error, result):
        pending = self.pending.get(msgid)
        if pending is None or pending.future.done():
            return                          # came after its deadline
        if error is None:
            pending.future.set_result(result)
            return
        if not isinstance(error, dict):
            error = {"message": str(error)}
        code = str(error.get("code", "script_error"))
        message = str(error.get("message", ""))
        if code == "shutting_down":
            failure = Unavailable(message or code)
        else:
            failure = Answered(code, message, error.get("script"))
        pending.future.set_exception(failure)

    def _serve(self, msgid, method, params):
        error = result = None
        if method != "body.get":
            error = {"code": "unknown_method", "message": str(method)[:100]}
        else:
            result = self._body(*params)
            if result is None:
                error = {"code": "body_unavailable", "message": "no such body"}
        self.write(msgpack.packb([1, msgid, error, result]))

    def _body(self, msgid, name, offset, length):
        pending = self.pending.get(msgid)
        body = pending.bodies.get(name) if pending else None
        if body is None or not 0 <= offset <= len(body) or length < 0:
            return None
        return body[offset:offset + min(length, RANGE)]

    # --- end

    def fail(self, reason):
        """The connection is over; whoever waits is told."""
        if self.lost.done():
            return
        self.lost.set_result(reason)
        for pending in self.pending.values():
            if not pending.future.done():
                pending.future.set_exception(Unavailable(reason))
        if self.transport is not None:
            self.transport.abort()

    def leave(self):
        """No new requests; closed when those in flight are answered."""
        self.leaving = True
        if not self.pending:
            self.transport.close()
            return
        self._loop.call_later(DRAIN_TIMEOUT, self.fail, "goaway")


class Client:
    """Keeps a connection to the broker at `path`.

    log       called with a level ("info", "warn", "error") and a line
    hooks     {name: {"mode", "reads"}} as the broker last said; None: not known
              yet, so every hook is asked
    lazy      the broker asks for large bodies when a script reads them
    """

    def __init__(self, path, log, name="mitmproxy-pinfold", version="0.1"):
        self.path = path
        self.hooks = None
        self.lazy = False
        self.dropped = 0                    # notifications that found no room
        self._log = log
        self._hello = {"client": name, "version": version,
                       "protocol": PROTOCOL, "caps": ["lazy_body"]}
        self._conn = None
        self._changed = asyncio.Event()     # set while there is a connection
        self._down_since = None
        self._reason = "not connected yet"
        self._calls = 0
        self._task = None

    # --- life

    def start(self):
        self._down_since = asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self._keep_connected())

    async def stop(self):
        """Close; what was written before is still sent, within a second."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        conn, self._conn = self._conn, None
        self._changed.clear()
        self._reason = "stopped"
        if conn is not None:
            conn.transport.close()
            await asyncio.wait([conn.lost], timeout=1.0)
            conn.fail("stopped")

    @property
    def connected(self):
        return self._conn is not None

    async def _keep_connected(self, delay=0.0):
        attempt = 0
        while True:
            await asyncio.sleep(delay)
            attempt += 1
            delay = backoff(attempt)
            try:
                conn = await self._connect()
            except Exception as error:      # also what a strange hello leads to
                self._reason = f"{type(error).__name__}: {error}"
                if attempt == 1:
                    self._log("warn", f"no broker at {self.path}: {self._reason}")
                continue
            await asyncio.wait([conn.lost])
            self._drop(conn)
            self._log("warn", f"lost the broker: {conn.lost.result()}")
            attempt, delay = 0, backoff(1)

    async def _connect(self):
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(HELLO_TIMEOUT):
            _, conn = await loop.create_unix_connection(
                lambda: _Connection(self), self.path)
            try:
                await self._say_hello(conn)
            except BaseException:
                conn.fail("no hello")
                raise
        self._conn = conn
        self._changed.set()
        served = " ".join(sorted(self.hooks)) if self.hooks is not None else "all"
        self._log("info", f"connected to {self.path}, hooks: {served or 'none'}")
        return conn

    async def _say_hello(self, conn):
        try:
            answer = await conn.request("hello", [self._hello])
        except Answered as error:
            if error.code != "unknown_method":
                raise
            self.hooks, self.lazy = None, False
            return
        if not isinstance(answer, dict) or answer.get("protocol") != PROTOCOL:
            raise Unavailable(f"the broker does not speak version {PROTOCOL}")
        limits = answer.get("limits") or {}
        conn.max_message = int(limits.get("max_message", MAX_MESSAGE))
        inflight = int(limits.get("max_inflight", MAX_INFLIGHT))
        conn.slots = asyncio.Semaphore(max(1, min(inflight, MAX_INFLIGHT)))
        self.lazy = "lazy_body" in (answer.get("caps") or ())
        self._set_hooks(answer.get("hooks"))

    def _set_hooks(self, hooks):
        if isinstance(hooks, dict):
            self.hooks = {str(k): v if isinstance(v, dict) else {}
                          for k, v in hooks.items()}

    def _drop(self, conn):
        if self._conn is conn:
            self._conn = None
            self._changed.clear()
            self._down_since = asyncio.get_running_loop().time()
            self._reason = "lost the broker"

    def notified(self, conn, method, params):
        if method == "hooks":
            self._set_hooks(params[0])
            self._log("info", f"hooks: {' '.join(sorted(self.hooks)) or 'none'}")
        elif method == "goaway":
            self._log("info", f"the broker asks to reconnect: {params!r:.200}")
            self._drop(conn)
            conn.leave()
            self._restart()
        elif method == "error":
            self._log("error", f"the broker complains: {params!r:.500}")

    def _restart(self):
        """Look for the next connection while the old one drains."""
        self._task.cancel()
        self._task = asyncio.create_task(self._keep_connected(backoff(1)))

    # --- use

    def serves(self, hook):
        """Some script has that hook, as far as we know."""
        return self.hooks is None or hook in self.hooks

    def reads(self, hook):
        """What scripts of that hook may read; None: everything."""
        if self.hooks is None:
            return None
        reads = self.hooks.get(hook, {}).get("reads")
        return None if reads is None else set(reads)

    async def call(self, hook, event, bodies=None, timeout=5.0):
        """The result for that event. Raises Answered, Unavailable or Late."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        if self._calls >= MAX_CALLS:
            raise Unavailable(f"{MAX_CALLS} calls wait already")
        self._calls += 1
        try:
            async with asyncio.timeout_at(deadline + SLACK):
                conn = await self._ready()
                async with conn.slots:
                    left = int((deadline - loop.time()) * 1000)
                    event = dict(event, deadline_ms=max(1, left))
                    return await conn.request(hook, [event], bodies)
        except TimeoutError:
            raise Late(f"{hook}: no answer within {timeout:g} s") from None
        finally:
            self._calls -= 1

    def notify(self, hook, event):
        """Fire and forget. False when there is no broker or no room."""
        conn = self._conn
        if conn is None or conn.unsent > MAX_UNSENT:
            self.dropped += 1
            return False
        data = msgpack.packb([2, hook, [event]])
        if len(data) > conn.max_message:
            self.dropped += 1
            return False
        try:
            conn.write(data)
        except Unavailable:
            self.dropped += 1
            return False
        return True

    async def _ready(self):
        """The connection, waited for while a loss is young."""
        until = (self._down_since or 0.0) + GRACE
        if self._conn is None and asyncio.get_running_loop().time() < until:
            try:
                async with asyncio.timeout_at(until):
                    await self._changed.wait()
            except TimeoutError:
                pass
        if self._conn is None:
            raise Unavailable(self._reason)
        return self._conn


def backoff(attempt):
    """Seconds until the next attempt: growing, jittered, never nothing."""
    limit = min(BACKOFF_LAST, BACKOFF_FIRST * 2 ** min(attempt, 10))
    return random.uniform(limit / 4, limit)
