"""Reads of a run as it was at a time: they tell what it told at that time, and nothing of what came later."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra `serve`")
import msgspec
from starlette.testclient import TestClient
from tests.app.api.clients import bearer, client_of, refusal, token_of

from quantum_trader.app.api.access import AccessSettings
from quantum_trader.app.api.tokens import Role
from quantum_trader.app.runs import replay
from quantum_trader.app.runs.past_state import rules_over_time
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import DataSettings, RunSettings
from quantum_trader.domain.clock import NS_PER_HOUR, iso
from quantum_trader.policy.profiles import packaged_names

NOT_ON_RECORD = ("first_stop", "liquidation_price")
FUNDING_NS = 8 * NS_PER_HOUR
LISTS = ("decisions", "fills", "trades", "policy/history")
MIDDLE = "2018-04-10T12:00:00"


class Reading(msgspec.Struct):
    """What the API told of a run at one time of its market."""

    status: dict[str, Any]
    policy: dict[str, Any]
    halts: list[Any]
    equity: dict[str, Any]
    lists: dict[str, Any]

    @property
    def at(self) -> str:
        """The time."""
        return iso(self.status["as_of_ns"])


def read_now(client: TestClient) -> Reading:
    """Everything that a page shows at a time, as it is now."""
    def got(road: str) -> Any:
        return client.get(f"/api/v1/{road}").json()

    return Reading(
        status=got("status"), policy=got("policy")["policy"], halts=got("halts")["halts"],
        equity=got("equity")["points"][-1], lists={road: got(f"{road}?limit=50")["rows"] for road in LISTS},
    )


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[TestClient, list[Reading]]:
    """A client of a finished replay, and what the API told while it ran, at several of its checkpoints."""
    folder, found = tmp_path_factory.mktemp("past") / "run", []
    settings = RunSettings(data=DataSettings(symbols=("BTCUSDT", "ETHUSDT"), start="2018-03-01", end="2018-04-30"))
    moments = 0

    def look(close_ns: int) -> None:
        nonlocal moments
        moments += 1
        if moments % (32 * 10) == 1 and moments > 1:  # right after a checkpoint
            found.append(read_now(client_of(folder)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay, "_CHECKPOINT_EVERY_S", -1.0)
        replay.run(settings, RunOptions(state_dir=folder), pace=look)
    return client_of(folder), found


def past(client: TestClient, at: str) -> dict[str, Any]:
    """The state at a time."""
    answer = client.get("/api/v1/past", params={"at": at})
    assert answer.status_code == 200, answer.text
    built: dict[str, Any] = answer.json()
    return built


def known(position: dict[str, Any], *, with_funding: bool = True) -> dict[str, Any]:
    """A position without what is not on record."""
    left_out = NOT_ON_RECORD if with_funding else (*NOT_ON_RECORD, "funding")
    return {key: value for key, value in position.items() if key not in left_out}


@pytest.mark.long
def test_a_past_state_is_what_the_run_told_at_that_time(watched: tuple[TestClient, list[Reading]]) -> None:
    """Positions with their stops, prices, fees and funding, policy, halts and equity, to the last digit."""
    client, readings = watched
    assert len(readings) >= 8
    assert sum(bool(one.status["positions"]) for one in readings) >= 3
    assert any(one.status["as_of_ns"] % NS_PER_HOUR == 0 for one in readings)
    for one in readings:
        found = past(client, one.at)
        is_due = one.status["as_of_ns"] % FUNDING_NS == 0  # paid at this very moment, after the status was written
        then, told = ([known(line, with_funding=not is_due) for line in lines]
                      for lines in (found["positions"], one.status["positions"]))
        assert then == told, one.at
        assert found["policy"] == one.policy
        assert found["halts"] == one.halts
        assert found["equity"] == one.equity
        assert found["start_equity"] == one.status["result"]["start_equity"]
        if one.status["as_of_ns"] % NS_PER_HOUR:  # between two samples of the equity
            continue
        assert found["equity"]["equity"] == one.status["equity"]
        assert found["deepest_drawdown"] * 100.0 == pytest.approx(one.status["result"]["deepest_drawdown_pct"])


@pytest.mark.long
def test_lists_and_the_equity_end_at_the_time_that_is_asked_for(watched: tuple[TestClient, list[Reading]]) -> None:
    """`as_of` gives the rows that stood on the page then."""
    client, readings = watched
    for one in readings:
        for road in LISTS:
            rows = client.get(f"/api/v1/{road}", params={"limit": 50, "as_of": one.at}).json()["rows"]
            assert rows == one.lists[road], (road, one.at)
        points = client.get("/api/v1/equity", params={"as_of": one.at}).json()["points"]
        assert points[-1] == one.equity


def test_the_past_before_the_run_holds_nothing(client: TestClient) -> None:
    """No position, no policy, no equity; a time that is none is refused with its key."""
    found = past(client, "2017-01-01T00:00:00")
    assert (found["positions"], found["policy"], found["equity"], found["regimes"]) == ([], None, None, {})
    assert found["first_ns"] < found["last_ns"]
    status, _, message = refusal(client.get("/api/v1/past?at=x"))
    assert (status, message.partition(" ")[0]) == (400, "at")
    assert refusal(client.get("/api/v1/past"))[0] == 400


def test_the_newest_moment_of_the_past_is_the_status(client: TestClient) -> None:
    """At the end of a finished run both tell the same positions."""
    status = client.get("/api/v1/status").json()
    found = past(client, iso(status["as_of_ns"]))
    assert found["positions"]
    assert [known(one) for one in found["positions"]] == [known(one) for one in status["positions"]]
    assert found["equity"]["equity"] == status["equity"]


# ---- market states -------------------------------------------------------------------------------------------------
def candles(client: TestClient, **query: Any) -> dict[str, Any]:
    """Candles of ETHUSDT."""
    answer = client.get("/api/v1/candles", params={"symbol": "ETHUSDT", **query})
    assert answer.status_code == 200, answer.text
    built: dict[str, Any] = answer.json()
    return built


def test_market_states_cover_the_candles_and_are_those_of_the_journal(client: TestClient) -> None:
    """Without a gap, and each begins where the journal says that the state changed."""
    found = candles(client, limit=5000)
    spans, end_ns = found["regimes"], found["candles"][-1]["ts_ns"] + found["length_ns"]
    rows = client.get("/api/v1/regimes", params={"symbol": "ETHUSDT", "limit": 1000}).json()["rows"]
    changes = {row["ts_ns"]: row["after"] for row in rows}
    assert len(spans) > 10
    assert spans[-1]["to_ns"] == end_ns
    for before, after in pairwise(spans):
        assert before["to_ns"] == after["from_ns"]
    for one in spans:
        assert one["regime"] == changes[max(ts_ns for ts_ns in changes if ts_ns <= one["from_ns"])]


def test_a_candle_has_at_most_one_change_of_the_market_state(client: TestClient) -> None:
    """Of several changes within a day the last one is told, so that there are never more of them than candles."""
    found = candles(client, timeframe="1d", limit=5000)
    first_ns, length_ns = found["candles"][0]["ts_ns"], found["length_ns"]
    rows = client.get("/api/v1/regimes", params={"symbol": "ETHUSDT", "limit": 1000}).json()["rows"]
    last = {(row["ts_ns"] - first_ns) // length_ns: row["ts_ns"] for row in reversed(rows)}
    assert len(last) < len(rows)
    assert [one["from_ns"] for one in found["regimes"]] == sorted(last.values())


def test_candles_end_at_the_time_that_is_asked_for(client: TestClient) -> None:
    """The last is of bars that were complete then; neither it nor a mark tells of later."""
    whole, cut = candles(client, limit=5000), candles(client, limit=100, as_of=MIDDLE)
    at_ns = past(client, MIDDLE)["at_ns"]
    last = cut["candles"][-1]
    assert last["ts_ns"] + cut["length_ns"] == at_ns
    assert cut["candles"] == [one for one in whole["candles"] if one["ts_ns"] <= last["ts_ns"]][-100:]
    assert cut["regimes"][-1]["to_ns"] == at_ns
    days = candles(client, limit=5, timeframe="1d", as_of=MIDDLE)["candles"]
    inside = [one for one in cut["candles"] if one["ts_ns"] >= days[-1]["ts_ns"]]
    assert days[-1]["close"] == inside[-1]["close"]
    assert days[-1]["high"] == max(one["high"] for one in inside)


# ---- policy, profiles, gates -----------------------------------------------------------------------------------------
def test_rules_over_time_are_those_of_the_policies(client: TestClient, folder: Path) -> None:
    """The share of a rule is the time of the policies that name it; its spans lie within what was asked for."""
    found = client.get("/api/v1/policy/rules").json()
    rows = client.get("/api/v1/policy/history?limit=1000").json()["rows"][::-1]
    ends = [row["ts_ns"] for row in rows[1:]] + [found["to_ns"]]
    for rule in found["rules"]:
        held = sum(
            end - row["ts_ns"] for row, end in zip(rows, ends, strict=True)
            if any(one["rule"] == rule["rule"] for one in msgspec.json.decode(row["rules"]))
        )
        assert rule["share"] == pytest.approx(held / (found["to_ns"] - found["from_ns"]))
        assert all(found["from_ns"] <= a < b <= found["to_ns"] for a, b in rule["spans"])
    assert {"A", "P2"} <= {one["rule"] for one in found["rules"]}
    part = client.get("/api/v1/policy/rules", params={"since": "2018-04-01", "as_of": MIDDLE, "pieces": 10}).json()
    assert part["to_ns"] == past(client, MIDDLE)["at_ns"]
    assert all(len(one["spans"]) <= 5 for one in part["rules"])


def test_profiles_stand_side_by_side_with_the_runs_own_named(client: TestClient) -> None:
    """Every profile is there, what differs is marked, and the run's is one of them."""
    found = client.get("/api/v1/profiles").json()
    assert set(found["names"]) == set(packaged_names())
    assert found["in_force"] in found["names"]
    rows = {one["setting"]: one for one in found["settings"]}
    risk = rows["core.base_risk_pct"]
    assert risk["differs"]
    assert len(risk["values"]) == len(found["names"])
    assert all(one["differs"] == (len({str(value) for value in one["values"]}) > 1) for one in rows.values())


