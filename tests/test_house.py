"""The house rules that no linter knows: shape of functions, pure rooms, documents that say what is true."""

from __future__ import annotations

import ast
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
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
MAX_FUNCTION, MAX_METHODS, MAX_ATTRIBUTES = 60, 40, 20
MARKER = r'python_version (<|<=|==|>=|>) "3\.\d+"'
PIN = re.compile(rf"[A-Za-z0-9._-]+==[A-Za-z0-9.+_-]+( ; {MARKER}( and {MARKER})*)?")
COUNT_FIELDS = {"bad_rows", "gaps", "holes", "missing_bars", "outages", "resumed", "rows"}
SUMS_OF_WHOLE_NUMBERS = {  # calls of the built-in sum that add whole numbers, with what they count
    "sum((part.size for part in parts))": "bytes of files",
    "sum((file.size for file in self.files))": "bytes of files",
    "sum((one.file_size for one in entries))": "bytes of arrays",
    "sum((seal.count for seal in gone))": "sealed records",
    "sum((seal.count for seal in seals))": "sealed records",
    "sum(counts)": "trades in each class of a histogram",
    "sum(counts.values())": "records of each kind; moments of each kind",
    "sum(facts.refusals.values())": "refusals of each reason",
    "sum(refusals.values())": "refusals of each reason",
    "sum(source.decisions.values())": "decisions of each reason",
    "sum(one.decisions.values())": "decisions of each reason",
    "sum(decisions.values())": "decisions of each reason",
    "sum(loose.values())": "records of each day",
    "sum(map(len, blocks))": "bytes",
    "sum((one.seq for one in manifest.producers.values()))": "events of each producer",
    "sum(saved['engine']['seq'].values())": "records of each source",
    "sum(self.checkpoint['engine']['seq'].values())": "records of each source",
    "sum((one.input_tokens for one in calls))": "tokens",
    "sum((one.output_tokens for one in calls))": "tokens",
    "sum((len(one.text.encode()) + _MESSAGE_TOKENS for one in messages))": "tokens",
    "sum(map(len, figures[name]))": "figures",
    "sum((day.decisions for day in seen))": "decisions of each day",
    "sum(stats.dropped.values())": "dropped events of each producer",
    "sum((leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self.shape_of([0], table))))": "bytes of arrays",
}
TWO_HOMES = {  # names that two modules may define, with the reason
    "main": "the entry point of a process: the command line's and the flusher's",
    "upgrade|downgrade": "a migration of a database: its tool calls them by these names",
    r"\w+_command": "a command of the command line: it is registered where it is written and nobody imports it",
}
RUN_QUICKLY = {("policy", "rules"), ("profile", "show"), ("profile", "compare"), ("config", "show")}


def inside(path: Path) -> str:
    """*path* within the package."""
    return path.relative_to(ROOT / "src" / "quantum_trader").as_posix()


