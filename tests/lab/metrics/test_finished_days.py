"""Days that are over are kept, count only for what they were made of, and a damaged file is computed again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.lab.metrics.independent import DAY_NS
from tests.lab.metrics.invented_run import InventedRun

from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.lab.metrics import computer as module
from quantum_trader.lab.metrics.catalogue import Catalogue, load_catalogue
from quantum_trader.lab.metrics.computer import MetricsComputer
from quantum_trader.lab.metrics.finished_days import FOLDER
from quantum_trader.lab.metrics.values import WHOLE

DAYS = ["2026-10-05", "2026-10-06", "2026-10-07"]
SMALL = ("trades", "pnl_total", "sharpe", "win_rate", "halts")


@pytest.fixture
def run(tmp_path: Path) -> InventedRun:
    """Three invented days in the journal of *tmp_path*."""
    made = InventedRun(4, DAYS[0], 3)
    made.write(tmp_path)
    return made


def small() -> Catalogue:
    """A few metrics of the program's catalogue."""
    whole = load_catalogue()
    return Catalogue(whole.relations, {name: whole.metrics[name] for name in SMALL})


def read_days(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collects the days that are computed and not read from their files, and ``all``."""
    found: list[str] = []
    original = module.RelationValues.of

    def watched(self: Any, days: Any, *, whole: bool) -> Any:
        found.extend([*days, *([WHOLE] if whole else [])])
        return original(self, days, whole=whole)

    monkeypatch.setattr(module.RelationValues, "of", watched)
    return found


def test_a_second_time_nothing_is_computed(
    tmp_path: Path, run: InventedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same values, from the files alone; the last day stands beside the whole, for it is not over."""
    first = MetricsComputer(tmp_path, small()).compute()
    computed = read_days(monkeypatch)
    again = MetricsComputer(tmp_path, small()).compute()
    assert computed == []
    assert again.content_hash == first.content_hash
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == [
        "2026-10-05.json", "2026-10-06.json", "all.json",
    ]


def test_a_further_day_computes_that_day_and_the_whole(
    tmp_path: Path, run: InventedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days that were over stay; the values are those of a computer that has kept nothing."""
    catalogue = small()
    MetricsComputer(tmp_path, catalogue).compute()
    trade = next(one for one in run.lines if one[1] == "trade.closed")
    run.append(tmp_path, [(trade[0] // DAY_NS * DAY_NS + 4 * DAY_NS, *trade[1:])])
    computed = read_days(monkeypatch)
    found = MetricsComputer(tmp_path, catalogue).compute()
    assert set(computed) == {DAYS[2], max(found.days), WHOLE}
    for path in (tmp_path / FOLDER).iterdir():
        path.unlink()
    assert MetricsComputer(tmp_path, catalogue).compute().content_hash == found.content_hash


def test_a_late_event_makes_its_day_anew(tmp_path: Path, run: InventedRun) -> None:
    """A day with more events than its file was made of is computed again, by ``day`` too."""
    before = MetricsComputer(tmp_path, small()).day(DAYS[0]).get("trades")
    trade = next(one for one in run.lines if one[1] == "trade.closed" and one[0] < run.first_ns + DAY_NS)
    run.append(tmp_path, [trade])
    after = MetricsComputer(tmp_path, small()).day(DAYS[0]).get("trades")
    assert before is not None
    assert after is not None
    assert (after.value or 0.0) == (before.value or 0.0) + 1.0


def test_an_event_between_the_count_and_the_reading_makes_its_day_anew(
    tmp_path: Path, run: InventedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was kept meanwhile counts for the events before it alone."""
    trade = next(one for one in run.lines if one[1] == "trade.closed" and one[0] < run.first_ns + DAY_NS)
    original = MetricsComputer._kept

    def with_late_event(self: MetricsComputer, counts: Any) -> Any:
        run.append(tmp_path, [trade])
        return original(self, counts)

    monkeypatch.setattr(MetricsComputer, "_kept", with_late_event)
    MetricsComputer(tmp_path, small()).compute()
    monkeypatch.undo()
    computed = read_days(monkeypatch)
    found = MetricsComputer(tmp_path, small()).compute()
    assert DAYS[0] in computed
    for path in (tmp_path / FOLDER).iterdir():
        path.unlink()
    assert MetricsComputer(tmp_path, small()).compute().content_hash == found.content_hash


@pytest.mark.parametrize("damage", [
    lambda content: content[:-20], lambda content: b"", lambda content: content.replace(b'"value":', b'"value":1', 1),
    lambda content: content.split(b"\n")[0], lambda content: b"\x00" * len(content),
], ids=["cut", "empty", "changed", "without content", "zeros"])
def test_a_damaged_file_is_not_believed(
    tmp_path: Path, run: InventedRun, damage: Callable[[bytes], bytes]
) -> None:
    """Whatever stands in the file, the values are those of the journal, and the file is whole again."""
    wanted = MetricsComputer(tmp_path, small()).compute().content_hash
    whole = {path: path.read_bytes() for path in (tmp_path / FOLDER).iterdir()}
    for path, content in whole.items():
        path.write_bytes(damage(content))
    assert MetricsComputer(tmp_path, small()).compute().content_hash == wanted
    assert {path: path.read_bytes() for path in (tmp_path / FOLDER).iterdir()} == whole


def test_another_catalogue_does_not_read_the_files_of_the_first(tmp_path: Path, run: InventedRun) -> None:
    """A changed formula of the same id gives its own values."""
    catalogue = small()
    before = MetricsComputer(tmp_path, catalogue).day(DAYS[0]).get("pnl_total")
    metrics = {**catalogue.metrics}
    metrics["pnl_total"] = msgspec.structs.replace(metrics["pnl_total"], value="2 * fsum(pnl)")
    after = MetricsComputer(tmp_path, Catalogue(catalogue.relations, metrics)).day(DAYS[0]).get("pnl_total")
    assert before is not None
    assert after is not None
    assert after.value == pytest.approx(2.0 * (before.value or 0.0))


def test_a_folder_that_cannot_be_written_gives_the_same_values(tmp_path: Path, run: InventedRun) -> None:
    """A file in the place of the folder: nothing is kept, and nothing fails."""
    (tmp_path / FOLDER).write_text("in the way")
    first = MetricsComputer(tmp_path, small()).compute()
    assert MetricsComputer(tmp_path, small()).compute().content_hash == first.content_hash


def test_a_day_without_trades_has_none_and_no_profit(tmp_path: Path, run: InventedRun) -> None:
    """A count is 0 where nothing happened; a sum and a share are no data, never 0."""
    run.append(tmp_path, [(run.first_ns + 9 * DAY_NS, "market.hole", "", "BTCUSDT", {})])
    found = MetricsComputer(tmp_path, small()).day("2026-10-14")
    values = {name: one.value for name in SMALL if (one := found.get(name)) is not None}
    assert values == {"trades": 0.0, "pnl_total": None, "sharpe": None, "win_rate": None, "halts": 0.0}


def test_a_journal_that_says_nothing_is_named(tmp_path: Path, run: InventedRun) -> None:
    """No folder, no journal, an empty one, a day without events, a day that is none."""
    (tmp_path / "other").mkdir()
    with pytest.raises(StateError, match="there is no journal; give the folder of a run"):
        MetricsComputer(tmp_path / "other", small())
    (tmp_path / "other" / "journal").mkdir(mode=0o700)
    with pytest.raises(StateError, match="the journal has no event of the days asked for"):
        MetricsComputer(tmp_path / "other", small()).compute()
    with pytest.raises(StateError, match="the journal has no event of the days asked for"):
        MetricsComputer(tmp_path, small()).day("2030-01-01")
    with pytest.raises(InputError, match="day '5th': write it as 2026-11-27"):
        MetricsComputer(tmp_path, small()).day("5th")
