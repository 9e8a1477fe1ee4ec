"""Whether each bot is only observed or held to the policy: a file that the command line writes and a guard follows."""

from __future__ import annotations

import fcntl
import os
import re
from enum import Enum
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.domain.errors import InputError, StateError, brief
from quantum_trader.domain.json_text import decode_json
from quantum_trader.domain.private_files import make_private_folder, open_private, read_private
from quantum_trader.policy.storage import write_atomically

FILE_NAME: Final = "modes.json"
BOTS: Final = "bots"  # the folder that has one of each bot
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


class GuardMode(str, Enum):
    """What a guard's verdict does to a bot."""

    OBSERVE = "OBSERVE"  # every entry is permitted; the answer says what would have been blocked
    ENFORCED = "ENFORCED"  # the verdict is the answer


class BotMode(msgspec.Struct, frozen=True, kw_only=True):
    """The mode of one bot, who set it, and the last request to go on after damage."""

    mode: GuardMode = GuardMode.OBSERVE
    revision: int = 0
    ns: int = 0
    by: str = ""
    reason: str = ""
    resume_revision: int = 0  # when it was asked for (ns), so that damage after it needs another request
    resume_by: str = ""
    resume_reason: str = ""


class _File(msgspec.Struct, frozen=True, kw_only=True):
    version: int = 1
    bots: dict[str, BotMode] = {}


def check_bot_name(name: str) -> str:
    """*name*; InputError unless it can be the name of a bot and of its folder."""
    if not _NAME.fullmatch(name):
        raise InputError(f"bot = {brief(name)}: use letters, digits, '-' and '_', at most 40")
    return name


class ModeFile:
    """The modes of all bots of one state folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE_NAME
        self._stamp: tuple[int, int, int] | None = None
        self._bots: dict[str, BotMode] = {}

    def of(self, bot: str) -> BotMode | None:
        """The mode of *bot*; None where none was set. StateError for a file that is damaged."""
        return self.all().get(bot)

    def all(self) -> dict[str, BotMode]:
        """Every mode that was set; read again when the file has changed. StateError for a file that is damaged."""
        try:
            found = self._path.lstat()
        except FileNotFoundError:
            self._stamp, self._bots = None, {}
            return {}
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        if stamp != self._stamp:
            try:
                self._bots = decode_json(read_private(self._path), _File).bots
            except (msgspec.DecodeError, OSError) as error:
                raise StateError(
                    f"{self._path}: cannot be used ({error}), so no entry is permitted; remove it, and set the modes "
                    "again with `quantum-trader guard mode`"
                ) from None
            self._stamp = stamp
        return self._bots

    def set_mode(self, bot: str, mode: GuardMode, by: str, reason: str, now_ns: int) -> BotMode:
        """Put *bot* into *mode*. OSError where that cannot be written."""
        return self._change(bot, mode=mode, ns=now_ns, by=by, reason=reason)

    def ask_resume(self, bot: str, by: str, reason: str, now_ns: int) -> BotMode:
        """Ask the guard to go on with *bot* after damage before *now_ns*, because of *reason*."""
        known = self.of(bot) or BotMode()
        revision = max(known.resume_revision + 1, now_ns)
        return self._change(bot, resume_revision=revision, resume_by=by, resume_reason=reason)

    def _change(self, bot: str, **fields: object) -> BotMode:
        check_bot_name(bot)
        make_private_folder(self._folder)
        descriptor = open_private(self._folder / f".{FILE_NAME}.lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            known = self.all()
            before = known.get(bot, BotMode())
            after = msgspec.structs.replace(before, revision=before.revision + 1, **fields)
            content = msgspec.json.encode(_File(bots={**known, bot: after}))
            write_atomically(self._path, msgspec.json.format(content, indent=1) + b"\n")
            self._stamp = None
        finally:
            os.close(descriptor)
        return after
