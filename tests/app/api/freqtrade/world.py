"""freqtrade's unmodified client in an environment of its own, and the API of a folder served over a socket."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import uvicorn
from tests.clients.environment import InstallationError, environment

from quantum_trader.app.api.access import AccessSettings
from quantum_trader.app.api.server import app_of

CLIENTS: Final = Path(__file__).resolve().parents[3] / "clients"
_PATIENCE_S: Final = 60.0


class FreqtradeClient:
    """One freqtrade-client that logs in as *name* with *token*; a method of it is a method here."""

    def __init__(self, python: Path, address: str, name: str, token: str) -> None:
        self._process = subprocess.Popen(
            [str(python), str(CLIENTS / "scripts" / "freqtrade_rest.py"), f"{address}/freqtrade", name, token],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )

    def __getattr__(self, method: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps([method, arguments, named]) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
            assert line, self._process.stderr.read() if self._process.stderr is not None else "it ended"
            return json.loads(line)

        return call

    def close(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        self._process.wait(_PATIENCE_S)


@contextmanager
def connected(address: str, name: str, token: str) -> Iterator[FreqtradeClient]:
    """A client of the server at *address*; the test is skipped where it cannot be installed (no package index)."""
    try:
        python = environment(CLIENTS / "freqtrade_client" / "requirements.txt")
    except InstallationError as error:
        pytest.skip(f"freqtrade-client cannot be installed: {error}")
    client = FreqtradeClient(python, address, name, token)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def served(folder: Path, settings: AccessSettings | None = None) -> Iterator[str]:
    """The address at which uvicorn serves the API of *folder*, until the block ends."""
    app = app_of(folder, settings if settings is not None else AccessSettings())
    server = uvicorn.Server(uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="warning", lifespan="off", ws="websockets-sansio"
    ))
    ready = threading.Event()

    async def serve() -> None:
        task = asyncio.create_task(server.serve())
        while not server.started and not task.done():
            await asyncio.sleep(0.01)
        ready.set()
        await task

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="api")
    thread.start()
    try:
        assert ready.wait(_PATIENCE_S)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(_PATIENCE_S)
