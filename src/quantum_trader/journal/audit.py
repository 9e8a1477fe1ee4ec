"""The audit chain: records sealed day by day, each seal signed and linked to the previous one.

A seal covers the records of one UTC day in the order they were written: a SHA-256 over all of them, one over each
block of a thousand, and four bytes a record, so that a changed byte names its record. Its head is the hash of the
previous head and of all other fields of the seal; the head is signed with Ed25519. Removing old days leaves a signed
anchor from which the rest still verifies.

Sealing reads no clock and stores no time of its own: the same records give the same seals.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from difflib import SequenceMatcher
from pathlib import Path
from typing import Annotated, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_DAY, from_ns
from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.domain.private_files import open_to_read, read_private
from quantum_trader.journal.keys import SigningKey, signed_by
from quantum_trader.journal.private import write_private

AUDIT_FORMAT: Final = "quantum-trader audit 1"
RECORDS_PER_BLOCK: Final = 1_000  # records
CHECK_BYTES: Final = 4
FIRST_HEAD: Final = "0" * 64  # the head before the first seal
_ANCHOR: Final = "anchor.json"
_KEY: Final = "signing.key"
_PUBLIC: Final = "signing.pub"

RecordLine = tuple[int, bytes]
"""Time of a record (ns since the epoch) and its bytes, without the newline."""


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """The seal of one day's records, or of records added to a day that is already sealed."""

    format: str = AUDIT_FORMAT
    day: str  # YYYY-MM-DD
    part: int  # 1, 2 ... of this day
    first: int  # records of the day sealed before this part
    count: int
    bytes: int  # with one newline a record
    hash: str  # sha256 of the records, each with its newline
    blocks: tuple[str, ...]  # sha256 of each RECORDS_PER_BLOCK records
    checks: str  # sha256 of the file with CHECK_BYTES a record
    previous: str  # head before this seal
    head: str
    public_key: str
    signature: str = ""

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.day if self.part == 1 else f"{self.day}.{self.part}"

    def computed_head(self) -> str:
        """The head that the other fields give."""
        plain = msgspec.structs.replace(self, head="", signature="")
        return hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest()


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """A signed statement that the days up to *through* were removed on purpose; the chain continues from *head*."""

    format: str = AUDIT_FORMAT
    through: str
    head: str
    days: int
    records: int
    retired_at_ns: int
    public_key: str
    signature: str = ""

    def message(self) -> bytes:
        """The bytes that are signed."""
        return msgspec.json.encode(msgspec.structs.replace(self, signature=""), order="deterministic")


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One mismatch; *position* counts a day's records from 1, 0 for a whole seal."""

    kind: str  # changed | removed | added | seal | signature | chain | head
    day: str
    detail: str
    position: int = 0
    record: str = ""  # event id; "" where it cannot be read


