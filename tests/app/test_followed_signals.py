"""Signals of a model that follows an alias: another one takes over in a live session, and in a replay."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.app.test_followed_alias import BAR, accept, records, save
from tests.lab.registry.made_registry import opened
from tests.models.learned.made_models import made_artefact, write_folder
from tests.properties.live_road import live_run
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs.journal_commands import replay
from quantum_trader.app.runs.live import LiveRun
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import load_settings
from quantum_trader.domain.clock import NS_PER_HOUR, iso
from quantum_trader.domain.trading import OrderRequest
from quantum_trader.lab.registry import ModelRegistry
from quantum_trader.live.inputs import BarsReceived, SessionStarted
from quantum_trader.models import forecast as fc
from quantum_trader.models.learned.artefact import LINEAR, SIGNAL
from quantum_trader.models.learned.calibration import PlattCalibration
from quantum_trader.models.port import Exit

START = 1_700_006_400_000_000_000 // NS_PER_HOUR * NS_PER_HOUR
WARM = 4 * 420  # base bars of a quarter of an hour: the models see bars of an hour, and need 200 of them
SYMBOLS = ("BTCUSDT", "ETHUSDT")


def signal_model(registry: ModelRegistry, folder: Path, seed: int, **changes: Any) -> str:
    """The id of a registered model of signals with random numbers that is sure of itself."""
    facts = {"calibration": PlattCalibration(slope=-2.0, intercept=0.0), "data": made_artefact().card.data, **changes}
    data = msgspec.structs.replace(facts.pop("data"), last_ns=1)
    made = made_artefact(LINEAR, seed=seed, data=data, **({"name": f"made {seed}"} | facts))
    return registry.register_model(write_folder(folder / made.card.name, made), SIGNAL).record.model_id


def promote(registry: ModelRegistry, model_id: str, alias: str = "champion") -> None:
    """Promote as ann."""
    registry.promote(model_id, alias, actor="ann", reason="a test", seen_version=None, kind=SIGNAL)


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ModelRegistry, list[str]]:
    """A registry with two models of signals, the first one the champion; all of them have passed the check."""
    monkeypatch.setattr("quantum_trader.app.runs.model_check.needs_check", lambda loaded: False)
    registry = opened(tmp_path / "registry")
    ids = [signal_model(registry, tmp_path, seed) for seed in (1, 2)]
    promote(registry, ids[0])
    return registry, ids


@contextmanager
def following(folder: Path, registry: ModelRegistry, *more: dict[str, Any]) -> Iterator[LiveRun]:
    """A live session whose signals follow the champion of *registry*."""
    settings = {
        "models": ([
            {"model": "registry:champion", "params": {"registry": str(registry.folder)}, "prior": [3.0, 0.5]}, *more
        ], "t"),
        "policy.enabled": (False, "t"), "rollout.fixed_confidence": (0.0, "t"), "risk.max_cost_r": (10.0, "t"),
        "risk.max_exposure_pct": (100.0, "t"), "risk.daily_loss_pct": (50.0, "t"),
    }
    with live_run(folder / "state", settings, interval=("15m", "t"), on_foreign=("adopt", "t")) as live:
        if not live.recover() and live.checkpoint is None:
            live.session.apply(SessionStarted(
                ts_ns=START, wallet=10_000.0, namespace="n-", statement=live.driver._statement
            ))
        yield live


def bars(live: LiveRun, first: int, last: int) -> None:
    """The bars from *first* to *last*, in which prices wander; what is sent is acknowledged and filled."""
    rng = np.random.default_rng(3)
    walk = np.exp(np.cumsum(rng.normal(0.0, 0.004, (last, 2)), axis=0))
    for number in range(first, last):
        closes = walk[number] * (10_000.0, 1_000.0)
        rows = np.column_stack([closes, closes * 1.002, closes * 0.998, closes, [100.0, 100.0]])
        ts_ns = START + number * BAR
        for order in live.session.apply(BarsReceived(
            ts_ns=ts_ns, received_ns=ts_ns + BAR, ohlcv=rows.tobytes(), present=np.ones(2, np.bool_).tobytes(),
        )):
            if isinstance(order, OrderRequest):
                accept(live, order, float(closes[SYMBOLS.index(order.symbol)]))


def look(live: LiveRun) -> list[str]:
    """Let the watch look once, wait until a model has learned, and give the session what is found."""
    watch = live.models.watches["signals"]
    watch.answer(live.models._in_force(live.engine, "signals"))
    watch.look()
    found = live._models_that_take_over()
    if not found and live.models._learning is not None:
        live.models._learning.made.exception(60.0)
        found = live._models_that_take_over()
    for event in found:
        live.session.apply(event)
    return [type(event).__name__ for event in found]


def test_a_promotion_reaches_the_signals(two: tuple[ModelRegistry, list[str]], tmp_path: Path) -> None:
    """It sends nothing by itself; the targets of before stand until the next hour, which is the new model's."""
    registry, (one, other) = two
    with following(tmp_path, registry) as live:
        bars(live, 0, WARM + 1)  # one base bar into an hour
        forecasts = live.engine.market.forecasts
        assert forecasts is not None
        targets = forecasts.out[:, fc.TARGET].copy()
        promote(registry, other)
        orders, books = live.engine.gateway.state(), live.engine.account.books.state()
        assert look(live) == ["ModelReceived"]
        assert (live.engine.gateway.state(), live.engine.account.books.state()) == (orders, books)
        now = live.engine.market.forecasts
        assert now is not None
        assert now.ids == [other]
        assert now.combined.outcomes > 300, "what its scores were worth is known from the kept bars"
        assert np.array_equal(now.out[:, fc.TARGET], targets)
        bars(live, WARM + 1, WARM + 3)
        assert np.array_equal(now.out[:, fc.TARGET], targets)
        bars(live, WARM + 3, WARM + 4)
        assert now.decided.all()
        assert now.name == "made 2"
        assert look(live) == []
        told = [row for row in records(live, "model.in_force") if row["role"] == "signals"]
        assert [(row["ids"], row["before"], row["names"]) for row in told] == [
            ([one], [], ["made 1"]), ([other], [one], ["made 2"]),
        ]


