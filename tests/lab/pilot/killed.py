"""A training in a process of its own: ``python -m tests.lab.pilot.killed FOLDER`` prints the hashes when it ends."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.lab.pilot.tiny import hashes_of, never, tiny_plan, tiny_run

from quantum_trader.pilot.training.device import compiled_programs_in

UPDATES = 60

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    run, results = tiny_run(folder, tiny_plan(updates=UPDATES), checkpoint_s=1.0)
    sys.stdout.write(f"from {run.place[1]}\n")
    with compiled_programs_in(folder / "compiled"):
        for look in run.looks(never):
            sys.stdout.write(f"update {look.update}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{hashes_of(results)}\n")
