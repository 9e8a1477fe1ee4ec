"""Trained pilots on bars of a store: what may be tested where, the comparators, and the cards afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from quantum_trader.app.runs.model_bars import use_columns
from quantum_trader.domain.clock import NS_PER_HOUR, iso
from quantum_trader.domain.errors import ConfigError
from quantum_trader.domain.private_files import read_plain
from quantum_trader.lab.pilot.evaluated_cards import evaluated_card
from quantum_trader.lab.pilot.evaluation import Agent, EvaluationSettings, Tell, TestedFold, evaluate_pilots
from quantum_trader.lab.pilot.evaluation_result import PilotEvaluation
from quantum_trader.lab.pilot.folds import FoldRanges, Range, embargo_ns, is_after_training
from quantum_trader.lab.pilot.replay_bars import ReplayBars, model_shares, replay_bars
from quantum_trader.lab.pilot.replaying import Replayer, ReplaySettings, pilot_outcomes
from quantum_trader.market.arrays import Floats
from quantum_trader.market.recording import Recording, moment_ns, open_recording
from quantum_trader.models.loading import TREND, ModelSettings, make_forecasts
from quantum_trader.pilot.artefact import Artefact, Card, load_artefact, save_artefact
from quantum_trader.pilot.episode import EnvironmentSettings
from quantum_trader.pilot.shadow_book import PositionSettings

_POSITIONS: Final = "environment.positions."
_BARS: Final = "environment.episode_bars"
_TRAINING: Final = "training.json"
_MOST_BYTES: Final = 16 << 20  # of that
_OF_SEED: Final = frozenset(("seed", "network_hash"))  # what differs between the seeds of one training


class StoredBars(NamedTuple):
    """Which bars: a store, their interval, symbols, and the range; None: what the store has."""

    path: str | None = None
    interval: str | None = None
    symbols: tuple[str, ...] | None = None

    def recording(self, start: str | int | None, end: str | int | None) -> Recording:
        """The bars from *start* to *end*; those before *start* warm up. Raises DataError as ``open_recording``."""
        return open_recording(self.path, self.interval, self.symbols, start, end, warm_up=True)


class EvaluatedFolders(NamedTuple):
    """An evaluation, and what it was made of."""

    found: PilotEvaluation
    artefacts: tuple[Artefact, ...]
    fold: TestedFold


def longest_holding_bars(card: Card) -> int:
    """Decisions of a training episode: no position was held for longer in training."""
    value = card.training.get(_BARS)
    return value if type(value) is int and value > 0 else EnvironmentSettings().episode_bars


def replay_settings(card: Card) -> ReplaySettings:
    """The account that *card*'s pilot is measured with: positions as in its training, an account of the same size."""
    fields = PositionSettings.__struct_fields__
    stated = {
        key.removeprefix(_POSITIONS): value for key, value in card.training.items() if key.startswith(_POSITIONS)
    }
    positions = PositionSettings(**{
        **{key: value for key, value in stated.items() if key in fields}, "stop_atr": card.stop_atr,
    })
    return ReplaySettings(positions=positions)


def card_embargo_ns(card: Card) -> int:
    """The embargo after *card*'s training."""
    return embargo_ns(card.observation, longest_holding_bars(card))


def trend_shares(replay: ReplayBars, least: float) -> Floats | None:
    """What the built-in trend set wants at each decision, (G, S)."""
    forecasts = make_forecasts((ModelSettings(model=TREND),), replay.symbols, replay.base_ns)
    if forecasts is None:
        return None
    use_columns(forecasts, replay.recording)
    return model_shares(replay, forecasts, least)


def tested_fold(
    ranges: FoldRanges, recording: Recording, artefacts: Sequence[Artefact], labels: Sequence[str], tell: Tell
) -> TestedFold:
    """*artefacts* on the bars of *recording*. Raises ConfigError where they observe different bars."""
    observation = artefacts[0].card.observation
    for one in artefacts:
        if one.card.observation != observation:
            raise ConfigError(
                f"{one.card.name}: observes {one.card.observation.interval} bars and {artefacts[0].card.name} observes "
                f"{observation.interval}; evaluate them apart"
            )
    tell("observing the bars", 0, 1)
    replay = replay_bars(recording, observation)
    agents = tuple(
        Agent(label, one.weights, one.card.scalers, replay_settings(one.card))
        for label, one in zip(labels, artefacts, strict=True)
    )
    tell("trend set", 0, 1)
    return TestedFold(ranges, replay, agents, trend_shares(replay, agents[0].settings.min_confidence))


def check_one_training(folders: Sequence[Path], artefacts: Sequence[Artefact]) -> None:
    """Raise ConfigError where a pilot is there twice, or where two were not trained alike but for the seed.

    Figures over seeds are of one training: another one in between, or the same twice, would make them wrong.
    """
    seen: dict[str, Path] = {}
    for folder, one in zip(folders, artefacts, strict=True):
        if one.card.weights_hash in seen:
            raise ConfigError(f"{folder}: is the same pilot as {seen[one.card.weights_hash]}; name each once")
        seen[one.card.weights_hash] = folder
        first = artefacts[0].card
        for key in sorted({*first.training, *one.card.training} - _OF_SEED):
            if first.training.get(key) != one.card.training.get(key):
                raise ConfigError(
                    f"{folder}: was trained with {key} = {one.card.training.get(key)!r}, and {folders[0]} with "
                    f"{first.training.get(key)!r}; name the seeds of one training"
                )


