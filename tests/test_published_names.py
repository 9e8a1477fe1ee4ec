"""The original's names: each example of docs/published-names.md runs, and each name is where the page says it is."""

from __future__ import annotations

import importlib
import json
import logging
import math
import re
import warnings
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from quantum_trader.app.cli.policy import profile_app
from quantum_trader.domain.enums import Side
from quantum_trader.domain.errors import ConfigError, DataError, InputError, StateError
from quantum_trader.journal import DecisionTracer, EventBus, EventLogger, SignalEvent, TradeJournal
from quantum_trader.live.bus import BusSink
from quantum_trader.live.intents import sized_intent
from quantum_trader.market import CostConfig, CostModel, RegimeDetector, SymbolPerformanceManager
from quantum_trader.policy import (
    OrchestratorConfig,
    OrchestratorIntegrationConfig,
    OrchestratorMode,
    OrchestratorPolicy,
    create_cost_metrics,
    create_risk_state,
    load_profile,
    read_profile,
)
from quantum_trader.risk import get_exit_params

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "published-names.md").read_text("utf-8")
NOW = 1_700_000_000_000_000_000
HOUR = 3_600 * 10**9


def blocks() -> list[str]:
    """The Python blocks of the page."""
    return re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def rows(heading: str) -> list[tuple[str, str]]:
    """The two cells of each row of the table under *heading*."""
    part = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| (.+) \| (.+) \|$", part, re.MULTILINE)[1:]


