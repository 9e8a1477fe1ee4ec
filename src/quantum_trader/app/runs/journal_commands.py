"""What ``quantum-trader journal`` does with a run's state folder: verify, seal, replay, fill the trade journal.

Each function returns a value; :mod:`quantum_trader.app.cli.journal` prints it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.app.runs.journal_sink import PRODUCER
from quantum_trader.app.runs.kept_models import PILOT_FOLDER, KeptModels
from quantum_trader.app.runs.meta_labels import META_LABEL_FOLDER
from quantum_trader.app.runs.operator_requests import OperatorRequest
from quantum_trader.app.runs.replay import Run, take_request
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.runs.run_models import ready_pilot
from quantum_trader.app.runs.run_signals import kept_entry
from quantum_trader.app.runs.scheduled_models import take_signals
from quantum_trader.app.runs.state_dir import unsealed
from quantum_trader.app.settings import RunSettings
from quantum_trader.domain.clock import from_ns
from quantum_trader.domain.errors import ConfigError, DataError, StateError
from quantum_trader.domain.trading import Intent, OutsideScore
from quantum_trader.engine.facts import ModelInForce, ModelRefused, PilotChanged, RefusedScore
from quantum_trader.engine.recorded_intents import RecordedIntents
from quantum_trader.engine.recorder import MemorySink, Recorder
from quantum_trader.journal.audit import Anchor, AuditChain, AuditReport, RecordLine, Seal, day_of, record_lines
from quantum_trader.journal.feeder import JournalFeeder
from quantum_trader.journal.lake import Lake
from quantum_trader.journal.proof import (
    GATES,
    INTENT,
    MODEL,
    NO_MODEL,
    NO_SCORE,
    PILOT,
    ROLLOUT,
    SCORE,
    ReplayProof,
    Script,
    ScriptInput,
    prove_day,
)
from quantum_trader.journal.segments import Damage
from quantum_trader.journal.trade_journal import REPLAY, TradeJournal
from quantum_trader.models.gates import GateSettings
from quantum_trader.models.loading import REGISTRY_PREFIX
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.policy.profiles import ActiveProfile, OrchestratorConfig

RECORDS: Final = "records.jsonl"
AUDIT: Final = Path("journal") / "audit"
BOOK: Final = Path("journal") / "journal.db"

Lines = Callable[[], Iterable[RecordLine]]
"""Gives the records of a run anew at each call: (ts_ns, line), in the order they were written."""


def recorded(state: Path) -> Lines:
    """The records in the state folder *state*; StateError when there are none."""
    path = state / RECORDS
    if not path.is_file():
        raise StateError(f"--state {state}: holds no {RECORDS}; give the folder of `quantum-trader run --state`")
    return lambda: record_lines(path)


# ---------------------------------------------------------------------- audit chain


def seal(state: Path, *, through: str | None = None, key: Path | None = None, lines: Lines | None = None) -> list[Seal]:
    """Seal the days of a run up to *through*.

    Without *through*: all of them where the run has ended, else all but the last, which still grows.
    """
    source = lines or recorded(state)
    if through is None:
        through = _last_whole_day(source())
        if through == "":
            return []
    return AuditChain(state / AUDIT, key=key).seal(source(), through)


def _last_whole_day(lines: Iterable[RecordLine]) -> str | None:
    """The last day that is over: None for all where the run has ended, "" where there is none."""
    days: set[str] = set()
    ended = False
    for ts_ns, line in lines:
        ended = ended or b'"topic":"run.ended"' in line[:120]  # requests may follow the end
        days.add(day_of(ts_ns))
    return None if ended else max(sorted(days)[:-1], default="")


def verify(
    state: Path, *, lines: Lines | None = None, public_key: str | None = None, head: str | None = None
) -> AuditReport:
    """Hold a run's records against its audit chain; StateError when nothing was ever sealed."""
    source = lines or recorded(state)
    folder = state / AUDIT
    if not (state / "journal").is_dir() and _saved_records(state)[0]:
        raise StateError(f"--state {state}: its journal folder is gone, with the seals; restore {state / 'journal'}")
    if not any(folder.glob("*.json")):
        raise StateError(f"--state {state}: nothing was sealed yet; a run seals its days, the last one when it ends")
    return AuditChain(folder).verify(source(), trusted=public_key, expect_head=head)