def test_each_trade_leads_to_the_model_that_opened_it(two: tuple[ModelRegistry, list[str]], tmp_path: Path) -> None:
    """Whatever model is in force when it ends."""
    registry, (one, _) = two
    other = signal_model(
        registry, tmp_path, 1, name="contrary", calibration=PlattCalibration(slope=2.0, intercept=0.0)
    )
    with following(tmp_path, registry) as live:
        bars(live, 0, WARM)
        promote(registry, other)
        assert look(live) == ["ModelReceived"]
        changed = live.engine.now_ns
        bars(live, WARM, WARM + 4 * 150)
        trades = records(live, "trade.closed")
        held = {position.plan.model_id for position in live.engine.account.books.positions.values()}
        assert {row["model_id"] for row in trades} | held == {one, other}
        for row in trades:
            assert row["model_id"] == (other if row["entry_ns"] > changed else one)
            assert row["model"] == ("contrary" if row["entry_ns"] > changed else "made 1")
        assert any(row["entry_ns"] <= changed < row["exit_ns"] for row in trades)


def test_after_a_kill_the_signals_go_on(two: tuple[ModelRegistry, list[str]], tmp_path: Path) -> None:
    """The inputs are taken again to the same state, byte for byte; a checkpoint behind them goes on too."""
    registry, (_, other) = two
    with following(tmp_path, registry) as live:
        bars(live, 0, WARM)
        save(live)
        promote(registry, other)
        look(live)
        bars(live, WARM, WARM + 30)
        killed, books = records(live), live.engine.account.books.state()
    with following(tmp_path, registry) as live:
        assert records(live) == killed
        assert live.engine.account.books.state() == books
        save(live)
        bars(live, WARM + 30, WARM + 60)
        whole = records(live)
    with following(tmp_path, registry) as live:
        forecasts = live.engine.market.forecasts
        assert forecasts is not None
        assert forecasts.ids == [other]
        assert records(live) == whole


