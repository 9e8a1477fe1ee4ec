"""Write web/src/code_words.js from the words of the reports: ``python tools/make_web_words.py``, as `make web` does."""

from __future__ import annotations

import json
from pathlib import Path

from quantum_trader.app.report.words import CODE_WORDS

TARGET = Path(__file__).resolve().parent.parent / "web" / "src" / "code_words.js"
HEAD = "// Made by tools/make_web_words.py from app/report/words.py: the words for the reasons that records hold.\n"


def module() -> str:
    """The reasons that are written in capitals, each with its words."""
    rows = {code: text for code, text in CODE_WORDS.items() if code.isupper()}
    return f"{HEAD}export const CODE_WORDS = {json.dumps(rows, indent=2)};\n"


if __name__ == "__main__":
    TARGET.write_text(module(), "utf-8")
