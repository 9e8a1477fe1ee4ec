"""Small trained models for tests, made by hand: no library that trains is needed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from quantum_trader.models.learned.artefact import (
    BOOSTING,
    LINEAR,
    META_LABEL,
    SIGNAL,
    LearnedArtefact,
    LearnedCard,
    LearningData,
    arrays_hash,
)
from quantum_trader.models.learned.calibration import PlattCalibration
from quantum_trader.models.learned.feature_list import NAMES, names_hash, signal_features_hash
from quantum_trader.models.learned.linear import LinearArrays
from quantum_trader.models.learned.trees import LEAF, TreeArrays

EVIDENCE = b"evidence"


def random_trees(seed: int, features: int, trees: int = 20, depth: int = 4) -> TreeArrays:
    """Trees with random splits, of different depths."""
    rng = np.random.default_rng(seed)
    parts: dict[str, list[Any]] = {"feature": [], "threshold": [], "left": [], "missing_left": []}
    first = [0]
    for _ in range(trees):
        base, waiting, size = first[-1], [0], 1
        nodes: list[tuple[int, float, int, int]] = []
        while waiting:
            level = waiting.pop(0)
            if level < depth and rng.random() < 0.8:
                nodes.append((int(rng.integers(features)), float(rng.normal()), base + size, int(rng.integers(2))))
                waiting += [level + 1, level + 1]
                size += 2
            else:
                nodes.append((LEAF, float(rng.normal()), 0, 0))
        for name, column in zip(parts, zip(*nodes, strict=True), strict=True):
            parts[name] += list(column)
        first.append(base + size)
    return TreeArrays(
        first=np.array(first, dtype=np.int64), feature=np.array(parts["feature"], dtype=np.int32),
        threshold=np.array(parts["threshold"], dtype=np.float32), left=np.array(parts["left"], dtype=np.int32),
        missing_left=np.array(parts["missing_left"], dtype=np.uint8),
    )


def random_linear(seed: int, features: int) -> LinearArrays:
    """A linear model with random weights."""
    rng = np.random.default_rng(seed)
    return LinearArrays(
        center=rng.normal(size=features), scale=rng.uniform(0.5, 2.0, features), weight=0.1 * rng.normal(size=features)
    )


def made_artefact(learner: str = BOOSTING, kind: str = SIGNAL, seed: int = 1, **changes: Any) -> LearnedArtefact:
    """An artefact of a model whose numbers are drawn."""
    names = changes.get("features", NAMES if kind == SIGNAL else ("confidence", "cost_bps", "hour"))
    arrays = random_trees(seed, len(names)) if learner == BOOSTING else random_linear(seed, len(names))
    facts: dict[str, Any] = {
        "kind": kind, "learner": learner, "name": f"made-{learner}", "created_ns": 5, "features": names,
        "features_hash": signal_features_hash("1h") if kind == SIGNAL else names_hash(names), "base_margin": 0.25,
        "calibration": PlattCalibration(slope=-0.3, intercept=0.05),
        "data": LearningData(source="made", symbols=("BTCUSDT",), interval="1h", samples=1_000, first_ns=0,
                             last_ns=10**18, content_hash="a" * 64),
        "training": {"seed": seed}, "metrics": {"auc": 0.51}, "arrays_hash": arrays_hash(arrays),
        "evidence_hash": hashlib.sha256(EVIDENCE).hexdigest(), "bars": "1h" if kind == SIGNAL else "",
        "horizon": "24h" if kind == SIGNAL else "",
    }
    return LearnedArtefact(LearnedCard(**(facts | changes)), arrays, EVIDENCE)


def write_folder(folder: Path, artefact: LearnedArtefact) -> Path:
    """Write the files of *artefact* into *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in artefact.encoded().items():
        (folder / name).write_bytes(content)
    return folder


def altered_card(contents: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    """*contents* with some fields of the card replaced, as a person with an editor would."""
    plain = msgspec.json.decode(contents["card.json"])
    return contents | {"card.json": msgspec.json.encode(plain | changes)}


__all__ = ["BOOSTING", "EVIDENCE", "LINEAR", "META_LABEL", "SIGNAL", "altered_card", "made_artefact", "random_linear",
           "random_trees", "write_folder"]
