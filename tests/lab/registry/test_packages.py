"""A model as one file: what is imported, and what is refused before anything of it touches the disk."""

from __future__ import annotations

import errno
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lab.registry.made_registry import files, opened, promote, with_pilots
from tests.pilot.made_pilot import saved

from quantum_trader.domain.errors import ConfigError, DataError, StateError
from quantum_trader.journal.keys import SigningKey, new_private_key
from quantum_trader.lab.registry import ModelRegistry, disk
from quantum_trader.lab.registry.package import pack_model, unpack_model
from quantum_trader.lab.registry.record import files_of, sign_record
from quantum_trader.pilot.artefact import load_artefact


class Sides:
    """A registry that exports the model *id* to *package*, and an empty one that imports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.exporting, [self.id] = with_pilots(folder, 3)
        self.key = self.exporting.state.own_key
        self.package = self.exporting.export_model(self.id, folder)
        self.importing: ModelRegistry = opened(folder / "importing")

    def refusal(self, content: bytes, trust: str | None = None) -> str:
        """Why a package of *content* is not imported; the importing registry must stay as it was."""
        before = files(self.importing.folder)
        path = self.folder / "wrong.tar"
        path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            self.importing.import_model(path, trust=self.key if trust is None else trust, actor="ann")
        assert files(self.importing.folder) == before
        assert str(caught.value).startswith(str(path))
        return str(caught.value)


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    """Both."""
    return Sides(tmp_path)


def archive(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A tar archive of *entries*, whatever they are."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for entry, content in entries:
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def entry_of(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """An entry of *kind*."""
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


def test_an_exported_model_is_imported_with_its_signature(sides: Sides) -> None:
    """The record is that of the exporting side, to the byte; the key is trusted from then on, on record."""
    made = sides.importing.import_model(sides.package, trust=sides.key, actor="ann", reason="from the lab")

    assert made.is_new
    assert sides.package.name == f"pilot-{sides.id[:12]}.tar"
    place = Path("models") / sides.id
    assert files(sides.importing.folder / place) == files(sides.exporting.folder / place)
    assert sides.importing.load_model(sides.id).record == sides.exporting.load_model(sides.id).record
    own, other = sides.importing.state.changes
    assert (own.actor, own.after) == ("registry", sides.importing.state.own_key)
    assert (other.action, other.actor, other.reason, other.after) == ("trust", "ann", "from the lab", sides.key)


def test_a_trusted_key_needs_no_option_again(sides: Sides, tmp_path: Path) -> None:
    """The next model of the same side, and what a registry has exported itself."""
    sides.importing.import_model(sides.package, trust=sides.key, actor="ann")
    second = sides.exporting.register_model(saved(tmp_path / "second", 9)).record.model_id
    sides.importing.import_model(sides.exporting.export_model(second, tmp_path / "second.tar"))

    assert sides.importing.verify_model(second).ok
    assert not sides.importing.import_model(sides.package).is_new
    assert not sides.exporting.import_model(sides.package).is_new


def test_an_unknown_key_is_refused_and_named(sides: Sides) -> None:
    """The error says what to compare it with; another key given as --trust does not do."""
    assert f"add --trust {sides.key}" in sides.refusal(sides.package.read_bytes(), trust="")
    assert "--trust names" in sides.refusal(sides.package.read_bytes(), trust="0" * 64)


def test_what_a_distrusted_key_has_signed_is_refused(sides: Sides) -> None:
    """Loading, importing again without --trust; who withdrew trust is on record."""
    sides.importing.import_model(sides.package, trust=sides.key, actor="ann")
    after = sides.importing.distrust(sides.key, actor="bob", reason="it leaked", seen_version=None)

    last = after.changes[-1]
    assert (last.action, last.actor, last.before, last.after) == ("distrust", "bob", sides.key, "")
    with pytest.raises(DataError, match="does not trust"):
        sides.importing.load_model(sides.id)
    assert "add --trust" in sides.refusal(sides.package.read_bytes(), trust="")
    with pytest.raises(StateError, match="is not trusted"):
        sides.importing.distrust(sides.key, actor="bob", reason="again", seen_version=None)
    assert sides.importing.import_model(sides.package, trust=sides.key, actor="ann").record.model_id == sides.id
    assert sides.importing.verify_model(sides.id).ok


def test_a_leaked_own_key_is_replaced(sides: Sides) -> None:
    """Removed, made anew by the next registration, distrusted; the models are registered again with the new one."""
    registry, leaked = sides.exporting, sides.key
    with pytest.raises(StateError, match=r"own; remove its signing-key\.pem"):
        registry.distrust(leaked, actor="ann", reason="it leaked", seen_version=None)
    (registry.folder / "signing-key.pem").unlink()
    promote(registry, sides.id)
    assert not registry.register_model(sides.folder / "pilot-3").is_new
    assert registry.state.own_key != leaked
    registry.distrust(leaked, actor="ann", reason="it leaked", seen_version=None)
    assert not registry.verify_model(sides.id).ok
    assert registry.register_model(sides.folder / "pilot-3").is_new
    assert registry.load_model("champion").record.model_id == sides.id


def test_a_package_is_the_same_bytes_each_time_and_never_overwritten(sides: Sides, tmp_path: Path) -> None:
    """So that two exports can be compared; a file that is there is refused."""
    again = sides.exporting.export_model(sides.id, tmp_path / "again.tar")
    assert again.read_bytes() == sides.package.read_bytes()
    with pytest.raises(ConfigError, match="is there already"):
        sides.exporting.export_model(sides.id, again)
    promote(sides.exporting, sides.id)
    assert sides.exporting.export_model("champion", tmp_path / "champion.tar").read_bytes() == again.read_bytes()


def test_every_altered_part_is_refused(sides: Sides) -> None:
    """A bit in the record, in the card, in the weights; a file too few or too many; a signature of another key."""
    whole = unpack_model(sides.package.read_bytes(), "x")
    contents, record = whole.contents, whole.record_content
    card = contents["card.json"]

    assert "signature is wrong" in sides.refusal(pack_model(record.replace(b"untrained", b"untrainee"), contents))
    assert "card.json was altered" in sides.refusal(pack_model(record, {**contents, "card.json": card + b" "}))
    assert "weights.npz is missing" in sides.refusal(pack_model(record, {"card.json": card}))
    assert "extra is not in the record" in sides.refusal(pack_model(record, {**contents, "extra": b""}))
    other = SigningKey.from_pem(sides.folder, new_private_key())
    forged = sign_record(whole.signed.record, other).replace(other.public.encode(), sides.key.encode())
    assert "signature is wrong" in sides.refusal(pack_model(forged, contents))
    lying = msgspec.structs.replace(whole.signed.record, model_id="1" * 64)
    lie = pack_model(sign_record(lying, other), contents)
    assert f"its content is the model {sides.id}" in sides.refusal(lie, trust=other.public)


def test_a_package_of_other_features_is_refused(sides: Sides) -> None:
    """Signed by a trusted key and whole, but not for this program."""
    whole = unpack_model(sides.package.read_bytes(), "x")
    card = whole.contents["card.json"].replace(whole.signed.record.features_hash.encode(), b"0" * 64)
    contents = {**whole.contents, "card.json": card}
    other = SigningKey.from_pem(sides.folder, new_private_key())
    record = msgspec.structs.replace(whole.signed.record, files=files_of(contents), features_hash="0" * 64)

    package = pack_model(sign_record(record, other), contents)
    assert "made with other features" in sides.refusal(package, trust=other.public)


@pytest.mark.parametrize(("make", "told"), [
    (lambda: archive((entry_of("../evil"), b"x")), "without folder"),
    (lambda: archive((entry_of("/etc/evil"), b"x")), "without folder"),
    (lambda: archive((entry_of("a/b"), b"x")), "without folder"),
    (lambda: archive((entry_of("card.json", tarfile.SYMTYPE, "/etc/passwd"), b"")), "no regular file"),
    (lambda: archive((entry_of("card.json", tarfile.LNKTYPE, "model.json"), b"")), "no regular file"),
    (lambda: archive((entry_of("card.json", tarfile.DIRTYPE), b"")), "no regular file"),
    (lambda: archive((entry_of("card.json", tarfile.FIFOTYPE), b"")), "no regular file"),
    (lambda: archive((entry_of("card.json", tarfile.CHRTYPE), b"")), "no regular file"),
    (lambda: archive((entry_of("a"), b"1"), (entry_of("a"), b"2")), "twice"),
    (lambda: archive(*((entry_of(f"f{number}"), b"") for number in range(66))), "more than 64 files"),
    (lambda: archive((entry_of("card.json"), b"{}")), "has no model.json"),
    (lambda: archive((entry_of("model.json"), b"{}")), "not written by `registry export`"),
    (lambda: pack_model(b"{}", {}), "is not the record of a model"),
    (lambda: b"", "is not a package"), (lambda: b"\x00" * 10_240, "has no model.json"),
    (lambda: b"PK\x03\x04" + b"x" * 2000, "is not a package"),
])
def test_an_archive_of_anything_else_is_refused(make: Callable[[], bytes], told: str, sides: Sides) -> None:
    """Paths out of the folder, links, folders, devices, names twice, too many files, other formats."""
    assert told in sides.refusal(make())


def test_a_size_in_the_header_does_not_reserve_memory(sides: Sides) -> None:
    """A header that promises 8 GiB is refused by its promise."""
    entry = entry_of("model.json")
    entry.size = 8 << 30
    assert "MiB" in sides.refusal(entry.tobuf(tarfile.GNU_FORMAT) + b"\x00" * 10_240)


def test_what_hangs_on_a_package_is_refused(sides: Sides) -> None:
    """Bytes after the end, another owner, a cut-off end: a package is what `registry export` writes."""
    content = sides.package.read_bytes()
    for wrong in (content + b"\x00" * 512, content[:-512], content[:2000], content.replace(b"0000600", b"0000777", 1)):
        assert "Nothing was taken" not in sides.refusal(wrong)


def test_a_thousand_extended_headers_are_refused(sides: Sides) -> None:
    """Each is read by the one before it; the error is one line all the same."""
    entries = [(entry_of("x", tarfile.XHDTYPE), b"12 path=abc\n")] * 3_000
    assert "is not a package" in sides.refusal(archive(*entries))


@given(data=st.data())
def test_a_package_with_any_bytes_changed_is_refused_or_the_same(data: st.DataObject) -> None:
    """Whatever happened to it on its way: DataError, and nothing else is raised."""
    content = bytearray(pack_model(b'{"format":1}', {"a.bin": b"\x00" * 700, "b.bin": b"x"}))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with pytest.raises(DataError):
        unpack_model(bytes(content), "x")


def test_a_file_that_is_not_there_is_named(sides: Sides) -> None:
    """With the reason."""
    with pytest.raises(DataError, match=r"none\.tar: cannot be read: No such file"):
        sides.importing.import_model(sides.folder / "none.tar")


# ---- folders and other endings --------------------------------------------------------------------------------------
def test_a_folder_stands_for_the_package_in_it(sides: Sides, tmp_path: Path) -> None:
    """Exported into a folder that is made, imported from it; and from a folder with the unpacked files."""
    out = tmp_path / "out" / "deep"
    file = sides.exporting.export_model(sides.id, out)
    assert file == out / f"pilot-{sides.id[:12]}.tar"
    assert sides.exporting.export_model(sides.id, tmp_path / "v1.tar").name == "v1.tar"

    assert sides.importing.import_model(out, trust=sides.key, actor="ann").is_new

    unpacked = tmp_path / "unpacked"
    with tarfile.open(file) as archived:
        archived.extractall(unpacked, filter="data")
    other = opened(tmp_path / "other")
    assert other.import_model(unpacked, trust=sides.key, actor="ann").is_new
    place = Path("models") / sides.id
    assert files(other.folder / place) == files(sides.exporting.folder / place)
    (unpacked / "weights.npz").write_bytes(b"other weights")
    with pytest.raises(DataError, match=r"weights\.npz was altered"):
        sides.importing.import_model(unpacked, trust=sides.key, actor="ann")


def test_a_folder_without_one_package_is_refused_with_what_it_holds(sides: Sides, tmp_path: Path) -> None:
    """Nothing, other files, two packages, more than the files of a model."""
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(DataError, match="holds no package: .*; it holds nothing"):
        sides.importing.import_model(folder)
    for name in ("readme.txt", "\x1b[2J"):
        (folder / name).write_text("x")
    with pytest.raises(DataError, match=r"it holds \\x1b\[2J, readme\.txt"):
        sides.importing.import_model(folder)
    for name in ("a.tar", "b.tar"):
        (folder / name).write_bytes(sides.package.read_bytes())
    with pytest.raises(DataError, match=r"holds 2 packages: a\.tar, b\.tar; name one of them"):
        sides.importing.import_model(folder, trust=sides.key, actor="ann")
    (folder / "model.json").write_text("{}")
    with pytest.raises(DataError, match="is not the record of a model"):
        sides.importing.import_model(folder, trust=sides.key, actor="ann")
    assert sides.importing.model_ids() == []


@pytest.mark.parametrize(("name", "told"), [
    ("x.pkl", "and no pickle: it runs no code, and only `registry import` reads it"),
    ("x.bin", "whatever its ending says: `registry import` reads it"), ("x.tar", ""),
])
def test_another_ending_is_written_with_a_notice(
    sides: Sides, tmp_path: Path, name: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In this program's format, which can be imported; the log says so."""
    file = sides.exporting.export_model(sides.id, tmp_path / name)

    assert file.read_bytes() == sides.package.read_bytes()
    warned = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert len(warned) == bool(told)
    assert all(told in one and one.startswith(str(file)) for one in warned)
    assert sides.importing.import_model(file, trust=sides.key, actor="ann").is_new


