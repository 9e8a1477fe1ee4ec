"""A model of the user's own runs behind the same costs, policy, guard and order road as everything else."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from quantum_trader.app.runs import replay as runner
from quantum_trader.app.runs.replay import memory_run, run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import RunSettings, load_settings
from quantum_trader.domain.enums import ExitReason
from quantum_trader.domain.errors import ConfigError, StateError
from quantum_trader.market import store
from quantum_trader.market.generate import generated_recording
from quantum_trader.models.forecasts import ModelError
from quantum_trader.policy.enforcement import SWITCHES

TREND = '''
import msgspec
import numpy as np

from quantum_trader.models import Exit, FrameModel, Model, Panel


class Trend(Model):
    """Long what rose."""

    bars, warmup, horizon = "4h", 40, "3d"

    class Params(msgspec.Struct, frozen=True):
        bars: int = 18

    def score(self, panel: Panel) -> np.ndarray:
        return panel.close[-1] / panel.close[-1 - self.params.bars] - 1.0


class Counting(Trend):
    """The same, and it remembers how often it was asked."""

    def __init__(self, params=None):
        super().__init__(params)
        self.asked = 0

    def score(self, panel):
        self.asked += 1
        return super().score(panel) * (1.0 + 0.01 * (self.asked % 7))

    def state(self):
        return {"asked": self.asked}

    def load_state(self, state):
        self.asked = state["asked"]


class ByRegime(Trend):
    exit = Exit(on="regime")


class Broken(Trend):
    def score(self, panel):
        return panel.close[-1] / self.nothing


class Wide(Trend):
    def score(self, panel):
        return panel.close


class Infinite(Trend):
    def score(self, panel):
        return panel.close[-1] * np.inf


class NotAll(Trend):
    def score(self, panel):
        return np.where(np.array(panel.symbols) == "ETHUSDT", np.inf, super().score(panel))


class NotAllColumns(FrameModel):
    bars, warmup, horizon = "4h", 40, "3d"

    def scores(self, frame):
        if frame["close"].mean() < 2_000.0:
            raise ValueError("is for Bitcoin")
        return frame.with_columns(score=frame["close"] / frame["close"].shift(18) - 1.0)


class Columns(FrameModel):
    """The same trend as a column of a frame."""

    bars, warmup, horizon = "4h", 40, "3d"

    def scores(self, frame):
        import polars as pl

        return frame.with_columns(score=pl.col("close") / pl.col("close").shift(18) - 1.0)
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A user's file with several models."""
    path = tmp_path / "mine.py"
    path.write_text(TREND)
    return path


def settings(file: Path, kind: str = "Trend", **more: Any) -> RunSettings:
    """Three months of the bundled bars with one model; a low threshold, so that it trades."""
    values = {
        "data.start": "2018-01-01", "data.end": "2018-03-31", "models": [{"model": f"{file}:{kind}"}],
        "rollout.fixed_confidence": 0.2, **more,
    }
    return load_settings(None, {key: (value, "test") for key, value in values.items()}).settings


def test_a_model_trades_and_its_positions_are_left_by_its_score(file: Path) -> None:
    """Every trade ends by its score or its stop; none by a target, trailing or time, which are the regime table's."""
    result, sink = memory_run(settings(file))
    trades = result.facts.trades
    assert len(trades) >= 20
    assert {trade.exit_reason for trade in trades} == {ExitReason.SCORE, ExitReason.STOP}
    assert {trade.model for trade in trades} == {"Trend"}
    assert sum(b'"topic":"signal.generated"' in line and b'"model":"Trend"' in line for line in sink.lines) >= 20


