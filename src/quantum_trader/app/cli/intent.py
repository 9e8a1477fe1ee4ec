"""``quantum-trader intent``: hand a trade intent to a running live or replay process."""

from __future__ import annotations

import getpass
import math
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from quantum_trader.app.cli.options import JsonOption
from quantum_trader.domain.enums import Side
from quantum_trader.domain.errors import ConfigError, StateError

app = typer.Typer()


@app.command("intent")
def intent_command(
    state: Annotated[Path, typer.Option("--state", metavar="DIR", help="The state folder of the running process.")],
    symbol: Annotated[str, typer.Option("--symbol", help="Symbol, such as BTCUSDT.")],
    side: Annotated[str, typer.Option("--side", metavar="LONG|SHORT", help="Side of the position.")] = "LONG",
    qty: Annotated[float, typer.Option("--qty", help="Quantity in base units; the risk limits may reduce it.")] = 0.0,
    stop: Annotated[
        float, typer.Option("--stop", metavar="PRICE", help="Stop price; else the stop of the symbol's regime.")
    ] = 0.0,
    leverage: Annotated[float, typer.Option("--leverage", help="Leverage.")] = 5.0,
    confidence: Annotated[
        float, typer.Option("--confidence", help="Confidence, 0 to 1, held against the policy's threshold.")
    ] = 1.0,
    source: Annotated[
        str, typer.Option("--source", metavar="NAME", help="Name under which its results are counted.")
    ] = "PERSON",
    ttl: Annotated[float, typer.Option("--ttl", metavar="SECONDS", help="How long it may be acted on.")] = 30.0,
    close: Annotated[bool, typer.Option("--close", help="Close the symbol's position; no quantity needed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask a running process to open a position, or to close one.

    An opening intent passes the same gates, limits and halts as a signal; it ends as a trade or as `trade.failed`.
    """
    from quantum_trader.app.runs.outside_intents import IntentRequest, request_intent
    from quantum_trader.app.runs.status import is_alive

    wanted = side.strip().upper()
    if wanted not in [one.value for one in Side]:
        raise ConfigError(f"--side {side!r}: must be LONG or SHORT")
    for flag, value, low, high in (
        ("--qty", qty, 0.0, math.inf), ("--stop", stop, 0.0, math.inf), ("--leverage", leverage, 1.0, math.inf),
        ("--confidence", confidence, 0.0, 1.0), ("--ttl", ttl, 1.0, 86_400.0),
    ):
        if not (math.isfinite(value) and low <= value <= high):
            most = f" and at most {high:g}" if high < math.inf else ""
            raise ConfigError(f"{flag} {value:g}: must be at least {low:g}{most}")
    if not close and qty == 0.0:
        raise ConfigError("--qty: is needed to open a position; --close closes one")
    if not is_alive(state):
        raise StateError(f"--state {state}: no process runs on it, and an intent is for a running one; start it first")
    now_ns = time.time_ns()
    request = IntentRequest(
        intent_id=f"{source}-{now_ns}", symbol=symbol.strip().upper(), side=Side(wanted), qty=qty, stop_price=stop,
        leverage=leverage, closes=close, source=source, confidence=confidence, ttl_s=ttl, actor=getpass.getuser(),
        ts_ns=now_ns,
    )
    request_intent(state, request)
    if as_json:
        typer.echo(msgspec.json.encode(request).decode())
    else:
        typer.echo(
            f"intent handed over; follow it with `quantum-trader trace show {request.intent_id} --state {state}`"
        )
