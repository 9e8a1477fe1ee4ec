"""No secret leaves: real commands with planted keys, then a search of everything they left behind and showed."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stdout
from pathlib import Path
from socket import create_server

import pytest
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.process_guard import forget_keys, guarded_process
from quantum_trader.domain.errors import ConfigError
from quantum_trader.venues.binance.keys import LOCAL, Redactor, Secret, variables
from quantum_trader.venues.local.build import recorded_exchange
from quantum_trader.venues.local.clock import MarketClock
from quantum_trader.venues.local.server import LocalVenue
from quantum_trader.venues.local.signing import ApiKey

KEY = "PLANTEDkeyPLANTEDkeyPLANTEDkeyPLANTEDkey0123456789"
SECRET = "PLANTEDsecretPLANTEDsecretPLANTEDsecret9876543210"
PLANTED = (KEY, SECRET, KEY[8:40], SECRET[8:40])
DEADLINE_S = 90.0
LOCAL_START = ["live", "--state", "s", "--mode", "LOCAL", "--address", "http://127.0.0.1:9"]


def environment(folder: Path, place: str) -> dict[str, str]:
    """The process's environment with keys planted in *place*; a folder of its own as home."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("QT_") and name != "ORCH_PROFILE"}
    if place == "environment":
        return {**clean, **dict(zip(variables(LOCAL), (KEY, SECRET), strict=True))}
    path = folder.parent / f"keys-of-{folder.name}.toml"  # outside the folder that is searched
    path.write_text(f'[{LOCAL}]\nkey = "{KEY}"\nsecret = "{SECRET}"\n')
    path.chmod(0o600)
    return {**clean, "QT_KEYS_FILE": str(path)}


def command(*words: str) -> list[str]:
    """The program as a person starts it."""
    return [sys.executable, "-m", "quantum_trader.app.cli.main", *words]


def assert_clean(what: str, text: str) -> None:
    """Neither planted text nor a large part of one."""
    found = [planted for planted in PLANTED if planted in text]
    assert not found, f"{what} shows a planted key"


def search(folder: Path) -> int:
    """Look for planted texts in every file under *folder*, private as all state is; returns how many were searched."""
    count = 0
    for path in folder.rglob("*"):
        mode = stat.S_IMODE(path.lstat().st_mode)
        if path.is_dir():
            assert mode == 0o700, f"{path} is open to others ({mode:04o})"
            continue
        assert mode == 0o600, f"{path} is open to others ({mode:04o})"
        assert_clean(str(path), path.read_bytes().decode("latin-1"))
        count += 1
    return count


def listings(pid: int) -> str:
    """What a listing of processes shows of *pid* and its children: command lines, names, files they have open."""
    shown = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if int(entry.name) != pid and parent != pid:
                continue
            shown += [(entry / name).read_text(errors="replace") for name in ("cmdline", "comm", "status")]
            shown += [os.readlink(link) for link in (entry / "fd").iterdir()]
            if parent == pid:
                shown.append((entry / "environ").read_text(errors="replace"))
        except (OSError, ValueError):
            continue
    return "\n".join(shown)


