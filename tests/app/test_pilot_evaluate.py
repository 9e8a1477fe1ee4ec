"""``pilot evaluate`` and ``pilot walk-forward``: what may be tested, what is printed, what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.lab.pilot.replay_world import OBSERVATION, SCALERS, random_network
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs.pilot_evaluation import check_one_training, replay_settings, seeds_left_out
from quantum_trader.app.runs.trial_ledgers import open_trials
from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.domain.errors import ConfigError
from quantum_trader.market.recording import moment_ns
from quantum_trader.pilot.artefact import Artefact, Card, DataSnapshot, load_artefact, save_artefact, weights_hash

QUICK = ("--random", "3", "--shuffles", "0", "--symbols", "BTCUSDT,ETHUSDT")
TRAINED_UNTIL = moment_ns("2018-03-01")


def folder_of(parent: Path, seed: int, **training: Any) -> Path:
    """The folder of a pilot that says it was trained until March 2018."""
    weights = random_network(seed)
    card = Card(
        name="made up", created_ns=1, observation=OBSERVATION, scalers=SCALERS,
        training={"seed": seed, "environment.episode_bars": 48, **training},
        metrics={}, weights_hash=weights_hash(weights), stop_atr=2.5,
        data=DataSnapshot(
            source="bundled", symbols=("BTCUSDT",), interval="30m", first_ns=TRAINED_UNTIL - 100 * NS_PER_DAY,
            last_ns=TRAINED_UNTIL,
        ),
    )
    save_artefact(parent / f"seed-{seed}", Artefact(card=card, weights=weights))
    return parent / f"seed-{seed}"


def evaluate(*arguments: str) -> Any:
    """Run the command."""
    return CliRunner().invoke(app, ["pilot", "evaluate", *arguments])


def test_bars_within_training_or_embargo_are_refused(tmp_path: Path) -> None:
    """The message names the first day that may be tested."""
    folder = folder_of(tmp_path, 1)
    for day in ("2018-02-01", "2018-03-02", "2018-03-06"):
        result = evaluate(str(folder), "--start", day, "--end", "2018-04-20", *QUICK)
        assert result.exit_code != 0
        assert "2018-03-07" in str(result.exception) + result.output  # 200 bars and a day: six whole days
        assert "--in-sample" in str(result.exception) + result.output


def test_bars_within_training_may_be_looked_at_as_such(tmp_path: Path) -> None:
    """The document and the page say so on top, and no card is written."""
    folder, page = folder_of(tmp_path, 1), tmp_path / "page.html"
    told = evaluate(
        str(folder), "--start", "2018-02-01", "--end", "2018-02-20", "--in-sample", "--html", str(page), "--json",
        *QUICK,
    )

    assert told.exit_code == 0, told.output
    document = json.loads(told.stdout)
    assert document["in_sample"]
    assert document["verdict"]["line"].startswith("IN SAMPLE")
    assert "were trained on" in page.read_text()
    refused = evaluate(str(folder), "--start", "2018-02-01", "--in-sample", "--update-cards", *QUICK)
    assert refused.exit_code != 0


def test_evaluation_is_printed_and_written_into_cards(tmp_path: Path) -> None:
    """Without --start the test begins after the embargo; two seeds; cards get quartiles and outcomes."""
    folders = [folder_of(tmp_path, 1), folder_of(tmp_path, 2)]
    before = load_artefact(folders[0]).card
    told = evaluate(*map(str, folders), "--end", "2018-04-20", "--update-cards", *QUICK)

    assert told.exit_code == 0, told.output
    for text in ("buy and hold", "built-in trend set", "intraday ensemble", "random agent", "2018-03-07", "verdict"):
        assert text in told.output
    after = load_artefact(folders[0]).card
    assert after.metrics["seeds"] == 2.0
    assert after.metrics["seeds_lower_quartile_sharpe"] is not None
    assert any(after.outcomes)
    assert after.identity != before.identity
    assert after.outcomes_until_ns > moment_ns("2018-04-19")
    assert msgspec.structs.replace(
        after, metrics={}, outcomes=(), outcomes_until_ns=0, horizon_hours=12.0
    ) == before


def test_seeds_that_are_left_out_are_trials_and_no_card_gets_figures(tmp_path: Path) -> None:
    """Whoever evaluates the best of three seeds alone has tried three."""
    folders = [folder_of(tmp_path, seed) for seed in (1, 2, 3)]
    (tmp_path / "training.json").write_text(json.dumps({"seeds": [{"folder": one.name} for one in folders]}))
    refused = evaluate(str(folders[0]), str(folders[2]), "--end", "2018-04-20", "--update-cards", *QUICK)

    assert refused.exit_code != 0
    assert "1 seeds of the same training are left out (seed-2" in str(refused.exception) + refused.output
    alone = evaluate(str(folders[0]), "--end", "2018-04-20", "--tried", "4", "--json", *QUICK)
    assert json.loads(alone.stdout)["trials"]["trials"] == 1 + 2 + 4
    assert seeds_left_out(folders) == ()
    (tmp_path / "training.json").write_text("{")
    assert seeds_left_out(folders[:1]) == ()


def test_the_account_is_that_of_the_training(tmp_path: Path) -> None:
    """Stop and risk are the card's."""
    folder = folder_of(tmp_path, 1, **{"environment.positions.risk_pct": 0.8})
    positions = replay_settings(load_artefact(folder).card).positions

    assert (positions.stop_atr, positions.risk_pct) == (2.5, 0.8)


