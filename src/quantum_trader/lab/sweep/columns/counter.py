"""Places of ``Desk.counts`` (SIZE,): the whole numbers of one setting under way."""

from __future__ import annotations

(
    HELD, PENDING, WAITING, OPENED, TRADES, LOSING, BROKEN, WINS, LEVEL, LOSS_HALTED, BLOCKED, REDUCED, RESULTS,
    EVALUATED, SHADOW_WINS, LAST_CLOSE, ERROR, SIGNALS, AGAIN, SHADOWS, SHADOWS_WON, SHADOWS_LOST, SIZE,
) = range(23)  # RESULTS: a symbol's results changed; EVALUATED: slots in all; SIGNALS, AGAIN: of models
# SHADOWS to SHADOWS_LOST: shadow trades of all signals, and of them those with a profit and with a loss
