# SPDX-License-Identifier: Apache-2.0
"""pinfold for mitmproxy: mitmdump -s pinfold_addon.py

Every request, response and WebSocket message goes past the scripts that the
broker at `pinfold_socket` runs. README.md says which hook fires when, and what
mitmproxy does not allow.
"""

import asyncio
import time
import traceback
import uuid

from mitmproxy import ctx, http
from mitmproxy.flow import Error

from pinfold_mitm import errorpage, events, ops
from pinfold_mitm.ask import Asker, Settings
from pinfold_mitm.client import Client
from pinfold_mitm.state import State

# Responses that may never end: they are handed on as they come.
ENDLESS = ("text/event-stream", "multipart/x-mixed-replace", "application/grpc")
WRITE_TIMEOUT = 30.0        # an answer is taken for written after so long
LOG_LINES = 100             # a second


class Log:
    """mitmproxy's log, with an upper bound: a dead broker fails every flow."""

    def __init__(self):
        self.second = 0
        self.lines = 0

    def __call__(self, level, line):
        now = int(time.monotonic())
        if now != self.second:
            if self.lines > LOG_LINES:
                ctx.log.warn(f"pinfold: {self.lines - LOG_LINES} lines left out")
            self.second, self.lines = now, 0
        self.lines += 1
        if self.lines <= LOG_LINES:
            getattr(ctx.log, level)(f"pinfold: {line}")


log = Log()


