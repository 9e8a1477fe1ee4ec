"""Which models an engine uses: recorded at its start, replaced between two bars, or refused.

Replacing a model sends no order and changes no position. What is refused leaves everything as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from quantum_trader.domain.trading import OutsideScore
from quantum_trader.engine.facts import ModelInForce, ModelRefused, RefusedScore
from quantum_trader.engine.judging import Judging
from quantum_trader.engine.market import Market
from quantum_trader.engine.payoff import Payoff
from quantum_trader.engine.pilot_tenure import KEPT
from quantum_trader.engine.piloting import RLv3LiveOrchestrator
from quantum_trader.engine.ports import PilotSource
from quantum_trader.engine.recorder import RUN
from quantum_trader.engine.records import Records
from quantum_trader.models.forecasts import Forecasts, LoadedModel
from quantum_trader.models.outside_scores import ScoreRefusal
from quantum_trader.models.succession import why_not

_NO_MODELS: Final = "the intraday models give the signals of this run; name a model at its start with --model"


class ModelUse:
    """The models of pilot and signals, and which one was refused last."""

    def __init__(
        self, market: Market, piloting: RLv3LiveOrchestrator, judging: Judging, records: Records
    ) -> None:
        self._market, self._piloting, self._judging, self._records = market, piloting, judging, records
        self._payoffs: dict[str, Payoff] = {}  # of models of signals that were replaced, by their ids
        self.refused: dict[str, ModelRefused] = {}  # role -> the last refusal, until another model takes over

    def begin(self, aliases: Mapping[str, Mapping[str, Any]], ts_ns: int) -> None:
        """Record the models that a run begins with; *aliases*: what it follows, by role, as ModelInForce states it."""
        forecasts, piloting = self._market.forecasts, self._piloting
        if forecasts is not None:
            self._records.record("model.in_force", "", ts_ns, ModelInForce(
                role="signals", names=[loaded.name for loaded in forecasts.models], ids=forecasts.ids, before=[],
                **aliases.get("signals", {}),
            ), RUN)
        if piloting.is_there:
            self._records.record("model.in_force", "", ts_ns, ModelInForce(
                role="pilot", names=[piloting.name], ids=[piloting.identity], before=[], **aliases.get("pilot", {}),
            ), RUN)

    def take_pilot(self, source: PilotSource, change: ModelInForce, now_ns: int) -> str:
        """Let another trained pilot take over from the next bar on; returns why it may not, empty where it has."""
        self._records.catch_up()
        before, now_ns = self._piloting.identity, max(now_ns, self._market.now_ns)
        why_not = self._piloting.take_model(source, now_ns)
        if why_not:
            self.refuse(ModelRefused(
                role="pilot", model=source.identity, in_force=[before] if before else [], reason=why_not,
                alias=change.alias, version=change.version,
            ), now_ns)
        else:
            self._took_over(change, now_ns)
        return why_not

    def take_signals(self, forecasts: Forecasts, place: int, change: ModelInForce, now_ns: int) -> str:
        """Let *forecasts*, with another model at *place*, take over from their next bar on; returns why they may not.

        Until that bar the targets of before stand, so that nothing is opened or left because of this alone.
        """
        self._records.catch_up()
        before = self._market.forecasts
        reason = self.refuse_signals(forecasts.models[place], place, change, now_ns)
        if before is None or reason:
            return reason
        forecasts.succeed(before, place)
        former = self._market.model_id
        self._market.forecasts = forecasts
        self._change_payoff(former, self._market.model_id)
        self._took_over(change, now_ns)
        return ""

    def _change_payoff(self, former: str, model_id: str) -> None:
        """Go on with what the shadow trades of *model_id* have shown; those of signals given until now are others'."""
        self._payoffs[former] = self._judging.payoff
        while len(self._payoffs) > KEPT:
            del self._payoffs[next(iter(self._payoffs))]
        self._judging.payoff = self._payoffs.pop(model_id, Payoff())
        self._judging.payoff.since_ns = self._market.now_ns + 1

    def refuse_signals(self, model: LoadedModel, place: int, change: ModelInForce, now_ns: int) -> str:
        """Record why *model* may not take its *place* among the models of signals; empty where it may."""
        before = self._market.forecasts
        reason = _NO_MODELS if before is None else why_not(before, place, model)
        if reason:
            self.refuse(ModelRefused(
                role="signals", model=change.ids[place], in_force=before.ids if before is not None else [],
                reason=reason, alias=change.alias, version=change.version,
            ), now_ns)
        return reason

    def refuse(self, refusal: ModelRefused, now_ns: int) -> None:
        """Record that a model may not take over, once for each reason; the one in force stays."""
        last = self.refused.get(refusal.role)
        if last is not None and (last.model, last.reason) == (refusal.model, refusal.reason):
            return
        self.refused[refusal.role] = refusal
        self._records.catch_up()
        self._tell("model.refused", refusal, f"model {refusal.model[:12] or '?'} refused: {refusal.reason}", now_ns)

    def take_score(self, score: OutsideScore, now_ns: int) -> None:
        """Give a score from outside, received at *now_ns*, to the models that take it, on record; or its refusal."""
        forecasts = self._market.forecasts
        refusal = forecasts.take_score(score, now_ns) if forecasts is not None else ScoreRefusal.NO_MODEL
        if refusal is None:
            self._records.record("score.received", score.score_id, now_ns, score, RUN)
        else:
            self.refuse_score(RefusedScore(
                score_id=score.score_id, symbol=score.symbol, reason=refusal.value, source=score.source
            ), now_ns)

    def refuse_score(self, refusal: RefusedScore, now_ns: int) -> None:
        """Record that no model took a score from outside."""
        self._records.record("score.refused", refusal.score_id, now_ns, refusal, RUN)

    def _took_over(self, change: ModelInForce, now_ns: int) -> None:
        self.refused.pop(change.role, None)
        new = change.ids[change.place]
        text = f"model {change.names[change.place]} ({new[:12]}) takes over: {change.reason}"
        self._tell("model.in_force", change, text, now_ns)

    def _tell(self, topic: str, data: ModelInForce | ModelRefused, text: str, now_ns: int) -> None:
        now_ns = max(now_ns, self._market.now_ns)
        self._records.record(topic, "", now_ns, data, RUN)
        self._records.tally.event(now_ns, data.role, text)

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values."""
        return {
            "refused": {role: msgspec.to_builtins(one) for role, one in self.refused.items()},
            "payoffs": {model_id: msgspec.to_builtins(one) for model_id, one in self._payoffs.items()},
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`; a folder of before models were replaced has refused none."""
        self.refused = {
            role: msgspec.convert(one, ModelRefused) for role, one in state.get("refused", {}).items()
        }
        self._payoffs = {
            model_id: msgspec.convert(one, Payoff) for model_id, one in state.get("payoffs", {}).items()
        }
