"""The check of a model: every planted look-ahead is caught, no honest model is refused, and the line is named."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from tests.models.honest_models import HONEST
from tests.models.look_ahead_models import PLANTED, file_with_late_timestamps

from quantum_trader.app.runs.model_bars import bars_of
from quantum_trader.app.runs.state_dir import pack, unpack
from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.market.recording import open_recording
from quantum_trader.models.check import CheckReport, CheckTools, check_scores
from quantum_trader.models.loading import ModelSettings, load_model
from quantum_trader.models.whole_bars import WholeBars

HERE = Path(__file__).resolve().parent

SHORT_WARM_UP = '''
import polars as pl
from quantum_trader.models import FrameModel


class Short(FrameModel):
    bars, warmup, horizon = "1d", 30, "7d"

    def scores(self, frame):
        close = pl.col("close")
        return frame.with_columns(score=close / close.ewm_mean(span=20, adjust=False) - 1.0)


class Loose(Short):
    tolerance = 2.0
'''
BAD = '''
import numpy as np
from quantum_trader.models import Model


class Base(Model):
    bars, warmup, horizon = "1d", 30, "7d"

    def __init__(self, params=None):
        super().__init__(params)
        self.asked = 0


class Forgets(Base):
    """Remembers outside its state."""

    def score(self, panel):
        self.asked += 1
        return (panel.close[-1] / panel.close[-10] - 1.0) * (1 + self.asked % 7)


class Random(Base):
    """Draws."""

    def score(self, panel):
        return np.random.default_rng().normal(size=len(panel.symbols))


class AllOrNothing(Base):
    """Loses everything where one symbol lacks a bar."""

    def score(self, panel):
        change = panel.close[-1] / panel.close[-10] - 1.0
        return change - np.mean(panel.close[-10:] / panel.close[-10] - 1.0)


class Endless(Base):
    """Divides by a range that may be none."""

    def score(self, panel):
        return 1.0 / (np.max(panel.close[-9:], axis=0) - np.min(panel.close[-9:], axis=0))


class Deviations(Base):
    """Divides by a spread that a symbol of one bar does not have; that one is not asked about."""

    def score(self, panel):
        return (panel.close[-1] - 0.9 * np.nanmean(panel.close, axis=0)) / np.nanstd(panel.close, axis=0)


class Nothing(Base):
    """Has no view."""

    def score(self, panel):
        return np.full(len(panel.symbols), np.nan)


class Odd(Base):
    """Has a state that no checkpoint can hold."""

    def score(self, panel):
        return panel.close[-1] / panel.close[-10] - 1.0

    def state(self):
        return {"what": object()}
'''


@pytest.fixture(scope="module")
def daily() -> WholeBars:
    """The bundled bars by day."""
    return bars_of(open_recording(), NS_PER_DAY)


def checked(model: str, bars: WholeBars) -> CheckReport:
    """The check of *model*."""
    settings = ModelSettings(model=model)
    loaded = load_model(settings, fresh=True)
    return check_scores(loaded, bars, CheckTools(
        reload=lambda: load_model(settings, fresh=True), roundtrip=lambda state: unpack(pack(state)),
        clock=time.perf_counter, source=Path(loaded.file).read_text() if loaded.file else "",
    ))


def failed(report: CheckReport) -> dict[str, str]:
    """The properties that do not hold, with the text of each."""
    return {one.name: one.text for one in report.findings if not one.passed}


@pytest.mark.parametrize("kind", PLANTED, ids=lambda kind: kind.__name__)
def test_a_planted_look_ahead_is_caught_and_its_line_named(kind: type, daily: WholeBars) -> None:
    """By its scores, whatever it trades; the line at fault is among those named."""
    source = (HERE / "look_ahead_models.py").read_text().splitlines()

    report = checked(f"{HERE / 'look_ahead_models.py'}:{kind.__name__}", daily)

    assert not report.passed
    assert "look-ahead" in failed(report)
    named = [line for one in report.findings if one.name == "look-ahead" for line in one.lines]
    marks = ("shift(-1)", "center=True", "group_by_dynamic", "mean()", "[i - 1]", "interpolate", ".fit(", "quantile",
             "drop_nulls", "SEEN")
    assert named
    assert all(line.text == source[line.line - 1].strip() for line in named)
    assert any(mark in line.text for mark in marks for line in named)


def test_a_file_with_late_timestamps_is_caught_and_one_with_right_ones_passes(
    daily: WholeBars, tmp_path: Path
) -> None:
    """Scores stamped with the open of the bar that they are made of know its return."""
    late = checked(str(file_with_late_timestamps(tmp_path, daily)), daily)
    assert list(failed(late)) == ["timing"]
    assert "stamp each score with the time at which it was known" in failed(late)["timing"]

    right = checked(str(file_with_late_timestamps(tmp_path, daily, 1)), daily)
    assert right.passed


@pytest.mark.parametrize("kind", HONEST, ids=lambda kind: kind.__name__)
def test_an_honest_model_passes(kind: type, daily: WholeBars) -> None:
    """No false alarm."""
    assert failed(checked(f"{HERE / 'honest_models.py'}:{kind.__name__}", daily)) == {}


def test_there_are_twelve_look_aheads_and_twenty_honest_models() -> None:
    """Eleven classes and the file with late timestamps."""
    assert len(PLANTED) + 1 == 12
    assert len(HONEST) == 20


@pytest.mark.parametrize(("kind", "name", "says"), [
    ("Forgets", "state", "state() is empty, and it remembers self.asked"),
    ("Random", "determinism", "gives another score"),
    ("AllOrNothing", "gaps", "where one symbol lacks a bar, no symbol has a score"),
    ("Endless", "gaps", "is infinite"),
    ("Nothing", "runs", "it never has a view"),
    ("Odd", "state", "state() cannot be saved"),
])
def test_a_property_that_does_not_hold_is_named(
    kind: str, name: str, says: str, daily: WholeBars, tmp_path: Path
) -> None:
    """With what is wrong."""
    (tmp_path / "bad.py").write_text(BAD)
    report = checked(f"{tmp_path / 'bad.py'}:{kind}", daily)
    assert not report.passed
    assert says in failed(report)[name]


def test_an_infinite_score_of_a_symbol_that_is_not_warm_is_no_fault(daily: WholeBars, tmp_path: Path) -> None:
    """It is not used: a symbol listed late has one bar, which has no spread."""
    (tmp_path / "bad.py").write_text(BAD)
    assert failed(checked(f"{tmp_path / 'bad.py'}:Deviations", daily)) == {}


def test_a_warm_up_that_is_too_short_names_one_that_is_enough(daily: WholeBars, tmp_path: Path) -> None:
    """The tolerance is the model's own statement."""
    (tmp_path / "short.py").write_text(SHORT_WARM_UP)
    text = failed(checked(f"{tmp_path / 'short.py'}:Short", daily))["warm-up"]
    assert "the model states a tolerance of 1e-06. Here warmup = 180 is enough" in text
    assert failed(checked(f"{tmp_path / 'short.py'}:Loose", daily)) == {}