@pytest.mark.parametrize(("option", "value"), [("--train", "2018-01-01"), ("--train", "2018-03-01:2018-01-01")])
def test_a_range_that_is_none_is_refused(option: str, value: str) -> None:
    """The error names the option and its form."""
    pytest.importorskip("jax", reason="walk-forward needs the extra `train`")
    result = CliRunner().invoke(
        app, ["pilot", "walk-forward", option, value, "--test", "2018-06-01:2018-08-01"]
    )

    assert result.exit_code != 0
    assert option in str(result.exception) + result.output


@pytest.mark.long
def test_walk_forward_trains_tests_and_writes(tmp_path: Path) -> None:
    """Two folds of one seed: both are trained, the last one's card has the figures; again it trains nothing."""
    pytest.importorskip("jax", reason="walk-forward needs the extra `train`")
    config = tmp_path / "small.toml"
    config.write_text(
        "[ppo]\nhidden = [8, 8]\nenvironments = 8\nrollout_steps = 16\nminibatch_size = 64\nepochs = 1\n"
        "[environment]\nepisode_bars = 48\n"
    )
    command = [
        "pilot", "walk-forward", "--train", "2018-01-01:2018-02-28", "--test", "2018-03-01:2018-04-30", "--folds", "2",
        "--seeds", "1", "--steps", "512", "--config", str(config), "--out", str(tmp_path / "out"), "--json", *QUICK,
    ]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    document = json.loads(first.stdout)
    assert [fold["ranges"]["number"] for fold in document["folds"]] == [1, 2]
    card = load_artefact(tmp_path / "out" / "fold-2" / "seed-0").card
    assert card.metrics["sharpe"] == document["seeds"][0]["figures"]["sharpe"]
    again = CliRunner().invoke(app, command)
    assert json.loads(again.stdout)["seeds"] == document["seeds"]
    assert "this training is done" in again.stderr
    tried = [one.trial for one in open_trials(None).read().records]
    assert [(one.source, one.kind, one.label) for one in tried] == [("pilot train", "seed", "seed 0 of 512 steps")] * 2
    assert len({one.data_hash for one in tried}) == 2, "each fold is other data"


def test_figures_over_seeds_are_of_one_training(tmp_path: Path) -> None:
    """The same pilot twice, and one that was trained otherwise, are refused by name."""
    folders = [folder_of(tmp_path, 1), folder_of(tmp_path, 2)]
    artefacts = [load_artefact(folder) for folder in folders]
    check_one_training(folders, artefacts)
    with pytest.raises(ConfigError, match=r"is the same pilot as .*seed-1; name each once"):
        check_one_training([folders[0], folders[0]], [artefacts[0], artefacts[0]])
    other = msgspec.structs.replace(artefacts[1].card, training={**artefacts[1].card.training, "ppo.epochs": 77})
    with pytest.raises(ConfigError, match=r"seed-2: was trained with ppo.epochs = 77, and .*seed-1 with"):
        check_one_training(folders, [artefacts[0], msgspec.structs.replace(artefacts[1], card=other)])
