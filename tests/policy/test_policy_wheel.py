"""The policy as a distribution of its own: built, installed beside msgspec alone, and used there."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest
from tools.make_wheels import PACKAGE, POLICY, ROOT, WHOLE, build, policy_files

USE = """
import sys
sys.path.insert(0, sys.argv[1])
for name in ("numpy", "numba", "typer", "polars", "yaml"):
    try:
        __import__(name)
    except ImportError:
        continue
    raise SystemExit(f"{name} can be imported here: this is no test")

from quantum_trader.policy import OrchestratorPolicy, create_risk_state
policy = OrchestratorPolicy(profile_name="SAFE", state_path=sys.argv[2] + "/policy.json")
def ask(equity):
    return policy.update_policy(
        regime_tag="TRENDING", direction="UP", vol_level="NORMAL", now=1_798_725_600_000_000_000,
        risk_state=create_risk_state(
            daily_pnl_pct=0.0, losing_streak=0, open_trades_count=0, total_exposure_pct=0.0, equity=equity),
    )
assert ask(10_000.0).allow_new_trades and not ask(9_000.0).allow_new_trades
assert OrchestratorPolicy(profile_name="SAFE", state_path=sys.argv[2] + "/policy.json").latched

from quantum_trader.policy.entries import EntryQuestion, judge_entry
question = EntryQuestion(symbol="BTCUSDT", stake=100.0, stop_pct=3.0, equity=9_000.0)
assert judge_entry(policy.get_policy(), question).refusals[0].code == "B1"

from quantum_trader.market import CostModel, RegimeDetector, SymbolPerformanceManager
detector = RegimeDetector()
for hour in range(100):
    found = detector.add_bar(hour * 3_600 * 10**9, 101.0 + hour, 99.0 + hour, 100.0 + hour)
assert (found.trend_regime, found.direction.value) == ("TRENDING", "UP")
assert CostModel().estimate_cost(100.0, 103.0, 1.0, stop_loss=97.0).cost_in_R > 0.0
results = SymbolPerformanceManager()
for _ in range(10):
    results.update_stats("BTCUSDT", -1.0, -1.0)
assert not results.should_trade_symbol("BTCUSDT")

from quantum_trader.risk import ExitPolicyRegimeConfig, RiskGuard, SafetyGovernor
assert ExitPolicyRegimeConfig().get_exit_params("TRENDING").k1_SL > 0.0
RiskGuard(), SafetyGovernor()
from quantum_trader.policy.freqtrade import PolicyGuard
from quantum_trader.policy import OrchestratorIntegrationConfig, PolicyObserver, PolicyStore
foreign = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)
print(sorted(name for name in foreign if not name.startswith(("_", "zipimport"))))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The policy's wheel, built from this tree."""
    return build(POLICY, tmp_path_factory.mktemp("dist"))


def contents(wheel: Path) -> dict[str, bytes]:
    """Return the files of *wheel* but for those about the distribution."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}


def install(wheel: Path, target: Path) -> None:
    """Install *wheel* alone into *target*, without a network."""
    subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-index",
         "--no-compile", "--upgrade", "--target", str(target), str(wheel)],
        check=True, capture_output=True, timeout=120,
    )


def use(target: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run policy code against *target* and the standard library alone."""
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", USE, str(target), str(folder)], capture_output=True, text=True, timeout=60,
        check=False, cwd=folder,
    )


def test_the_policy_runs_beside_msgspec_alone(wheel: Path, tmp_path: Path) -> None:
    """Policy, entries, regime, costs, symbol results, risk guard, governor and the mixin; numpy is not there."""
    target = tmp_path / "site"
    install(wheel, target)
    shutil.copytree(Path(msgspec.__file__).parent, target / "msgspec")
    (tmp_path / "work").mkdir()

    done = use(target, tmp_path / "work")

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['msgspec', 'quantum_trader']"


def test_its_files_are_those_of_the_whole_program(wheel: Path, tmp_path: Path) -> None:
    """Byte for byte, so that installing both changes nothing, in whichever order."""
    whole, part = contents(build(WHOLE, tmp_path)), contents(wheel)

    assert set(part) == {f"quantum_trader/{name}" for name in policy_files()}
    assert {name: content for name, content in whole.items() if name in part} == part
    assert part["quantum_trader/policy/profile_data/SAFE.toml"]


@pytest.mark.long
@pytest.mark.parametrize("last", [POLICY, WHOLE])
def test_both_in_one_environment_are_the_whole_program(wheel: Path, tmp_path: Path, last: str) -> None:
    """pip installs them in either order; the files are those of the whole program, and pip lists both."""
    whole = build(WHOLE, tmp_path)
    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True, timeout=60)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(place / "bin" / "python")]
    for one in (whole, wheel) if last == POLICY else (wheel, whole):
        subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", "--no-compile", str(one)], check=True,
                       capture_output=True, timeout=120)
    listed = subprocess.run([*pip, "list"], check=True, capture_output=True, text=True, timeout=60).stdout
    (site,) = place.glob("lib/python3*/site-packages")

    there = {name: (site / name).read_bytes() for name in contents(whole)}

    assert there == contents(whole)
    assert all(re.search(rf"^{name} ", listed, re.MULTILINE) for name in (POLICY, WHOLE))


def test_the_same_tree_gives_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """Byte for byte."""
    assert build(POLICY, tmp_path).read_bytes() == wheel.read_bytes()


def test_its_metadata_names_msgspec_alone(wheel: Path) -> None:
    """Any Python from 3.11; numpy is an extra."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [one for one in archive.namelist() if one.endswith(".dist-info/METADATA")]
        lines = archive.read(name).decode().splitlines()

    assert "Requires-Python: >=3.11" in lines
    assert [line for line in lines if line.startswith("Requires-Dist:")] == [
        "Requires-Dist: msgspec>=0.22", 'Requires-Dist: numpy>=2.4; extra == "evidence"',
    ]
    assert any(line.startswith("License-Expression: MIT") for line in lines)


def imports(source: str) -> set[str]:
    """Return what *source* imports anywhere but for type checkers."""
    found = set()
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
    return found


def test_no_file_of_it_imports_what_it_lacks() -> None:
    """Apart from the evidence of a rollout, whose numpy is an extra."""
    files = set(policy_files())
    missing = []
    for one in sorted(name for name in files if name.endswith(".py")):
        for name in imports((PACKAGE / one).read_text()):
            top = name.partition(".")[0]
            if top == "quantum_trader":
                path = name.removeprefix("quantum_trader").lstrip(".").replace(".", "/")
                there = {f"{path}.py", f"{path}/__init__.py".lstrip("/")} & files
                missing += [] if there else [f"{one}: {name}"]
            elif top != "msgspec" and top not in sys.stdlib_module_names:
                missing.append(f"{one}: {name}")

    assert missing == ["policy/evidence.py: numpy"]


def test_the_makefile_builds_both() -> None:
    """`make wheels` runs the builder."""
    assert "tools/make_wheels.py" in (ROOT / "Makefile").read_text()
