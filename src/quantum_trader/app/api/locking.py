"""A request that keeps entries out of one symbol until a time, checked; the API's own road and freqtrade's make it."""

from __future__ import annotations

from collections.abc import Sequence

from quantum_trader.app.api.errors import ApiError
from quantum_trader.app.api.reader import query_time_ns
from quantum_trader.app.runs.operator_requests import Action, OperatorRequest
from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.errors import brief


def lock_request(
    stated: tuple[str, str], symbol: str, until: str, symbols: Sequence[str], *, reason: str, actor: str, now_ns: int
) -> OperatorRequest:
    """A lock of *symbol* until the time *until*, rounded up to a second.

    *stated*: the key that named the symbol, and its value, for the refusal. Raises ApiError for a symbol that is not
    among *symbols*, and for a time that is none or is over.
    """
    if symbol not in symbols:
        raise ApiError(400, f"{stated[0]} = {brief(stated[1])}: the run does not trade it")
    until_ns = -(-query_time_ns("until", until) // NS_PER_SECOND) * NS_PER_SECOND
    if until_ns <= now_ns:
        raise ApiError(400, f"until = {brief(until)}: is over; give a time that is to come")
    return OperatorRequest(
        action=Action.LOCK, reason=reason, actor=actor, ts_ns=now_ns, symbol=symbol, until_ns=until_ns
    )
