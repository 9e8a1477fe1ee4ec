"""The settings of live trading (section ``[live]`` of a settings file), and what a state folder is bound to.

The mode decides where orders go; a setting that contradicts it stops the start. DRY is the default: paper fills on live
market data, without keys. Only LIVE risks money, and it needs a confirmation sentence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.app.runs.state_dir import LOCAL_RUN
from quantum_trader.app.settings import LIVE_SECTION as SECTION
from quantum_trader.app.settings import LoadedSettings, load_settings, read_toml, unknown_key
from quantum_trader.domain.errors import ConfigError, StateError
from quantum_trader.domain.json_text import decode_json
from quantum_trader.domain.private_files import read_private
from quantum_trader.domain.symbols import check_symbols
from quantum_trader.market.intervals import RUN_INTERVALS, interval_ns
from quantum_trader.policy.storage import write_atomically
from quantum_trader.venues.binance.endpoints import endpoint
from quantum_trader.venues.binance.keys import ENDPOINT_NAMES, LIVE, LOCAL, TESTNET

CONFIRMATION: Final = "I accept real losses"
FOLDER_FILE: Final = "live.json"


class LiveMode(str, Enum):
    """Where orders go."""

    DRY = "DRY"  # paper fills on live market data; no keys, no orders
    TESTNET = "TESTNET"  # orders on Binance's testnet
    LIVE = "LIVE"  # real orders, real money
    LOCAL = "LOCAL"  # orders on the local venue over loopback


class OnForeign(str, Enum):
    """What happens with a position or order not opened by this bot."""

    ADOPT = "adopt"
    HALT = "halt"


class TriggerOn(str, Enum):
    """The price that triggers stops and targets."""

    CONTRACT_PRICE = "CONTRACT_PRICE"  # last trade
    MARK_PRICE = "MARK_PRICE"


_ENDPOINT_OF: Final = {LiveMode.TESTNET: TESTNET, LiveMode.LIVE: LIVE, LiveMode.LOCAL: LOCAL}
_RANGES: Final = (
    ("warmup_bars", 0, 100_000), ("reconcile_s", 5.0, 600.0), ("order_timeout_s", 1.0, 60.0),
    ("max_decision_delay_s", 0.5, 3600.0), ("stream_lost_s", 1.0, 600.0),
    ("watchdog_s", 10.0, 3600.0), ("status_s", 0.2, 60.0),
    ("stop_grace_s", 0.0, 600.0),
)


class LiveSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the system trades live. Times in seconds."""

    mode: LiveMode = LiveMode.DRY
    endpoint: str = ""  # of market data and orders; empty: the mode's own, binance-live for DRY
    address: str = ""  # of the local venue, such as http://127.0.0.1:8080; for no other endpoint
    confirm_live: str = ""  # mode LIVE: "I accept real losses"
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT", "LTCUSDT", "XRPUSDT")
    interval: str = "30m"  # of the bars that decisions are made on
    warmup_bars: int = 1500  # completed bars fetched for each symbol before the first decision
    reconcile_s: float = 60.0  # interval of the comparison of books and exchange
    on_foreign: OnForeign = OnForeign.HALT
    trigger_on: TriggerOn = TriggerOn.CONTRACT_PRICE
    order_timeout_s: float = 10.0  # without an answer for this long an order's outcome is unknown and is queried
    max_decision_delay_s: float = 10.0  # later bars open no position
    stream_lost_s: float = 5.0  # a stream down for this long: the venue counts as lost, new entries stop
    watchdog_s: float = 180.0  # a process without progress for this long ends itself; stops rest at the venue
    status_s: float = 2.0  # interval of the status file
    stop_grace_s: float = 10.0  # a graceful stop waits this long for requests in flight

    def __post_init__(self) -> None:
        for key, low, high in _RANGES:
            value = getattr(self, key)
            if not (math.isfinite(value) and low <= value <= high):
                raise ConfigError(f"live.{key} = {value!r}: must be between {low:g} and {high:g}")
        if not self.symbols:
            raise ConfigError("live.symbols = []: name at least one symbol, such as BTCUSDT")
        check_symbols("live.symbols", self.symbols)
        self._check_interval()
        self._check_endpoint()
        self._check_confirmation()

    def _check_interval(self) -> None:
        if self.interval not in RUN_INTERVALS:
            raise ConfigError(
                f"live.interval = {self.interval!r}: must be one of {', '.join(RUN_INTERVALS)}; longer bars are "
                "made of them for the models that look at those"
            )

    def _check_endpoint(self) -> None:
        if self.endpoint and self.endpoint not in ENDPOINT_NAMES:
            raise ConfigError(f"live.endpoint = {self.endpoint!r}: must be one of {', '.join(ENDPOINT_NAMES)}")
        wanted = _ENDPOINT_OF.get(self.mode)
        if wanted is not None and self.endpoint not in ("", wanted):
            raise ConfigError(
                f"live.endpoint = {self.endpoint!r}: contradicts live.mode = {self.mode.value}, which trades at "
                f"{wanted}; remove one of them"
            )
        if self.venue != LOCAL:
            if self.address:
                raise ConfigError(
                    f"live.address = {self.address!r}: {self.venue} has its own address; only the endpoint "
                    "local takes one"
                )
            return
        if not self.address:
            raise ConfigError(
                "live.address = '': give the address of the local venue (quantum-trader venue serve prints it), such "
                "as http://127.0.0.1:8080"
            )
        try:
            endpoint(LOCAL, self.address)
        except ConfigError as error:
            raise ConfigError(f"live.{error}") from None

    def _check_confirmation(self) -> None:
        if self.mode is LiveMode.LIVE and self.confirm_live != CONFIRMATION:
            raise ConfigError(
                f"live.mode = LIVE: trades real money; to confirm, write confirm_live = {CONFIRMATION!r} in "
                f"[{SECTION}]"
            )
        if self.mode is not LiveMode.LIVE and self.confirm_live:
            raise ConfigError(
                f"live.confirm_live is set but live.mode = {self.mode.value}: set mode = LIVE, or remove the "
                "confirmation"
            )

    @property
    def venue(self) -> str:
        """Name of the endpoint in use."""
        return self.endpoint or _ENDPOINT_OF.get(self.mode, LIVE)

    @property
    def needs_keys(self) -> bool:
        """Whether the mode needs API keys: every mode but DRY."""
        return self.mode is not LiveMode.DRY

    @property
    def interval_ns(self) -> int:
        """Length of a bar."""
        return interval_ns(self.interval)


