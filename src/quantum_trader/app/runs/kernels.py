"""Compiles the engine's kernels before anything waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from quantum_trader.domain.clock import NS_PER_MINUTE
from quantum_trader.domain.enums import OrderType
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.pilot_settings import PilotSettings
from quantum_trader.domain.trading import Fill, OrderRequest
from quantum_trader.engine.core import Engine, LiveAccount
from quantum_trader.engine.facts import PilotChanged
from quantum_trader.engine.gateway import Command
from quantum_trader.engine.recorder import MemorySink
from quantum_trader.market.generate import generated_recording
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.regime import MarketSettings
from quantum_trader.pilot.artefact import Artefact
from quantum_trader.pilot.network import Network
from quantum_trader.pilot.predictor import Predictor
from quantum_trader.pilot.scaling import default_scalers
from quantum_trader.pilot.settings import ObservationSettings
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.risk.guard import RiskLimits
from quantum_trader.signals.settings import SignalSettings

_BARS: Final = 400  # at most; signals are traded after about a hundred
_TRADES: Final = 2
_PILOT_BARS: Final = 20  # of a minute, in which a spare pilot decides a few times
_IN_SHADOW: Final = PilotChanged(actor="compile", reason="compile", before=None, after=PilotSettings(), version=0)
_EVERY_SIGNAL: Final = {
    "maker_entry_bars": 0,
    "limits": RiskLimits(max_orders_per_hour=100_000, max_cost_r=10.0, max_positions=100),
    "integration": OrchestratorIntegrationConfig(fixed_risk_pct=0.5, fixed_confidence=0.0, fixed_max_positions=10),
    "market": MarketSettings(trend_minutes=5, vol_minutes=5),
    "signals": SignalSettings(
        decision_minutes=1, horizon_hours=0.1, cooldown_hours=0.2, edge=0.5, warmup_outcomes=5.0
    ),
    "start_equity": 1e6,
}


def compile_kernels(engine: Engine, pilot: Artefact | None = None) -> None:
    """Trade a few generated bars of two symbols with the settings of *engine*; a first start takes half a minute.

    The engine that trades is thrown away. It trades on every signal, so that its orders, fills and exits compile too.
    *pilot*: the one that *engine* asks. It has half a second to answer, and compiling its part takes longer: without
    this it would fail at the first bars of every new installation, and be given up.
    """
    recording = generated_recording(2, interval="1m", bars=_BARS, seed=4)
    table = instruments_for(recording.symbols, recording.first_closes().tolist())
    settings = msgspec.structs.replace(engine.settings, **_EVERY_SIGNAL)
    source = _spare_pilot(pilot, recording.symbols) if pilot is not None else None
    spare = Engine(table.instruments, NS_PER_MINUTE, settings, MemorySink(), live=LiveAccount(), pilot=source)
    spare.piloting.set_settings(_IN_SHADOW, recording.start_ns)
    spare.begin(settings.start_equity, "compile", recording.start_ns)
    for ts_ns, ohlcv, present, _ in recording.chunks(_BARS):
        for row, opened in enumerate(ts_ns.tolist()):
            now_ns = opened + NS_PER_MINUTE
            spare.prepare_bar(opened, 0, ohlcv[row][0])
            commands = spare.on_bars(MarketBatch(opened, NS_PER_MINUTE, ohlcv[row], present[row]), now_ns)
            while spare.decides:
                commands += spare.more()
            spare.record_bars()
            for command in commands:
                _fill(spare, command, float(ohlcv[row][spare.symbols.index(command.symbol), 3]), now_ns)
            totals = spare.piloting.totals
            if len(spare.records.tally.trades) >= _TRADES and (totals is None or row >= _PILOT_BARS):
                return


def _spare_pilot(pilot: Artefact, symbols: Sequence[str]) -> Predictor:
    """A pilot with the network of *pilot* that looks at short bars; the network is asked once, before it is ready."""
    observation = ObservationSettings(interval="5m")
    card = msgspec.structs.replace(
        pilot.card, observation=observation, scalers=default_scalers(observation), outcomes=(),
        data=msgspec.structs.replace(pilot.card.data, first_ns=0, last_ns=0),
    )
    source = Predictor(msgspec.structs.replace(pilot, card=card), symbols, NS_PER_MINUTE)
    Network(pilot.weights).of_observer(source.observer.values)
    return source


def _fill(engine: Engine, command: Command, price: float, now_ns: int) -> None:
    """Fill a market order at *price*; other commands change nothing."""
    if isinstance(command, OrderRequest) and command.type is OrderType.MARKET:
        engine.on_event(Fill(
            fill_id=command.client_order_id, client_order_id=command.client_order_id, symbol=command.symbol,
            side=command.side, qty=command.qty, price=price, fee=0.0, liquidity="taker", ts_ns=now_ns,
        ))
