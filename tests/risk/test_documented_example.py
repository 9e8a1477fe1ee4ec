"""The example of docs/concepts-risk.md runs as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "concepts-risk.md"


def test_guard_and_governor_in_another_bot() -> None:
    """50 USDT of risk on 10,000 is inside the limits: sent whole."""
    found = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None

    result = subprocess.run(
        [sys.executable, "-c", found[1]], capture_output=True, text=True, timeout=60, check=True
    )

    assert result.stdout == "send 0.05\n"