def test_a_target_refused_again_for_the_same_reason_is_no_new_signal(file: Path) -> None:
    """A target that waits for its confidence is one signal, not one at every bar."""
    _, sink = memory_run(settings(file, **{"rollout.fixed_confidence": 0.45}))
    decided: dict[str, list[tuple[str, str, int]]] = {}
    for line in sink.lines:
        record = msgspec.json.decode(line)
        if record["topic"] == "signal.decided":
            of = record["data"]
            decided.setdefault(of["symbol"], []).append((of["action"], of["reason"], record["ts_ns"]))
    refusals = [one for rows in decided.values() for one in rows if one[1] == "LOW_CONFIDENCE"]
    assert len(refusals) >= 5
    for rows in decided.values():
        for before, after in pairwise(rows):
            again = before[:2] == after[:2] and after[1] == "LOW_CONFIDENCE"
            assert not again or after[2] - before[2] > 4 * 3_600_000_000_000  # it was flat or refused otherwise between


def test_a_model_with_regime_exits_uses_the_table(file: Path) -> None:
    """Its positions trail and time out."""
    result, _ = memory_run(settings(file, "ByRegime"))
    reasons = {trade.exit_reason for trade in result.facts.trades}
    assert ExitReason.SCORE not in reasons
    assert reasons & {ExitReason.TRAILING_STOP, ExitReason.TIMEOUT}


def test_the_column_form_decides_as_the_panel_form(file: Path) -> None:
    """The same scores give the same trades."""
    panel, columns = (
        [(one.symbol, one.entry_ns, one.exit_ns, one.pnl) for one in memory_run(settings(file, kind))[0].facts.trades]
        for kind in ("Trend", "Columns")
    )
    assert panel == columns


def test_an_observed_policy_leaves_no_trace_on_a_model(file: Path) -> None:
    """The trades with an observed policy are those without one."""
    observed = memory_run(settings(file))[0]
    without = memory_run(settings(file, **{"policy.enabled": False}))[0]
    assert observed.facts.trades == without.facts.trades


