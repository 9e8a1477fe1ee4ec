"""The pages of the terminal's dashboard: of a finished run, of a live status, of names that attack a terminal."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from tests.app.test_status import FINE, NOW, live_folder
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.report import formats as fmt
from quantum_trader.app.report.text_chart import text_curve
from quantum_trader.app.runs.model_state import ModelLine, ModelsState
from quantum_trader.app.runs.state_dir import StateDir
from quantum_trader.app.runs.status import HaltLine, OrderLine, PositionLine
from quantum_trader.app.terminal.page_facts import PAGES, PageFacts, read_page
from quantum_trader.app.terminal.place import Seen, WatchPlace
from quantum_trader.app.terminal.screen import DRAWN, DRAWN_ITEMS, drawn_page, page_document, screen_layout
from quantum_trader.domain.errors import StateError
from quantum_trader.journal.lake import journal_of
from quantum_trader.models.forecasts import Lack

EVIL = "EVIL\x1b[2J\u202e[red]USDT"


def drawn(page: PageFacts, width: int = 140) -> str:
    """*page* as a person sees it."""
    console = Console(file=io.StringIO(), width=width)
    console.print(page_document(page, width))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def opened(page: PageFacts, width: int = 140) -> str:
    """What is drawn of the row that *page* was read of."""
    console = Console(file=io.StringIO(), width=width)
    console.print(DRAWN_ITEMS[page.page](page.facts, width))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def live_page(folder: Path, page: str, **changes: object) -> PageFacts:
    """*page* of a live folder whose process lives and says *changes*."""
    live_folder(folder, msgspec.structs.replace(FINE, **changes))
    held = StateDir(folder)
    try:
        return read_page(folder, page, NOW)
    finally:
        held.close()


def test_every_page_of_a_finished_run_is_drawn_at_any_width(finished: Path) -> None:
    """Each says that the run is finished, and nothing could not be read."""
    assert list(DRAWN) == list(PAGES)
    for name in PAGES:
        page = read_page(finished, name, NOW)
        assert page.trouble == ()
        for width in (20, 80, 200):
            assert "finished" in drawn(page, width).replace("\n", "") or width == 20, name


def test_the_overview_has_the_figures_of_the_run(finished: Path) -> None:
    """Equity as the status has it, the curve with its highest value, the trade that the journal has last."""
    page = read_page(finished, "overview", NOW)
    last = journal_of(finished).sql("select symbol, pnl from trades order by ts_ns desc limit 1").to_pylist()[0]
    text = drawn(page)
    assert f"{page.facts['equity']:,.2f} USDT at 2018-03-15" in text
    assert page.facts["last_trade"]["pnl"] == last["pnl"]
    assert f"{last['symbol']} " in text
    assert f"{last['pnl']:+,.2f} USDT" in text
    assert f"{max(page.facts['curve']['equity']):,.0f}" in text
    assert "the run is finished" in text


def test_a_live_position_shows_its_stop_and_the_distance_to_it(tmp_path: Path) -> None:
    """Of a long at 110 with its stop at 99: 10 % to go, and +1 R from an entry at 100 with its first stop at 90."""
    line = PositionLine(
        symbol="BTCUSDT", side="LONG", qty=0.5, entry_price=100.0, stop=99.0, first_stop=90.0, mark_price=110.0,
    )
    page = live_page(tmp_path, "positions", positions=(line,))
    (one,) = page.facts["positions"]
    assert one["stop_distance_pct"] == pytest.approx(10.0)
    assert one["unrealised_usdt"] == pytest.approx(5.0)
    assert one["unrealised_r"] == pytest.approx(1.0)
    assert "+10.00 %" in drawn(page)


def test_a_position_without_a_stop_is_told_loudly(tmp_path: Path) -> None:
    """No distance is invented for it."""
    line = PositionLine(symbol="BTCUSDT", side="SHORT", qty=0.5, entry_price=100.0, mark_price=90.0, protected=False)
    page = live_page(tmp_path, "overview", positions=(line,))
    assert page.facts["positions"][0]["stop_distance_pct"] is None
    assert "NO STOP at the venue" in drawn(page).replace("\n", " ")


def test_halts_and_the_governor_say_why_nothing_happens(tmp_path: Path) -> None:
    """With how a halt ends."""
    halt = HaltLine(kind="operator", reason="lunch", exit_path="resume", since_ns=NOW)
    page = live_page(
        tmp_path, "overview", halts=(halt,), entries_halted="an operator's halt", governor="EMERGENCY",
        written_ns=NOW,
    )
    text = drawn(page)
    assert "no new positions: an operator's halt" in text
    assert "the safety governor is at EMERGENCY" in text
    assert "lunch" in text
    assert "ends: resume" in text


def test_health_names_problems_and_figures_with_units(tmp_path: Path) -> None:
    """A process that hangs, a full queue, a lag."""
    page = live_page(tmp_path, "health", written_ns=NOW - 60_000_000_000, lag_s=7.5, queue_fill=0.96)
    text = drawn(page)
    assert "wrote no status for 60 s" in text
    assert "7.5 s" in text
    assert "96.0 %" in text
    assert page.facts["problem_count"] == len(page.facts["problems"]) >= 3


@pytest.mark.parametrize("name", list(PAGES))
def test_hostile_names_reach_the_terminal_as_codes(tmp_path: Path, name: str) -> None:
    """No control character, no turned direction, no markup: printed and on the screen."""
    line = PositionLine(symbol=EVIL, side="LONG", qty=1.0, entry_price=1.0, stop=0.9, mark_price=1.1, model=EVIL)
    halt = HaltLine(kind=EVIL, reason=EVIL, exit_path=EVIL)
    page = live_page(tmp_path, name, positions=(line,), halts=(halt,), bus=EVIL, entries_halted=EVIL)
    console = Console(file=io.StringIO(), width=200, height=60)
    console.print(page_document(page, 200))
    place = WatchPlace(page=name)
    whole = drawn_page(console, page, EVIL, place)
    seen = Seen(rows=whole.rows, lines=len(whole.lines), height=50)
    console.print(screen_layout(page, whole, place, seen, (200, 60)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\x1b[2J\\u202e[red]USDT" in text


def test_an_opened_position_tells_what_it_would_lose_and_what_opened_it(tmp_path: Path) -> None:
    """0.5 at 110 with its stop at 99: 5.50 USDT from here; its own order, and that it is gone once it is closed."""
    line = PositionLine(
        symbol="BTCUSDT", side="LONG", qty=0.5, entry_price=100.0, stop=99.0, first_stop=90.0, mark_price=110.0,
        model=EVIL,
    )
    other = OrderLine(client_order_id="qt-2", symbol="ETHUSDT", purpose="STOP", qty=1.0)
    live_folder(tmp_path, msgspec.structs.replace(FINE, positions=(line,), orders=(*FINE.orders, other)))
    page = read_page(tmp_path, "positions", NOW, "BTCUSDT")
    text = opened(page)
    assert "+10.00 % of the last price; 5.50 USDT from here" in text
    assert "+5.00 USDT (+1.000 R)" in text
    assert "\\x1b[2J\\u202e[red]USDT" in text
    assert ("qt-1" in text, "qt-2" in text) == (True, False)
    assert "This position is closed" in opened(read_page(tmp_path, "positions", NOW, "XRPUSDT"))


def test_an_opened_signal_has_its_decision_its_steps_and_its_shadow_trade(finished: Path) -> None:
    """As the journal has them, and the command that says what would change it."""
    row = journal_of(finished).sql(
        "select d.signal_id, d.reason, s.net_bps from decisions d join shadows s using (signal_id) "
        "where d.decision = 'BLOCKED' limit 1"
    ).to_pylist()[0]
    page = read_page(finished, "decisions", NOW, row["signal_id"])
    text = opened(page)
    assert f"{row['net_bps']:+.1f} bps" in text
    assert fmt.words(row["reason"]) in text
    assert f"quantum-trader why {row['signal_id']} --state" in text
    assert page.facts["trace"]["spans"][0]["name"] == "signal"
    assert f"BLOCKED {row['reason']}" in text
    assert "No decision on this signal" in opened(read_page(finished, "decisions", NOW, "s99999999"))


def test_learning_says_how_far_the_training_of_the_pilot_is(tmp_path: Path) -> None:
    """Group, update, steps and the time that is left, by its newest report."""
    page = live_page(tmp_path, "learning")
    report = {"ts_ns": NOW, "session_id": "t1", "device": "cpu", "group_number": 2, "groups": 3, "seeds": 4,
              "update": 40, "updates": 200, "steps": 81_920, "steps_per_s": 900.0, "eta_s": 240.0}
    assert page.facts["training"] == []
    text = drawn(msgspec.structs.replace(page, facts={**page.facts, "training": [report]}))
    assert "t1: group 2 of 3 (4 seeds), update 40 of 200, 81,920 steps on cpu, 4 min left" in text


def test_decisions_and_shadows_are_those_of_the_journal(finished: Path) -> None:
    """Counts of all signals; each refused one in words; results of refused ones as the journal has them."""
    lake = journal_of(finished)
    total = lake.sql("select count(*) as n from decisions").to_pylist()[0]["n"]
    ended = lake.sql("select count(*) as n, avg(net_bps) as bps from shadows where traded").to_pylist()[0]
    decisions = read_page(finished, "decisions", NOW).facts
    assert sum(one["signals"] for one in decisions["counts"]) == total > 0
    times = [one["ts_ns"] for one in decisions["decisions"]]
    assert times == sorted(times, reverse=True)
    shadows = read_page(finished, "shadows", NOW)
    traded = shadows.facts["by_reason"][0]
    assert (traded["traded"], traded["shadows"]) == (True, ended["n"])
    assert traded["mean_bps"] == pytest.approx(ended["bps"])
    assert f"{ended['bps']:+.1f}" in drawn(shadows)
    assert "refused" in drawn(read_page(finished, "decisions", NOW))


def test_learning_says_what_a_model_lacks(tmp_path: Path) -> None:
    """As `status` tells it, with the bars known and needed, and why there is no signal."""
    lack = Lack(model="MyTrend", symbol="BTCUSDT", bars=212, needed=365, interval="1d")
    state = ModelsState(
        models=(ModelLine(name="MyTrend", symbols=("BTCUSDT",), lacks=(lack,)),), silent_since_ns=NOW,
        silence="the models are warming up",
    )
    text = drawn(live_page(tmp_path, "learning", models=state, pilot="the pilot observes"))
    assert "212 of 365 days" in text
    assert "lacks bars" in text
    assert "the models are warming up" in text
    assert "the pilot observes" in text


def test_models_show_changes_refusals_and_the_registry(tmp_path: Path) -> None:
    """With the ids cut, who changed it and why; a hostile reason as codes."""
    old, new = "a" * 64, "b" * 64
    change = {"role": "signals", "names": ["MyTrend"], "ids": [new], "before": [old], "alias": "registry:champion",
              "version": 7, "actor": "anna", "reason": EVIL}
    refusal = {"role": "signals", "model": "c" * 64, "in_force": [new], "reason": "its file is damaged", "alias": "",
               "version": 0}
    facts = {
        "names": ["MyTrend"], "in_force": {"pilot": "", "signals": [new]}, "changes": [{"ts_ns": NOW, **change}],
        "refused": [{"ts_ns": NOW, **refusal}],
        "registry": [{"ts_ns": NOW, "model_id": new, "alias": "champion", "change": "promoted", "actor": "anna",
                      "reason": "better"}],
    }
    page = live_page(tmp_path, "models")
    assert page.facts.keys() >= facts.keys()
    text = drawn(msgspec.structs.replace(page, facts={**page.facts, **facts}), 200)
    assert "bbbbbbbbbbbb…" in text
    assert "registry:champion version 7" in text
    assert "its file is damaged" in text
    assert "promoted" in text
    assert "\x1b" not in text
    assert "\\x1b[2J\\u202e[red]USDT" in text


def test_a_damaged_journal_leaves_the_other_figures(finished: Path, tmp_path: Path) -> None:
    """What is missing is told in a line, and the equity is still there."""
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    (folder / "journal" / "lake" / "manifest.json").write_text("{")
    page = read_page(folder, "overview", NOW)
    assert page.trouble
    assert "journal not read" in page.trouble[0]
    assert page.facts["equity"] is not None
    assert page.trouble[0][:40] in drawn(page)


def test_a_damaged_checkpoint_is_told_in_a_line(finished: Path, tmp_path: Path) -> None:
    """The page says so, and what the next start does."""
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    (folder / "checkpoint").write_bytes(b"no checkpoint")
    text = drawn(read_page(folder, "health", NOW))
    assert "the checkpoint is damaged" in text


def test_what_is_no_folder_of_a_run_is_refused(tmp_path: Path) -> None:
    """By the reader and by the command, with the word what to give."""
    with pytest.raises(StateError, match="is not a run's state folder"):
        read_page(tmp_path, "overview", NOW)
    result = CliRunner().invoke(app, ["watch", "--state", str(tmp_path)])
    assert result.exit_code == 2
    assert "is not a run's state folder" in result.stderr


def test_without_a_terminal_one_page_is_printed_and_it_ends(finished: Path) -> None:
    """The overview unless --page names another; an unknown name is refused with the known ones."""
    told = CliRunner().invoke(app, ["watch", "--state", str(finished)])
    assert told.exit_code == 0
    assert "Why nothing happens" in told.stdout
    health = CliRunner().invoke(app, ["watch", "--state", str(finished), "--page", "health", "--once"])
    assert "Damage of the journal" in health.stdout
    wrong = CliRunner().invoke(app, ["watch", "--state", str(finished), "--page", "money"])
    assert wrong.exit_code == 2
    assert "choose from overview, positions" in wrong.stderr


@pytest.mark.parametrize("name", list(PAGES))
def test_every_page_is_a_json_document_too(finished: Path, name: str) -> None:
    """With its name, its facts and what could not be read."""
    result = CliRunner().invoke(app, ["watch", "--state", str(finished), "--page", name, "--json"])
    document = json.loads(result.stdout)
    assert (document["page"], document["trouble"]) == (name, [])
    assert document["facts"]["condition"] == "finished"


def test_the_curve_stands_between_its_lowest_and_its_highest_value() -> None:
    """The highest in the first line, the lowest in the last; one value and none are no error."""
    hours = [1_519_862_400 + 3_600 * hour for hour in range(48)]
    lines = text_curve(hours, [1_000.0 + hour for hour in range(48)], width=60, height=5).split("\n")
    assert len(lines) == 6
    assert lines[0].startswith("1,047 ")
    assert lines[4].startswith("1,000 ")
    assert lines[0].rindex("·") > lines[4].rindex("·")
    assert max(map(len, lines)) <= 60
    assert lines[5].split() == ["2018-03-01", "2018-03-02"]
    assert "·" in text_curve(hours[:1], [5.0])
    assert text_curve([], []) == ""
