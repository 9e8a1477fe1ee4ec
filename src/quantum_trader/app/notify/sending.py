"""Sends one message by a process of its own, so that no service can hold up, crash or look into what asks for it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import msgspec

from quantum_trader.app.notify.sender import Delivered, SendOrder

COMMAND: Final = (sys.executable, "-P", "-B", "-m", "quantum_trader.app.notify.sender")
TIMEOUT_S: Final = 30.0
_KEPT: Final = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "TZ")


def deliver(order: SendOrder, timeout_s: float = TIMEOUT_S) -> Delivered:
    """Send *order* and wait for what came of it, at most *timeout_s* seconds."""
    environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environ["NETRC"] = os.devnull  # requests would send passwords of a person's .netrc
    try:
        ended = subprocess.run(
            COMMAND, input=msgspec.json.encode(order), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            timeout=timeout_s, check=False, env=environ, cwd="/",
        )
    except subprocess.TimeoutExpired:
        return Delivered(False, f"no answer within {timeout_s:g} s")
    except OSError as error:
        return Delivered(False, f"the process that sends cannot be started ({error.strerror})")
    try:
        return msgspec.json.decode(ended.stdout, type=Delivered)
    except msgspec.DecodeError:
        return Delivered(False, f"the process that sends failed with exit code {ended.returncode}")
