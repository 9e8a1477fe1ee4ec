"""flatten --now and status --venue: acting at the venue while the process is dead."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from tests.app.fake_account import FakeAccount, protected_account
from typer.testing import CliRunner, Result

from quantum_trader.app.cli.main import app
from quantum_trader.app.cli.operator import unprotected
from quantum_trader.app.runs import direct
from quantum_trader.app.runs.direct import DirectLog, look, read_direct
from quantum_trader.app.runs.flatten import DirectAction, flatten_account
from quantum_trader.app.runs.live_settings import LiveMode, LiveSettings, bind_folder
from quantum_trader.app.runs.operator_requests import Action, OperatorRequests
from quantum_trader.app.runs.state_dir import StateDir
from quantum_trader.app.runs.status import STOPPED, LiveStatus, OrderLine, PositionLine, read_status, write_status
from quantum_trader.domain.errors import StateError, VenueUnavailable

KEYS = {"QT_LOCAL_KEY": "local-key-abcdefghij", "QT_LOCAL_SECRET": "local-secret-abcdefghij"}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> FakeAccount:
    """An account in place of the venue, on its own clock; keys in the environment."""
    made = protected_account()
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    wiring = SimpleNamespace(venue_for=lambda live, keys, closing: made)
    monkeypatch.setitem(sys.modules, "quantum_trader.app.runs.live", wiring)

    async def flatten(venue: FakeAccount, now_ns: object, report: object, *, deadline_s: float) -> object:
        return await flatten_account(venue, venue.now_ns, report, deadline_s=deadline_s, pause=venue.pause)

    monkeypatch.setattr(direct, "flatten_account", flatten)
    return made


def folder(path: Path, mode: LiveMode = LiveMode.LOCAL) -> Path:
    """A live folder whose process is dead."""
    (path / "lock").touch(0o600)
    bind_folder(path, LiveSettings(mode=mode, address="http://127.0.0.1:8080" if mode is LiveMode.LOCAL else ""))
    return path


def call(state: Path, *words: str) -> Result:
    """One command on *state*."""
    return CliRunner().invoke(app, [*words, "--state", str(state)])


@pytest.fixture
def unwritable(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """A folder in which files can be read alone: of a read-only file system, or of a full one (its lock is there)."""
    number: int = request.param
    open_as_it_is = os.open

    def refuse(path: object, flags: int, *more: int, **named: int) -> int:
        writes = flags & (os.O_WRONLY | os.O_RDWR)
        there = number == errno.ENOSPC and str(path).endswith("lock")  # a full disk opens what is there
        if writes and not there and str(path).startswith(str(tmp_path)):
            raise OSError(number, os.strerror(number), str(path))
        return open_as_it_is(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", refuse)
    return number


UNWRITABLE = pytest.mark.parametrize("unwritable", [errno.EROFS, errno.ENOSPC], indirect=True)


@pytest.fixture
def keys_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several commands in one process: the first one does not take the keys from the environment."""
    monkeypatch.setattr("quantum_trader.app.process_guard.forget_keys", lambda environ: None)


@pytest.fixture
def bound(tmp_path: Path) -> Path:
    """A live folder whose process is dead, from before its disk took nothing more."""
    return folder(tmp_path)


@UNWRITABLE
@pytest.mark.usefixtures("keys_stay")
def test_closing_works_where_nothing_can_be_noted(account: FakeAccount, bound: Path, unwritable: int) -> None:
    """Flat, exit 0; each step is shown as not recorded, and the last line does not claim a halt."""
    result = call(bound, "flatten", "--now", "--reason", "x")
    assert result.exit_code == 0, result.output
    assert not any(account.held.values())
    assert account.resting == {}
    assert f"not recorded: {os.strerror(unwritable)}" in result.stderr
    assert "NOT halted" in result.stdout
    assert "halted until resume" not in result.output
    assert OperatorRequests(bound, 0).poll() == []
    told = msgspec.json.decode(call(bound, "flatten", "--now", "--reason", "x", "--json").stdout)
    assert told["halt_noted"] is False


