"""What freqtrade's clients ask of a run as a whole: its symbols, its bars, its models and its state."""

from __future__ import annotations

from threading import Lock
from typing import Any, Final

import msgspec

from quantum_trader.app.api.reader import RunReader
from quantum_trader.app.runs.live_settings import LiveMode, read_folder
from quantum_trader.domain.clock import NS_PER_MINUTE, NS_PER_SECOND
from quantum_trader.journal.lake import JOURNAL, QueryParams
from quantum_trader.market.intervals import INTERVALS
from quantum_trader.market.recording import RecordingSettings

RUNNING, PAUSED, STOPPED = "running", "paused", "stopped"
_ORDERS_SENT: Final = (LiveMode.LIVE.value, LiveMode.TESTNET.value, LiveMode.LOCAL.value)
_BOT: Final = "QuantumTrader"


class _Rollout(msgspec.Struct):
    fixed_max_positions: int = 0


class _Data(msgspec.Struct):
    assumed_funding_rate: float = 0.0001
    zero_volume_is_outage: bool = True
    warm_up: bool = False


class _Effective(msgspec.Struct):
    data: _Data = msgspec.field(default_factory=_Data)
    rollout: _Rollout = msgspec.field(default_factory=_Rollout)


class RecordingStated(msgspec.Struct):
    """The bars that a replay states it runs on."""

    source: str = ""
    interval: str = ""
    symbols: list[str] = []
    start_ns: int = 0
    end_ns: int = 0
    fingerprint: str = ""


class RunStatement(msgspec.Struct):
    """What the newest start of the run states."""

    symbols: list[str] = []
    interval_ns: int = NS_PER_MINUTE
    effective: _Effective = msgspec.field(default_factory=_Effective)
    recording: RecordingStated = msgspec.field(default_factory=RecordingStated)


class _StartedLine(msgspec.Struct):
    data: RunStatement


class RunConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A run in freqtrade's terms. *sends_orders*: to an exchange, so that it is no dry run."""

    symbols: tuple[str, ...]
    interval_ns: int
    exchange: str
    mode: str
    sends_orders: bool
    strategy: str
    max_open_trades: int
    recording: RecordingStated
    recording_settings: RecordingSettings
    has_bars_before: bool  # the recording's from before the range count as part of it
    bot_name: str = _BOT

    @property
    def timeframe(self) -> str:
        """The name of the bars' interval, such as 30m."""
        return next((name for name, length in INTERVALS.items() if length == self.interval_ns),
                    f"{self.interval_ns // NS_PER_SECOND}s")

    @property
    def timeframe_min(self) -> int:
        """The bars' interval in minutes."""
        return self.interval_ns // NS_PER_MINUTE


class RunView:
    """One run, read as its clients ask; what does not change is read once."""

    def __init__(self, reader: RunReader) -> None:
        self.reader = reader
        self._lock = Lock()
        self._config: RunConfig | None = None
        self._pid = -1

    def rows(self, query: str, params: QueryParams = None) -> list[dict[str, Any]]:
        """The rows of one SELECT; none where there is no journal yet."""
        if not (self.reader.folder / JOURNAL).is_dir():
            return []
        return self.reader.rows(query, params or [])

    def config(self) -> RunConfig:
        """The run as its newest start states it; read again when another process runs it."""
        pid = self.reader.status().pid
        with self._lock:
            if self._config is None or self._pid != pid or not self._config.symbols:
                self._config, self._pid = self._read(), pid
            return self._config

    def state(self) -> str:
        """RUNNING, PAUSED while nothing new is opened, STOPPED while no process runs."""
        status = self.reader.status()
        if not status.alive:
            return STOPPED
        return PAUSED if status.entries_halted else RUNNING

    def now_ns(self) -> int:
        """The run's time: that of the newest bar, or of the status where that is newer."""
        status = self.reader.status()
        return max(status.equity_ns, status.as_of_ns)

    def _read(self) -> RunConfig:
        found = self.rows("select payload from events where kind = 'run.started' order by ts_ns desc, seq desc limit 1")
        stated = msgspec.json.decode(found[0]["payload"], type=_StartedLine).data if found else RunStatement()
        models = self.rows(
            "select payload from events where kind = 'model.in_force' "
            "and json_extract_string(payload, '$.data.role') = 'signals' order by ts_ns desc, seq desc limit 1"
        )
        names = msgspec.json.decode(models[0]["payload"])["data"]["names"] if models else []
        status, folder, data = self.reader.status(), read_folder(self.reader.folder), stated.effective.data
        return RunConfig(
            symbols=tuple(stated.symbols or (folder.symbols if folder is not None else ())),
            interval_ns=stated.interval_ns, exchange=status.endpoint, mode=status.mode,
            sends_orders=status.mode in _ORDERS_SENT, strategy="+".join(names) or _BOT,
            max_open_trades=stated.effective.rollout.fixed_max_positions, recording=stated.recording,
            recording_settings=RecordingSettings(
                assumed_funding_rate=data.assumed_funding_rate, zero_volume_is_outage=data.zero_volume_is_outage
            ),
            has_bars_before=data.warm_up,
        )
