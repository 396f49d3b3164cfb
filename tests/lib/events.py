# SPDX-License-Identifier: Apache-2.0
"""Events as a proxy would send them, with everything in them."""

import copy

REQUEST = {
    "proto": "HTTP/1.1", "scheme": "http", "method": "POST",
    "host": "example.test:8080", "path": "/a b",
    "url": "http://example.test:8080/a%20b?q=1&q=2",
    "remote_addr": "192.0.2.1:4711",
    "headers": [["Host", "example.test:8080"], ["User-Agent", "test/1"],
                ["Cookie", 'session=abc; theme="light mode"'],
                ["X-Many", "one"], ["X-Many", "two"]],
    "body": b"hello", "content_length": 5,
}
RESPONSE = {
    "status": "200 OK", "status_code": 200, "proto": "HTTP/1.1",
    "headers": [["Content-Type", "text/plain"], ["Server", "test"],
                ["Set-Cookie", "id=7; Path=/; Max-Age=60; Secure; HttpOnly"]],
    "body": b"fine\n", "content_length": 5,
}
MESSAGE = {"direction": "client_to_server", "opcode": 1, "data": b"a secret",
           "timestamp": 1700000000123}

WITH_RESPONSE = {"before_response", "after_response", "close"}
WITHOUT_REQUEST = {"connect", "flush"}


def full_event(hook, event_id="1"):
    """An event for that hook with every field it may have."""
    event = {"id": event_id, "session_id": "s-1", "is_finished": False}
    if hook not in WITHOUT_REQUEST:
        event["req"] = copy.deepcopy(REQUEST)
    if hook in WITH_RESPONSE:
        event["resp"] = copy.deepcopy(RESPONSE)
    if hook == "ws_msg":
        event["ws"] = dict(MESSAGE)
    if hook == "error":
        event["err"] = {"msg": "connection refused"}
    if hook == "flush":
        event = {"opts": {"session": "s-1"}}
    return event
