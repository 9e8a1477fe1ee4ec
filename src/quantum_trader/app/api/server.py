"""The API of one state folder, and the process that serves it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import uvicorn
from fastapi import FastAPI
from starlette.routing import WebSocketRoute

from quantum_trader import __version__
from quantum_trader.app.api.access import Access, AccessSettings, check_exposure
from quantum_trader.app.api.candle_endpoints import candle_endpoints
from quantum_trader.app.api.connections import DeadlineProtocol, end_before_others, run_after_others
from quantum_trader.app.api.control_endpoints import Control
from quantum_trader.app.api.endpoints import Endpoint, create_app
from quantum_trader.app.api.freqtrade.roads import Freqtrade
from quantum_trader.app.api.freqtrade.socket import SOCKET, MessageSocket
from quantum_trader.app.api.lab_endpoints import lab_endpoints
from quantum_trader.app.api.pages import page_routes
from quantum_trader.app.api.past_endpoints import past_endpoints
from quantum_trader.app.api.probes import probe_endpoints
from quantum_trader.app.api.prometheus import metrics_endpoints
from quantum_trader.app.api.read_endpoints import read_endpoints
from quantum_trader.app.api.reader import RunReader
from quantum_trader.app.api.signal_endpoints import signal_endpoints
from quantum_trader.app.api.stopping import Stopper
from quantum_trader.app.api.stream import PATH, Stream
from quantum_trader.app.api.tokens import TokenStore
from quantum_trader.app.ports import listening_socket
from quantum_trader.app.runs.status import is_alive
from quantum_trader.journal.follower import journal_stamp
from quantum_trader.journal.lake import JOURNAL

TITLE: Final = "Quantum Trader"
_ABOUT: Final = (
    "Reads the state folder of one run and hands it requests; it never holds the run up. On a loopback address reading "
    "needs no token; everything else does, as `Authorization: Bearer TOKEN`. Times are nanoseconds since 1970 (UTC) or "
    "ISO 8601, money is USDT, prices are quote units. Lists are newest first: `next` of a page is `before` of the "
    "page after. Every refusal is `{\"error\": {\"code\": ..., \"message\": ...}}`. `WS /api/v1/stream` sends the "
    "status as it changes, and events as they come."
)
_KEEP_ALIVE_S: Final = 15
_ENDS_S: Final = 3  # open requests get so long when the server ends


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how a folder is served."""

    access: AccessSettings = AccessSettings()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    without_tls: bool = False


def endpoints_of(
    reader: RunReader, stopper: Stopper, access: Access | None = None, now_ns: Callable[[], int] = time.time_ns
) -> list[Endpoint]:
    """Every road of the API of one folder. *access* counts wrong secrets; None: on its own, to describe the roads."""
    access = access or Access(AccessSettings(), TokenStore(reader.folder), now_ns)
    return [  # the signals from outside first: /signals/sources is no id of a signal
        *signal_endpoints(reader, access, now_ns), *read_endpoints(reader), *lab_endpoints(reader),
        *candle_endpoints(reader), *past_endpoints(reader, access),
        *Control(reader, stopper).endpoints(),
        *metrics_endpoints(reader), *probe_endpoints(reader),
    ]


def app_of(folder: Path, access: AccessSettings, now_ns: Callable[[], int] = time.time_ns) -> FastAPI:
    """The ASGI application of the state *folder*. Raises StateError where it is no run's."""
    is_alive(folder)
    allowed = Access(access, TokenStore(folder), now_ns)
    reader = RunReader(folder, now_ns)
    freqtrade = Freqtrade(reader, allowed, now_ns)
    endpoints = [*endpoints_of(reader, Stopper(folder, now_ns), allowed, now_ns), *freqtrade.endpoints()]
    app = create_app(
        TITLE, _ABOUT, endpoints, allowed, __version__, stamp=lambda: journal_stamp(folder / JOURNAL)
    )
    app.router.routes.append(WebSocketRoute(PATH, Stream(reader, allowed).serve))
    app.router.routes.append(WebSocketRoute(SOCKET, MessageSocket(freqtrade, allowed).serve))
    app.router.routes.extend(page_routes())
    return app


def serve(folder: Path, settings: ServeSettings, ready: Callable[[str], None]) -> None:
    """Serve *folder* until SIGINT or SIGTERM; *ready* is told the address once it answers.

    Raises ConfigError for an address that is taken, or that would be open to others without TLS and tokens.
    """
    check_exposure(settings.access, TokenStore(folder), without_tls=settings.without_tls)
    config = uvicorn.Config(
        app_of(folder.absolute(), settings.access), host=settings.access.host, port=settings.access.port,
        log_level="warning", access_log=False, server_header=False, date_header=False, timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_ENDS_S, proxy_headers=False, http=DeadlineProtocol, ws="websockets-sansio",
        ws_max_size=1 << 16, ws_per_message_deflate=False,  # a message would be compressed for each listener anew
        ssl_certfile=settings.tls_cert, ssl_keyfile=settings.tls_key, lifespan="off",
    )
    end_before_others()
    run_after_others()
    with listening_socket(settings.access.host, settings.access.port, "--port") as socket:
        _Server(config, ready).run(sockets=[socket])


class _Server(uvicorn.Server):
    """Tells its address once it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[str], None]) -> None:
        super().__init__(config)
        self._ready = ready
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Listen, and tell where."""
        await super().startup(sockets=sockets)  # type: ignore[arg-type]
        if self.started:
            bound = self.servers[0].sockets[0].getsockname()
            host = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
            self._ready(f"{'https' if self.config.is_ssl else 'http'}://{host}:{bound[1]}")
