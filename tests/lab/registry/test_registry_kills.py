"""kill -9 before and after every step that touches the disk, in register, promote, rollback, export and import.

A helper process imports everything once and forks a child for each step. The child kills itself with SIGKILL there; the
helper then looks at what is left, and does the same again to the end.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.pilot.made_pilot import saved
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.lab.registry import ModelRegistry

HELPER = '''
import hashlib, json, os, shutil, signal, sys
from pathlib import Path
from quantum_trader.lab.registry import ModelRegistry
from quantum_trader.lab.registry.package import unpack_model

what, when, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
STEPS = ("open", "write", "fsync", "replace", "rename", "mkdir", "unlink", "rmdir", "close", "link", "ftruncate")


def do(place):
    registry = ModelRegistry(place / "registry", clock=lambda: 5)
    if what == "register":
        registry.register_model(folder / "new")
    elif what == "promote":
        registry.promote(registry.model_ids()[0], "champion", actor="ann", reason="x", seen_version=None,
                         without_evidence="a test")
    elif what == "rollback":
        one, other = registry.model_ids()
        if registry.state.version == 3:
            registry.rollback("champion", actor="ann", reason="x", seen_version=3)
    elif what == "export":
        registry.export_model(registry.model_ids()[0], place / "out.tar")
    else:
        registry.import_model(folder / "package.tar", trust=(folder / "key").read_text(), actor="ann")


def looked_at(place):
    """What is left: every model that is listed is whole, every state readable, no half file."""
    registry = ModelRegistry(place / "registry")
    state = registry.state
    left = sorted(one.name for one in place.iterdir() if not one.name.startswith(".") and one.name != "registry")
    if left:
        unpack_model((place / "out.tar").read_bytes(), "out.tar")
    models = place / "registry" / "models"
    files = {str(one.relative_to(models)): hashlib.sha256(one.read_bytes()).hexdigest()
             for one in sorted(models.rglob("*")) if one.is_file()}
    return {
        "whole": all(registry.verify_model(one).ok for one in registry.model_ids()),
        "models": registry.model_ids(), "files": files, "left": left, "version": state.version,
        "aliases": state.aliases.get("pilot", {}), "trusted": len(state.trusted),
    }


def child(place, last):
    """Do it, and die before or after the step number *last*."""
    count = 0

    def counted(real):
        def call(*args, **options):
            nonlocal count
            count += 1
            mine = count == last
            if mine and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return real(*args, **options)
            finally:
                if mine:
                    os.kill(os.getpid(), signal.SIGKILL)
        return call

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
    do(place)
    os._exit(0)


last, told = 0, []
while True:
    last += 1
    place = folder / f"{what}-{when}-{last}"
    shutil.copytree(folder / "start", place)
    before = looked_at(place)
    pid = os.fork()
    if pid == 0:
        child(place, last)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        assert os.WEXITSTATUS(status) == 0, status
        break
    after = looked_at(place)
    if (place / "registry").exists():
        shutil.copytree(place / "registry", folder / "seen" / f"{what}-{last}")
    (place / "out.tar").unlink(missing_ok=True)
    do(place)
    unfinished = [str(one) for one in (place / "registry").rglob("*") if "unfinished/" in str(one)]
    told.append({"before": before, "after": after, "again": looked_at(place), "unfinished": unfinished})
print(json.dumps(told))
'''


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("what", "first"), [
    ("register", False), ("register", True), ("promote", False), ("rollback", False), ("export", False),
    ("import", False), ("import", True),
])
def test_a_kill_at_any_step_leaves_a_registry_that_goes_on(
    what: str, first: bool, when: str, tmp_path: Path
) -> None:
    """What is there is as it was before or as it is afterwards, never between, and `registry verify` passes; the same
    again works. The registry's own key, the key of an import, and the model are changes of their own, in this order.

    *first*: the registry is not there before.
    """
    kills = killed(what, first, when, tmp_path)
    assert len(kills) >= 5
    seen = set()
    for kill in kills:
        before, after, again = kill["before"], kill["after"], kill["again"]
        assert after["whole"]
        assert again["whole"]
        assert kill["unfinished"] == []
        assert after["left"] in ([], again["left"])
        assert again["left"] == (["out.tar"] if what == "export" else [])
        for key in ("aliases", "files"):
            assert after[key] in (before[key], again[key]), "each is before or after"
        assert before["trusted"] <= after["trusted"] <= again["trusted"], "keys are trusted one by one"
        assert after["files"] == before["files"] or after["trusted"] == again["trusted"], "no model without its key"
        seen.add(json.dumps([after[key] for key in ("version", "aliases", "trusted", "models")]))
        if what in ("register", "import"):
            assert set(again["models"]) > set(before["models"])
    if what != "export":
        assert len(seen) >= 2, "some kills came before the change, and some after it"
    for place in sorted((tmp_path / "seen").iterdir()):
        result = CliRunner().invoke(app, ["registry", "verify", "--registry", str(place), "--json"])
        assert (result.exit_code, json.loads(result.stdout)["ok"]) == (0, True), result.output


def killed(what: str, first: bool, when: str, folder: Path) -> list[dict[str, dict[str, object]]]:
    """What was left after a kill at each step of *what*."""
    start = folder / "start"
    start.mkdir()
    if not first:
        registry = ModelRegistry(start / "registry", clock=lambda: 4)
        ids = [registry.register_model(saved(folder / "old", 3)).record.model_id]
        if what == "rollback":
            ids.append(registry.register_model(saved(folder / "second", 5)).record.model_id)
            for model_id in ids:
                registry.promote(model_id, "champion", actor="ann", reason="x", seen_version=None,
                                 without_evidence="a test")
    saved(folder / "new", 4)
    other = ModelRegistry(folder / "other")
    other.export_model(other.register_model(folder / "new").record.model_id, folder / "package.tar")
    (folder / "key").write_text(other.state.own_key)
    (folder / "seen").mkdir()
    result = subprocess.run(
        [sys.executable, "-c", HELPER, what, when, str(folder)], capture_output=True, text=True, timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found: list[dict[str, dict[str, object]]] = json.loads(result.stdout)
    return found


def test_of_two_processes_that_promote_at_once_one_wins(tmp_path: Path) -> None:
    """Both decide on the same version and start together; the other is told, and the champion is the winner's."""
    registry = ModelRegistry(tmp_path / "registry")
    ids = [registry.register_model(saved(tmp_path / str(seed), seed)).record.model_id for seed in (3, 4)]
    code = (
        "import sys\nfrom quantum_trader.lab.registry import ModelRegistry\n"
        "registry = ModelRegistry(sys.argv[1])\nprint('ready', flush=True)\nsys.stdin.readline()\n"
        "registry.promote(sys.argv[2], 'champion', actor=sys.argv[2][:6], reason='x', seen_version=1, "
        "without_evidence='a test')\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(registry.folder), one], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for one in ids
    ]
    for one in both:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    told = []
    for one in both:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    for one in both:
        told.append(one.communicate(timeout=60)[1])

    codes = [one.returncode for one in both]
    assert sorted(codes) == [0, 1]
    assert "StaleRegistryError" in told[codes.index(1)]
    assert registry.resolve("champion") == ids[codes.index(0)]
    assert registry.state.version == 2
