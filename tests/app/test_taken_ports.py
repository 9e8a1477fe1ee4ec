"""A port that something else listens on: every command says so in one line, and what to do."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra `serve`")
from tests.app.guard.bars import store_bars

from quantum_trader.app.ports import listening_socket
from quantum_trader.app.runs.serving import served
from quantum_trader.domain.errors import ConfigError


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of loopback that is taken."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        yield int(one.getsockname()[1])


def said_by(*words: str, within_s: float = 120.0) -> tuple[int, str]:
    """Exit code and error output of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "quantum_trader", *words], capture_output=True, text=True, timeout=within_s, check=False
    )
    return done.returncode, done.stderr


def state_folder(folder: Path) -> Path:
    """What counts as a run's folder."""
    folder.mkdir(mode=0o700)
    (folder / "lock").touch(0o600)
    return folder


@pytest.mark.parametrize("command", ["serve", "guard serve"])
def test_a_server_names_its_option_and_says_what_to_do(tmp_path: Path, taken: int, command: str) -> None:
    """One line of our own, and none of a library."""
    state = state_folder(tmp_path / "run") if command == "serve" else tmp_path / "guard"
    more = () if command == "serve" else ("--data", str(store_bars(tmp_path / "bars")))
    code, said = said_by(*command.split(), "--state", str(state), "--port", str(taken), *more)
    assert code == 2
    assert re.fullmatch(
        rf"\s*error: --port {taken}: cannot be listened on at 127.0.0.1: another program listens there; end it, or "
        r"give another port\s*", re.sub(r"\s+", " ", said),
    ), said


def test_a_live_run_that_is_to_be_served_does_not_begin(tmp_path: Path, taken: int) -> None:
    """It names its own option; nothing was started, and the port is not disturbed."""
    state = tmp_path / "run"
    code, said = said_by(
        "live", "--state", str(state), "--serve", str(taken), "--mode", "dry", "--symbols", "BTCUSDT"
    )
    assert code == 2
    assert f"--serve {taken}: cannot be listened on at 127.0.0.1: another program listens there" in said
    assert not (state / "journal").exists()


def test_a_free_port_stays_free_for_the_server_that_is_started(tmp_path: Path) -> None:
    """The look does not take it."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = int(one.getsockname()[1])
    lines: list[str] = []
    with served(state_folder(tmp_path / "run"), port, lines.append):
        assert f"dashboard at http://127.0.0.1:{port};" in lines[0]


def test_an_address_of_another_machine_and_a_port_below_1024_are_explained() -> None:
    """As what they are."""
    with pytest.raises(ConfigError, match="is no address of this machine"):
        listening_socket("192.0.2.7", 0, "--port")
    with listening_socket("127.0.0.1", 0, "--port") as one, pytest.raises(ConfigError, match="--serve"):
        listening_socket("127.0.0.1", int(one.getsockname()[1]), "--serve")