def test_calls_that_differ_from_the_column_name_a_warm_up_that_mends_them_or_say_that_none_does(
    daily: WholeBars, tmp_path: Path
) -> None:
    """An average that decays is mended by more bars; a mean over the whole column is not."""
    (tmp_path / "mine.py").write_text(SHORT_WARM_UP)
    decays = failed(checked(f"{tmp_path / 'mine.py'}:Short", daily))["columns"]
    ahead = failed(checked(f"{HERE / 'look_ahead_models.py'}:WholeSampleScaling", daily))["columns"]

    assert re.search(r"with warmup = \d+ they agree there; exponential averages", decays)
    assert "no longer warmup makes them agree: it may look at later rows" in ahead


def test_progress_tells_each_property(daily: WholeBars) -> None:
    """Nine of them, and the end."""
    told: list[tuple[str, int, int]] = []
    settings = ModelSettings(model=f"{HERE / 'honest_models.py'}:Trend")
    check_scores(load_model(settings), daily, CheckTools(
        reload=lambda: load_model(settings, fresh=True), roundtrip=lambda state: state, clock=time.perf_counter,
        progress=lambda *step: told.append(step),
    ))
    assert [done for _, done, _ in told] == list(range(10))
    assert told[0] == ("runs", 0, 9)
    assert told[-1] == ("", 9, 9)
