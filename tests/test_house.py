"""The house rules that no linter knows: shape of functions, pure rooms, documents that say what is true."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src" / "quantum_trader").rglob("*.py"))
OTHERS = ("tests", "tools", "benchmarks", "examples")
PYTHON = [*SOURCES, *sorted(path for name in OTHERS for path in (ROOT / name).rglob("*.py"))]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CLOCKS = re.compile(r"(datetime\.)?(datetime|date)\.(now|utcnow|today)|time\.(time(_ns)?|monotonic|sleep|perf_counter)")
CHANCE = re.compile(r"random\.\w+|np\.random\.(rand|randn|seed|choice|random|normal|uniform|randint|shuffle)")
MAY_READ_THE_CLOCK = {"journal", "app", "venues", "policy/clock.py", "market/download.py", "market/download_sources.py"}
MAX_FUNCTION = 60
RUN_QUICKLY = {("policy", "rules"), ("profile", "show"), ("profile", "compare"), ("config", "show")}


def inside(path: Path) -> str:
    """*path* within the package."""
    return path.relative_to(ROOT / "src" / "quantum_trader").as_posix()


def calls(path: Path) -> list[str]:
    """Every called name in *path*."""
    return [ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]


def test_no_function_is_longer_than_a_screen_and_a_half() -> None:
    """Past sixty lines a function is two."""
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in PYTHON
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno > MAX_FUNCTION
    ]

    assert long == []


def test_decisions_read_no_clock_and_draw_no_chance() -> None:
    """Time is an argument; chance comes from a generator that was handed in."""
    found = []
    for path in SOURCES:
        room = inside(path).split("/")[0]
        for name in calls(path):
            clock = CLOCKS.fullmatch(name) and room not in MAY_READ_THE_CLOCK and inside(path) not in MAY_READ_THE_CLOCK
            if clock or CHANCE.fullmatch(name):
                found.append(f"{inside(path)}: {name}")

    assert found == []


def test_only_app_prints_and_nothing_runs_foreign_code() -> None:
    """No print in the rooms below, no pickle, eval or exec anywhere."""
    found = [
        f"{inside(path)}: {name}"
        for path in SOURCES
        for name in calls(path)
        if (name == "print" and not inside(path).startswith("app/"))
        or name in ("pickle.load", "pickle.loads", "eval", "exec", "joblib.load")
    ]

    assert found == []


def test_the_policy_library_is_light() -> None:
    """Another bot that imports it gets neither numpy nor a compiler nor a terminal."""
    code = (
        "import sys\nfrom quantum_trader.policy import OrchestratorPolicy\nOrchestratorPolicy()\n"
        "print([m for m in ('numpy', 'numba', 'polars', 'pyarrow', 'ccxt', 'rich', 'typer') if m in sys.modules])"
    )

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert result.stdout.strip() == "[]"


def test_every_decision_is_in_the_index() -> None:
    """One line each, in order, under the title it has."""
    folder = ROOT / "docs" / "decisions"
    names = sorted(path.name for path in folder.glob("[0-9]*.md"))
    listed = re.findall(r"\]\((\d{4}-[^)]+\.md)\)", (folder / "README.md").read_text())

    assert listed == names
    assert len({name[:4] for name in names}) == len(names), "a number is taken once"


def test_links_between_documents_lead_somewhere() -> None:
    """Every relative link names a file that is there."""
    broken = [
        f"{path.relative_to(ROOT)} -> {target}"
        for path in DOCUMENTS
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())
        if not (path.parent / target).exists()
    ]

    assert broken == []


def test_the_reference_is_what_the_command_line_says() -> None:
    """`make docs` was run after the last change of a command."""
    result = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "make_cli_reference.py"), "--check"], capture_output=True, text=True,
        timeout=60, check=False,
    )

    assert result.returncode == 0, f"docs/reference-cli.md is behind: run `make docs`\n{result.stderr[-500:]}"


def documented() -> list[tuple[str, str]]:
    """Every command in a code block of the documents, with its place; the made reference has usages, not commands."""
    found = []
    for path in DOCUMENTS:
        if path.name == "reference-cli.md":
            continue
        fenced = False
        for line in path.read_text().splitlines():
            if line.lstrip().startswith("```"):
                fenced = not fenced
            code = line.strip().removeprefix("$ ").split("  #")[0]
            if (fenced or line.startswith("    ")) and code.startswith("quantum-trader "):
                found.append((path.relative_to(ROOT).as_posix(), code))
    return found


def leaf(words: list[str]) -> tuple[Any, list[str], tuple[str, ...]]:
    """The command that *words* name, the words after its name, and its path."""
    command, path = get_command(app), ()
    while hasattr(command, "list_commands"):
        context = command.context_class(command, info_name="quantum-trader")
        _, command, rest = command.resolve_command(context, words)
        path, words = (*path, words[0]), list(rest)
    return command, words, path


@pytest.mark.parametrize(("place", "line"), documented())
def test_documented_commands_are_commands(
    place: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each parses against the program; the quick ones that need no file are run."""
    monkeypatch.chdir(tmp_path)
    words = shlex.split(re.split(r"\s[<>|]\s?", line)[0])[1:]

    command, rest, path = leaf(words)
    context = command.make_context("quantum-trader", rest)

    assert context.params is not None, f"{place}: {line}"
    if path in RUN_QUICKLY:
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, f"{place}: {line}\n{result.stderr}"


def test_the_make_targets_of_the_documents_exist() -> None:
    """`make run`, `make test` and the others that a document names are in the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join(path.read_text() for path in DOCUMENTS)
    named = set(re.findall(r"(?:`|^    )make ([a-z-]+)", text, re.MULTILINE))

    assert {"run", "test"} <= named <= targets


def test_pins_cover_every_dependency_and_name_no_place() -> None:
    """constraints.txt pins exact versions by name alone, so that an install is the same anywhere."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()

    assert lines
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+_-]+", line) for line in lines)