class DayReport(msgspec.Struct, frozen=True, kw_only=True):
    """One day of the chain."""

    day: str
    sealed: int
    found: int
    intact: bool


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a verification."""

    ok: bool
    days: tuple[DayReport, ...]
    problems: tuple[Problem, ...]
    sealed: int  # records under seal, found or not
    unsealed: int  # records that no seal covers yet
    unsealed_days: dict[str, int]
    head: str  # the last seal's head; a copy kept elsewhere also detects a cut chain
    public_key: str
    retired_through: str  # "" when nothing was removed
    retired_records: int


def day_of(ts_ns: int) -> str:
    """The UTC day of *ts_ns* as YYYY-MM-DD."""
    return from_ns(ts_ns // NS_PER_DAY * NS_PER_DAY).date().isoformat()


class _Head(msgspec.Struct):
    ts_ns: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Named(msgspec.Struct):
    event_id: str = ""
    topic: str = ""


_head: Final = msgspec.json.Decoder(_Head).decode


def record_lines(path: Path) -> Iterator[RecordLine]:
    """Yield the records of a JSON-lines file; an unreadable record gets the time of the previous one."""
    ts_ns = 0
    if not path.exists():
        return
    with open(open_to_read(path), "rb") as handle:
        for raw in handle:
            line = raw.removesuffix(b"\n")
            with suppress(ValueError):
                ts_ns = _head(line).ts_ns
            yield ts_ns, line


def record_name(line: bytes) -> str:
    """The event id and topic in *line*; "" where it cannot be read."""
    try:
        named = msgspec.json.decode(line, type=_Named)
    except ValueError:
        return ""
    return f"{named.event_id} {named.topic}".strip()


def _check(line: bytes) -> bytes:
    return hashlib.sha256(line).digest()[:CHECK_BYTES]


class _Sums:
    """Running sums over some records of one day; *line_checks* costs one hash a record."""

    def __init__(self, *, line_checks: bool) -> None:
        self.count = 0
        self.bytes = 0
        self.blocks: list[str] = []
        self.checks = bytearray()
        self._line_checks = line_checks
        self._day = hashlib.sha256()
        self._waiting: list[bytes] = []

    def add(self, line: bytes) -> None:
        """Add one record."""
        self._waiting.append(line)
        self.count += 1
        if self._line_checks:
            self.checks += _check(line)
        if len(self._waiting) == RECORDS_PER_BLOCK:
            self._block()

    def _block(self) -> None:
        text = b"\n".join(self._waiting) + b"\n"
        self._waiting.clear()
        self.bytes += len(text)
        self._day.update(text)
        self.blocks.append(hashlib.sha256(text).hexdigest())

    def finish(self) -> str:
        """Complete the last block; returns the hash over all records."""
        if self._waiting:
            self._block()
        return self._day.hexdigest()


class AuditChain:
    """The seals in one folder: one stream of records, one chain.

    *key* is the file with the private key; without one it is made in the folder, readable by its owner alone. A
    key kept elsewhere is protected from users who can write the records.
    """

    def __init__(self, directory: Path, *, key: Path | None = None) -> None:
        self.directory = directory
        self._key_path = key or directory / _KEY

    # ------------------------------------------------------------------ sealing

    def seal(self, lines: Iterable[RecordLine], through_day: str | None = None) -> list[Seal]:
        """Seal the records without a seal, up to and including *through_day* (all when None).

        *lines* are all records still kept, in the order they were written. Returns the new seals; StateError when
        sealed records are missing or the chain is damaged: run ``verify`` first.
        """
        seals, anchor = self._load()
        covered = _covered(seals)
        sums: dict[str, _Sums] = {}
        seen: dict[str, int] = {}
        for ts_ns, line in lines:
            day = day_of(ts_ns)
            seen[day] = number = seen.get(day, 0) + 1
            if number <= covered.get(day, 0) or (through_day is not None and day > through_day):
                continue
            if anchor is not None and day <= anchor.through:
                continue
            if day not in sums:
                sums[day] = _Sums(line_checks=True)
            sums[day].add(line)
        for day, count in covered.items():
            if seen.get(day, 0) < count:
                raise StateError(
                    f"{self.directory}: {day} has {seen.get(day, 0)} records but {count} were sealed; "
                    "run `quantum-trader journal verify` before anything else"
                )
        if not sums:
            return []
        signer = SigningKey.open_or_create(self._key_path)
        self._publish_key(signer)
        head = seals[-1].head if seals else anchor.head if anchor is not None else FIRST_HEAD
        made = []
        for day in sorted(sums):
            parts = [seal.part for seal in seals if seal.day == day]
            seal = self._write(day, max(parts, default=0) + 1, covered.get(day, 0), sums[day], head, signer)
            made.append(seal)
            head = seal.head
        return made

    def _write(self, day: str, part: int, first: int, sums: _Sums, head: str, signer: SigningKey) -> Seal:
        digest = sums.finish()
        checks = bytes(sums.checks)
        draft = Seal(
            day=day, part=part, first=first, count=sums.count, bytes=sums.bytes, hash=digest,
            blocks=tuple(sums.blocks), checks=hashlib.sha256(checks).hexdigest(), previous=head, head="",
            public_key=signer.public,
        )
        made = draft.computed_head()
        seal = msgspec.structs.replace(draft, head=made, signature=signer.sign(made.encode()))
        write_private(self.directory / f"{seal.name}.checks", checks)
        write_private(self.directory / f"{seal.name}.json", msgspec.json.encode(seal) + b"\n")
        return seal

    def _publish_key(self, signer: SigningKey) -> None:
        path = self.directory / _PUBLIC
        if not path.exists():
            write_private(path, signer.public.encode() + b"\n")

    # ------------------------------------------------------------------ retention

    def retire(self, through_day: str, now_ns: int) -> Anchor:
        """Sign a statement that the days up to *through_day* are removed on purpose, and delete their seals.

        Call it before the records are removed. Raises InputError when no sealed day is that old, or when a younger
        seal comes before an older one's last part.
        """
        seals, before = self._load()
        gone = [seal for seal in seals if seal.day <= through_day]
        kept = seals[len(gone):]
        if not gone:
            raise InputError(f"through_day = {through_day!r}: no seal is that old; nothing to retire")
        if gone != seals[: len(gone)]:
            late = next(seal for seal in kept if seal.day <= through_day)
            raise InputError(
                f"through_day = {through_day!r}: {late.name} was sealed after younger days; retire through "
                f"{max(seal.day for seal in seals[: seals.index(late) + 1])} or later"
            )
        signer = SigningKey.open_or_create(self._key_path)
        draft = Anchor(
            through=through_day, head=gone[-1].head,
            days=len({seal.day for seal in gone}) + (before.days if before is not None else 0),
            records=sum(seal.count for seal in gone) + (before.records if before is not None else 0),
            retired_at_ns=now_ns, public_key=signer.public,
        )
        anchor = msgspec.structs.replace(draft, signature=signer.sign(draft.message()))
        write_private(self.directory / _ANCHOR, msgspec.json.encode(anchor) + b"\n")
        for seal in gone:
            (self.directory / f"{seal.name}.json").unlink()
            (self.directory / f"{seal.name}.checks").unlink(missing_ok=True)
        return anchor

    # ------------------------------------------------------------------ verification

    def verify(
        self, lines: Iterable[RecordLine], *, trusted: str | None = None, expect_head: str | None = None
    ) -> AuditReport:
        """Compare *lines*, all records still kept in the order they were written, with the chain.

        *trusted* is the public key (hex) that must have signed; without it the one published in the folder counts,
        which a user who can write the folder can replace. *expect_head* is a head noted earlier.
        """
        problems: list[Problem] = []
        seals, anchor = self._load(problems)
        known = trusted or self._public_key()
        _check_signatures(seals, anchor, known, expect_head, problems)
        wanted: dict[str, list[Seal]] = {}
        for seal in seals:
            wanted.setdefault(seal.day, []).append(seal)
        kept: dict[str, _DayCheck] = {day: _DayCheck(self.directory, parts) for day, parts in wanted.items()}
        loose: dict[str, int] = {}
        slipped = _InsertedRecords(anchor.through if anchor is not None else "")
        after = _AfterTheEnd()
        for ts_ns, line in lines:
            day = day_of(ts_ns)
            sealed = kept[day].take(line) if day in kept else False
            after.take(day, line, sealed)
            if day not in kept:
                loose[day] = loose.get(day, 0) + 1
            slipped.take(day, line, sealed)
        if not any(one.kind in ("chain", "seal") for one in problems):  # else a lost seal may have covered them
            problems += slipped.problems
        problems += after.problems()
        days = []
        for day, check in sorted(kept.items()):
            found = check.problems()
            problems += found
            days.append(DayReport(day=day, sealed=check.sealed, found=check.found, intact=not found))
            if check.loose:
                loose[day] = check.loose
        return AuditReport(
            ok=not problems, days=tuple(days), problems=tuple(problems), sealed=sum(seal.count for seal in seals),
            unsealed=sum(loose.values()), unsealed_days=loose,
            head=seals[-1].head if seals else anchor.head if anchor is not None else FIRST_HEAD, public_key=known,
            retired_through=anchor.through if anchor is not None else "",
            retired_records=anchor.records if anchor is not None else 0,
        )

    # ------------------------------------------------------------------ files

    def _public_key(self) -> str:
        path = self.directory / _PUBLIC
        return read_private(path).decode("ascii", errors="replace").strip() if path.exists() else ""

    def _load(self, problems: list[Problem] | None = None) -> tuple[list[Seal], Anchor | None]:
        """Return the seals in the order of the chain, and the anchor they start from.

        Unreadable or unlinked seals are appended to *problems*; StateError when it is None.
        """
        found: list[Problem] = []
        anchor: Anchor | None = None
        seals = []
        for path in sorted(self.directory.glob("*.json")):
            try:
                if path.name == _ANCHOR:
                    anchor = msgspec.json.decode(read_private(path), type=Anchor)
                else:
                    seals.append(msgspec.json.decode(read_private(path), type=Seal))
            except ValueError as error:
                found.append(Problem(kind="seal", day=path.stem[:10], detail=f"{path.name} cannot be read: {error}"))
        if anchor is not None:  # a kill during retire may leave seals that the anchor covers
            seals = [seal for seal in seals if seal.day > anchor.through]
        ordered = _in_order(seals, anchor.head if anchor is not None else FIRST_HEAD, found)
        if problems is not None:
            problems += found
        elif found:
            raise StateError(f"{self.directory}: {found[0].detail}; run `quantum-trader journal verify`")
        return ordered, anchor


def _in_order(seals: list[Seal], head: str, problems: list[Problem]) -> list[Seal]:
    """*seals* along the chain from *head*; unreachable seals become problems and come last, by name."""
    following: dict[str, list[Seal]] = {}
    for seal in seals:
        if seal.computed_head() != seal.head:
            problems.append(Problem(
                kind="seal", day=seal.day, detail=f"the seal {seal.name} was edited: its head does not follow from it",
            ))
        following.setdefault(seal.previous, []).append(seal)
    ordered = []
    while following.get(head):
        seal = following[head].pop(0)
        ordered.append(seal)
        head = seal.head
    rest = sorted((seal for group in following.values() for seal in group), key=lambda seal: (seal.day, seal.part))
    for seal in rest:
        problems.append(Problem(
            kind="chain", day=seal.day,
            detail=f"the seal {seal.name} joins no other: a seal before it was removed or replaced",
        ))
    return ordered + rest


def _covered(seals: list[Seal]) -> dict[str, int]:
    """Records under seal by day."""
    covered: dict[str, int] = {}
    for seal in seals:
        covered[seal.day] = covered.get(seal.day, 0) + seal.count
    return covered


def _check_signatures(
    seals: list[Seal], anchor: Anchor | None, known: str, expect_head: str | None, problems: list[Problem]
) -> None:
    """Append a problem for each seal, and the anchor, that the key *known* did not sign."""
    for seal in seals:
        if not signed_by(known, seal.head.encode(), seal.signature):
            problems.append(Problem(
                kind="signature", day=seal.day, detail=f"the seal {seal.name} is not signed by the key {known[:16]}",
            ))
    if anchor is not None and not signed_by(known, anchor.message(), anchor.signature):
        problems.append(Problem(
            kind="signature", day=anchor.through,
            detail=f"the statement that days through {anchor.through} were retired is not signed by {known[:16]}",
        ))
    heads = {seal.head for seal in seals} | ({anchor.head} if anchor is not None else set())
    if expect_head is not None and expect_head not in heads:
        problems.append(Problem(
            kind="head", day="",
            detail=f"the head {expect_head[:16]} noted earlier is not in the chain: its end was cut "
            "or replaced",
        ))


class _InsertedRecords:
    """Finds records without a seal before sealed ones of their day or a later one.

    Records are only appended, and a seal covers all up to its day: such a record was inserted after the sealing.
    """

    def __init__(self, retired_through: str) -> None:
        self.problems: list[Problem] = []
        self._through = retired_through
        self._open: dict[str, tuple[int, bytes]] = {}  # day -> how many, the first

    def take(self, day: str, line: bytes, sealed: bool | None) -> None:
        """Add the next record; *sealed* is None where it is not known."""
        if sealed:
            for early in [one for one in self._open if one <= day]:
                count, first = self._open.pop(early)
                self.problems.append(Problem(
                    kind="added", day=early, record=record_name(first).partition(" ")[0],
                    detail=f"{early}: {count:,} records before sealed ones of {day} were not there at the sealing "
                    f"({record_name(first) or 'the first cannot be read'})",
                ))
        elif sealed is False and day > self._through:
            count, first = self._open.get(day, (0, line))
            self._open[day] = (count + 1, first)


class _AfterTheEnd:
    """Finds records without a seal behind the sealed end of the run: a run that has ended writes nothing more.

    Requests that arrive with the end are records too, and are sealed with it.
    """

    def __init__(self) -> None:
        self._ended = ""  # the day of the sealed end
        self._count = 0
        self._first = ("", b"")

    def take(self, day: str, line: bytes, sealed: bool | None) -> None:
        """Add the next record."""
        if sealed and b'"topic":"run.ended"' in line[:_TOPIC_WITHIN]:
            self._ended = day
        elif self._ended and sealed is False:
            self._first = self._first if self._count else (day, line)
            self._count += 1

    def problems(self) -> list[Problem]:
        """The problem, where there is one; call it after the last record."""
        if not self._count:
            return []
        day, line = self._first
        name = record_name(line)
        return [Problem(
            kind="added", day=day, record=name.partition(" ")[0],
            detail=f"{day}: {self._count:,} records behind the end of the run on {self._ended}; a run that has ended "
            f"writes none ({name or 'the first cannot be read'})",
        )]


_TOPIC_WITHIN: Final = 120  # bytes at the beginning of a record in which its topic stands
_NAMED: Final = 20  # problems listed one by one for a day


class _DayCheck:
    """Compares the records of one day with its seals: by block while they match, by record from the first mismatch."""

    def __init__(self, directory: Path, seals: list[Seal]) -> None:
        self._directory = directory
        self._seals = sorted(seals, key=lambda seal: seal.part)
        self.day = seals[0].day
        self.sealed = sum(seal.count for seal in seals)
        self.found = 0
        self.loose = 0
        self._segments = [
            (min(RECORDS_PER_BLOCK, seal.count - number * RECORDS_PER_BLOCK), block)
            for seal in self._seals
            for number, block in enumerate(seal.blocks)
        ]
        self._at = 0  # segment
        self._fits = 0  # records verified so far
        self._waiting: list[bytes] = []
        self._tail: list[tuple[bytes, str]] | None = None  # (check, name) from the first mismatch on

    def take(self, line: bytes) -> bool | None:
        """Add the day's next record; return whether a seal covers it, None where it is not known yet."""
        self.found += 1
        if self._tail is not None:
            self._tail.append((_check(line), record_name(line)))
            return None
        if self._at == len(self._segments):
            self.loose += 1
            return False
        if self._segments:
            self._waiting.append(line)
            size, block = self._segments[self._at]
            if len(self._waiting) == size:
                text = b"\n".join(self._waiting) + b"\n"
                if hashlib.sha256(text).hexdigest() == block:
                    self._fits += size
                    self._at += 1
                    self._waiting.clear()
                else:
                    self._mismatch()
                    return None
        return True

    def _mismatch(self) -> None:
        self._tail = [(_check(line), record_name(line)) for line in self._waiting]
        self._waiting.clear()

    def problems(self) -> list[Problem]:
        """Return the mismatches; call it after the last record."""
        if self._tail is None and self._at < len(self._segments):
            self._mismatch()
        sums = self._sealed_checks()
        if self._tail is None:
            return [] if sums is not None else [self._problem(
                "seal", f"{self.day}: its .checks file is missing or edited; the records are as they were sealed"
            )]
        if sums is None:
            return [self._problem("seal", f"{self.day}: its .checks file is missing or edited, so that the record "
                                  f"cannot be named; it is after the first {self._fits:,} of the day")]
        wanted = [sums[at:at + CHECK_BYTES] for at in range(self._fits * CHECK_BYTES, len(sums), CHECK_BYTES)]
        found = self._compare(wanted, self._tail)
        if not found:  # the four-byte checks match by chance or by forgery, but the block does not
            found = [self._problem("changed", f"{self.day}: a record of the block after the first {self._fits:,} was "
                                   "changed")]
        return found

    def _compare(self, wanted: list[bytes], tail: list[tuple[bytes, str]]) -> list[Problem]:
        """Name the records in which *tail* differs from *wanted*."""
        found: list[Problem] = []
        names = [name for _, name in tail]
        matcher = SequenceMatcher(None, wanted, [check for check, _ in tail], autojunk=False)
        for kind, i1, i2, j1, j2 in matcher.get_opcodes():
            if kind == "equal":
                continue
            both = min(i2 - i1, j2 - j1)
            for k in range(both):
                found.append(self._one("changed", i1 + k, names[j1 + k]))
            for i in range(i1 + both, i2):
                before = names[j1 + both - 1] if j1 + both else ""
                found.append(self._one("removed", i, "", before))
            if i2 == len(wanted):  # after the last sealed record
                self.loose += j2 - j1 - both
                continue
            for j in range(j1 + both, j2):
                found.append(self._one("added", i2 - 1, names[j]))
        if len(found) > _NAMED:
            more = len(found) - _NAMED
            found = [*found[:_NAMED], self._problem("changed", f"{self.day}: {more:,} more records do not fit")]
        return found

    def _one(self, kind: str, index: int, name: str, before: str = "") -> Problem:
        position = self._fits + index + 1
        where = f"{self.day}: record {position:,} of {self.sealed:,}"
        if kind == "added":
            detail = f"{self.day}: a record stands after number {position:,} that was not there when it was sealed"
        else:
            detail = f"{where} was {kind}"
        if name:
            detail += f" ({name})"
        elif kind == "removed" and before:
            detail += f" (it stood after {before})"
        elif kind == "changed":
            detail += " (it can no longer be read)"
        return Problem(kind=kind, day=self.day, detail=detail, position=position, record=name.partition(" ")[0])

    def _problem(self, kind: str, detail: str) -> Problem:
        return Problem(kind=kind, day=self.day, detail=detail)

    def _sealed_checks(self) -> bytes | None:
        """Four bytes a sealed record; None when the files do not match the seals."""
        sums = b""
        for seal in self._seals:
            path = self._directory / f"{seal.name}.checks"
            content = read_private(path) if path.exists() else b""
            if hashlib.sha256(content).hexdigest() != seal.checks:
                return None
            sums += content
        return sums
