"""The model registry: what it keeps of a model, what it refuses to load, and who moved an alias."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.lab.registry.made_registry import NOON, files, opened, promote, with_pilots
from tests.pilot.made_pilot import saved, untrained

from quantum_trader.app.runs.pilot_run import bundled_folder
from quantum_trader.domain.errors import ConfigError, DataError, InputError, StateError
from quantum_trader.journal.keys import SigningKey, new_private_key
from quantum_trader.lab.registry import ModelRegistry
from quantum_trader.lab.registry.kinds import KINDS, ReadModel
from quantum_trader.lab.registry.record import ModelRecord, decode_record, files_of, sign_record
from quantum_trader.lab.registry.registry import StaleRegistryError
from quantum_trader.lab.registry.state import HISTORY, Author, RegistryState, promoted
from quantum_trader.pilot.artefact import Artefact, load_artefact, save_artefact, weights_hash


# ---- registering ----------------------------------------------------------------------------------------------------
def test_a_registered_pilot_is_loaded_as_it_was(tmp_path: Path) -> None:
    """By its id, which is the identity that runs record; the record says where it came from."""
    registry = opened(tmp_path / "registry")
    parent = "ab" * 32
    made = registry.register_model(saved(tmp_path / "pilot", 3), git_commit="c0ffee", parents=[parent], notes="first")
    loaded = registry.load_model(made.record.model_id)

    card = untrained(3).card
    assert made.is_new
    assert loaded.record.model_id == loaded.artefact.card.identity == card.identity
    assert weights_hash(loaded.artefact.weights) == card.weights_hash
    record = loaded.record
    assert (record.kind, record.name, record.registered_ns) == ("pilot", "untrained 3", NOON)
    assert (record.git_commit, record.parents, record.notes) == ("c0ffee", (parent,), "first")
    assert record.features_hash == card.scalers.feature_hash
    assert record.data["symbols"] == ["BTCUSDT"]
    assert [file.name for file in record.files] == ["card.json", "weights.npz"]


def test_registering_again_changes_nothing(tmp_path: Path) -> None:
    """The same content is the same model; its record stays."""
    registry, [model_id] = with_pilots(tmp_path, 3)
    before = files(registry.folder)
    again = registry.register_model(tmp_path / "pilot-3", notes="other words")

    assert (again.is_new, again.record.notes, again.record.model_id) == (False, "", model_id)
    assert files(registry.folder) == before


def test_a_damaged_model_is_written_anew_by_registering_it(tmp_path: Path) -> None:
    """What lay there is set aside and keeps its content."""
    registry, [model_id] = with_pilots(tmp_path, 3)
    damage(registry, model_id, "card.json", b"{}")
    assert registry.register_model(tmp_path / "pilot-3").is_new
    assert registry.verify_model(model_id).ok
    assert (registry.folder / "models" / f"{model_id}.damaged-1" / "card.json").read_bytes() == b"{}"
    assert registry.model_ids() == [model_id]


@pytest.mark.parametrize(("break_it", "told"), [
    (lambda folder: (folder / "weights.npz").unlink(), r"weights\.npz: cannot be read"),
    (lambda folder: (folder / "card.json").write_text("{}"), "is not the card"),
    (lambda folder: saved(folder, 4).joinpath("card.json").write_bytes(
        saved(folder.parent / "other", 5).joinpath("card.json").read_bytes()), "its hash is"),
])
def test_a_folder_without_a_whole_pilot_is_not_registered(
    break_it: Callable[[Path], Any], told: str, tmp_path: Path
) -> None:
    """The reason is said, and no registry is made."""
    folder = saved(tmp_path / "pilot", 3)
    break_it(folder)
    with pytest.raises(DataError, match=told):
        opened(tmp_path / "registry").register_model(folder)
    assert not (tmp_path / "registry").exists()


def test_a_pilot_of_other_features_is_not_registered(tmp_path: Path) -> None:
    """The features of a model are those of the program."""
    with pytest.raises(ConfigError, match="made with other features"):
        opened(tmp_path / "registry").register_model(with_other_features(tmp_path / "pilot"))


def test_unknown_kinds_and_bad_parents_are_refused(tmp_path: Path) -> None:
    """The known kinds are named; a parent is an id."""
    registry = opened(tmp_path / "registry")
    with pytest.raises(ConfigError, match=r"kind = 'oracle'.*pilot"):
        registry.register_model(saved(tmp_path / "pilot"), "oracle")
    with pytest.raises(InputError, match=r"parents = 'mine'.*64 hexadecimal"):
        registry.register_model(tmp_path / "pilot", parents=["mine"])
    with pytest.raises(InputError, match=r"notes = .*at most 4,000 characters"):
        registry.register_model(tmp_path / "pilot", notes="x" * 4_001)
    assert not (tmp_path / "registry").exists()


def test_the_private_key_is_private(tmp_path: Path) -> None:
    """Made on first use with mode 0600; with another mode nothing is signed."""
    registry, _ = with_pilots(tmp_path, 3)
    key = registry.folder / "signing-key.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    assert registry.state.own_key == SigningKey.open_or_create(key).public
    key.chmod(0o640)
    with pytest.raises(StateError, match=r"has mode 0640.*chmod 600"):
        registry.register_model(saved(tmp_path / "another", 8))


# ---- refusals -------------------------------------------------------------------------------------------------------
def damage(registry: ModelRegistry, model_id: str, name: str, content: bytes | None) -> None:
    """Replace a file of a model; None removes it."""
    path = registry.folder / "models" / model_id / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


def with_other_features(folder: Path) -> Path:
    """A whole pilot whose features are not those of this program."""
    made = untrained(3)
    scalers = msgspec.structs.replace(made.card.scalers, feature_hash="0" * 64)
    save_artefact(folder, Artefact(card=msgspec.structs.replace(made.card, scalers=scalers), weights=made.weights))
    return folder


def flipped(content: bytes) -> bytes:
    """*content* with one bit changed in its middle."""
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1:]


def resigned(registry: ModelRegistry, place: str, key: SigningKey, **changes: Any) -> bytes:
    """The record of the model in *place* with *changes*, signed with *key*."""
    old = decode_record((registry.folder / "models" / place / "model.json").read_bytes(), "model.json").record
    return sign_record(msgspec.structs.replace(old, **changes), key)


def refusal(registry: ModelRegistry, model_id: str) -> str:
    """Why the model is not loaded; it must be the same for verify, load, promote and export."""
    checked = registry.verify_model(model_id)
    assert not checked.ok
    for use in (
        lambda: registry.load_model(model_id), lambda: promote(registry, model_id),
        lambda: registry.export_model(model_id, registry.folder.parent / "refused.tar"),
    ):
        with pytest.raises(DataError) as caught:
            use()
        assert "; ".join(checked.troubles) in str(caught.value)
    assert registry.state.aliases == {}
    assert not (registry.folder.parent / "refused.tar").exists()
    return "; ".join(checked.troubles)


@pytest.mark.parametrize(("name", "change", "told"), [
    ("weights.npz", flipped, "weights.npz was altered"),
    ("card.json", flipped, "card.json was altered"),
    ("card.json", lambda content: content + b"\n", "card.json was altered"),
    ("weights.npz", lambda _: None, "weights.npz is missing"),
    ("card.json", lambda _: None, "card.json is missing"),
    ("model.json", lambda _: None, "model.json cannot be read: No such file"),
    ("model.json", lambda _: b"[]", "model.json: is not the record of a model"),
    ("model.json", lambda content: content.replace(b"untrained", b"trained!!"), "the signature is wrong"),
])
def test_an_altered_model_is_refused(
    name: str, change: Callable[[bytes], bytes | None], told: str, tmp_path: Path
) -> None:
    """One bit, one blank, a file gone: each is named, whatever is asked of the model."""
    registry, [model_id] = with_pilots(tmp_path, 3)
    damage(registry, model_id, name, change((registry.folder / "models" / model_id / name).read_bytes()))

    assert told in refusal(registry, model_id)


def test_a_file_that_is_a_link_or_too_many_is_refused(tmp_path: Path) -> None:
    """A link is never followed, and nothing lies in a model's folder that is not in its record."""
    registry, [linked, full] = with_pilots(tmp_path, 3, 4)
    card = registry.folder / "models" / linked / "card.json"
    card.rename(tmp_path / "card.json")
    card.symlink_to(tmp_path / "card.json")
    damage(registry, full, "extra.bin", b"x")

    assert refusal(registry, linked).startswith("card.json cannot be read: is a symbolic link")
    assert "missing" not in refusal(registry, linked), "what could not be read is not called missing"
    assert refusal(registry, full) == "extra.bin is not in the record"


