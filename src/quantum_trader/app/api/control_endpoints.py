"""What changes a run: halt, resume, stop, close one position, settings. Each change is on record with who and why."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec

from quantum_trader.app.api.changes import DONE, ChangeLine, ChangeLog
from quantum_trader.app.api.endpoints import Call, Endpoint, Lane, not_found
from quantum_trader.app.api.errors import ApiError, as_api_error
from quantum_trader.app.api.freqtrade.facts import RunView
from quantum_trader.app.api.locking import lock_request
from quantum_trader.app.api.read_endpoints import V1
from quantum_trader.app.api.reader import RunReader
from quantum_trader.app.api.stopping import DEADLINE_S, HANGS_S, Stopper, StopProgress
from quantum_trader.app.api.tokens import Role
from quantum_trader.app.runs.gates_record import change_gates, enforcing, observing, setting
from quantum_trader.app.runs.operator_requests import Action, OperatorRequest, ask
from quantum_trader.app.runs.outside_intents import IntentRequest, request_intent
from quantum_trader.app.runs.pilot_store import pilot_settings_document, store_of
from quantum_trader.app.runs.rollout_record import require_rollout_folder, rollout_change_document
from quantum_trader.app.runs.status import is_alive
from quantum_trader.domain.enums import Side
from quantum_trader.domain.errors import QuantumTraderError, brief
from quantum_trader.domain.pilot_settings import field_of
from quantum_trader.engine.halts import LOCK
from quantum_trader.lab.gate_changes import GateRefused
from quantum_trader.models.gate_tables import gates_with
from quantum_trader.models.gates import gate_place
from quantum_trader.policy.evidence import evidence
from quantum_trader.policy.ledger import read_ledger
from quantum_trader.policy.rollout import PromotionRefused, promote, rollback
from quantum_trader.policy.rollout_file import RolloutFile, read_state

PERSON: Final = "PERSON"
_TTL_S: Final = 30.0
ReasonText = Annotated[str, msgspec.Meta(min_length=1, max_length=500, description="Why; it is recorded.")]
MostChanges = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class WithReason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change and why."""

    reason: ReasonText


class StopOrder(WithReason, frozen=True, kw_only=True):
    """A stop, in at most *deadline_s* seconds. A process that shows no life for *hangs_s* seconds is killed."""

    hangs_s: Annotated[float, msgspec.Meta(ge=2.0, le=600.0)] = HANGS_S
    deadline_s: Annotated[float, msgspec.Meta(ge=5.0, le=3600.0)] = DEADLINE_S


class SymbolLockOrder(WithReason, frozen=True, kw_only=True):
    """No entries into one symbol until a time (UTC), such as ``2030-03-30T16:00:00Z``."""

    until: Annotated[str, msgspec.Meta(max_length=60)]


class GatesOrder(WithReason, frozen=True, kw_only=True):
    """Settings of the gates, as ``gates set`` takes them: ``{"scalp.max_spread_bps": "4"}``."""

    values: Annotated[dict[str, str], msgspec.Meta(min_length=1, max_length=50)]


class GateOrder(WithReason, frozen=True, kw_only=True):
    """Whether a gate refuses signals; *force*: without the evidence."""

    enforced: bool
    force: bool = False


class SwitchOrder(WithReason, frozen=True, kw_only=True):
    """Whether a part of the policy is enforced; *force*: without the evidence."""

    enforced: bool
    force: bool = False


class PilotOrder(WithReason, frozen=True, kw_only=True):
    """What the pilot may do; settings that are left out stay. *version*: only where the store is still at it."""

    enabled: bool | None = None
    mode: str | None = None
    min_confidence: float | None = None
    max_trades_per_hour: int | None = None
    version: int | None = None


class Requested(msgspec.Struct, frozen=True, kw_only=True):
    """A request that the run acts on: at once where its process is alive, at its next start otherwise."""

    action: str
    actor: str
    ts_ns: int
    alive: bool


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """A position that the process was asked to close; its trace tells what came of it."""

    symbol: str
    intent_id: str


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """The newest changes over the API, newest first."""

    changes: list[ChangeLine]


class ChangesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How many changes."""

    limit: MostChanges = 100


class Control:
    """The changes of one folder."""

    def __init__(self, reader: RunReader, stopper: Stopper, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._reader = reader
        self._view = RunView(reader)
        self._folder = reader.folder
        self._stopper = stopper
        self._now_ns = now_ns
        self.log = ChangeLog(reader.folder)

    def endpoints(self) -> list[Endpoint]:
        """The roads that change something, and the record of changes."""
        done = {"action": "halt", "actor": "phone over the API", "ts_ns": 1551025800000000000, "alive": True}
        why = {"reason": "exchange announces maintenance"}
        return [
            self._change(
                "halt", "Stop new entries until resume; positions are still reduced and closed.", Requested,
                lambda call: self._ask(Action.HALT, call), WithReason, why, done, must=False, lane=Lane.URGENT,
            ),
            self._change(
                "resume", "End a halt, an EMERGENCY or a losing-streak stop.", Requested,
                lambda call: self._ask(Action.RESUME, call), WithReason, why, {**done, "action": "resume"},
            ),
            self._change(
                "flatten", "STOP: close every position, cancel its orders, halt new entries; alive, hung or dead.",
                StopProgress, self._flatten, StopOrder, why,
                {"state": "running", "flat": None, "took_s": 0.0, "text": "stopping", "steps": []}, must=False,
                lane=Lane.URGENT,
            ),
            Endpoint(
                path=f"{V1}/flatten", summary="How far the last STOP is.", tag="control", answers=StopProgress,
                lane=Lane.URGENT,
                run=lambda _: self._stopper.progress(),
                example={"state": "done", "flat": True, "took_s": 2.4, "text": "flat", "steps": []},
            ),
            self._change(
                "positions/{symbol}/close", "Ask the running process to close one position.", Closing, self._close,
                WithReason, why, {"symbol": "BTCUSDT", "intent_id": "PERSON-1551025800000000000"},
                must=False, lane=Lane.URGENT,
            ),
            self._change(
                "symbols/{symbol}/lock", "Keep entries out of one symbol until a time; positions are still closed.",
                Requested, self._lock, SymbolLockOrder, {**why, "until": "2030-03-30T16:00:00Z"},
                {**done, "action": "lock"},
            ),
            self._change(
                "symbols/{symbol}/unlock", "End the lock of one symbol.", Requested, self._unlock, WithReason, why,
                {**done, "action": "unlock"},
            ),
            *self._settings(),
            Endpoint(
                path=f"{V1}/changes", summary="Who changed what over the API, when, why, and what came of it.",
                tag="control", answers=Changes, query=ChangesQuery,
                run=lambda call: Changes(changes=self.log.last(call.query.limit)),
                example={"changes": [{"name": "phone", "action": f"POST {V1}/halt", "outcome": DONE}]},
            ),
        ]

    def _settings(self) -> list[Endpoint]:
        """The roads of an owner: gates, policy, pilot."""
        why = {"reason": "exchange announces maintenance"}
        return [
            self._change(
                "gates", "Change limits, mode or targets of the gates.", dict[str, Any], self._gates, GatesOrder,
                {**why, "values": {"scalp.max_spread_bps": "4"}}, {"revision": 2}, Role.OWNER, "PUT",
            ),
            self._change(
                "gates/{gate}", "Enforce a gate on its evidence, or only observe it.", dict[str, Any], self._gate,
                GateOrder, {**why, "enforced": True}, {"revision": 2}, Role.OWNER, "PUT",
            ),
            self._change(
                "rollout/{switch}", "Enforce a part of the policy on its evidence, or stop enforcing it.",
                dict[str, Any], self._switch, SwitchOrder, {**why, "enforced": True}, {"action": "promote"},
                Role.OWNER, "PUT",
            ),
            self._change(
                "pilot", "Change what the pilot may do.", dict[str, Any], self._pilot, PilotOrder,
                {**why, "mode": "SHADOW"}, {"version": 3, "mode_in_force": "SHADOW"}, Role.OWNER, "PUT",
            ),
        ]

    def _change(
        self, road: str, summary: str, answers: Any, run: Callable[[Call], Any], body: type[msgspec.Struct],
        body_example: Any, example: Any, role: Role = Role.TRADER, method: str = "POST", *, must: bool = True,
        lane: Lane | None = None,
    ) -> Endpoint:
        """A road that changes something; what was asked for and what came of it is recorded."""
        path = f"{V1}/{road}"

        def recorded(call: Call) -> Any:
            if not call.body.reason.isprintable() or not call.body.reason.strip():
                raise ApiError(400, f"reason = {brief(call.body.reason)}: must be one line of printable characters")
            action = f"{method} {path.format(**call.path)}"
            detail = msgspec.json.encode(call.body).decode()
            try:
                made = run(call)
            except (QuantumTraderError, OSError, ApiError) as error:
                self.log.note(
                    self._now_ns(), call.caller, action, reason=call.body.reason, detail=detail,
                    outcome=str(as_api_error(error)), must=False,
                )
                raise
            self.log.note(
                self._now_ns(), call.caller, action, reason=call.body.reason, detail=detail, outcome=DONE, must=must
            )
            return made

        return Endpoint(
            path=path, summary=summary, tag="control", method=method, answers=answers, run=recorded, role=role,
            body=body, body_example=body_example, example=example, lane=lane,
        )

    def _actor(self, call: Call) -> str:
        return f"{call.caller.name} over the API"

    def _request(self, action: Action, call: Call) -> OperatorRequest:
        return OperatorRequest(
            action=action, reason=call.body.reason, actor=self._actor(call), ts_ns=self._now_ns()
        )

    def _ask(self, action: Action, call: Call) -> Requested:
        if action is Action.RESUME and self._stopper.progress().state == "running":
            raise ApiError(409, f"a STOP is closing everything; resume once it has ended (GET {V1}/flatten)")
        return self._asked(self._request(action, call))

    def _lock(self, call: Call) -> Requested:
        symbol = call.path["symbol"].upper()
        return self._asked(lock_request(
            ("symbol", symbol), symbol, call.body.until, self._view.config().symbols, reason=call.body.reason,
            actor=self._actor(call), now_ns=self._now_ns(),
        ))

    def _unlock(self, call: Call) -> Requested:
        symbol = call.path["symbol"].upper()
        status = self._reader.fresh_status()
        waiting = any(one.action is Action.LOCK and one.symbol == symbol for one in status.pending_requests)
        if not waiting and all(one.kind != f"{LOCK} {symbol}" for one in status.halts):
            not_found(f"symbol = {symbol[:100]!r}: is not locked")
        return self._asked(msgspec.structs.replace(self._request(Action.UNLOCK, call), symbol=symbol))

    def _asked(self, request: OperatorRequest) -> Requested:
        ask(self._folder, request)
        return Requested(
            action=request.action.value, actor=request.actor, ts_ns=request.ts_ns, alive=is_alive(self._folder)
        )

    def _flatten(self, call: Call) -> StopProgress:
        self._stopper.start(
            self._request(Action.FLATTEN, call), hangs_s=call.body.hangs_s, deadline_s=call.body.deadline_s
        )
        return self._stopper.progress()

    def _close(self, call: Call) -> Closing:
        symbol = call.path["symbol"].upper()
        status = self._reader.fresh_status()
        held = next((one for one in status.positions if one.symbol == symbol), None)
        if held is None:
            not_found(f"symbol = {symbol[:100]!r}: the run has no position in it")
        if not status.alive:
            raise ApiError(
                409, f"no process runs on {self._folder.name}, and one position is closed by its process alone: start "
                "it, or close everything with flatten"
            )
        now_ns = self._now_ns()
        request = IntentRequest(
            intent_id=f"{PERSON}-{now_ns}", symbol=symbol, side=Side(held.side), qty=0.0, stop_price=0.0,
            leverage=1.0, closes=True, source=PERSON, confidence=1.0, ttl_s=_TTL_S, actor=self._actor(call),
            ts_ns=now_ns,
        )
        request_intent(self._folder, request)
        return Closing(symbol=symbol, intent_id=request.intent_id)

    # ---- settings ----------------------------------------------------------------------------------------------------
    def _gates(self, call: Call) -> dict[str, Any]:
        assignments = [f"{key}={value}" for key, value in call.body.values.items()]
        return self._gates_made(setting(
            lambda settings: gates_with(settings, assignments), actor=self._actor(call), reason=call.body.reason
        ))

    def _gate(self, call: Call) -> dict[str, Any]:
        gate, order, actor = call.path["gate"], call.body, self._actor(call)
        gate_place(gate)
        if not order.enforced:
            return self._gates_made(observing(gate, actor=actor, reason=order.reason))
        return self._gates_made(enforcing(gate, actor=actor, force=order.force, reason=order.reason))

    def _gates_made(self, change: Any) -> dict[str, Any]:
        made = change_gates(self._folder, change)
        if isinstance(made, GateRefused):
            raise ApiError(409, f"{made.gate}: stays as it is: {'; '.join(item.text for item in made.unmet)}")
        built: dict[str, Any] = msgspec.to_builtins(made.changes[-1])
        return built

    def _switch(self, call: Call) -> dict[str, Any]:
        switch, order, now_ns = call.path["switch"], call.body, self._now_ns()
        require_rollout_folder(self._folder)
        read_state(self._folder)  # a damaged file is not made a fresh one here: that would enforce less without a word
        file = RolloutFile(self._folder, now_ns=now_ns)
        if not order.enforced:
            after, change = rollback(file.state, switch, now_ns=now_ns, actor=self._actor(call), reason=order.reason)
            file.write(after)
            return rollout_change_document(change)
        facts = evidence(read_ledger(self._folder), switch)
        made = promote(
            file.state, switch, facts, now_ns=now_ns, actor=self._actor(call), force=order.force, reason=order.reason
        )
        if isinstance(made, PromotionRefused):
            raise ApiError(409, f"{switch}: was not promoted: {'; '.join(item.text for item in made.unmet)}")
        file.write(made.state)
        return rollout_change_document(made.change)

    def _pilot(self, call: Call) -> dict[str, Any]:
        order, store = call.body, store_of(self._folder, None)
        names = ("enabled", "mode", "min_confidence", "max_trades_per_hour")
        given = {name: getattr(order, name) for name in names if getattr(order, name) is not None}
        if not given:
            raise ApiError(400, f"body: names no setting; give one of {', '.join(names)}")
        reason = order.reason
        if given.get("mode") in ("PRIMARY", "HYBRID"):
            reason = f"without evidence: {reason}"
        values = {field_of(name): value for name, value in given.items()}
        store.change(values, seen_version=order.version, actor=self._actor(call), reason=reason)
        return pilot_settings_document(store, store.read(), history=False)
