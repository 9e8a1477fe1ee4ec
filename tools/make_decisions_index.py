"""Write docs/decisions/README.md from the decisions' own titles: ``python tools/make_decisions_index.py``."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "decisions"
HEAD = """# Decisions

Short, numbered, each with its reason. A new one takes the next free number and `make docs` lists it; a reversed one
says so and stays.

"""


def index() -> str:
    """One line for each decision, in order."""
    rows = []
    for path in sorted(FOLDER.glob("[0-9]*.md")):
        title = path.read_text("utf-8").splitlines()[0].lstrip("# ")
        rows.append(f"- [{path.name[:4]}]({path.name}) {re.sub(r'^[0-9]{4}[.:]?', '', title).strip()}")
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    (FOLDER / "README.md").write_text(index(), "utf-8")
