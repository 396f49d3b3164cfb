# SPDX-License-Identifier: Apache-2.0
"""The answers that mitmproxy makes up itself when an upstream fails.

mitmproxy 8.1 writes them behind its hooks: `error` can look, but not change the
502 page, which also tells the client addresses and TLS details. The one way to
the words that a hook-file script's author expects is to replace the two
functions that make these pages. Where another release has no such functions,
its own pages stay, and the log says so.
"""

from mitmproxy import http

UNREACHABLE = b"upstream unreachable\n"
FAILED = b"upstream failed\n"
INTERNAL = b"proxy internal error\n"

# How messages begin that do not mean "we could not reach it".
_REACHED = ("server closed connection", "unexpected server response",
            "Cannot parse HTTP response", "HTTP/1 protocol error", "HTTP/2",
            "stream reset", "Response body exceeds")

_originals = {}


def text_response(status, content):
    return http.Response.make(status, content, {
        "Content-Type": "text/plain; charset=utf-8"})


def page(message):
    return FAILED if message.startswith(_REACHED) else UNREACHABLE


def install(log):
    """Replace them; `log` is called with a level and a line if that fails."""
    if _originals:
        return
    try:
        from mitmproxy.net.http import http1
        from mitmproxy.proxy.layers.http import _http1, _http2
        make, form = _http1.make_error_response, _http2.format_error
    except (ImportError, AttributeError) as error:
        log("warn", f"mitmproxy's own error pages stay: {error}")
        return
    _originals.update({(_http1, "make_error_response"): make,
                       (_http2, "format_error"): form})

    def make_error_response(status_code, message=""):
        if status_code != 502:
            return make(status_code, message)
        response = text_response(502, page(message))
        response.headers["Connection"] = "close"    # as mitmproxy then does
        return http1.assemble_response(response)

    def format_error(status_code, message):
        return page(message) if status_code == 502 else form(status_code, message)

    _http1.make_error_response = make_error_response
    _http2.format_error = format_error


def remove():
    for (module, name), original in _originals.items():
        setattr(module, name, original)
    _originals.clear()
