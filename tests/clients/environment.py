"""Virtual environments of client libraries: made once from pinned requirements, under build/.

``environment(requirements)`` returns the Python of a virtual environment that has exactly what the file pins. It is
kept as ``build/clients-<hash of the file>`` and used again, offline too, until the file changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
_COMPLETE = "complete"
_INSTALL_S = 1_200


def place_of(requirements: Path, base: Path = BUILD) -> Path:
    """Return where the environment of *requirements* stands, made or not; it moves when the file's text changes."""
    return base / f"clients-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]}"


def environment(requirements: Path, base: Path = BUILD) -> Path:
    """Return the Python of the environment that *requirements* pins, making it when it is not there.

    Two processes may ask at once: the second waits. A half-made one (a process was killed) is made anew.
    """
    place = place_of(requirements, base)
    base.mkdir(parents=True, exist_ok=True)
    with (base / f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / _COMPLETE).exists():
            shutil.rmtree(place, ignore_errors=True)
            _make(place, requirements)
            (place / _COMPLETE).touch()
    return place / "bin" / "python"


def _make(place: Path, requirements: Path) -> None:
    python = place / "bin" / "python"
    for command in (
        [sys.executable, "-m", "venv", str(place)],
        [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--requirement",
         str(requirements)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command[1:4])} for {requirements.name} failed:\n{done.stderr[-2_000:]}")
