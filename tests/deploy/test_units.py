"""The systemd units: systemd takes them, they are hardened, and their commands are commands of this program."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.test_house import leaf

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
PROGRAM = "/opt/quantum-trader/.venv/bin/quantum-trader"
MOST_EXPOSURE = 1.5  # of 10; systemd calls less than 2 OK
HAS_SYSTEMD = shutil.which("systemd-analyze") is not None


def settings(unit: Path) -> list[tuple[str, str]]:
    """Keys and values in their order."""
    lines = [line for line in unit.read_text().splitlines() if re.match(r"[A-Z]\w*=", line)]
    return [(key, value) for key, _, value in (line.partition("=") for line in lines)]


@pytest.fixture
def here(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The unit *request.param* with a program that is there."""
    unit: Path = request.param
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace(PROGRAM, "/bin/true"))
    return copy


def test_there_is_a_unit_for_trading_one_for_the_api_and_one_for_notifications() -> None:
    """Each can be started and stopped by itself."""
    assert [unit.stem for unit in UNITS] == [
        "quantum-trader-live", "quantum-trader-notify", "quantum-trader-serve"
    ]


@pytest.mark.skipif(not HAS_SYSTEMD, reason="systemd-analyze is missing: the units are checked by their text alone")
@pytest.mark.parametrize("here", UNITS, indirect=True, ids=lambda unit: unit.stem)
def test_systemd_takes_the_unit(here: Path) -> None:
    """Without a warning."""
    checked = subprocess.run(
        ["systemd-analyze", "verify", str(here)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


@pytest.mark.skipif(not HAS_SYSTEMD, reason="systemd-analyze is missing: the units are checked by their text alone")
@pytest.mark.parametrize("here", UNITS, indirect=True, ids=lambda unit: unit.stem)
def test_systemd_finds_the_unit_little_exposed(here: Path) -> None:
    """Its own figure, from 0 to 10."""
    words = ["systemd-analyze", "security", "--no-pager"]
    if "--offline" not in subprocess.run([words[0], "--help"], capture_output=True, text=True, check=True).stdout:
        pytest.skip("this systemd-analyze judges running units only")
    found = subprocess.run([*words, "--offline=true", str(here)], capture_output=True, text=True, check=False)
    figure = re.search(r"Overall exposure level for \S+: ([\d.]+)", found.stdout)

    assert figure is not None, found.stderr
    assert float(figure[1]) <= MOST_EXPOSURE


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_runs_a_command_of_this_program_as_a_user_without_rights(unit: Path) -> None:
    """The command parses; no secret stands in the file, and a stop has time to be one in order."""
    found = dict(settings(unit))
    words = shlex.split(found["ExecStart"].replace("%S", "/var/lib"))
    command, rest, _ = leaf(words[1:])

    assert words[0] == PROGRAM
    assert command.make_context("quantum-trader", rest).params["state"] == Path("/var/lib/quantum-trader/live")
    assert (found["User"], found["CapabilityBoundingSet"], found["ProtectSystem"]) == ("quantum-trader", "", "strict")
    assert (found["KillSignal"], int(found["TimeoutStopSec"]) >= 60) == ("SIGTERM", True)
    assert found["EnvironmentFile"].startswith("-/etc/quantum-trader/")
    assert not re.search(r"(?i)(secret|token|password|_key)\s*=", unit.read_text())