def damage_of(state: Path) -> list[Damage]:
    """What of the journal beside the records is not what was written: parts, log, manifest, rings, or is gone."""
    if not (state / "journal").is_dir():
        return []
    try:
        lake = Lake(state / "journal")
        return with_missing(state, lake, lake.check())
    except StateError as error:
        return [Damage(path="manifest.json", offset=0, size=0, reason=str(error))]


def with_missing(state: Path, lake: Lake, damage: list[Damage]) -> list[Damage]:
    """*damage*, and the events that *lake* lacks of those that the checkpoint and the seals of *state* count."""
    wanted, source = max(_sealed_records(state), _saved_records(state))
    held = lake.last_number(PRODUCER)
    if held >= wanted or any(one.producer == PRODUCER for one in damage):
        return damage
    reason = f"was cut: holds {held:,} records where {source} {wanted:,}; restore it"
    return [*damage, Damage(
        path="journal", offset=0, size=0, reason=reason, producer=PRODUCER, first_seq=held + 1, last_seq=wanted,
    )]


def _sealed_records(state: Path) -> tuple[int, str]:
    """How many records the seals count, removed ones too; what cannot be read is ``verify``'s to tell."""
    count = 0
    for path in (state / AUDIT).glob("*.json"):
        with suppress(ValueError, OSError):
            count += msgspec.json.decode(path.read_bytes(), type=_Counted).of_file
    return count, "the seals count"


class _Counted(msgspec.Struct):
    """A seal's or an anchor's count."""

    count: int = 0
    records: int = 0

    @property
    def of_file(self) -> int:
        return self.count + self.records


def _saved_records(state: Path) -> tuple[int, str]:
    """How many records the checkpoint counts; 0 without a readable one."""
    said = "the checkpoint counts"
    try:
        saved = unsealed((state / "checkpoint").read_bytes()) or {}
        return sum(saved["engine"]["seq"].values()), said
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0, said


def retire(state: Path, through: str, *, key: Path | None = None, now_ns: int | None = None) -> Anchor:
    """Sign that the days up to *through* are removed on purpose; remove the records afterwards."""
    return AuditChain(state / AUDIT, key=key).retire(through, time.time_ns() if now_ns is None else now_ns)


def verify_text(report: AuditReport, damaged: int = 0) -> str:
    """The outcome of a verification for a person; *damaged*: how many places of the journal beside the records are."""
    said = [f"{report.sealed:,} records under seal on {len(report.days):,} days, {report.unsealed:,} not sealed yet"]
    if report.retired_through:
        said.append(f"{report.retired_records:,} records through {report.retired_through} were removed by retention")
    said += [f"{one.kind}: {one.detail}" for one in report.problems]
    said.append(f"head {report.head}  key {report.public_key}")
    problems = len(report.problems) + damaged
    said.append(f"NOT intact: {problems:,} problem{'s' if problems > 1 else ''}" if problems else "intact")
    return "\n".join(said)


# ---------------------------------------------------------------------- trade journal


def feed_book(
    state: Path, *, url: str | Path | None = None, mode: str = REPLAY, lines: Lines | None = None
) -> dict[str, int]:
    """Carry a run's records into its trade journal; returns the new rows by table. Doing it again adds nothing."""
    source = lines or recorded(state)
    with TradeJournal(url or state / BOOK) as journal:
        return JournalFeeder(journal, mode).feed_all(line for _, line in source())


# ---------------------------------------------------------------------- replay proof


class RecordedSettings(RunSettings, frozen=True, kw_only=True):
    """Settings as a run's first record states them, the profile's numbers included."""

    profile: OrchestratorConfig | None = None

    def active_profile(self) -> ActiveProfile:
        """The recorded profile, independent of the profile files on disk."""
        assert self.profile is not None
        return ActiveProfile(name=self.profile.name, source="journal", config=self.profile)


def recorded_settings(started: dict[str, Any], data: Path | None) -> RecordedSettings:
    """The settings that ``run.started`` states, over the bars in *data*; StateError when they cannot be read."""
    effective = {key: dict(value) if isinstance(value, dict) else value for key, value in started["effective"].items()}
    bars = started["recording"]
    effective["data"] |= {
        "path": str(data) if data is not None else "", "interval": bars["interval"], "symbols": bars["symbols"],
        "start": _iso(bars["start_ns"]), "end": _iso(bars["end_ns"]),
    }
    effective["rollout"] = started["rollout"]
    effective.setdefault("models", [])  # records of before there were others: the intraday models
    try:
        return msgspec.convert(effective, RecordedSettings, strict=True)
    except (msgspec.ValidationError, ConfigError) as error:
        raise StateError(
            f"run.started: its settings cannot be used by this program ({error}); replay with version "
            f"{started.get('version', 'of the run')}"
        ) from None


