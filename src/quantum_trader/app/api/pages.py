"""The dashboard: one page, one script and one style sheet, which a browser gets from the server of the API.

They are built from `web/` by `make web` and read once, at the start. Each has a road of its own, so that no path is
ever made from what a browser asks for. The page may load nothing from elsewhere and holds nothing of a run: it asks the
API.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from fastapi import Request, Response
from starlette.routing import Route

from quantum_trader.domain.errors import StateError

STATIC: Final = Path(__file__).resolve().parents[1] / "web" / "static"
FILES: Final = {  # road -> file, type
    "/": ("index.html", "text/html; charset=utf-8"),
    "/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/app.css": ("app.css", "text/css; charset=utf-8"),
}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": POLICY, "Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-cache",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def page_routes(folder: Path = STATIC) -> list[Route]:
    """The roads of the dashboard whose files are in *folder*. Raises StateError where one is missing."""
    return [_route(road, folder / name, media) for road, (name, media) in FILES.items()]


def _route(road: str, file: Path, media: str) -> Route:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise StateError(
            f"{file}: cannot be read ({error.strerror}); install Quantum Trader anew, or run `make web` in its sources"
        ) from None
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**_HEADERS, "ETag": tag}

    async def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media, headers=headers)

    return Route(road, answer, methods=["GET"])
