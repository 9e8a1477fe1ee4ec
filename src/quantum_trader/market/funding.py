"""Funding of a recording: the venue's history where it exists, else an assumed rate, and a statement of both."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, iso
from quantum_trader.domain.errors import DataError
from quantum_trader.market.store import Times, Values

ASSUMED_FUNDING_HOURS = 8
_PERIOD_NS = ASSUMED_FUNDING_HOURS * NS_PER_HOUR


class Funding(msgspec.Struct, frozen=True, kw_only=True):
    """Funding of a recording's symbols within its range."""

    history: dict[str, tuple[Times, Values]]  # only symbols with payments of the venue
    per_8h: dict[str, Values]  # of each payment in *history*, what its rate amounts to in 8 hours
    assumed_rate: float  # per 8 hours, a fraction; at 00, 08 and 16 UTC
    source: str  # "venue history" | "mixed" | "assumed"
    statement: str


def assumed_times(start_ns: int, end_ns: int) -> Times:
    """Return the moments in [start_ns, end_ns) at which assumed funding is due: 00, 08 and 16 UTC."""
    first = -(-start_ns // _PERIOD_NS) * _PERIOD_NS
    return np.arange(first, end_ns, _PERIOD_NS, dtype=np.int64)


def rates_per_8h(ts: Times, rate: Values) -> Values:
    """Return what each payment amounts to in 8 hours: its rate x 8 / the hours since the payment before it.

    More than 8 hours is a gap in the history and counts as 8. The first payment's interval is the longest of 1, 2, 4
    and 8 hours whose payments, aligned to UTC, fall on its hour: what comes later is not looked at.
    """
    first = math.gcd(int(ts[0]) // NS_PER_HOUR, ASSUMED_FUNDING_HOURS) * NS_PER_HOUR if len(ts) else _PERIOD_NS
    interval_ns = np.minimum(np.diff(ts, prepend=ts[:1] - first), _PERIOD_NS)
    return rate * (_PERIOD_NS / interval_ns)


def select_funding(
    known: Mapping[str, tuple[Times, Values]], spans: Mapping[str, tuple[int, int]], assumed_rate: float
) -> Funding:
    """Cut the venue's payments to each symbol's span [first open, last close] and state which rates are assumed.

    Times are floored to the minute (venues stamp them milliseconds late). More than a day without a payment in
    the middle of a history is filled at the assumed rate, and counted in the statement; also where the span begins or
    ends in it, so that a part of a longer span has the payments of the longer one. DataError when *known*
    is not in order or not finite.
    """
    history, per_8h, filled = {}, {}, 0
    for symbol, (start_ns, end_ns) in spans.items():
        if symbol not in known:
            continue
        ts = np.asarray(known[symbol][0], dtype=np.int64) // NS_PER_MINUTE * NS_PER_MINUTE
        rate = np.asarray(known[symbol][1], dtype=np.float64)
        _require_usable(symbol, ts, rate)
        ts, rate, rate_8h, made_up = _fill(ts, rate, rates_per_8h(ts, rate), assumed_rate)
        inside = (ts >= start_ns) & (ts <= end_ns)
        if not made_up[inside].all():
            filled += int(made_up[inside].sum())
            history[symbol], per_8h[symbol] = (ts[inside], rate[inside]), rate_8h[inside]
    source, statement = _statement(history, spans, assumed_rate, filled)
    return Funding(history=history, per_8h=per_8h, assumed_rate=assumed_rate, source=source, statement=statement)


def _require_usable(symbol: str, ts: Times, rate: Values) -> None:
    if ts.shape != rate.shape:
        raise DataError(f"funding of {symbol}: {len(ts)} times but {len(rate)} rates")
    if (bad := np.flatnonzero(~np.isfinite(rate))).size:
        raise DataError(f"funding of {symbol}: row {bad[0] + 1}: rate = {rate[bad[0]]!r}: must be a finite fraction")
    if (late := np.flatnonzero(np.diff(ts) <= 0)).size:
        raise DataError(f"funding of {symbol}: row {late[0] + 2} ({iso(int(ts[late[0] + 1]))}): time does not move on")


def _fill(
    ts: Times, rate: Values, rate_8h: Values, assumed_rate: float
) -> tuple[Times, Values, Values, NDArray[np.bool_]]:
    """The payments with those that are missing, and which of them are made up."""
    missing = [
        assumed_times(int(ts[index]) + 1, int(ts[index + 1]))
        for index in np.flatnonzero(np.diff(ts) > NS_PER_DAY)
    ]
    if not missing:
        return ts, rate, rate_8h, np.zeros(len(ts), dtype=np.bool_)
    extra = np.concatenate(missing)
    times = np.concatenate((ts, extra))
    assumed = np.full(len(extra), assumed_rate)
    order = np.argsort(times, kind="stable")
    rates, rates_8h = np.concatenate((rate, assumed))[order], np.concatenate((rate_8h, assumed))[order]
    return times[order], rates, rates_8h, order >= len(ts)


def _statement(
    history: Mapping[str, tuple[Times, Values]], spans: Mapping[str, tuple[int, int]], rate: float, filled: int
) -> tuple[str, str]:
    assumption = f"{rate * 100:g} % every 8 hours at 00, 08 and 16 UTC"
    without = [symbol for symbol in spans if symbol not in history]
    if not history:
        return "assumed", f"No funding history: {assumption} is assumed for every symbol."
    part = [
        symbol for symbol, (ts, _) in history.items()
        if ts[0] > spans[symbol][0] + NS_PER_DAY or ts[-1] < spans[symbol][1] - NS_PER_DAY
    ]
    first = min(int(ts[0]) for ts, _ in history.values())
    last = max(int(ts[-1]) for ts, _ in history.values())
    text = f"Funding as the venue paid it, {iso(first)} to {iso(last)}, for {', '.join(history)}"
    exceptions = []
    if without:
        exceptions.append(f"{', '.join(without)} (no history)")
    if part:
        exceptions.append(f"{', '.join(part)} outside their history")
    if filled:
        exceptions.append(f"{filled} payments missing inside a history")
    if not exceptions:
        return "venue history", f"{text}."
    return "mixed", f"{text}; {assumption} is assumed for {'; '.join(exceptions)}."
