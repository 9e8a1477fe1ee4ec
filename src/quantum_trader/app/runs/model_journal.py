"""What a run's journal tells of its models: which was in force when, which made a trade, and what came of it.

Reading does not block the writer, so a journal can be read while its run goes on.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.app.runs.pilot_run import PILOT_OWNED
from quantum_trader.domain.errors import DataError, StateError
from quantum_trader.journal.lake import JOURNAL, Lake
from quantum_trader.lab.registry.outcomes import InForceSpan, ModelOutcome, ModelOutcomes

SHORTEST: Final = 6  # characters that may stand for a whole id
_SPANS: Final = (
    "select ts_ns, role, names, ids, before, alias, version, actor, reason from models_in_force order by seq"
)
_REFUSALS: Final = "select ts_ns, role, model, in_force, reason, alias, version from model_refusals order by seq"
_TRADES: Final = (
    "select trade_id, symbol, side, entry_ns, exit_ns, pnl, r_multiple, exit_reason, confidence, model, model_id "
    "from trades order by exit_ns, seq"
)
_SHADOWS: Final = (
    "select g.symbol, g.side, g.ts_ns as entry_ns, s.ts_ns as exit_ns, s.r, s.exit, s.traded, g.confidence "
    "from shadows s join signals g on g.signal_id = s.signal_id and g.kind = 'signal.generated' order by s.seq"
)
_PILOT_SHADOWS: Final = (
    "select symbol, side, entry_ns, exit_ns, r, exit from pilot_trades where model = ? order by seq"
)
_FIRST: Final = "select payload from events where kind = 'run.started' order by seq limit 1"
_LAST: Final = "select max(ts_ns) as ts_ns from events"


class ModelSpan(msgspec.Struct, frozen=True, kw_only=True):
    """One model in force, and how it came to be."""

    role: str  # pilot or signals
    model_id: str
    name: str
    from_ns: int
    until_ns: int = 0  # 0: it still is
    alias: str = ""  # what the run follows, as registry:champion
    version: int = 0  # of the registry
    actor: str = ""
    reason: str = ""
    with_others: bool = False  # it gives signals together with other models


class RefusedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that should have taken over and was refused."""

    ts_ns: int
    role: str
    model: str
    in_force: list[str]
    reason: str
    alias: str
    version: int


class ModelTrade(msgspec.Struct, frozen=True, kw_only=True):
    """A closed trade and the models that opened it."""

    trade_id: str
    symbol: str
    side: str
    entry_ns: int
    exit_ns: int
    pnl: float
    r_multiple: float | None
    exit_reason: str
    confidence: float
    model: str  # by name, or the source of a pilot's trade
    model_ids: tuple[str, ...]  # empty: not by a model with an id

    @property
    def role(self) -> str:
        """Whose trade it was; empty: of a person, another program or the intraday models."""
        if not self.model_ids:
            return ""
        return "pilot" if self.model in PILOT_OWNED else "signals"


