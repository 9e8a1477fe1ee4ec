"""The run's status as Prometheus metrics, in the text format: ``GET /metrics``.

Labels are bounded: a symbol stands in one only while a position in it is open, the largest positions by name and the
rest together. A figure that is not known is left out, and never 0.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from quantum_trader import __version__
from quantum_trader.app.api.endpoints import Endpoint
from quantum_trader.app.api.reader import RunReader
from quantum_trader.app.runs.run_condition import Condition, RunCondition, run_condition
from quantum_trader.app.runs.status import PositionLine
from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import GovernorLevel
from quantum_trader.domain.ordered_sum import ordered_sum

METRICS: Final = "/metrics"
PREFIX: Final = "quantum_trader_"
MOST_SYMBOLS: Final = 100  # positions by name; those beyond are one row, OTHERS
MOST_HALTS: Final = 20
OTHERS: Final = "others"
_LONGEST: Final = 40  # characters of a label


def metrics_endpoints(reader: RunReader, now_ns: Callable[[], int] = time.time_ns) -> list[Endpoint]:
    """The road of the metrics of the run in *reader*'s folder."""
    return [Endpoint(
        path=METRICS, summary="The run's figures for Prometheus, in its text format.", tag="run", answers=bytes,
        run=lambda _: exposition(run_condition(reader.folder, now_ns(), reader.status()), now_ns()),
        example="quantum_trader_equity_usdt 10120.5\n", media=CONTENT_TYPE_PLAIN_0_0_4,
    )]


