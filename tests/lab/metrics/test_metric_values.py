"""Every value of every metric is that of a plain Python computation from the journal's lines, and its SQL says so."""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from tests.lab.metrics.independent import BY_ID, Row, rows_by_relation
from tests.lab.metrics.invented_run import InventedRun

from quantum_trader.domain.errors import InputError
from quantum_trader.journal.lake import JOURNAL, Lake
from quantum_trader.lab.metrics.catalogue import load_catalogue
from quantum_trader.lab.metrics.computer import MetricsComputer
from quantum_trader.lab.metrics.finished_days import FOLDER
from quantum_trader.lab.metrics.queries import DaySpan, JournalSpan, rows_of
from quantum_trader.lab.metrics.values import WHOLE, MetricSnapshot, MetricValue
from quantum_trader.policy.evidence import student_t_quantile

RUNS = {"two weeks": (1, "2026-10-05", 14), "four days": (2, "2024-02-27", 4), "a day": (3, "2020-01-01", 1)}


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Three invented runs."""
    return {name: InventedRun(*made).write(tmp_path_factory.mktemp("run")) for name, made in RUNS.items()}


@pytest.fixture(scope="module")
def snapshots(states: Mapping[str, Path]) -> Mapping[str, MetricSnapshot]:
    """All their metrics."""
    return {name: MetricsComputer(state).compute() for name, state in states.items()}


def same(one: float | None, other: float | None) -> bool:
    """Whether two values are the same up to the order of a sum."""
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)


def differing(state: Path, snapshot: MetricSnapshot) -> list[str]:
    """The values of *snapshot* that the lines of the journal give otherwise."""
    relations, chosen = rows_by_relation(state), dict[tuple[object, ...], list[Row]]()
    found = []
    for one in snapshot:
        of = snapshot.metrics[one.key.metric].of
        rows = chosen.get((of, one.key.day, one.key.where))
        if rows is None:
            rows = [
                row for row in relations[of] if one.key.day in (WHOLE, row["day"])
                and all(row.get(name) == value for name, value in one.key.where)
            ]
            chosen[of, one.key.day, one.key.where] = rows
        wanted = BY_ID[one.key.metric](rows)
        if not same(wanted, one.value):
            found.append(f"{one.key}: {one.value} and not {wanted}")
    return found


@pytest.mark.parametrize("name", RUNS)
def test_every_value_is_that_of_the_lines(
    name: str, states: Mapping[str, Path], snapshots: Mapping[str, MetricSnapshot]
) -> None:
    """All metrics of each day, of all days, and by every value of every dimension."""
    assert differing(states[name], snapshots[name])[:5] == []


def test_the_runs_have_data_for_every_metric(snapshots: Mapping[str, MetricSnapshot]) -> None:
    """No metric is compared on no data alone, and each one has values by each of its dimensions."""
    known = {(one.key.metric, one.key.where[0][0] if one.key.where else "")
             for one in snapshots["two weeks"] if one.value is not None}
    wanted = {(one.id, name) for one in load_catalogue().queried.values() for name in ("", *one.by)}
    assert wanted - known == set()


def test_the_printed_sql_gives_the_same_value(
    states: Mapping[str, Path], snapshots: Mapping[str, MetricSnapshot]
) -> None:
    """``explain`` prints one SELECT that the journal answers with the value, for each metric once."""
    state, snapshot = states["four days"], snapshots["four days"]
    computer, lake = MetricsComputer(state), Lake(state / JOURNAL)
    by_metric: dict[str, list[MetricValue]] = {}
    for one in snapshot:
        by_metric.setdefault(one.key.metric, []).append(one)
    queries, wanted = [], []
    for values in by_metric.values():
        for one in random.Random(5).sample(values, 1):
            queries.append(computer.explain(one.key.metric, one.key.day, **dict(one.key.where)))
            wanted.append(one)
    found = [table.to_pylist() for table in lake.tables(queries)]
    wrong = [
        f"{one.key}: {rows}" for one, rows in zip(wanted, found, strict=True)
        if len(rows) != 1 or not same(rows[0]["value"], one.value) or (rows[0]["samples"] or 0) != one.samples
    ]
    assert wrong == []


def test_relations_have_the_same_rows_with_the_times_of_the_journal_in_their_sql(states: Mapping[str, Path]) -> None:
    """As with those that the printed SQL reads from all events, of one day and of all."""
    catalogue, lake = load_catalogue(), Lake(states["four days"] / JOURNAL)
    times = JournalSpan(**lake.sql("select min(ts_ns) as first_ns, max(ts_ns) as last_ns from events").to_pylist()[0])
    for span in (DaySpan(), DaySpan(date(2024, 2, 28), date(2024, 2, 28))):
        read = lake.tables([rows_of(catalogue, name, span) for name in catalogue.relations])
        given = lake.tables([rows_of(catalogue, name, span, journal=times) for name in catalogue.relations])
        wrong = [
            name for name, one, other in zip(catalogue.relations, read, given, strict=True)
            if sorted(map(repr, one.to_pylist())) != sorted(map(repr, other.to_pylist()))
        ]
        assert wrong == []


def test_a_value_is_asked_by_any_combination(states: Mapping[str, Path]) -> None:
    """By two dimensions at once, with a quote in one of them."""
    computer, rows = MetricsComputer(states["two weeks"]), rows_by_relation(states["two weeks"])["shadows"]
    where = {"symbol": "ETHUSDT", "regime": "O'CLOCK \"q\""}
    wanted = [row for row in rows if all(row[name] == value for name, value in where.items())]
    found = computer.value("shadow_mean_bps", **where)
    assert found.value is not None
    assert same(found.value, BY_ID["shadow_mean_bps"](wanted))
    assert found.key.where == (("regime", "O'CLOCK \"q\""), ("symbol", "ETHUSDT"))
    with pytest.raises(InputError, match="gate = 'spread': shadow_mean_bps cannot be asked by it; choose"):
        computer.value("shadow_mean_bps", gate="spread")


def test_one_value_is_that_of_the_snapshot_with_its_bounds(
    states: Mapping[str, Path], snapshots: Mapping[str, MetricSnapshot]
) -> None:
    """Value, samples and bounds, of shares and of means, over all days and of one."""
    computer, snapshot = MetricsComputer(states["two weeks"]), snapshots["two weeks"]
    for name, day in (("win_rate", WHOLE), ("pnl_mean", WHOLE), ("gate_pass_rate", WHOLE), ("win_rate", "2026-10-12")):
        wanted = snapshot.get(name, day)
        found = computer.value(name, day)
        assert wanted is not None
        assert (found.samples, wanted.low is not None) == (wanted.samples, True)
        for one, other in ((found.value, wanted.value), (found.low, wanted.low), (found.high, wanted.high)):
            assert same(one, other), name


def test_a_day_by_itself_has_the_values_that_it_has_among_others(
    states: Mapping[str, Path], snapshots: Mapping[str, MetricSnapshot]
) -> None:
    """No value of a day depends on whether other days are computed with it."""
    catalogue, snapshot = load_catalogue(), snapshots["four days"]
    computer = MetricsComputer(states["four days"], catalogue)
    for day in snapshot.days:
        shutil.rmtree(states["four days"] / FOLDER)  # what compute has kept
        alone = {one.key: one for one in computer.day(day)}
        among = {one.key: one for one in snapshot if one.key.day == day}
        assert alone.keys() == among.keys()
        wrong = [str(key) for key, one in alone.items()
                 if one.samples != among[key].samples or not same(one.value, among[key].value)]
        assert wrong == []


@pytest.mark.parametrize("name", ["pnl_mean", "gate_pass_rate", "funding_rate"])
def test_a_mean_is_bounded_by_its_days(
    name: str, states: Mapping[str, Path], snapshots: Mapping[str, MetricSnapshot]
) -> None:
    """Student's bounds whose independent parts are whole days, of single rows and of rows that are summed up."""
    column = {"pnl_mean": "pnl", "funding_rate": "rate"}.get(name, "passed")
    rows = rows_by_relation(states["two weeks"])[snapshots["two weeks"].metrics[name].of]
    rows = [row for row in rows if row.get("measured", True)]
    values = np.array([float(row[column]) for row in rows]) * (1e4 if column == "rate" else 1.0)
    _, days = np.unique([row["day"] for row in rows], return_inverse=True)
    sums, sizes = np.bincount(days, values - values.mean()), np.bincount(days)
    error = math.sqrt(float((sums**2).sum()) * len(sums) / (len(sums) - 1)) / len(values)
    effective = float(sizes.sum() ** 2 / (sizes**2).sum())
    reach = student_t_quantile(0.975, effective - 1.0) * error
    found = snapshots["two weeks"].get(name, WHOLE)
    assert found is not None
    assert found.low == pytest.approx(values.mean() - reach)
    assert found.high == pytest.approx(values.mean() + reach)
