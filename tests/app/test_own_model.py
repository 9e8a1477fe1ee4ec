"""A model of ten lines through `model new`, `check`, `run`, `sweep` and `live`: replay and live decide the same."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs import live as live_runs
from quantum_trader.app.runs import local
from quantum_trader.app.runs.kernels import compile_kernels
from quantum_trader.app.runs.live import LiveRun
from quantum_trader.app.runs.live_settings import LoadedLive, bind_folder, load_live_settings
from quantum_trader.app.runs.model_state import models_state
from quantum_trader.app.runs.state_dir import StateDir
from quantum_trader.live.driver import DriverParts
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.recording import Recording, moment_ns, open_recording
from quantum_trader.venues.binance.adapter import AdapterSettings, BinanceFuturesExecutionAdapter
from quantum_trader.venues.binance.endpoints import endpoint
from quantum_trader.venues.binance.keys import LOCAL, ApiKeys, Redactor, Secret
from quantum_trader.venues.local.build import recorded_exchange
from quantum_trader.venues.local.clock import MarketClock
from quantum_trader.venues.local.exchange import ExchangeSettings
from quantum_trader.venues.local.server import LocalVenue, ServerSettings

SYMBOLS = ("BTCUSDT", "ETHUSDT")
MINE = '''import msgspec

from quantum_trader.models import Model


class Mine(Model):
    bars, warmup, horizon = "4h", 40, "3d"
    Params = msgspec.defstruct("Params", [("ago", int, 18)], frozen=True)

    def score(self, panel):
        return panel.close[-1] / panel.close[-1 - self.params.ago] - 1.0
'''
SETTINGS = '''
[[models]]
name = "Mine"
model = "mine.py:Mine"
prior = [3.0, 0.5]  # so that it trades at once
'''
START, END = "2018-01-10", "2018-01-31"
Decision = tuple[int, str, str, float]  # time, symbol, LONG or SHORT, confidence


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and a current folder with what `model new` has left and a person has shortened."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".cache").symlink_to(Path.home() / ".cache")  # compiled kernels: a process of its own has them at once
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    assert call("model", "new", "mine")[0] == 0
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "run.toml").write_text(SETTINGS)
    return tmp_path


def call(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one command."""
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_ten_lines_go_through_check_run_and_sweep() -> None:
    """Checked, traded in a replay without a warning, and swept: the sweep's setting has the run's result."""
    code, out, _ = call("model", "check", "mine.py:Mine")
    assert (code, out.splitlines()[-1]) == (0, "passed")
    span = ("--from", "2018-01-01", "--to", "2018-02-15", "--symbols", ",".join(SYMBOLS), "--config", "run.toml",
            "--policy", "enforce", "--json")
    code, out, error = call("run", "--profile", "STANDARD", *span)
    assert code == 0, error
    assert "look-ahead" not in error
    ran = json.loads(out)
    code, out, error = call(
        "sweep", "--profiles", "STANDARD", "--grid", "Mine.ago=6,18", "--splits", "2", *span
    )
    assert code == 0, error
    swept = {row["changes"]["Mine.ago"]: row for row in json.loads(out)["settings"]}
    assert swept[18]["trades"] == ran["trades"]["count"] > 5
    assert swept[18]["return_pct"] == pytest.approx(ran["summary"]["return_pct"], rel=1e-9)
    assert swept[6]["return_pct"] != swept[18]["return_pct"]


# ---------------------------------------------------------------------- live, in step with a recorded market
class InStep:
    """The live process's parts on the local venue, whose market goes on once the trader has answered."""

    def __init__(self, recording: Recording, played_ns: int, end_ns: int, folder: Path) -> None:
        self.recording, self.folder, self.end_ns = recording, folder, end_ns
        self.exchange = recorded_exchange(
            recording, start_ns=played_ns, settings=ExchangeSettings(wallet=10_000.0),
            instruments=instruments_for(recording.symbols, recording.first_closes().tolist()).instruments,
        )

    def run(self, loaded: LoadedLive, monkeypatch: pytest.MonkeyPatch) -> LiveRun:
        """Trade to the end; returns the live run, closed."""
        monkeypatch.setattr(live_runs, "LiveDriver", partial(
            local.SteppedDriver, steady=False, parts=DriverParts(bars=local._PunctualBars)
        ))
        return asyncio.run(self._run(loaded))

    async def _run(self, loaded: LoadedLive) -> LiveRun:
        exchange = self.exchange
        served = ServerSettings(server_clock="market", limits=local._UNLIMITED)
        async with LocalVenue(exchange, settings=served) as venue:
            pair = venue.keys[0]
            keys = ApiKeys(endpoint=LOCAL, key=Secret(pair.key), secret=Secret(pair.secret), source="test")
            adapter = BinanceFuturesExecutionAdapter(
                endpoint(LOCAL, venue.url), SYMBOLS, keys, rng=Random(0), wall_ns=lambda: exchange.now_ns,
                settings=AdapterSettings(quotes=False),
            )
            await adapter.connect()
            state = StateDir(self.folder)
            bind_folder(self.folder, loaded.live)
            timing = msgspec.structs.replace(local._TIMING, warm_bars=loaded.live.warmup_bars)
            live = LiveRun(loaded, adapter, state, Redactor(keys.secrets), lambda: exchange.now_ns, timing)
            try:
                compile_kernels(live.engine)
                live.recover()
                trading = asyncio.create_task(live.run())
                await self._play(venue, live)
                live.driver.stop()
                await trading
            finally:
                live.close()
                state.close()
        return live

    async def _play(self, venue: LocalVenue, live: LiveRun) -> None:
        driver, exchange, interval = live.driver, self.exchange, self.recording.interval_ns
        await self._until(lambda: driver.bars.caught_up and not driver.requests)
        while exchange.now_ns < self.end_ns:
            closes = exchange.now_ns // interval * interval + interval
            venue.advance(closes - exchange.now_ns)
            await self._until(lambda: driver.decided_until_ns >= closes and not driver.requests)  # noqa: B023
            await asyncio.sleep(0.002)  # orders of a moment go out turn by turn, and their fills come back
            await self._until(lambda: not driver.requests)

    @staticmethod
    async def _until(done: Any) -> None:
        end = time.monotonic() + 60.0
        while not done():
            assert time.monotonic() < end, "not in time"
            await asyncio.sleep(0)


