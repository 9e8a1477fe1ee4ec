"""A training in a process of its own: ``python -m tests.lab.pilot.killed FOLDER`` prints the hashes when it ends."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.lab.pilot.tiny import hashes_of, never, tiny_plan, tiny_run

UPDATES = 60

if __name__ == "__main__":
    run, results = tiny_run(Path(sys.argv[1]), tiny_plan(updates=UPDATES), checkpoint_s=1.0)
    sys.stdout.write(f"from {run.place[1]}\n")
    for look in run.looks(never):
        sys.stdout.write(f"update {look.update}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{hashes_of(results)}\n")
