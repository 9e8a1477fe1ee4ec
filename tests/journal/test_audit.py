"""The audit chain: changes of sealed records are reported."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_SECOND
from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.journal.audit import AuditChain, AuditReport, day_of, record_lines
from quantum_trader.journal.keys import SigningKey

START = 17_600 * NS_PER_DAY
DAYS = [day_of(START + day * NS_PER_DAY) for day in range(4)]
PER_DAY = 2_500

Lines = list[tuple[int, bytes]]


def record(seq: int, ts_ns: int, text: str = "a reason") -> tuple[int, bytes]:
    """One record as the recorder writes it."""
    line = msgspec.json.encode({
        "seq": seq, "event_id": f"e{seq:010d}", "topic": "signal.decided", "ts_ns": ts_ns, "data": {"reason": text},
    })
    return ts_ns, line


def history(days: int = 3, per_day: int = PER_DAY) -> Lines:
    """Records of *days* days, in the order they were written."""
    return [
        record(day * per_day + k + 1, START + day * NS_PER_DAY + k * NS_PER_SECOND)
        for day in range(days) for k in range(per_day)
    ]


@pytest.fixture
def chain(tmp_path: Path) -> AuditChain:
    """Three days under seal."""
    made = AuditChain(tmp_path / "audit")
    made.seal(history())
    return made


def problems(report: AuditReport) -> list[tuple[str, str, int, str]]:
    """The problems of a report: (kind, day, position, record)."""
    return [(one.kind, one.day, one.position, one.record) for one in report.problems]


def test_untouched_records_verify(chain: AuditChain) -> None:
    """Every record is under seal, and every seal joins the one before."""
    report = chain.verify(history())

    assert report.ok
    assert (report.sealed, report.unsealed, len(report.days)) == (3 * PER_DAY, 0, 3)
    assert len(report.head) == 64


@pytest.mark.parametrize("position", [1, 1000, 1001, 2500])
def test_one_byte_of_one_record_names_the_record(chain: AuditChain, position: int) -> None:
    """At every position in its block."""
    lines = history()
    at = PER_DAY + position - 1
    ts_ns, line = lines[at]
    lines[at] = (ts_ns, line.replace(b"a reason", b"a season"))

    report = chain.verify(lines)

    assert problems(report) == [("changed", DAYS[1], position, f"e{at + 1:010d}")]
    assert [day.intact for day in report.days] == [True, False, True]


def test_two_edits_a_removal_and_an_addition_are_distinguished(chain: AuditChain) -> None:
    """Each by its position, although all records after the first change have moved."""
    lines = history()
    lines[9] = (lines[9][0], lines[9][1].replace(b"a reason", b"A reason"))
    del lines[1499]
    lines.insert(1999, record(999_999, lines[1999][0], "slipped in"))

    found = problems(chain.verify(lines))

    assert [(kind, position) for kind, _, position, _ in found] == [("changed", 10), ("removed", 1500), ("added", 2000)]
    assert found[2][3] == "e0000999999"


def test_a_record_moved_to_another_day_is_reported_as_removed(chain: AuditChain) -> None:
    """A changed time is a removal on the sealed day and an unsealed record on the new day."""
    lines = history()
    _, line = lines[5]
    lines[5] = (START + 3 * NS_PER_DAY, line)

    report = chain.verify(lines)

    assert [(p.kind, p.day, p.position) for p in report.problems] == [("removed", DAYS[0], 6)]
    assert report.unsealed_days == {DAYS[3]: 1}


def test_a_missing_day_is_named(chain: AuditChain) -> None:
    """Records removed without a signed statement are reported."""
    report = chain.verify([line for line in history() if day_of(line[0]) != DAYS[1]])

    assert not report.ok
    assert report.problems[0].kind == "removed"
    assert report.problems[0].day == DAYS[1]


def test_a_rewritten_day_with_fresh_seals_is_not_signed(chain: AuditChain, tmp_path: Path) -> None:
    """Without the key a consistent chain can be made, but not its signatures."""
    public = (chain.directory / "signing.pub").read_text().strip()
    forged = history()
    forged[0] = record(1, START, "rewritten")
    for path in chain.directory.iterdir():
        path.unlink()
    AuditChain(chain.directory, key=tmp_path / "other.key").seal(forged)

    assert AuditChain(chain.directory).verify(forged).ok, "the folder's own key was replaced too"
    report = AuditChain(chain.directory).verify(forged, trusted=public)
    assert {one.kind for one in report.problems} == {"signature"}
    assert len(report.problems) == 3


def test_an_edited_seal_shows(chain: AuditChain) -> None:
    """Its head no longer matches its fields."""
    path = chain.directory / f"{DAYS[1]}.json"
    path.write_bytes(path.read_bytes().replace(b'"count":2500', b'"count":2499'))

    report = chain.verify(history())

    assert ("seal", DAYS[1]) in {(one.kind, one.day) for one in report.problems}


def test_a_seal_taken_out_of_the_chain_shows(chain: AuditChain) -> None:
    """The seals after it link to no seal."""
    (chain.directory / f"{DAYS[1]}.json").unlink()

    report = chain.verify(history())

    assert [(one.kind, one.day) for one in report.problems] == [("chain", DAYS[2])]


def test_a_chain_cut_at_its_end_shows_against_a_head_noted_elsewhere(chain: AuditChain) -> None:
    """The chain alone does not show a cut end; the noted head does."""
    head = chain.verify(history()).head
    (chain.directory / f"{DAYS[2]}.json").unlink()
    kept = history(days=2)

    assert chain.verify(kept).ok
    assert [one.kind for one in chain.verify(kept, expect_head=head).problems] == ["head"]


def test_a_day_that_grew_gets_another_seal_over_what_was_added(chain: AuditChain) -> None:
    """Records after the last sealed one are unsealed, not wrong."""
    grown = [*history(), record(9_000_001, START + 2 * NS_PER_DAY + 80_000 * NS_PER_SECOND)]

    before = chain.verify(grown)
    made = chain.seal(grown)
    after = chain.verify(grown)

    assert (before.ok, before.unsealed) == (True, 1)
    assert [(seal.name, seal.first, seal.count) for seal in made] == [(f"{DAYS[2]}.2", PER_DAY, 1)]
    assert (after.ok, after.unsealed, after.sealed) == (True, 0, 3 * PER_DAY + 1)


def test_sealing_again_adds_nothing_and_the_same_records_give_the_same_seals(chain: AuditChain) -> None:
    """A seal holds no time of its own."""
    head = chain.verify(history()).head
    names = sorted(path.name for path in chain.directory.iterdir())

    assert chain.seal(history()) == []
    assert chain.verify(history()).head == head
    assert sorted(path.name for path in chain.directory.iterdir()) == names


def test_only_whole_days_are_sealed_when_asked(tmp_path: Path) -> None:
    """The unfinished day stays open."""
    made = AuditChain(tmp_path / "audit").seal(history(), through_day=DAYS[1])

    assert [seal.day for seal in made] == DAYS[:2]


def test_retired_days_leave_a_chain_that_verifies(chain: AuditChain) -> None:
    """The signed anchor replaces the removed days; the next day links to it."""
    head = chain.verify(history()).head
    anchor = chain.retire(DAYS[1], now_ns=1)
    kept = [line for line in history() if day_of(line[0]) > DAYS[1]]

    report = chain.verify(kept)

    assert (anchor.days, anchor.records) == (2, 2 * PER_DAY)
    assert report.ok
    assert (report.retired_through, report.retired_records, report.head) == (DAYS[1], 2 * PER_DAY, head)
    assert chain.seal([*kept, record(1, START + 3 * NS_PER_DAY)])[0].previous == head
    assert chain.retire(DAYS[2], now_ns=2).records == 3 * PER_DAY


def test_a_kill_while_retiring_does_no_harm(chain: AuditChain) -> None:
    """The anchor is written first; leftover seals are covered by it."""
    left = {path.name: path.read_bytes() for path in chain.directory.glob(f"{DAYS[1]}*")}
    chain.retire(DAYS[1], now_ns=1)
    for name, content in left.items():
        (chain.directory / name).write_bytes(content)

    assert chain.verify([line for line in history() if day_of(line[0]) > DAYS[1]]).ok


def test_a_forged_anchor_shows(chain: AuditChain, tmp_path: Path) -> None:
    """Only the key's owner can sign that days were removed on purpose."""
    chain.retire(DAYS[0], now_ns=1)
    path = chain.directory / "anchor.json"
    path.write_bytes(path.read_bytes().replace(b'"records":2500', b'"records":2400'))

    report = chain.verify([line for line in history() if day_of(line[0]) > DAYS[0]])

    assert [one.kind for one in report.problems] == ["signature"]