def test_a_model_signed_by_another_key_is_refused(tmp_path: Path) -> None:
    """Also where everything else is right: the key must be the registry's own or a trusted one."""
    registry, [model_id] = with_pilots(tmp_path, 3)
    other = SigningKey.from_pem(tmp_path, new_private_key())
    damage(registry, model_id, "model.json", resigned(registry, model_id, other))

    assert refusal(registry, model_id) == f"it is signed by the key {other.public}, which this registry does not trust"


@pytest.mark.parametrize(("changes", "told"), [
    ({"features_hash": "0" * 64}, "it reads the features"),
    ({"model_id": "0" * 64}, "the record is of the model 0000"),
    ({"kind": "oracle"}, "kind oracle: this program reads pilot"),
    ({"name": "a better one"}, "the record and the model differ in their name"),
    ({"metrics": {"seeds": 32.0}}, "the record and the model differ in their metrics"),
    ({"data": {"symbols": []}}, "the record and the model differ in their data"),
])
def test_a_signed_record_that_is_not_the_models_is_refused(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    """A good signature under wrong features, another id or an unknown kind permits nothing."""
    registry, [model_id] = with_pilots(tmp_path, 3)
    own = SigningKey.open_or_create(registry.folder / "signing-key.pem")
    damage(registry, model_id, "model.json", resigned(registry, model_id, own, **changes))

    assert told in refusal(registry, model_id)


def test_a_model_of_features_that_the_program_no_longer_has_is_refused(tmp_path: Path) -> None:
    """Signed and whole, but made for another list of features."""
    registry, [model_id] = with_pilots(tmp_path, 3)
    own = SigningKey.open_or_create(registry.folder / "signing-key.pem")
    folder = with_other_features(tmp_path / "old")
    contents = {name: (folder / name).read_bytes() for name in ("card.json", "weights.npz")}
    for name, content in contents.items():
        damage(registry, model_id, name, content)
    changes = {"files": files_of(contents), "features_hash": "0" * 64}
    damage(registry, model_id, "model.json", resigned(registry, model_id, own, **changes))

    assert "made with other features" in refusal(registry, model_id)


def test_what_a_name_means(tmp_path: Path) -> None:
    """An alias, a whole id, its beginning; anything else is refused with what would do."""
    registry, [one, two] = with_pilots(tmp_path, 3, 4)
    promote(registry, one)

    assert registry.resolve("champion") == registry.resolve(one) == registry.resolve(f" {one[:8].upper()} ") == one
    for name in ("", "abc", "0" * 64, two[:5], "../x"):
        with pytest.raises(DataError, match="registry list"):
            registry.resolve(name)
    with pytest.raises(DataError, match=r"has no challenger.*registry promote ID --to challenger"):
        registry.resolve("challenger")


# ---- aliases --------------------------------------------------------------------------------------------------------
def test_a_promotion_is_on_record_with_who_why_before_and_after(tmp_path: Path) -> None:
    """And another program sees it at once."""
    registry, [one, two] = with_pilots(tmp_path, 3, 4)
    promote(registry, one)
    state = registry.promote(two, "champion", actor=" bob ", reason="better", seen_version=2)

    last = state.changes[-1]
    assert (last.version, last.ts_ns, last.actor, last.reason) == (3, NOON, "bob", "better")
    assert (last.action, last.kind, last.alias, last.before, last.after) == ("promote", "pilot", "champion", one, two)
    assert opened(registry.folder).state == state
    assert opened(registry.folder).load_model("champion").record.model_id == two
    assert state.aliases_of(one) == ()


def test_an_alias_that_is_there_already_is_no_change(tmp_path: Path) -> None:
    """The version stays, and a model may have several aliases."""
    registry, [one] = with_pilots(tmp_path, 3)
    version = promote(registry, one)
    assert promote(registry, one) == version
    promote(registry, one, "shadow")
    assert registry.state.aliases_of(one) == ("champion", "shadow")


def test_rollbacks_lead_further_back_each(tmp_path: Path) -> None:
    """Three promotions, two rollbacks, then none is left; a promotion after a rollback is rolled back alone."""
    registry, [one, two, three] = with_pilots(tmp_path, 3, 4, 5)
    for model_id in (one, two, three):
        promote(registry, model_id)

    def back() -> str:
        after = registry.rollback("champion", actor="ann", reason="worse", seen_version=None)
        assert after.changes[-1].action == "rollback"
        return after.aliases["pilot"]["champion"]

    assert back() == two
    promote(registry, three)
    assert [back(), back()] == [two, one]
    with pytest.raises(StateError, match=r"no earlier one is on record.*Nothing was changed"):
        back()


def test_a_rollback_to_a_damaged_model_is_refused(tmp_path: Path) -> None:
    """The alias stays where it is."""
    registry, [one, two] = with_pilots(tmp_path, 3, 4)
    promote(registry, one)
    version = promote(registry, two)
    damage(registry, one, "weights.npz", None)
    with pytest.raises(DataError, match=r"weights\.npz is missing"):
        registry.rollback("champion", actor="ann", reason="worse", seen_version=None)
    assert (registry.state.version, registry.resolve("champion")) == (version, two)


def test_of_two_promotions_at_once_one_is_told(tmp_path: Path) -> None:
    """Both were decided on the same version; the second changes nothing."""
    registry, [one, two] = with_pilots(tmp_path, 3, 4)
    other = opened(registry.folder)
    seen = registry.state.version
    promote(registry, one, seen=seen)
    with pytest.raises(StaleRegistryError, match=r"decided on version 1.*at version 2.*Nothing was changed"):
        promote(other, two, seen=seen)
    assert other.resolve("champion") == one


def test_a_writer_does_not_wait_for_ever(tmp_path: Path) -> None:
    """While another process holds the lock for 5 seconds a promotion is refused; loading needs no lock."""
    registry, [one] = with_pilots(tmp_path, 3)
    naps: list[float] = []
    waiting = ModelRegistry(
        registry.folder, clock=lambda: NOON, pause=naps.append, blockers=lambda registry, kind, model_id: ()
    )
    with (registry.folder / "registry.json.lock").open("rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StateError, match="another process has held"):
            promote(waiting, one)
        assert waiting.load_model(one).record.model_id == one
    assert sum(naps) == pytest.approx(5.0)


@pytest.mark.parametrize(("alias", "actor", "reason", "told"), [
    ("king", "ann", "x", r"alias = 'king'.*champion, challenger or shadow"), ("champion", " ", "x", "actor"),
    ("champion", "ann", "", "reason"), ("champion", "ann", "two\nlines", "reason"),
    ("champion", "ann", "x" * 501, "500"),
])
def test_a_promotion_needs_an_alias_a_name_and_a_reason(
    alias: str, actor: str, reason: str, told: str, tmp_path: Path
) -> None:
    """What is refused names the key."""
    registry, [one] = with_pilots(tmp_path, 3)
    with pytest.raises(InputError, match=told):
        registry.promote(one, alias, actor=actor, reason=reason, seen_version=None)
    assert registry.state.version == 1


def test_the_history_keeps_the_newest_changes() -> None:
    """Two thousand; the version counts them all, and a rollback knows those that are kept."""
    state, author = RegistryState(), Author(actor="ann", reason="x", ts_ns=1)
    for number in range(HISTORY + 5):
        state = promoted(state, author, "pilot", "champion", f"{number % 2:064d}")
    assert (state.version, len(state.changes), state.changes[0].version) == (HISTORY + 5, HISTORY, 6)
    assert state.earlier_model("pilot", "champion") == f"{1:064d}"


# ---- a registry that cannot be used ---------------------------------------------------------------------------------
@pytest.mark.parametrize(("break_it", "told"), [
    (lambda file: file.unlink(), "it is gone"),
    (lambda file: file.write_bytes(file.read_bytes()[:-20]), "truncated"),
    (lambda file: file.write_bytes(file.read_bytes().replace(b"a test", b"a lie!")), "edited by hand"),
    (lambda file: file.chmod(0o666), "lets others write"),
    (lambda file: file.write_bytes(b'{"schema":3,"seal":"","registry":{}}'), "knows formats up to 2"),
])
def test_a_damaged_registry_loads_no_alias(break_it: Callable[[Path], Any], told: str, tmp_path: Path) -> None:
    """Nobody knows then which model is the champion; the error says how to go on, and going on so works."""
    registry, [one] = with_pilots(tmp_path, 3)
    promote(registry, one)
    file = registry.folder / "registry.json"
    break_it(file)
    for use in (lambda: registry.load_model("champion"), lambda: promote(registry, one, "shadow")):
        with pytest.raises(StateError, match=rf"{told}.*registry\.json\.last-good"):
            use()
    file.unlink(missing_ok=True)
    file.write_bytes((registry.folder / "registry.json.last-good").read_bytes())
    assert registry.load_model("champion").record.model_id == one


def test_an_old_registry_that_was_put_back_is_refused(tmp_path: Path) -> None:
    """So that a backup does not undo a rollback unseen."""
    registry, [one] = with_pilots(tmp_path, 3)
    old = (registry.folder / "registry.json").read_bytes()
    promote(registry, one)
    (registry.folder / "registry.json").write_bytes(old)
    with pytest.raises(StateError, match="it is older than it was"):
        _ = registry.state


def test_without_a_registry_there_are_no_models_and_nothing_is_made(tmp_path: Path) -> None:
    """Looking makes no folder."""
    registry = opened(tmp_path / "none")
    assert (registry.model_ids(), registry.state) == ([], RegistryState())
    assert not (tmp_path / "none").exists()


def test_a_folder_that_others_may_write_is_not_used(tmp_path: Path) -> None:
    """The remedy is named."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(StateError, match="chmod go-w"):
        opened(folder).register_model(saved(tmp_path / "pilot"))


def test_a_full_disk_leaves_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names what could not be written, and the next registration succeeds."""
    registry, [_] = with_pilots(tmp_path, 3)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StateError, match="No space left on device"):
            registry.register_model(bundled_folder())
    assert len(registry.model_ids()) == 1
    assert registry.register_model(bundled_folder()).is_new


# ---- other kinds ----------------------------------------------------------------------------------------------------
class TableKind:
    """Another kind of models: one file of numbers."""

    file_names = ("table.json",)

    def read(self, contents: Mapping[str, bytes], place: Path) -> ReadModel:
        """The table."""
        _ = place
        content = contents["table.json"]
        return ReadModel(
            artefact=msgspec.json.decode(content), model_id=files_of(contents)[0].sha256, name="table", created_ns=NOON,
            features_hash="f" * 64, data={"rows": 2}, metrics={"auc": 0.7},
        )


def test_another_kind_of_models_needs_no_other_format(tmp_path: Path) -> None:
    """Registered, promoted, exported and imported beside the pilots, each kind with a champion of its own."""
    kinds = {**KINDS, "table": TableKind()}
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "table.json").write_text("[1, 2]")
    registry, [pilot] = with_pilots(tmp_path, 3)
    both = opened(registry.folder, kinds)
    table = both.register_model(tmp_path / "table", "table").record.model_id
    promote(both, pilot)
    both.promote(table, "champion", kind="table", actor="ann", reason="x", seen_version=None)
    package = both.export_model("champion", tmp_path / "table.tar", kind="table")
    elsewhere = opened(tmp_path / "elsewhere", kinds)
    elsewhere.import_model(package, trust=both.state.own_key, actor="ann")

    assert both.load_model("champion", "table").artefact == elsewhere.load_model(table, "table").artefact == [1, 2]
    assert both.load_model("champion").record.model_id == pilot
    with pytest.raises(DataError, match="is of kind table, and not pilot"):
        both.load_model(table)
    assert "this program reads pilot" in registry.verify_model(table).troubles[0]
    assert load_artefact(tmp_path / "pilot-3").card.identity == pilot


def test_a_record_has_checked_fields() -> None:
    """Names that could lead out of a folder, names twice, and bad ids are refused."""
    good = files_of({"a.json": b"1", "b.bin": b"2"})
    record = {"model_id": "0" * 64, "kind": "pilot", "name": "x", "created_ns": 1, "registered_ns": 1,
              "features_hash": "", "data": {}, "metrics": {}}
    assert ModelRecord(**record, files=good).files == good
    for wrong in ({"files": good[::-1]}, {"files": ()}, {"files": (*good, good[1])}, {"model_id": "x"},
                  {"kind": "Pilot!"}, {"parents": ("y",)}):
        with pytest.raises(InputError):
            ModelRecord(**{**record, "files": good, **wrong})
    for name in ("../a", "/a", "a/b", "", ".hidden", "a" * 65, "a\n", "a\\b"):
        with pytest.raises(InputError, match="without folder"):
            files_of({name: b""})