@pytest.mark.parametrize("kind", ["Trend", pytest.param("Counting", marks=pytest.mark.long)])
def test_a_stopped_run_continues_as_if_it_had_not_been(
    kind: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bars in the making, forecasts, targets and the model's own state are in the checkpoint."""
    chosen = settings(file, kind)
    run(chosen, RunOptions(state_dir=tmp_path / "whole"))
    monkeypatch.setattr(runner, "_CHECKPOINT_EVERY_S", -1.0)
    moments: list[int] = []

    def pace(ts_ns: int) -> None:
        moments.append(ts_ns)
        if len(moments) == 2_005:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(chosen, RunOptions(state_dir=tmp_path / "cut"), pace=pace)
    run(chosen, RunOptions(state_dir=tmp_path / "cut"))
    whole, cut = ((tmp_path / name / "records.jsonl").read_bytes() for name in ("whole", "cut"))
    assert whole == cut


def test_a_changed_file_does_not_continue_a_run(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state folder belongs to the code it was made with."""
    run(settings(file), RunOptions(state_dir=tmp_path / "state"))
    file.write_text(TREND.replace("- 1.0", "- 1.001"))
    with pytest.raises(StateError, match="the code of Trend has changed since .its file"):
        run(settings(file), RunOptions(state_dir=tmp_path / "state"))


def test_where_a_file_lies_changes_nothing(file: Path, tmp_path: Path) -> None:
    """The same file in another folder is the same run."""
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "mine.py").write_text(TREND)
    assert settings(file).settings_hash() == settings(other / "mine.py").settings_hash()


@pytest.mark.parametrize(("kind", "says"), [
    ("Broken", r"Broken: mine.py:\d+: AttributeError"), ("Wide", r"scores of shape \(40, 5\); expected 5"),
    ("Infinite", "the score of BTCUSDT is infinite"),
])
def test_a_model_that_fails_is_named_with_its_line(file: Path, kind: str, says: str) -> None:
    """A replay ends with what the user must mend."""
    with pytest.raises(ModelError, match=says):
        memory_run(settings(file, kind))


@pytest.mark.parametrize("kind", ["NotAll", "NotAllColumns"])
def test_a_model_is_not_judged_by_symbols_that_it_is_not_for(file: Path, kind: str) -> None:
    """An infinite score, or an error, for another symbol than its own ends no run."""
    result, _ = memory_run(settings(file, models=[{"model": f"{file}:{kind}", "symbols": ["BTCUSDT"]}]))
    assert {trade.symbol for trade in result.facts.trades} == {"BTCUSDT"}


@pytest.mark.parametrize(("entry", "says"), [
    ({"model": "mine.py:Trend"}, "there is no such file"),
    ({"model": "{file}:Trand"}, "has no 'Trand'; it has Trend, Counting"),
    ({"model": "{file}"}, "name the class too"),
    ({"model": "{file}:np"}, "is no class of Model or FrameModel"),
    ({"model": "intraday-dem"}, "did you mean 'intraday-demo'"),
    ({"model": "{file}:Trend", "params": {"bar": 3}}, "unknown parameter 'bar'; did you mean 'bars'"),
    ({"model": "{file}:Trend", "params": {"bars": "x"}}, "Expected `int`"),
    ({"model": "{file}:Trend", "prio": [0, 1]}, "unknown key 'prio'; did you mean 'prior'"),
    ({"model": "{file}:Trend", "enabled": False}, "none is enabled"),
    ({"model": "{file}:Trend", "exit": {"on": "never"}}, "Invalid enum value 'never'"),
])
def test_a_model_that_cannot_be_used_says_why(file: Path, entry: dict[str, Any], says: str) -> None:
    """The key, the value and what to do."""
    entry = {**entry, "model": entry["model"].format(file=file)}
    with pytest.raises(ConfigError, match=says):
        memory_run(settings(file, models=[entry]))


def test_a_run_without_any_model_setting_takes_the_set_trend() -> None:
    """The same bytes as `--model trend`, its first record included, which states every setting."""
    span = {"data.start": ("2019-01-01", "test"), "data.end": ("2019-02-28", "test")}
    result, default = memory_run(load_settings(None, span).settings)
    _, named = memory_run(load_settings(None, {**span, "models": ([{"model": "trend"}], "test")}).settings)
    assert default.lines == named.lines
    assert result.facts.models is not None
    assert [row.name for row in result.facts.models.rows] == ["tsmom_fast", "tsmom_slow", "ewmac", "donchian", "carry"]
    assert any(b'"source":"model"' in line or b"tsmom_fast" in line for line in default.lines[1:])


def test_the_name_of_the_intraday_models_gives_the_run_that_they_gave_as_the_default() -> None:
    """`--model intraday-demo` decides as settings without any model, which is how older records state them."""
    span = {"data.start": ("2018-01-01", "test"), "data.end": ("2018-01-31", "test")}
    chosen = load_settings(None, {**span, "models": ([{"model": "intraday-demo"}], "test")}).settings
    _, named = memory_run(chosen)
    _, older = memory_run(msgspec.structs.replace(chosen, models=()))
    assert named.lines[1:] == older.lines[1:]
    assert any(b'"topic":"trade.closed"' in line for line in named.lines)


def signals(sink: Any) -> list[tuple[str, int, str, float]]:
    """Symbol, time, side and confidence of every signal."""
    records = [msgspec.json.decode(line) for line in sink.lines if b'"topic":"signal.generated"' in line]
    return [(one["data"]["symbol"], one["ts_ns"], one["data"]["action"], one["data"]["confidence"]) for one in records]


def test_a_run_from_the_middle_gives_the_forecasts_of_the_longer_run(file: Path) -> None:
    """Bars of before --from warm up and are not traded: each signal has the confidence it has in the longer run."""
    more = {"data.end": "2018-02-28"}
    longer = memory_run(settings(file, **{**more, "data.start": "2017-12-01"}))[1]
    shorter = memory_run(settings(file, **{**more, "data.start": "2018-02-01"}))[1]
    start_ns = 1_517_443_200 * 10**9
    known = {one[:2]: one[2:] for one in signals(longer) if one[1] > start_ns}
    both = [one for one in signals(shorter) if one[:2] in known]
    assert len(both) >= 10
    assert all(known[one[:2]] == one[2:] for one in both)
    assert all(one[1] > start_ns for one in signals(shorter))


@pytest.mark.parametrize("kind", ["Trend", "Columns"])
@pytest.mark.parametrize("start", ["2024-02-20T02:00:00Z", "2024-03-10"])
def test_what_forecasts_have_learned_does_not_depend_on_where_a_run_begins(
    file: Path, tmp_path: Path, kind: str, start: str
) -> None:
    """With the same --symbols the sums of the regression are equal to the bit: one has gaps, one is listed late."""
    made = generated_recording(["AUSDT", "BUSDT", "CUSDT"], "1h", datetime(2024, 1, 1, tzinfo=UTC), 2_400).arrays()
    for s, kept in enumerate((slice(None), np.arange(2_400) % 37 > 3, slice(1_200, None))):
        store.write_series(tmp_path, "1h", "ABC"[s] + "USDT", made.ts_ns[kept], made.ohlcv[kept, s])
    more = {"data.path": str(tmp_path), "data.end": "2024-04-01", "data.symbols": ["AUSDT", "BUSDT", "CUSDT"]}
    longer, shorter = (
        memory_run(settings(file, kind, **more, **{"data.start": one}))[0].facts.models for one in ("", start)
    )
    assert longer is not None
    assert shorter is not None
    assert longer.combined is not None
    assert longer.combined.outcomes > 500
    assert shorter.combined == longer.combined


def test_an_intraday_run_from_the_middle_gives_the_signals_of_the_longer_run() -> None:
    """The calibration begins with the store, so the same months have the same signals."""
    def of(start: str) -> list[tuple[str, int, str, float]]:
        span = {
            "data.start": (start, "test"), "data.end": ("2018-02-28", "test"),
            "models": (({"model": "intraday-demo"},), "test"),
        }
        return signals(memory_run(load_settings(None, span).settings)[1])

    longer, shorter = of("2017-10-01"), of("2018-02-01")
    assert len(shorter) >= 20
    assert shorter == [one for one in longer if one[1] > 1_517_443_200 * 10**9]


def test_a_run_without_warm_up_begins_to_learn_with_its_first_bar(file: Path) -> None:
    """`data.warm_up = false` is what the bars alone give."""
    result, _ = memory_run(settings(file, **{"data.warm_up": False, "data.start": "2018-03-25"}))
    assert not result.facts.trades


def test_ungated_every_target_is_traded(file: Path) -> None:
    """Nothing but what is held, or an old price, refuses a signal; live refuses the setting."""
    from quantum_trader.app.runs.live_settings import load_live_settings

    gated = memory_run(settings(file, **{"rollout.fixed_confidence": 0.6}))[0].facts
    free = memory_run(settings(file, **{"rollout.fixed_confidence": 0.6, "engine.ungated": True}))[0].facts
    switches = {f"rollout.use_for_{name}": True for name in SWITCHES}
    enforced = memory_run(settings(file, **{
        "rollout.fixed_confidence": 0.6, "engine.ungated": True, "rollout.mode": "LIVE", **switches,
    }))[0].facts
    assert enforced.trades == free.trades
    assert gated.refusals["LOW_CONFIDENCE"] > 50
    assert set(free.refusals) <= {"CLOSES_FIRST", "ORDER_PENDING", "STALE_DATA"}
    assert len(free.trades) > 2 * len(gated.trades)
    assert free.models is not None
    assert free.models.ungated
    with pytest.raises(ConfigError, match=r"engine.ungated = true: is for comparing in a replay"):
        load_live_settings(None, {}, {"engine.ungated": (True, "test")})


def test_the_trades_that_were_not_made_are_counted_by_their_reason(file: Path) -> None:
    """Every trade of the ungated run is one of the gated run or stands under a reason; the weightiest is first."""
    from quantum_trader.app.runs.model_facts import missed, ungated_settings

    chosen = settings(file, **{"rollout.fixed_confidence": 0.45})
    gated, free = memory_run(chosen)[0].facts, memory_run(ungated_settings(chosen))[0].facts
    assert gated.models is not None
    rows = missed(gated.models, gated.trades, free.trades)
    both = {(one.symbol, one.entry_ns) for one in gated.trades} & {(one.symbol, one.entry_ns) for one in free.trades}
    assert sum(row["trades"] for row in rows) == len(free.trades) - len(both)
    assert rows[0]["reason"] == "LOW_CONFIDENCE"
    assert [abs(row["sum_r"]) for row in rows] == sorted((abs(row["sum_r"]) for row in rows), reverse=True)


def test_the_report_says_what_would_let_a_model_trade(file: Path, tmp_path: Path) -> None:
    """The command shows both results, the sentence and the reasons; a new model starts sceptical."""
    from typer.testing import CliRunner

    from quantum_trader.app.cli.main import app

    arguments = ["run", "--model", f"{file}:Trend", "--from", "2018-01-01", "--to", "2018-02-28"]
    said = CliRunner().invoke(app, arguments).output
    for words in (
        "ungated", "as this system trades it", "from the prior", "Why trades of the ungated run were not made",
        "confidence below the threshold",
    ):
        assert words in said, said
    ungated = CliRunner().invoke(app, [*arguments, "--ungated"]).output
    assert "UNGATED: every target is traded" in ungated


def test_a_model_decides_over_loopback_as_in_the_replay(file: Path) -> None:
    """The live engine, the driver and the adapter against the local venue: the same signals and trades."""
    from quantum_trader.app.runs.local import run_over_local_venue

    chosen = settings(file, **{"data.start": "2018-01-10", "data.end": "2018-01-31"})
    paper, local = memory_run(chosen)[0].facts, run_over_local_venue(chosen).facts
    assert len(paper.trades) >= 5
    assert local.signals == paper.signals
    assert local.refusals == paper.refusals

    def bars(trades: Any) -> list[tuple[str, int, str]]:
        half_hour = 1_800 * 10**9
        return sorted((one.symbol, one.entry_ns // half_hour, one.exit_reason.value) for one in trades)

    assert bars(local.trades) == bars(paper.trades)


def test_from_flat_every_entry_has_a_score_of_half_a_unit(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after a near stop has taken the position out while the score went on: 0.03 is no entry."""
    from quantum_trader.engine.opening import Opening
    from quantum_trader.models import forecast as fc

    scores: list[float] = []
    enter = Opening._enter

    def entered(opening: Opening, seq: int, index: int, *rest: Any) -> Any:
        forecasts = opening._market.forecasts
        assert forecasts is not None
        if forecasts.symbols[index] not in opening._account.books.positions:  # no addition
            scores.append(abs(float(forecasts.out[index, fc.SCORE])))
        return enter(opening, seq, index, *rest)

    monkeypatch.setattr(Opening, "_enter", entered)
    near = [{"model": f"{file}:Trend", "exit": {"stop_atr": 1.0}}]
    facts = memory_run(settings(file, models=near, **{"engine.ungated": True}))[0].facts
    assert sum(one.exit_reason is ExitReason.STOP for one in facts.trades) > 20
    assert min(scores) >= fc.ENTER_AT


def test_scores_of_symbols_that_are_not_there_are_named(tmp_path: Path) -> None:
    """Nothing of a file is left out without a word."""
    path = tmp_path / "scores.csv"
    path.write_text("ts,symbol,score\n2018-01-10,BTCUSDT,1\n2018-01-12,BTC-PERP,1\n")
    models = [{"model": str(path)}]
    facts = memory_run(settings(path, models=models, **{"data.end": "2018-01-20"}))[0].facts
    assert any("not used: no such symbol in this run" in note and "BTC" in note for note in facts.notes)
