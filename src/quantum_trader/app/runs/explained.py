"""One trade explained from its signal to its exit, and what the forecasts said where nothing was traded."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.domain.enums import Side
from quantum_trader.lab.comparison import decision_rows
from quantum_trader.lab.sweep.columns import counter, exit_reason, signal, trade, trade_whole
from quantum_trader.lab.sweep.layout import Desk, Outcome, Targets
from quantum_trader.lab.sweep.market import SweepMarket
from quantum_trader.market.arrays import Floats, Ints
from quantum_trader.market.costs import BPS
from quantum_trader.models import forecast as fc
from quantum_trader.models.kept import KeptForecasts

_AROUND: Final = 0.35  # of the trade's time that the price is shown for before and after it
_LEAST_AROUND_NS: Final = 3 * NS_PER_DAY


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What the models said of a symbol at a decision; basis points a day, gross, in the target's direction."""

    symbol: str
    side: str  # LONG | SHORT, by the score
    ts_ns: int  # the close at which it was made
    score: float  # in root-mean-squares
    expected_bps: float
    error_bps: float
    cost_bps: float
    confidence: float  # that the expected return is above the cost
    win_probability: float
    prior_share: float
    alone: dict[str, float] = {}  # what the confidence would be by each model's own forecast


class ExplainedTrade(msgspec.Struct, frozen=True, kw_only=True):
    """A closed trade with what led to it. Money in USDT."""

    symbol: str
    side: str
    entry_ns: int
    exit_ns: int
    entry: float
    exit: float
    stop: float  # the first one
    qty: float
    equity: float  # of the account at the entry
    risk: float  # between the entry and the first stop
    r: float
    net: float
    fees: float
    funding: float
    reason: str  # code of an exit
    threshold: float  # of the fixed settings
    confidence: float  # of the signal
    forecast: Forecast | None  # None: the intraday ensemble gave the signal
    price_s: tuple[int, ...]  # times of the price around it, seconds
    price: tuple[float, ...]


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """What stands below the comparison."""

    trade: ExplainedTrade | None  # the newest closed one of the observed row; None: it closed none
    best: Forecast | None  # of the highest confidence at all
    newest: tuple[Forecast, ...]  # of each symbol at the end; empty without models


def explain(
    market: SweepMarket, desk: Desk, outcome: Outcome, targets: Targets | None, forecasts: KeptForecasts | None
) -> Explained:
    """Explain the newest closed trade of a setting of *market*; *forecasts* are those that *targets* were made of."""
    told = _Told(market, targets, forecasts) if targets is not None and forecasts is not None else None
    count = int(desk.counts[counter.TRADES])
    found = None
    if count:
        number = int(np.argmax(outcome.trade_whole[:count, trade_whole.EXIT_NS]))
        found = _explained(market, outcome, number, told)
    return Explained(
        trade=found, best=told.best() if told is not None else None, newest=told.newest() if told is not None else (),
    )


