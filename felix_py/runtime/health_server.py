"""Liveness and readiness by HTTP, as a kubelet asks: GET /liveness, GET /readiness.

200 with `live` or `ready`, or 503 with one line that names everything that is wrong. It starts before
anything else of a daemon does and knows only Health, so it answers whatever the daemon waits for.
"""

from __future__ import annotations

import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from felix_py.runtime.health import Health, HealthReport
from felix_py.runtime.settings import BadSettings

LIVENESS, READINESS = "/liveness", "/readiness"
REQUEST_SECONDS = 5.0
"""A client that has not sent its request by then is dropped."""
MAX_SENTENCE = 2_000
"""Characters of an answer; a kubelet keeps the first 10 KB of it in an event."""


def serve(health: Health, address: str, port: int, field: str) -> int:
    """Answer from a thread of its own until the process ends; port 0: do not. The port in use.

    `field` names the setting of the port. Raises BadSettings when it cannot be listened on.
    """
    if not port:
        return 0
    return start(health, address, port, field).server_address[1]


def start(health: Health, address: str, port: int, field: str) -> ThreadingHTTPServer:
    """The running server; port 0 takes any that is free."""
    try:
        server = ThreadingHTTPServer((address, port), _handler(health))
    except OSError as error:
        problem = f"{address}:{port} cannot be listened on: {error.strerror}"
        raise BadSettings(f"{field}: {problem}; choose another or end who holds it") from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


def answer(path: str, report: HealthReport) -> tuple[HTTPStatus, str]:
    """Status and line for a path."""
    if path == LIVENESS:
        good, word, why = report.live, "live", report.late
    elif path == READINESS:
        good, word, why = report.ready, "ready", report.why
    else:
        return HTTPStatus.NOT_FOUND, f"ask for {LIVENESS} or {READINESS}"
    if good:
        return HTTPStatus.OK, word
    sentence = "; ".join(f"{concern}: {reason}" for concern, reason in sorted(why.items()))
    return HTTPStatus.SERVICE_UNAVAILABLE, f"not {word}: {sentence}"[:MAX_SENTENCE]


def _handler(health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One request."""

        timeout = REQUEST_SECONDS
        server_version, sys_version = "felix-py", ""

        def do_GET(self) -> None:
            """Answer a probe."""
            status, line = answer(self.path.partition("?")[0], health.report())
            body = (line + "\n").encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name there
            """A probe every few seconds is no event."""

    return Handler
