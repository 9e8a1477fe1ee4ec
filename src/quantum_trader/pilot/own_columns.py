"""What the account knows of itself, ``own[symbol, COLUMN]``, in the order of the last features of an observation."""

from __future__ import annotations

from typing import Final

SIDE: Final = 0  # of the symbol's position: 1 long, -1 short, 0 none
SIZE_SHARE: Final = 1  # the position's notional over equity, 0 where there is none
OPEN_R: Final = 2  # unrealised profit in units of the risk taken at the entry, 0 where there is no position
HELD_BARS: Final = 3  # observed bars since the entry, 0 where there is no position
STOP_SHARE: Final = 4  # distance from the price to the stop, a fraction of the price; 0 where there is no position
ACCOUNT_DRAWDOWN: Final = 5  # of equity from its peak, a fraction of 0 or more
ACCOUNT_EXPOSURE: Final = 6  # notional of all positions over equity
LOSSES_IN_A_ROW: Final = 7  # as the governor counts them
CONFIDENCE_IN_FORCE: Final = 8  # the least confidence that trading asks for, 0 to 1
RISK_IN_FORCE: Final = 9  # the largest risk of a trade, percent of equity
GATE_IN_FORCE: Final = 10  # 1: the symbol may be opened, 0: it may not
OWN_SIZE: Final = 11
