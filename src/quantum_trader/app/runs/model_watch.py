"""Follows an alias of the model registry while a run goes on.

A thread of its own looks where the alias points, and reads, verifies, keeps and prepares a model that is to take over.
The trading loop only asks what is ready: no order waits for a file, a signature or a network.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

import msgspec

from quantum_trader.domain.errors import QuantumTraderError
from quantum_trader.engine.facts import ModelInForce, ModelRefused
from quantum_trader.engine.supervision import Shield
from quantum_trader.lab.registry import ModelRegistry
from quantum_trader.lab.registry.registry import RegisteredModel

LOOK_S: Final = 2.0  # between two looks at the registry
RETRY_S: Final = 60.0  # until a model that was refused is looked at again: its files may have been mended


class FollowedAlias(msgspec.Struct, frozen=True, kw_only=True):
    """What a run follows: an alias of one kind of models, for one role."""

    role: Literal["pilot", "signals"]
    kind: str
    alias: str
    named: str  # as the run's settings name it: registry:champion

    def moved_by(self, registry: ModelRegistry, model_id: str) -> dict[str, Any]:
        """How the alias came to the model, as :class:`ModelInForce` states it."""
        moved = registry.state.last_move(self.kind, self.alias)
        if moved is None or moved.after != model_id:
            return {"alias": self.named}
        return {"alias": self.named, "version": moved.version, "actor": moved.actor, "reason": moved.reason}

    def change(self, registry: ModelRegistry, model: RegisteredModel, before: list[str]) -> ModelInForce:
        """What is recorded when *model* takes over from *before*."""
        return ModelInForce(
            role=self.role, names=[model.record.name], ids=[model.record.model_id], before=before,
            **self.moved_by(registry, model.record.model_id),
        )


class ReadyModel(NamedTuple):
    """A model that may take over."""

    change: ModelInForce
    prepared: Any  # what the run uses of it; it has seen no bar


Prepare = Callable[[RegisteredModel], Any]


class ModelWatch:
    """Looks which model *followed* means, and has another one than the run's ready.

    *prepare* reads what the run uses of a verified model and keeps its file; it runs in the watch's thread, and raises
    what says why the model cannot be used.
    """

    def __init__(
        self, registry: ModelRegistry, followed: FollowedAlias, prepare: Prepare, *, look_s: float = LOOK_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.followed = followed
        self._registry, self._prepare, self._look_s, self._clock = registry, prepare, look_s, clock
        self._lock = threading.Lock()
        self._in_force = ""
        self._answer: ReadyModel | ModelRefused | None = None
        self._stamp: tuple[int, ...] | None = None  # of the registry's state at the last look
        self._retry_s = 0.0
        self._shield = Shield()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._run, name=f"models of {self.followed.role}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more; a look under way is not waited for."""
        self._ended.set()

    def answer(self, in_force: str) -> ReadyModel | ModelRefused | None:
        """What the alias means beside *in_force*, the id of the run's model: another one, ready or refused.

        None: the same one, or nothing is known yet. It never waits for the disk.
        """
        with self._lock:
            if in_force != self._in_force:
                self._in_force, self._answer, self._stamp = in_force, None, None
            return self._answer

    def _run(self) -> None:
        while not self._ended.is_set():
            self.look()
            self._ended.wait(self._look_s)

    def look(self) -> None:
        """Look once, in this thread."""
        with self._lock:
            in_force, answer = self._in_force, self._answer
        stamp = self._stamp_now()
        is_settled = not isinstance(answer, ModelRefused) or self._clock() < self._retry_s
        if not in_force or (stamp == self._stamp and is_settled):
            return
        failures = self._shield.failures
        found = self._shield.run(self._found, in_force, answer)
        if self._shield.failures != failures:
            found = self._refused("", in_force, self._shield.last)
        if isinstance(found, ModelRefused):
            self._retry_s = self._clock() + RETRY_S
        with self._lock:
            if self._in_force == in_force:
                self._answer, self._stamp = found, stamp

    def _stamp_now(self) -> tuple[int, ...]:
        try:
            told = os.stat(self._registry.state_file)
        except OSError:
            return ()
        return told.st_ino, told.st_size, told.st_mtime_ns

    def _found(
        self, in_force: str, answer: ReadyModel | ModelRefused | None
    ) -> ReadyModel | ModelRefused | None:
        """What the alias means now; the *answer* of before where that is still it."""
        model_id = ""
        try:
            model_id = self._registry.resolve(self.followed.alias, self.followed.kind)
            if model_id == in_force:
                return None
            if isinstance(answer, ReadyModel) and answer.change.ids == [model_id]:
                return answer
            model = self._registry.load_model(model_id, self.followed.kind)
            prepared = self._prepare(model)
            return ReadyModel(self.followed.change(self._registry, model, [in_force]), prepared)
        except QuantumTraderError as error:
            return self._refused(model_id, in_force, str(error))

    def _refused(self, model_id: str, in_force: str, reason: str) -> ModelRefused:
        return ModelRefused(
            role=self.followed.role, model=model_id, in_force=[in_force], reason=reason,
            alias=self.followed.named,
        )
