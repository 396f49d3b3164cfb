# SPDX-License-Identifier: Apache-2.0
"""Hooks as questions: a flow's state and a hook's name in, a verdict out.

What happens without an answer is decided here, per cause, and nowhere else.
"""

import asyncio

from . import events
from .client import Answered, Failure, Late

MAX_LARGE = 64          # observers that fetch a large body, at once


class Verdict:
    """What a decide hook answered: `ops`, and whether scripts `finished` it."""

    __slots__ = ("ops", "finished", "errors")

    def __init__(self, result=None):
        result = {} if result is None else result
        if not isinstance(result, dict):
            raise Failure("protocol", f"a result that is no map: {result!r:.100}")
        self.ops = result.get("ops") or []
        self.finished = result.get("finished") is True
        self.errors = result.get("errors") or []
        for op in self.ops:
            if not isinstance(op, list) or not op or not isinstance(op[0], str):
                raise Failure("protocol", f"not an op: {op!r:.100}")


class Settings:
    """Policies and the deadline; the addon's options fill them in."""

    def __init__(self, timeout=5.0, on_unavailable="fail", on_timeout="fail"):
        self.timeout = timeout
        self.on_unavailable = on_unavailable
        self.on_timeout = on_timeout


class Asker:
    """Asks the broker through `client`, as the session `session`."""

    def __init__(self, client, settings, session, log):
        self.client = client
        self.settings = settings
        self.session = session
        self._log = log
        self._large = set()

    # --- decide hooks

    async def decide(self, state, hook, message=None):
        """The Verdict; None when the flow must not go on."""
        if not self.client.serves(hook):
            return Verdict()
        held = events.Held(self.client.lazy)
        try:
            event = self._event(state, hook, held)
            if message is not None:
                event["ws"] = events.ws_map(message, held)
            verdict = Verdict(await self.client.call(
                hook, event, held.bodies, self.settings.timeout))
        except Failure as failure:
            return self._without(state, hook, failure)
        except Exception as error:          # ours: closed rather than open
            self._log("error", f"{hook} {state.id}: {error!r}")
            return None
        for error in verdict.errors:
            self._log("warn", f"{hook} {state.id}: passed over {describe(error)}")
        return verdict

    def _without(self, state, hook, failure):
        if isinstance(failure, Late):
            policy = self.settings.on_timeout
        elif isinstance(failure, Answered) or failure.code == "protocol":
            policy = "fail"                 # the broker's own policy has spoken
        else:
            policy = self.settings.on_unavailable
        script = f" {failure.script}" if failure.script else ""
        self._log("warn", f"{hook}{script} {state.id}: {failure} ({policy})")
        return Verdict() if policy == "pass" else None

    # --- observe hooks

    def observe(self, state, hook, **more):
        """Tell it; holds nobody, fails nobody."""
        if not self.client.serves(hook):
            return
        held = events.Held(self.client.lazy)
        event = self._event(state, hook, held)
        event.update(more)
        if not held.bodies:
            self.client.notify(hook, event)
        elif len(self._large) < MAX_LARGE:
            # bodies can only be fetched for a request
            task = asyncio.ensure_future(self._observe_large(hook, event, held))
            self._large.add(task)
            task.add_done_callback(self._large.discard)
        else:
            self.client.dropped += 1

    async def _observe_large(self, hook, event, held):
        try:
            await self.client.call(hook, event, held.bodies, self.settings.timeout)
        except Failure as failure:
            self._log("info", f"{hook}: {failure}")

    async def flush(self, timeout):
        """What is on its way arrives, then the scripts' `flush` runs."""
        try:
            async with asyncio.timeout(timeout):
                if self._large:
                    await asyncio.wait(self._large)
                if self.client.connected and self.client.serves("flush"):
                    await self.client.call("flush", {
                        "session_id": self.session,
                        "opts": {"session": self.session}}, timeout=timeout)
        except TimeoutError:
            self._log("warn", f"flush: not within {timeout:g} s")
        except Failure as failure:
            self._log("warn", f"flush: {failure}")

    # --- events

    def wants_body(self):
        """Some script may read what a response carries."""
        return any(self.client.serves(hook) and self._reads(hook, "resp.body")
                   for hook in ("before_response", "after_response"))

    def _reads(self, hook, key):
        reads = self.client.reads(hook)
        return reads is None or key in reads

    def _event(self, state, hook, held):
        """What scripts of that hook may read of the flow."""
        flow = state.flow
        event = {"id": state.id, "session_id": self.session,
                 "is_finished": state.finished}
        trace = flow.request.headers.get("traceparent")
        if trace:
            event["traceparent"] = trace
        if hook == "connect":
            return event
        if self._reads(hook, "req"):
            event["req"] = self._request(state, hook, held)
        if (flow.response is not None and not state.tunnel and state.ws is None
                and self._reads(hook, "resp")):
            event["resp"] = events.response_map(flow.response)
            if self._reads(hook, "resp.body"):
                events.add_body(event["resp"], "resp.body", flow.response, held)
        return event

    def _request(self, state, hook, held):
        if state.ws is not None:
            return state.ws                 # made once, sent with every message
        request = events.request_map(state.flow, state.by_header)
        if self._reads(hook, "req.body"):
            events.add_body(request, "req.body", state.flow.request, held)
        return request


def describe(error):
    if not isinstance(error, dict):
        return repr(error)[:200]
    where = "/".join(str(error.get(key)) for key in ("script", "hook"))
    return f"{where}: {error.get('code')}: {error.get('message')}"
