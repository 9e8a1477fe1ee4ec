"""A scripted pilot over made-up bars: the real engine, paper venue and replay driver, moment by moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
from tests.journal.records import CheckedSink

from quantum_trader.app.runs.state_dir import pack, unpack
from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_MINUTE
from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.pilot_settings import PilotSettings
from quantum_trader.domain.trading import Fill, FundingPayment, OrderUpdate
from quantum_trader.engine.core import Engine
from quantum_trader.engine.facts import PilotChanged
from quantum_trader.engine.gateway import Command
from quantum_trader.engine.pilot_confidence import PilotConfidence
from quantum_trader.engine.replay import ReplayDriver
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.recording import Recording, recording_from_arrays
from quantum_trader.models import Exit, Model, Panel
from quantum_trader.models.forecast import ForecastSettings
from quantum_trader.models.forecasts import Forecasts, LoadedModel
from quantum_trader.pilot.actions import ACTIONS, PilotAction
from quantum_trader.pilot.predictor import Predictions
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.policy.profiles import load_profile
from quantum_trader.risk.guard import RiskLimits
from quantum_trader.signals import columns as col
from quantum_trader.venues.paper.settings import PaperSettings
from quantum_trader.venues.paper.venue import PaperVenue

FIRST_NS = 1_700_006_400_000_000_000
MINUTES = 15  # of a base bar
BASE_NS, LENGTH_NS = MINUTES * NS_PER_MINUTE, 30 * NS_PER_MINUTE
START = 248  # the observed bar with which scripts begin: models and volatilities are warm
DECISIONS = 90  # observed bars after that
ONE, TWO = "ONEUSDT", "TWOUSDT"
FLAT, LONG_SMALL, LONG_LARGE, SHORT_SMALL, SHORT_LARGE, HOLD = PilotAction
PLACES = {row.action: place for place, row in enumerate(ACTIONS)}
FREE = msgspec.structs.replace(
    OrchestratorIntegrationConfig.create_observe_mode(), fixed_confidence=0.0, fixed_risk_pct=10.0,
    fixed_max_positions=100,
)
WIDE = RiskLimits(
    max_risk_pct=10.0, max_cost_r=10.0, max_exposure_pct=100.0, daily_loss_pct=50.0, max_orders_per_hour=10_000,
)

Script = Callable[[int, int], PilotAction]  # (decision, place of the symbol) to an action
Scores = Callable[[int], float]  # decision to what the signals' model says of the first symbol


def bars(count: int = 2, seed: int = 1, noise: float = 0.002, last: int = START + DECISIONS) -> Recording:
    """Quiet random walks of base bars, up to the observed bar *last*."""
    moments, random = 2 * last + 1, np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(random.normal(0.0, noise, (moments, count)), axis=0))
    open_ = np.concatenate([close[:1], close[:-1]])
    ohlcv = np.stack([
        open_, np.maximum(open_, close) * 1.0005, np.minimum(open_, close) * 0.9995, close, np.full(close.shape, 1e6),
    ], axis=2).round(4)
    ts_ns = FIRST_NS + np.arange(moments, dtype=np.int64) * BASE_NS
    return recording_from_arrays((ONE, TWO)[:count], f"{MINUTES}m", ts_ns, ohlcv)


def decision_of(now_ns: int) -> int:
    """The number of the decision at the close *now_ns* of an observed bar; 0 is the first of the scripts."""
    return (now_ns - FIRST_NS) // LENGTH_NS - START


class ScriptedPilot:
    """A pilot that plays a script; before it begins every action is HOLD."""

    identity, name, length_ns, horizon_ns, stop_atr = "f" * 64, "scripted", LENGTH_NS, 24 * NS_PER_HOUR, 3.0
    trained_until_ns = outcomes_until_ns = 0
    outcomes: tuple[float, ...] = ()

    def __init__(self, script: Script, count: int, fails: Callable[[int], bool] | None = None) -> None:
        """*fails*: whether it raises at the close (ns) of a base bar."""
        self.script, self.count, self.fails = script, count, fails
        self.seen = 0  # base bars
        self.asked: list[int] = []  # decisions
        self.own: list[Any] = []  # the accounts that it was shown
        self.range_ratios = np.full(count, 0.02)

    def observe(self, ts_ns: int, ohlcv: Any, present: Any, feed: Any) -> None:
        """Count the bar."""
        self.seen += 1
        if self.fails is not None and self.fails(ts_ns + BASE_NS):
            raise ValueError("the pilot is broken")

    def take(self, ts_ns: int, ohlcv: Any, present: Any, feed: Any, own: Any) -> Predictions:
        """Play the script."""
        self.observe(ts_ns, ohlcv, present, feed)
        now_ns = ts_ns + BASE_NS
        places = np.flatnonzero(present) if now_ns % LENGTH_NS == 0 else np.zeros(0, dtype=np.int64)
        chosen = []
        if now_ns % LENGTH_NS == 0:
            number = decision_of(now_ns)
            self.asked.append(number)
            self.own.append(own.copy())
            chosen = [PLACES[self.script(number, place) if number >= 0 else HOLD] for place in places.tolist()]
        shares = np.full((len(places), len(ACTIONS)), 0.1)
        shares[np.arange(len(places)), chosen] = 0.5
        return Predictions(now_ns, places, np.array(chosen, dtype=np.int64), shares)

    def succeed(self, before: Any) -> None:
        """Go on with the bars that *before* has seen."""
        self.seen = before.seen

    def state(self) -> dict[str, Any]:
        """Its identity and how many bars it saw."""
        return {"identity": self.identity, "seen": self.seen}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue."""
        if state["identity"] != self.identity:
            raise StateError("another model")
        self.seen = state["seen"]


