"""The client environments are made once and reused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.clients.environment import environment, place_of


@pytest.mark.long
def test_an_environment_is_made_once_and_named_by_what_it_pins(tmp_path: Path) -> None:
    """The second call makes nothing; another text gets another place; a half-made one is made anew."""
    requirements = tmp_path / "nothing.txt"
    requirements.write_text("# nothing\n")

    python = environment(requirements, tmp_path)
    mark = place_of(requirements, tmp_path) / "mark"
    mark.touch()
    again = environment(requirements, tmp_path)

    assert again == python
    assert mark.exists()
    asked = [python, "-c", "import sys; sys.exit(sys.prefix == sys.base_prefix)"]
    assert subprocess.run(asked, check=False).returncode == 0
    (place_of(requirements, tmp_path) / "complete").unlink()
    environment(requirements, tmp_path)
    assert not mark.exists()
    other = tmp_path / "other.txt"
    other.write_text("# something else\n")
    assert place_of(other, tmp_path) != place_of(requirements, tmp_path)


@pytest.mark.long
def test_a_failed_installation_is_reported(tmp_path: Path) -> None:
    """The error names the file and the installer's output, and no environment is left that counts as complete."""
    requirements = tmp_path / "wrong.txt"
    requirements.write_text("./there-is-no-such-folder\n")

    with pytest.raises(RuntimeError, match=r"wrong\.txt failed"):
        environment(requirements, tmp_path)

    assert not (place_of(requirements, tmp_path) / "complete").exists()