def test_one_of_several_models_follows(two: tuple[ModelRegistry, list[str]], tmp_path: Path) -> None:
    """The other one goes on with what it remembers and has learned."""
    registry, (one, other) = two
    third = signal_model(registry, tmp_path, 3)
    beside = {"model": f"registry:{third}", "params": {"registry": str(registry.folder)}, "prior": [3.0, 0.5]}
    with following(tmp_path, registry, beside) as live:
        bars(live, 0, WARM)
        forecasts = live.engine.market.forecasts
        assert forecasts is not None
        kept = forecasts.single[1]
        promote(registry, other)
        assert look(live) == ["ModelReceived"]
        now = live.engine.market.forecasts
        assert now is not None
        assert now.ids == [other, third]
        assert now.single[1] is kept
        bars(live, WARM, WARM + 8)
        assert now.name == "made 2+made 3"
        told = [row for row in records(live, "model.in_force") if row["role"] == "signals"]
        assert (told[-1]["before"], told[-1]["ids"]) == ([one, third], [other, third])


@pytest.mark.parametrize(("changes", "told"), [
    ({"horizon": "48h"}, "is meant for 48 hours, and the model in force for 24"),
    ({"exit": Exit(on="regime")}, "leaves its positions by"),
])
def test_a_model_that_does_not_fit_is_refused(
    changes: dict[str, Any], told: str, two: tuple[ModelRegistry, list[str]], tmp_path: Path
) -> None:
    """Once, with the reason; the old one goes on."""
    registry, (one, _) = two
    unfit = signal_model(registry, tmp_path, 5, **changes)
    with following(tmp_path, registry) as live:
        bars(live, 0, 8)
        promote(registry, unfit)
        assert look(live) == ["ModelWasRefused"]
        assert look(live) == []
        (refused,) = records(live, "model.refused")
        assert told in refused["reason"]
        assert (refused["model"], refused["in_force"]) == (unfit, [one])
        assert told in look_notes_of(live)
        forecasts = live.engine.market.forecasts
        assert forecasts is not None
        assert forecasts.ids == [one]


def look_notes_of(live: LiveRun) -> str:
    """What the status says."""
    return "; ".join(live.status(live.driver.health()).notes)