class Pinfold:
    name = "pinfold"

    def __init__(self):
        self.client = None
        self.ask = None
        self.settings = Settings()
        self.session = str(uuid.uuid4())
        self.flows = {}         # flow id -> State, while it has not ended
        self.of_client = {}     # client connection id -> {flow id: State}
        self.tunnels = {}       # client connection id -> State of its CONNECT
        self.tasks = set()

    # --- life

    def load(self, loader):
        loader.add_option("pinfold_socket", str, "/run/pinfold/pinfold.sock",
                          "Unix socket of the pinfold broker.")
        loader.add_option("pinfold_timeout_ms", int, 5000,
                          "How long a hook may hold a flow, in milliseconds.")
        loader.add_option("pinfold_on_unavailable", str, "fail",
                          "Without a broker: fail (answer 500) or pass.",
                          choices=("fail", "pass"))
        loader.add_option("pinfold_on_timeout", str, "fail",
                          "When the broker does not answer in time: fail or pass.",
                          choices=("fail", "pass"))
        loader.add_option("pinfold_stream", bool, True,
                          "Hand on responses as they come when no script reads "
                          "their bodies.")
        loader.add_option("pinfold_lazy_upstream", bool, True,
                          "Contact the upstream of a CONNECT only when a request "
                          "is let through (sets connection_strategy=lazy and "
                          "upstream_cert=false).")
        loader.add_option("pinfold_flush_timeout_ms", int, 10000,
                          "How long the proxy's end may wait for flush hooks.")

    def configure(self, updated):
        self.settings.timeout = max(1, ctx.options.pinfold_timeout_ms) / 1000
        self.settings.on_unavailable = ctx.options.pinfold_on_unavailable
        self.settings.on_timeout = ctx.options.pinfold_on_timeout
        if "pinfold_socket" in updated and self.client is not None:
            self._spawn(self.client.stop())
            self._connect()

    def running(self):
        if self.client is not None:
            return
        if ctx.options.pinfold_lazy_upstream:
            ctx.options.update(connection_strategy="lazy", upstream_cert=False)
        errorpage.install(log)
        self._connect()

    def _connect(self):
        self.client = Client(ctx.options.pinfold_socket, log)
        self.ask = Asker(self.client, self.settings, self.session, log)
        self.client.start()

    def done(self):
        # No coroutine function: when mitmproxy unloads it, it calls this so.
        errorpage.remove()
        return self.client and asyncio.ensure_future(self._finish())

    async def _finish(self):
        for state in [*self.flows.values(), *self.tunnels.values()]:
            self._end(state)
        await self.ask.flush(max(1, ctx.options.pinfold_flush_timeout_ms) / 1000)
        if self.client.dropped:
            log("warn", f"{self.client.dropped} notifications were dropped")
        await self.client.stop()

    def _spawn(self, coroutine):
        task = asyncio.ensure_future(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # --- a request

    def _begin(self, flow, own):
        mode = ctx.options.mode
        by_header = not (mode == "regular" or mode.startswith("upstream:"))
        state = State(flow, own, by_header)
        self.flows[flow.id] = state
        self.of_client.setdefault(flow.client_conn.id, {})[flow.id] = state
        return state

    async def requestheaders(self, flow):
        state = self._begin(flow, flow.client_conn.id not in self.tunnels)
        if state.own:
            await self._of_request(state, "connect")
        if not state.failed and may_stream(flow.request):
            await self._before_request(state)

    async def request(self, flow):
        state = self.flows.get(flow.id) or self._begin(flow, False)
        if not state.failed and not state.requested:
            await self._before_request(state)

    async def _before_request(self, state):
        state.requested = True
        state.finished = state.finished or state.flow.response is not None
        await self._of_request(state, "before_request")

    async def _of_request(self, state, hook):
        """Ask a hook that comes before the upstream is contacted."""
        verdict = await self.ask.decide(state, hook)
        if verdict is None:
            return self._fail(state)
        flow = state.flow
        change = ops.change_connect if state.tunnel else ops.change_request
        self._apply(state, change, flow.request, verdict.ops)
        if state.failed:
            return
        if verdict.finished:
            state.finished = True
            self._answer(state, flow.response or http.Response.make(200, b""))
        if flow.response is not None:
            self._apply(state, ops.change_response, flow.response, verdict.ops,
                        flow.request.method)

    def _apply(self, state, change, *args):
        """Change a message. What cannot be done fails the flow, not half of it."""
        try:
            change(*args)
        except Exception as error:
            if not isinstance(error, ops.BadOp):
                log("error", traceback.format_exc())
            message = f"scripts made a bad message: {error}"
            log("warn", f"{state.id}: {message}")
            self._fail(state)
            self.ask.observe(state, "error", err={"msg": message})

    def _fail(self, state):
        """The client gets a 500, and no other decide hook is asked."""
        state.failed = True
        flow = state.flow
        if state.arriving and flow.response.status_code == 101:
            # Changed in place, or mitmproxy goes on to switch protocols.
            return ops.change_response(flow.response, [
                ["resp.set_status", 500], ["resp.set_body", errorpage.INTERNAL],
                ["resp.del_header", "sec-websocket-accept"]], flow.request.method)
        response = errorpage.text_response(500, errorpage.INTERNAL)
        ops.settle_length(response, flow.request.method)
        if state.arriving:
            response.stream = ops.Instead(response.raw_content)
            response.raw_content = None
        self._answer(state, response)

    def _answer(self, state, response):
        """Let mitmproxy send that, and not what the upstream would."""
        flow = state.flow
        flow.response = response
        streams = flow.request.raw_content is None and may_stream(flow.request)
        if streams and not state.upstream:
            # It can only go to the upstream now, or nowhere: mitmproxy breaks
            # down on an upload that it streams and that has an answer already.
            log("warn", f"{flow.id}: cut off, as uploads that stream have no answer")
            flow.kill()

    # --- its response

    async def responseheaders(self, flow):
        state = self.flows.get(flow.id)
        if state is None or flow.response.raw_content is not None:
            return                          # an answer made here, by whomever
        state.upstream = state.arriving = True
        await self._of_response(state, "after_request")
        wanted = self.ask.wants_body() or not ctx.options.pinfold_stream
        stream = endless(flow.response) or not wanted
        if not state.failed and (stream or may_stream(flow.response)):
            await self._before_response(state)
        # before_response may have made another response of it
        if stream and flow.response.status_code != 101:
            flow.response.stream = flow.response.stream or True

    async def response(self, flow):
        if flow.request.method == "CONNECT":
            return self._refused(flow)
        state = self.flows.get(flow.id)
        if state is None:
            return
        if not state.failed and not state.responded:
            if flow.response.stream:        # another addon's choice, behind ours
                log("warn", f"{state.id}: streamed before before_response")
            else:
                state.arriving = False
                await self._before_response(state)
        state.answered = not state.failed
        if flow.websocket is None or flow.response.status_code != 101:
            self._spawn(self._when_written(state))

    async def _before_response(self, state):
        state.responded = True
        await self._of_response(state, "before_response")

    async def _of_response(self, state, hook):
        """Ask a hook that comes before anything goes to the client."""
        verdict = await self.ask.decide(state, hook)
        if verdict is None:
            return self._fail(state)
        self._apply(state, ops.change_response, state.flow.response, verdict.ops,
                    state.flow.request.method)

    async def error(self, flow):
        state = self.flows.get(flow.id)
        if state is None:
            return
        if flow.error.msg != Error.KILLED_MESSAGE:
            self.ask.observe(state, "error", err={"msg": error_message(flow)})
        self._spawn(self._when_written(state))

    # --- its end

    async def _when_written(self, state):
        """mitmproxy has no hook after the write, but `live` ends right after."""
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + WRITE_TIMEOUT, 0.0
        while state.flow.live and not state.ended and loop.time() < until:
            await asyncio.sleep(pause)
            pause = min(0.25, pause * 2 + 0.0005)
        self._end(state)

    def _end(self, state):
        """after_response (or ws_close) and close, as far as they are due; once."""
        if state.ended:
            return
        state.ended = True
        if state.ws is not None:
            self.ask.observe(state, "ws_close")
            state.ws = None
        elif state.answered:
            self.ask.observe(state, "after_response")
        if state.own:
            self.ask.observe(state, "close")
        self.flows.pop(state.id, None)
        client = state.flow.client_conn.id
        others = self.of_client.get(client, {})
        others.pop(state.id, None)
        if not others:
            self.of_client.pop(client, None)
        if self.tunnels.get(client) is state:
            del self.tunnels[client]

    def client_disconnected(self, client):
        for state in list(self.of_client.pop(client.id, {}).values()):
            self._end(state)
        if client.id in self.tunnels:
            self._end(self.tunnels[client.id])

    # --- CONNECT

    async def http_connect(self, flow):
        state = State(flow, own=True, tunnel=True)
        self.tunnels[flow.client_conn.id] = state
        await self._of_request(state, "connect")
        response = flow.response
        if response is not None and 200 <= response.status_code < 300:
            # It would mean an open tunnel: not what finishing a CONNECT asks for.
            log("info", f"{state.id}: a script finished a CONNECT: 403")
            ops.set_status(response, 403)

    def _refused(self, flow):
        """A CONNECT that gets no tunnel; by us, or as nobody answers there."""
        state = self.tunnels.get(flow.client_conn.id)
        if state is None:
            return
        if not state.failed and not state.finished:
            message = (flow.response.raw_content or b"").decode(errors="replace")
            self.ask.observe(state, "error", err={"msg": message})
            flow.response = errorpage.text_response(502, errorpage.UNREACHABLE)
        self._spawn(self._when_written(state))

    def tls_failed_client(self, data):
        state = self.tunnels.get(data.context.client.id)
        if state is not None:
            message = f"TLS with the client: {data.conn.error}"
            self.ask.observe(state, "error", err={"msg": message})

    # --- WebSocket

    async def websocket_start(self, flow):
        state = self.flows.get(flow.id)
        if state is None:
            return
        self.ask.observe(state, "after_response")
        state.ws = events.request_map(flow, state.by_header)
        self.ask.observe(state, "ws_open")

    async def websocket_message(self, flow):
        state = self.flows.get(flow.id)
        if state is None:
            return
        message = flow.websocket.messages[-1]
        verdict = await self.ask.decide(state, "ws_msg", message)
        if verdict is None:
            message.drop()
        else:
            ops.change_message(message, verdict.ops)

    async def websocket_end(self, flow):
        state = self.flows.get(flow.id)
        if state is not None:
            self._end(state)


def may_stream(message):
    """mitmproxy may hand it on before we could see its body."""
    chunked = "transfer-encoding" in message.headers
    return bool(message.stream or (ctx.options.stream_large_bodies and chunked))


def endless(response):
    kind = response.headers.get("content-type", "").lower()
    return response.status_code == 101 or kind.startswith(ENDLESS)


def error_message(flow):
    where = events.host_port(flow.request.host, flow.request.port)
    return f"{where}: {flow.error.msg}"


addons = [Pinfold()]