class _Told:
    """The forecasts of a comparison, by decision and symbol."""

    def __init__(self, market: SweepMarket, targets: Targets, forecasts: KeptForecasts) -> None:
        self._market, self._targets = market, targets
        count = len(targets.target)
        self._rows, self._each = forecasts.together(count), forecasts.each(count)
        self._names = [loaded.name for loaded in forecasts.models]
        self._moments = np.searchsorted(targets.row, np.arange(count), side="left")  # at which each was made

    def at(self, row: int, symbol: int) -> Forecast | None:
        """The forecast of decision *row*; None where there was no view."""
        told = self._rows[row, symbol]
        if not np.isfinite(told[[fc.SCORE, fc.CONFIDENCE]]).all():
            return None
        moment = min(int(self._moments[row]), len(self._market.tape.ts_ns) - 1)
        alone = self._each[row, :, symbol, fc.CONFIDENCE]
        return Forecast(
            symbol=self._market.symbols[symbol], side=_side(float(told[fc.SCORE])),
            ts_ns=int(self._market.tape.ts_ns[moment]) + self._market.rules.interval_ns, score=float(told[fc.SCORE]),
            expected_bps=float(told[fc.EXPECTED_DAY]) * BPS, error_bps=float(told[fc.ERROR_DAY]) * BPS,
            cost_bps=float(told[fc.COST_DAY]) * BPS, confidence=float(told[fc.CONFIDENCE]),
            win_probability=float(told[fc.WIN_PROBABILITY]), prior_share=float(told[fc.PRIOR_SHARE]),
            alone={
                name: float(value) for name, value in zip(self._names, alone, strict=True) if np.isfinite(value)
            },
        )

    def before(self, entry_ns: int, symbol: int) -> Forecast | None:
        """The forecast that was the newest before the open *entry_ns*."""
        return self.at(int(decision_rows(self._market, self._targets, np.array([entry_ns]))[0]), symbol)

    def best(self) -> Forecast | None:
        """The one of the highest confidence among those whose score would enter a position."""
        enters = np.abs(self._rows[1:, :, fc.SCORE]) >= fc.ENTER_AT
        known = np.where(enters, self._rows[1:, :, fc.CONFIDENCE], np.nan)
        if not np.isfinite(known).any():
            return None
        row, symbol = np.unravel_index(int(np.nanargmax(known)), known.shape)
        return self.at(int(row) + 1, int(symbol))

    def newest(self) -> tuple[Forecast, ...]:
        """That of each symbol at the end."""
        found = [self.at(len(self._rows) - 1, symbol) for symbol in range(len(self._market.symbols))]
        return tuple(one for one in found if one is not None)


def _side(sign: float) -> str:
    return str((Side.LONG if sign > 0.0 else Side.SHORT).value)


def _explained(market: SweepMarket, outcome: Outcome, number: int, told: _Told | None) -> ExplainedTrade:
    whole, figures = outcome.trade_whole[number], outcome.trade[number]
    symbol, sign = int(whole[trade_whole.SYMBOL]), int(whole[trade_whole.SIGN])
    entry_ns, exit_ns = int(whole[trade_whole.ENTRY_NS]), int(whole[trade_whole.EXIT_NS])
    entry, qty, risk = (float(figures[place]) for place in (trade.ENTRY, trade.QTY, trade.RISK))
    forecast = told.before(entry_ns, symbol) if told is not None else None
    confidence = forecast.confidence if forecast is not None else _signalled(market, int(whole[trade_whole.SIGNAL]))
    times, price = _around(market, symbol, entry_ns, exit_ns)
    return ExplainedTrade(
        symbol=market.symbols[symbol], side=_side(sign), entry_ns=entry_ns, exit_ns=exit_ns, entry=entry,
        exit=float(figures[trade.EXIT]), stop=entry - sign * risk / qty, qty=qty, equity=float(figures[trade.EQUITY]),
        risk=risk, r=float(figures[trade.R]), net=float(figures[trade.PNL]), fees=float(figures[trade.FEES]),
        funding=float(figures[trade.FUNDING]), reason=exit_reason.REASONS[int(whole[trade_whole.REASON])].value,
        threshold=float(market.rules.fixed_confidence), confidence=confidence, forecast=forecast,
        price_s=tuple((times // 1_000_000_000).tolist()), price=tuple(price.tolist()),
    )


def _signalled(market: SweepMarket, number: int) -> float:
    """The confidence of signal *number* of the tape; NaN where it is none of them."""
    signals = market.tape.signals
    return float(signals[number, signal.CONFIDENCE]) if 0 <= number < len(signals) else float("nan")


def _around(market: SweepMarket, symbol: int, entry_ns: int, exit_ns: int) -> tuple[Ints, Floats]:
    """Times and closes around a trade, as known."""
    room = max(int((exit_ns - entry_ns) * _AROUND), _LEAST_AROUND_NS)
    close_ns = market.tape.ts_ns + market.rules.interval_ns
    first, last = np.searchsorted(close_ns, [entry_ns - room, exit_ns + room])
    price = market.tape.mark[first:last, symbol]
    known = np.isfinite(price)
    return close_ns[first:last][known], price[known]
