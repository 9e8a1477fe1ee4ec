"""Why a state folder does not continue a run: the settings, models, bars or intents that differ, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from quantum_trader.app.runs.state_dir import StateDir
from quantum_trader.app.settings import hash_of
from quantum_trader.models.loading import INTRADAY

_MOST: Final = 8  # differences that are listed
_LONGEST: Final = 60  # characters of a value
_NONE: Final = "none"  # the identity of models or intents where there are none
_ABSENT: Final = object()
_NO_DEFAULTS: Final[Mapping[str, Any]] = {}


class Statement(msgspec.Struct):
    """What a run states of itself: every setting, its bars by content, and its models' hashes."""

    effective: dict[str, Any] = msgspec.field(default_factory=dict)
    recording: dict[str, Any] = msgspec.field(default_factory=dict)
    models: str = ""  # joined by +, in the order of the enabled models


class _Started(msgspec.Struct):
    topic: str
    data: Statement


def saved_statement(folder: StateDir, record_bytes: int) -> Statement:
    """What the first record of *folder* states; empty where it cannot be read."""
    for line in folder.record_lines(record_bytes):
        try:
            started = msgspec.json.decode(line, type=_Started)
        except msgspec.DecodeError:
            break
        return started.data if started.topic == "run.started" else Statement()
    return Statement()


def why_another_run(
    saved: Mapping[str, str], now: Mapping[str, str], before: Statement, after: Statement, names: Sequence[str],
    defaults: Mapping[str, Any],
) -> str:
    """Why the run of the identity *saved* is not the one of *now*, and what to do; empty where it is the same run.

    *before* and *after* are the statements of both, *names* those of the models of *now*. A setting that is younger
    than the saved run is no difference at its value in *defaults*, nor is the name of the intraday models, which once
    were the default: only then the hash of the settings may be another one.
    """
    other = [key for key in {**now, **saved} if saved.get(key, _NONE) != now.get(key, _NONE)]
    listed = _listed(_settings_changes(before.effective, after.effective, defaults)) if before.effective else ""
    if "settings" in other and not listed and hash_of(before.effective) == saved.get("settings"):
        other.remove("settings")
    if not other:
        return ""
    if "settings" in other and listed:
        return (
            f"the saved run used other settings: {listed}. Give the saved values to continue it, or choose another "
            "--state folder"
        )
    if other[0] == "models" and _NONE not in (saved.get("models", _NONE), now.get("models", _NONE)):
        return (
            f"the saved run used other models: the code of {_changed_models(before.models, after.models, names)} has "
            "changed since (its file, one that it imports, or of a built-in model this program); take the change back "
            "to continue it, or choose another --state folder"
        )
    if other[0] == "data":
        bars = _listed(_changes(before.recording, after.recording, "")) if before.recording else ""
        return (
            f"the saved run used other bars{f': {bars}' if bars else ''}. Put the same bars back to continue it, or "
            "choose another --state folder"
        )
    key = other[0]
    return (
        f"the saved run used other {key} ({saved.get(key, _NONE)[:12]}, now {now.get(key, _NONE)[:12]}); give the same "
        f"{key} to continue it, or choose another --state folder"
    )


def _changed_models(before: str, after: str, names: Sequence[str]) -> str:
    """The names of the models whose hashes differ; all of them where that cannot be told."""
    pairs = list(zip(before.split("+"), after.split("+"), names, strict=False))
    return ", ".join([name for had, has, name in pairs if had != has] or names)


def _settings_changes(
    before: Mapping[str, Any], after: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Iterator[str]:
    """One text for each setting that differs; the numbers of another profile are left out behind its name."""
    had, has = dict(before), dict(after)
    if had.get("policy", {}).get("profile") != has.get("policy", {}).get("profile"):
        had.pop("profile", None)
        has.pop("profile", None)
    models, now = had.pop("models", []), has.pop("models", [])
    yield from _changes(had, has, "", defaults)
    if _names(models) != _names(now):
        once = f" (continue with --model {INTRADAY}: it was made when those models were the default)"
        yield _change("models", _names(models), _names(now)) + (once if not models else "")
        return
    if len(models) != len(now):  # the intraday models, with and without their name
        return
    for one, other in zip(models, now, strict=True):
        yield from _changes(one, other, f"models.{one['name'] or one['model']}.")


def _names(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a statement's *models* are named by; a statement without any is of the intraday models."""
    return [one["model"] for one in models] or [INTRADAY]


def _changes(
    before: Mapping[str, Any], after: Mapping[str, Any], prefix: str, defaults: Mapping[str, Any] = _NO_DEFAULTS
) -> Iterator[str]:
    """One text for each value that differs; one that is missing in *before* counts as that of *defaults*."""
    for key in dict.fromkeys([*before, *after]):
        default = defaults.get(key, _ABSENT)
        had, has = before.get(key, _ABSENT), after.get(key, _ABSENT)
        if isinstance(had, Mapping) and isinstance(has, Mapping):
            yield from _changes(had, has, f"{prefix}{key}.", default if isinstance(default, Mapping) else _NO_DEFAULTS)
        elif _text(had) != _text(has) and not (had is _ABSENT and _text(has) == _text(default)):
            yield _change(prefix + key, had, has)  # the texts differ: a tuple here is a list there


def _change(key: str, had: Any, has: Any) -> str:
    return f"{key} = {_shown(had)}, now {_shown(has)}"


def _text(value: Any) -> str:
    return "not set" if value is _ABSENT else msgspec.json.encode(value).decode()


def _shown(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _listed(changes: Iterator[str]) -> str:
    found = list(changes)
    more = f"; and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return "; ".join(found[:_MOST]) + more
