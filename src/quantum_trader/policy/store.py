"""The saved state of a policy: one JSON file, written whole or not at all, set aside when damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import read_private, why_unwritable
from quantum_trader.policy.layout import MEM_SIZE, SLOT_SIZE
from quantum_trader.policy.storage import set_aside, write_atomically

FORMAT: Final = 1
_Row = list[float | None]  # None stands for NaN and the infinities, which JSON lacks


class SavedPolicy(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Everything a policy remembers. Rule codes and field positions are append-only."""

    format: int = FORMAT
    profile: str
    fingerprint: str
    memory: _Row  # clock, UTC day, the day's peak, latch day, halt
    ring: _Row  # equity of the last 24 hours
    overall: _Row
    slots: dict[str, _Row] = {}
    own_markets: list[str] = []
    bans: dict[str, list[float]] = {}
    reasons: dict[str, str] = {}
    known: list[str] = []
    trace: list[tuple[int, int | str, float, float]] = []
    symbol_traces: dict[str, list[tuple[int, int | str, float, float]]] = {}
    loss_pct: float | None = None  # the loss that rule B1 names in its note
    policy_ns: int = 0
    streaks: dict[str, int] = {}  # as StreakWatch.saved() gives them; the first three as the account gave them last
    latch: dict[str, str] = {}  # for people: reason and expiry
    halt_reason: str = ""
    resumed: str = ""
    history: list[msgspec.Raw] = []


def check_shape(saved: SavedPolicy, ring_size: int) -> None:
    """ValueError unless the rows have the lengths this version writes."""
    rows = [saved.overall, *saved.slots.values()]
    if saved.format != FORMAT:
        raise ValueError(f"format {saved.format} is not {FORMAT}")
    if len(saved.memory) != MEM_SIZE or len(saved.ring) != ring_size or any(len(row) != SLOT_SIZE for row in rows):
        raise ValueError("a row has the wrong length")
    if any(len(ban) != 4 for ban in saved.bans.values()):
        raise ValueError("a ban has the wrong length")


def write_state(path: Path, saved: SavedPolicy) -> None:
    """Write *saved* to *path* in one step, readable by its owner alone; StateError when that fails."""
    try:
        write_atomically(path, msgspec.json.encode(saved))
    except OSError as error:
        raise StateError(
            f"policy state {path.name!r} cannot be written: {why_unwritable(path, error)}; the policy goes on in "
            "memory, the file is as it was before"
        ) from error


def read_policy_state(path: Path, ring_size: int) -> SavedPolicy | str | None:
    """The state at *path*; None where there is none; a sentence when it was damaged and has been set aside."""
    try:
        content = read_private(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"policy state {path.name!r} cannot be read: {error.strerror or error}") from error
    try:
        saved = msgspec.json.decode(content, type=SavedPolicy)
        check_shape(saved, ring_size)
        _check_history(saved.history)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        return f"{set_aside(path, 'damaged')}: {error}"
    return saved


def _check_history(history: list[msgspec.Raw]) -> None:
    for one in history:
        decoded: Any = msgspec.json.decode(one)
        if not isinstance(decoded, dict):
            raise ValueError("a policy of the history is no object")
