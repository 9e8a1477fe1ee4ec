"""The program and its computer in freqtrade's shape: settings, health, log lines, load."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader import __version__
from quantum_trader.app.api.freqtrade.facts import RUNNING, RunView
from quantum_trader.app.api.freqtrade.words import STAKE, date_of, dated, ms_of
from quantum_trader.app.api.stream import KINDS

API_VERSION: Final = 2.35
MOST_LINES: Final = 1_000
_WARNINGS: Final = ("halt.raised", "trade.failed", "health.changed", "input.failed")
_TOO_LONG: Final = ("policy.updated",)  # a policy has hundreds of figures; its changes are no events of a day's log
_MEASURED_S: Final = 0.1  # the load of the cores is that of so long
_TEXT: Final = 500  # characters of a line


def config_answer(view: RunView) -> dict[str, Any]:
    """The answer to show_config: what trading takes place, and what a client may ask for."""
    config, status = view.config(), view.reader.status()
    return {
        "version": __version__, "strategy_version": None, "api_version": API_VERSION,
        "dry_run": not config.sends_orders,
        "trading_mode": "futures", "short_allowed": True, "stake_currency": STAKE, "stake_currency_decimals": 3,
        "stake_amount": "unlimited", "available_capital": None, "max_open_trades": config.max_open_trades,
        "minimal_roi": {}, "stoploss": None, "stoploss_on_exchange": True, "trailing_stop": False,
        "trailing_stop_positive": None, "trailing_stop_positive_offset": None,
        "trailing_only_offset_is_reached": False, "unfilledtimeout": None, "order_types": None,
        "use_custom_stoploss": True, "timeframe": config.timeframe, "timeframe_ms": config.interval_ns // 1_000_000,
        "timeframe_min": config.timeframe_min, "exchange": config.exchange, "strategy": config.strategy,
        "force_entry_enable": status.alive, "exit_pricing": {}, "entry_pricing": {}, "bot_name": config.bot_name,
        "state": view.state(), "runmode": "live" if config.sends_orders else "dry_run",
        "position_adjustment_enable": False, "max_entry_position_adjustment": 0,
    }


def health_answer(view: RunView) -> dict[str, Any]:
    """When the run last showed life, and when its books began."""
    status = view.reader.status()
    since_ns = status.result.since_ns if status.result is not None else 0
    seen = {
        "last_process": date_of(status.as_of_ns), "last_process_loc": date_of(status.as_of_ns),
        "last_process_ts": (ms_of(status.as_of_ns) or 0) // 1_000 or None,
    }
    starts: dict[str, Any] = {}
    for name in ("bot_start", "bot_startup"):
        found = dated(name, since_ns)
        starts |= {name: found[f"{name}_date"], f"{name}_loc": found[f"{name}_date"],
                   f"{name}_ts": (found[f"{name}_timestamp"] or 0) // 1_000 or None}
    return {**seen, **starts, "state": view.state(), "running": view.state() == RUNNING,
            "problems": list(status.problems)}


def log_answer(view: RunView, limit: int) -> dict[str, Any]:
    """The newest *limit* records of what happened, oldest first, as lines of a log."""
    kinds = [*(kind for kind in KINDS if kind not in _TOO_LONG), "input.failed"]
    marks = ", ".join("?" * len(kinds))
    found = view.rows(
        f"select ts_ns, kind, symbol, producer, payload from events where kind in ({marks}) "
        "order by ts_ns desc, producer desc, seq desc limit ?", [*kinds, limit],
    )
    lines = [[
        date_of(row["ts_ns"]), ms_of(row["ts_ns"]), f"{row['producer']}.{row['kind']}",
        "WARNING" if row["kind"] in _WARNINGS else "INFO", _text(row["symbol"], row["payload"]),
    ] for row in reversed(found)]
    return {"log_count": len(lines), "logs": lines}


def _text(symbol: str, payload: str) -> str:
    """What a record says: its fields as ``name=value``, those that are empty left out."""
    try:
        data = msgspec.json.decode(payload).get("data", {})
    except (msgspec.DecodeError, AttributeError):
        return payload[:_TEXT]
    parts = [f"{key}={value}" for key, value in data.items() if value not in ("", None, [], {}) and key != "symbol"]
    return " ".join([*([symbol] if symbol else []), *parts])[:_TEXT]


def load_answer() -> dict[str, Any]:
    """The load of each core and of the memory, in percent; an empty list and 0.0 where the system does not say."""
    before = _core_times()
    time.sleep(_MEASURED_S)
    after = _core_times()
    cores = []
    for name, (busy, whole) in after.items():
        was_busy, was_whole = before.get(name, (0, 0))
        cores.append(round(100.0 * (busy - was_busy) / max(1, whole - was_whole), 1))
    return {"cpu_pct": cores, "ram_pct": _memory_pct()}


def _core_times() -> dict[str, tuple[int, int]]:
    """Busy and all ticks of each core since the start of the system."""
    found = {}
    for line in _lines("/proc/stat"):
        name, *ticks = line.split()
        if name.startswith("cpu") and name != "cpu":
            spent = [int(one) for one in ticks[:8]]
            whole = int(math.fsum(spent))
            found[name] = (whole - spent[3] - spent[4], whole)  # idle, and idle while waiting for a disk
    return found


def _memory_pct() -> float:
    sizes = {line.partition(":")[0]: line.split()[1] for line in _lines("/proc/meminfo")}
    if "MemAvailable" not in sizes:
        return 0.0
    return round(100.0 - 100.0 * int(sizes["MemAvailable"]) / int(sizes["MemTotal"]), 1)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines() if os.name == "posix" else []
    except OSError:
        return []