@pytest.mark.parametrize("block", blocks(), ids=lambda block: re.sub(r"\W+", "-", block.strip().splitlines()[-1])[:50])
def test_the_example_runs(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is printed, in an empty folder, without a profile chosen by the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ORCH_PROFILE", raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # utcnow, as the original's documents print it
        exec(compile(block, "docs/published-names.md", "exec"), {"__name__": "example"})


def test_each_name_is_where_the_page_says() -> None:
    """Every name in the first table can be imported from the module beside it."""
    table = rows("Where to import from")
    names = [
        (re.findall(r"`([\w.]+)`", there)[0], re.findall(r"`([A-Z]\w+|[a-z]+_\w+)`", here)) for here, there in table
    ]
    found = {name: hasattr(importlib.import_module(module), name) for module, some in names for name in some
             if name not in ("cost_model", "symbol_performance")}

    assert len(found) >= 30
    assert [name for name, there in found.items() if not there] == []


# ---- policy and profiles --------------------------------------------------------------------------------------------
def test_the_fifth_argument_is_recognised_by_its_type() -> None:
    """Costs fifth, quality fifth, or costs fifth and quality sixth: the same policy."""
    risk, costs = create_risk_state(0.0, 0.0, 0, 0, 0.0), create_cost_metrics("HIGH", "LOW")
    market = ("TRENDING", "NORMAL", risk, [])
    made = [
        OrchestratorPolicy(profile_name="SAFE").update_policy(*market, *rest, now=NOW)
        for rest in ((0.3, costs), (costs, 0.3))
    ]
    only_costs = OrchestratorPolicy(profile_name="SAFE").update_policy(*market, costs, now=NOW)

    assert made[0] == made[1]
    assert {rule.rule for rule in made[0].rules} - {rule.rule for rule in only_costs.rules} == {"E1"}
    with pytest.raises(InputError, match="ensemble_quality"):
        OrchestratorPolicy().update_policy(*market, "good")


def test_published_spellings_work_in_a_profile_file_and_nowhere_else(tmp_path: Path) -> None:
    """A multiplier is no confidence adjustment: there the key is refused with the known ones."""
    path = tmp_path / "mine.toml"
    path.write_text(
        'extends = "SAFE"\nmax_cost_in_R = 0.12\n[risk_multipliers]\nhigh_spread_multiplier = 0.5\n'
        "high_slippage_multiplier = 0.5\nextreme_vol_multiplier = 0.0\n[symbol_performance_thresholds]\n"
        "min_avg_R = 0.2\n"
    )
    profile = read_profile(path)
    assert (profile.max_cost_in_r, profile.risk_multipliers["high_spread"]) == (0.12, 0.5)
    assert profile.symbol_performance_thresholds["min_avg_r"] == 0.2

    path.write_text('extends = "SAFE"\n[confidence_adjustments]\nhigh_spread_multiplier = 0.1\n')
    with pytest.raises(ConfigError, match=r"high_spread_multiplier.*known keys"):
        read_profile(path)


def test_a_profile_as_a_mapping_is_a_copy() -> None:
    """Changing it changes neither the policy nor the next one that is loaded."""
    policy = OrchestratorPolicy(profile_name="SAFE")
    policy.profile["risk_multipliers"]["BULL"] = 3.0
    load_profile("SAFE")["risk_multipliers"]["BULL"] = 3.0

    assert policy.profile["risk_multipliers"]["BULL"] == load_profile("SAFE")["risk_multipliers"]["BULL"] == 0.9
    assert len(policy.profile) == 10
    assert "min_avg_R" in policy.profile["symbol_performance_thresholds"]
    assert (policy.profile.get("base_risk_pct"), policy.profile.get("nothing", 1)) == (0.8, 1)
    assert json.loads(json.dumps(policy.profile))["core"]["losing_streak_limit"] == 4
    with pytest.raises(KeyError):
        policy.profile["nothing"]


def test_a_switch_can_be_assigned_in_live_mode_alone() -> None:
    """Nothing else can be assigned, and what runs keeps a copy of its own."""
    from quantum_trader.policy.rollout_file import RolloutFile

    config = OrchestratorIntegrationConfig(mode=OrchestratorMode.LIVE)
    running = RolloutFile("unused-folder", initial=config)
    config.use_for_exit_mode = True

    assert config.switches == (0, 0, 0, 0, 0, 1)
    assert running.config.switches == (0, 0, 0, 0, 0, 0)
    for name, value in (("fixed_risk_pct", 2.0), ("use_for_nothing", True), ("mode", OrchestratorMode.OBSERVE)):
        with pytest.raises(AttributeError, match="frozen"):
            setattr(config, name, value)
    with pytest.raises(ConfigError, match="use_for_exit_mode"):
        config.use_for_exit_mode = 1
    with pytest.raises(ConfigError, match="contradicts mode = OBSERVE"):
        OrchestratorIntegrationConfig().use_for_risk_sizing = True


def test_the_note_keeps_the_loss_that_hit_the_limit(tmp_path: Path) -> None:
    """-3.50 % stays in the note after a restart, and a limit that is only latched names no figure of its own."""
    path = tmp_path / "policy.json"
    policy = OrchestratorPolicy(profile_name="STANDARD", state_path=path)
    policy.update_policy("TRENDING", "NORMAL", create_risk_state(-1.0, -3.5, 0, 0, 0.0), now=NOW)
    again = OrchestratorPolicy(profile_name="STANDARD", state_path=path)
    assert "Daily DD limit hit (-3.50%)" in again.get_policy().note

    later = again.update_policy("RANGING", "NORMAL", create_risk_state(-1.0, -1.0, 0, 0, 0.0), now=NOW + HOUR)
    assert "Daily DD limit hit (allow_new_trades" in later.note


def test_the_library_logs_what_happens(caplog: pytest.LogCaptureFixture) -> None:
    """Profile loaded, policy initialized and changed, OBSERVE mode; a limit as a warning."""
    caplog.set_level(logging.INFO, logger="quantum_trader")
    policy = OrchestratorPolicy(profile_name="SAFE")
    policy.update_policy("TRENDING", "NORMAL", create_risk_state(0.0, -3.5, 0, 0, 0.0), now=NOW)
    OrchestratorIntegrationConfig.create_observe_mode()

    said = caplog.text
    for words in (
        "Loading SAFE profile: Capital first", "Using profile: SAFE", "Base confidence=0.55, Base risk=0.80%",
        "Policy changed", "OBSERVE mode",
    ):
        assert words in said
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warned == ["Limit hit: B1 Daily DD limit hit (-3.50%)"]


def test_profile_show_ends_with_when_to_use_which() -> None:
    """In words and in JSON."""
    shown = CliRunner().invoke(profile_app, ["show", "SAFE"]).stdout.strip().splitlines()
    assert "Use SAFE for real money" in " ".join(shown[-6:])
    told = json.loads(CliRunner().invoke(profile_app, ["show", "SAFE", "--json"]).stdout)
    assert list(told["use_when"]) == ["SAFE", "STANDARD", "AGGRESSIVE"]


def test_from_profile_takes_the_environment_s_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a name it is the profile in use, and CURRENT_PROFILE names it."""
    import quantum_trader.policy as library

    monkeypatch.setenv("ORCH_PROFILE", "aggressive")
    assert (OrchestratorConfig.from_profile().name, library.CURRENT_PROFILE) == ("AGGRESSIVE", "AGGRESSIVE")


# ---- quant modules --------------------------------------------------------------------------------------------------
def test_the_detector_measures_bars_as_the_engine_does() -> None:
    """The same numbers as the scalar functions over the same bars; saved and restored in the middle."""
    from quantum_trader.market.regime import (
        MEASURE_ADX,
        MEASURE_SIZE,
        MEASURE_VOL_RATIO,
        measure_clear,
        measure_trend,
        measure_volatility,
    )

    detector, row = RegimeDetector(), [0.0] * MEASURE_SIZE
    measure_clear(row, 0)
    highest = lowest = 0.0
    for hour in range(120):
        close = 100.0 + hour + 3.0 * math.sin(hour)
        high, low = close + 1.0, close - 1.5
        highest, lowest = (high, low) if hour % 4 == 0 else (max(highest, high), min(lowest, low))
        result = detector.add_bar(hour * HOUR, high, low, close, 5.0)
        if hour % 4 == 3:
            measure_volatility(row, 0, highest, lowest, close)
        measure_trend(row, 0, high, low, close, 5.0, 21, 25.0, 22.0, 3.0)
        if hour == 50:
            saved, detector = msgspec.json.encode(detector.state()), RegimeDetector()
            detector.load_state(msgspec.json.decode(saved))

    assert (result.atr_ratio, result.adx) == (row[MEASURE_VOL_RATIO], row[MEASURE_ADX])
    assert (result.trend_regime, result.direction) == ("TRENDING", "UP")
    with pytest.raises(StateError):
        detector.load_state({"version": 1, "row": [1.0], "open": []})


def test_a_regime_that_is_not_known_is_unknown() -> None:
    """No price, no ADX: UNKNOWN, never NORMAL."""
    result = RegimeDetector().detect_regime({"atr": 1_000.0, "atr_100": 800.0, "adx": float("nan")})
    assert (result.regime, result.trend_regime) == ("UNKNOWN_VOL", "UNKNOWN")


def test_the_parts_of_a_cost_are_its_total() -> None:
    """Fees, slippage and funding sum to the cost in R times the risk; 5 bps of 5,000 are 2.5 a side."""
    cost = CostModel().estimate_cost(50_000.0, 52_000.0, 0.1, atr=1_000.0, stop_loss=48_000.0)
    assert cost.entry_fee == pytest.approx(2.5)
    assert cost.total_cost == pytest.approx(cost.cost_in_R * 2_000.0 * 0.1)
    assert CostModel().net_R_after_costs(2.0, 50_000.0, 48_000.0, 54_000.0, 0.1, atr=1_000.0) == pytest.approx(
        2.0 - cost.cost_in_R
    )
    even = CostModel().breakeven_price(50_000.0, 48_000.0, 0.1, 1_000.0)
    assert even == pytest.approx(50_000.0 + cost.total_cost / 0.1)
    with pytest.raises(InputError, match="volatility_slippage_factor"):
        CostConfig(volatility_slippage_factor=40.0)


def test_a_disabled_symbol_comes_back_by_shadow_trades(tmp_path: Path) -> None:
    """Ten losses disable; three shadow wins enable; the file remembers it in between."""
    path = tmp_path / "performance.json"
    manager = SymbolPerformanceManager(persistence_file=path)
    for _ in range(10):
        manager.update_stats("SOLUSDT", -10.0, -1.0, False)
    again = SymbolPerformanceManager(persistence_file=path)
    assert (again.should_trade_symbol("SOLUSDT"), again.get_risk_modifier("SOLUSDT")) == (False, 0.0)
    assert (again.get_stats("SOLUSDT").consecutive_losses, path.stat().st_mode & 0o777) == (10, 0o600)
    assert [again.update_shadow("SOLUSDT", 0.5) for _ in range(3)] == [False, False, True]
    assert again.should_trade_symbol("SOLUSDT")
    path.write_text('{"version": 1, "rows": {"SOLUSDT": [1]}}')
    with pytest.raises(StateError):
        SymbolPerformanceManager(persistence_file=path)


def test_an_unknown_regime_names_the_known_ones() -> None:
    """No default exits for a name that is not there."""
    with pytest.raises(InputError, match="EXTREME_VOL"):
        get_exit_params("CALM")


# ---- events, bus, intents -------------------------------------------------------------------------------------------
SIGNAL: dict[str, Any] = {
    "trace_id": "t", "symbol": "BTCUSDT", "ts_ns": NOW, "signal_id": "s", "side": "LONG", "confidence": 0.6,
    "consensus": 0.5, "model": "m", "features_ts_ns": NOW,
}


@pytest.mark.parametrize(("field", "value"), [
    ("confidence", "abc"), ("confidence", 7.0), ("confidence", float("nan")), ("symbol", None),
])
def test_a_wrong_event_is_refused(field: str, value: Any) -> None:
    """Where it is made, with the field's name."""
    with pytest.raises(InputError, match=field):
        SignalEvent(**{**SIGNAL, field: value})


def test_feature_times_cannot_be_changed_afterwards() -> None:
    """The leakage guard cannot be passed by that way."""
    from quantum_trader.journal.kinds import DecisionEvent

    event = DecisionEvent(
        trace_id="t", symbol="BTCUSDT", ts_ns=NOW, signal_id="s", decision="ALLOWED", reason="", confidence=0.5,
        feature_times={"rsi": NOW},
    )
    with pytest.raises(TypeError):
        event.feature_times["rsi"] = NOW + 1


def test_a_bad_line_is_refused_and_the_query_still_answers(tmp_path: Path) -> None:
    """The lines of runs are found under the short kinds, and one SELECT is all that is answered."""
    with EventLogger(tmp_path / "journal") as logger:
        logger.log(SignalEvent(**SIGNAL))
        with pytest.raises((InputError, DataError)):
            logger.log_line("note", NOW, b"{not json")
        record = {
            "seq": 1, "event_id": "e1", "topic": "risk.denied", "trace_id": "t", "ts_ns": NOW, "received_ns": NOW,
        }
        logger.log_line("note", NOW, json.dumps(record).encode())
        assert logger.query("SELECT count(*) AS n FROM events WHERE kind = 'signal';")["n"].to_list() == [1]
        assert logger.query("with x as (select kind from events) select * from x order by 1")["kind"].to_list() == [
            "note", "signal",
        ]
        with pytest.raises(InputError):
            logger.query("select 1; drop view events")


def test_a_trace_of_unknown_id_is_refused() -> None:
    """A typing error is told, and a symbol is never taken for a time."""
    tracer = DecisionTracer()
    assert tracer.analyze_trace(tracer.start_trace("s1", "ETH-USD")).symbol == "ETH-USD"
    with pytest.raises(InputError, match="s2"):
        tracer.record_step("s2", "gate", 1.0)
    with pytest.raises(InputError, match="duration_ms"):
        tracer.record_step("s1", "gate", -1.0)


def test_a_traded_shadow_is_not_counted_twice(tmp_path: Path) -> None:
    """The shadow of a traded signal is in the trades."""
    with TradeJournal(tmp_path / "journal.db", clock=lambda: NOW) as journal:
        journal.add_shadow_trades([
            {"signal_id": name, "mode": "scalp", "closed_ns": NOW, "r": r, "traded": traded}
            for name, r, traded in (("a", 1.0, 0), ("b", -1.0, 0), ("c", 1.0, 1))
        ])
        stats = journal.get_stats(mode="scalp", days=7)
    assert (stats.total_trades, stats.shadow_trades, stats["win_rate"], stats.total_pnl) == (2, 2, 0.5, 0.0)
    assert dict(stats)["total_pnl_gbp"] == 0.0


class _Kept:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.topics: list[str] = []

    def append(self, line: bytes, topic: str, ts_ns: int) -> None:
        self.topics.append(topic)


def test_a_subscribed_topic_is_published_and_trade_intent_never() -> None:
    """Intents come in by that topic: an intent on record is not one from outside."""
    bus, sink, seen = EventBus(), _Kept(), []
    for topic in ("signal.generated", "trade.intent"):
        bus.subscribe(topic, lambda topic, _: seen.append(topic))
    kept = BusSink(sink, bus, frozenset({"trade.failed"}))
    for topic in ("signal.generated", "trade.intent", "policy.updated"):
        kept.append(json.dumps({
            "seq": 1, "event_id": "e", "topic": topic, "trace_id": "", "ts_ns": 1, "received_ns": 1, "source": "x",
            "schema": 1, "data": {},
        }).encode(), topic, 1)

    assert (seen, len(sink.topics)) == (["signal.generated"], 3)


PUBLISHED_INTENT: dict[str, Any] = {
    "symbol": "BTCUSDT", "side": "SELL", "size_pct": 0.10, "source": "RL_V3_HYBRID_CONSENSUS", "confidence": 0.7,
    "leverage": 3, "trace_id": "t1", "rl_action": "SHORT_SMALL",
}


def test_size_pct_is_a_share_of_equity() -> None:
    """10 % of 10,000 at a price of 50,000 is 0.02; the source stays as published."""
    intent = sized_intent(PUBLISHED_INTENT, 10_000.0, 50_000.0, NOW)
    assert (intent.qty, intent.side, intent.source) == (0.02, Side.SHORT, "RL_V3_HYBRID_CONSENSUS")
    assert (intent.reference_price, intent.expires_ns - NOW) == (50_000.0, 30 * 10**9)


@pytest.mark.parametrize(("field", "value"), [
    ("size_pct", 10.0), ("size_pct", "0.1"), ("size_pct", 0.0), ("side", "HOLD"), ("qty", 1.0), ("leverage", math.nan),
])
def test_a_wrong_sized_intent_names_its_field(field: str, value: Any) -> None:
    """10 is no share; a quantity beside it contradicts it."""
    with pytest.raises(InputError, match=field):
        sized_intent({**PUBLISHED_INTENT, field: value}, 10_000.0, 50_000.0, NOW)