def exposition(found: RunCondition, now_ns: int) -> bytes:
    """All metrics of a run at *now_ns* in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Status(found, now_ns))
    return generate_latest(registry)


class _Status(Collector):
    """One reading of the status, as metrics."""

    def __init__(self, found: RunCondition, now_ns: int) -> None:
        self._found, self._now_ns = found, now_ns

    def collect(self) -> Iterable[Metric]:
        """Every metric that is known."""
        for made in (*self._run(), *self._health(), *self._money(), *self._positions(), *self._models()):
            if made.samples:
                yield made

    def _run(self) -> Iterator[Metric]:
        status = self._found.status
        yield _info("build_info", "The program.", {"version": __version__, "python": platform.python_version()})
        yield _info("run_info", "The run.", {"kind": status.kind, "mode": status.mode, "venue": status.endpoint})
        yield _gauge("process_alive", "1 while a process holds the state folder.", float(status.alive))
        yield _states("run_condition", "condition", "1 for what the run is doing, 0 for the others.",
                      [one.value for one in Condition], self._found.condition.value)
        yield _gauge("run_progress", "1 while the run makes progress, which a living process alone does not mean.",
                     float(self._found.is_progress))

    def _health(self) -> Iterator[Metric]:
        status = self._found.status
        yield _gauge("status_age_seconds", "Age of the status, or of the checkpoint where there is none.", status.age_s)
        yield _gauge("checkpoint_age_seconds", "Age of the last checkpoint.", status.checkpoint_age_s)
        yield _gauge("last_event_age_seconds", "Since the account's last event, when the status was written.",
                     status.last_event_age_s)
        yield _gauge("decision_lag_seconds", "From the newest bar's close to its decision.", status.lag_s)
        yield _gauge("unreconciled_seconds", "Since the books last matched the exchange.", status.unreconciled_s)
        yield _gauge("queue_fill_ratio", "Fullest queue of the journal, 0 to 1.", status.queue_fill)
        yield _counter("dropped_events", "Records, inputs and frames that were lost since the start of the process.",
                       status.dropped_events)
        yield _gauge("orders_in_doubt", "Orders whose outcome is not known.", status.in_doubt)
        yield _gauge("open_orders", "Orders that may still be open.", len(status.orders))
        yield _gauge("requests_pending", "Requests of operators that were not carried out yet.",
                     len(status.pending_requests))
        yield _gauge("problems", "Things that need a person.", len(status.problems))
        yield _gauge("entries_halted", "1 while something keeps new positions from being opened.",
                     float(bool(status.entries_halted)))
        kinds = sorted({_label(halt.kind) for halt in status.halts})
        yield _rows("halt_in_force", "1 for each kind of halt that stands.", ("kind",),
                    [((kind,), 1.0) for kind in kinds[:MOST_HALTS]])
        yield _gauge("halts_in_force", "Halts that stand.", len(status.halts))

    def _money(self) -> Iterator[Metric]:
        status = self._found.status
        yield _gauge("equity_usdt", "Equity.", status.equity)
        yield _gauge("equity_age_seconds", "Since the close of the bar that the equity is of.",
                     (self._now_ns - status.equity_ns) / NS_PER_SECOND if status.equity_ns else None)
        if status.governor is not None:
            yield _states("governor_level", "level", "1 for the level of the safety governor.",
                          [one.value for one in GovernorLevel], status.governor)
        if status.result is not None:
            yield _gauge("profit_usdt", "Profit of trading since the books began.", status.result.profit)
            yield _gauge("return_ratio", "Time-weighted return since the books began.", status.result.return_pct / 100)
            yield _gauge("drawdown_ratio", "Drawdown at the newest bar, 0 to 1.", -status.result.drawdown_pct / 100)
            yield _gauge("deepest_drawdown_ratio", "Deepest drawdown since the books began, 0 to 1.",
                         -status.result.deepest_drawdown_pct / 100)

    def _positions(self) -> Iterator[Metric]:
        held = sorted(self._found.status.positions, key=lambda one: (-_worth(one), one.symbol))
        yield _gauge("open_positions", "Open positions.", len(held))
        yield _gauge("unprotected_positions", "Positions without a stop for their whole quantity at the venue.",
                     len([one for one in held if not one.protected]))
        named, rest = held[:MOST_SYMBOLS], held[MOST_SYMBOLS:]
        labels = ("symbol", "side")
        yield _rows("position_quantity", "Quantity of an open position.", labels,
                    _summed([((_label(one.symbol), _label(one.side)), one.qty) for one in named]))
        worth = [((_label(one.symbol), _label(one.side)), _worth(one)) for one in named]
        worth += [((OTHERS, OTHERS), _worth(one)) for one in rest]
        yield _rows("position_notional_usdt", "Worth of an open position, at its mark or else its entry price.", labels,
                    _summed(worth))

    def _models(self) -> Iterator[Metric]:
        models = self._found.status.models
        if models is None:
            return
        yield _gauge("models", "Models of the run.", len(models.models))
        yield _gauge("models_lacking", "Models that give no score for some symbol yet.",
                     len([one for one in models.models if one.lacks]))
        yield _gauge("models_failed", "1 while a model has failed.", float(bool(models.failed_ns)))
        silent_ns = self._found.status.equity_ns - models.silent_since_ns  # both in the time of the market
        yield _gauge("models_silent_seconds", "Since the last signal, or since the start where there was none.",
                     max(0.0, silent_ns / NS_PER_SECOND)
                     if models.silent_since_ns and self._found.status.equity_ns else None)


def _gauge(name: str, text: str, value: float | None) -> Metric:
    """A gauge without labels; without a sample where the value is not known."""
    made = GaugeMetricFamily(f"{PREFIX}{name}", text)
    if value is not None and math.isfinite(value):
        made.add_metric((), value)
    return made


def _counter(name: str, text: str, value: float) -> Metric:
    made = CounterMetricFamily(f"{PREFIX}{name}", text)
    made.add_metric((), value)
    return made


def _info(name: str, text: str, labels: dict[str, str]) -> Metric:
    made = GaugeMetricFamily(f"{PREFIX}{name}", text, labels=tuple(labels))
    made.add_metric(tuple(_label(value) for value in labels.values()), 1.0)
    return made


def _states(name: str, label: str, text: str, known: Iterable[str], now: str) -> Metric:
    """One row for each of the *known* words, 1 for the one that holds."""
    return _rows(name, text, (label,), [((word,), float(word == now)) for word in known])


def _rows(name: str, text: str, labels: tuple[str, ...], rows: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    made = GaugeMetricFamily(f"{PREFIX}{name}", text, labels=labels)
    for values, value in rows:
        if math.isfinite(value):
            made.add_metric(values, value)
    return made


def _summed(rows: Iterable[tuple[tuple[str, ...], float]]) -> list[tuple[tuple[str, ...], float]]:
    """*rows* with those of the same labels added: a metric states each set of labels once."""
    found: dict[tuple[str, ...], list[float]] = {}
    for labels, value in rows:
        found.setdefault(labels, []).append(value)
    return [(labels, ordered_sum(values)) for labels, values in found.items()]


def _worth(position: PositionLine) -> float:
    price = position.mark_price if position.mark_price > 0.0 else position.entry_price
    worth = abs(position.qty) * price
    return worth if math.isfinite(worth) else 0.0


def _label(text: str) -> str:
    """*text* as the value of a label: of bounded length, and of characters that print; the library escapes the rest."""
    shown = "".join(one if one.isprintable() else "?" for one in text[:_LONGEST])
    return shown.encode("utf-8", "replace").decode()
