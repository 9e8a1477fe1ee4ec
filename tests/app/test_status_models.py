"""What `status` says of models: what each still lacks, since when there has been no signal, and that one has failed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.properties.live_road import live_run
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs.live import LiveRun
from quantum_trader.app.runs.model_state import lack_words
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.runs.status import write_status
from quantum_trader.app.settings import load_settings
from quantum_trader.domain.clock import NS_PER_HOUR, iso
from quantum_trader.domain.enums import OrderStatus, OrderType
from quantum_trader.domain.trading import Fill, OrderRequest, OrderUpdate
from quantum_trader.live.inputs import BarsReceived, SessionStarted, VenueEventReceived
from quantum_trader.models.forecasts import Lack

MINUTE = 60_000_000_000
START = 1_700_006_400_000_000_000 // NS_PER_HOUR * NS_PER_HOUR  # 2023-11-15T00:00
MINE = '''
from quantum_trader.models import Model


class Trend(Model):
    bars, warmup, horizon = "1h", 10, "12h"
    fails = False

    def score(self, panel):
        if self.fails:
            raise RuntimeError("no such column")
        return panel.close[-1] / panel.close.mean(axis=0) - 1.0
'''


@contextmanager
def trading(folder: Path, threshold: float = 0.0, **model: Any) -> Iterator[LiveRun]:
    """A live session of two symbols with a model of one's own that trades at once, begun with 10,000."""
    file = folder / "mine.py"
    file.write_text(MINE)
    settings = {
        "models": ([{"model": f"{file}:Trend", "prior": [3.0, 0.5], **model}], "t"),
        "rollout.fixed_confidence": (threshold, "t"),
    }
    state = folder / "state"
    with live_run(state, settings, on_foreign=("adopt", "t")) as live:
        live.session.apply(SessionStarted(ts_ns=START, wallet=10_000.0, namespace="n-"))
        yield live


def hours(live: LiveRun, first: int, last: int, slope: float = 0.002) -> None:
    """Minutes of the hours from *first* to *last*, in which BTCUSDT rises; what is sent is acknowledged and filled."""
    for minute in range(first * 60, last * 60):
        price = 10_000.0 * (1.0 + slope * minute / 60 + 0.001 * math.sin(minute / 7.0))
        rows = np.array([[price, price * 1.001, price * 0.999, price, 100.0], [1_000.0] * 4 + [100.0]])
        ts_ns = START + minute * MINUTE
        sent = live.session.apply(BarsReceived(
            ts_ns=ts_ns, received_ns=ts_ns + MINUTE, ohlcv=rows.tobytes(), present=np.ones(2, np.bool_).tobytes(),
        ))
        for order in sent:
            if isinstance(order, OrderRequest):
                accept(live, order, price)


def accept(live: LiveRun, order: OrderRequest, price: float) -> None:
    """Acknowledge an order, and fill it where it is one at the market."""
    def update(status: OrderStatus, filled: float = 0.0) -> None:
        live.session.apply(VenueEventReceived.of(OrderUpdate(
            client_order_id=order.client_order_id, venue_order_id="1", symbol=order.symbol, status=status,
            ts_ns=live.engine.now_ns, filled_qty=filled,
        )))

    update(OrderStatus.NEW)
    if order.type is not OrderType.MARKET:
        return
    followed = live.session.apply(VenueEventReceived.of(Fill(
        fill_id=f"{order.symbol}-{order.client_order_id}", symbol=order.symbol, side=order.side, qty=order.qty,
        price=price, client_order_id=order.client_order_id, fee=0.0, liquidity="taker", ts_ns=live.engine.now_ns,
    )))
    update(OrderStatus.FILLED, order.qty)
    for stop in followed:
        if isinstance(stop, OrderRequest):
            accept(live, stop, price)


def shown(live: LiveRun) -> list[tuple[str, Any]]:
    """The text and the JSON of `status`, from the status file and then from the checkpoint alone."""
    folder = live.state_dir.path
    write_status(folder, live.status(live.driver.health()))
    assert live.session.checkpoint()
    found = []
    for _ in range(2):
        text = CliRunner().invoke(app, ["status", "--state", str(folder)]).stdout
        found.append((text, json.loads(CliRunner().invoke(app, ["status", "--state", str(folder), "--json"]).stdout)))
        (folder / "status.json").unlink(missing_ok=True)
    return found


