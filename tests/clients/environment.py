"""Environments of client libraries: made once from pinned requirements, under build/.

``environment(requirements)`` returns the Python of a virtual environment that has exactly what the file pins, and
``node_packages(package)`` the folder of the npm packages that a package.json names. They are kept as
``build/clients-<hash of the file>`` and used again, offline too, until the file changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
_COMPLETE = "complete"
_INSTALL_S = 1_200


class InstallationError(RuntimeError):
    """An environment could not be made; the message names it and the installer's last words."""


def place_of(requirements: Path, base: Path = BUILD) -> Path:
    """Return where the environment of *requirements* stands, made or not; it moves when the file's text changes."""
    return base / f"clients-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]}"


def environment(requirements: Path, base: Path = BUILD, python: str = sys.executable) -> Path:
    """Return the Python of the environment that *requirements* pins, making it from *python* when it is not there.

    Two processes may ask at once: the second waits. A half-made one (a process was killed) is made anew.
    """
    def make(place: Path) -> None:
        inside = place / "bin" / "python"
        _run(requirements, [python, "-m", "venv", str(place)])
        _run(requirements, [str(inside), "-m", "pip", "--disable-pip-version-check", "install", "--quiet",
                            "--requirement", str(requirements)])

    return _made(requirements, base, make) / "bin" / "python"


def node_packages(package: Path, base: Path = BUILD) -> Path:
    """Return the node_modules folder of what *package* (a package.json) pins, installing it when it is not there."""
    def make(place: Path) -> None:
        place.mkdir()
        shutil.copyfile(package, place / "package.json")
        _run(package, ["npm", "install", "--prefix", str(place), "--ignore-scripts", "--no-package-lock", "--no-audit",
                       "--no-fund", "--loglevel", "error"])

    return _made(package, base, make) / "node_modules"


def newest_python(*versions: str) -> str | None:
    """Return the first of *versions* ("3.13") that starts on this machine; None where none does."""
    for version in versions:
        if sys.version_info[:2] == tuple(int(part) for part in version.split(".")):
            return sys.executable
        kept = _output(["pyenv", "prefix", version]) or _output(["pyenv", "prefix", f"{version}.0"])
        for candidate in (f"python{version}", *([f"{kept}/bin/python"] if kept else ())):
            if _output([candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]) == version:
                return candidate
    return None


def _output(command: list[str]) -> str:
    """Return what *command* prints; empty where it fails or does not exist."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return ""
    return "" if done.returncode else done.stdout.strip()


def _made(requirements: Path, base: Path, make: Callable[[Path], None]) -> Path:
    """Return the complete environment of *requirements*, made by *make* when there is none."""
    place = place_of(requirements, base)
    base.mkdir(parents=True, exist_ok=True)
    with (base / f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / _COMPLETE).exists():
            shutil.rmtree(place, ignore_errors=True)
            make(place)
            (place / _COMPLETE).touch()
    return place


def _run(requirements: Path, command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    if done.returncode:
        raise InstallationError(f"{' '.join(command[1:4])} for {requirements.name} failed:\n{done.stderr[-2_000:]}")
