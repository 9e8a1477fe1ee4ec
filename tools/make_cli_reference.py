"""Write docs/reference-cli.md from the command line itself: ``python tools/make_cli_reference.py [--check]``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from quantum_trader.app.cli.main import app

TARGET = Path(__file__).resolve().parent.parent / "docs" / "reference-cli.md"
HEAD = """# The command line

Made from the code by `make docs`; do not edit. Every command knows `--help`.
"""


def commands(group: Any, path: tuple[str, ...], parent: Any = None) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Every command below *group*, as (path, context, command); groups before what they hold."""
    context = group.context_class(group, info_name=path[-1], parent=parent)
    yield path, context, group
    for name in group.list_commands(context) if hasattr(group, "list_commands") else ():
        _, command, _ = group.resolve_command(context, [name])
        yield from commands(command, (*path, name), context)


def options(command: Any, context: Any) -> Iterator[str]:
    """One table row for each option and argument."""
    for parameter in command.params:
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        record = parameter.get_help_record(context)
        if record is None:
            continue
        names, text = (" ".join(part.split()).replace("|", "\\|") for part in record)
        yield f"| `{names}` | {text} |"


def section(path: tuple[str, ...], context: Any, command: Any) -> str:
    """The part on one command."""
    usage = " ".join((" ".join(path), *command.collect_usage_pieces(context)))
    text = "\n\n".join(" ".join(block.split()) for block in (command.help or "").split("\n\n"))
    rows = list(options(command, context))
    table = "\n".join(("| option | meaning |", "|---|---|", *rows)) if rows else ""
    parts = ["#" * min(len(path) + 1, 4) + " " + " ".join(path), text, f"    {usage}", table]
    return "\n\n".join(part for part in parts if part.strip())


def reference() -> str:
    """The whole document."""
    root = get_command(app)
    sections = [section(path, context, command) for path, context, command in commands(root, ("quantum-trader",))]
    return HEAD + "\n" + "\n\n".join(sections) + "\n"


def main() -> int:
    """Write the document, or with ``--check`` say whether it is up to date."""
    text = reference()
    if "--check" in sys.argv[1:]:
        return 0 if TARGET.read_text() == text else 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
