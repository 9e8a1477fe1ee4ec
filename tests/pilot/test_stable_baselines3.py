"""Stable-Baselines3 takes the Gymnasium view of the training market as it is.

It brings PyTorch with it, so it stands in an environment of its own: ``make build/stable-baselines3``, which
`make test-all` makes first.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / "build" / "stable-baselines3" / "bin" / "python"

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not PYTHON.exists(), reason="`make build/stable-baselines3` installs Stable-Baselines3 beside the project"
    ),
]


def test_the_view_passes_its_check_and_trains() -> None:
    """`check_env` without a warning, then 256 steps of its PPO."""
    found = subprocess.run(
        [PYTHON, Path(__file__).with_name("stable_baselines3_check.py")], capture_output=True, text=True, timeout=600,
        check=False, env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
    )
    assert found.returncode == 0, found.stderr[-2000:]
    assert found.stdout.split() == ["256"]
