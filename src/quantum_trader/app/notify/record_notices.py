"""Which records of a run are worth a notice, and in which words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from quantum_trader.app.notify.notices import Notice, NoticeKind, NoticeLevel
from quantum_trader.app.report.formats import price, signed_money
from quantum_trader.app.report.words import words

Data = Mapping[str, Any]
_SHORT: Final = 12  # characters of a model's id


class _RecordLine(msgspec.Struct):
    topic: str
    ts_ns: int
    data: dict[str, Any]


def notice_of(line: bytes | str) -> Notice | None:
    """The notice of the record *line*; None where it is not worth one, or not of this schema."""
    try:
        record = msgspec.json.decode(line, type=_RecordLine)
        make = _WORDS.get(record.topic)
        found = make(record.data) if make is not None else None
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        return None
    return msgspec.structs.replace(found, ts_ns=record.ts_ns) if found is not None else None


def _raised(data: Data) -> Notice:
    ends = f"; ends: {data['exit_path']}" if data["exit_path"] else ""
    mild = data.get("level") in ("CAUTIOUS",)
    return Notice(
        kind=NoticeKind.HALT, key=data["kind"], text=f"{words(data['kind'])}: {data['reason']}{ends}",
        level=NoticeLevel.WARNING if mild else NoticeLevel.CRITICAL,
    )


def _cleared(data: Data) -> Notice:
    return Notice(kind=NoticeKind.HALT, key=data["kind"], text=f"{words(data['kind'])}: over ({data['reason']})")


def _filled(data: Data) -> Notice:
    forced = " by liquidation" if data.get("liquidation") else ""
    return Notice(
        kind=NoticeKind.FILL, key=data["symbol"],
        text=f"{data['symbol']}: {data['side']} {data['qty']:g} at {price(data['price'])}{forced}",
        level=NoticeLevel.CRITICAL if forced else NoticeLevel.INFO,
    )


def _closed(data: Data) -> Notice:
    risk = f", {data['r_multiple']:+.2f} R" if data.get("r_multiple") is not None else ""
    return Notice(
        kind=NoticeKind.TRADE, key=data["symbol"],
        text=f"{data['symbol']}: {data['side']} closed ({words(data['exit_reason'])}), "
             f"{signed_money(data['pnl'])} USDT{risk}",
    )


def _model(data: Data) -> Notice | None:
    if not data["before"]:
        return None  # the start of a run
    by = f" by {data['actor']}" if data["actor"] else ""
    why = f": {data['reason']}" if data["reason"] else ""
    return Notice(
        kind=NoticeKind.PROMOTION, key=data["role"],
        text=f"{data['role']}: {', '.join(data['names']) or 'no model'} in force{by}{why}",
    )


def _refused(data: Data) -> Notice:
    return Notice(
        kind=NoticeKind.PROMOTION, key=data["role"], level=NoticeLevel.WARNING,
        text=f"{data['role']}: model {data['model'][:_SHORT]} was refused, the one in force stays: {data['reason']}",
    )


def _rollout(data: Data) -> Notice:
    change = data.get("change") or {}
    if not change:
        return Notice(kind=NoticeKind.PROMOTION, key="rollout", text=str(data.get("notice", "the rollout has changed")))
    what = f"{words(change['action'])} {change['switch'] or 'the policy'}".strip()
    enforced = ", ".join(change["after"]) or "nothing"
    why = f": {change['reason']}" if change.get("reason") else ""
    text = f"rollout: {what} by {change['actor']}; enforced: {enforced}{why}"
    return Notice(kind=NoticeKind.PROMOTION, key="rollout", text=text)


def _pilot(data: Data) -> Notice | None:
    before, after = data["before"], data["after"]
    if before is None or (before.get("mode"), before.get("enabled")) == (after.get("mode"), after.get("enabled")):
        return None
    mode = after["mode"] if after.get("enabled", True) else "OFF"
    return Notice(
        kind=NoticeKind.PROMOTION, key="pilot", text=f"pilot: {mode} by {data['actor']}: {data['reason']}"
    )


_WORDS: Final[dict[str, Callable[[Data], Notice | None]]] = {
    "halt.raised": _raised, "halt.cleared": _cleared, "order.filled": _filled, "trade.closed": _closed,
    "model.in_force": _model, "model.refused": _refused, "rollout.changed": _rollout, "pilot.changed": _pilot,
}
NOTICED_TOPICS: Final = tuple(_WORDS)
