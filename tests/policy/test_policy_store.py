"""The policy store: changes with a history, refusals that change nothing, and files that cannot be used."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.errors import ConfigError, InputError, StateError
from quantum_trader.domain.pilot_settings import PilotSettings
from quantum_trader.domain.private_files import open_private
from quantum_trader.policy import PolicyStore
from quantum_trader.policy.policy_store import ActiveRiskProfile, StaleVersionError
from quantum_trader.policy.policy_store_file import STORE_FILE
from quantum_trader.policy.policy_store_state import HISTORY, StoreState, changed_state, decode_state, encode_state

NOON = 1_700_000_000 * NS_PER_SECOND
COPY = f"{STORE_FILE}.last-good"


class Clock:
    """A time that a test sets."""

    def __init__(self) -> None:
        self.now_ns = NOON

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Clock:
    """Noon, until a test moves it."""
    return Clock()


@pytest.fixture
def opened(tmp_path: Path, clock: Clock) -> Callable[[], PolicyStore]:
    """A maker of stores over one file; each is another program's, with a cache of its own."""
    tmp_path.chmod(0o700)

    def never(_seconds: float) -> None:
        raise AssertionError("nobody else holds the lock")

    return lambda: PolicyStore(tmp_path / STORE_FILE, clock=clock, pause=never)


def put(store: PolicyStore, seen: int | None = None, reason: str = "test", **values: Any) -> Any:
    """Change *values* as ann."""
    return store.change(values, seen_version=seen, actor="ann", reason=reason)


def files(folder: Path) -> dict[str, bytes]:
    """Name and content of everything in *folder*."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---- changes --------------------------------------------------------------------------------------------------------
def test_without_a_file_the_defaults_hold_and_nothing_is_written(
    tmp_path: Path, opened: Callable[[], PolicyStore]
) -> None:
    """Version 0, no history, SHADOW; the folder stays empty."""
    reading = opened().read()

    assert (reading.pilot, reading.state.version, reading.state.changes) == (PilotSettings(), 0, ())
    assert (reading.trouble, reading.notice) == ("", "")
    assert files(tmp_path) == {}


def test_a_change_is_in_force_at_once_and_on_record(
    clock: Clock, opened: Callable[[], PolicyStore], caplog: pytest.LogCaptureFixture
) -> None:
    """Who, when, why, and the settings before and after; the program's log has it too."""
    store = opened()
    with caplog.at_level(logging.INFO):
        made = put(store, mode="PRIMARY", min_confidence=0.7, reason="  evidence of May ")
    assert f"{STORE_FILE}: version 1 by ann (evidence of May): PilotSettings(" in caplog.text
    clock.now_ns += 1
    put(store, seen=1, max_trades_per_hour=2)

    assert store.pilot == PilotSettings(mode=PilotMode.PRIMARY, min_confidence=0.7, max_trades_per_hour=2)
    assert store.version == 2
    first, second = store.read().state.changes
    assert made.changes == (first,)
    assert (first.version, first.ts_ns, first.actor, first.reason) == (1, NOON, "ann", "evidence of May")
    assert (first.before, first.after, first.fields) == (PilotSettings(), second.before, ("mode", "min_confidence"))
    assert (second.version, second.ts_ns, second.fields) == (2, NOON + 1, ("max_trades_per_hour",))


def test_a_restart_finds_settings_version_and_history(opened: Callable[[], PolicyStore]) -> None:
    """All of them as they were."""
    first = opened()
    put(first, mode="HYBRID")
    put(first, enabled=False)

    assert opened().read() == first.read()


