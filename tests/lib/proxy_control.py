# SPDX-License-Identifier: Apache-2.0
"""A mitmproxy addon for tests: sets options of a running proxy on request.

A proxy takes seconds to start and a broker milliseconds, so tests share one
proxy and point it at brokers of their own. One line of JSON in, one out, on a
Unix socket: {"set": {option: value}} -> {"connected", "hooks", "open", ...}.
"""

import asyncio
import json

from mitmproxy import ctx


class Control:
    def __init__(self):
        self.server = None

    def load(self, loader):
        loader.add_option("control_socket", str, "", "Where tests give orders.")

    def running(self):
        if self.server is None and ctx.options.control_socket:
            self.server = asyncio.ensure_future(asyncio.start_unix_server(
                self.serve, ctx.options.control_socket))

    async def serve(self, reader, writer):
        while line := await reader.readline():
            try:
                ctx.options.update(**json.loads(line).get("set", {}))
                answer = self.state()
            except Exception as error:
                answer = {"error": repr(error)}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    @staticmethod
    def state():
        pinfold = ctx.master.addons.get("pinfold")
        client = pinfold.client
        hooks = client.hooks
        return {"connected": client.connected, "path": client.path,
                "hooks": None if hooks is None else sorted(hooks),
                "open": len(pinfold.flows) + len(pinfold.tunnels),
                "kept": sum(map(len, pinfold.of_client.values()))}


addons = [Control()]