class FixedConfidence(PilotConfidence):
    """The confidence that a test wants: by the number of the decision, where anything is wanted."""

    def __init__(self, sure: Callable[[int], float], engine: Engine) -> None:
        super().__init__(engine.symbols, BASE_NS, LENGTH_NS, 24 * NS_PER_HOUR)
        self.sure, self.engine = sure, engine

    def of(self, shares: Any, present: Any, cost_bps: Any, funding_8h: Any) -> Any:
        """The same for all symbols."""
        super().of(shares, present, cost_bps, funding_8h)
        return np.where(np.nan_to_num(shares) != 0.0, self.sure(decision_of(self.engine.now_ns)), 0.0)


class Told(Model):
    """A model with the score that the test wants of the first symbol."""

    bars, warmup, horizon = "1h", 2, "2d"
    wanted: Scores = staticmethod(lambda decision: 0.0)

    def score(self, panel: Panel) -> Any:
        """No view of the second symbol."""
        number = decision_of(panel.now_ns)
        scores = np.full(len(panel.symbols), np.nan)
        if number >= -60:
            scores[0] = self.wanted(number)
        return scores


class LiveForm(Engine):
    """An engine under a replay's driver that takes its bars as a live one does."""

    def on_batch(self, batch: MarketBatch) -> list[Command]:
        """Decide, send, then record."""
        self.records.catch_up()
        commands = self.on_bars(batch, batch.ts_ns + batch.interval_ns)
        while more := self.more():
            commands += more
        self.records.bars = None  # a replay has no record of its bars
        return commands

    def on_event(self, event: OrderUpdate | Fill | FundingPayment) -> list[Command]:
        """Take an event after the deferred records."""
        self.records.catch_up()
        return super().on_event(event)