@contextmanager
def started(words: list[str], folder: Path, place: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A process with planted keys, its output in a private file; ended with SIGTERM, else SIGKILL."""
    output = folder / "output.txt"
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT, 0o600)
    process = subprocess.Popen(
        command(*words), stdout=descriptor, stderr=descriptor, env=environment(folder, place), cwd=folder
    )
    os.close(descriptor)
    try:
        yield process, output
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(what: Callable[[], bool], process: subprocess.Popen[bytes], output: Path) -> None:
    """Poll for *what* while the process lives, with a deadline."""
    ends = time.monotonic() + DEADLINE_S
    while not what():
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < ends, output.read_text()
        time.sleep(0.05)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A private folder."""
    made = tmp_path / "private"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def dead_address() -> str:
    """A loopback address where nothing listens."""
    with closing(create_server(("127.0.0.1", 0))) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("place", ["environment", "file"])
def test_a_start_whose_venue_cannot_be_reached_shows_nothing(place: str, folder: Path, dead_address: str) -> None:
    """Plan with a masked key, failing requests, state files, process listings: no planted text."""
    words = ["live", "--state", "state", "--mode", "LOCAL", "--address", dead_address, "--symbols", "BTCUSDT"]
    with started(words, folder, place) as (process, output):
        until(lambda: "not reached" in output.read_text(), process, output)
        assert_clean("the process listing", listings(process.pid))
    told = output.read_text()
    assert_clean("the output", told)
    assert "PLAN…6789" in told
    assert f"from {place}" in told
    assert search(folder) >= 2


@pytest.mark.parametrize("place", ["environment", "file"])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["keys", "show"], "PLAN…6789"), (["keys", "show", "--json"], "PLAN…6789"),
        (["keys", "set", "local"], ""), (["keys", "remove", "local"], ""),
        (["live", "--state", "s", "--mode", "TESTNET"], "QT_BINANCE_TESTNET_KEY"),
        ([*LOCAL_START, "--plan"], "PLAN…6789"), ([*LOCAL_START, "--plan", "--json"], "PLAN…6789"),
        (["--debug", "live", "--state", "s", "--mode", "LOCAL", "--address", "http://10.0.0.1:9"], "live.address"),
        (["status", "--state", "folder", "--venue"], "not sent"),
        (["status", "--state", "folder", "--json"], "LOCAL"),
        (["--debug", "flatten", "--state", "folder", "--now", "--reason", "x", "--deadline", "1"], "not sent"),
        (["config", "show"], ""),
    ],
)
def test_commands_show_masks_alone(
    words: list[str], told: str, place: str, folder: Path, monkeypatch: pytest.MonkeyPatch, dead_address: str
) -> None:
    """Neither key nor secret is in the output or files of any command, also when it fails."""
    from quantum_trader.app.runs.live_settings import LiveMode, LiveSettings, bind_folder

    monkeypatch.chdir(folder)
    for name, value in environment(folder, place).items():
        monkeypatch.setenv(name, value)
    live = folder / "folder"
    live.mkdir(mode=0o700)
    (live / "lock").touch(0o600)
    bind_folder(live, LiveSettings(mode=LiveMode.LOCAL, address=dead_address))
    result = CliRunner().invoke(app, words, input=f"{KEY}\n{SECRET}\n")
    assert_clean(" ".join(words), result.output + str(result.exception) + repr(result.exc_info))
    assert told in result.output + str(result.exception)
    search(folder)


def test_keys_in_a_file_that_others_may_read_are_refused(folder: Path) -> None:
    """The process ends with one line that says how to mend it, and shows nothing."""
    planted = environment(folder, "file")
    Path(planted["QT_KEYS_FILE"]).chmod(0o644)
    ended = subprocess.run(
        command(*LOCAL_START), capture_output=True, text=True, env=planted, cwd=folder, timeout=DEADLINE_S, check=False,
    )
    assert ended.returncode == 2
    assert "chmod 600" in ended.stderr
    assert_clean("the output", ended.stdout + ended.stderr)


def test_everything_a_run_leaves_is_private(folder: Path) -> None:
    """State, journal, reports and what is exported from them: files 0600, folders 0700, with any umask."""
    before = os.umask(0o022)
    try:
        for words in (
            ["run", "--symbols", "BTCUSDT", "--from", "2018-01-01", "--to", "2018-01-10", "--state", f"{folder}/state",
             "--report", f"{folder}/report.html"],
            ["journal", "export", "--state", f"{folder}/state", "--out", f"{folder}/all.parquet"],
            ["journal", "export", "--state", f"{folder}/state", "--out", f"{folder}/all.jsonl"],
            ["report", "--state", f"{folder}/state", "--out", f"{folder}/again.html"],
            ["halt", "--state", f"{folder}/state", "--reason", "x"],
        ):
            os.umask(0o022)
            result = CliRunner().invoke(app, words)
            assert result.exit_code == 0, result.output
    finally:
        os.umask(before)
    assert search(folder) > 10


# ---------------------------------------------------------------------- the guard itself


LEAKS = """
import logging, sys, threading, warnings
from quantum_trader.app.process_guard import guarded_process
from quantum_trader.venues.binance.keys import Redactor, Secret
key, secret = sys.stdin.read().split()
logging.basicConfig(level=logging.DEBUG)
with guarded_process(Redactor([Secret(key), Secret(secret)])):
    print("print", key, secret)
    print({"k": secret}, file=sys.stderr)
    logging.getLogger("x").warning("log %s", secret)
    warnings.warn(f"warning {secret}")
    try:
        raise OSError(f"signature {secret}")
    except OSError:
        logging.getLogger("x").exception("trouble")
    threading.Thread(target=lambda: 1 / len([]) if not secret else {}[secret]).start()
    from urllib.parse import quote
    print(quote(key), secret.encode().hex())
    raise KeyError(f"request with {key} failed")
"""


def test_the_guard_covers_every_road_of_text() -> None:
    """Prints, log records, warnings, errors in threads and the traceback that ends the process: redacted."""
    ended = subprocess.run(
        [sys.executable, "-c", LEAKS], input=f"{KEY} {SECRET}", capture_output=True, text=True, timeout=60, check=False
    )
    shown = ended.stdout + ended.stderr
    assert ended.returncode == 1
    for words in ("print […] […]", "log […]", "warning […]", "OSError: signature […]", "request with […] failed"):
        assert words in shown
    assert "Thread-1" in shown
    assert_clean("the guarded process", shown)


