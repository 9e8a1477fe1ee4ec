"""Defects the simulation has found, each as the smallest schedule that showed it; production passes every one."""

from __future__ import annotations

import pytest

from quantum_trader.lab.simulation.schedule import Fault, Kind, Schedule
from quantum_trader.lab.simulation.warm import SYMBOLS
from quantum_trader.lab.simulation.world import run_day


def fault(at_s: float, kind: Kind, on: str = "", count: int = 1, seconds: float = 0.0, value: float = 0.0) -> Fault:
    return Fault(at_s=at_s, kind=kind, on=on, count=count, seconds=seconds, value=value)


DEFECTS = {
    "funding whose message was lost is never booked": Schedule(seed=48, faults=(
        fault(41410.409, Kind.HALT), fault(41426.841, Kind.MESSAGE_LOST, "user", 8),
    )),
    "funding while the trader was down is never booked": Schedule(seed=63, faults=(
        fault(16218.49, Kind.CRASH_IN_ORDER, seconds=381.657, value=2.0),
    )),
    "funding while the stream was down is never booked": Schedule(seed=121, hours=6.0, faults=(
        fault(13611.021, Kind.MESSAGE_LATE, "user", 3, 11.797), fault(14420.484, Kind.DISCONNECT, "user", 1, 88.39),
    )),
    "an intent between bars is sized with the equity of the last bar": Schedule(seed=95, hours=0.75, faults=(
        fault(1805.687, Kind.INTENT, "BTCUSDT", 2, value=-1.0),
    )),
    "a transfer whose message arrives twice counts twice": Schedule(seed=2, hours=6.0, faults=(
        fault(9100.0, Kind.MESSAGE_DUPLICATED, "user"), fault(9101.0, Kind.TRANSFER, "BTCUSDT", value=2000.0),
    )),
    "a leverage that was lowered without a message is not read back": Schedule(seed=1, hours=12.0, faults=(
        fault(14000.0, Kind.SILENCE, "user", seconds=20000.0),
        *(fault(14001.0, Kind.LEVERAGE_KEPT, symbol, value=2.0) for symbol in SYMBOLS),
    )),
    "a position whose fill message arrives after a flatten stays open": Schedule(seed=5, hours=6.0, faults=(
        fault(5399.518, Kind.MESSAGE_REORDERED, "user", 8, 19.739), fault(12599.645, Kind.FLATTEN),
    )),
    "an opening on its way when a flatten comes stays open": Schedule(seed=7, hours=6.0, faults=(
        fault(3599.007, Kind.SLOW, "leverage", 3, 5.197), fault(16200.176, Kind.FLATTEN),
    )),
    "a part that fills while another closes has neither stop nor close": Schedule(seed=5, hours=3.0, faults=(
        fault(1800.07, Kind.PARTIAL_FILLS, "ETHUSDT", seconds=6514.936), fault(1800.906, Kind.STOP_REFUSED, count=6),
    )),
    "an order id is used again after a full disk and a crash": Schedule(seed=5, hours=1.5, faults=(
        fault(1799.971, Kind.CRASH_IN_ORDER, seconds=2281.363, value=26.0), fault(1803.8, Kind.DISK_FULL, count=6),
        fault(3599.986, Kind.CRASH_IN_ORDER, seconds=0.256, value=8.0),
    )),
    "a losing streak between two bars is an EMERGENCY only from the next bar on": Schedule(seed=5, hours=4.0, faults=(
        fault(3599.5, Kind.INTENT, "XRPUSDT"), fault(3601.0, Kind.INTENT, "BTCUSDT", value=1.0),
        fault(5401.0, Kind.INTENT, "ETHUSDT"), fault(5800.0, Kind.INTENT, "BTCUSDT"),
        fault(7199.5, Kind.INTENT, "BTCUSDT", 3), fault(10801.0, Kind.INTENT, "XRPUSDT", value=1.0),
        fault(11200.0, Kind.INTENT, "BTCUSDT", 3, value=1.0),
    )),
    "records that cannot be written in a recovery change what it decides": Schedule(seed=528, hours=3.0, faults=(
        fault(3024.581, Kind.SYMBOL_HALTED, "BTCUSDT", seconds=4232.323),
        fault(6827.08, Kind.CRASH_IN_ORDER, seconds=2395.344, value=20.0), fault(8996.69, Kind.RECORDS_FULL, count=6),
    )),
    "a stop stays behind the liquidation price that a raised leverage has moved": Schedule(seed=1, hours=2.0, faults=(
        fault(7200.026, Kind.SERVER_ERROR, "submit", 5), fault(7202.431, Kind.LEVERAGE_RAISED, "ETHUSDT", value=23.0),
    )),
    "a close that fills in parts does not count where the liquidation comes before the stop": Schedule(
        seed=1, hours=12.0, faults=(
            fault(27001.36, Kind.PARTIAL_FILLS, "ETHUSDT", seconds=9508.516),
            fault(30613.859, Kind.LEVERAGE_RAISED, "ETHUSDT", value=32.8073),
            fault(30616.525, Kind.BACKEND_TIMEOUT, "submit", 5, 3.433),
        ),
    ),
    "a transfer that was booked and never written down counts as booked before": Schedule(seed=35, hours=6.0, faults=(
        fault(14230.01, Kind.CRASH, seconds=0.349, value=36.0), fault(14259.581, Kind.DISK_FULL, count=6),
        fault(14271.202, Kind.TRANSFER, "BTCUSDT", value=1078.1473),
    )),
    "a position has no stop after a start until a stream message arrives": Schedule(seed=15, hours=2.0, faults=(
        fault(1799.0, Kind.CRASH_IN_ORDER, seconds=3.0, value=4.0),
        fault(1800.3, Kind.DISCONNECT, "user", seconds=900.0),
    )),
}


@pytest.mark.parametrize("defect", list(DEFECTS))
def test_a_defect_that_was_mended_stays_mended(defect: str) -> None:
    """The day that showed it runs to its end and breaks nothing."""
    assert run_day(DEFECTS[defect]).finding is None
