"""`run --venue local`: the production adapter over loopback gives a whole run, and its books are the venue's."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantum_trader.app import run_local
from quantum_trader.app.results import RunOptions
from quantum_trader.app.settings import load_settings
from quantum_trader.domain.errors import StateError
from quantum_trader.journal.lake import Lake


def test_a_run_over_loopback_trades_and_its_books_are_the_venues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three weeks of five symbols: trades closed, every one with its records in the journal, wallet and cash equal."""
    seen: list[run_local._Stepping] = []
    play = run_local._Stepping.run

    async def watched(self: run_local._Stepping) -> None:
        seen.append(self)
        await play(self)

    monkeypatch.setattr(run_local._Stepping, "run", watched)
    settings = load_settings(None, {
        "data.start": ("2018-01-01", "test"), "data.end": ("2018-01-21", "test"),
        "policy.profile": ("STANDARD", "test"),
    }).settings
    result = run_local.run_over_local_venue(settings, RunOptions(state_dir=tmp_path / "state"))
    (run,) = seen
    assert len(result.facts.trades) >= 3
    assert run.engine.books.cash == pytest.approx(run.exchange.paper.balance().wallet, abs=0.005)
    assert run._core.shield.failures == 0
    held = {position.symbol: position.qty for position in run.exchange.paper.positions()}
    assert held == {name: one.sign * one.qty for name, one in run.engine.books.positions.items()}
    counts = Lake(tmp_path / "state" / "journal").counts()
    assert counts["trade.closed"] == len(result.facts.trades)
    assert counts["market.bar"] >= 900


def test_a_local_run_is_not_continued(tmp_path: Path) -> None:
    """A folder that holds a run is refused, with what to do."""
    from quantum_trader.app.runner import run

    settings = load_settings(None, {
        "data.start": ("2018-01-01", "test"), "data.end": ("2018-01-02", "test"),
    }).settings
    run(settings, RunOptions(state_dir=tmp_path))
    with pytest.raises(StateError, match="name a new folder"):
        run_local.run_over_local_venue(settings, RunOptions(state_dir=tmp_path))