LATE = """
import contextlib, logging, sys, threading
from quantum_trader.app.process_guard import guarded_process
from quantum_trader.domain.errors import ConfigError
from quantum_trader.venues.binance.keys import Redactor, Secret
key, secret = sys.stdin.read().split()
logging.basicConfig(level=logging.DEBUG)
ended = threading.Event()

def fail_after_the_end() -> None:
    ended.wait()
    print("late print", secret)
    logging.getLogger("x").warning("late log %s", secret)
    raise OSError(f"late failure {secret}")

thread = threading.Thread(target=fail_after_the_end)
with contextlib.suppress(ConfigError, KeyError):
    with guarded_process(Redactor([Secret(key), Secret(secret)])):
        thread.start()
        {END}
ended.set()
thread.join()
"""


@pytest.mark.parametrize("end", ["pass", "raise ConfigError('ours')", "raise KeyError('not ours')"])
def test_a_thread_that_outlives_the_guarded_block_stays_redacted(end: str) -> None:
    """Its print, log record and traceback come after the block's end, however the block ends."""
    ended = subprocess.run(
        [sys.executable, "-c", LATE.replace("{END}", end)], input=f"{KEY} {SECRET}", capture_output=True, text=True,
        timeout=60, check=True,
    )
    shown = ended.stdout + ended.stderr
    for words in ("late print […]", "late log […]", "OSError: late failure […]"):
        assert words in shown
    assert_clean("the guarded process", shown)


def test_the_guard_ends_with_its_block() -> None:
    """Streams, log factory and hook are what they were; an error of ours leaves redacted, without its causes."""
    before = (sys.stdout, sys.stderr, logging.getLogRecordFactory(), sys.excepthook)
    redactor = Redactor([Secret(SECRET)])
    with guarded_process(redactor):
        assert sys.stdout is not before[0]
    with pytest.raises(ConfigError) as caught, guarded_process(redactor):
        raise ConfigError(f"bad {SECRET}") from ValueError(SECRET)
    assert str(caught.value) == "bad […]"
    assert caught.value.__cause__ is None
    assert (sys.stdout, sys.stderr, logging.getLogRecordFactory(), sys.excepthook) == before


def test_a_redacted_stream_may_outlive_the_stream_beneath() -> None:
    """Its finaliser flushes; Python 3.13 reports an error there, so a closed stream beneath is passed over."""
    with redirect_stdout(io.StringIO()) as beneath, guarded_process(Redactor([Secret(SECRET)])):
        redacted = sys.stdout
    beneath.close()

    redacted.close()

    assert redacted.closed


def test_children_do_not_inherit_keys() -> None:
    """Once loaded they are taken out of the environment."""
    environ = {"QT_KEYS_FILE": "x", "PATH": "y", **dict.fromkeys(variables(LOCAL), "z")}
    forget_keys(environ)
    assert environ == {"PATH": "y"}


# ---------------------------------------------------------------------- a real run


@pytest.mark.long
@pytest.mark.parametrize("place", ["environment", "file"])
def test_a_run_on_the_local_venue_leaves_no_secret(place: str, folder: Path) -> None:
    """Trading over loopback with the production adapter, then status and flatten: every file and listing is clean."""

    async def serve_and_trade() -> None:
        from quantum_trader.market.recording import open_recording

        exchange = recorded_exchange(open_recording(symbols=["BTCUSDT"]), now_ns=time.time_ns())
        async with LocalVenue(exchange, keys=[ApiKey(key=KEY, secret=SECRET)], clock=MarketClock(1.0)) as venue:
            await asyncio.to_thread(trade, venue.url)

    def trade(address: str) -> None:
        words = ["live", "--state", "state", "--mode", "LOCAL", "--address", address, "--symbols", "BTCUSDT"]
        status = folder / "state" / "status.json"
        with started(words, folder, place) as (process, output):
            until(lambda: status.exists() and json.loads(status.read_text())["stage"] == "trading", process, output)
            assert_clean("the process listing", listings(process.pid))
        for more in (["status", "--venue", "--json"], ["flatten", "--now", "--reason", "test"], ["status"]):
            ended = subprocess.run(
                command(*more, "--state", "state"), capture_output=True, text=True, cwd=folder,
                env=environment(folder, place), timeout=DEADLINE_S, check=False,
            )
            assert ended.returncode in (0, 1), ended.stderr
            assert_clean(" ".join(more), ended.stdout + ended.stderr)
        assert_clean("the output", output.read_text())

    asyncio.run(serve_and_trade())
    assert search(folder) > 5
