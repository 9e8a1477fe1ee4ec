"""The dashboard and API of a run in a process of their own: they answer, and stop the run, also when it hangs or dies.

A run that ends ends its server. Where the run is killed, the server stays: it says so, and can still close everything.
A restart on the same port finds it there and leaves it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import msgspec

from quantum_trader.app.ports import check_port_is_free
from quantum_trader.domain.errors import ConfigError
from quantum_trader.domain.json_text import decode_json

DEFAULT_PORT: Final = 8000
_HOST: Final = "127.0.0.1"
_PORTS_TRIED: Final = 100
_ENDS_S: Final = 5.0
_ANSWER_S: Final = 2.0
_MOST_BYTES: Final = 1 << 22
_LOOK_S: Final = 0.25
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Served(msgspec.Struct):
    state: str


class _Ready(msgspec.Struct):
    address: str


class Server:
    """The server beside a run: its *address*, and whether it is this run's, or one that was there before."""

    def __init__(self, address: str, process: subprocess.Popen[bytes] | None) -> None:
        self.address = address
        self._process = process

    @property
    def is_own(self) -> bool:
        """Whether this run has started it and ends it."""
        return self._process is not None

    @property
    def runs(self) -> bool:
        """Whether a server that this run has started is still there."""
        return self._process is not None and self._process.poll() is None


@contextmanager
def served(
    folder: Path, port: int | None, say: Callable[[str], None], *, moves: bool = False,
    answers: Callable[[str], object] | None = None,
) -> Iterator[Server | None]:
    """Serve *folder* on loopback *port* until the block ends; do nothing where *port* is None.

    Where something else listens there it takes the next free port if it *moves*, and raises ConfigError otherwise.
    *answers* is told the address once the server answers, from a thread.
    """
    if port is None:
        yield None
        return
    folder = folder.absolute()  # another server may serve a folder of the same relative name
    known = _folder_served_at(port)
    if known is not None and Path(known) == folder:
        say(f"already served at {_address(port)}")
        if answers is not None:
            answers(_address(port))
        yield Server(_address(port), None)
        return
    if moves:
        port = _free_port(port, say)
    elif known is not None:
        raise ConfigError(f"--serve {port}: {known} is served there; end that server, or choose another port")
    else:
        check_port_is_free(_HOST, port, "--serve")
    with _started(folder, port) as process:
        say(f"dashboard at {_address(port)}; changes need a token: quantum-trader token new --state {folder} "
            "--role trader")
        listener = threading.Thread(target=_hear, args=(process.stdout, answers), name="server", daemon=True)
        listener.start()
        try:
            yield Server(_address(port), process)
        finally:
            _end(process)
            listener.join(_ENDS_S)


def _started(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """The process that serves *folder* and prints its address once it answers; no key of the run's terminal ends it."""
    return subprocess.Popen(
        [
            sys.executable, "-m", "quantum_trader", "serve", "--state", str(folder), "--port", str(port), "--wait",
            "--json",
        ],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=None, start_new_session=True,
    )


def _hear(output: IO[bytes] | None, answers: Callable[[str], object] | None) -> None:
    """Pass on the address that a server prints on *output*; nothing where it ends before."""
    line = output.readline() if output is not None else b""
    if line and answers is not None:
        answers(decode_json(line, _Ready).address)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_ENDS_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _address(port: int) -> str:
    return f"http://{_HOST}:{port}"


def _free_port(first: int, say: Callable[[str], None]) -> int:
    """The first free port from *first* on; another than *first* is said. ConfigError where none of many is free."""
    for port in range(first, min(first + _PORTS_TRIED, 65_536)):
        try:
            check_port_is_free(_HOST, port, "--serve")
        except ConfigError:
            continue
        if port != first:
            say(f"port {first} is taken; serving on {port}")
        return port
    raise ConfigError(f"--serve {first}: it and the {_PORTS_TRIED - 1} ports after it are taken; choose another port")


def _folder_served_at(port: int) -> str | None:
    """The state folder that a server on *port* serves; None where none answers."""
    request = urllib.request.Request(f"{_address(port)}/api/v1/status")
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=_ANSWER_S) as answer:
            return decode_json(answer.read(_MOST_BYTES), _Served).state
    except (OSError, urllib.error.URLError, msgspec.DecodeError, ValueError):
        return None


def wait_until_ended(server: Server, wait: Callable[[float], bool]) -> bool:
    """Wait until *wait*, which is called with seconds, says to end, or SIGINT, SIGTERM or SIGHUP comes.

    False where the server has ended by itself before.
    """
    asked = threading.Event()
    before = [(one, signal.signal(one, lambda *_: asked.set())) for one in _ENDING]
    try:
        while not asked.is_set():
            if not server.runs:
                return False
            if wait(_LOOK_S):
                break
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    return True