def test_the_files_are_private_and_whole(tmp_path: Path, opened: Callable[[], PolicyStore]) -> None:
    """0600 with any umask; no partial file is left."""
    before = os.umask(0)
    try:
        put(opened(), mode="OFF")
    finally:
        os.umask(before)

    assert sorted(files(tmp_path)) == [STORE_FILE, COPY, f"{STORE_FILE}.lock"]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_missing_folder_is_made_private(tmp_path: Path) -> None:
    """With the folders above it."""
    PolicyStore(tmp_path / "a" / "b" / "mine.json").change({"mode": "OFF"}, seen_version=0, actor="ann", reason="x")

    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert PolicyStore(tmp_path / "a" / "b" / "mine.json").pilot.mode is PilotMode.OFF


def test_values_that_are_there_already_make_no_version(tmp_path: Path, opened: Callable[[], PolicyStore]) -> None:
    """The files stay as they are, and no change is reported."""
    store = opened()
    put(store, mode="OFF")
    before = files(tmp_path)
    made = put(store, mode="OFF", min_confidence=0.6)

    assert (made.changes, made.state.version) == ((), 1)
    assert files(tmp_path) == before


def test_the_history_keeps_the_last_changes_and_counts_the_others() -> None:
    """Five hundred of them; the version goes on counting."""
    state = StoreState()
    for number in range(HISTORY + 20):
        state = changed_state(state, {"max_trades_per_hour": number + 11}, ts_ns=number, actor="a", reason="r")

    assert (state.version, len(state.changes), state.older_changes) == (HISTORY + 20, HISTORY, 20)
    assert [change.version for change in state.changes_after(HISTORY + 17)] == [518, 519, 520]
    assert decode_state(encode_state(state)) == state


# ---- refusals -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("values", "actor", "reason", "error", "told"), [
    ({"mode": "PRIMARY", "min_confidence": 2}, "ann", "why", ConfigError, "rl_v3.live.min_confidence = 2: must be"),
    ({"mode": "PRIMARY", "size": 2}, "ann", "why", ConfigError, "unknown setting 'size'"),
    ({"mode": "PRIMARY"}, "ann", " ", InputError, "reason = ' ': is empty"),
    ({"mode": "PRIMARY"}, "", "why", InputError, "actor = '': is empty"),
    ({"mode": "PRIMARY"}, "ann", "two\nlines", InputError, "one line of at most 500 printable characters"),
    ({"mode": "PRIMARY"}, "ann", "x" * 501, InputError, "one line of at most 500 printable characters"),
    ({"mode": "PRIMARY"}, "ann\x1b[31m", "why", InputError, "printable"),
    ({"mode": "PRIMARY"}, "ann", "half a pair \ud800", InputError, "printable"),
])
@pytest.mark.parametrize("damaged", [False, True])
def test_a_refused_change_leaves_everything(
    tmp_path: Path, opened: Callable[[], PolicyStore], damaged: bool, values: dict[str, Any], actor: str, reason: str,
    error: type[Exception], told: str,
) -> None:
    """Not even its acceptable part is taken; a damaged file is not set aside for it."""
    store = opened()
    put(store, max_trades_per_hour=3)
    if damaged:
        (tmp_path / STORE_FILE).write_bytes(b"{")
    before = files(tmp_path)
    with pytest.raises(error, match=told):
        store.change(values, seen_version=None, actor=actor, reason=reason)

    assert files(tmp_path) == before
    assert store.pilot == PilotSettings(max_trades_per_hour=3)


def test_a_change_decided_on_an_older_version_is_refused(tmp_path: Path, opened: Callable[[], PolicyStore]) -> None:
    """It names both versions; the other's change stays, and the refused program sees it at once."""
    slow, quick = opened(), opened()
    seen = slow.version
    put(quick, seen=0, mode="OFF")
    before = files(tmp_path)
    with pytest.raises(StaleVersionError, match="decided on version 0, and the store is at version 1") as refused:
        put(slow, seen=seen, mode="PRIMARY")

    assert (refused.value.seen, refused.value.found) == (0, 1)
    assert files(tmp_path) == before
    assert slow.pilot.mode is PilotMode.OFF


