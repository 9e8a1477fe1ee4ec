"""The model registry: models by the hash of their content, signed, with aliases and the history of who moved them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.domain.errors import ConfigError, DataError, QuantumTraderError, StateError, brief, escaped
from quantum_trader.domain.private_files import read_plain, why_unwritable
from quantum_trader.journal.keys import SigningKey
from quantum_trader.lab.registry.disk import REGISTRY_FILE, RegistryFolder
from quantum_trader.lab.registry.kinds import KINDS, PILOT, ModelKind, ReadModel
from quantum_trader.lab.registry.package import Package, ending_notice, pack_model, package_at, package_file
from quantum_trader.lab.registry.readiness import promotion_blockers
from quantum_trader.lab.registry.record import (
    MOST_BYTES,
    RECORD_FILE,
    ModelFile,
    ModelRecord,
    SignedRecord,
    check_id,
    decode_record,
    file_troubles,
    files_of,
    sign_record,
)
from quantum_trader.lab.registry.state import (
    ALIASES,
    Author,
    RegistryState,
    StateChange,
    check_alias,
    distrusting,
    promoted,
    rolled_back,
    trusting,
)
from quantum_trader.policy import clock as default_clock
from quantum_trader.policy.policy_store_state import check_text
from quantum_trader.policy.storage import path_of, write_atomically

CHAMPION: Final = ALIASES[0]
SHORTEST_ID: Final = 6  # digits that may stand for a whole id
OWN_KEY: Final = "registry"  # who trusts the registry's own key
_STATED: Final = ("name", "data", "metrics")  # what a record repeats of a model: readers trust it
_ARRAYS: Final = ("weights.npz", "arrays.npz")  # files that hold what was trained
_log: Final = logging.getLogger(__name__)


class StaleRegistryError(StateError):
    """A promotion was decided on an older version of the registry than the one that is there."""

    def __init__(self, folder: Path, seen: int, found: int) -> None:
        super().__init__(
            f"{folder}: the change was decided on version {seen}, and the registry is at version {found}; look at its "
            "aliases again and repeat. Nothing was changed"
        )
        self.seen, self.found = seen, found


class UnreadyModelError(StateError):
    """A model lacks the evidence that its kind asks of a champion; *unmet* has a sentence for each condition."""

    def __init__(self, folder: Path, model_id: str, unmet: tuple[str, ...]) -> None:
        super().__init__(
            f"{folder}: model {model_id} is not ready to be the champion: {'; '.join(unmet)}. Nothing was changed; to "
            'promote it anyway: --without-evidence "why", which is recorded'
        )
        self.unmet = unmet


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a model is what its record states; *troubles* says what is not, a sentence each."""

    model_id: str
    record: ModelRecord | None  # None where it cannot be read
    troubles: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the model may be used."""
        return not self.troubles


class RegisteredModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was verified, with its record.

    *artefact* is what its kind reads: of a pilot its card and weights. *record_content* and *contents* are its files,
    where it was loaded.
    """

    record: ModelRecord
    artefact: Any
    record_content: bytes = b""  # model.json
    contents: dict[str, bytes] = {}  # the others, by name
    is_new: bool = False  # this call has put it into the registry