def defined_names(path: Path) -> set[str]:
    """Every function, class and method (`Class.method`) that *path* defines."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{item.name}" for item in node.body if isinstance(item, ast.FunctionDef)}
    return names


def test_every_function_named_as_an_answer_in_the_architecture_exists() -> None:
    """The table "Where to find it" names files and functions that are there."""
    named = re.findall(r"`([\w/]+\.py): ([\w.]+)`", (ROOT / "docs" / "architecture.md").read_text())
    assert len(named) >= 15
    missing = [
        f"{file}: {name}" for file, name in named if name not in defined_names(ROOT / "src" / "quantum_trader" / file)
    ]
    assert not missing


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


def classes() -> dict[str, list[tuple[Path, ast.ClassDef]]]:
    """Every class of the package by its name, with the file it is in; two files may each have one of a name."""
    found: dict[str, list[tuple[Path, ast.ClassDef]]] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append((path, node))
    return found


def methods(cls: ast.ClassDef) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The methods that *cls* itself defines."""
    return [node for node in cls.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def attributes(cls: ast.ClassDef) -> set[str]:
    """The attributes that the methods of *cls* assign on self."""
    return {
        node.attr for method in methods(cls) for node in ast.walk(method)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
    }


def private_overrides(known: dict[str, list[tuple[Path, ast.ClassDef]]]) -> list[str]:
    """Methods named with one leading underscore that replace one of a base class in another file."""
    found = []
    for path, cls in (one for several in known.values() for one in several):
        own = {method.name for method in methods(cls) if re.match(r"_[^_]", method.name)}
        ahead, seen = [ast.unparse(base) for base in cls.bases], set()
        while ahead:
            name = ahead.pop().rpartition(".")[2].partition("[")[0]
            for there, base in known.get(name, []) if name not in seen else []:
                ahead += [ast.unparse(above) for above in base.bases]
                shared = own & {method.name for method in methods(base)} if there != path else set()
                found += [f"{inside(path)}: {cls.name}.{method} overrides {inside(there)}" for method in sorted(shared)]
            seen.add(name)
    return found


def test_no_class_is_too_large() -> None:
    """At most forty methods and twenty attributes: past that a class is several, each the owner of its facts."""
    large = [
        f"{inside(path)}: {cls.name} has {len(methods(cls))} methods and {len(attributes(cls))} attributes"
        for several in classes().values() for path, cls in several
        if len(methods(cls)) > MAX_METHODS or len(attributes(cls)) > MAX_ATTRIBUTES
    ]

    assert large == []


def test_no_class_overrides_a_private_method_of_another_file() -> None:
    """A part is handed in; what begins with one underscore is for the file it is in."""
    assert private_overrides(classes()) == []


def test_an_override_of_a_private_method_is_found() -> None:
    """Through a base class between them too, and only across files."""
    sources = {
        "a.py": "class A:\n    def _do(self): ...\n    def __init__(self): ...\n",
        "b.py": "class B(A): ...\n",
        "c.py": "class C(b.B):\n    def _do(self): ...\n    def __init__(self): ...\n\n"
                "class D(C):\n    def _do(self): ...\n",
    }
    known = {
        cls.name: [(SOURCES[0].parent / name, cls)] for name, text in sources.items() for cls in ast.parse(text).body
        if isinstance(cls, ast.ClassDef)
    }

    assert private_overrides(known) == ["c.py: C._do overrides a.py", "c.py: D._do overrides a.py"]


def constants(body: list[ast.stmt]) -> list[ast.Name]:
    """The names that the statements of *body*, a module's, assign."""
    assigned = [node for node in body if isinstance(node, ast.Assign | ast.AnnAssign)]
    targets = [target for node in assigned for target in (
        node.targets if isinstance(node, ast.Assign) else [node.target]
    )]
    return [node for target in targets for node in ast.walk(target)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


def test_no_constant_has_a_prefix_of_one_letter() -> None:
    """A table's columns have a module of their own or a prefix in words: one letter means something else elsewhere."""
    found = [
        f"{inside(path)}:{name.lineno} {name.id}"
        for path in SOURCES for name in constants(ast.parse(path.read_text()).body) if re.match(r"[A-Z]_", name.id)
    ]

    assert found == []


def test_a_prefix_of_one_letter_is_found_in_a_tuple_too() -> None:
    """The constants of a table are often assigned together."""
    source = "P_TAG, (P_RING, AVG_R) = 0, (1, 2)\nM_SIZE: Final = 3\nx = row[P_TAG]\n"

    assert [name.id for name in constants(ast.parse(source).body)] == ["P_TAG", "P_RING", "AVG_R", "M_SIZE", "x"]


def public_names(tree: ast.Module) -> set[str]:
    """The public classes, functions and type aliases of a module; an alias is an assigned name in CamelCase."""
    named = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    aliases = [name.id for name in constants(tree.body) if re.fullmatch(r"[A-Z]\w*[a-z]\w*", name.id)]
    return {name for name in named + aliases if not name.startswith("_")}


def names_with_two_homes(modules: dict[str, str]) -> list[str]:
    """Public names that several of *modules* (path -> source) define, those in TWO_HOMES left out."""
    homes: dict[str, list[str]] = {}
    for path, source in sorted(modules.items()):
        for name in public_names(ast.parse(source)):
            homes.setdefault(name, []).append(path)
    return [
        f"{name}: {', '.join(paths)}" for name, paths in sorted(homes.items())
        if len(paths) > 1 and not any(re.fullmatch(allowed, name) for allowed in TWO_HOMES)
    ]


def test_a_public_name_has_one_home() -> None:
    """No class, function or type alias is defined in two modules: what is the same is imported."""
    assert names_with_two_homes({inside(path): path.read_text() for path in SOURCES}) == []


def test_a_name_with_two_homes_is_found() -> None:
    """A class beside an alias of its name too; constants, private names and commands may repeat."""
    modules = {
        "a.py": "SIZE = 1\nclass Market: ...\ndef _one(): ...\ndef main(): ...\ndef show_command(): ...\n",
        "b.py": "SIZE = 2\nMarket = tuple[int, int]\ndef _one(): ...\ndef main(): ...\ndef show_command(): ...\n",
        "c.py": "from a import Market\nasync def status(): ...\n",
        "d.py": "def status(): ...\n",
    }

    assert names_with_two_homes(modules) == ["Market: a.py, b.py", "status: c.py, d.py"]


def test_the_engine_imports_no_asyncio() -> None:
    """Neither at the top of a module nor inside a function: the engine waits for nothing."""
    found = [
        f"{inside(path)}:{node.lineno}"
        for path in SOURCES if inside(path).startswith("engine/")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom) and re.search(r"\basyncio\b", ast.unparse(node))
    ]

    assert found == []


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


def test_the_reference_of_metrics_is_what_the_catalogue_says() -> None:
    """`make docs` was run after the last change of the catalogue."""
    result = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "make_metric_reference.py"), "--check"], capture_output=True, text=True,
        timeout=60, check=False,
    )

    assert result.returncode == 0, f"docs/reference-metrics.md is behind: run `make docs`\n{result.stderr[-500:]}"