def test_a_change_for_any_version_keeps_what_others_changed(opened: Callable[[], PolicyStore]) -> None:
    """Two programs change different settings; both changes hold."""
    first, second = opened(), opened()
    assert first.version == second.version == 0
    put(first, mode="OFF")
    put(second, min_confidence=0.9)

    assert second.pilot == PilotSettings(mode=PilotMode.OFF, min_confidence=0.9)


def test_a_lock_that_stays_held_is_said(tmp_path: Path, clock: Clock, opened: Callable[[], PolicyStore]) -> None:
    """After 250 tries, 20 ms apart; nothing is changed."""
    put(opened(), mode="OFF")
    waited: list[float] = []
    store = PolicyStore(tmp_path / STORE_FILE, clock=clock, pause=waited.append)
    held = open_private(tmp_path / f"{STORE_FILE}.lock", os.O_RDWR)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StateError, match="has held the store for 5 seconds; repeat. Nothing was changed"):
            put(store, mode="PRIMARY")
    finally:
        os.close(held)

    assert (len(waited), sum(waited)) == (250, pytest.approx(5.0))
    assert opened().pilot.mode is PilotMode.OFF


# ---- the cache ------------------------------------------------------------------------------------------------------
def test_a_reading_is_at_most_ten_seconds_old(clock: Clock, opened: Callable[[], PolicyStore]) -> None:
    """Another program's change is seen when ten seconds of the given clock are over, and not before."""
    store = opened()
    assert store.pilot.mode is PilotMode.SHADOW
    put(opened(), mode="OFF")

    clock.now_ns = NOON + 10 * NS_PER_SECOND - 1
    assert store.pilot.mode is PilotMode.SHADOW
    clock.now_ns = NOON + 10 * NS_PER_SECOND
    assert store.pilot.mode is PilotMode.OFF


def test_a_clock_that_is_set_back_ends_the_cache(clock: Clock, opened: Callable[[], PolicyStore]) -> None:
    """A reading from the future is not kept until that future comes."""
    store = opened()
    assert store.pilot.mode is PilotMode.SHADOW
    put(opened(), mode="OFF")
    clock.now_ns = NOON - 1

    assert store.pilot.mode is PilotMode.OFF


def test_the_file_is_read_once_in_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, opened: Callable[[], PolicyStore]
) -> None:
    """However often the settings are asked for."""
    from quantum_trader.policy import policy_store

    reads: list[Path] = []
    plain = policy_store.read_store
    monkeypatch.setattr(policy_store, "read_store", lambda path: reads.append(path) or plain(path))
    store = opened()
    for second in range(31):
        clock.now_ns = NOON + second * NS_PER_SECOND
        assert store.pilot == store.read().pilot

    assert len(reads) == 4  # at 0, 10, 20 and 30 seconds


# ---- files that cannot be used --------------------------------------------------------------------------------------
def flipped(content: bytes) -> bytes:
    """*content* with another confidence, still JSON."""
    return content.replace(b"0.6", b"0.1")


