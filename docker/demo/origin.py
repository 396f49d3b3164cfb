# SPDX-License-Identifier: Apache-2.0
"""A web server that answers with the request as it got here.

With `--check PORT` it is a health check: is there somebody on that port?
"""

import http.server
import socket
import sys

PORT = 8000


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"{self.requestline}\n{self.headers}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    if sys.argv[1:2] == ["--check"]:
        socket.create_connection(("127.0.0.1", int(sys.argv[2])), 1).close()
    else:
        http.server.ThreadingHTTPServer(("", PORT), Origin).serve_forever()


if __name__ == "__main__":
    main()
