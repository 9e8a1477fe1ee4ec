"""Write docs/reference-api.md from the roads of the API: ``python tools/make_api_reference.py``."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import msgspec

from quantum_trader.app.api.access import Access, AccessSettings
from quantum_trader.app.api.endpoints import OPENAPI, Endpoint
from quantum_trader.app.api.freqtrade.roads import Freqtrade
from quantum_trader.app.api.reader import RunReader
from quantum_trader.app.api.server import endpoints_of
from quantum_trader.app.api.stopping import Stopper
from quantum_trader.app.api.tokens import TokenStore

TARGET = Path(__file__).resolve().parent.parent / "docs" / "reference-api.md"
HEAD = f"""# API

Made by `make docs` from the roads of the server; [how to use it](how-to-api.md). The running server describes itself at
`{OPENAPI}`, with the fields of every answer.

*role*: who may ask. On a loopback address reading needs no token. *takes*: parameters of the query, or an example of
the body.
"""


def roads() -> list[Endpoint]:
    """Every road of a server."""
    with tempfile.TemporaryDirectory() as folder:
        reader, access = RunReader(Path(folder)), Access(AccessSettings(), TokenStore(Path(folder)), time.time_ns)
        return [*endpoints_of(reader, Stopper(Path(folder))), *Freqtrade(reader, access).endpoints()]


def takes(one: Endpoint) -> str:
    """What a road takes."""
    names = [f"`{field.encode_name}`" for field in msgspec.structs.fields(one.query)] if one.query is not None else []
    body = [f"`{msgspec.json.encode(one.body_example).decode()}`"] if one.body is not None else []
    return ", ".join([*names, *body])


def reference() -> str:
    """The whole document."""
    parts, known = [HEAD], roads()
    for tag in dict.fromkeys(one.tag for one in known):
        parts += [f"## {tag.capitalize()}\n", "| road | what | role | takes |", "|---|---|---|---|"]
        parts += [
            f"| `{one.method} {one.path}` | {one.summary} | {one.role.value if one.role else 'all'} | {takes(one)} |"
            for one in known if one.tag == tag
        ]
        parts.append("")
    return "\n".join(parts)


def main() -> int:
    """Write the document, or with --check say whether it is up to date."""
    made = reference()
    if "--check" in sys.argv:
        return int(not TARGET.exists() or TARGET.read_text() != made)
    TARGET.write_text(made)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