class _Examined(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at a model found."""

    verification: Verification
    model: ReadModel | None = None
    record_content: bytes = b""
    contents: dict[str, bytes] = {}


class ModelRegistry:
    """The models in *folder*, which is made by the first change.

    *kinds* are the kinds of models that can be read; *clock* gives ns since the epoch; *pause* waits between two tries
    to become the one writer.
    """

    def __init__(
        self, folder: Path | str, *, kinds: Mapping[str, ModelKind] = KINDS,
        clock: Callable[[], int] = default_clock.now_ns, pause: Callable[[float], None] = default_clock.pause,
        blockers: Callable[[ModelRegistry, str, str], tuple[str, ...]] = promotion_blockers,
    ) -> None:
        """*blockers*: the conditions that a model of a kind does not meet to become its champion."""
        self.folder = path_of("registry", folder)
        self._disk = RegistryFolder(self.folder, pause)
        self._kinds = kinds
        self._clock, self._blockers = clock, blockers

    # ---- reading ----
    @property
    def state(self) -> RegistryState:
        """Aliases, trusted keys, version and history; StateError where they cannot be used."""
        return self._disk.read_state()

    @property
    def state_file(self) -> Path:
        """The file that every change of an alias replaces."""
        return self._disk.path / REGISTRY_FILE

    def model_ids(self) -> list[str]:
        """The ids of all models, in their order."""
        return self._disk.model_ids()

    def model_folder(self, model_id: str) -> Path:
        """Where the files of the model with this id lie; nothing in it may be changed."""
        return self._disk.model_folder(check_id("model_id", model_id)).absolute()

    def resolve(self, name: str, kind: str = PILOT) -> str:
        """The id of the model that *name* means: an alias of *kind*, an id, or the first 6 digits or more of one.

        Raises DataError where it means none, or several.
        """
        if name in ALIASES:
            found = self.state.aliases.get(kind, {}).get(name, "")
            if not found:
                raise DataError(
                    f"{self.folder}: kind {kind} has no {name}; give one with `quantum-trader registry promote ID --to "
                    f"{name}`"
                )
            return found
        wanted = name.strip().lower()
        matching = [one for one in self.model_ids() if len(wanted) >= SHORTEST_ID and one.startswith(wanted)]
        if len(matching) != 1:
            told = "is the beginning of several ids; give more of it" if matching else (
                "is no model of it; `quantum-trader registry list` shows them; aliases are "
                f"{', '.join(ALIASES)}, and {SHORTEST_ID} digits of an id are the least"
            )
            raise DataError(f"{self.folder}: {brief(name)} {told}")
        return matching[0]

    def verify_model(self, name: str, kind: str = PILOT) -> Verification:
        """Whether the model *name* is what was registered: signature, trusted key, hashes, features.

        Raises DataError where *name* means no model.
        """
        return self._examined(self.resolve(name, kind)).verification

    def load_model(self, name: str, kind: str = PILOT) -> RegisteredModel:
        """The model *name* of *kind*, verified; DataError that says why where it may not be used."""
        found = self._examined(self.resolve(name, kind))
        record = self._record_of(found)
        if record.kind != kind:
            raise DataError(f"{self.folder}: model {record.model_id} is of kind {record.kind}, and not {kind}")
        assert found.model is not None
        return RegisteredModel(
            record=record, artefact=found.model.artefact, record_content=found.record_content, contents=found.contents
        )

    def _record_of(self, found: _Examined) -> ModelRecord:
        """The record of a model without troubles; DataError that names them."""
        checked = found.verification
        if checked.record is None or not checked.ok:
            raise DataError(
                f"{self._disk.model_folder(checked.model_id)}: {'; '.join(checked.troubles)}. It is not used; import "
                "or register the model again"
            )
        return checked.record

    def _examined(self, model_id: str, key: str = "") -> _Examined:
        """Read and judge everything in the model's folder, with *key* trusted too.

        StateError where the registry itself cannot be used.
        """
        trusted = (*self.state.trusted, key) if key else self.state.trusted
        try:
            content = self._disk.record_content(model_id)
            signed = decode_record(content, RECORD_FILE)
        except OSError as error:
            told = f"{RECORD_FILE} cannot be read: {error.strerror or error}"
            return _Examined(verification=Verification(model_id=model_id, record=None, troubles=(told,)))
        except DataError as error:
            return _Examined(verification=Verification(model_id=model_id, record=None, troubles=(str(error),)))
        troubles = list(_signature_troubles(signed, trusted))
        if signed.record.model_id != model_id:
            troubles.append(f"the record is of the model {signed.record.model_id}")
        try:
            contents = self._disk.contents(model_id)
        except OSError as error:
            name = escaped(Path(error.filename or "").name)
            troubles.append(f"{name} cannot be read: {error.strerror or error}")
            return _Examined(
                verification=Verification(model_id=model_id, record=signed.record, troubles=tuple(troubles))
            )
        model, found = self._read(signed.record, contents, self._disk.model_folder(model_id))
        return _Examined(
            verification=Verification(model_id=model_id, record=signed.record, troubles=(*troubles, *found)),
            model=model, record_content=content, contents=contents,
        )

    def _read(
        self, record: ModelRecord, contents: Mapping[str, bytes], place: Path
    ) -> tuple[ReadModel | None, tuple[str, ...]]:
        """The model in *contents*, and what of it is not as *record* states."""
        if troubles := file_troubles(record, contents):
            return None, troubles
        kind = self._kinds.get(record.kind)
        if kind is None:
            known = ", ".join(self._kinds)
            return None, (f"kind {record.kind}: this program reads {known}; use the program that registered it",)
        if missing := [name for name in kind.file_names if name not in contents]:
            return None, (f"{missing[0]} is missing",)
        try:
            model = kind.read(contents, place)
        except QuantumTraderError as error:
            return None, (str(error),)
        if model.model_id != record.model_id:
            return None, (f"its content is the model {model.model_id}, and the record states {record.model_id}",)
        if model.features_hash != record.features_hash:
            return None, (
                f"it reads the features {model.features_hash}, and the record states {record.features_hash}",
            )
        for name in _STATED:
            if _encoded(getattr(model, name)) != _encoded(getattr(record, name)):
                return None, (f"the record and the model differ in their {name}",)
        return model, ()

    # ---- changing ----
    def register_model(
        self, source: Path | str, kind: str = PILOT, *, git_commit: str = "", parents: Iterable[str] | None = None,
        notes: str = "",
    ) -> RegisteredModel:
        """Copy the model in the folder *source* into the registry and sign it with the registry's own key.

        A model that is there already stays as it is. *parents* None: the registered models that have the same arrays,
        such as a pilot before its card got the figures of its evaluation. Raises DataError and ConfigError for a folder
        that holds no model of *kind* for this program, StateError where nothing could be written.
        """
        reader = self._kinds.get(kind)
        if reader is None:
            raise ConfigError(f"kind = {brief(kind)}: must be one of {', '.join(self._kinds)}")
        folder = path_of("model", source)
        contents = {name: _content(folder / name) for name in reader.file_names}
        model = reader.read(contents, folder)
        files = files_of(contents)
        record = ModelRecord(
            model_id=model.model_id, kind=kind, name=model.name, created_ns=model.created_ns,
            registered_ns=self._clock(), features_hash=model.features_hash, data=model.data, metrics=model.metrics,
            files=files, git_commit=git_commit, made_with=model.made_with, notes=notes,
            parents=self._with_same_arrays(kind, model.model_id, files) if parents is None else tuple(parents),
        )
        with self._disk.locked():
            key = self._own_key()
            present = self._present(model.model_id)
            if present is not None:
                return present
            self._disk.write_model(record.model_id, sign_record(record, key), contents)
        _log.info("%s: registered %s %s", self.folder, kind, record.model_id)
        return RegisteredModel(record=record, artefact=model.artefact, is_new=True)

    def _with_same_arrays(self, kind: str, model_id: str, files: Iterable[ModelFile]) -> tuple[str, ...]:
        """The ids of the other registered models of *kind* that have the arrays of these *files*."""
        arrays = {(one.name, one.sha256) for one in files if one.name.endswith(_ARRAYS)}
        found = []
        for other in self.model_ids():
            record = self._examined(other).verification.record
            if other != model_id and record is not None and record.kind == kind:
                found += [other] * bool(arrays & {(one.name, one.sha256) for one in record.files})
        return tuple(found)

    def export_model(self, name: str, target: Path | str, kind: str = PILOT) -> Path:
        """Write the model as one file with its signature; returns the file.

        *target* is the file, or a folder, in which the file gets the model's kind and id as its name; a name without
        an ending is a folder, which is made. A file with another ending than .tar is written with a notice in the log:
        the format is always the same. Raises DataError for a model that may not be used, ConfigError where the file
        exists.
        """
        found = self._examined(self.resolve(name, kind))
        record = self._record_of(found)
        path = package_file(path_of("target", target), record.kind, record.model_id)
        if os.path.lexists(path):
            raise ConfigError(f"{path}: is there already; name another file")
        try:
            write_atomically(path, pack_model(found.record_content, found.contents))
        except OSError as error:
            raise StateError(f"{path}: cannot be written ({why_unwritable(path, error)})") from error
        if notice := ending_notice(path):
            _log.warning(notice)
        return path

    def import_model(
        self, source: Path | str, *, trust: str = "", actor: str = "", reason: str = ""
    ) -> RegisteredModel:
        """Take a model from a file that `export_model` wrote, with the signature that it has.

        *source* may be a folder with one such file, or with the files of one that was unpacked.
        The key that signed it must be trusted, or be *trust*, which the registry trusts from then on; *actor* and
        *reason* are recorded with that. Raises DataError for a package that is damaged, altered, signed by another key
        or not for this program; nothing is taken then.
        """
        path = path_of("package", source)
        package = package_at(path)
        record, key = package.signed.record, package.signed.key
        model = self._accepted(package, path, trust)
        with self._disk.locked():
            self._own_key()
            state = self.state
            present = self._present(record.model_id, key)
            if present is None:
                self._disk.prepare_model(record.model_id, package.record_content, package.contents)
            if key not in state.trusted:  # before the model is there, which is never without its key
                author = Author(actor=actor, reason=reason or f"import of {record.model_id}", ts_ns=self._clock())
                self._disk.write_state(trusting(state, author, key))
            if present is not None:
                return present
            told = "" if key in state.trusted else f"; the key {key} is trusted from now on; `distrust` undoes it"
            self._disk.place_model(record.model_id, f"the model was not taken{told}")
        _log.info("%s: imported %s %s, signed by %s", self.folder, record.kind, record.model_id, key)
        return RegisteredModel(record=record, artefact=model.artefact, is_new=True)

    def _accepted(self, package: Package, path: Path, trust: str) -> ReadModel:
        """The model of *package*; DataError where its key, signature, hashes or features do not permit it."""
        key = package.signed.key
        if trust and check_id("trust", trust.strip().lower()) != key:
            raise DataError(f"{path}: is signed by the key {key}, and --trust names {trust}. Nothing was taken")
        if not package.signed.is_signed:
            raise DataError(f"{path}: its signature is wrong: the record was altered. Nothing was taken")
        if not trust and key not in self.state.trusted:
            raise DataError(
                f"{path}: is signed by the key {key}, which this registry does not trust; where it is the key of the "
                f"registry that exported it (`registry list` shows it there), add --trust {key}. Nothing was taken"
            )
        model, troubles = self._read(package.signed.record, package.contents, path)
        if model is None:
            raise DataError(f"{path}: {'; '.join(troubles)}. Nothing was taken")
        return model

    def promote(
        self, name: str, alias: str, *, actor: str, reason: str, seen_version: int | None, kind: str = PILOT,
        without_evidence: str = "",
    ) -> RegistryState:
        """Give *alias* to the model *name*, once it is verified; the state afterwards.

        *seen_version* is the version that the promotion was decided on; None where it holds for any. A champion must
        meet the conditions of its kind, or *without_evidence* says why it need not, which is recorded. Raises
        StaleRegistryError where another change came between, UnreadyModelError where a condition is not met, DataError
        for a model that may not be used.
        """
        check_alias(alias)
        model_id = self.load_model(name, kind).record.model_id
        unmet = self._unmet(kind, alias, model_id)
        if unmet and not without_evidence.strip():
            raise UnreadyModelError(self.folder, model_id, unmet)
        given = check_text("without_evidence", without_evidence) if unmet else ""
        return self._change(
            lambda state, author: promoted(state, author, kind, alias, model_id, unmet, given), actor, reason,
            seen_version,
        )

    def _unmet(self, kind: str, alias: str, model_id: str) -> tuple[str, ...]:
        """The conditions that stand between the model and *alias*; none but the champion has any."""
        if alias != CHAMPION or self.state.aliases.get(kind, {}).get(alias, "") == model_id:
            return ()
        return self._blockers(self, kind, model_id)

    def rollback(
        self, alias: str, *, actor: str, reason: str, seen_version: int | None, kind: str = PILOT
    ) -> RegistryState:
        """Give *alias* back to the model that had it before, once that is verified; the state afterwards.

        A second rollback leads one further back. Raises StateError where none is on record, StaleRegistryError and
        DataError as :meth:`promote`.
        """
        def change(state: RegistryState, author: Author) -> RegistryState:
            after = rolled_back(state, author, kind, alias)
            self.load_model(after.aliases[kind][alias], kind)
            return after

        return self._change(change, actor, reason, seen_version)

    def distrust(self, key: str, *, actor: str, reason: str, seen_version: int | None) -> RegistryState:
        """Trust the public *key* no more; the state afterwards. What it has signed is refused from then on.

        Raises StateError for a key that is not trusted or is the registry's own.
        """
        return self._change(
            lambda state, author: distrusting(state, author, key.strip().lower()), actor, reason, seen_version
        )

    def _change(
        self, change: StateChange, actor: str, reason: str, seen_version: int | None
    ) -> RegistryState:
        Author(actor=actor, reason=reason, ts_ns=0)  # refuses empty ones before anything waits
        with self._disk.locked():
            before = self.state
            if seen_version is not None and seen_version != before.version:
                raise StaleRegistryError(self.folder, seen_version, before.version)
            after = change(before, Author(actor=actor, reason=reason, ts_ns=self._clock()))
            if after != before:
                self._disk.write_state(after)
                last = after.changes[-1]
                _log.info("%s: version %d by %s (%s): %s %s %s %s → %s", self.folder, last.version, last.actor,
                          last.reason, last.action, last.kind, last.alias, last.before, last.after)
        return after

    def _own_key(self) -> SigningKey:
        """The registry's key, which it trusts; under the lock."""
        state = self.state
        key = self._disk.signing_key()
        author = Author(actor=OWN_KEY, reason="its own key", ts_ns=self._clock())
        after = trusting(state, author, key.public, own=True)
        if after != state:
            self._disk.write_state(after)
        return key

    def _present(self, model_id: str, key: str = "") -> RegisteredModel | None:
        """The model where it is there and whole; a damaged one is written anew. *key* is trusted, too."""
        if model_id not in self.model_ids():
            return None
        found = self._examined(model_id, key)
        record = found.verification.record
        if not found.verification.ok or record is None or found.model is None:
            return None
        return RegisteredModel(record=record, artefact=found.model.artefact)


def _signature_troubles(signed: SignedRecord, trusted: tuple[str, ...]) -> tuple[str, ...]:
    if not signed.is_signed:
        return ("the signature is wrong: the record was altered, or signed with another key",)
    if signed.key not in trusted:
        return (f"it is signed by the key {signed.key}, which this registry does not trust",)
    return ()


def _encoded(value: Any) -> bytes:
    """A plain *value* in one way of writing, so that two can be compared."""
    return msgspec.json.encode(value, order="deterministic")


def _content(path: Path) -> bytes:
    """A file of a model that a person names."""
    try:
        return read_plain(path, MOST_BYTES)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}; name the folder of a model") from None