def test_nothing_is_retired_that_was_never_sealed(chain: AuditChain) -> None:
    """There is nothing to retire."""
    with pytest.raises(InputError, match="nothing to retire"):
        chain.retire("2001-01-01", now_ns=1)


def test_records_that_vanished_are_not_sealed_over(chain: AuditChain) -> None:
    """Sealing is refused, and the error names verify."""
    with pytest.raises(StateError, match="journal verify"):
        chain.seal(history()[1:])


def test_a_flipped_byte_in_the_check_file_is_reported(chain: AuditChain) -> None:
    """Intact records stay intact; a changed record is then located by its block."""
    path = chain.directory / f"{DAYS[0]}.checks"
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(bytes(content))
    lines = history()
    lines[1500] = (lines[1500][0], lines[1500][1] + b" ")

    report = chain.verify(lines)

    assert [one.kind for one in report.problems] == ["seal"]
    assert "after the first 1,000" in report.problems[0].detail


def test_the_key_is_private_and_the_public_one_is_published(chain: AuditChain) -> None:
    """Mode 0600; another kind of file is refused with what to give."""
    path = chain.directory / "signing.key"

    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKey.open_or_create(path).public == (chain.directory / "signing.pub").read_text().strip()
    path.write_text("no key")
    with pytest.raises(StateError, match="Ed25519"):
        SigningKey.open_or_create(path)


