"""What a guard was asked, what it answered and what a bot reported: one file per bot, a JSON object a line.

Each line has a number and ends in a checksum of itself. A report is on disk before it is answered, so a kill loses
none that was answered. A last line without its end was never answered and is cut off; any other fault is damage.

A file that has reached PART_BYTES is sealed: it becomes a part, ``journal-0000000001.jsonl.gz``, and the new file
begins with a line that carries everything remembered of the bot and the part's digest. A start reads the open file
alone.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

import msgspec

from quantum_trader.domain.enums import Side
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.fields import Finite
from quantum_trader.domain.json_text import decode_json
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.domain.private_files import open_private, read_private, why_unwritable
from quantum_trader.policy.entries import EntryRefusal
from quantum_trader.policy.storage import set_aside, write_atomically

FILE_NAME: Final = "journal.jsonl"
PART_BYTES: Final = 16 << 20  # from this size on a file is sealed: some 30,000 questions
_PART: Final = re.compile(r"journal-(?P<number>\d{10})\.jsonl\.gz")
_SUM_KEY: Final = b',"sum":"'
_SUM_SIZE: Final = 16
_TAIL: Final = len(_SUM_KEY) + _SUM_SIZE + 2


class ToldPosition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A position that a bot holds; *stake* is its margin in the account's currency."""

    symbol: str
    stake: Finite
    side: Side | None = None


class ToldAccount(msgspec.Struct, frozen=True, kw_only=True):
    """A bot's account as it told it last: equity with open profit, the open positions, and the money paid in.

    *paid_in* is everything that was ever paid in less what was paid out, in the account's currency; None: not told.
    """

    equity: Finite
    positions: tuple[ToldPosition, ...] = ()
    paid_in: Finite | None = None

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


class TransferTaken(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="transfer"):
    """Money that was paid into a bot's account: *amount* since the account was told before; negative: paid out.

    *paid_in* is the account's new total. The first total that is told has the amount 0. *day* and *day_peak* are the
    policy's before the transfer, from which a start tells whether the policy's file has it already.
    """

    seq: int
    ns: int
    paid_in: float
    amount: float
    day: int
    day_peak: float


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


class PartSealed(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="sealed"):
    """The first line after a part: the part's name and digest, and what was remembered of the bot at its end."""

    seq: int
    ns: int
    part: str
    digest: str  # BLAKE2b of the part's lines
    damage: str
    damaged_ns: int
    resumed: int
    mode: str
    account: ToldAccount | None
    paid_in: float | None
    streak: tuple[int, int, int]
    symbols: tuple[str, ...]
    would_lock: dict[str, tuple[str, ...]]
    fills: dict[str, str]  # id -> digest of the report
    answers: dict[str, int]  # id -> when it was asked, ns


GuardEvent: TypeAlias = (
    BotBegan | FileMissed | DecisionMade | FillTaken | TransferTaken | ModeTaken | BotResumed | LockChanged | PartSealed
)
_EVENT: Final[Any] = GuardEvent


class _DamagedError(Exception):
    """A line that is none of ours, or not as it was written."""


