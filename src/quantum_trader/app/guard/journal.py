"""What a guard was asked, what it answered and what a bot reported: one file per bot, a JSON object a line.

Each line has a number and ends in a checksum of itself. A report is on disk before it is answered, so a kill loses
none that was answered. A last line without its end was never answered and is cut off; any other fault is damage.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

import msgspec

from quantum_trader.domain.enums import Side
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.fields import Finite
from quantum_trader.domain.json_text import decode_json
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.domain.private_files import open_private, open_to_read, why_unwritable
from quantum_trader.policy.entries import EntryRefusal
from quantum_trader.policy.storage import set_aside

FILE_NAME: Final = "journal.jsonl"
_SUM_KEY: Final = b',"sum":"'
_SUM_SIZE: Final = 16
_TAIL: Final = len(_SUM_KEY) + _SUM_SIZE + 2


class ToldPosition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A position that a bot holds; *stake* is its margin in the account's currency."""

    symbol: str
    stake: Finite
    side: Side | None = None


class ToldAccount(msgspec.Struct, frozen=True, kw_only=True):
    """A bot's account as it told it last: equity with open profit, and the open positions."""

    equity: Finite
    positions: tuple[ToldPosition, ...] = ()

    @property
    def open_stake(self) -> float:
        """The margin of all open positions."""
        return ordered_sum(one.stake for one in self.positions)


class BotBegan(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="began"):
    """The first line of a journal. *damage* says what became of one that could not be used."""

    seq: int
    ns: int
    damage: str = ""


class FileMissed(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="missing"):
    """One of the bot's two files was gone at a start."""

    seq: int
    ns: int
    damage: str


class DecisionMade(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="decision"):
    """A question and its answer. *would_allow* is the policy's own verdict, *allow* what the bot was told."""

    seq: int
    ns: int
    id: str
    symbol: str
    side: Side
    stake: float
    stop: float
    confidence: float | None
    account: ToldAccount
    mode: str
    allow: bool
    would_allow: bool
    max_stake: float
    refusals: tuple[EntryRefusal, ...] = ()
    is_again: bool = False  # the same id was asked before, and its answer had run out


class FillTaken(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="fill"):
    """An entry or exit that a bot reported; *profit* is an exit's net result in the account's currency."""

    seq: int
    ns: int
    id: str
    fill: str  # ENTRY or EXIT
    symbol: str
    side: Side
    stake: float | None = None
    price: float | None = None
    profit: float | None = None
    account: ToldAccount | None = None


class ModeTaken(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="mode"):
    """A change of the bot's mode, as the guard took it up."""

    seq: int
    ns: int
    mode: str
    by: str
    reason: str


class BotResumed(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="resumed"):
    """A person said that it is safe to go on after damage; *revision* is that of the request."""

    seq: int
    ns: int
    revision: int
    by: str
    reason: str


class LockChanged(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="lock"):
    """What was done about one pair of a freqtrade: LOCKED, UNLOCKED, or WOULD_LOCK and WOULD_UNLOCK in OBSERVE."""

    seq: int
    ns: int
    pair: str
    action: str
    mode: str
    refusals: tuple[EntryRefusal, ...] = ()


GuardEvent: TypeAlias = BotBegan | FileMissed | DecisionMade | FillTaken | ModeTaken | BotResumed | LockChanged
_EVENT: Final[Any] = GuardEvent


class _DamagedError(Exception):
    """A line that is none of ours, or not as it was written."""


class GuardJournal:
    """The journal of one bot, open to append. :attr:`events` hands out what was in it, once."""

    def __init__(self, folder: Path, now_ns: int) -> None:
        """Open or make the journal of *folder*. One that cannot be used is set aside, and a new one says so."""
        self.path = folder / FILE_NAME
        known: list[GuardEvent] = []
        damage = ""
        try:
            known, size = _read(self.path)
        except _DamagedError as error:
            damage, size = f"{self.path.name}: {error}; {set_aside(self.path, 'damaged')}", 0
        self._file: IO[bytes] = os.fdopen(open_private(self.path, os.O_RDWR | os.O_CREAT), "r+b", buffering=0)
        self._file.truncate(size)
        self._file.seek(size)
        self.next_seq = len(known)
        if not known:
            known = [BotBegan(seq=0, ns=now_ns, damage=damage)]
            self.append(known[0], durable=True)
        self.events: list[GuardEvent] = known

    def append(self, event: GuardEvent, *, durable: bool = False) -> None:
        """Write *event*, whose number is :attr:`next_seq`; *durable*: it is on disk when this returns.

        Raises StateError where it cannot be written; what was written of it is taken back.
        """
        line = _line(event)
        begin = self._file.tell()
        try:
            written = 0
            while written < len(line):
                written += self._file.write(line[written:]) or 0
            if durable:
                os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(begin)
            self._file.seek(begin)
            raise StateError(
                f"{self.path}: cannot be written ({why_unwritable(self.path, error)}); nothing was counted"
            ) from None
        self.next_seq += 1

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_events(folder: Path) -> list[GuardEvent]:
    """The events of the bot whose folder this is, for a report. Raises StateError where the journal is damaged."""
    path = folder / FILE_NAME
    try:
        return _read(path)[0]
    except _DamagedError as error:
        raise StateError(f"{path}: {error}; the guard sets it aside at its next start") from None


def _line(event: GuardEvent) -> bytes:
    body = msgspec.json.encode(event)[:-1]
    return body + _SUM_KEY + _sum(body) + b'"}\n'


def _sum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_SUM_SIZE // 2).hexdigest().encode()


def _read(path: Path) -> tuple[list[GuardEvent], int]:
    """The events of *path*, and how many bytes they take; a last line without its end is left out."""
    try:
        with open(open_to_read(path), "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return [], 0
    size = content.rfind(b"\n") + 1
    events: list[GuardEvent] = []
    for number, line in enumerate(content[:size].splitlines()):
        events.append(_event(line, number))
    return events, size


def _event(line: bytes, number: int) -> GuardEvent:
    body, tail = line[:-_TAIL], line[-_TAIL:]
    if tail != _SUM_KEY + _sum(body) + b'"}':
        raise _DamagedError(f"line {number + 1} is not as it was written")
    try:
        event: GuardEvent = decode_json(body + b"}", _EVENT)
    except msgspec.DecodeError as error:
        raise _DamagedError(f"line {number + 1} cannot be read ({error})") from None
    if event.seq != number:
        raise _DamagedError(f"line {number + 1} has the number {event.seq}: lines are missing")
    return event
