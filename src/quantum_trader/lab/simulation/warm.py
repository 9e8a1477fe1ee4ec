"""Starting points of simulated days: signal state learned on the bundled recording, made once a process.

The recording is run through once, and the kernel's state is kept at many noons. A day begins at one of them with a new
account, so that it trades from its first bars and crosses midnight in its middle.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR
from quantum_trader.domain.enums import ExitMode
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.market import MarketBatch
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.lab.simulation.disk import copied
from quantum_trader.lab.simulation.market import BarsBefore
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.recording import open_recording
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.policy.profiles import load_profile
from quantum_trader.risk.guard import RiskLimits
from quantum_trader.signals.kernel import SignalKernel
from quantum_trader.signals.settings import SignalSettings

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "XRPUSDT")
_FIRST_DAY: Final = 100  # of the recording: enough to have learned from
_EVERY_DAYS: Final = 9
_DAY_LIMIT: Final = 14  # days after which no beginning is taken any more, before the recording's end


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """One noon: its time, its row of the recording, and the kernel's state."""

    ts_ns: int
    row: int
    kernel: Any


class WarmWorld(msgspec.Struct, frozen=True, kw_only=True):
    """Instruments, bars and starting points of all days; shared, so never changed."""

    instruments: tuple[Instrument, ...]
    interval_ns: int
    ts_ns: Any  # opens (T,)
    ohlcv: Any  # (T, S, 5)
    present: Any  # which symbols have a bar (T, S)
    beginnings: tuple[Beginning, ...]

    def before(self, beginning: Beginning) -> BarsBefore:
        """The bars of before *beginning*."""
        row = beginning.row
        return BarsBefore(self.ts_ns[:row], self.ohlcv[:row], self.present[:row])


def engine_settings(*, targets: bool, models: bool = False) -> EngineSettings:
    """Settings that trade many times a day; *targets*: positions have a take-profit beside their stop.

    *models*: signals come from models, which trade at any confidence, as they have learned little.
    """
    mode = ExitMode.FAST_TP if targets else ExitMode.TREND_FOLLOW
    integration = OrchestratorIntegrationConfig(fixed_exit_mode=mode)
    if models:
        integration = msgspec.structs.replace(integration, fixed_confidence=0.0)
    return EngineSettings(
        profile=load_profile("STANDARD"), operator_resume_hours=0.0,
        signals=SignalSettings(edge=0.5, cooldown_hours=0.5, horizon_hours=4.0, warmup_outcomes=5.0),
        integration=integration,
        limits=RiskLimits(daily_loss_pct=3.0, max_exposure_pct=40.0),
    )


@cache
def warm_world() -> WarmWorld:
    """Run through the bundled recording once."""
    recording = open_recording(symbols=SYMBOLS)
    arrays = recording.arrays()
    instruments = instruments_for(recording.symbols, recording.first_closes().tolist()).instruments
    settings, interval_ns = engine_settings(targets=False), recording.interval_ns
    kernel = SignalKernel(
        recording.symbols, interval_ns, settings.market, settings.signals, [i.tick_size for i in instruments]
    )
    day_rows, beginnings = NS_PER_DAY // interval_ns, []
    times = arrays.ts_ns.tolist()
    present = arrays.present
    for row, ts_ns in enumerate(times):
        noon = ts_ns % NS_PER_DAY == 12 * NS_PER_HOUR
        in_turn = (row // day_rows) % _EVERY_DAYS == 0 and row >= _FIRST_DAY * day_rows
        if noon and in_turn and row < len(times) - _DAY_LIMIT * day_rows:
            end = row + day_rows
            if bool(np.all(present[row:end])) and times[end] - ts_ns == NS_PER_DAY:
                beginnings.append(Beginning(ts_ns=ts_ns, row=row, kernel=copied(kernel.state())))
        kernel.advance(MarketBatch(ts_ns, interval_ns, arrays.ohlcv[row], arrays.present[row]))
    return WarmWorld(
        instruments=instruments, interval_ns=interval_ns, ts_ns=arrays.ts_ns, ohlcv=arrays.ohlcv,
        present=arrays.present, beginnings=tuple(beginnings),
    )
