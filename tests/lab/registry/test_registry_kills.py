"""kill -9 before every step that touches the disk, in register, promote, export and import: the registry stays usable.

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

from quantum_trader.lab.registry import ModelRegistry

HELPER = '''
import json, os, shutil, signal, sys
from pathlib import Path
from quantum_trader.lab.registry import ModelRegistry
from quantum_trader.lab.registry.package import unpack_model

what, folder = sys.argv[1], Path(sys.argv[2])
STEPS = ("open", "write", "fsync", "replace", "rename", "mkdir", "unlink", "rmdir")


def do(place):
    registry = ModelRegistry(place / "registry")
    if what == "register":
        registry.register_model(folder / "new")
    elif what == "promote":
        registry.promote(registry.model_ids()[0], "champion", actor="ann", reason="x", seen_version=None)
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
    return {
        "whole": all(registry.verify_model(one).ok for one in registry.model_ids()),
        "models": len(registry.model_ids()),
        "champion": state.aliases.get("pilot", {}).get("champion", ""), "left": left,
    }


def child(place, last):
    """Do it, and die before the step number *last*."""
    count = 0

    def counted(real):
        def call(*args, **options):
            nonlocal count
            count += 1
            if count == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **options)
        return call

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
    do(place)
    os._exit(0)


last, told = 0, []
while True:
    last += 1
    place = folder / f"{what}-{last}"
    shutil.copytree(folder / "start", place)
    pid = os.fork()
    if pid == 0:
        child(place, last)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        assert os.WEXITSTATUS(status) == 0, status
        break
    after = looked_at(place)
    (place / "out.tar").unlink(missing_ok=True)
    do(place)
    unfinished = [str(one) for one in (place / "registry").rglob("*") if "unfinished/" in str(one)]
    told.append({"after": after, "again": looked_at(place), "unfinished": unfinished})
print(json.dumps(told))
'''


@pytest.mark.parametrize(("what", "first"), [
    ("register", False), ("register", True), ("promote", False), ("export", False), ("import", False), ("import", True),
])
def test_a_kill_at_any_step_leaves_a_registry_that_goes_on(what: str, first: bool, tmp_path: Path) -> None:
    """The model is whole or not there, the alias before or after, the file whole or not there; the same again works.

    *first*: the registry is not there before.
    """
    start = tmp_path / "start"
    start.mkdir()
    if not first:
        ModelRegistry(start / "registry").register_model(saved(tmp_path / "old", 3))
    saved(tmp_path / "new", 4)
    other = ModelRegistry(tmp_path / "other")
    other.export_model(other.register_model(tmp_path / "new").record.model_id, tmp_path / "package.tar")
    (tmp_path / "key").write_text(other.state.own_key)

    result = subprocess.run(
        [sys.executable, "-c", HELPER, what, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )

    assert result.returncode == 0, result.stderr
    kills = json.loads(result.stdout)
    assert len(kills) >= 5
    before = 0 if first else 1
    after = before + (what in ("register", "import"))
    for kill in kills:
        assert kill["after"]["whole"]
        assert kill["after"]["models"] in (before, after)
        assert kill["after"]["left"] in ([], kill["again"]["left"])
        assert kill["again"]["whole"]
        assert kill["again"]["models"] == after
        assert kill["again"]["left"] == (["out.tar"] if what == "export" else [])
        assert kill["unfinished"] == []
    assert {kill["after"]["models"] for kill in kills} == {before, after}
    if what == "promote":
        assert {kill["after"]["champion"] for kill in kills} == {"", kills[0]["again"]["champion"]}


def test_of_two_processes_that_promote_at_once_one_wins(tmp_path: Path) -> None:
    """Both decide on the same version and start together; the other is told, and the champion is the winner's."""
    registry = ModelRegistry(tmp_path / "registry")
    ids = [registry.register_model(saved(tmp_path / str(seed), seed)).record.model_id for seed in (3, 4)]
    code = (
        "import sys\nfrom quantum_trader.lab.registry import ModelRegistry\n"
        "registry = ModelRegistry(sys.argv[1])\nprint('ready', flush=True)\nsys.stdin.readline()\n"
        "registry.promote(sys.argv[2], 'champion', actor=sys.argv[2][:6], reason='x', seen_version=1)\n"
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
