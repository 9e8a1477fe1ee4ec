"""The guard of other bots over HTTP: ``POST /v1/decide``, ``POST /v1/fills``, ``GET /v1/status``, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI

from quantum_trader import __version__
from quantum_trader.app.api.access import Access, AccessSettings
from quantum_trader.app.api.connections import DeadlineProtocol
from quantum_trader.app.api.endpoints import Call, Endpoint, create_app
from quantum_trader.app.api.tokens import Role, TokenStore
from quantum_trader.app.guard.questions import DecideQuestion, FillAnswer, FillReport, GuardAnswer
from quantum_trader.app.guard.service import BEAT_S, GuardService, ServiceState
from quantum_trader.app.ports import listening_socket
from quantum_trader.domain.errors import ConfigError
from quantum_trader.policy.storage import write_atomically

PORT: Final = 8377
TOKEN_FILE: Final = "token"
_TITLE: Final = "Quantum Trader's guard"
_DESCRIPTION: Final = (
    "Ask before an entry whether it may be made, and report what was traded. Once a bot's mode is ENFORCED, anything "
    "but an answer with allow = true means: no entry."
)
_QUESTION: Final = {
    "bot": "mine", "id": "2026-12-01T09:30Z-BTCUSDT", "symbol": "BTCUSDT", "side": "LONG", "stop": 3.0, "stake": 200.0,
    "equity": 10_000.0, "positions": [{"symbol": "ETHUSDT", "stake": 150.0}], "confidence": 0.62,
}
_ANSWER: Final = {
    "bot": "mine", "id": "2026-12-01T09:30Z-BTCUSDT", "allow": True, "max_stake": 200.0, "max_risk_pct": 0.8,
    "min_confidence": 0.55, "rules": [], "refusals": [], "reason": "", "valid_until": "2026-12-01T09:31:00Z",
    "mode": "ENFORCED", "would_allow": True, "would_max_stake": 200.0,
}
_REPORT: Final = {
    "bot": "mine", "id": "trade-17-exit", "fill": "EXIT", "symbol": "BTCUSDT", "side": "LONG", "profit": -4.2,
    "equity": 9_995.8, "positions": [],
}
_COUNTED: Final = {"bot": "mine", "id": "trade-17-exit", "is_counted": True, "losing_streak": 1}


def guard_endpoints(service: GuardService) -> tuple[Endpoint, ...]:
    """The roads to *service*."""
    def decide(call: Call) -> GuardAnswer:
        return service.decide(call.body)

    def fill(call: Call) -> FillAnswer:
        return service.fill(call.body)

    def state(call: Call) -> ServiceState:
        return service.state()

    return (
        Endpoint(
            path="/v1/decide", method="POST", role=Role.TRADER, tag="guard",
            summary="Whether an entry may be made, and with how much.", body=DecideQuestion, body_example=_QUESTION,
            answers=GuardAnswer, example=_ANSWER, run=decide,
        ),
        Endpoint(
            path="/v1/fills", method="POST", role=Role.TRADER, summary="Report an entry or an exit that was made.",
            body=FillReport, body_example=_REPORT, answers=FillAnswer, example=_COUNTED, run=fill, tag="guard",
        ),
        Endpoint(
            path="/v1/status", summary="Every bot and market as the guard has them.", answers=ServiceState, run=state,
            example={"time": "2026-12-01T09:30:00Z", "profile": "SAFE", "bots": [], "markets": []}, tag="guard",
        ),
    )


def guard_app(service: GuardService, access: Access) -> FastAPI:
    """The ASGI application of *service*."""
    return create_app(_TITLE, _DESCRIPTION, guard_endpoints(service), access, __version__)


def first_token(folder: Path, now_ns: int) -> Path | None:
    """The file that has the bots' token, made where the folder has no valid token yet; None where it has others."""
    store, path = TokenStore(folder), folder / TOKEN_FILE
    if any(one.is_valid for one in store.all()):
        return path if path.exists() else None
    _, text = store.new("bots", Role.TRADER, now_ns)
    write_atomically(path, text.encode() + b"\n")
    return path


def check_loopback(settings: AccessSettings) -> None:
    """Raise ConfigError unless *settings* listen to this machine alone."""
    if not settings.is_loopback:
        raise ConfigError(
            f"--host {settings.host}: others reach it; the guard listens on a loopback address, such as 127.0.0.1. A "
            "bot on another machine reaches it through an SSH tunnel"
        )


def serve_guard(
    service: GuardService, settings: AccessSettings, folder: Path, now_ns: Callable[[], int],
    ready: Callable[[int], None],
) -> None:
    """Serve until interrupted; *ready* is called with the port once it listens. ConfigError for a taken address."""
    app = guard_app(service, Access(settings, TokenStore(folder), now_ns))
    config = uvicorn.Config(
        app, host=settings.host, port=settings.port, log_level="warning", access_log=False, proxy_headers=False,
        http=DeadlineProtocol, ws="none", lifespan="off",
    )
    asyncio.run(_serve(uvicorn.Server(config), service, settings, ready))


async def _serve(
    server: uvicorn.Server, service: GuardService, settings: AccessSettings, ready: Callable[[int], None]
) -> None:
    socket = listening_socket(settings.host, settings.port, "--port")  # from here on a connection waits for the server
    ready(socket.getsockname()[1])
    beat = asyncio.create_task(_beat(service))
    try:
        await server.serve(sockets=[socket])
    finally:
        beat.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beat


async def _beat(service: GuardService) -> None:
    while True:
        await asyncio.to_thread(service.beat)
        await asyncio.sleep(BEAT_S)