def test_a_change_of_the_gates_is_shown_before_it_is_made_as_it_is_recorded_after(folder: Path) -> None:
    """The effect that was shown is the one that stands beside the change; looking changes nothing."""
    client, token = client_of(folder), token_of(folder, Role.OWNER)
    values = {"trend.max_spread_bps": "3", "trend.min_confidence": "0.7"}
    shown = client.post("/api/v1/gates/preview", json={"values": values}).json()
    assert client.get("/api/v1/gates").json()["revision"] == 0
    assert shown["errors"] == {}
    assert (shown["before"]["trend.max_spread_bps"], shown["after"]["trend.max_spread_bps"]) == (10.0, 3.0)
    assert {one["key"] for one in shown["thresholds"]} == {"max_spread_bps", "min_confidence"}
    assert all(one["after"]["passed"] <= one["before"]["passed"] for one in shown["thresholds"])
    made = client.put("/api/v1/gates", json={"values": values, "reason": "tighter"}, headers=bearer(token)).json()
    assert made["effect"] == shown["effect"]
    assert made["after"] == shown["after"]


@pytest.mark.parametrize(("key", "value", "named"), [
    ("trend.max_spread_bps", "x", "must be a number"), ("trend.max_spread_bps", "-1", "0 to 1000"),
    ("trend.regimes", "SIDEWAYS", "no regime"), ("nonsense", "1", "unknown key"),
    ("enforced", "spread", "gates enforce"),
])
def test_each_wrong_setting_of_the_gates_is_named(client: TestClient, key: str, value: str, named: str) -> None:
    """The error stands under its own key, and the right one beside it has none."""
    answer = client.post("/api/v1/gates/preview", json={"values": {key: value, "mode": "trend"}})
    found = answer.json()
    assert list(found["errors"]) == [key]
    assert named in found["errors"][key]
    assert found["effect"] is None


def test_who_asks_is_told_what_that_allows(folder: Path) -> None:
    """A public view says so; a token tells its role."""
    public = client_of(folder, AccessSettings(is_read_public=True))
    token = token_of(folder, Role.TRADER, "phone")
    assert public.get("/api/v1/access").json() == {
        "name": "nobody", "role": "viewer", "has_token": False, "is_read_public": True,
    }
    assert public.get("/api/v1/access", headers=bearer(token)).json() == {
        "name": "phone", "role": "trader", "has_token": True, "is_read_public": True,
    }
    assert client_of(folder).get("/api/v1/access").json()["is_read_public"] is False


def test_no_time_between_two_equal_times_is_divided(client: TestClient, folder: Path) -> None:
    """A span of no length is answered with no share of more than nothing."""
    from quantum_trader.journal.lake import journal_of

    at_ns = past(client, MIDDLE)["at_ns"]
    found = rules_over_time(journal_of(folder), at_ns, at_ns, 10)
    assert all(one.share == 0.0 for one in found.rules)
