"""Which source files name the folder of compiled kernels: all that hold one, and none of those that are said not to."""

from __future__ import annotations

import re
from pathlib import Path

import quantum_trader
from quantum_trader.market.jit import _NO_KERNELS as NO_KERNELS

PACKAGE = Path(quantum_trader.__file__).parent
_COMPILED = re.compile(r"^\s*@(?:scalar|kernel|njit|jit|vectorize|guvectorize)\b|\bn?jit\(|\bkernel\(", re.MULTILINE)


def names_with_kernels() -> list[str]:
    """Files of the package that mark a function for the compiler."""
    return [
        path.relative_to(PACKAGE).as_posix() for path in sorted(PACKAGE.rglob("*.py"))
        if _COMPILED.search(path.read_text(encoding="utf-8"))
    ]


def test_no_file_that_is_said_to_hold_no_kernel_holds_one() -> None:
    """A kernel there would be loaded as it was compiled before a change of it."""
    found = names_with_kernels()

    assert [name for name in found if name.startswith(NO_KERNELS)] == []
    assert len(found) > 30


def test_every_name_of_the_list_is_a_file_or_a_folder() -> None:
    """A name that is misspelt, or of a file that has moved, leaves nothing out."""
    files = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")]

    assert [name for name in NO_KERNELS if not any(file.startswith(name) for file in files)] == []
