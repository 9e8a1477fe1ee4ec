"""Build the two wheels of this tree into a folder: ``quantum-trader`` and ``quantum-trader-policy``.

    python tools/make_wheels.py [--out dist] [--only quantum-trader-policy]

The second one has the files of :func:`policy_files`, which need msgspec alone, as they are in the first. Both are built
by setuptools as it is installed here, so nothing is fetched. The date in a wheel is that of the last commit, and the
same tree gives the same bytes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "quantum_trader"
TEMPLATE = ROOT / "tools" / "policy_wheel"
POLICY, WHOLE = "quantum-trader-policy", "quantum-trader"
ROOMS = ("domain", "policy", "risk")
MARKET = ("__init__", "costs", "performance", "published", "regime")
COMPILED = ("policy/compiled.py",)  # machine code for the sweep: it needs numba
_BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


def policy_files() -> list[str]:
    """The files of ``quantum-trader-policy``, as paths within the package."""
    found = ["__init__.py", "py.typed", *(f"market/{name}.py" for name in MARKET)]
    for room in ROOMS:
        found += [path.relative_to(PACKAGE).as_posix() for path in (PACKAGE / room).rglob("*.py")]
    found += [path.relative_to(PACKAGE).as_posix() for path in (PACKAGE / "policy" / "profile_data").glob("*.toml")]
    return sorted(set(found) - set(COMPILED))


def build(name: str, out: Path) -> Path:
    """Build the wheel of distribution *name* into *out*; return it. RuntimeError with the builder's last words."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        tree, made = Path(folder) / "tree", Path(folder) / "made"
        made.mkdir()
        _copy(name, tree)
        done = subprocess.run(
            [sys.executable, "-c", _BUILD, str(made)], cwd=tree, capture_output=True, text=True, check=False,
            env={**os.environ, "SOURCE_DATE_EPOCH": _date()},
        )
        wheels = list(made.glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            raise RuntimeError(f"{name}: no wheel was built; setuptools 77 or newer is needed\n{done.stderr[-2_000:]}")
        target = out / wheels[0].name
        shutil.move(wheels[0], target)
    return target


def _copy(name: str, tree: Path) -> None:
    """Copy what the wheel of *name* is made from into the new folder *tree*."""
    if name == POLICY:
        shutil.copytree(TEMPLATE, tree)
        for one in policy_files():
            target = tree / "src" / "quantum_trader" / one
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PACKAGE / one, target)
    else:
        tree.mkdir()
        shutil.copytree(PACKAGE, tree / "src" / "quantum_trader", ignore=shutil.ignore_patterns("__pycache__"))
        for one in ("pyproject.toml", "README.md"):
            shutil.copyfile(ROOT / one, tree / one)
    for one in ("LICENSE", "NOTICE"):
        shutil.copyfile(ROOT / one, tree / one)


def _date() -> str:
    """The time of the last commit in seconds since the epoch; the first one that a wheel can have without git."""
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "315532800"  # 1980-01-01


def main() -> None:
    """Build the wheels that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--only", choices=(POLICY, WHOLE))
    given = parser.parse_args()
    for name in (POLICY, WHOLE) if given.only is None else (given.only,):
        print(build(name, given.out))


if __name__ == "__main__":
    main()
