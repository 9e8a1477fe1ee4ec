"""The secrets with which webhooks let signals in, hashed: one a source. None of them is a token of the API."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from quantum_trader.app.api.tokens import TokenStore
from quantum_trader.app.runs.signal_bodies import SECRET_PREFIX

SECRETS_FILE: Final = "webhook_secrets.json"


def webhook_secrets(folder: Path) -> TokenStore:
    """The secrets of the webhooks of *folder*; a secret's name is its source."""
    return TokenStore(folder, SECRETS_FILE, SECRET_PREFIX, "quantum-trader source new")
