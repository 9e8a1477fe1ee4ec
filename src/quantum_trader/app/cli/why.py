"""``quantum-trader why | why-not``: why a signal was traded or not, and why nothing was traded at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from quantum_trader.app.cli.options import JsonOption, StateOption
from quantum_trader.domain.errors import InputError

if TYPE_CHECKING:
    from quantum_trader.app.runs.why import ForecastSaid, SignalExplained, WhyNot
    from quantum_trader.lab.explain import Explanation

_PATIENCE_S: Final = 2.0
_SHOWN: Final = 8  # changes of an approved signal; --json has all

why_app = typer.Typer(add_completion=False)
why_not_app = typer.Typer(add_completion=False)


@contextmanager
def _patience() -> Iterator[None]:
    """Say on standard error what takes so long, where it does."""
    timer = threading.Timer(_PATIENCE_S, typer.echo, (
        "reading the journal; the search for changes is compiled when it is first used, which takes up to a minute",
    ), {"err": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@why_app.command()
def why_command(
    signal_id: Annotated[
        str, typer.Argument(metavar="SIGNAL_ID", help="A signal, as s00000012; its trace, or its number alone.")
    ],
    state: StateOption,
    as_json: JsonOption = False,
) -> None:
    """Why a signal was traded or refused, and what would have to change, found by making the decision again."""
    from quantum_trader.app.runs.why import explain_signal

    with _patience():
        found = explain_signal(state, signal_id)
    typer.echo(msgspec.json.encode(found).decode() if as_json else "\n".join(_signal_lines(found)))


@why_not_app.command("why-not")
def why_not_command(
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="A symbol of the run, as BTCUSDT.")],
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="A UTC time, as 2018-05-14T08:00, or a day.")],
    state: StateOption,
    as_json: JsonOption = False,
) -> None:
    """Why nothing was traded in a symbol at a time: warm-up, score, position, refusal, halt or connection."""
    from quantum_trader.app.runs.why import why_nothing

    at_ns = _time_ns(at)
    with _patience():
        found = why_nothing(state, symbol, at_ns)
    typer.echo(msgspec.json.encode(found).decode() if as_json else "\n".join(_why_not_lines(found, state)))


def _time_ns(text: str) -> int:
    """The UTC time that *text* says; a day alone is its beginning."""
    from quantum_trader.app.settings import moment
    from quantum_trader.domain.clock import to_ns

    found = moment("--at", text.strip())
    if found is None:
        raise InputError("--at '': give a date or time like 2018-05-14 or 2018-05-14T08:00")
    return to_ns(found if isinstance(found, datetime) else datetime.combine(found, time(), tzinfo=UTC))


def _signal_lines(found: SignalExplained) -> Iterator[str]:
    told = found.explanation
    yield f"{found.signal_id}  {told.symbol} {told.side}  {found.time}  {told.decision} {told.reason}".rstrip()
    yield ""
    yield told.summary
    if told.margin is not None and told.observed is not None and told.limit is not None:
        yield f"margin: {told.margin:+.4g}{_unit(told.unit)} ({told.observed:.4g} against a limit of {told.limit:.4g})"
    if told.then:
        yield told.then
    if found.outside_scores:
        yield f"Made of the outside scores {', '.join(found.outside_scores)}: `quantum-trader trace show` follows them."
    yield from _outcome_lines(found)
    yield ""
    yield from _change_lines(told)
    yield from _gate_lines(told)
    if told.rules:
        yield ""
        yield "Rules of the policy that fired:"
        yield from (f"  {line}" for line in told.rules)
    yield from found.notes


def _unit(unit: str) -> str:
    return f" {unit}" if unit else ""


def _outcome_lines(found: SignalExplained) -> Iterator[str]:
    done = found.outcome
    if done is None:
        return
    if not done.trade_id:
        yield "Its order was sent; no trade that it opened is closed (an addition, or a position that is still open)."
    elif done.r is not None and done.pnl is not None:
        yield f"It became trade {done.trade_id}: {done.pnl:+,.2f} USDT, {done.r:+.2f} R, left by {done.exit_reason}."


def _change_lines(told: Explanation) -> Iterator[str]:
    """What would turn the decision, one line each."""
    if not told.changes:
        yield from told.what_to_change
        return
    if told.decision == "ALLOWED":
        yield "What would have refused it, each by itself, the smallest change first:"
        shown = [f"{one.sentence}: {one.reason}" for one in told.changes[:_SHOWN]]
    else:
        yield "What would have let it through, each by itself, the smallest change first (each was tried out):"
        shown = [one.sentence for one in told.changes]
    yield from (f"  {line}" for line in shown)
    if len(told.changes) > len(shown):
        yield f"  and {len(told.changes) - len(shown)} more: --json lists them"


def _gate_lines(told: Explanation) -> Iterator[str]:
    failed = [one for one in told.gates if not one.passed]
    if failed:
        yield ""
        yield "Gates that do not pass:"
        yield from (
            f"  {one.gate} ({'enforced' if one.enforced else 'observed only'}): {one.sentence}" for one in failed
        )


def _why_not_lines(found: WhyNot, state: Path) -> Iterator[str]:
    yield f"{found.symbol}  {found.at}  {found.state}"
    yield ""
    yield found.summary
    if found.forecast is not None:
        yield _forecast_line(found.forecast)
    if found.halts:
        yield f"In force then: {'; '.join(found.halts)}"
    if found.what_to_change:
        yield ""
        yield f"What would have changed it at {found.as_of}:" if found.as_of else "What would change it:"
        yield from (f"  {line}" for line in found.what_to_change)
    if found.signal is not None:
        yield ""
        yield f"The whole of it: quantum-trader why {found.signal.signal_id} --state {state}"


def _forecast_line(told: ForecastSaid) -> str:
    parts = [f"The models ({told.model}) at {told.decided}:"]
    if told.score is None and told.confidence is None:
        return f"{parts[0]} no view."
    if told.score is not None:
        parts.append(f"score {told.score:+.2f},")
    if told.expected_bps is not None and told.error_bps is not None and told.cost_bps is not None:
        parts.append(
            f"expected {told.expected_bps:+.1f} ± {told.error_bps:.1f} bps a day, cost {told.cost_bps:.1f} bps a day,"
        )
    parts.append(f"confidence {told.confidence:.3f}." if told.confidence is not None else "no confidence.")
    if told.outside_scores:
        parts.append(f"Made of the outside score {told.outside_scores}.")
    return " ".join(parts)