@given(at=st.integers(0, 1_000_000), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed_and_placed(tmp_path_factory: pytest.TempPathFactory, at: int, bit: int) -> None:
    """At any place (word, number, time, end of line) the record's position is reported."""
    folder = tmp_path_factory.mktemp("flip")
    chain = AuditChain(folder / "audit")
    lines = history(days=2, per_day=20)
    chain.seal(lines)
    content = bytearray(b"".join(line + b"\n" for _, line in lines))
    at %= len(content)
    content[at] ^= 1 << bit
    (folder / "records").write_bytes(content)
    number = bytes(b"".join(line + b"\n" for _, line in lines)[:at]).count(b"\n")

    found = problems(chain.verify(record_lines(folder / "records")))

    assert (DAYS[number // 20], number % 20 + 1) in {(day, position) for _, day, position, _ in found}


def test_a_record_that_is_no_json_counts_to_the_moment_before(tmp_path: Path) -> None:
    """A damaged line is compared with the day it was sealed in."""
    path = tmp_path / "records.jsonl"
    path.write_bytes(b'{"ts_ns":5}\n{"ts_n\n{"ts_ns":7}\n')

    assert list(record_lines(path)) == [(5, b'{"ts_ns":5}'), (5, b'{"ts_n'), (7, b'{"ts_ns":7}')]


def test_records_inserted_at_the_end_of_a_day_are_reported(chain: AuditChain) -> None:
    """No seal covers them, but sealed records follow: they were inserted after the sealing."""
    lines = history()
    lines.insert(PER_DAY, record(9_000_001, START + 3_000 * NS_PER_SECOND))

    assert problems(chain.verify(lines)) == [("added", DAYS[0], 0, "e0009000001")]


def test_an_inserted_day_is_reported(tmp_path: Path) -> None:
    """A day that had no records when its neighbours were sealed."""
    chain = AuditChain(tmp_path / "audit")
    lines = history()
    kept = [one for one in lines if day_of(one[0]) != DAYS[1]]
    chain.seal(kept)

    assert chain.verify(kept).ok
    assert [(one.kind, one.day) for one in chain.verify(lines).problems] == [("added", DAYS[1])]


def test_late_records_and_retired_ones_are_no_additions(chain: AuditChain) -> None:
    """Records after all sealed ones are late; records of retired days may still exist."""
    late = [*history(), record(9_000_001, START + 3_000 * NS_PER_SECOND)]

    assert chain.verify(late).ok
    chain.retire(DAYS[0], 1)
    assert chain.verify(history()).ok


def test_an_edited_check_file_is_reported_while_the_records_are_intact(chain: AuditChain) -> None:
    """It is reported before it is needed to locate a record."""
    path = chain.directory / f"{DAYS[0]}.checks"
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    report = chain.verify(history())

    assert [(one.kind, one.day) for one in report.problems] == [("seal", DAYS[0])]
    assert "records are as they were" in report.problems[0].detail
