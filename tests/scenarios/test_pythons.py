"""One recording, the same records on every supported Python.

`make pythons` makes an environment in build/ for each supported Python that is installed beside the one in use.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
OTHERS = [version for version in ("3.11", "3.12", "3.13") if not platform.python_version().startswith(f"{version}.")]


def digests(python: str, folder: Path) -> dict[str, str]:
    """SHA-256 of the records of the intraday models on *python*, by profile and mode; *folder* takes the files."""
    found = {}
    for profile, mode in product(("SAFE", "STANDARD", "AGGRESSIVE"), ("OBSERVE", "LIVE")):
        records = folder / f"{profile}-{mode}.jsonl"
        subprocess.run(
            [python, "-m", "quantum_trader", "run", "--exit", "--model", "intraday-demo", "--profile", profile,
             "--mode", mode, "--json", "--records", str(records)],
            stdout=subprocess.DEVNULL, check=True, timeout=1800, cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )
        with records.open("rb") as file:
            found[f"{profile} {mode}"] = hashlib.file_digest(file, "sha256").hexdigest()
        records.unlink()
    return found


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digests on the Python that runs this test."""
    return digests(sys.executable, tmp_path_factory.mktemp("own"))


@pytest.mark.long
@pytest.mark.parametrize("version", OTHERS)
def test_records_are_the_same_bytes_on_every_python(
    version: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Each profile in OBSERVE and in LIVE leaves the same file, though the built-in sum of floats differs."""
    python = ROOT / "build" / f"python{version}" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"no {python.relative_to(ROOT)}: `make pythons` makes it where Python {version} is installed")

    assert digests(str(python), tmp_path) == request.getfixturevalue("expected")
