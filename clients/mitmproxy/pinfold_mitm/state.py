# SPDX-License-Identifier: Apache-2.0
"""What the addon keeps of a flow from its first hook to its `close`."""


class State:
    """One flow, or one CONNECT.

            requestheaders
        new ---------------> asked --(response | error)--> answered --> ended
                               |                              |
                               +-- failed: a 500 goes out ----+

    `asked` lasts while decide hooks may still change something. From `answered`
    to `ended` the answer is written; a WebSocket stays there until it closes.
    """

    __slots__ = ("flow", "own", "by_header", "tunnel", "finished", "failed",
                 "requested", "responded", "upstream", "arriving", "answered",
                 "ws", "ended")

    def __init__(self, flow, own, by_header=False, tunnel=False):
        self.flow = flow
        self.own = own              # has connect and close of its own
        self.by_header = by_header  # the Host header says where it goes
        self.tunnel = tunnel        # is a CONNECT
        self.finished = False       # answered here, not by the upstream
        self.failed = False         # a 500 of ours goes out
        self.requested = False      # before_request is done
        self.responded = False      # before_response is done
        self.upstream = False       # the response came from there
        self.arriving = False       # its body is still to come
        self.answered = False       # there is an after_response to send
        self.ws = None              # `req` of an open WebSocket
        self.ended = False

    @property
    def id(self):
        return self.flow.id
