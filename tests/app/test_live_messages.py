"""Messages of a live process while it trades and when it stops; a closed terminal changes nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.live.live_world import SYMBOL, World
from tests.properties.live_road import Road, restarted
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs.live import stop_on_signals
from quantum_trader.app.runs.live_messages import LiveWords

_PATIENCE_S = 120


def packed() -> bytes:
    """The checkpoint of a world with bars behind it."""
    world = World().begin()
    world.session.checkpoint()
    assert world.store.content is not None
    return world.store.content


def lines_of(*, close: bool) -> list[str]:
    """What is said of one position opened, and closed by a flatten or left."""
    lines: list[str] = []
    road = Road(restarted(packed()), report=lambda health: words.look(health))
    words = LiveWords(road.driver, lines.append)

    async def script() -> None:
        await road.opened()
        await road.until(lambda: any("opened" in line for line in lines))
        if close:
            road.ask("flatten")
            await road.until(lambda: not road.engine.account.books.positions)
            await road.until(lambda: any("closed" in line for line in lines))
            road.ask("resume")
            await road.until(lambda: any("halt over" in line for line in lines))
        else:
            await road.until(lambda: bool(road.stops()))
        words.stopping()

    road.run(script)
    words.stopped()
    return lines


def test_each_event_is_printed_once_and_in_order() -> None:
    """Ready, opened, halted, closed, resumed, stopped with nothing open."""
    lines = lines_of(close=True)
    assert lines[0] == "ready: books match exchange, 0 positions open"
    starts = [line.split()[0] for line in lines]
    assert [starts.count(word) for word in ("opened", "closed", "ready:", "stopping:")] == [1, 1, 1, 1], lines
    opened, closed = (next(line for line in lines if line.startswith(word)) for word in ("opened", "closed"))
    assert opened.startswith("opened LONG ")
    assert f"{SYMBOL} at " in opened
    assert "(flatten requested)" in closed
    assert closed.endswith(" USDT")
    assert starts.index("opened") < starts.index("closed")
    assert any(line.startswith("halt (") and "resume" in line for line in lines), lines
    assert lines[-1] == "stopped; no position is open; restart with the same command to resume"


def test_a_stop_prints_the_open_positions_and_how_to_resume() -> None:
    """With the stop that rests at the venue, and the command to resume."""
    *_, stopping, stopped = lines_of(close=False)
    assert stopping.startswith("stopping: no new decisions, ")
    assert stopped.startswith("stopped; positions that stay open: LONG ")
    assert f"{SYMBOL}, stop " in stopped
    assert stopped.endswith(" at the venue; restart with the same command to resume")
    assert "NO STOP" not in stopped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_signal_stops_gracefully_and_is_reported_once(number: signal.Signals) -> None:
    """A closed terminal sends SIGHUP: it must not kill between an opening and its stop."""
    told: list[str] = []

    async def trade() -> None:
        stopped = asyncio.Event()
        stop_on_signals(stopped.set, lambda: told.append("stopping"))
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stopped.wait(), _PATIENCE_S)
        os.kill(os.getpid(), number)
        await asyncio.sleep(0)

    before = signal.getsignal(number)
    guard = signal.signal(signal.SIGHUP, lambda *_: told.append("killed")) if number is signal.SIGHUP else None
    try:
        asyncio.run(trade())
    finally:
        signal.signal(number, before if guard is None else guard)
    assert told == ["stopping"]


def test_a_closed_terminal_does_not_stop_the_process() -> None:
    """Messages are discarded and the exit code is unchanged."""
    code = (
        "import os\nfrom quantum_trader.app.runs.live_messages import say\n"
        "reading, writing = os.pipe()\nos.close(reading)\nos.dup2(writing, 2)\nsay('one')\nsay('two')\nos._exit(7)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=_PATIENCE_S).returncode == 7


def test_an_interrupted_simulation_ends_with_one_line() -> None:
    """Ctrl-C of a terminal reaches every process of the group; none of them shows a traceback."""
    command = [sys.executable, "-m", "quantum_trader", "simulate", "--seeds", "100000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        assert " days, " in process.stderr.readline()  # the processes are at work
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == 130
    told = [line for line in errors.splitlines() if "days/s" not in line]
    assert len(told) == 1, errors[-2000:]
    assert told[0].startswith("stopped after ")


@pytest.mark.parametrize(
    "words",
    [
        ("live", "--plan"), ("run",), ("status",), ("halt", "--reason", "x"), ("flatten", "--reason", "x"),
        ("journal", "tail"), ("report",),
    ],
)
@pytest.mark.parametrize("given", [("--state", ""), ("--state=",), ("--state", " ")])
def test_an_empty_state_is_refused_by_every_command(
    words: tuple[str, ...], given: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unset variable in a script must not select the current folder."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, [*words, *given])
    assert result.exit_code == 2
    assert "--state ''" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_live_folder_is_refused_by_run(tmp_path: Path) -> None:
    """It is not resumed as a replay; nothing is written."""
    (tmp_path / "live.json").write_text("{}")
    result = CliRunner().invoke(app, ["run", "--symbols", "BTCUSDT", "--to", "2017-11-01", "--state", str(tmp_path)])
    assert result.exit_code == 2, result.output
    assert f"{tmp_path}: holds a live session" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["live.json"]


CONTRADICTIONS = (
    ('mode = "TESTNET"\nendpoint = "binance-live"', "contradicts live.mode"), ('mode = "LIVE"', "confirm_live"),
    ('mode = "LOCAL"', "live.address"), ('symbols = ["ETHUSDT"]\n[data]\nsymbols = ["BTCUSDT"]', "live.symbols"),
)


@pytest.mark.parametrize(("text", "told"), CONTRADICTIONS)
def test_config_check_refuses_what_a_start_refuses(text: str, told: str, tmp_path: Path) -> None:
    """`config check` and a start give the same error."""
    file = tmp_path / "live.toml"
    file.write_text(f"[live]\n{text}\n")
    result = CliRunner().invoke(app, ["config", "check", str(file)])
    assert result.exit_code == 2, result.stdout
    assert told in result.stderr


def test_config_show_has_the_live_section_with_its_sources(tmp_path: Path) -> None:
    """The output is a settings file again, also with a replay's symbols."""
    file, again = tmp_path / "mine.toml", tmp_path / "again.toml"
    file.write_text('[live]\nmode = "TESTNET"\nsymbols = ["ETHUSDT"]\n')
    shown = CliRunner().invoke(app, ["config", "show", "--config", str(file)]).stdout
    assert 'mode = "TESTNET"  # mine.toml' in shown
    assert "# reconcile_s = 60.0  # default" in shown
    assert '"sets":["live.mode","live.symbols"]' in CliRunner().invoke(
        app, ["config", "check", str(file), "--json"]
    ).stdout
    for words in (["--config", str(file)], ["--symbols", "BTCUSDT"]):
        again.write_text(CliRunner().invoke(app, ["config", "show", *words]).stdout)
        assert CliRunner().invoke(app, ["config", "check", str(again)]).exit_code == 0