class LoadedLive(msgspec.Struct, frozen=True, kw_only=True):
    """Live settings, the run settings around them (account, policy, risk, signals), and where each came from."""

    live: LiveSettings
    run: LoadedSettings
    sources: dict[str, str]


def load_live_settings(
    file: Path | None = None,
    live_flags: Mapping[str, tuple[Any, str]] | None = None,
    run_flags: Mapping[str, tuple[Any, str]] | None = None,
) -> LoadedLive:
    """Read ``[live]`` and the other sections of *file*, lay the flags (key -> value, the flag's name) over them.

    Raises ConfigError naming the key, its value and what would be right.
    """
    run = load_settings(file, run_flags)
    values = read_toml(file).get(SECTION, {}) if file is not None else {}
    sources = dict.fromkeys((f"{SECTION}.{name}" for name in LiveSettings.__struct_fields__), "default")
    sources.update((f"{SECTION}.{name}", file.name if file is not None else "") for name in values)
    for name, (value, flag) in (live_flags or {}).items():
        values[name], sources[f"{SECTION}.{name}"] = value, flag
    live = read_section(values)
    if run.settings.engine.ungated:
        raise ConfigError("engine.ungated = true: is for comparing in a replay; live trading keeps its limits")
    _check_together(live, run)
    return LoadedLive(live=live, run=run, sources=sources)


def read_section(values: Mapping[str, Any]) -> LiveSettings:
    """*values* as settings; ConfigError naming the first key that cannot be used."""
    return LiveSettings(**{name: getattr(check_keys(values), name) for name in values})


def check_keys(values: Mapping[str, Any]) -> Any:
    """*values*, each of its key's type; ConfigError naming the first unknown key or wrong type."""
    for name in values:
        if name not in LiveSettings.__struct_fields__:
            known = tuple(f"{SECTION}.{field}" for field in LiveSettings.__struct_fields__)
            raise ConfigError(unknown_key(f"{SECTION}.{name}", known))
    try:
        return msgspec.convert(dict(values), _TYPED, strict=True)
    except msgspec.ValidationError as error:
        text, _, where = str(error).partition(" - at `$")
        name = where.strip("`.").split("[")[0]
        words = _WORDS.get(name)
        hint = f"must be one of {', '.join(words)}" if words else f"{text[:1].lower()}{text[1:]}"
        raise ConfigError(f"{SECTION}.{name} = {values.get(name)!r}: {hint}") from None


