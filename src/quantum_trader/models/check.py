"""Whether a model may be trusted: its scores are made of the past alone, of enough of it, and always the same.

The check judges scores, never trades. It asks the model again and again for the scores of a recording whose future is
cut off or replaced, with gaps, and after a checkpoint, and compares them to the bit. It is a function of the model and
the bars; what it cannot do purely (running the file anew, encoding a state, measuring time) is handed in.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.clock import from_ns
from quantum_trader.market.arrays import Bools, Floats, Ints
from quantum_trader.market.intervals import interval_name
from quantum_trader.models.check_market import (
    deviations,
    stretch,
    telling_rows,
    with_another_future,
    with_gaps,
)
from quantum_trader.models.check_source import FaultKind, Suspect, suspects
from quantum_trader.models.forecasts import (
    LoadedModel,
    ModelError,
    column_scores,
    frame_of,
    frame_scores,
    panel_rows,
    scores_of,
)
from quantum_trader.models.history import CLOSE
from quantum_trader.models.port import FrameModel, Model
from quantum_trader.models.score_file import ScoreFile, missing_symbols, outside_scores
from quantum_trader.models.whole_bars import WholeBars

CHECK_VERSION: Final = 1  # a model that has passed another version is checked again
CUTS: Final = 240  # moments at which the future of a column is cut off and replaced
PASSES_CUT: Final = (0.25, 0.4, 0.55, 0.7, 0.9)  # of the rows, where the future of a panel model's recording is
CALLS: Final = 48  # moments at which columns are compared with calls
LEAST_BARS: Final = 60  # bars beside the warm-up without which nothing is judged
SLOWEST_CALL_S: Final = 1.0  # that the scores of one bar may take
TIME_LIMIT_S: Final = 4.0  # of one pass; slow models are judged on fewer bars
LEAST_ROWS: Final = 120
KNOWS_NEXT: Final = 0.2  # correlation of a score's changes with the return after it that no honest score has
_CERTAIN: Final = 6.0  # standard errors of that correlation
_SPANS: Final = (1, 3, 7)  # bars after a score's change over which its return is looked at
_MOST_LINES: Final = 6
_STEPS: Final = 9

RUNS, AHEAD, TIMING, WARM_UP, DETERMINISM, STATE, GAPS, COLUMNS, SPEED = (
    "runs", "look-ahead", "timing", "warm-up", "determinism", "state", "gaps", "columns", "speed",
)
NAMES: Final = (RUNS, AHEAD, TIMING, WARM_UP, DETERMINISM, STATE, GAPS, COLUMNS, SPEED)


class CheckFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One property of a model: whether it holds, how that was found out, and the lines that may be at fault."""

    name: str
    passed: bool
    text: str
    lines: tuple[Suspect, ...] = ()


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the check of one model found; it has passed where every property holds."""

    model: str
    file: str
    code: str  # hash of source, class and parameters
    version: int
    passed: bool
    bars: str
    rows: int
    symbols: tuple[str, ...]
    first_ns: int
    last_ns: int
    findings: tuple[CheckFinding, ...]
    source: str = ""  # of the bars: "bundled", a folder, "generated"
    outside: str = ""  # of a score file: which of its scores no bar can use; empty: none
    made_up: str = ""  # why the bars are made up; empty: they are recorded ones


class CheckTools(msgspec.Struct, frozen=True, kw_only=True):
    """What the check is handed."""

    reload: Callable[[], LoadedModel]  # the model from its file, run anew
    roundtrip: Callable[[Any], Any]  # a state through a checkpoint
    clock: Callable[[], float]  # seconds
    source: str = ""  # of the model's file
    progress: Callable[[str, int, int], None] | None = None  # the property, how many are done, how many there are


class _Broken(Exception):  # noqa: N818 - a property that does not hold
    """A property does not hold; its argument says how that shows."""


def check_scores(loaded: LoadedModel, bars: WholeBars, tools: CheckTools) -> CheckReport:
    """Judge the scores of a model on *bars*, which are of its own interval."""
    chosen = stretch(bars, panel_rows(loaded.model))
    subject = _Columns(loaded, chosen, tools) if isinstance(loaded.model, FrameModel) else _Calls(loaded, chosen, tools)
    findings: list[CheckFinding] = []
    for done, (name, look) in enumerate(subject.properties()):
        if tools.progress is not None:
            tools.progress(name, done, _STEPS)
        findings.append(_found(subject, name, look, broken=bool(findings) and not findings[0].passed))
    if tools.progress is not None:
        tools.progress("", _STEPS, _STEPS)
    return CheckReport(
        model=loaded.name, file=loaded.file, code=loaded.code, version=CHECK_VERSION,
        passed=all(one.passed for one in findings), bars=interval_name(chosen.length_ns), rows=len(chosen.opens),
        symbols=chosen.symbols, first_ns=int(chosen.opens[0]), last_ns=int(chosen.opens[-1]) + chosen.length_ns,
        findings=tuple(findings), outside=_outside(loaded, bars),
    )


def _outside(loaded: LoadedModel, bars: WholeBars) -> str:
    """Which scores of a file no bar can use; empty for any other model."""
    if not isinstance(loaded.model, ScoreFile):
        return ""
    return outside_scores(loaded.model, int(bars.opens[0]), int(bars.opens[-1]) + bars.length_ns)


def _found(subject: _Subject, name: str, look: Callable[[], str], broken: bool) -> CheckFinding:
    if broken:
        return CheckFinding(name=name, passed=False, text="not judged: the model does not run")
    try:
        return CheckFinding(name=name, passed=True, text=look())
    except (_Broken, ModelError) as error:
        return CheckFinding(name=name, passed=False, text=str(error), lines=subject.lines(name))


class _Subject:
    """A model under the check: its scores over the bars, and what is the same for both forms."""

    def __init__(self, loaded: LoadedModel, bars: WholeBars, tools: CheckTools) -> None:
        self.loaded, self.bars, self.tools = loaded, bars, tools
        self.base = np.full((len(bars.opens), len(bars.symbols)), np.nan)  # its scores, once it has run
        self.call_s = 0.0

    @property
    def model(self) -> Any:
        """The model as it was loaded."""
        return self.loaded.model

    def properties(self) -> list[tuple[str, Callable[[], str]]]:
        """Each property with what looks at it, in order; the first one is that the model runs."""
        raise NotImplementedError

    def again(self) -> LoadedModel:
        """The model made anew from the same class, as a run would make it."""
        return msgspec.structs.replace(self.loaded, model=_made(self.loaded, self.loaded.model))

    def lines(self, name: str) -> tuple[Suspect, ...]:
        """The lines that may be at fault where property *name* does not hold."""
        columns = isinstance(self.model, FrameModel)
        faults = {
            AHEAD: (FaultKind.AHEAD,) if columns else (FaultKind.MEMORY, FaultKind.FILE, FaultKind.AHEAD),
            TIMING: (FaultKind.AHEAD, FaultKind.FILE),
            DETERMINISM: (FaultKind.CHANCE, FaultKind.MEMORY), STATE: (FaultKind.MEMORY, FaultKind.CHANCE),
        }.get(name, ())
        found = suspects(self.tools.source, type(self.model).__name__, columns) if self.tools.source else ()
        picked = [one for fault in faults for one in found if one.fault is fault]
        return tuple(picked[:_MOST_LINES])

    def check_length(self) -> None:
        """Break where there are too few bars to judge."""
        if len(self.bars.opens) < self.model.warmup + LEAST_BARS:
            raise _Broken(
                f"{len(self.bars.opens)} bars of {self.model.bars} are too few for a warm-up of {self.model.warmup}; "
                "give more of them with --data and --bars"
            )

    def check_views(self) -> str:
        """Break where the scores say nothing; else a sentence on them."""
        known = int((~np.isnan(self.base)).sum())
        asked = int((self.bars.present & (self.bars.seen() >= self.model.warmup)).sum())
        if not known:
            why = f"is warmup = {self.model.warmup} enough for its longest window?"
            if self.model.least_symbols > len(self.bars.symbols):
                why = f"it needs {self.model.least_symbols} symbols, and here are {len(self.bars.symbols)}"
            if isinstance(self.model, ScoreFile):
                first_ns, last_ns = int(self.bars.opens[0]), int(self.bars.opens[-1]) + self.bars.length_ns
                outside = outside_scores(self.model, first_ns, last_ns)
                outside = f"{outside}; give bars of its time with --data" if outside else ""
                why = "; ".join(filter(None, (outside, missing_symbols(self.model, self.bars.symbols)))) or why
            raise _Broken(f"every score is NaN: it never has a view; {why}")
        if not np.nanmax(np.abs(self.base)) > 0.0:
            raise _Broken("every score is 0: it never has a view")
        return f"{known} scores of {asked} on {len(self.bars.opens)} bars of {len(self.bars.symbols)} symbols"

    def timing(self) -> str:
        """No score moves with the return that comes after it."""
        worst, where = 0.0, 1
        for span in _SPANS:
            value, error = _foreknowledge(self.base, self.bars, span)
            if abs(value) > max(KNOWS_NEXT, _CERTAIN * error) and abs(value) > abs(worst):
                worst, where = value, span
        if worst:
            advice = "they are made of later bars"
            if isinstance(self.model, ScoreFile):
                advice = "stamp each score with the time at which it was known: a bar's score with the bar's close"
            raise _Broken(
                f"scores change with the return of the {where} bar{'s' * (where > 1)} after them (correlation "
                f"{worst:+.2f}): {advice}"
            )
        return f"changes of scores are not correlated with later returns ({_SPANS[0]} to {_SPANS[-1]} bars)"

    def speed(self) -> str:
        """The scores of one bar are there in time."""
        text = f"{self.call_s * 1e3:.3g} ms a bar for {len(self.bars.symbols)} symbols"
        if self.call_s > SLOWEST_CALL_S:
            raise _Broken(f"{text}; at most {SLOWEST_CALL_S:g} s, or decisions come late")
        return text

    def moment(self, row: int) -> str:
        """The open of interval *row* as text."""
        return f"{from_ns(int(self.bars.opens[row])):%Y-%m-%d %H:%M}"

    def differences(self, other: Floats, until: int, earlier: Floats | None = None) -> Bools:
        """Which scores (T, S) up to interval *until* are not the same to the bit."""
        base = self.base if earlier is None else earlier
        different = ~((base == other) | (np.isnan(base) & np.isnan(other)))
        different[until + 1:] = False
        return np.asarray(different)

    def say_cut(self, different: Bools, other: Floats, until: int, how: str, base: Floats) -> str:
        """How a difference shows: when, of which symbol, and how far ahead the model looks."""
        row, s = (int(one) for one in np.argwhere(different)[-1])
        if not isinstance(self.model, FrameModel):
            return (
                f"the score of {self.bars.symbols[s]} at {self.moment(row)} is {base[row, s]:.6g}, and "
                f"{other[row, s]:.6g} when the bars after it are {how}: it knows later bars from elsewhere (an earlier "
                "run in this process, or a file)"
            )
        first = int(np.argwhere(different)[0][0])
        whole = first <= int(np.flatnonzero(~np.isnan(base).all(axis=1))[0]) + 1
        reach = "over the whole sample" if whole else f"{until - first + 1} bar{'s' * (until > first)} ahead"
        return (
            f"the score of {self.bars.symbols[s]} at {self.moment(row)} is {base[row, s]:.6g}, and "
            f"{other[row, s]:.6g} when the bars after it are {how}: it looks {reach}"
        )


class _Calls(_Subject):
    """A model that is called with a panel."""

    def properties(self) -> list[tuple[str, Callable[[], str]]]:
        """See the base class."""
        return [
            (RUNS, self.runs), (AHEAD, self.look_ahead), (TIMING, self.timing), (WARM_UP, self.warm_up),
            (DETERMINISM, self.determinism), (STATE, self.state), (GAPS, self.gaps), (COLUMNS, self.columns),
            (SPEED, self.speed),
        ]

    def run(
        self, loaded: LoadedModel, bars: WholeBars, first: int = 0, last: int | None = None
    ) -> Floats:
        """The scores (T, S) of calls at the intervals from *first* to *last*, in order; NaN elsewhere."""
        scores, present, seen = np.full(bars.present.shape, np.nan), bars.present, bars.seen()
        for row in range(first, len(bars.opens) if last is None else last + 1):
            warm = (seen[row] >= loaded.model.warmup) & present[row]
            if warm.any():
                panel = bars.panel(loaded.model.needs, row, loaded.model.warmup)
                scores[row] = scores_of(loaded, panel, warm)
        return scores

    def runs(self) -> str:
        """It gives scores for every bar."""
        self.check_length()
        trial, start = self.again(), self.model.warmup
        begun = self.tools.clock()
        self.run(trial, self.bars, start, start + 19)
        self.call_s = (self.tools.clock() - begun) / 20
        rows = len(self.bars.opens)
        most = max(LEAST_ROWS, int(TIME_LIMIT_S / max(self.call_s, 1e-9)))
        if rows - start > most:
            cut = rows - most - 2 * start if rows - most > 2 * start else 0
            self.bars = self.bars._replace(opens=self.bars.opens[cut:], fields=self.bars.fields[:, cut:])
        self.base = self.run(self.loaded, self.bars)
        return self.check_views()

    def look_ahead(self) -> str:
        """Earlier scores are the same with another future, and without one."""
        rows = len(self.bars.opens)
        for seed, share in enumerate(PASSES_CUT):
            until = int(share * rows)
            for how, loaded, bars in (
                ("cut off", self.again(), self.bars.until(until)),
                ("replaced", self.tools.reload(), with_another_future(self.bars, until, seed)),
            ):
                told = np.full_like(self.base, np.nan)
                told[: until + 1] = self.run(loaded, bars, 0, until)[: until + 1]
                different = self.differences(told, until)
                if different.any():
                    raise _Broken(self.say_cut(different, told, until, how, self.base))
        return f"future cut off and replaced at {len(PASSES_CUT)} moments: earlier scores are equal to the bit"

    def warm_up(self) -> str:
        """Calls before the last *warmup* change nothing."""
        warmup, rows = self.model.warmup, len(self.bars.opens)
        tolerance = self.model.tolerance
        scale = _rms(self.base)
        for share in (0.5, 0.75, 0.95):
            row = max(int(share * rows), min(2 * warmup, rows - 1))
            told = self.run(self.again(), self.bars, max(0, row - warmup + 1), row)[row]
            apart = _apart(told, self.base[row], scale)
            if apart > tolerance:
                raise _Broken(
                    f"a start {warmup} bars earlier gives scores {apart:.2g} (of their own size) apart from those of a "
                    f"longer history; the model states a tolerance of {tolerance:g}. Raise warmup, or state a tolerance"
                )
        return f"{warmup} bars are enough: more change nothing beyond {tolerance:g}"

    def determinism(self) -> str:
        """A second run over the same bars gives the same scores, in this process and with the file run anew."""
        for loaded, where in ((self.again(), "in the same process"), (self.tools.reload(), "with the file run anew")):
            told = self.run(loaded, self.bars)
            different = self.differences(told, len(told) - 1)
            if different.any():
                row, s = (int(one) for one in np.argwhere(different)[0])
                raise _Broken(
                    f"a second run over the same bars {where} gives another score for {self.bars.symbols[s]} at "
                    f"{self.moment(row)}: {self.base[row, s]:.6g}, then "
                    f"{told[row, s]:.6g}"
                )
        return "two more runs over the same bars give the same scores"

    def state(self) -> str:
        """A model continued from its state gives the scores of one that was never stopped."""
        rows, run, changed = len(self.bars.opens), self.again(), False
        before = dict(vars(run.model))
        done = 0
        for number, share in enumerate((0.5, 0.65, 0.8)):
            row = max(int(share * rows) + number, done + 1)
            self.run(run, self.bars, done, row)
            done = row + 1
            saved = _state_of(run, self.tools.roundtrip)
            changed = changed or bool(saved)
            fresh = self.again()
            _load(fresh, saved)
            last = min(row + LEAST_BARS, rows - 1)
            told = self.run(fresh, self.bars, done, last)
            different = self.differences(told, last)
            different[:done] = False
            if different.any():
                raise _Broken(
                    f"stopped and continued at {self.moment(row)} it gives other "
                    f"scores: {_forgotten(run.model, before, saved)}"
                )
        return "continued from its state() it gives the same scores" if changed else "it keeps no state"

    def gaps(self) -> str:
        """Missing bars and still prices end neither the run nor the views of other symbols."""
        gappy = with_gaps(self.bars, self.model.warmup)
        loaded = self.again()
        told = self.run(loaded, gappy)
        if isinstance(self.model, ScoreFile) or len(gappy.symbols) == 1:
            return "missing bars and still prices are taken"
        alone = (gappy.present & (gappy.seen() >= self.model.warmup) & ~np.isnan(self.base)).sum(axis=1)
        lost = (alone > 1) & np.isnan(told).all(axis=1)
        if lost.sum() > max(12, 0.1 * (alone > 1).sum()):
            raise _Broken(
                f"where one symbol lacks a bar, no symbol has a score ({int(lost.sum())} bars long); skip NaN, as "
                "np.nanmean does"
            )
        return "missing bars and still prices are taken; other symbols keep their scores"

    def columns(self) -> str:
        """This form has no columns."""
        return "called bar by bar, live and in a replay"


class _Columns(_Subject):
    """A model that computes whole columns."""

    def properties(self) -> list[tuple[str, Callable[[], str]]]:
        """See the base class."""
        return [
            (RUNS, self.runs), (AHEAD, self.look_ahead), (TIMING, self.timing), (WARM_UP, self.warm_up),
            (DETERMINISM, self.determinism), (STATE, self.state), (GAPS, self.gaps), (COLUMNS, self.columns),
            (SPEED, self.speed),
        ]

    def frame(self, bars: WholeBars, index: int) -> tuple[Any, Ints]:
        """One symbol's whole frame, and the intervals that its rows are."""
        model = self.model
        panel = bars.panel(model.needs, len(bars.opens) - 1, len(bars.opens))
        known = np.flatnonzero(~np.isnan(panel.field(model.needs[0])[:, index]))
        return frame_of(model, panel, index), known

    def column(self, loaded: LoadedModel, frame: Any) -> Floats:
        """The scores of *frame*'s rows; ModelError where the model raises."""
        model = loaded.model
        assert isinstance(model, FrameModel)
        return np.asarray(_guarded(loaded, lambda: frame_scores(model, frame)), dtype=np.float64)

    def runs(self) -> str:
        """It gives scores for every bar."""
        self.check_length()
        self.base = column_scores(self.loaded, self.bars)
        rows = panel_rows(self.model)
        begun = self.tools.clock()
        for row in range(len(self.bars.opens) - 5, len(self.bars.opens)):
            scores_of(self.loaded, self.bars.panel(self.model.needs, row, rows), self.bars.present[row])
        self.call_s = (self.tools.clock() - begun) / 5
        return self.check_views()

    def look_ahead(self) -> str:
        """Earlier rows are the same with another future, and without one, on the bars and on bars with gaps."""
        cuts = 0
        for bars in (self.bars, with_gaps(self.bars, self.model.warmup)):
            for s in range(len(bars.symbols)):
                frame, known = self.frame(bars, s)
                if len(known) > 2:
                    cuts += self._cut_symbol(bars, s, frame, known)
        return f"future cut off and replaced at {cuts} moments: earlier scores are equal to the bit"

    def _cut_symbol(self, bars: WholeBars, s: int, frame: Any, known: Ints) -> int:
        """Compare the column of one symbol at every telling row; returns how many there were."""
        base, whole = np.full(self.base.shape, np.nan), self.column(self.again(), frame)
        base[known, s] = whole
        most = max(12, CUTS // (2 * len(bars.symbols)))
        rows = telling_rows(bars, s, min(self.model.warmup, len(bars.opens) // 2), most)
        for number, row in enumerate(rows.tolist()):
            height = int(np.searchsorted(known, row)) + 1
            loaded = self.tools.reload() if number % 12 == 0 else self.again()
            futures = [("cut off", frame.head(height))]
            if number % 3 == 0:
                futures.append(("replaced", self.frame(with_another_future(bars, row, number), s)[0]))
            for how, shown in futures:
                told = np.full(self.base.shape, np.nan)
                told[known[:height], s] = self.column(loaded, shown)[:height]
                different = self.differences(told, row, base)
                if different.any():
                    raise _Broken(self.say_cut(different, told, row, how, base))
                loaded = self.again()
        return len(rows)

    def sampled(self, bars: WholeBars, most: int) -> Iterator[tuple[int, int]]:
        """Intervals and symbols at which calls are compared with the column."""
        first = min(panel_rows(self.model), len(bars.opens) - LEAST_BARS // 2)
        for s in range(len(bars.symbols)):
            for row in telling_rows(bars, s, first, max(6, most // len(bars.symbols))).tolist():
                yield row, s

    def warm_up(self) -> str:
        """Scores of the last *warmup* rows are those of longer histories."""
        warmup, tolerance, scale = self.model.warmup, self.model.tolerance, _rms(self.base)
        worst, needed = 0.0, warmup
        for row, s in self.sampled(self.bars, CALLS):
            frame, known = self.frame(self.bars, s)
            height = int(np.searchsorted(known, row)) + 1
            longest = self.column(self.again(), frame.head(height))[-1:]
            for rows in (warmup, *(int(warmup * more) for more in (1.25, 1.5, 2, 3, 4, 6, 8))):
                if rows > height:
                    break
                apart = _apart(self.column(self.again(), frame.head(height).tail(rows))[-1:], longest, scale)
                worst = max(worst, apart if rows == warmup else 0.0)
                if apart <= tolerance:
                    needed = max(needed, rows)
                    break
        if worst > tolerance:
            advice = f"warmup = {needed} is enough" if needed > warmup else "raise warmup"
            raise _Broken(
                f"the last {warmup} bars give scores {worst:.2g} (of their own size) apart from those of a longer "
                f"history; the model states a tolerance of {tolerance:g}. Here {advice}; or state a larger tolerance"
            )
        return f"{warmup} bars are enough: more change nothing beyond {tolerance:g}"

    def determinism(self) -> str:
        """The column is the same again, in this process and with the file run anew."""
        for loaded, where in (
            (self.again(), "in the same process"), (self.loaded, "by the same object"),
            (self.tools.reload(), "with the file run anew"),
        ):
            told = column_scores(loaded, self.bars)
            different = self.differences(told, len(told) - 1)
            if different.any():
                row, s = (int(one) for one in np.argwhere(different)[0])
                raise _Broken(
                    f"asked again {where} it gives another score for {self.bars.symbols[s]} at "
                    f"{self.moment(row)}: {self.base[row, s]:.6g}, then "
                    f"{told[row, s]:.6g}"
                )
        return "asked three times more it gives the same scores"

    def state(self) -> str:
        """What it saves can be loaded, and changes no score."""
        loaded = self.again()
        column_scores(loaded, self.bars)
        saved = _state_of(loaded, self.tools.roundtrip)
        fresh = self.again()
        _load(fresh, saved)
        if self.differences(column_scores(fresh, self.bars), len(self.base) - 1).any():
            raise _Broken("continued from its state() it gives other scores: a column is made of its rows alone")
        return "continued from its state() it gives the same scores" if saved else "it keeps no state"

    def gaps(self) -> str:
        """Missing bars and still prices do not end the run."""
        gappy = with_gaps(self.bars, self.model.warmup)
        told = column_scores(self.again(), gappy)
        for s, symbol in enumerate(gappy.symbols):
            if not np.isnan(self.base[:, s]).all() and np.isnan(told[:, s]).all():
                raise _Broken(f"with a few bars missing {symbol} has no score at all; skip NaN and nulls")
        return "missing bars and still prices are taken"

    def columns(self) -> str:
        """Calls on the last bars, as live makes them, give the scores of the whole column."""
        tolerance, compared, loaded = self.model.tolerance, 0, self.again()
        for bars in (self.bars, with_gaps(self.bars, self.model.warmup)):
            whole = column_scores(self.again(), bars)
            scale = _rms(whole)
            for row, s in self.sampled(bars, CALLS // 2):
                panel = bars.panel(self.model.needs, row, panel_rows(self.model))
                told = scores_of(loaded, panel, np.arange(len(bars.symbols)) == s)
                apart = _apart(told[s: s + 1], whole[row, s: s + 1], scale)
                compared += 1
                if apart > tolerance:
                    raise _Broken(
                        f"called live on the last {self.model.warmup} bars it gives {bars.symbols[s]} "
                        f"{told[s]:.6g} at {self.moment(row)}, and {whole[row, s]:.6g} "
                        f"as a column; {self.remedy(bars, row, s, whole[row, s: s + 1], scale)}"
                    )
        return f"calls on the last {self.model.warmup} bars agree with the column at {compared} moments"

    def remedy(self, bars: WholeBars, row: int, s: int, aim: Floats, scale: float) -> str:
        """What would make a call at *row* give *aim* (1,): more of the bars before it, or no look at later ones."""
        frame, known = self.frame(bars, s)
        height = int(np.searchsorted(known, row)) + 1
        for rows in (*(self.model.warmup * more for more in (2, 4, 8)), height):
            told = self.column(self.again(), frame.head(height).tail(rows))[-1:]
            if rows <= height and _apart(told, aim, scale) <= self.model.tolerance:
                return f"with warmup = {rows} they agree there; exponential averages remember more bars than their span"
        return "no longer warmup makes them agree: it may look at later rows, or at all rows of the column"


def _made(loaded: LoadedModel, model: Model | FrameModel) -> Model | FrameModel:
    return _guarded(loaded, lambda: type(model)(model.params))  # type: ignore[no-any-return]


def _guarded(loaded: LoadedModel, ask: Callable[[], Any]) -> Any:
    """What the user's code gives; ModelError where it raises."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, where every value is NaN
            return ask()
    except Exception as error:
        raise ModelError(f"{loaded.name}: {type(error).__name__}: {error}") from error


def _state_of(loaded: LoadedModel, roundtrip: Callable[[Any], Any]) -> Any:
    """The model's state as a checkpoint gives it back."""
    saved = _guarded(loaded, loaded.model.state)
    if not isinstance(saved, dict):
        raise _Broken(f"state() gives {type(saved).__name__}; it is a dict of plain values and arrays")
    try:
        return roundtrip(saved)
    except (TypeError, ValueError, OverflowError) as error:
        raise _Broken(f"state() cannot be saved: {error}; give plain values and arrays") from error


def _forgotten(model: Any, before: dict[str, Any], saved: dict[str, Any]) -> str:
    """Which attributes of *model* have changed since *before*, and may be missing in its state."""
    changed = [
        f"self.{name}" for name, value in vars(model).items()
        if value is not before.get(name) or isinstance(value, (list, dict, set, np.ndarray))
    ]
    if not changed:
        return "it remembers outside self; keep it on self, and in state()"
    if not saved:
        return f"state() is empty, and it remembers {', '.join(changed)}"
    return f"state() and load_state() do not carry everything of {', '.join(changed)}"


def _load(loaded: LoadedModel, saved: Any) -> None:
    _guarded(loaded, lambda: loaded.model.load_state(saved))


def _rms(scores: Floats) -> float:
    known = scores[~np.isnan(scores)]
    return float(np.sqrt(np.mean(known * known))) if known.size else 0.0


def _apart(one: Floats, other: Floats, scale: float) -> float:
    """The largest difference of two sets of scores, relative to their size or to *scale*; inf where one has no view."""
    if (np.isnan(one) != np.isnan(other)).any():
        return float("inf")
    known = ~np.isnan(one)
    if not known.any():
        return 0.0
    size = np.maximum(np.abs(other[known]), scale)
    gap = np.abs(one[known] - other[known])
    return float(np.max(np.divide(gap, size, out=np.where(gap > 0.0, np.inf, 0.0), where=size > 0.0)))


def _foreknowledge(scores: Floats, bars: WholeBars, span: int) -> tuple[float, float]:
    """Correlation of the changes of *scores* with the returns over *span* bars after them, and its standard error."""
    closes = bars.fields[CLOSE]
    with np.errstate(all="ignore"):
        changes = np.diff(scores, axis=0)[: len(scores) - 1 - span]
        later = closes[1 + span:] / closes[1:-span] - 1.0
        x, y = (_standard(one) for one in (changes, later))
    known = ~(np.isnan(x) | np.isnan(y)) & (changes != 0.0)
    count = int(known.any(axis=1).sum()) / span
    if count < LEAST_BARS / 2:
        return 0.0, 1.0
    x, y = x[known], y[known]
    size = float(np.sqrt(np.mean(x * x) * np.mean(y * y)))
    return (float(np.mean(x * y)) / size if size > 0.0 else 0.0), 1.0 / float(np.sqrt(count))


def _standard(values: Floats) -> Floats:
    """Each column in its own deviations, held within four of them."""
    spread = deviations(values)
    return np.asarray(np.clip(values / np.where(spread > 0.0, spread, np.nan), -4.0, 4.0))


def where_at(one: Suspect, file: str) -> str:
    """A suspect line as text: its place, the line, and why."""
    return f"{Path(file).name}:{one.line}: {one.text}  ({one.why})"