def _iso(ts_ns: int) -> str:
    return from_ns(ts_ns).isoformat()


def replay(state: Path, day: str, *, data: Path | None = None, lines: Lines | None = None) -> ReplayProof:
    """Run *day* (YYYY-MM-DD, UTC) of a run again from its records alone and compare record by record.

    *data* is the bar store, found by content; without it the bundled bars, or the folder the run's report names.
    Raises StateError or DataError with what is missing.
    """
    source = lines or recorded(state)
    hint = data or _data_hint(state)
    return prove_day(source, day, lambda script, until_ns: rerun(script, until_ns, hint, state))


def replay_text(proof: ReplayProof) -> str:
    """The outcome of a replay for a person, with both sides of the first difference."""
    said = [
        f"{proof.day}: {proof.records:,} records, {proof.inputs} requests, changes, intents and scores before its end"
    ]
    said += proof.notes
    if proof.difference is None:
        return "\n".join([*said, "identical, byte for byte"])
    one = proof.difference
    where = f" in {', '.join(one.fields)}" if one.fields else ""
    said.append(f"record {one.position:,} ({one.name}) differs{where}")
    said.append(f"  recorded  {one.recorded if one.recorded is not None else '(no more records)'}")
    said.append(f"  replayed  {one.replayed if one.replayed is not None else '(no more records)'}")
    return "\n".join(said)


def _data_hint(state: Path) -> Path | None:
    """The bar store that the run's report names, where it is still there."""
    path = state / "report.json"
    if not path.is_file():
        return None
    try:
        named = msgspec.json.decode(path.read_bytes())["run"]["data_path"]
    except (ValueError, KeyError, TypeError):
        return None
    return Path(named) if named and Path(named).is_dir() else None


def rerun(script: Script, until_ns: int, data: Path | None, state: Path | None = None) -> Iterator[RecordLine]:
    """Run *script* again up to *until_ns* and a day beyond, and yield its records as they are made.

    *state*: the run's state folder, which has its trained models where it had some.
    """
    bars = script.started["recording"]
    bundled = bars["source"] == "bundled"
    if not bundled and data is None:
        raise StateError(f"the run's bars ({bars['source']}) are needed: name their folder with --data DIR")
    session = _open(script, None if bundled else data, state)
    sink = MemorySink()
    session.engine.records.recorder = Recorder(sink)
    session.engine.policy.integration = msgspec.convert(script.started["rollout"], OrchestratorIntegrationConfig)
    try:
        for _ in _moments(session, script, until_ns, state):
            yield from _drain(sink)
        yield from _drain(sink)
    finally:
        session.close()


def _open(script: Script, data: Path | None, state: Path | None) -> Run:
    """A run over the recorded settings and the recorded bars; DataError when the bars or the pilot are other ones."""
    settings, made_with = recorded_settings(script.started, data), script.started.get("pilot", "")
    pilot = state / PILOT_FOLDER if state is not None else None
    if made_with and pilot is not None:
        settings = msgspec.structs.replace(
            settings, pilot=msgspec.structs.replace(settings.pilot, model=str(pilot))
        )
    settings = with_kept_signals(settings, script.started.get("signals", ()), state)
    labelled_by = script.started.get("meta_label", "")
    if labelled_by and state is not None:
        settings = msgspec.structs.replace(settings, gates=msgspec.structs.replace(
            settings.gates, meta_label=str(state / META_LABEL_FOLDER)
        ))
    session = Run(settings, RunOptions(kept_bars=script.started.get("kept_bars", 0)))
    if session.identity().get("meta_label", "") != labelled_by:
        session.close()
        raise DataError(f"{state}/{META_LABEL_FOLDER}: is not the meta-label {labelled_by[:12]} that the run used")
    used = session.pilot.identity
    if made_with != used:
        session.close()
        raise DataError(
            f"{pilot}: holds the pilot {used[:12] or 'none'}, and the run used {made_with[:12] or 'none'}; put its "
            "folder back"
        )
    wanted, found = script.started["recording"]["fingerprint"], session.recording.fingerprint
    if wanted != found:
        session.close()
        raise DataError(
            f"--data {data}: holds other bars than the run used (fingerprint {found[:16]}, recorded {wanted[:16]}); "
            "give the folder with the same bars"
        )
    return session


