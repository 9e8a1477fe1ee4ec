"""``quantum-trader shadows``: whether the signals that were refused were rightly refused."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from quantum_trader.app.cli.options import JsonOption, StateOption
from quantum_trader.domain.errors import InputError

if TYPE_CHECKING:
    from quantum_trader.lab.shadows.analysis import GateScore, ShadowAnalysis
    from quantum_trader.lab.shadows.blocks import BlockScore

_PIPE_WIDTH: Final = 140
_DIMENSIONS: Final = ("gate", "reason", "regime", "symbol")
_NONE: Final = "-"
_MANY_BPS: Final = 100.0  # from here on without a decimal

app = typer.Typer(add_completion=False, help="What refusing signals was worth, by their shadow trades.")


@app.command()
def shadows(
    state: StateOption,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="gate|reason|regime|symbol", help="Only this table; all when left out."),
    ] = None,
    good_below_bps: Annotated[
        float, typer.Option("--good-below-bps", help="A refused signal that would have made less was rightly refused.")
    ] = 0.0,
    bad_above_bps: Annotated[
        float, typer.Option("--bad-above-bps", help="One that would have made more was wrongly refused.")
    ] = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Judge every refused signal by its shadow trade, which followed it to its end with costs and funding.

    For each gate, also an observed one, the signals that it does not let pass; for each reason of a refusal, market
    regime and symbol, those that were refused.
    """
    from quantum_trader.lab.shadows.analysis import analyse
    from quantum_trader.lab.shadows.blocks import BlockLimits
    from quantum_trader.lab.shadows.judged_signals import read_judged_signals

    if by is not None and by not in _DIMENSIONS:
        raise InputError(f"--by {by!r}: choose from {', '.join(_DIMENSIONS)}")
    limits = BlockLimits(good_below_bps=good_below_bps, bad_above_bps=bad_above_bps)
    wanted = (by,) if by is not None else _DIMENSIONS
    found = analyse(read_judged_signals(state), limits, wanted)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(shadows_document(found))).decode())
    else:
        _show(found, wanted, state)
    for damage in found.damage:
        typer.echo(f"warning: the journal is damaged, and what is lost is left out: {damage}", err=True)


def shadows_document(found: ShadowAnalysis) -> dict[str, Any]:
    """The content of ``shadows --json``."""
    plain: dict[str, Any] = msgspec.to_builtins(found)
    scores = [(plain["all_refused"], found.all_refused), (plain["all_traded"], found.all_traded)]
    scores += [(row["score"], one.score) for row, one in zip(plain["by_gate"], found.by_gate, strict=True)]
    for key in ("by_reason", "by_regime", "by_symbol"):
        scores += list(zip(plain[key], getattr(found, key), strict=True))
    for row, one in scores:
        row["verdict"] = one.verdict
        for unit in ("bps", "r", "usdt"):
            row[unit]["net"] = getattr(one, unit).net
    return plain


def _show(found: ShadowAnalysis, wanted: tuple[str, ...], state: Path) -> None:
    """Print the analysis for a person."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, markup=False, highlight=False)
    console.print(
        f"{found.signals:,} signals of {', '.join(found.models)}, {found.first} to {found.last}: {found.traded:,} "
        f"traded, {found.refused:,} refused.", soft_wrap=True,
    )
    limits = found.limits
    console.print(
        f"A refusal was right (good block) where the shadow trade made less than {limits.good_below_bps:g} bps after "
        f"costs and funding, wrong (bad block) where it made more than {limits.bad_above_bps:g}, else neutral.",
        soft_wrap=True,
    )
    if "gate" in wanted:
        _gates(found.by_gate, console)
    for name, rows in (("reason", found.by_reason), ("regime", found.by_regime), ("symbol", found.by_symbol)):
        if name in wanted:
            _table(f"Refused signals by {name}", name, [*rows, found.all_refused], console)
    console.print(
        f"Traded, to compare: {found.all_traded.settled:,} shadow trades, mean {_bps(found.all_traded)}.",
        soft_wrap=True,
    )
    console.print(
        "right: share of good blocks among good and bad ones. mean: of what was refused; below 0 refusing helped. "
        "[]: 95 % interval, valid however often it is read. saved, missed: losses and wins that were not taken, bps; "
        "net R and USDT: saved less missed, at the risk that the trade would have had. Results count up to the first "
        "signal whose shadow trade is open; none: signals without a shadow trade (additions to a position, before a "
        "symbol is warm), or whose result never came.",
        soft_wrap=True,
    )
    console.print(f"Other thresholds: quantum-trader gates advice --state {state}", soft_wrap=True)


def _gates(rows: tuple[GateScore, ...], console: Any) -> None:
    """The table of gates, and what of them was not measured."""
    _table("Signals that a gate does not let pass, enforced or observed", "gate", [one.score for one in rows], console)
    for one in rows:
        word = "enforced" if one.enforced else "observed"
        if not one.measured:
            console.print(f"{one.gate}: {word}, unmeasured in all {one.unmeasured:,} signals.")
            continue
        unmeasured = f", unmeasured in {one.unmeasured:,}" if one.unmeasured else ""
        console.print(
            f"{one.gate}: {word}; {one.pass_rate or 0.0:.0%} of {one.measured:,} signals pass{unmeasured}; "
            f"{one.traded:,} of the others were traded.", soft_wrap=True,
        )


def _table(title: str, name: str, rows: list[BlockScore], console: Any) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    console.print(f"\n{title}")
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(name, no_wrap=True)
    for heading in ("signals", "good/neutral/bad", "right", "mean bps", "saved", "missed", "net R", "net USDT", "open",
                    "none"):
        table.add_column(heading, justify="right", overflow="fold")
    for one in rows:
        table.add_row(
            one.name, f"{one.signals:,}", f"{one.good:,}/{one.neutral:,}/{one.bad:,}", _accuracy(one), _bps(one),
            f"{one.bps.saved:,.0f}", f"{one.bps.missed:,.0f}", f"{one.r.net:+,.1f}" if one.r.known else _NONE,
            f"{one.usdt.net:+,.0f}" if one.usdt.known else _NONE, f"{one.open + one.waiting:,}", f"{one.without:,}",
        )
    console.print(table)


def _accuracy(one: BlockScore) -> str:
    if one.accuracy is None:
        return _NONE
    if one.accuracy_low is None or one.accuracy_high is None:
        return f"{one.accuracy:.0%}"
    return f"{one.accuracy:.0%} [{one.accuracy_low:.0%}, {one.accuracy_high:.0%}]"


def _bps(one: BlockScore) -> str:
    if one.mean_bps is None or math.isnan(one.mean_bps):
        return _NONE
    if one.low_bps is None or one.high_bps is None:
        return f"{one.mean_bps:+.1f}"
    digits = 1 if max(abs(one.low_bps), abs(one.high_bps)) < _MANY_BPS else 0
    return f"{one.mean_bps:+.{digits}f} [{one.low_bps:+.{digits}f}, {one.high_bps:+.{digits}f}]"