def evaluate_folders(
    folders: Sequence[Path], bars: StoredBars, start: str | None, end: str | None, settings: EvaluationSettings, *,
    in_sample: bool = False, tell: Tell,
) -> EvaluatedFolders:
    """Evaluate the trained pilots in *folders* on the bars from *start* (None: the first allowed one) to *end*.

    Raises ConfigError for bars that lie before the end of a training and its embargo, unless *in_sample*.
    """
    artefacts = [load_artefact(folder) for folder in folders]
    check_one_training(folders, artefacts)
    newest = max(artefacts, key=lambda one: one.card.data.last_ns + card_embargo_ns(one.card)).card
    allowed = newest.data.last_ns + card_embargo_ns(newest)
    if start is None and in_sample:
        raise ConfigError("--in-sample: give --from, the first day to be tested")
    first = allowed if start is None else moment_ns(start)
    recording = bars.recording(first, end)
    test = Range(from_ns=recording.start_ns, until_ns=recording.end_ns)
    after = is_after_training(newest.data.last_ns, card_embargo_ns(newest), test)
    if not after and not in_sample:
        raise ConfigError(
            f"--from {iso(test.from_ns)}: {newest.name} was trained on bars until {iso(newest.data.last_ns)}, and "
            f"{card_embargo_ns(newest) / NS_PER_HOUR / 24.0:.0f} days must lie between; begin at {iso(allowed)} or "
            "later, or give --in-sample for figures that say nothing about other bars"
        )
    ranges = FoldRanges(
        number=1, train=Range(from_ns=newest.data.first_ns, until_ns=newest.data.last_ns),
        embargo_ns=card_embargo_ns(newest), test=test,
    )
    labels = labels_of(artefacts)
    settings = msgspec.structs.replace(settings, tried_before=settings.tried_before + len(seeds_left_out(folders)))
    fold = tested_fold(ranges, recording, artefacts, labels, tell)
    facts = facts_of_cards(recording, artefacts)
    found = evaluate_pilots([fold], settings, in_sample=not after, facts=facts, tell=tell)
    return EvaluatedFolders(found, tuple(artefacts), fold)


class _Seed(msgspec.Struct):
    folder: str


class _Training(msgspec.Struct):
    """The part of a ``training.json`` that names its seeds' folders; reading it needs no training library."""

    seeds: tuple[_Seed, ...]


def seeds_left_out(folders: Sequence[Path]) -> tuple[Path, ...]:
    """Folders of seeds of the same trainings that are not among *folders*, as far as the trainings' documents tell."""
    given = {folder.resolve() for folder in folders}
    found: dict[Path, None] = {}
    for parent in {folder.parent for folder in given}:
        with suppress(OSError, msgspec.DecodeError):
            trained = msgspec.json.decode(read_plain(parent / _TRAINING, _MOST_BYTES), type=_Training).seeds
            if any(parent / one.folder in given for one in trained):
                found |= {parent / one.folder: None for one in trained if parent / one.folder not in given}
    return tuple(sorted(found))


def check_whole(folders: Sequence[Path]) -> None:
    """Raise ConfigError where cards are to get figures and seeds of their training are left out."""
    left = seeds_left_out(folders)
    if left:
        raise ConfigError(
            f"--update-cards: {len(left)} seeds of the same training are left out ({left[0].name} the first of them); "
            f"the quartiles in a card are over all seeds, so give all of them ({left[0].parent}/seed-*)"
        )


def labels_of(artefacts: Sequence[Artefact]) -> list[str]:
    """A name for each: its seed where all seeds differ, else its name or a part of its identity."""
    seeds = [one.card.training.get("seed") for one in artefacts]
    if None not in seeds and len(set(seeds)) == len(seeds):
        return [f"seed {seed}" for seed in seeds]
    names = [one.card.name for one in artefacts]
    return names if len(set(names)) == len(names) else [f"{one.card.name} {one.card.identity[:8]}" for one in artefacts]


def facts_of_cards(recording: Recording, artefacts: Sequence[Artefact]) -> dict[str, Any]:
    """The data and the training that the report names, as plain values."""
    card = artefacts[0].card
    return {
        "source": recording.source, "bars": recording.interval, "symbols": list(recording.symbols),
        "observed": card.observation.interval, "trained_on": card.data.source,
        "trained_symbols": list(card.data.symbols), "made_with": card.made_with,
        "steps": card.training.get("steps"), "funding": recording.funding_statement, "notes": list(recording.notes),
        "account": msgspec.to_builtins(replay_settings(card)),
        "models": [one.card.identity for one in artefacts],
    }


def write_cards(
    folders: Sequence[Path], artefacts: Sequence[Artefact], fold: TestedFold, found: PilotEvaluation, tell: Tell
) -> list[str]:
    """Write the figures of *found* into the cards of *folders*; returns the new identities. OSError, InputError."""
    written = []
    for place, (folder, one) in enumerate(zip(folders, artefacts, strict=True)):
        tell("cards", place, len(folders))
        agent = fold.agents[place]
        played = Replayer(fold.replay, agent.settings, agent.scalers).pilot(agent.weights)
        hours = found.holding_hours[place] or one.card.horizon_hours
        outcomes = pilot_outcomes(fold.replay, played, int(min(max(hours, 0.01), 8760.0) * NS_PER_HOUR))
        card = evaluated_card(one.card, found, place, outcomes)
        save_artefact(folder, Artefact(card=card, weights=one.weights))
        written.append(card.identity)
    return written