def test_a_disk_freed_meanwhile_takes_the_halt(
    account: FakeAccount, bound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is tried again at the end."""
    asked, ask = [], direct.ask

    def full_once(*arguments: object) -> None:
        asked.append(arguments)
        if len(asked) == 1:
            raise StateError("operator.jsonl: cannot be written (No space left on device)")
        ask(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(direct, "ask", full_once)
    assert "halted until resume" in call(bound, "flatten", "--now", "--reason", "x").stdout
    assert len(OperatorRequests(bound, 0).poll()) == 1


@UNWRITABLE
def test_a_folder_held_read_only_keeps_others_out(bound: Path, unwritable: int) -> None:
    """Its lock is taken all the same; a start asks for a writable folder."""
    held = StateDir(bound, or_read_only=True)
    with pytest.raises(StateError, match="another run is using|choose a writable folder"):
        StateDir(bound)
    with pytest.raises(StateError, match="another run is using"):
        StateDir(bound, or_read_only=True)
    held.close()


@pytest.mark.parametrize("unwritable", [errno.ENOSPC], indirect=True)
@pytest.mark.parametrize("words", [("halt",), ("flatten",), ("flatten", "--now")])
def test_a_request_that_a_full_disk_refuses_names_the_way_that_is_left(
    words: tuple[str, ...], account: FakeAccount, bound: Path, unwritable: int
) -> None:
    """Of a process that lives: stop it, then flatten --now; of a dead one: flatten --now."""
    held = StateDir(bound)
    alive = call(bound, *words, "--reason", "x")
    held.close()
    assert alive.exit_code == 2
    assert "the request was not recorded" in alive.stderr
    assert f"stop the process (kill -TERM {os.getpid()}), then quantum-trader flatten --now" in alive.stderr
    assert account.calls["connect"] == 0
    if "--now" not in words:
        dead = call(bound, *words, "--reason", "x")
        assert dead.exit_code == 2
        assert "quantum-trader flatten --now" in dead.stderr
        assert "stop the process" not in dead.stderr


def say(state: Path, *held: tuple[str, str, float]) -> None:
    """A last word that knows of *held* positions and of every order of the account."""
    write_status(state, LiveStatus(
        written_ns=1, pid=1, started_ns=1, mode="LOCAL", endpoint="local", stage=STOPPED, equity_ns=1,
        positions=tuple(PositionLine(symbol=s, side=side, qty=qty, entry_price=100.0) for s, side, qty in held),
        orders=tuple(
            OrderLine(client_order_id=name, symbol="AAAUSDT", purpose="", qty=1.0)
            for name in ("qt-stop-a", "qt-target-a", "qt-stop-b", "qt-open", "manual")
        ),
    ))


@pytest.mark.usefixtures("keys_stay")
def test_what_the_venue_holds_and_the_folder_does_not_know_is_a_problem(account: FakeAccount, bound: Path) -> None:
    """A position that the folder lacks, of another size, or gone; an order that the folder does not list."""
    known = ("BBBUSDT", "SHORT", 0.5)
    say(bound, ("AAAUSDT", "LONG", 2.0), known)
    assert "the folder says" not in call(bound, "status", "--venue").stdout
    for told, says in (((), "+0"), ((("AAAUSDT", "LONG", 1.5),), "+1.5"), ((("AAAUSDT", "SHORT", 2.0),), "-2")):
        say(bound, *told, known)
        result = call(bound, "status", "--venue")
        problem = f"PROBLEM      AAAUSDT: the venue holds +2, the folder says {says}; restart with the same command"
        assert problem in result.stdout
        assert result.exit_code == 1
    say(bound, ("AAAUSDT", "LONG", 2.0), known, ("CCCUSDT", "LONG", 1.0))
    assert "PROBLEM      CCCUSDT: the venue holds +0, the folder says +1" in call(bound, "status", "--venue").stdout
    account.resting["other"] = msgspec.structs.replace(account.resting["manual"], client_order_id="other")
    say(bound, ("AAAUSDT", "LONG", 2.0), known)
    assert "BBBUSDT: the venue has order other, which the folder does" in call(bound, "status", "--venue").stdout


@pytest.mark.usefixtures("keys_stay")
def test_what_differs_from_a_living_process_is_looked_at_again(
    account: FakeAccount, bound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status may be older than the venue's latest fill, so it is read again; a lasting difference is a problem."""
    both = (("AAAUSDT", "LONG", 2.0), ("BBBUSDT", "SHORT", 0.5))
    say(bound)
    held = StateDir(bound)
    waited: list[float] = []
    monkeypatch.setattr("quantum_trader.app.cli.operator.time.sleep", lambda s: (waited.append(s), say(bound, *both)))
    assert "the folder says" not in call(bound, "status", "--venue").stdout
    say(bound)
    monkeypatch.setattr("quantum_trader.app.cli.operator.time.sleep", waited.append)
    stays = call(bound, "status", "--venue").stdout
    held.close()
    assert "AAAUSDT: the venue holds +2, the folder says +0; check again in a minute" in stays
    assert waited == [3.0, 3.0]


@pytest.mark.parametrize("why", ["unreachable", "keys"])
@pytest.mark.parametrize("as_json", [False, True])
def test_without_the_venue_status_shows_the_folder_and_then_the_error(
    why: str, as_json: bool, account: FakeAccount, bound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, and what the folder knows of positions is there to read."""
    say(bound, ("AAAUSDT", "LONG", 2.0))
    account.faults["connect"] = [VenueUnavailable("connection refused")]
    if why == "keys":
        monkeypatch.delenv("QT_LOCAL_KEY")
    result = call(bound, "status", "--venue", *(["--json"] if as_json else []))
    assert result.exit_code == 2
    assert "AAAUSDT" in result.stdout
    assert ("connection refused" if why == "unreachable" else "QT_LOCAL_KEY") in result.stderr


def test_flatten_now_closes_everything_and_leaves_it_on_record(account: FakeAccount, tmp_path: Path) -> None:
    """Flat, exit 0; a request that the next start takes; each step in a private file; no key anywhere."""
    write_status(folder(tmp_path), LiveStatus(written_ns=1, pid=1, started_ns=1, mode="LOCAL", endpoint="local"))
    result = call(tmp_path, "flatten", "--now", "--reason", "power cut")
    assert result.exit_code == 0, result.output
    assert not any(account.held.values())
    assert account.resting == {}
    assert not account.open
    asked = OperatorRequests(tmp_path, 0).poll()
    assert [(one.action, one.reason) for one in asked] == [(Action.FLATTEN, "power cut")]
    steps = read_direct(tmp_path)
    assert [step.step for step in steps].count("send") == 2
    assert steps[-1].step == "flat"
    assert (tmp_path / "direct_actions.jsonl").stat().st_mode & 0o777 == 0o600
    status = read_status(tmp_path)
    assert status is not None
    assert status.positions == ()
    assert status.stage == "flattened by hand"
    assert "send AAAUSDT -2" in result.stderr
    assert all(value not in result.output for value in KEYS.values())


def test_positions_the_run_does_not_trade_are_closed_too(account: FakeAccount, tmp_path: Path) -> None:
    """One connection takes closing orders of every symbol."""
    account.symbols = ("AAAUSDT",)
    result = call(folder(tmp_path), "flatten", "--now", "--reason", "x")
    assert result.exit_code == 0, result.output
    assert account.calls["connect"] == 1
    assert not any(account.held.values())


def test_what_cannot_be_closed_is_named_and_the_rest_is_closed(account: FakeAccount, tmp_path: Path) -> None:
    """The venue refuses one symbol's orders; the symbols of the run are closed all the same."""
    account.symbols = ("AAAUSDT",)
    account.refuses = ("BBBUSDT",)
    result = call(folder(tmp_path), "flatten", "--now", "--reason", "x", "--deadline", "15")
    assert result.exit_code == 1
    assert "BBBUSDT -0.5 is open (symbol = 'BBBUSDT': not connected)" in result.output
    assert account.held["AAAUSDT"] == 0.0


def test_flatten_now_that_does_not_get_flat_says_so(account: FakeAccount, tmp_path: Path) -> None:
    """Exit 1, and JSON names what is left."""
    account.faults["submit_order"] = ["-4108 halted"] * 500
    result = call(folder(tmp_path), "flatten", "--now", "--reason", "x", "--deadline", "20", "--json")
    assert result.exit_code == 1
    told = msgspec.json.decode(result.stdout)
    assert not told["flat"]
    assert {held["symbol"] for held in told["positions"]} == {"AAAUSDT", "BBBUSDT"}


def test_flatten_now_leaves_it_to_a_process_that_lives(account: FakeAccount, tmp_path: Path) -> None:
    """The request is noted; nothing is done at the venue."""
    held = StateDir(folder(tmp_path))
    try:
        result = call(tmp_path, "flatten", "--now", "--reason", "x")
    finally:
        held.close()
    assert result.exit_code == 1
    assert "is alive" in result.stderr
    assert account.calls["connect"] == 0
    assert len(OperatorRequests(tmp_path, 0).poll()) == 1


def test_the_folder_is_held_meanwhile(account: FakeAccount, tmp_path: Path) -> None:
    """A start in between would be refused."""
    held: list[bool] = []

    def try_to_start() -> None:
        from quantum_trader.app.runs.status import is_alive

        held.append(is_alive(tmp_path))

    account.on_look = try_to_start
    assert call(folder(tmp_path), "flatten", "--now", "--reason", "x").exit_code == 0
    assert held
    assert all(held)


def test_an_unreachable_venue_is_told(account: FakeAccount, tmp_path: Path) -> None:
    """Tried until the deadline; one line, exit 2; the request still waits for the next start."""
    account.faults["connect"] = [VenueUnavailable("connection refused")] * 20
    result = call(folder(tmp_path), "flatten", "--now", "--reason", "x", "--deadline", "1")
    assert account.calls["connect"] == 2
    assert result.exit_code == 2
    assert "NOT flat: the venue was not reached (connection refused)" in result.stderr
    assert len(OperatorRequests(tmp_path, 0).poll()) == 1


def test_a_folder_that_lost_its_lock_is_closed_all_the_same(account: FakeAccount, bound: Path) -> None:
    """What it trades is known from the file beside it."""
    (bound / "lock").unlink()
    assert call(bound, "flatten", "--now", "--reason", "x").exit_code == 0
    assert not any(account.held.values())


def test_a_venue_that_comes_back_is_used(account: FakeAccount, tmp_path: Path) -> None:
    """Refused once, and once while it was asked for other symbols: flat all the same."""
    account.faults["connect"] = [VenueUnavailable("429")]
    account.faults["get_positions"] = [VenueUnavailable("429", 1.0)]
    assert call(folder(tmp_path), "flatten", "--now", "--reason", "x").exit_code == 0
    assert not any(account.held.values())


def test_a_dry_run_or_a_replay_has_no_venue_to_ask(account: FakeAccount, tmp_path: Path) -> None:
    """The message says what to do instead, and nothing was noted."""
    dry, replay = tmp_path / "dry", tmp_path / "replay"
    for path in (dry, replay):
        path.mkdir()
        (path / "lock").touch()
    bind_folder(dry, LiveSettings())
    for path, what in ((dry, "dry run"), (replay, "replay")):
        result = call(path, "flatten", "--now", "--reason", "x")
        assert result.exit_code == 2
        assert what in result.stderr
        assert not (path / "operator.jsonl").exists()
    assert account.calls["connect"] == 0


def test_missing_keys_stop_flatten_now_before_anything_is_done(
    account: FakeAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the variables."""
    monkeypatch.delenv("QT_LOCAL_KEY")
    monkeypatch.delenv("QT_LOCAL_SECRET")
    result = call(folder(tmp_path), "flatten", "--now", "--reason", "x")
    assert result.exit_code == 2
    assert "QT_LOCAL_KEY and QT_LOCAL_SECRET" in result.stderr


def test_status_asks_the_venue_itself(account: FakeAccount, tmp_path: Path) -> None:
    """Positions, orders and which of them are bare, by the venue's own word; exit 1 for a bare one."""
    del account.resting["qt-stop-b"]
    result = call(folder(tmp_path), "status", "--venue")
    assert result.exit_code == 1
    assert "position AAAUSDT +2 from 100, with a stop" in result.stdout
    assert "position BBBUSDT -0.5 from 100, NO STOP" in result.stdout
    assert account.log == []
    assert unprotected(asyncio.run(look(account))) == ["BBBUSDT"]


def test_an_order_that_cannot_stop_the_loss_is_shown_as_no_stop(account: FakeAccount) -> None:
    """A trailing stop, a stop-limit, a stop behind the liquidation."""
    view = asyncio.run(look(account))
    assert unprotected(view) == []
    long = next(one for one in view.positions if one.qty > 0.0)
    stop = next(one for one in view.orders if one.client_order_id == "qt-stop-a")
    for changed in (
        msgspec.structs.replace(stop, stop_price=0.0), msgspec.structs.replace(stop, price=stop.stop_price - 1.0)
    ):
        orders = tuple(changed if one is stop else one for one in view.orders)
        assert unprotected(msgspec.structs.replace(view, orders=orders)) == [long.symbol]
    closer = msgspec.structs.replace(long, liquidation_price=stop.stop_price + 1.0)
    positions = tuple(closer if one is long else one for one in view.positions)
    assert unprotected(msgspec.structs.replace(view, positions=positions)) == [long.symbol]


def test_a_full_disk_does_not_stop_closing(tmp_path: Path) -> None:
    """The step is shown with a note that it is not recorded."""
    shown: list[DirectAction] = []
    log = DirectLog(tmp_path, shown.append)
    log.close()
    log(DirectAction(ts_ns=1, step="send", symbol="AAAUSDT"))
    assert "not recorded" in shown[0].text
    assert read_direct(tmp_path) == []