@pytest.mark.parametrize("damage", [
    lambda _: b"", lambda content: content[:-20], lambda _: b"null", lambda _: b"\xff\xfe", flipped,
    lambda _: b"[" * 100_000, lambda _: b'{"schema":1,"seal":"x","store":{}}',
    lambda content: content + b" " * (4 << 20),
])
def test_a_damaged_file_stops_the_pilot_and_is_kept(
    tmp_path: Path, opened: Callable[[], PolicyStore], damage: Callable[[bytes], bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """OFF with the reason; reading changes nothing; the next change continues from the last good version, in OFF."""
    put(opened(), mode="PRIMARY", max_trades_per_hour=4)
    path = tmp_path / STORE_FILE
    torn = damage(path.read_bytes())
    path.write_bytes(torn)
    before = files(tmp_path)
    store = opened()
    with caplog.at_level(logging.ERROR):
        reading = store.read()

    assert reading.pilot == PilotSettings(mode=PilotMode.OFF, max_trades_per_hour=4)
    assert reading.trouble.startswith(f"{STORE_FILE} is damaged (")
    assert reading.state.pilot.mode is PilotMode.PRIMARY
    assert files(tmp_path) == before
    assert "the pilot's mode is OFF" in caplog.text

    made = put(store, seen=1, max_trades_per_hour=5)
    assert (tmp_path / f"{STORE_FILE}.damaged-1").read_bytes() == torn
    assert opened().pilot == PilotSettings(mode=PilotMode.OFF, max_trades_per_hour=5)
    assert [(one.version, one.actor, one.fields) for one in made.changes] == [
        (2, "policy store", ("mode",)), (3, "ann", ("max_trades_per_hour",)),
    ]
    assert f"set aside as {STORE_FILE}.damaged-1" in made.changes[0].reason


def test_after_damage_a_person_may_set_the_mode_again(tmp_path: Path, opened: Callable[[], PolicyStore]) -> None:
    """The history says that it was OFF in between."""
    put(opened(), mode="PRIMARY")
    (tmp_path / STORE_FILE).write_bytes(b"{")
    made = put(opened(), mode="PRIMARY")

    assert [one.after.mode.value for one in made.state.changes] == ["PRIMARY", "OFF", "PRIMARY"]
    assert opened().pilot.mode is PilotMode.PRIMARY


def test_a_file_that_was_removed_is_not_the_defaults(tmp_path: Path, opened: Callable[[], PolicyStore]) -> None:
    """Its copy is still there, so somebody removed it: OFF, and the history is not lost."""
    put(opened(), min_confidence=0.8)
    (tmp_path / STORE_FILE).unlink()
    reading = opened().read()

    assert reading.trouble == f"{STORE_FILE} is gone, and {COPY} is still there"
    assert reading.pilot == PilotSettings(mode=PilotMode.OFF, min_confidence=0.8)
    assert [one.version for one in put(opened(), mode="SHADOW").state.changes] == [1, 2, 3]


def test_an_older_file_that_was_put_back_stops_the_pilot(tmp_path: Path, opened: Callable[[], PolicyStore]) -> None:
    """A backup with PRIMARY does not undo a later OFF."""
    put(opened(), mode="PRIMARY")
    old = (tmp_path / STORE_FILE).read_bytes()
    put(opened(), mode="OFF", reason="losses")
    (tmp_path / STORE_FILE).write_bytes(old)
    reading = opened().read()

    assert reading.trouble == f"{STORE_FILE} has version 1, and version 2 was in force before"
    assert (reading.pilot.mode, reading.state.version) == (PilotMode.OFF, 2)


def test_a_damaged_copy_is_said_and_stops_nothing(tmp_path: Path, opened: Callable[[], PolicyStore]) -> None:
    """The file itself is good; the next change writes the copy anew."""
    put(opened(), mode="PRIMARY")
    (tmp_path / COPY).write_bytes(b"{")
    reading = opened().read()

    assert (reading.pilot.mode, reading.trouble) == (PilotMode.PRIMARY, "")
    assert reading.notice.startswith(f"{COPY} is damaged (")
    put(opened(), mode="HYBRID")
    assert opened().read().notice == ""


def test_where_both_are_damaged_both_are_kept(tmp_path: Path, opened: Callable[[], PolicyStore]) -> None:
    """Nothing good is left: the defaults in mode OFF, and both files under other names."""
    put(opened(), mode="PRIMARY")
    (tmp_path / STORE_FILE).write_bytes(b"one")
    (tmp_path / COPY).write_bytes(b"two")
    assert opened().pilot == PilotSettings(mode=PilotMode.OFF)
    put(opened(), min_confidence=0.9)

    assert (tmp_path / f"{STORE_FILE}.damaged-1").read_bytes() == b"one"
    assert (tmp_path / f"{COPY}.damaged-1").read_bytes() == b"two"
    assert opened().pilot == PilotSettings(mode=PilotMode.OFF, min_confidence=0.9)


def test_a_file_that_cannot_be_set_aside_is_not_written_over(
    tmp_path: Path, opened: Callable[[], PolicyStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change is refused and the damaged file stays."""
    (tmp_path / STORE_FILE).write_bytes(b"precious")
    (tmp_path / STORE_FILE).chmod(0o600)
    monkeypatch.setattr("quantum_trader.policy.policy_store_file.set_aside", lambda path, why: "could not be")
    with pytest.raises(StateError, match="could not be; rename it, and repeat. Nothing was changed"):
        put(opened(), mode="OFF")

    assert (tmp_path / STORE_FILE).read_bytes() == b"precious"


def test_a_file_of_a_later_program_is_left_alone(tmp_path: Path, opened: Callable[[], PolicyStore]) -> None:
    """OFF; this program neither judges nor replaces it."""
    put(opened(), mode="PRIMARY")
    later = (tmp_path / STORE_FILE).read_bytes().replace(b'"schema":1', b'"schema":2')
    (tmp_path / STORE_FILE).write_bytes(later)
    assert opened().pilot.mode is PilotMode.OFF
    with pytest.raises(StateError, match="has format 2, and this program knows formats up to 1"):
        put(opened(), mode="OFF")

    assert (tmp_path / STORE_FILE).read_bytes() == later


@pytest.mark.parametrize("name", [STORE_FILE, f"{STORE_FILE}.lock"])
def test_a_symbolic_link_is_never_followed(tmp_path: Path, opened: Callable[[], PolicyStore], name: str) -> None:
    """Neither to read nor to write; what it points at stays, and the sentence says what to do."""
    put(opened(), mode="PRIMARY")
    target = tmp_path / "elsewhere"
    (tmp_path / name).rename(target)
    (tmp_path / name).symlink_to(target)
    before = target.read_bytes()
    with pytest.raises(StateError, match=r"symbolic link.*remove the link"):
        put(opened(), mode="OFF")

    assert target.read_bytes() == before
    assert (tmp_path / name).is_symlink()
    assert opened().pilot.mode is (PilotMode.OFF if name == STORE_FILE else PilotMode.PRIMARY)


def test_a_link_in_place_of_the_copy_is_replaced_and_not_followed(
    tmp_path: Path, opened: Callable[[], PolicyStore]
) -> None:
    """What it points at stays."""
    put(opened(), mode="OFF")
    (tmp_path / "elsewhere").write_bytes(b"mine")
    (tmp_path / COPY).unlink()
    (tmp_path / COPY).symlink_to(tmp_path / "elsewhere")
    assert "symbolic link" in opened().read().notice
    put(opened(), mode="SHADOW")

    assert (tmp_path / "elsewhere").read_bytes() == b"mine"
    assert not (tmp_path / COPY).is_symlink()


def test_a_file_that_others_may_write_stops_the_pilot(tmp_path: Path, opened: Callable[[], PolicyStore]) -> None:
    """Its settings may be anybody's."""
    put(opened(), mode="PRIMARY")
    (tmp_path / STORE_FILE).chmod(0o666)
    reading = opened().read()

    assert reading.pilot.mode is PilotMode.OFF
    assert "lets others write it" in reading.trouble
    with pytest.raises(StateError, match="chmod go-w"):
        put(opened(), mode="OFF")


def test_a_folder_that_others_may_write_takes_no_store(tmp_path: Path, opened: Callable[[], PolicyStore]) -> None:
    """Others could replace the file."""
    tmp_path.chmod(0o777)
    with pytest.raises(StateError, match="lets others write it"):
        put(opened(), mode="OFF")

    assert files(tmp_path) == {}


def test_a_folder_that_cannot_be_written_is_said(
    tmp_path: Path, opened: Callable[[], PolicyStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permission denied; the settings stay as they are, and readable."""
    put(opened(), mode="HYBRID")
    before = files(tmp_path)

    def denied(path: Path) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("quantum_trader.policy.storage.create_file", denied)
        with pytest.raises(StateError, match=r"cannot be written \(Permission denied\); nothing was changed"):
            put(opened(), mode="SHADOW")
    assert files(tmp_path) == before
    assert opened().pilot.mode is PilotMode.HYBRID


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write any folder")
def test_a_read_only_folder_is_said(tmp_path: Path, opened: Callable[[], PolicyStore]) -> None:
    """By its mode, for a user who is not root."""
    put(opened(), mode="HYBRID")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StateError, match=r"cannot be written.*nothing was changed"):
            put(opened(), mode="SHADOW")
        assert opened().pilot.mode is PilotMode.HYBRID
    finally:
        tmp_path.chmod(0o700)


def test_a_file_in_place_of_the_folder_is_said(tmp_path: Path) -> None:
    """OFF when it is read, a sentence when it is written."""
    (tmp_path / "file").touch()
    store = PolicyStore(tmp_path / "file" / STORE_FILE)

    assert store.pilot.mode is PilotMode.OFF
    with pytest.raises(StateError, match="nothing was changed"):
        put(store, mode="SHADOW")


@pytest.mark.parametrize("failing", [1, 2])
def test_a_full_disk_leaves_a_store_that_can_be_used(
    tmp_path: Path, opened: Callable[[], PolicyStore], monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """The first write failed: refused, everything as before. The second, of the copy: changed, with a notice."""
    put(opened(), mode="PRIMARY")
    before = files(tmp_path)
    from quantum_trader.policy import policy_store_file

    writes: list[Path] = []
    plain = policy_store_file.write_atomically

    def full(path: Path, content: bytes) -> None:
        writes.append(path)
        if len(writes) == failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(path, content)

    monkeypatch.setattr(policy_store_file, "write_atomically", full)
    store = opened()
    if failing == 1:
        with pytest.raises(StateError, match=r"No space left.*nothing was changed"):
            put(store, mode="OFF")
        assert files(tmp_path) == before
        assert store.pilot.mode is PilotMode.PRIMARY
    else:
        assert put(store, mode="OFF").notice.startswith(f"{COPY} could not be written (No space left")
        assert opened().read().trouble == ""
        assert opened().pilot.mode is PilotMode.OFF


def test_a_history_that_contradicts_itself_is_damage() -> None:
    """A sealed file of a broken program is not trusted either."""
    state = changed_state(StoreState(), {"mode": "PRIMARY"}, ts_ns=1, actor="a", reason="r")
    state = changed_state(state, {"mode": "OFF"}, ts_ns=2, actor="a", reason="r")
    replace = msgspec.structs.replace
    for broken in (
        lambda: StoreState(version=2, pilot=state.pilot),
        lambda: replace(state, version=5),
        lambda: replace(state, pilot=PilotSettings(mode=PilotMode.PRIMARY)),
        lambda: replace(state, version=1),
        lambda: replace(state, changes=(state.changes[1], state.changes[1])),
    ):
        with pytest.raises(ValueError, match=r"version|change"):
            broken()


# ---- the risk profile -----------------------------------------------------------------------------------------------
def test_the_store_answers_the_active_risk_profile(tmp_path: Path) -> None:
    """Its name, where it came from, and its leverage limit; None where the program that opened the store knows none."""
    profile = ActiveRiskProfile(name="SAFE", source="default", max_leverage=10.0)

    assert PolicyStore(tmp_path / STORE_FILE, risk_profile=profile).active_risk_profile == profile
    assert PolicyStore(tmp_path / STORE_FILE).active_risk_profile is None
    with pytest.raises(ConfigError, match="max_leverage = nan: must be a number, 1 or above"):
        ActiveRiskProfile(name="SAFE", source="default", max_leverage=float("nan"))