def test_a_model_that_fails_on_the_kept_bars_is_refused(
    two: tuple[ModelRegistry, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It raises in its thread, before anything of the run is touched."""
    registry, (one, other) = two
    with following(tmp_path, registry) as live:
        bars(live, 0, WARM)
        promote(registry, other)

        def fails(*_arguments: Any) -> None:
            raise ArithmeticError("no such number")

        monkeypatch.setattr("quantum_trader.app.runs.run_signals.successor", fails)
        assert look(live) == ["ModelWasRefused"]
        assert "no such number" in records(live, "model.refused")[0]["reason"]
        assert live.engine.market.forecasts.ids == [one]


def test_two_that_follow_are_refused(two: tuple[ModelRegistry, list[str]], tmp_path: Path) -> None:
    """One model of a run may follow an alias."""
    registry, (_, other) = two
    promote(registry, other, "challenger")
    config = tmp_path / "run.toml"
    config.write_text("".join(
        f'[[models]]\nmodel = "registry:{alias}"\nparams = {{registry = "{registry.folder}"}}\n'
        for alias in ("champion", "challenger")
    ))
    result = CliRunner().invoke(app, ["run", "--config", str(config)])
    assert (result.exit_code, "one model of a run may follow an alias" in result.stderr) == (2, True), result.stderr


class Switched:
    """A finished replay whose signals' model was replaced on its way, and its registry."""

    def __init__(self, folder: Path) -> None:
        self.registry, self.state = opened(folder / "registry"), folder / "state"
        self.one = signal_model(self.registry, folder, 1)
        self.other = signal_model(
            self.registry, folder, 1, name="contrary", calibration=PlattCalibration(slope=2.0, intercept=0.0)
        )
        promote(self.registry, self.one)
        promote(self.registry, self.other, "challenger")
        config = folder / "run.toml"
        config.write_text(
            f'[pilot]\nregistry = "{self.registry.folder}"\n[[models]]\nmodel = "registry:champion"\n'
            f'params = {{registry = "{self.registry.folder}"}}\nprior = [3.0, 0.5]\n'
        )
        self.words = [
            "run", "--config", str(config), "--from", "2018-01-01", "--to", "2018-01-20", "--policy", "off",
            "--switch", "2018-01-16T12:00=signal:challenger", "--state", str(self.state),
        ]
        result = CliRunner().invoke(app, self.words)
        assert result.exit_code == 0, result.output

    def records(self, topic: str) -> list[dict[str, Any]]:
        """The records of *topic*."""
        lines = (self.state / "records.jsonl").read_text().splitlines()
        return [line for line in map(json.loads, lines) if line["topic"] == topic]

    def command(self, *words: str, code: int = 0) -> str:
        """What `registry` prints."""
        result = CliRunner().invoke(app, ["registry", *words])
        assert result.exit_code == code, result.output
        return result.stdout if code == 0 else result.stderr

    def json(self, *words: str) -> Any:
        """What it prints with --json."""
        return json.loads(self.command(*words, "--json"))


@pytest.fixture(scope="module")
def switched(tmp_path_factory: pytest.TempPathFactory) -> Switched:
    """The replay."""
    return Switched(tmp_path_factory.mktemp("switched"))


def test_a_scheduled_model_of_signals_takes_over_and_the_day_is_proven(switched: Switched) -> None:
    """`--switch TIME=signal:NAME` in a replay of the bundled bars; a second run of the same folder adds nothing."""
    told = switched.records("model.in_force")
    assert [line["data"]["ids"] for line in told] == [[switched.one], [switched.other]]
    assert iso(told[1]["ts_ns"])[:16] == "2018-01-16T12:00"
    assert told[1]["data"]["alias"] == "registry:challenger"
    for day in ("2018-01-16", "2018-01-18"):
        proof = replay(switched.state, day)
        assert proof.identical, proof.difference
    assert CliRunner().invoke(app, switched.words).exit_code == 0


def test_the_journal_says_which_model_was_live_when(switched: Switched) -> None:
    """As text and as JSON, by alias and by whom."""
    state = ("--state", str(switched.state))
    shown = switched.command("live", *state).splitlines()
    assert [line[:12] for line in shown] == [switched.one[:12], switched.other[:12]]
    assert "until 2018-01-16T12:00:00Z (registry:champion, version 2 of the registry, by ann: a test)" in shown[0]
    assert "contrary: from 2018-01-16T12:00:00Z until now (registry:challenger" in shown[1]
    told = switched.json("live", *state)
    assert [(one["role"], one["model_id"], one["until"]) for one in told["models"]] == [
        ("signals", switched.one, "2018-01-16T12:00:00Z"), ("signals", switched.other, None),
    ]
    shown = switched.command("show", switched.other, "--registry", str(switched.registry.folder), *state)
    assert f"{switched.state}: signals from 2018-01-16T12:00:00Z until now" in shown
    assert "promotion    version 3: " in shown
    told = switched.json("show", switched.one, "--registry", str(switched.registry.folder), *state)
    assert [one["alias"] for one in told["promotions"]] == ["champion"]
    assert len(told["in_force"]) == 1


def test_a_trade_leads_to_its_model_and_a_model_to_its_trades(switched: Switched) -> None:
    """"Which model made this trade?" is answered by id, also for one that ended under the next model."""
    state = ("--state", str(switched.state))
    closed = [line["data"] for line in switched.records("trade.closed")]
    assert {one["model_id"] for one in closed} == {switched.one, switched.other}
    for one in (closed[0], closed[-1]):
        told = switched.json("which", one["trade_id"], *state)
        assert told["trade"]["model_ids"] == [one["model_id"]]
        assert [span["model_id"] for span in told["models"]] == [one["model_id"]]
        assert f"made by {one['model_id'][:12]}" in switched.command("which", one["trade_id"], *state)
    for model_id in (switched.one, switched.other):
        mine = [one["trade_id"] for one in closed if one["model_id"] == model_id]
        assert [one["trade_id"] for one in switched.json("trades", model_id[:8], *state)["trades"]] == mine
        assert f"{len(mine)} closed trades" in switched.command("trades", model_id, *state)
    by_alias = switched.json(
        "trades", "challenger", "--kind", "signal", "--registry", str(switched.registry.folder), *state
    )
    assert by_alias["model_id"] == switched.other
    assert "has no closed trade 't999'" in switched.command("which", "t999", *state, code=2)
    assert "no model of its run begins so" in switched.command("trades", "abcdef12", *state, code=2)


def test_outcomes_of_a_model_are_its_own_and_are_kept_beside_it(switched: Switched) -> None:
    """Count, win rate, mean R and PnL by model id; the kept file is named by its hash, and the model is unchanged."""
    place = ("--registry", str(switched.registry.folder))
    state = ("--state", str(switched.state))
    closed = [line["data"] for line in switched.records("trade.closed")]
    before = {path: path.read_bytes() for path in (switched.registry.folder / "models").rglob("*") if path.is_file()}
    shadows = 0
    for model_id in (switched.one, switched.other):
        mine = [one for one in closed if one["model_id"] == model_id]
        told = switched.json("outcomes", model_id, *place, *state, "--store")
        assert told["trades"]["count"] == len(mine)
        assert told["trades"]["pnl"] == pytest.approx(sum(one["pnl"] for one in mine))
        assert told["trades"]["win_rate"] == pytest.approx(sum(one["pnl"] > 0.0 for one in mine) / len(mine))
        assert told["trades"]["mean_r"] == pytest.approx(sum(one["r_multiple"] for one in mine) / len(mine))
        shadows += told["shadows"]["count"]
        (file,) = told["kept"]
        assert hashlib.sha256(Path(file).read_bytes()).hexdigest() == Path(file).stem
        assert switched.json("outcomes", model_id, *place)["trades"] == told["trades"]
    assert shadows == len(switched.records("shadow.closed"))
    after = {path: path.read_bytes() for path in (switched.registry.folder / "models").rglob("*") if path.is_file()}
    assert after == before
    assert switched.registry.verify_model(switched.one).ok
    assert "shadow trades: " in switched.command("outcomes", switched.one, *place)
    Path(file).write_bytes(Path(file).read_bytes().replace(b"LONG", b"SHORT", 1))
    assert "its content is not what its name states" in switched.command("outcomes", switched.other, *place, code=2)
    Path(file).unlink()
    assert "no outcomes are kept" in switched.command("outcomes", switched.other, *place)


def test_a_replay_goes_on_with_the_model_that_it_began_with(
    two: tuple[ModelRegistry, list[str]], tmp_path: Path
) -> None:
    """Also after a promotion: what a replay shows does not change under it."""
    registry, (one, other) = two
    config = tmp_path / "run.toml"
    config.write_text(
        '[data]\nstart = "2018-01-01"\nend = "2018-01-08"\n[[models]]\nmodel = "registry:champion"\n'
        f'params = {{registry = "{registry.folder}"}}\n'
    )
    run(load_settings(config).settings, RunOptions(state_dir=tmp_path / "state"))
    promote(registry, other)
    again = run(load_settings(config).settings, RunOptions(state_dir=tmp_path / "state"))
    assert again.resumed
    lines = [json.loads(line) for line in (tmp_path / "state" / "records.jsonl").read_text().splitlines()]
    assert [line["data"]["ids"] for line in lines if line["topic"] == "model.in_force"] == [[one]]