# ---- what is no plain file, and what cannot be written --------------------------------------------------------------
def test_what_is_no_plain_file_is_refused_and_blocks_nothing(sides: Sides, tmp_path: Path) -> None:
    """A FIFO or a device as the package, in a folder of one, and in the folder of a model to register."""
    pipe = tmp_path / "pipe.tar"
    os.mkfifo(pipe)
    for named in (pipe, Path("/dev/zero")):
        with pytest.raises(DataError, match="it is no plain file"):
            sides.importing.import_model(named)
    for name, inside in (("pipe.tar", "x"), ("model.json", "unpacked")):
        folder = tmp_path / f"folder-{inside}"
        folder.mkdir()
        os.mkfifo(folder / name)
        with pytest.raises(DataError, match="it is no plain file"):
            sides.importing.import_model(folder)
    for name in ("card.json", "weights.npz"):
        folder = saved(tmp_path / f"pilot-{name}", 9)
        (folder / name).unlink()
        os.mkfifo(folder / name)
        with pytest.raises(DataError, match="it is no plain file"):
            sides.exporting.register_model(folder)
        with pytest.raises(DataError, match="it is no plain file"):
            load_artefact(folder)


def test_a_failed_write_of_an_import_trusts_no_key(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says that nothing was changed, and the key is not trusted; the next import takes both."""
    sides.importing.register_model(saved(sides.folder / "other", 9))
    before = sides.importing.state
    write = disk.create_file

    def full(path: Path) -> int:
        if path.name == "weights.npz":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path)

    with monkeypatch.context() as patched:
        patched.setattr(disk, "create_file", full)
        with pytest.raises(StateError, match="nothing was changed"):
            sides.importing.import_model(sides.package, trust=sides.key, actor="ann")
    assert sides.importing.state == before

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", unwritable)
        with pytest.raises(StateError, match=f"the model was not taken; the key {sides.key} is trusted from now on"):
            sides.importing.import_model(sides.package, trust=sides.key, actor="ann")
    assert sides.key in sides.importing.state.trusted
    assert sides.importing.import_model(sides.package).is_new


def unwritable(source: Path, target: Path) -> None:
    """No folder can be renamed."""
    raise OSError(errno.EROFS, "Read-only file system", str(target))


def test_a_file_in_the_place_of_the_models_is_told(sides: Sides) -> None:
    """With what to do; so is a folder that cannot be read."""
    models = sides.importing.folder / "models"
    models.parent.mkdir()
    models.write_text("x")
    with pytest.raises(StateError, match="is no folder, and the models lie in one; .* move the file away"):
        sides.importing.model_ids()