# The keys and their types alone, without the checks of the whole.
_TYPED: Final = msgspec.defstruct(
    "LiveKeys", [(field.name, field.type, field.default) for field in msgspec.structs.fields(LiveSettings)]
)
_WORDS: Final = {
    name: tuple(str(member.value) for member in kind)
    for name, kind in (("mode", LiveMode), ("on_foreign", OnForeign), ("trigger_on", TriggerOn))
}


def _check_together(live: LiveSettings, run: LoadedSettings) -> None:
    """Refuse a file whose section [data] contradicts [live]."""
    data = run.settings.data
    if data.symbols and set(data.symbols) != set(live.symbols):
        raise ConfigError(
            f"data.symbols = {list(data.symbols)}: differs from live.symbols = {list(live.symbols)}; live trading "
            "takes live.symbols, so remove the other or make them equal"
        )
    if data.interval and data.interval != live.interval:
        raise ConfigError(
            f"data.interval = {data.interval!r}: differs from live.interval = {live.interval!r}; live trading takes "
            "live.interval, so remove the other or make them equal"
        )


# ---------------------------------------------------------------------- what a folder is bound to


class LiveFolder(msgspec.Struct, frozen=True, kw_only=True):
    """What a state folder trades, without keys: written by its first start, compared by every later one."""

    version: int = 1
    mode: LiveMode
    endpoint: str
    address: str
    symbols: tuple[str, ...]
    interval: str
    trigger_on: TriggerOn

    def settings(self) -> LiveSettings:
        """Settings that reach the same account; for commands that act on a folder whose process is dead."""
        return LiveSettings(
            mode=self.mode, endpoint=self.endpoint, address=self.address, symbols=self.symbols,
            interval=self.interval, trigger_on=self.trigger_on,
            confirm_live=CONFIRMATION if self.mode is LiveMode.LIVE else "",
        )


def read_folder(state_dir: Path) -> LiveFolder | None:
    """What the folder trades; None when it is no live folder. StateError when the file is damaged."""
    path = state_dir / FOLDER_FILE
    try:
        raw = read_private(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        return decode_json(raw, LiveFolder)
    except (msgspec.DecodeError, ConfigError):
        raise StateError(
            f"{path}: damaged; nothing is traded from it. Put back a copy, or choose another --state folder"
        ) from None


def check_folder(state_dir: Path, live: LiveSettings) -> LiveFolder:
    """What *live* trades in *state_dir*; StateError when the folder trades something else. Nothing is written."""
    folder = LiveFolder(
        mode=live.mode, endpoint=live.venue, address=live.address, symbols=live.symbols, interval=live.interval,
        trigger_on=live.trigger_on,
    )
    before = read_folder(state_dir)
    if before is None and any((state_dir / name).exists() for name in ("checkpoint", LOCAL_RUN)):
        raise StateError(f"--state {state_dir}: holds a replay; choose another folder for live trading")
    if before is not None:
        for key in ("mode", "endpoint", "symbols", "interval"):
            had, has = getattr(before, key), getattr(folder, key)
            if had != has:
                raise StateError(
                    f"--state {state_dir}: trades with {key} = {_plain(had)}, now {_plain(has)}; give the same "
                    "settings, or choose another --state folder"
                )
    return folder


def bind_folder(state_dir: Path, live: LiveSettings) -> LiveFolder:
    """Bind *state_dir* (whose lock the caller holds) to what *live* trades; StateError when it trades something else.

    Called after the venue has accepted the symbols, so that a refused start binds nothing. The local venue's address
    may change between starts: it is a new port of the same venue.
    """
    folder = check_folder(state_dir, live)
    if folder != read_folder(state_dir):
        try:
            write_atomically(state_dir / FOLDER_FILE, msgspec.json.encode(folder) + b"\n")
        except OSError as error:
            raise StateError(f"{state_dir / FOLDER_FILE}: cannot be written ({error.strerror})") from None
    return folder


def _plain(value: Any) -> str:
    return str(value.value) if isinstance(value, Enum) else ",".join(value) if isinstance(value, tuple) else str(value)
