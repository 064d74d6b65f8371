"""An API server that answers with half of each list: stands before the real one, on its machine.

python -m tests.support.half_api PORT UPSTREAM CERTIFICATE KEY

Whoever asks is who they are: their token goes through. Watches and all else are passed on as they come.
"""

from __future__ import annotations

import http.client
import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HALVED = ("/api/v1/nodes", "/api/v1/pods")
KEPT_HEADERS = ("Authorization", "Accept", "Content-Type")
PIECE = 16_384
UPSTREAM_SECONDS = 700.0


class Half(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    upstream = ""

    def pass_on(self) -> None:
        """The request to the real one, the answer back."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        context = ssl._create_unverified_context()
        server = http.client.HTTPSConnection(
            self.upstream, context=context, timeout=UPSTREAM_SECONDS
        )
        kept = {name: self.headers[name] for name in KEPT_HEADERS if name in self.headers}
        server.request(self.command, self.path, body or None, kept)
        answer = server.getresponse()
        path, _, query = self.path.partition("?")
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
        if self.command == "GET" and path in HALVED and "watch" not in query:
            self._whole(halved(answer.read()))
        else:
            self._pieces(answer)
        server.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Not wanted."""

    def _whole(self, content: bytes) -> None:
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _pieces(self, answer: http.client.HTTPResponse) -> None:
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while piece := answer.read1(PIECE):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")


def halved(raw: bytes) -> bytes:
    """A list without every second of its items."""
    document: dict[str, Any] = json.loads(raw)
    document["items"] = (document.get("items") or [])[::2]
    return json.dumps(document).encode()


def main(port: str, upstream: str, certificate: str, key: str) -> None:
    """Serve until killed."""
    Half.upstream = upstream
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("", int(port)), Half)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