class ModelJournal:
    """The journal of the run in the state folder *state*; StateError where there is none."""

    def __init__(self, state: Path) -> None:
        if not state.is_dir():
            raise StateError(f"--state {state}: no such folder; give the folder of `run --state` or `live --state`")
        self.state, self._lake = state, Lake(state / JOURNAL)

    def _rows(self, query: str, *params: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._lake.sql(query, list(params)).to_pylist()
        return found

    def spans(self) -> list[ModelSpan]:
        """Every model of the run and from when to when it was in force, oldest first."""
        done: list[ModelSpan] = []
        open_: dict[tuple[str, int], ModelSpan] = {}
        for row in self._rows(_SPANS):
            for place, (name, model_id) in enumerate(zip(row["names"], row["ids"], strict=True)):
                key = row["role"], place
                before = open_.get(key)
                if before is not None and before.model_id == model_id:
                    continue
                if before is not None:
                    done.append(msgspec.structs.replace(before, until_ns=row["ts_ns"]))
                open_[key] = ModelSpan(
                    role=row["role"], model_id=model_id, name=name, from_ns=row["ts_ns"], alias=row["alias"],
                    version=row["version"], actor=row["actor"], reason=row["reason"], with_others=len(row["ids"]) > 1,
                )
        return sorted([*done, *open_.values()], key=lambda one: (one.from_ns, one.role, one.name))

    def refusals(self) -> list[RefusedModel]:
        """The models that should have taken over and were refused, oldest first."""
        return [msgspec.convert(row, RefusedModel) for row in self._rows(_REFUSALS)]

    def trades(self) -> list[ModelTrade]:
        """Every closed trade, oldest first."""
        return [
            ModelTrade(
                model_ids=tuple(one for one in (row.pop("model_id") or "").split("+") if one), **row
            )
            for row in self._rows(_TRADES)
        ]

    def trades_of(self, model_id: str) -> list[ModelTrade]:
        """The closed trades that the model opened, alone or with others."""
        return [one for one in self.trades() if model_id in one.model_ids]

    def trade(self, trade_id: str) -> ModelTrade:
        """The trade with this id; DataError where there is none."""
        for one in self.trades():
            if one.trade_id == trade_id:
                return one
        raise DataError(
            f"{self.state}: has no closed trade {trade_id!r}; "
            f"`quantum-trader journal sql \"select trade_id from trades\" --state {self.state}` lists them"
        )

    def model_id(self, name: str) -> str:
        """The whole id that *name*, an id or its first 6 characters or more, means in this journal.

        DataError where no model of it begins so, or several do.
        """
        known = {one.model_id for one in self.spans()}
        found = sorted(one for one in known if len(name) >= SHORTEST and one.startswith(name.strip().lower()))
        if len(found) != 1:
            told = "several models begin so" if found else "no model of its run begins so"
            raise DataError(f"{self.state}: {name!r}: {told}; `quantum-trader registry live --state DIR` lists them")
        return found[0]

    def last_ns(self) -> int:
        """The time of the newest record; 0 without any."""
        return int(self._rows(_LAST)[0]["ts_ns"] or 0)

    def outcomes(self, model_id: str) -> ModelOutcomes:
        """What became of the model's decisions; DataError where it was never in force in this run."""
        spans = [one for one in self.spans() if one.model_id == model_id]
        if not spans:
            raise DataError(f"{self.state}: model {model_id[:12]} was never in force in this run")
        role, (run_id, mode) = spans[0].role, self._run()
        shadows = self._pilot_shadows(model_id) if role == "pilot" else self._signal_shadows(spans)
        return ModelOutcomes(
            model_id=model_id, role=role, run_id=run_id, mode=mode, until_ns=self.last_ns(),
            shared=any(one.with_others for one in spans),
            spans=tuple(InForceSpan(from_ns=one.from_ns, until_ns=one.until_ns) for one in spans),
            trades=tuple(_trade_outcome(one) for one in self.trades_of(model_id)), shadows=tuple(shadows),
        )

    def _run(self) -> tuple[str, str]:
        """The run's id, the hash of its first record as the trade journal has it, and its mode."""
        rows = self._rows(_FIRST)
        if not rows:
            return "", ""
        line = rows[0]["payload"].encode()
        stated = msgspec.json.decode(line)["data"]
        return hashlib.sha256(line).hexdigest()[:16], str(stated.get("mode") or "REPLAY")

    def _pilot_shadows(self, model_id: str) -> list[ModelOutcome]:
        return [ModelOutcome(**row) for row in self._rows(_PILOT_SHADOWS, model_id)]

    def _signal_shadows(self, spans: list[ModelSpan]) -> list[ModelOutcome]:
        """The shadow trades of signals that were given while the model was in force."""
        return [
            ModelOutcome(
                symbol=row["symbol"], side=row["side"], entry_ns=row["entry_ns"], exit_ns=row["exit_ns"], r=row["r"],
                probability=row["confidence"], exit=row["exit"], traded=row["traded"],
            )
            for row in self._rows(_SHADOWS)
            if any(one.from_ns < row["entry_ns"] and not 0 < one.until_ns < row["entry_ns"] for one in spans)
        ]


def _trade_outcome(one: ModelTrade) -> ModelOutcome:
    return ModelOutcome(
        symbol=one.symbol, side=one.side, entry_ns=one.entry_ns, exit_ns=one.exit_ns, r=one.r_multiple,
        probability=one.confidence, pnl=one.pnl, exit=one.exit_reason,
    )
