"""Each test of the safety list on the live road fails when its line is broken: proven by breaking it.

The quick part keeps the list of breakages from rotting; the long part applies each to a copy of the source.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.properties.mutations import MUTATIONS, Mutation

import quantum_trader
from quantum_trader.market.jit import _NO_KERNELS as NO_KERNELS

PACKAGE = Path(quantum_trader.__file__).parent
HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FAILED = 1  # pytest's exit code for tests that failed
ELSEWHERE = 77  # ours: another package than the copy was imported
RUN = f"""
import pathlib, sys
import quantum_trader
if not pathlib.Path(quantum_trader.__file__).is_relative_to(sys.argv[1]):
    sys.exit({ELSEWHERE})
import pytest
sys.exit(pytest.main(sys.argv[2:]))
"""


def names_in(path: Path) -> dict[str, bool]:
    """The tests in *path*, and whether each is expected to fail as things are."""
    return {
        node.name: any("xfail" in ast.unparse(one) for one in node.decorator_list)
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


LIVE = {path.name: names_in(path) for path in sorted(HERE.glob("test_safety_live*.py"))}


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[one.name for one in MUTATIONS])
def test_a_breakage_can_be_applied(mutation: Mutation) -> None:
    """Its text stands in the source exactly once, what it becomes is Python, and its test is there."""
    source = (PACKAGE / mutation.file).read_text(encoding="utf-8")
    assert source.count(mutation.old) == 1
    assert mutation.new != mutation.old
    ast.parse(source.replace(mutation.old, mutation.new))
    assert mutation.test.partition("[")[0] in LIVE[mutation.test_file]


def test_every_test_of_the_live_road_has_a_breakage_and_every_line_a_test() -> None:
    """Of the sixteen lines; a test that is expected to fail needs none: it shows what is broken already."""
    broken = {mutation.test.partition("[")[0] for mutation in MUTATIONS}
    proven = {name for tests in LIVE.values() for name, fails in tests.items() if not fails}
    assert sorted(proven - broken) == []
    assert {mutation.line for mutation in MUTATIONS} == set(range(1, 17))
    assert all(mutation.test.startswith(f"test_{mutation.line}_") for mutation in MUTATIONS)


def test_the_document_names_every_test_and_no_other() -> None:
    """docs/safety.md lists, below the heading of each rule, the tests that hold it."""
    text = (ROOT / "docs" / "safety.md").read_text()
    sections = re.findall(r"^## (\d+)\. [^\n]*\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    rows = [line for line, _ in sections]
    named = {
        f"test_{line}_{name}"
        for line, body in sections for name in re.findall(r"^- `(\w+)`$", body.partition("**Tests.**")[2], re.MULTILINE)
    }

    assert rows == [str(line) for line in range(1, 17)]
    assert named == {name for tests in LIVE.values() for name in tests}


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the source and a folder for its compiled kernels, both gone afterwards."""
    place = tmp_path_factory.mktemp("broken")
    shutil.copytree(PACKAGE.parent, place / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    yield place
    shutil.rmtree(place)


@pytest.mark.long
@pytest.mark.parametrize("mutation", MUTATIONS, ids=[one.name for one in MUTATIONS])
def test_its_test_fails_when_a_line_is_broken(mutation: Mutation, copy: Path) -> None:
    """Applied to the copy and taken back: the named test fails, and it is the copy that was tested.

    The compiler keeps kernels by their own file alone, so a change that kernels may contain gets kernels of its own.
    """
    path = copy / "src" / "quantum_trader" / mutation.file
    whole = path.read_text(encoding="utf-8")
    test = f"{HERE / mutation.test_file}::{mutation.test}"
    compiled = not mutation.file.startswith(NO_KERNELS) and any(mark in whole for mark in ("@scalar", "@kernel"))
    kernels = copy / ("kernels" if not compiled else f"kernels-{MUTATIONS.index(mutation)}")
    stamp = path.stat().st_mtime_ns
    path.write_text(whole.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        done = subprocess.run(
            [sys.executable, "-B", "-c", RUN, str(copy / "src"), "-q", "-x", "-p", "no:cacheprovider", test],
            capture_output=True, text=True, timeout=600, check=False, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(copy / "src"), "NUMBA_CACHE_DIR": str(kernels)},
        )
    finally:
        path.write_text(whole, encoding="utf-8")
        os.utime(path, ns=(stamp, stamp))
    assert done.returncode == FAILED, f"{done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert "error" not in done.stdout.splitlines()[-1], done.stdout[-2000:]
