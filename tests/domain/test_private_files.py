"""Files and folders that nobody else may redirect, change or block."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from quantum_trader.domain.private_files import (
    UnsafePathError,
    check_private_folder,
    create_file,
    make_private_folder,
    open_private,
    read_private,
    why_unwritable,
)

FLAGS = (
    os.O_RDWR | os.O_CREAT, os.O_WRONLY | os.O_CREAT | os.O_APPEND, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, os.O_RDONLY,
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: files of another user are made with chown")


def planted_link(path: Path) -> None:
    """A link to a file of somebody."""
    victim = path.with_name("victim")
    victim.write_bytes(b"precious")
    path.symlink_to(victim)


def planted_dangling_link(path: Path) -> None:
    """A link to a file that is not there: opening it with O_CREAT would make it."""
    path.symlink_to(path.with_name("made"))


def planted_fifo(path: Path) -> None:
    """A FIFO, which blocks whoever opens it without care."""
    os.mkfifo(path)


def planted_folder(path: Path) -> None:
    """A folder in the place of a file."""
    path.mkdir()


def planted_socket(path: Path) -> None:
    """A socket in the place of a file."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


PLANTED = (planted_link, planted_dangling_link, planted_fifo, planted_folder, planted_socket)


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("flags", FLAGS)
def test_what_is_planted_in_the_place_of_a_file_is_neither_followed_nor_waited_for(
    plant: Callable[[Path], None], flags: int, tmp_path: Path
) -> None:
    """Each is refused at once with what to do, and a link's target stays as it was."""
    plant(tmp_path / "records.jsonl")
    with pytest.raises(UnsafePathError, match="remove"):
        open_private(tmp_path / "records.jsonl", flags)
    if plant is not planted_dangling_link:
        with pytest.raises(UnsafePathError, match="remove"):
            read_private(tmp_path / "records.jsonl")
    assert not (tmp_path / "made").exists()
    if plant is planted_link:
        assert (tmp_path / "victim").read_bytes() == b"precious"


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused_before_it_is_truncated(mode: int, tmp_path: Path) -> None:
    """The refusal names the mode and the remedy."""
    (tmp_path / "lock").write_bytes(b"1")
    (tmp_path / "lock").chmod(mode)
    with pytest.raises(UnsafePathError, match=f"mode {mode:04o}.*chmod go-w"):
        open_private(tmp_path / "lock", os.O_RDWR | os.O_TRUNC)
    assert (tmp_path / "lock").read_bytes() == b"1"


@needs_root
def test_a_file_and_a_folder_of_another_user_are_refused(tmp_path: Path) -> None:
    """A file of the named owner is taken: root halts another user's run."""
    (tmp_path / "file").touch(0o600)
    (tmp_path / "folder").mkdir(0o700)
    for path in tmp_path.iterdir():
        os.chown(path, 12345, 12345)
    with pytest.raises(UnsafePathError, match="belongs to user 12345"):
        open_private(tmp_path / "file", os.O_RDWR)
    with pytest.raises(UnsafePathError, match="belongs to user 12345"):
        check_private_folder(tmp_path / "folder")
    os.close(open_private(tmp_path / "file", os.O_RDWR, owner=12345))


def test_folders_are_private_with_umask_0(tmp_path: Path) -> None:
    """Every folder that was missing has mode 0700, and a file 0600."""
    before = os.umask(0)
    try:
        make_private_folder(tmp_path / "a" / "b" / "c")
        os.close(create_file(tmp_path / "a" / "file"))
    finally:
        os.umask(before)
    made = [tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o700] * 3
    assert stat.S_IMODE((tmp_path / "a" / "file").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o1777])
def test_a_folder_that_others_may_write_is_refused(mode: int, tmp_path: Path) -> None:
    """With the mode and the remedy; sticky or not."""
    (tmp_path / "st").mkdir()
    (tmp_path / "st").chmod(mode)
    with pytest.raises(UnsafePathError, match=f"mode {mode:04o}.*chmod go-w"):
        make_private_folder(tmp_path / "st")


def test_a_folder_that_is_a_link_or_no_folder_is_refused(tmp_path: Path) -> None:
    """A link to a folder, a dangling one, a file."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "dangling", "file", "fifo"):
        with pytest.raises(UnsafePathError, match="link|not a folder"):
            make_private_folder(tmp_path / name)
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("plant", [planted_link, planted_dangling_link, planted_fifo], ids=lambda plant: plant.__name__)
def test_a_new_file_replaces_what_has_its_name(plant: Callable[[Path], None], tmp_path: Path) -> None:
    """What was planted under the name of a temporary file is removed, not written."""
    plant(tmp_path / "partial")
    os.close(create_file(tmp_path / "partial"))
    assert (tmp_path / "partial").lstat().st_size == 0
    assert stat.S_ISREG((tmp_path / "partial").lstat().st_mode)
    assert not (tmp_path / "made").exists()


def test_a_full_disk_is_named_with_its_size(tmp_path: Path) -> None:
    """Other errors keep their own words."""
    full = why_unwritable(tmp_path / "x", OSError(28, "No space left on device"))
    assert full.startswith("No space left on device: ")
    assert " MiB are free on /" in full
    assert why_unwritable(tmp_path / "x", PermissionError(13, "Permission denied")) == "Permission denied"
