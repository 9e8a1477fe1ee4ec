"""What a training leaves: a folder for each seed's pilot, and one document that states all about the training."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.domain.errors import DataError, InputError
from quantum_trader.domain.private_files import read_private
from quantum_trader.lab.pilot.training_run import TrainedSeed
from quantum_trader.pilot.artefact import Artefact, Card, DataSnapshot, load_artefact, save_artefact, weights_hash
from quantum_trader.pilot.scaling import Scalers
from quantum_trader.pilot.settings import ObservationSettings
from quantum_trader.pilot.training.export import weights_of
from quantum_trader.pilot.training.network import actor_critic_hash
from quantum_trader.policy.storage import write_atomically

RESULT_FILE: Final = "training.json"
_NETWORK_HASH: Final = "network_hash"  # of all weights, beside the settings in a card
LOWEST_RULE: Final = "the lowest seed number: no results on bars that were not trained on are known"
MEDIAN_RULE: Final = "the seed with the median result on bars that were not trained on (of two the lower), not the best"


class PilotMaterial(msgspec.Struct, frozen=True, kw_only=True):
    """What a pilot's card states beside its weights and figures."""

    observation: ObservationSettings
    scalers: Scalers
    data: DataSnapshot
    training: dict[str, Any]  # every setting by its dotted key
    made_with: str  # program and versions
    stop_atr: float  # that positions had in training, and have wherever the pilot decides


class SeedResult(msgspec.Struct, frozen=True, kw_only=True):
    """One trained seed."""

    seed: int
    folder: str  # within the training's folder
    model: str  # identity of the pilot: the hash of its card
    weights_hash: str  # of the policy, as its card states it
    network_hash: str  # of all weights, those of the value included
    metrics: dict[str, float | None]


class TrainingDocument(msgspec.Struct, frozen=True, kw_only=True):
    """``training.json``: what was trained, on what, and what it gave."""

    session: str
    identity: dict[str, Any]  # settings, seeds and data that decide the weights
    data: DataSnapshot
    steps: int  # that each seed made, in whole updates
    groups: tuple[tuple[int, ...], ...]  # seeds that were trained at once
    device: str
    versions: dict[str, str]
    started_ns: int
    ended_ns: int
    elapsed_s: float  # of training, in all processes
    seed_to_use: int
    seed_rule: str
    seeds: tuple[SeedResult, ...]


def seed_folder(folder: Path, seed: int) -> Path:
    """Where the pilot of *seed* lies in a training's *folder*."""
    return folder / f"seed-{seed}"


def save_seed(folder: Path, trained: TrainedSeed, material: PilotMaterial, created_ns: int) -> None:
    """Write the pilot of one seed into *folder*.

    Raises InputError for a network that the live one cannot be, OSError where it cannot be written.
    """
    weights = weights_of(trained.network)
    card = Card(
        name=f"pilot-{material.observation.interval}-seed-{trained.seed}", created_ns=created_ns,
        observation=material.observation, scalers=material.scalers, data=material.data,
        training={**material.training, "seed": trained.seed, _NETWORK_HASH: actor_critic_hash(trained.network)},
        metrics=trained.metrics, weights_hash=weights_hash(weights), made_with=material.made_with,
        stop_atr=material.stop_atr,
    )
    save_artefact(seed_folder(folder, trained.seed), Artefact(card=card, weights=weights))


def saved_seed(folder: Path, seed: int) -> SeedResult:
    """What :func:`save_seed` wrote, read back and checked; raises as ``load_artefact`` does."""
    place = seed_folder(folder, seed)
    card = load_artefact(place).card
    return SeedResult(
        seed=seed, folder=place.name, model=card.identity, weights_hash=card.weights_hash,
        network_hash=str(card.training.get(_NETWORK_HASH, "")), metrics=card.metrics,
    )


def seed_to_use(seeds: Sequence[int], held_out: Mapping[int, float] | None = None) -> tuple[int, str]:
    """Which of *seeds* to use, and the rule: the median of *held_out* (seed -> result on bars not trained on).

    The best seed is the luckiest one. Of two in the middle it is the lower; without results it is the lowest number.
    Raises InputError where *held_out* has not exactly the *seeds*.
    """
    if held_out is None:
        return min(seeds), LOWEST_RULE
    if set(held_out) != set(seeds):
        raise InputError(f"held_out = {sorted(held_out)}: must have a result for each of {sorted(seeds)}")
    middle = statistics.median_low(held_out.values())
    return min(seed for seed, result in held_out.items() if result == middle), MEDIAN_RULE


def save_document(folder: Path, document: TrainingDocument) -> None:
    """Write ``training.json``: with it a training is done. Raises OSError where it cannot be written."""
    text = msgspec.json.format(msgspec.json.encode(document, order="deterministic"), indent=1)
    write_atomically(folder / RESULT_FILE, text + b"\n")


def load_document(folder: Path) -> TrainingDocument | None:
    """The document of a training that is done; None where there is none. Raises DataError for a damaged one."""
    path = folder / RESULT_FILE
    try:
        return msgspec.json.decode(read_private(path), type=TrainingDocument)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except msgspec.DecodeError as error:
        raise DataError(f"{path}: is not what a training writes: {error}; name another folder") from None
