"""The road to candles: bars joined to longer ones, with the signals that were allowed."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="needs the extra `serve`")
from starlette.testclient import TestClient

PATH = "/api/v1/candles"
DAY_NS = 86_400_000_000_000


def test_candles_of_a_day_are_made_of_the_runs_bars(client: TestClient) -> None:
    """Open of the first, close of the last, highest, lowest and the volume of all bars of the day."""
    bars = client.get(PATH, params={"symbol": "BTCUSDT", "limit": 480}).json()
    days = client.get(PATH, params={"symbol": "BTCUSDT", "timeframe": "1d", "limit": 5}).json()
    assert bars["length_ns"] == DAY_NS // 48
    assert len(days["candles"]) == 5
    for day in days["candles"][1:4]:
        inside = [one for one in bars["candles"] if day["ts_ns"] <= one["ts_ns"] < day["ts_ns"] + DAY_NS]
        assert len(inside) > 40
        assert (day["open"], day["close"]) == (inside[0]["open"], inside[-1]["close"])
        assert (day["high"], day["low"]) == (max(one["high"] for one in inside), min(one["low"] for one in inside))
        assert day["volume"] == pytest.approx(sum(one["volume"] for one in inside))


def test_allowed_signals_stand_in_their_candles(client: TestClient) -> None:
    """As many candles are marked as moments had an allowed signal."""
    found = client.get(PATH, params={"symbol": "BTCUSDT", "limit": 5000}).json()["candles"]
    rows = client.get("/api/v1/decisions", params={"symbol": "BTCUSDT", "limit": 1000}).json()["rows"]
    allowed = {row["ts_ns"] for row in rows if row["decision"] == "ALLOWED"}
    assert allowed
    assert sum(one["long"] or one["short"] for one in found) == len(allowed)


@pytest.mark.parametrize(("given", "status", "named"), [
    ({"symbol": "NOSUCH"}, 404, "does not trade it"), ({"symbol": "BTCUSDT", "timeframe": "7m"}, 400, "use one of"),
    ({"symbol": "BTCUSDT", "limit": "5001"}, 400, "limit"), ({}, 400, "symbol"),
])
def test_what_cannot_be_shown_is_refused_with_the_reason(
    client: TestClient, given: dict[str, str], status: int, named: str
) -> None:
    """The message names the value and what to do."""
    answer = client.get(PATH, params=given)
    assert answer.status_code == status
    assert named in answer.json()["error"]["message"]
