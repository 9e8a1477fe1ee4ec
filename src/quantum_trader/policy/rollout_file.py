"""The rollout state on disk: ``rollout.json`` in a run's state folder.

A command line changes it, a running process follows it (:meth:`RolloutFile.poll`). What can't be read is set aside and
means OBSERVE: the safe reading of an unknown state is that nothing of the policy is enforced but all of it is logged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.domain.enums import OrchestratorMode
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import read_private
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.policy.followed_file import FollowedFile
from quantum_trader.policy.rollout import SET_ASIDE, RolloutChange, RolloutState, enforced

ROLLOUT_FILE: Final = "rollout.json"
SCHEMA: Final = 1


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file: its schema and the state."""

    schema: int
    state: RolloutState


class RolloutFile(FollowedFile[RolloutState]):
    """Follow and write the rollout state of one run.

    *initial* applies while there has never been a file. *seen_revision* is the last change already journaled, so
    that changes made while no process ran are handed out by the first poll.
    """

    def __init__(
        self, directory: str | Path, *, initial: OrchestratorIntegrationConfig | None = None, seen_revision: int = 0,
        now_ns: int = 0,
    ) -> None:
        super().__init__(
            Path(directory) / ROLLOUT_FILE,
            initial=RolloutState(config=msgspec.structs.replace(initial or OrchestratorIntegrationConfig())),
            decode=_decode, encode=_encode, fall_back=_observed, then="OBSERVE until a switch is promoted again",
            seen_revision=seen_revision, now_ns=now_ns,
        )

    @property
    def config(self) -> OrchestratorIntegrationConfig:
        """What is enforced now."""
        return self.state.config


def _observed(state: RolloutState, notice: str, now_ns: int, revision: int) -> RolloutState:
    """*state* fallen back to OBSERVE, with that change."""
    before = state.config
    config = OrchestratorIntegrationConfig(
        fixed_confidence=before.fixed_confidence, fixed_risk_pct=before.fixed_risk_pct,
        fixed_max_positions=before.fixed_max_positions, fixed_exit_mode=before.fixed_exit_mode,
    )
    change = RolloutChange(
        revision=revision, ts_ns=now_ns, actor="rollout file", action=SET_ASIDE, switch="", before=enforced(before),
        after=(), mode_before=before.mode, mode_after=OrchestratorMode.OBSERVE, reason=notice,
    )
    return RolloutState(config=config, revision=revision, changes=(*state.changes, change))


def read_state(directory: str | Path) -> RolloutState | None:
    """Read the state in *directory* and change nothing; None when there is no file, StateError when it is damaged."""
    path = Path(directory) / ROLLOUT_FILE
    try:
        return _decode(read_private(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StateError(
            f"{path}: cannot be used as a rollout state ({error}); put back a copy of it, or enforce nothing: "
            f"`quantum-trader rollout rollback --state {directory}` sets it aside"
        ) from error


def _encode(state: RolloutState) -> bytes:
    return msgspec.json.encode(_Document(schema=SCHEMA, state=state)) + b"\n"


def _decode(content: bytes) -> RolloutState:
    """The state in *content*; ValueError (msgspec's, or ours for another schema) when there is none."""
    document = msgspec.json.decode(content, type=_Document)
    if document.schema != SCHEMA:
        raise ValueError(f"schema {document.schema} is not {SCHEMA}")
    return document.state
