"""A real HTTP server on the loopback address that keeps what it is sent, as a target of notifications."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class HttpTarget:
    """Keeps posted JSON and asked paths; answers *status*, and redirects the path ``/away`` to *away*."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.status, self.away = 200, ""
        target = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if target.status == 200:
                    target.posted.append(body)
                self._answer()

            def do_GET(self) -> None:
                target.asked.append(self.path)
                self._answer()

            def _answer(self) -> None:
                if self.path.startswith("/away"):
                    self.send_response(307)
                    self.send_header("Location", target.away)
                else:
                    self.send_response(target.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                """Print nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]

    @property
    def place(self) -> str:
        """Its address and port."""
        return f"127.0.0.1:{self.port}"


@contextmanager
def http_target() -> Iterator[HttpTarget]:
    """A target that listens until the block ends."""
    target = HttpTarget()
    thread = threading.Thread(target=target.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield target
    finally:
        target.server.shutdown()
        target.server.server_close()
        thread.join()
