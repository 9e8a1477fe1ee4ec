"""Every venue adapter, found by itself, against the one contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from quantum_trader.domain.enums import OrderSide, OrderStatus
from quantum_trader.domain.trading import Fill, OrderUpdate

from .benches import BENCHES
from .venue_contract import COIN, adapters, checks, verify_events

PAIRS = [
    pytest.param(name, check, id=f"{name.replace(' ', '_')}-{check.__name__.removeprefix('check_')}")
    for name, build in BENCHES.items()
    for check in checks(wire=hasattr(build, "ask"))
]


def test_every_adapter_brings_a_bench() -> None:
    """An adapter without a bench fails, and the paper venues are among those found."""
    found, benched = {kind.__name__ for kind in adapters()}, {name.split(maxsplit=1)[0] for name in BENCHES}
    assert found <= benched, "write a bench and add it to BENCHES in tests/contracts/benches.py"
    assert {"PaperVenue", "PaperExecutionAdapter"} <= found


@pytest.mark.parametrize(("name", "check"), PAIRS)
def test_adapter_keeps_the_contract(name: str, check: Callable[[Any], None]) -> None:
    """Each check passes on a fresh bench of the adapter, and its events keep the rules of order."""
    bench = BENCHES[name]()
    try:
        assert type(bench.venue).__name__ == name.split(maxsplit=1)[0]
        check(bench)
        verify_events(bench.published)
    finally:
        bench.close()


def test_events_that_break_the_rules_are_found() -> None:
    """A repeated fill, a status before its fill, and life after the end do not pass."""
    fill = Fill(
        fill_id="1", client_order_id="a", symbol=COIN.symbol, side=OrderSide.BUY, qty=1.0, price=1.0, fee=0.0,
        liquidity="taker", ts_ns=1,
    )
    new, filled = (
        OrderUpdate(
            client_order_id="a", venue_order_id="1", symbol=COIN.symbol, status=status, ts_ns=1, filled_qty=qty
        )
        for status, qty in ((OrderStatus.NEW, 0.0), (OrderStatus.FILLED, 1.0))
    )
    verify_events([new, fill, filled, filled])
    for bad in ([fill, fill], [filled, fill], [fill, filled, new]):
        with pytest.raises(AssertionError):
            verify_events(bad)