class PilotWorld:
    """One engine and one paper venue, with a pilot and signals that follow scripts."""

    def __init__(
        self, script: Script | Mapping[tuple[int, int], PilotAction] | None = None, mode: PilotMode | None = None, *,
        wanted: Scores | None = None, sure: Callable[[int], float] | float | None = 0.9,
        recording: Recording | None = None,
        fails: Callable[[int], bool] | None = None, kind: type[Engine] = Engine, pilot: Any = None,
        settings: Mapping[str, Any] | None = None, prior: float = 5.0, **engine: Any,
    ) -> None:
        """*mode* None: no pilot. *sure* None: as it is learned. *settings*: of the pilot, beside the mode.

        *prior*: how good the signals are said to be, as an annual Sharpe ratio.
        """
        self.recording = recording if recording is not None else bars()
        symbols = self.recording.symbols
        told = script or {}
        play = told if callable(told) else lambda number, place: told.get((number, place), HOLD)
        self.pilot = pilot if pilot is not None else ScriptedPilot(play, len(symbols), fails)
        self.sink = CheckedSink()
        instruments = instruments_for(symbols, self.recording.first_closes().tolist()).instruments
        self.engine = kind(
            instruments, BASE_NS, EngineSettings(**{
                "profile": load_profile("STANDARD"), "integration": FREE, "limits": WIDE, **engine,
            }), self.sink, forecasts=forecasts_of(self.recording, wanted, prior) if wanted is not None else None,
            pilot=self.pilot if mode is not None else None,
        )
        if sure is not None and mode is not None:
            level = sure if callable(sure) else lambda number: sure
            parts = self.engine.piloting._parts
            assert parts is not None
            self.engine.piloting._parts = parts._replace(confidence=FixedConfidence(level, self.engine))
        self.venue = PaperVenue(
            instruments, PaperSettings(), funding=self.recording.funding,
            taker_cost_bps=self.engine.market.kernel.out[:, col.TAKER_COST_BPS],
        )
        self.driver = ReplayDriver(self.engine, self.venue, BASE_NS)
        self.at = 0
        self.moments = [
            (ts, ohlcv[row], present[row])
            for times, ohlcv, present, _ in self.recording.chunks() for row, ts in enumerate(times.tolist())
        ]
        if mode is not None:
            self.change(mode=mode, **{"min_confidence": 0.0, "max_trades_per_hour": 1000, **(settings or {})})

    def change(self, **settings: Any) -> None:
        """Put other settings of the pilot into force."""
        before = self.engine.piloting.stance.settings
        after = msgspec.structs.replace(before, **settings) if self.at else PilotSettings(**settings)
        change = PilotChanged(actor="me", reason="test", before=before if self.at else None, after=after, version=1)
        self.engine.piloting.set_settings(change, self.engine.now_ns or FIRST_NS)

    def until(self, decision: int, extra: int = 0) -> PilotWorld:
        """Run up to and including the base bar that ends at *decision*, and *extra* base bars more."""
        last = 2 * (START + decision) - 1 + extra
        while self.at <= last:
            self.driver.step(*self.moments[self.at])
            self.at += 1
        return self

    def all(self) -> PilotWorld:
        """Run through all bars."""
        for moment in self.moments[self.at:]:
            self.driver.step(*moment)
        self.at = len(self.moments)
        self.engine.records.catch_up()
        return self

    def continues(self, other: PilotWorld) -> PilotWorld:
        """Continue from the state of *other*, through the bytes of a checkpoint."""
        other.engine.records.catch_up()
        saved = unpack(pack({"engine": other.engine.state(), "venue": other.venue.state()}))
        self.engine.load_state(saved["engine"])
        self.venue.load_state(saved["venue"])
        self.sink.lines = list(other.sink.lines)
        self.engine.records.recorder.resume(saved["engine"]["seq"], self.sink.lines)
        self.at = other.at
        return self

    @property
    def positions(self) -> dict[str, Any]:
        """The open positions."""
        return self.engine.account.books.positions

    def quantity(self, share: float, symbol: str = ONE) -> float:
        """The quantity that *share* of the equity is at the newest close."""
        index = self.engine.instruments.index[symbol]
        return share * float(self.engine.account.equity) / self.engine.market.close(index)

    def records(self, topic: str = "") -> list[Any]:
        """The data of every record of *topic*; empty: every record."""
        lines = [msgspec.json.decode(line) for line in self.sink.lines]
        return [line["data"] for line in lines if line["topic"] == topic] if topic else lines

    def outcomes(self, place: int = 0) -> dict[int, tuple[str, str]]:
        """Action and outcome of a symbol by decision, without HOLD."""
        found = {}
        symbol = self.engine.symbols[place]
        for one in self.records("pilot.decided"):
            if symbol in one["symbols"]:
                at = one["symbols"].index(symbol)
                if one["actions"][at] != HOLD.value:
                    found[decision_of(one["closed_ns"])] = (one["actions"][at], one["outcomes"][at])
        return found

    def of_trading(self) -> list[Any]:
        """Every record but the pilot's own, without its number."""
        return [
            {key: value for key, value in one.items() if key not in ("seq", "event_id")}
            for one in self.records() if not one["topic"].startswith("pilot.")
        ]


def forecasts_of(recording: Recording, wanted: Scores, prior: float) -> Forecasts:
    """A model that gives the signals."""
    kind = type("Wanted", (Told,), {"wanted": staticmethod(wanted)})
    loaded = LoadedModel(
        name="Wanted", model=kind(), fingerprint="x", forecast=ForecastSettings(prior_mean=prior, prior_sd=2.0),
        exit=Exit(on="score", stop_atr=12.0),
    )
    return Forecasts(recording.symbols, recording.interval_ns, [loaded])
