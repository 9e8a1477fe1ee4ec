"""A registry with untrained pilots, for its tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.pilot.made_pilot import saved

from quantum_trader.lab.registry import ModelRegistry
from quantum_trader.lab.registry.kinds import KINDS

NOON = 1_700_000_000_000_000_000


def never(_seconds: float) -> None:
    """Nobody else holds the lock."""
    raise AssertionError("the lock is free")


def opened(folder: Path, kinds: Any = KINDS) -> ModelRegistry:
    """The registry in *folder* at noon, as another program opens it; its champions need no evidence."""
    return ModelRegistry(
        folder, kinds=kinds, clock=lambda: NOON, pause=never, blockers=lambda registry, kind, model_id: ()
    )


def with_pilots(folder: Path, *seeds: int) -> tuple[ModelRegistry, list[str]]:
    """A registry in folder/registry with an untrained pilot for each of *seeds*, and their ids in this order."""
    made = opened(folder / "registry")
    ids = [made.register_model(saved(folder / f"pilot-{seed}", seed)).record.model_id for seed in seeds]
    return made, ids


def promote(registry: ModelRegistry, model_id: str, alias: str = "champion", seen: int | None = None) -> int:
    """Promote as ann; the version afterwards."""
    return registry.promote(model_id, alias, actor="ann", reason="a test", seen_version=seen).version


def files(folder: Path) -> dict[str, bytes]:
    """Path and content of every file below *folder*."""
    return {str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()}
