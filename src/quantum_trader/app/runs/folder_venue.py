"""The venue of a run's folder, for what acts on an account without the run's process."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from quantum_trader.app.runs.direct import MakeVenue, account_folder
from quantum_trader.engine.venue_port import ExecutionVenue
from quantum_trader.venues.binance.keys import Redactor, load_keys, os_keyring


def venue_of(state: Path, *, forget: bool = True) -> tuple[MakeVenue, Redactor]:
    """A maker of the folder's venue for given symbols, and the redactor of its keys.

    The keys leave the environment of this process, unless it will need them again (not *forget*). ConfigError for a
    folder without an account at a venue, and without its keys.
    """
    from quantum_trader.app.process_guard import forget_keys
    from quantum_trader.app.runs.live import venue_for  # with the engine, which a folder on paper needs not

    live = account_folder(state).settings()
    keys = load_keys(live.venue, os.environ, os_keyring())
    if forget:
        forget_keys(os.environ)
    redactor = Redactor(keys.secrets)

    def make(symbols: tuple[str, ...]) -> ExecutionVenue:
        return venue_for(msgspec.structs.replace(live, symbols=symbols), keys, closing=True)

    return make, redactor
