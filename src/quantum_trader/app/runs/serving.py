"""The API of a run in a process of its own: it answers, and stops the run, also when that hangs or dies.

A run that ends ends its server. Where the run is killed, the server stays: it says so, and can still close everything.
A restart on the same port finds it there and leaves it.
"""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.app.ports import check_port_is_free
from quantum_trader.domain.errors import ConfigError
from quantum_trader.domain.json_text import decode_json

DEFAULT_PORT: Final = 8000
_ENDS_S: Final = 5.0
_ANSWER_S: Final = 2.0
_MOST_BYTES: Final = 1 << 22


class _Served(msgspec.Struct):
    state: str


@contextmanager
def served(folder: Path, port: int | None, say: Callable[[str], None]) -> Iterator[None]:
    """Serve *folder* on loopback *port* until the block ends; do nothing where *port* is None.

    Raises ConfigError where something else listens there.
    """
    if port is None:
        yield
        return
    known = _folder_served_at(port)
    if known is not None and Path(known) != folder:
        raise ConfigError(f"--serve {port}: {known} is served there; end that server, or choose another port")
    if known is not None:
        say(f"already served at http://127.0.0.1:{port}")
        yield
        return
    check_port_is_free("127.0.0.1", port, "--serve")
    with subprocess.Popen(
        [sys.executable, "-m", "quantum_trader", "serve", "--state", str(folder), "--port", str(port), "--wait"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=None, start_new_session=True,
    ) as process:
        say(f"API at http://127.0.0.1:{port}/api/v1/status; changes need a token: quantum-trader token new --state "
            f"{folder} --role trader")
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(_ENDS_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _folder_served_at(port: int) -> str | None:
    """The state folder that a server on *port* serves; None where none answers."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/v1/status")
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=_ANSWER_S) as answer:
            return decode_json(answer.read(_MOST_BYTES), _Served).state
    except (OSError, urllib.error.URLError, msgspec.DecodeError, ValueError):
        return None