def test_the_reference_of_the_api_is_what_its_roads_say() -> None:
    """`make docs` was run after the last change of a road."""
    result = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "make_api_reference.py"), "--check"], capture_output=True, text=True,
        timeout=60, check=False,
    )

    assert result.returncode == 0, f"docs/reference-api.md is behind: run `make docs`\n{result.stderr[-500:]}"


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
    assert all(PIN.fullmatch(line) for line in lines)
    unmarked = [line.split("==")[0].lower() for line in lines if ";" not in line]
    marked = {line.split("==")[0].lower() for line in lines if ";" in line}
    assert len(set(unmarked)) == len(unmarked), "a library has one pin, or several with markers"
    assert marked.isdisjoint(unmarked)


def test_a_pin_may_be_for_some_pythons_only() -> None:
    """A marker states the Pythons for which a version is; nothing else follows a version."""
    assert PIN.fullmatch('jax==0.10.2 ; python_version < "3.12"')
    assert PIN.fullmatch('jax==0.11.0 ; python_version >= "3.12" and python_version < "3.14"')
    assert not PIN.fullmatch("jax==0.10.2 ; sys_platform")
    assert not PIN.fullmatch("jax @ https://example.org/jax.whl")
    assert not PIN.fullmatch("jax>=0.10")


def test_the_supported_pythons_are_stated_alike() -> None:
    """requires-python, the classifiers, the Makefile and the README name the same versions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [one.rsplit(" ", 1)[1] for one in project["classifiers"] if re.search(r":: 3\.\d+$", one)]
    makefile = re.search(r"^PYTHONS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert named == ["3.11", "3.12", "3.13"]
    assert project["requires-python"] == ">=3.11,<3.14"
    assert makefile is not None
    assert sorted(makefile[1].split()) == named
    assert "Python 3.11, 3.12 or 3.13" in (ROOT / "README.md").read_text()


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`make` with our Makefile in *folder*, whose own programs come first on the path."""
    quiet = {name: value for name, value in os.environ.items() if name not in {"PYTHON", "MAKEFLAGS", "MAKELEVEL"}}
    return subprocess.run(
        ["make", "--no-print-directory", "--file", str(ROOT / "Makefile"), *words], cwd=folder, capture_output=True,
        text=True, timeout=60, check=False, env={**quiet, "PATH": f"{folder}:{os.environ['PATH']}"},
    )


