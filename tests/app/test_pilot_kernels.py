"""What a live start compiles: nothing of the pilot is left for its first half second."""

from __future__ import annotations

import subprocess
import sys

CHILD = """
import gc
from numba.core.dispatcher import Dispatcher
from tests.pilot.made_pilot import untrained
from quantum_trader.app.runs.kernels import compile_kernels
from quantum_trader.app.settings import DataSettings, PilotOptions, RunSettings
from quantum_trader.app.runs.replay import Run, _loop
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.pilot.artefact import save_artefact
import pathlib, sys

def compiled():
    return {
        f"{one.py_func.__module__}.{one.py_func.__name__}": len(one.signatures)
        for one in gc.get_objects() if isinstance(one, Dispatcher) and "pilot" in one.py_func.__module__
    }

folder = pathlib.Path(sys.argv[1])
save_artefact(folder, untrained())
session = Run(RunSettings(
    data=DataSettings(start="2018-01-01", end="2018-01-06"), pilot=PilotOptions(model=str(folder))
), RunOptions())
compile_kernels(session.engine, session.pilot.artefact)
before = compiled()
_loop(session, None, None)
assert session.engine.piloting.totals.decisions > 100
after = compiled()
late = {name: (before.get(name, 0), count) for name, count in after.items() if count > before.get(name, 0)}
print("compiled late:", late)
print("kernels:", sum(count > 0 for count in before.values()))
"""


def test_a_live_start_compiles_the_pilots_kernels(tmp_path: object) -> None:
    """In a process of its own: a pilot that decides then compiles nothing more."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert child.returncode == 0, child.stderr
    assert "compiled late: {}" in child.stdout
    assert "kernels: 0" not in child.stdout
