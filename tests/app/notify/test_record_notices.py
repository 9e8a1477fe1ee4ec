"""Records of a run in words: what is worth a notice and what is not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from quantum_trader.app.notify.notices import Notice, NoticeKind, NoticeLevel
from quantum_trader.app.notify.record_notices import NOTICED_TOPICS, notice_of
from quantum_trader.domain.enums import OrderSide
from quantum_trader.domain.pilot_settings import PilotMode, PilotSettings
from quantum_trader.domain.records import TOPICS
from quantum_trader.domain.trading import Fill
from quantum_trader.engine.facts import HaltNotice, ModelInForce, ModelRefused, PilotChanged
from quantum_trader.engine.recorder import MemorySink, Recorder

NOW = 1_700_000_000_000_000_000
LIMIT = "new entries stop: daily loss limit"
HALT = HaltNotice(kind="daily_loss", reason="lost 5 %", owner="risk", exit_path="the next day", level="")
FILL = Fill(
    fill_id="f", client_order_id="o", symbol="BTCUSDT", side=OrderSide.SELL, qty=0.25, price=50_000.5, fee=1.0,
    liquidity="taker", ts_ns=NOW,
)
MODEL = ModelInForce(
    role="signals", names=["trend"], ids=["b" * 64], before=["a" * 64], alias="registry:champion", version=7,
    actor="ann", reason="better",
)


def noticed(topic: str, data: Any, source: str = "engine") -> Notice | None:
    """The notice of a record as the engine writes it."""
    sink = MemorySink()
    Recorder(sink).record(topic, "", NOW, data, source)
    return notice_of(sink.lines[0])


@pytest.mark.parametrize(
    ("topic", "data", "kind", "key", "text", "level"),
    [
        ("halt.raised", HALT, NoticeKind.HALT, "daily_loss", f"{LIMIT}: lost 5 %; ends: the next day",
         NoticeLevel.CRITICAL),
        ("halt.cleared", HALT, NoticeKind.HALT, "daily_loss", f"{LIMIT}: over (lost 5 %)", NoticeLevel.INFO),
        ("order.filled", FILL, NoticeKind.FILL, "BTCUSDT", "BTCUSDT: SELL 0.25 at 50,000.50", NoticeLevel.INFO),
        ("model.in_force", MODEL, NoticeKind.PROMOTION, "signals", "signals: trend in force by ann: better",
         NoticeLevel.INFO),
        ("model.refused", ModelRefused(role="pilot", model="c" * 64, in_force=[], reason="not signed"),
         NoticeKind.PROMOTION, "pilot", f"pilot: model {'c' * 12} was refused, the one in force stays: not signed",
         NoticeLevel.WARNING),
        ("pilot.changed", PilotChanged(
            actor="bob", reason="evidence", before=PilotSettings(),
            after=PilotSettings(mode=PilotMode.PRIMARY), version=2,
         ), NoticeKind.PROMOTION, "pilot", "pilot: PRIMARY by bob: evidence", NoticeLevel.INFO),
        ("rollout.changed", {
            "in_force": {}, "change": {"actor": "ann", "action": "promote", "switch": "use_for_risk_sizing",
                                       "after": ["use_for_risk_sizing"], "reason": "shadow trades"},
         }, NoticeKind.PROMOTION, "rollout", "rollout: promote use_for_risk_sizing by ann; enforced: "
         "use_for_risk_sizing: shadow trades", NoticeLevel.INFO),
    ],
)
def test_a_record_becomes_a_sentence(
    topic: str, data: Any, kind: NoticeKind, key: str, text: str, level: NoticeLevel
) -> None:
    """With its kind, the key of its cool-down, its level and its time."""
    found = noticed(topic, data, "policy" if topic == "rollout.changed" else "engine")

    assert found == Notice(kind=kind, key=key, text=text, level=level, ts_ns=NOW)


def test_a_liquidation_is_critical() -> None:
    """It is no fill like others."""
    found = noticed("order.filled", msgspec.structs.replace(FILL, liquidation=True))
    assert found is not None
    assert found.level is NoticeLevel.CRITICAL
    assert "liquidation" in found.text


def test_the_start_of_a_run_and_a_change_of_limits_are_not_told() -> None:
    """Neither is a promotion."""
    assert noticed("model.in_force", msgspec.structs.replace(MODEL, before=[])) is None
    assert noticed("pilot.changed", PilotChanged(
        actor="bob", reason="x", before=PilotSettings(), after=PilotSettings(max_trades_per_hour=3), version=2
    )) is None


@pytest.mark.parametrize("line", [b"", b"{}", b"null", b'{"topic":"halt.raised","ts_ns":1,"data":{}}', b"\xff"])
def test_a_line_of_another_schema_is_passed_over(line: bytes) -> None:
    """It must not end the process that tells of halts."""
    assert notice_of(line) is None


def test_every_topic_that_is_looked_for_is_one() -> None:
    """A renamed topic would never be told again."""
    assert set(NOTICED_TOPICS) <= set(TOPICS)