def test_make_takes_the_newest_python_that_starts(tmp_path: Path) -> None:
    """A python3.13 that refuses to start, as pyenv's does where none is chosen, is passed over."""
    for name, answer in (("python3.13", "exit 127"), ("python3.12", "exit 0"), ("python3.11", "exit 0")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{answer}\n")
        (tmp_path / name).chmod(0o755)

    assert make(tmp_path, "--eval=chosen: ; @echo $(PYTHON)", "chosen").stdout == "python3.12\n"


def test_make_says_which_pythons_it_needs(tmp_path: Path) -> None:
    """An interpreter that is too old or too new is named beside the supported ones, and no environment is made."""
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)

    refused = make(tmp_path, f"PYTHON={sys.executable}", "PYTHONS=3.9 3.10", ".venv/.core")

    assert refused.returncode != 0
    assert "runs on Python 3.11, 3.12 or 3.13" in refused.stderr
    assert f"is Python {platform.python_version()}" in refused.stderr
    assert not (tmp_path / ".venv").exists()


def is_whole(node: ast.expr) -> bool:
    """Whether *node* is plainly a whole number: an integer, a length, a truth value, a field of counts."""
    match node:
        case ast.Constant(value=int()) | ast.Compare() | ast.UnaryOp(op=ast.Not()):
            return True
        case ast.Call(func=ast.Name(id="len" | "int" | "is_hole")):
            return True
        case ast.Attribute(attr=field):
            return field in COUNT_FIELDS
        case ast.BoolOp(values=parts):
            return all(is_whole(part) for part in parts)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):
            return is_whole(left) and is_whole(right)
        case _:
            return False


def adds_whole_numbers(call: ast.Call) -> bool:
    """Whether *call*, of the built-in sum, adds whole numbers."""
    match call.args:
        case [ast.GeneratorExp(elt=each) | ast.ListComp(elt=each)] if is_whole(each):
            return True
        case _:
            return ast.unparse(call) in SUMS_OF_WHOLE_NUMBERS


def float_sums(source: str) -> list[str]:
    """Uses of the built-in sum in *source* that may add floats, as text."""
    nodes = list(ast.walk(ast.parse(source)))
    sums = [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == "sum"]
    called = {id(node.func) for node in sums}
    handed_on = [node for node in nodes if isinstance(node, ast.Name) and node.id == "sum" and id(node) not in called]
    return [ast.unparse(node) for node in (*handed_on, *(call for call in sums if not adds_whole_numbers(call)))]


def test_floats_are_added_in_a_stated_order() -> None:
    """The built-in sum is for whole numbers; its sum of floats differs between versions of Python."""
    found = [f"{inside(path)}: {text}" for path in SOURCES for text in float_sums(path.read_text())]

    assert found == [], "use domain.ordered_sum.ordered_sum, or name it in SUMS_OF_WHOLE_NUMBERS"


@pytest.mark.parametrize(
    "text", ["sum(p.margin for p in held)", "sum(known)", "sum(a or b for a, b in rows)", "map(sum, rows)"]
)
def test_a_sum_of_floats_is_found(text: str) -> None:
    """Fields that are no counts, bare names, choices between values, and sum handed on."""
    assert float_sums(text)


def test_every_stated_sum_of_whole_numbers_is_in_use() -> None:
    """An exception that no source needs is taken off the list."""
    used = {
        ast.unparse(node) for path in SOURCES for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    }

    assert set(SUMS_OF_WHOLE_NUMBERS) <= used