def decisions(records: Path, from_ns: int) -> list[Decision]:
    """Every signal from *from_ns* on; the venue's rounding of prices shows in the ninth digit of a confidence."""
    found = []
    for line in records.read_bytes().splitlines():
        if b'"topic":"signal.generated"' in line:
            one = json.loads(line)
            if one["ts_ns"] >= from_ns:
                data = one["data"]
                found.append((one["ts_ns"], data["symbol"], data["action"], round(data["confidence"], 6)))
    return found


def closed(records: Path, from_ns: int) -> list[tuple[str, int, int, str]]:
    """Every trade that began from *from_ns* on: symbol, half hours of entry and exit, and the reason of the exit."""
    half_hour, found = 1_800 * 10**9, []
    for line in records.read_bytes().splitlines():
        if b'"topic":"trade.closed"' in line:
            data = json.loads(line)["data"]
            if data["entry_ns"] >= from_ns:
                spans = data["entry_ns"] // half_hour, data["exit_ns"] // half_hour
                found.append((data["symbol"], *spans, data["exit_reason"]))
    return sorted(found)


def test_live_decides_as_the_replay(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Warmed up from the venue and from the store: the same signals, confidences and exits from the first bar on."""
    recording = open_recording(None, symbols=list(SYMBOLS), end=END)
    code, _, error = call(
        "run", "--config", "run.toml", "--symbols", ",".join(SYMBOLS), "--from", START, "--to", END,
        "--records", "replay.jsonl",
    )
    assert code == 0, error
    start_ns = moment_ns(START)
    loaded = load_live_settings(folder / "run.toml", {
        "mode": ("LOCAL", "t"), "address": ("http://127.0.0.1:1", "t"), "symbols": (list(SYMBOLS), "t"),
        "warmup_bars": (500, "t"),
    })
    live = InStep(recording, start_ns, recording.end_ns, folder / "state").run(loaded, monkeypatch)

    replayed, traded = folder / "replay.jsonl", folder / "state" / "records.jsonl"
    assert decisions(traded, start_ns) == decisions(replayed, start_ns)
    assert len(decisions(traded, start_ns)) >= 10
    assert closed(traded, start_ns) == closed(replayed, start_ns)
    assert len(closed(traded, start_ns)) >= 10
    assert live.session.shield.failures == 0
    assert not models_state(live.engine, 0).models[0].lacks


# ---------------------------------------------------------------------- the command itself
def test_the_live_command_checks_warms_up_trades_on_and_refuses_a_changed_file(folder: Path) -> None:
    """On the local venue, by the clock on the wall: checked at the start, warm before it is ready, stopped in order."""
    recording = open_recording(None, symbols=list(SYMBOLS))
    words = ["live", "--mode", "LOCAL", "--symbols", ",".join(SYMBOLS), "--config", "run.toml", "--state", "state"]

    async def script() -> tuple[dict[str, Any], str, int]:
        exchange = recorded_exchange(recording, now_ns=time.time_ns())
        async with LocalVenue(exchange, clock=MarketClock(1.0)) as venue:
            words.extend(["--address", venue.url])
            keys = {"QT_LOCAL_KEY": venue.keys[0].key, "QT_LOCAL_SECRET": venue.keys[0].secret}
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "quantum_trader.app.cli.main", *words, env={**os.environ, **keys},
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            )
            assert process.stderr is not None
            said = b""
            try:
                while b"ready:" not in said:
                    line = await asyncio.wait_for(process.stderr.readline(), 120.0)
                    assert line, said
                    said += line
                found: dict[str, Any] = {}
                end = time.monotonic() + 120.0
                while not found or found["stage"] != "trading" or not found["last_bar_ns"]:
                    assert time.monotonic() < end, found
                    await asyncio.sleep(0.2)
                    with suppress(OSError):
                        found = json.loads((folder / "state" / "status.json").read_bytes())
            finally:
                if process.returncode is None:
                    process.send_signal(signal.SIGINT)
                _, rest = await process.communicate()
            return found, (said + rest).decode(), process.returncode or 0

    found, said, code = asyncio.run(script())
    assert code == 0, said
    assert "Mine has passed the look-ahead check" in said
    assert "stopped; no position is open" in said
    (line,) = found["models"]["models"]
    assert (line["name"], line["lacks"]) == ("Mine", [])
    code, out, _ = call("status", "--state", "state")
    assert "models       Mine: warm" in out

    (folder / "mine.py").write_text(MINE.replace("- 1.0", "- 1.001"))
    code, out, _ = call(*words, "--plan")
    assert code == 1
    assert "REFUSED      models: Mine is not what the saved state was made with" in out
    assert "close open positions with `flatten` before that, or the new folder adopts them" in out