def with_kept_signals(settings: RecordedSettings, ids: Sequence[str], state: Path | None) -> RecordedSettings:
    """*settings* with the model that followed an alias from the state folder; *ids*: of the models at the start."""
    named = [place for place, one in enumerate(settings.models) if one.model.startswith(REGISTRY_PREFIX)]
    if not named or state is None:
        return settings
    models = list(settings.models)
    for place in named:
        entry = msgspec.structs.replace(models[place], follows=models[place].model)
        models[place] = kept_entry(entry, KeptModels(state), ids[place])
    return msgspec.structs.replace(settings, models=tuple(models))


def _drain(sink: MemorySink) -> Iterator[RecordLine]:
    lines, sink.lines = sink.lines, []
    for line in lines:
        yield msgspec.json.decode(line, type=_Moment).ts_ns, line


class _Moment(msgspec.Struct):
    ts_ns: int


def _moments(session: Run, script: Script, until_ns: int, state: Path | None = None) -> Iterator[None]:
    """Feed the bars and what people did, moment by moment, as :mod:`quantum_trader.app.runs.replay` does."""
    engine, driver, recording = session.engine, session.driver, session.recording
    waiting = [one for one in script.inputs if one.topic != INTENT]
    driver.intents = RecordedIntents(msgspec.convert(one.data, Intent) for one in script.inputs if one.topic == INTENT)
    identity = {key: value for key, value in script.started.items() if key not in ("symbols", "interval_ns")}
    session.warm_up()
    engine.started(identity, script.started_ns)
    _apply(session, waiting, state, script.started_ns, after_end=False)
    yield
    close_ns = 0
    for times, ohlcv, present, holes in recording.chunks(start_row=0):
        for i, moment in enumerate(times.tolist()):
            if moment >= until_ns + recording.interval_ns:
                return
            session.funding.advance(moment)
            driver.step(moment, ohlcv[i], present[i])
            close_ns = moment + recording.interval_ns
            gone = np.flatnonzero(holes[i]).tolist()
            if gone:
                driver.hole(close_ns, gone)
            _apply(session, waiting, state, close_ns, after_end=False)
            yield
    if close_ns and script.ended:
        engine.ended(close_ns)
        _apply(session, waiting, state, engine.now_ns, after_end=True)
    yield


def _apply(
    session: Run, waiting: list[ScriptInput], state: Path | None, now_ns: int, *, after_end: bool
) -> None:
    """Do what people did up to *now_ns*, in their order and at their moments."""
    while waiting and waiting[0].ts_ns <= now_ns and (after_end or not waiting[0].after_end):
        one = waiting.pop(0)
        if one.topic == PILOT:
            session.engine.piloting.set_settings(msgspec.convert(one.data, PilotChanged), one.ts_ns)
        elif one.topic == GATES:
            settings = msgspec.convert(one.data["in_force"], GateSettings)
            session.engine.opening.gates.set_settings(settings, one.data["change"], one.ts_ns)
        elif one.topic == MODEL:
            _take_model(session, msgspec.convert(one.data, ModelInForce), state, one.ts_ns)
        elif one.topic == SCORE:
            session.engine.models.take_score(msgspec.convert(one.data, OutsideScore), one.ts_ns)
        elif one.topic == NO_SCORE:
            session.engine.models.refuse_score(msgspec.convert(one.data, RefusedScore), one.ts_ns)
        elif one.topic == NO_MODEL:
            session.engine.models.refuse(msgspec.convert(one.data, ModelRefused), one.ts_ns)
        elif one.topic == ROLLOUT:
            config = msgspec.convert(one.data["in_force"], OrchestratorIntegrationConfig)
            session.engine.set_integration(config, one.data, one.ts_ns)
        else:
            take_request(session, msgspec.convert(one.data, OperatorRequest), one.ts_ns)


def _take_model(session: Run, change: ModelInForce, state: Path | None, ts_ns: int) -> None:
    """Let the model take over that did; StateError where the state folder does not have it any more."""
    if state is None:
        raise StateError(f"model {change.ids[0]}: the records alone do not hold it; name the run's --state folder")
    kept, signals = KeptModels(state), session.models.signals
    if change.role == "signals":
        loaded = signals.loaded(kept, change.ids[change.place], change.place)
        take_signals(session.engine, signals, loaded, change, ts_ns)
        return
    artefact = kept.pilot(change.ids[0])
    recording = session.recording
    session.engine.models.take_pilot(
        ready_pilot(artefact, recording.symbols, recording.interval_ns), change, ts_ns
    )
