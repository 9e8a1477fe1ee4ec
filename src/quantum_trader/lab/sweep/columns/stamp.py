"""Columns of ``Desk.stamps`` (S, SIZE): the whole numbers of a symbol's position, and of what models wait for.

FUNDED counts the funding times paid. STOPPED is the direction of the target that a stop has taken the symbol out of, 0:
none. AGAIN is 1 where a target waits for the opposite position to close. REFUSED is the decision code of the target
that was refused last, with its direction as the sign; 0: none. RESTS_UNTIL is the time from which an entry that rests
post-only goes to market.
"""

from __future__ import annotations

ENTRY_NS, FUNDED, SIGNAL, STOPPED, AGAIN, REFUSED, RESTS_UNTIL, SIZE = range(8)
