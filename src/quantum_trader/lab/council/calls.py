"""Calls of models: cached, within the budget, with a time limit; refusals and failures are values with a reason."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import msgspec

from quantum_trader.lab.council.answers import AnswerStore, ChatMessage, ModelAnswer, StoredAnswer, question_key
from quantum_trader.lab.council.ledger import AskedAlready, CostLedger, CouncilCall, OverBudget
from quantum_trader.lab.council.settings import CouncilModel

MOST_TRIES: Final = 3
LONGEST_WAIT_S: Final = 60.0
_FIRST_WAIT_S: Final = 1.0
_MESSAGE_TOKENS: Final = 16  # that a message takes beside its text, at most


class CallFailedError(Exception):
    """A call without an answer. *may_be_billed*: it may have been worked on; *retry_after_s*: try again after it."""

    def __init__(self, why: str, *, may_be_billed: bool, retry_after_s: float | None = None) -> None:
        super().__init__(why)
        self.may_be_billed, self.retry_after_s = may_be_billed, retry_after_s


class ModelPort(Protocol):
    """Asks a model over its provider."""

    async def ask(self, model: CouncilModel, key: str, messages: tuple[ChatMessage, ...]) -> ModelAnswer:
        """The model's answer; CallFailedError where there is none."""
        ...


class NoAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Why a model did not answer."""

    why: str


class ModelCaller:
    """Asks each question once: from the store, or within the budget from its provider."""

    def __init__(
        self, port: ModelPort, store: AnswerStore, ledger: CostLedger, *, limit_usd: float,
        sleep: Callable[[float], Awaitable[None]], clock: Callable[[], int], repeat_cut_off: bool = False,
    ) -> None:
        """*clock* gives ns. *repeat_cut_off*: ask again what a process that died had asked; it may be billed again."""
        self.port, self.store, self.ledger = port, store, ledger
        self.limit_usd, self.repeat_cut_off = limit_usd, repeat_cut_off
        self._sleep, self._clock = sleep, clock

    async def ask(
        self, model: CouncilModel, api_key: str, messages: tuple[ChatMessage, ...], *, snapshot: str, prompt: str
    ) -> ModelAnswer | NoAnswer:
        """The answer of *model* to *messages* about *snapshot* (a hash) with the prompt of that version."""
        key = question_key(model, snapshot, prompt, messages)
        open_call = self.ledger.cut_off(key)
        if (known := self.store.get(key)) is not None:
            if open_call is not None:  # the process died between keeping the answer and settling it
                self._settle(open_call, model, known)
            return known
        def keep(answer: ModelAnswer) -> None:
            self.store.put(StoredAnswer(key=key, model=model.name, snapshot=snapshot, prompt=prompt, answer=answer))

        for number in range(MOST_TRIES):
            asked = await self._once(model, api_key, messages, key, keep)
            if not isinstance(asked, CallFailedError):
                return asked
            wait_s = _FIRST_WAIT_S * 2**number if asked.retry_after_s == 0.0 else asked.retry_after_s
            if wait_s is None or wait_s > LONGEST_WAIT_S or number + 1 == MOST_TRIES:
                return NoAnswer(why=str(asked))
            await self._sleep(wait_s)
        raise AssertionError("unreachable: the last try returns")

    async def _once(
        self, model: CouncilModel, api_key: str, messages: tuple[ChatMessage, ...], key: str,
        keep: Callable[[ModelAnswer], None],
    ) -> ModelAnswer | NoAnswer | CallFailedError:
        """One call. Its answer is on disk before its cost is: whoever dies in between has not paid for nothing."""
        call = self.ledger.reserve(
            key, model.name, most_usd(model, messages), self.limit_usd, again=self.repeat_cut_off
        )
        if isinstance(call, OverBudget | AskedAlready):
            return NoAnswer(why=str(call))
        began_ns = self._clock()
        try:
            answer = await self.port.ask(model, api_key, messages)
        except CallFailedError as error:
            outcome, usd = ("timed out", call.usd) if error.may_be_billed else ("refused", 0.0)
            self.ledger.settle(call, outcome, usd=usd, latency_s=(self._clock() - began_ns) / 1e9)
            return NoAnswer(why=str(error)) if error.retry_after_s is None else error
        keep(answer)
        self._settle(call, model, answer)
        return answer

    def _settle(self, call: CouncilCall, model: CouncilModel, answer: ModelAnswer) -> None:
        usd = model.cost_usd(answer.input_tokens, answer.output_tokens) if _is_counted(answer) else call.usd
        self.ledger.settle(
            call, "answered", usd=usd,
            input_tokens=answer.input_tokens, output_tokens=answer.output_tokens, latency_s=answer.latency_s,
        )


def _is_counted(answer: ModelAnswer) -> bool:
    """Whether the server said how many tokens it used; where it did not, the call counts as reserved."""
    return answer.input_tokens > 0 and answer.output_tokens > 0


def most_usd(model: CouncilModel, messages: tuple[ChatMessage, ...]) -> float:
    """What a call can cost at most, in USD: a token for each byte sent, and every token of the answer."""
    sent = sum(len(one.text.encode()) + _MESSAGE_TOKENS for one in messages)
    return model.cost_usd(sent, model.max_output_tokens)
