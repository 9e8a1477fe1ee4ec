"""Places of ``Desk.counts`` (SIZE,): the whole numbers of one setting under way."""

from __future__ import annotations

(
    HELD, PENDING, WAITING, OPENED, TRADES, LOSING, BROKEN, WINS, LEVEL, LOSS_HALTED, BLOCKED, REDUCED, RESULTS,
    EVALUATED, SHADOW_WINS, LAST_CLOSE, ERROR, SIZE,
) = range(18)  # RESULTS: a symbol's results changed; EVALUATED: slots in all