class GuardJournal:
    """The journal of one bot, open to append. :attr:`events` hands out what is in the open file, once."""

    def __init__(self, folder: Path, now_ns: int) -> None:
        """Open or make the journal of *folder*. One that cannot be used is set aside, and a new one says so."""
        self.path = folder / FILE_NAME
        known: list[GuardEvent] = []
        damage, content = "", _open_content(self.path)
        try:
            known = list(_events(content))
        except _DamagedError as error:
            damage, content = f"{self.path.name}: {error}; {set_aside(self.path, 'damaged')}", b""
        parts = _parts(folder, content)
        if not known and not damage and parts:
            damage = f"{self.path.name} is gone, and {parts[-1].name} shows that there was one"
        self._file = self._opened(len(content))
        self.next_seq = known[-1].seq + 1 if known else 0
        if not known:
            known = [BotBegan(seq=0, ns=now_ns, damage=damage)]
            self.append(known[0], durable=True)
        self.events: list[GuardEvent] = known

    @property
    def is_full(self) -> bool:
        """Whether the open file is to be sealed."""
        return not self._file.closed and self._file.tell() >= PART_BYTES

    def seal(self, first: Callable[[str, str], PartSealed]) -> None:
        """Make the open file a part, and go on in a new one that begins with *first* (the part's name and digest).

        Raises StateError where that cannot be written; then the open file stays as it is. A kill at any moment leaves
        either the old open file or the new one, whole.
        """
        try:
            content = read_private(self.path)
            part = _next_part(self.path.parent, content)
            write_atomically(part, gzip.compress(content, compresslevel=6, mtime=0))
            event = first(part.name, _digest(content))
            write_atomically(self.path, _line(event))
        except OSError as error:
            raise StateError(
                f"{self.path}: cannot be sealed ({why_unwritable(self.path, error)}); free space"
            ) from None
        self._file.close()  # the next line opens the new one
        self.next_seq = event.seq + 1

    def append(self, event: GuardEvent, *, durable: bool = False) -> None:
        """Write *event*, whose number is :attr:`next_seq`; *durable*: it is on disk when this returns.

        Raises StateError where it cannot be written; what was written of it is taken back.
        """
        line = _line(event)
        if self._file.closed:
            self._file = self._opened(self.path.stat().st_size)
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

    def _opened(self, size: int) -> IO[bytes]:
        """The open file, cut to *size* and placed at its end."""
        file: IO[bytes] = os.fdopen(open_private(self.path, os.O_RDWR | os.O_CREAT), "r+b", buffering=0)
        file.truncate(size)
        file.seek(size)
        return file

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_events(folder: Path) -> Iterator[GuardEvent]:
    """The events of the bot whose folder this is, for a report: those of its parts, then those of the open file.

    Parts that were removed are left out. Raises StateError where a file is damaged.
    """
    path = folder / FILE_NAME
    content = _open_content(path)
    for part in _parts(folder, content):
        try:
            yield from _events(gzip.decompress(read_private(part)))
        except FileNotFoundError:
            continue
        except (_DamagedError, EOFError, OSError, zlib.error) as error:
            raise StateError(f"{part}: {error}; move it away to have the figures without it") from None
    try:
        yield from _events(content)
    except _DamagedError as error:
        raise StateError(f"{path}: {error}; the guard sets it aside at its next start") from None


def _parts(folder: Path, content: bytes) -> list[Path]:
    """The sealed parts of the bot whose folder this is, oldest first; *content* is that of the open file.

    A kill between the writing of a part and that of the new file leaves a part that the open file still has: it is
    left out, and written anew.
    """
    found = sorted(path for path in folder.glob("journal-*.jsonl.gz") if _PART.fullmatch(path.name))
    if found and len(content) >= PART_BYTES:
        try:
            if content.startswith(gzip.decompress(read_private(found[-1]))):
                found.pop()
        except (EOFError, OSError, zlib.error):
            return found
    return found


def _next_part(folder: Path, content: bytes) -> Path:
    parts = _parts(folder, content)
    found = _PART.fullmatch(parts[-1].name) if parts else None
    return folder / f"journal-{int(found['number']) + 1 if found else 1:010d}.jsonl.gz"


def _line(event: GuardEvent) -> bytes:
    body = msgspec.json.encode(event)[:-1]
    return body + _SUM_KEY + _sum(body) + b'"}\n'


def _sum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_SUM_SIZE // 2).hexdigest().encode()


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=32).hexdigest()


def _open_content(path: Path) -> bytes:
    """The whole lines of the open file; a last line without its end is left out."""
    try:
        content = read_private(path)
    except FileNotFoundError:
        return b""
    return content[: content.rfind(b"\n") + 1]


def _events(content: bytes) -> Iterator[GuardEvent]:
    """The events of whole lines; only the first may have any number."""
    first = 0
    for number, line in enumerate(content.splitlines()):
        event = _event(line, number, first + number if number else None)
        if not number:
            first = event.seq
        yield event


def _event(line: bytes, number: int, seq: int | None) -> GuardEvent:
    """The event of line *number*, whose own number is *seq*; None: it is the first, and 0 unless it follows a part."""
    body, tail = line[:-_TAIL], line[-_TAIL:]
    if tail != _SUM_KEY + _sum(body) + b'"}':
        raise _DamagedError(f"line {number + 1} is not as it was written")
    try:
        event: GuardEvent = decode_json(body + b"}", _EVENT)
    except msgspec.DecodeError as error:
        raise _DamagedError(f"line {number + 1} cannot be read ({error})") from None
    if seq is None:
        seq = event.seq if isinstance(event, PartSealed) else 0
    if event.seq != seq:
        raise _DamagedError(f"line {number + 1} has the number {event.seq}: lines are missing")
    return event
