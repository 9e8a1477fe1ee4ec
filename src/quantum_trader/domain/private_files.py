"""Files and folders of one user, opened so that nobody else can redirect, change or block them.

Every writer of a state folder opens its files here. A symbolic link is never followed, a FIFO or a device in the place
of a file never blocks, and what others may write, or what belongs to somebody else, is refused. A refusal is an
:class:`UnsafePathError`, an OSError whose ``strerror`` says what is wrong and what to do.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o600
PRIVATE_FOLDER: Final = 0o700
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_NO_BLOCK: Final = getattr(os, "O_NONBLOCK", 0)
_FOLDER: Final = getattr(os, "O_DIRECTORY", 0)
_ROOT: Final = 0
MOST_SETTINGS: Final = 1 << 20  # bytes of a settings file or a profile
_LINK: Final = "is a symbolic link, and state is never read or written through one; remove the link"
_NO_FILE: Final = "is not a regular file; remove it"
_NO_FOLDER: Final = "is not a folder; name another one"


class UnsafePathError(OSError):
    """A path that another user could redirect, change or block; ``strerror`` says why and what to do."""


def make_private_folder(path: Path) -> None:
    """Make *path* and the folders above it where they are missing, then check it.

    Raises OSError when it cannot be made, UnsafePathError as :func:`check_private_folder` does.
    """
    make_missing_folders(path)
    check_private_folder(path)


def make_missing_folders(path: Path) -> None:
    """Make *path* and the folders above it where they are missing, mode 0700 with any umask; OSError when it fails."""
    missing = []
    for folder in (path, *path.parents):
        if os.path.lexists(folder):
            break
        missing.append(folder)
    for folder in reversed(missing):
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)


def check_private_folder(path: Path) -> None:
    """Raise UnsafePathError unless *path* is a folder, no link, that its owner alone may write: this user, or root."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _FOLDER | _NO_FOLLOW | _NO_BLOCK)
    except (NotADirectoryError, FileNotFoundError):
        raise _unsafe(path, _LINK if path.is_symlink() else _NO_FOLDER) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _unsafe(path, _LINK) from None
        raise
    try:
        _check_owner(path, os.fstat(descriptor))
    finally:
        os.close(descriptor)


def open_private(path: Path, flags: int, *, owner: int | None = None) -> int:
    """A descriptor of *path*, opened with *flags*; a new file has mode 0600.

    Raises UnsafePathError for a link, for what is no regular file, and for a file that others may write or that
    belongs to another user, *owner* excepted. Nothing is truncated before that is known.
    """
    truncate = flags & os.O_TRUNC
    descriptor = _open(path, flags & ~os.O_TRUNC)
    try:
        _check_owner(path, os.fstat(descriptor), owner)
        if truncate:
            os.ftruncate(descriptor, 0)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def open_to_read(path: Path) -> int:
    """A descriptor of *path* for reading, whoever owns it; UnsafePathError for a link and for no regular file."""
    return _open(path, os.O_RDONLY)


def read_private(path: Path) -> bytes:
    """The content of *path*; raises as :func:`open_to_read` does."""
    with open(open_to_read(path), "rb") as file:
        return file.read()


def read_bounded(path: Path, most: int) -> bytes:
    """The content of a file that a user names, at most *most* bytes; OSError for more, however large it says it is."""
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most >> 10:,} KiB", str(path))
    return content


def read_plain(path: Path, most: int) -> bytes:
    """As :func:`read_bounded`, of a plain file only; OSError for a folder, a pipe or a device, which could block."""
    descriptor = os.open(path, os.O_RDONLY | _NO_BLOCK)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", str(path))
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most >> 10:,} KiB", str(path))
    return content


def check_regular_file(path: Path) -> None:
    """Raise UnsafePathError where *path* is there and is no regular file, for a library that opens it by its name."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise _unsafe(path, _LINK if stat.S_ISLNK(mode) else _NO_FILE)


def create_file(path: Path) -> int:
    """A descriptor for writing a new file *path*; what has the name is removed first, and never followed or written."""
    try:
        return open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        path.unlink()
        return open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)


def why_unwritable(path: Path, error: OSError) -> str:
    """Why *path* could not be written; of a full disk: which one it is, and its size."""
    reason = error.strerror or str(error)
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return reason
    place = path.absolute()
    while not os.path.ismount(place) and place != place.parent:
        place = place.parent
    try:
        found = os.statvfs(place)
    except (OSError, AttributeError):  # no statvfs on Windows
        return reason
    free, size = found.f_bavail * found.f_frsize >> 20, found.f_blocks * found.f_frsize >> 20
    return f"{reason}: {free} of {size} MiB are free on {place}"


def _open(path: Path, flags: int) -> int:
    """Open a regular file; never wait for the other end of a FIFO, never follow a link."""
    try:
        descriptor = os.open(path, flags | _NO_FOLLOW | _NO_BLOCK, PRIVATE)
    except IsADirectoryError:
        raise _unsafe(path, _NO_FILE) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _unsafe(path, _LINK) from None
        if error.errno in (errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP):  # a FIFO nobody reads, a socket
            raise _unsafe(path, _NO_FILE) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _unsafe(path, _NO_FILE)
    return descriptor


def _check_owner(path: Path, status: os.stat_result, owner: int | None = None) -> None:
    user = os.geteuid() if hasattr(os, "geteuid") else status.st_uid
    if status.st_uid not in (user, _ROOT, owner):
        raise _unsafe(
            path, f"belongs to user {status.st_uid}, and this process is user {user}; run as its owner, or chown it"
        )
    if hasattr(os, "geteuid") and status.st_mode & _OTHERS_MAY_WRITE:
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        raise _unsafe(path, f"has mode {mode}, which lets others write it; inspect it, then run chmod go-w on it")


def _unsafe(path: Path, why: str) -> UnsafePathError:
    return UnsafePathError(errno.EPERM, why, str(path))
