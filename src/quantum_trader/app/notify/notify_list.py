"""What ``quantum-trader notify list`` shows: targets without their addresses, and messages with what became of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from quantum_trader.app.notify.notices import MEANINGS
from quantum_trader.app.notify.notify_run import read_notify_state
from quantum_trader.app.notify.secret_addresses import find_addresses, variable_of
from quantum_trader.app.notify.settings import PING, NotifySettings
from quantum_trader.domain.clock import iso
from quantum_trader.domain.errors import StateError
from quantum_trader.venues.binance.keys import Keyring


def notify_document(
    state: Path, settings: NotifySettings, environ: Mapping[str, str], keyring: Keyring | None, now_ns: int
) -> dict[str, Any]:
    """Everything as plain values. StateError where *state* is no folder or its notes are damaged."""
    if not state.is_dir():
        raise StateError(f"--state {state}: there is no such folder; give that of `run --state` or `live --state`")
    names = [*settings.targets, *([PING] if settings.ping is not None else [])]
    addresses = find_addresses(names, environ, keyring)
    found = read_notify_state(state)
    return {
        "targets": [
            {"name": name, "service": addresses[name].scheme if name in addresses else None,
             "source": addresses[name].source if name in addresses else None,
             "kinds": [kind.value for kind in MEANINGS if name != PING and settings.hears(name, kind)
                       and settings.is_enabled(kind)]}
            for name in names
        ],
        "quiet_hours": settings.quiet_hours, "timezone": settings.timezone,
        "waiting_notices": len(found.desk.waiting) if found is not None else 0,
        "ping": None if settings.ping is None or found is None or not found.ping_ns else {
            "last": iso(found.ping_ns), "age_s": (now_ns - found.ping_ns) / 1e9, "why": found.ping_why,
        },
        "messages": [
            {"number": one.number, "made": iso(one.made_ns), "kind": one.message.kind.value,
             "title": one.message.title, "told": sorted(one.told_ns), "given_up": one.given_up,
             "left": {name: attempt.why for name, attempt in one.left.items()}}
            for one in (found.outbox.messages if found is not None else [])
        ],
    }


def notify_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """The same for a terminal."""
    for one in document["targets"]:
        where = f"{one['service']}:// from {one['source']}" if one["service"] else \
            f"has no address: set {variable_of(one['name'])}"
        kinds = f"; told of {', '.join(one['kinds'])}" if one["kinds"] else ""
        yield f"{one['name']}: {where}{kinds}"
    if document["quiet_hours"]:
        yield f"quiet hours: {document['quiet_hours']} {document['timezone']}"
    if document["ping"]:
        yield f"last ping: {document['ping']['last'][:19]}Z{' failed: ' if document['ping']['why'] else ''}" \
              f"{document['ping']['why']}"
    yield f"{document['waiting_notices']} notices wait for their window, a cool-down or the end of the quiet hours"
    for one in document["messages"]:
        parts = [f"told {', '.join(one['told'])}"] if one["told"] else []
        parts += [f"{name} not yet{': ' if why else ''}{why}" for name, why in one["left"].items()]
        parts += [f"{name} given up: {why}" for name, why in one["given_up"].items()]
        yield f"{one['made'][:19]}Z  {one['title']}  ({'; '.join(parts)})"
