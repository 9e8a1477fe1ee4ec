"""A guard served by its own process on a free port, and a client of the standard library."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
_PATIENCE_S = 60.0


class ServedGuard:
    """A running `guard serve`."""

    def __init__(self, state: Path, process: subprocess.Popen[str], url: str) -> None:
        self.state, self.process, self.url = state, process, url

    def ask(self, path: str, body: Any = None, *, token: str | None = "", headers: Any = None) -> tuple[int, Any]:
        """Return the status and the JSON of one request; *token* "" sends the bots' token, None none."""
        told = dict(headers or {})
        if token is not None:
            told["Authorization"] = f"Bearer {token or (self.state / 'token').read_text().strip()}"
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        if content is not None:
            told.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(self.url + path, data=content, headers=told)
        try:
            with urllib.request.urlopen(request, timeout=20.0) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20.0)


def command(*words: str, code: int = 0) -> str:
    """Run `quantum-trader guard` with *words*; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "quantum_trader", "guard", *words], capture_output=True, text=True, timeout=60.0,
        check=False, env=environment(),
    )
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process that finds the sources."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(ROOT / "src"), **more}


@contextmanager
def served(state: Path, *words: str) -> Iterator[ServedGuard]:
    """Run `guard serve` on *state* with *words* until the block ends."""
    (state / "address").unlink(missing_ok=True)
    with subprocess.Popen(
        [sys.executable, "-m", "quantum_trader", "guard", "serve", "--state", str(state), "--port", "0", *words],
        stderr=subprocess.PIPE, text=True, env=environment(),
    ) as process:
        try:
            yield ServedGuard(state, process, _address(process))
        finally:
            process.kill()


def _address(process: subprocess.Popen[str]) -> str:
    """Read the address from the process's first words."""
    assert process.stderr is not None
    deadline = time.monotonic() + _PATIENCE_S
    said = []
    while time.monotonic() < deadline:
        line = process.stderr.readline()
        said.append(line)
        if "http://" in line:
            address = line.rsplit(" ", 1)[1].strip()
            while not line.startswith("guard: bots send"):
                line = process.stderr.readline()
            return address
        assert line, "".join(said)
    raise AssertionError("".join(said))