def test_status_says_what_a_model_lacks_and_since_when_it_is_silent(tmp_path: Path) -> None:
    """Before the first bar, in the warm-up, and once it has given a signal; from status file and checkpoint alike."""
    with trading(tmp_path) as live:
        for text, told in shown(live):
            assert "models       still lacking: Trend: 0 of 10 bars of 1h\n" in text
            assert "signals      none since the start (2023-11-15T00:00Z): no bar of theirs is complete yet\n" in text
            assert told["models"]["models"][0]["lacks"][0] == {
                "model": "Trend", "symbol": "BTCUSDT", "bars": 0, "needed": 10, "interval": "1h",
            }
        hours(live, 0, 7)
        for text, _ in shown(live):
            assert "models       still lacking: Trend: 7 of 10 bars of 1h\n" in text
            assert "none since the start (2023-11-15T00:00Z): the models are warming up\n" in text
        hours(live, 7, 40)
        assert "BTCUSDT" in live.engine.account.books.positions
        for text, told in shown(live):
            assert "models       Trend: warm\n" in text
            last = told["models"]["last_signal_ns"]
            assert last == told["models"]["silent_since_ns"] > START
            assert (
                f"signals      none since {iso(last)[:16]}Z: the target is held (BTCUSDT); the score is between "
                "-0.5 and 0.5 (ETHUSDT)\n"
            ) in text


def test_a_target_that_is_refused_again_and_again_is_told_with_its_reason(tmp_path: Path) -> None:
    """The same refusal is no new signal: the first one's time, and why nothing came since."""
    with trading(tmp_path, threshold=0.95, prior=[0.0, 0.5]) as live:
        hours(live, 0, 40)
        assert not live.engine.account.books.positions
        for text, _ in shown(live):
            assert (
                "signals      none since 2023-11-15T22:00Z: the target is still refused: confidence below the "
                "threshold (BTCUSDT); "
            ) in text


def test_status_says_that_a_model_has_failed_and_that_its_targets_are_not_traded(tmp_path: Path) -> None:
    """Since when, with the line of the user's file; openings are halted, the position has its stop; exit code 1."""
    with trading(tmp_path) as live:
        hours(live, 0, 40)
        model: Any = live.engine.market.forecasts.models[0].model  # type: ignore[union-attr]
        model.fails = True
        hours(live, 40, 42)
        assert live.engine.halts.closed() == "halted by command"
        for text, told in shown(live):
            assert "signals      none since" in text
            assert (
                "a model has failed since the bar that closed 2023-11-16T17:00Z: targets of before are not traded, "
                "open positions keep their stops"
            ) in text
            assert "the engine failed on the model of Trend: ModelError: Trend: mine.py:11: RuntimeError: no" in text
            assert "ends: resume --reason" in text
            (held,) = told["positions"]
            assert held["protected"]
            assert held["stop"] > 0.0
            assert told["models"]["failed_ns"] == START + 41 * NS_PER_HOUR
            assert told["problems"]


def test_status_of_a_replay_says_it_too(tmp_path: Path) -> None:
    """Two days without warm-up, and the intraday ensemble of the same days."""
    file = tmp_path / "mine.py"
    file.write_text(MINE.replace('"1h", 10', '"4h", 40'))
    span = {"data.start": ("2018-01-01", "t"), "data.end": ("2018-01-02", "t"), "data.warm_up": (False, "t")}
    for name, more, words in (
        ("own", {"models": ([{"model": f"{file}:Trend"}], "t")}, "Trend: 12 of 40 bars of 4h\n"),
        ("intraday", {"models": (({"model": "intraday-demo"},), "t")}, "intraday-demo: 96 of 151 bars of 30m\n"),
    ):
        run(load_settings(None, {**span, **more}).settings, RunOptions(state_dir=tmp_path / name))
        text = CliRunner().invoke(app, ["status", "--state", str(tmp_path / name)]).stdout
        assert f"models       still lacking: {words}" in text
        assert "signals      none since the start (2018-01-01T00:00Z): " in text
        assert "warming up" in text


def test_a_model_for_some_symbols_lacks_bars_of_those_alone(tmp_path: Path) -> None:
    """The other symbol is not waited for."""
    with trading(tmp_path, symbols=["ETHUSDT"]) as live:
        hours(live, 0, 2)
        for text, told in shown(live):
            assert "still lacking: Trend: 2 of 10 bars of 1h\n" in text
            assert [one["symbol"] for one in told["models"]["models"][0]["lacks"]] == ["ETHUSDT"]


@pytest.mark.parametrize(("seen", "count", "said"), [
    ({"A": 212, "B": 212}, 2, "slow: 212 of 365 days"),
    ({"A": 212}, 2, "slow: 212 of 365 days (A)"),
    ({"A": 212, "B": 40, "C": 40}, 3, "slow: 212 of 365 days (A), 40 (B, C)"),
    (dict.fromkeys("ABCDEFGH", 1), 9, "slow: 1 of 365 days (A, B, C, D, E and 3 more)"),
    ({}, 2, ""),
])
def test_what_is_lacking_is_told_by_symbol_only_where_they_differ(seen: dict[str, int], count: int, said: str) -> None:
    """Many symbols are counted."""
    lacks = [Lack(model="slow", symbol=symbol, bars=bars, needed=365, interval="1d") for symbol, bars in seen.items()]
    assert lack_words(lacks, {"slow": count}) == said
