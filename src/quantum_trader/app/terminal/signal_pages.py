"""The pages about signals and models, drawn: decisions, learning, shadows, models."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from quantum_trader.app.report import formats as fmt
from quantum_trader.app.terminal.folder_view import Facts
from quantum_trader.app.terminal.parts import (
    NARROW,
    SMALL,
    TextColumn,
    line_list,
    name_grid,
    number_text,
    row_table,
    row_time,
    seconds_text,
    signed_text,
    utc_text,
)

_SHORT_ID: Final = 12
_ALLOWED: Final = "ALLOWED"


def decisions_page(facts: Facts, width: int) -> RenderableType:
    """The newest signals with what became of each, and how many of each reason."""
    rows = [
        [row_time(one["ts_ns"], width), one["symbol"], one["action"], number_text(one["confidence"]),
         verdict_text(one["decision"]), reason_words(one), one["signal_id"]]
        for one in facts["decisions"]
    ]
    columns = (TextColumn("time"), TextColumn("symbol"), TextColumn("signal"), TextColumn("confidence", True, SMALL),
               TextColumn("decision"), TextColumn("why"), TextColumn("id", False, NARROW))
    counts = [
        [verdict_text(one["decision"]), fmt.words(one["reason"]) if one["reason"] else "", fmt.count(one["signals"]),
         row_time(one["last_ns"], width)]
        for one in facts["counts"]
    ]
    count_columns = (TextColumn("decision"), TextColumn("why"), TextColumn("signals", True), TextColumn("the last"))
    return Group(
        row_table("Signals by what became of them", count_columns, counts, "no signal yet", width),
        row_table(
            "The newest signals", columns, rows, "none yet", width, [one["signal_id"] for one in facts["decisions"]]
        ),
    )


def verdict_text(decision: str) -> Text:
    """What was decided of a signal."""
    return Text("allowed", style="green") if decision == _ALLOWED else Text("refused", style="yellow")


def reason_words(one: Facts) -> str:
    """The reason of a refusal with what was measured and its limit, where they say something."""
    if not one["reason"]:
        return f"risk {number_text(one['risk_pct_used'], '%')} of the equity" if one["risk_pct_used"] else ""
    measured = one["observed"] or one["limit"]
    seen = f": {number_text(one['observed'])}, limit {number_text(one['limit'])}" if measured else ""
    return f"{fmt.words(one['reason'])}{seen}"


def shadows_page(facts: Facts, width: int) -> RenderableType:
    """What refused signals would have made, beside what traded ones did."""
    rows = [
        ["traded" if one["traded"] else "refused", fmt.words(one["reason"]) if one["reason"] else "",
         fmt.count(one["shadows"]), bps_text(one["mean_bps"]), signed_text(fmt.multiple(one["mean_r"])),
         fmt.share(one["won"])]
        for one in facts["by_reason"]
    ]
    columns = (TextColumn("signals"), TextColumn("why"), TextColumn("ended", True), TextColumn("mean, bps", True),
               TextColumn("mean, R", True), TextColumn("above 0", True))
    newest = [
        [row_time(one["ts_ns"], width), one["symbol"], one["action"] or fmt.UNKNOWN,
         fmt.words(one["reason"]) if one["reason"] else fmt.UNKNOWN, fmt.words(one["exit"]), bps_text(one["net_bps"]),
         signed_text(fmt.multiple(one["r"])), one["signal_id"]]
        for one in facts["refused"]
    ]
    newest_columns = (
        TextColumn("ended"), TextColumn("symbol"), TextColumn("signal"), TextColumn("refused for"),
        TextColumn("exit", False, NARROW), TextColumn("bps", True),
        TextColumn("R", True, SMALL), TextColumn("id", False, NARROW),
    )
    return Group(
        row_table("Shadow trades that have ended", columns, rows, "none yet", width),
        Text("After costs and funding; means without intervals: quantum-trader shadows --state DIR judges them.",
             style="dim"),
        row_table(
            "The newest of refused signals", newest_columns, newest, "none yet", width,
            [one["signal_id"] for one in facts["refused"]],
        ),
    )


def bps_text(value: float | None) -> Text:
    """Basis points with their sign and its colour."""
    return signed_text(fmt.UNKNOWN if value is None else f"{value:+.1f}")


def run_learning_page(facts: Facts, width: int) -> RenderableType:
    """The models with what each lacks, since when there has been no signal, the pilot, trainings."""
    models = [
        [one["name"], ", ".join(one["symbols"]),
         Text("warm", style="green") if one["warm"] else Text("lacks bars", style="yellow"), one["lacks"]]
        for one in facts["models"]
    ]
    columns = (TextColumn("model"), TextColumn("symbols", False, SMALL), TextColumn("state"),
               TextColumn("what it lacks"))
    said = [
        ("last signal", utc_text(facts["last_signal_ns"])),
        ("no signal", facts["silence"] or "the newest bars gave one"),
    ]
    if facts["failed_ns"]:
        said.append(("failed since", utc_text(facts["failed_ns"])))
    if facts["too_small"]:
        said.append(("too small", facts["too_small"]))
    trainings = [
        [row_time(one["ts_ns"], width), one["session_id"], fmt.count(one["rows"]), number_text(one["duration_s"], "s"),
         one["reason"] or ""]
        for one in facts["trainings"]
    ]
    training_columns = (
        TextColumn("ended"), TextColumn("session"), TextColumn("rows", True), TextColumn("took", True),
        TextColumn("why", False, NARROW),
    )
    return Group(
        row_table("Models of this run", columns, models, "not known yet", width),
        name_grid([*(said if facts["models"] else []), ("pilot", facts["pilot"] or "none"), *_training(facts)]),
        row_table(
            "Trainings that have ended", training_columns, trainings, "none in this run's journal", width
        ),
    )


def _training(facts: Facts) -> list[tuple[str, object]]:
    """How far the newest training of the pilot was at its last report; nothing without one."""
    return [
        ("training of the pilot", (
            f"{one['session_id']}: group {one['group_number']} of {one['groups']} ({one['seeds']} seeds), update "
            f"{fmt.count(one['update'])} of {fmt.count(one['updates'])}, {fmt.count(one['steps'])} steps on "
            f"{one['device']}, {seconds_text(one['eta_s'])} left at {utc_text(one['ts_ns'])}"
        ))
        for one in facts["training"]
    ]


def models_page(facts: Facts, width: int) -> RenderableType:
    """Which models are in force by their ids, and how that changed."""
    found = facts["in_force"]
    head = name_grid([
        ("models", ", ".join(facts["names"]) or "not known yet"),
        ("ids of signals", ", ".join(map(_short, found["signals"])) or "none: models without an id"),
        ("id of the pilot", _short(found["pilot"]) if found["pilot"] else "no pilot"),
    ])
    changes = [
        [row_time(one["ts_ns"], width), one["role"], _listed(one["names"]), ", ".join(map(_short, _parts(one["ids"]))),
         _alias(one), one["actor"] or "", one["reason"] or ""]
        for one in facts["changes"]
    ]
    refused = [
        [row_time(one["ts_ns"], width), one["role"], _short(one["model"]), _alias(one), one["reason"]]
        for one in facts["refused"]
    ]
    registry = [
        [row_time(one["ts_ns"], width), _short(one["model_id"]), one["change"], one["alias"] or "", one["actor"] or "",
         one["reason"] or ""]
        for one in facts["registry"]
    ]
    since = (TextColumn("from"), TextColumn("role"), TextColumn("models"), TextColumn("ids", False, SMALL),
             TextColumn("follows", False, NARROW), TextColumn("by"), TextColumn("why", False, NARROW))
    of_refused = (TextColumn("time"), TextColumn("role"), TextColumn("id"), TextColumn("follows", False, NARROW),
                  TextColumn("why"))
    of_registry = (TextColumn("time"), TextColumn("id"), TextColumn("what"), TextColumn("alias"), TextColumn("by"),
                   TextColumn("why", False, NARROW))
    return Group(
        head, row_table("In force, newest first", since, changes, "no change was recorded", width),
        row_table("Refused", of_refused, refused, "none", width),
        row_table("Registered, promoted, exported, rolled back", of_registry, registry, "none in this run's journal",
                  width),
        line_list("The registry itself", (), "quantum-trader registry list"),
    )


def _alias(one: Facts) -> str:
    version = f" version {one['version']}" if one["version"] else ""
    return f"{one['alias']}{version}" if one["alias"] else ""


def _short(model_id: object) -> str:
    text = str(model_id)
    return f"{text[:_SHORT_ID]}…" if len(text) > _SHORT_ID + 1 else text


def _parts(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [] if value in (None, "") else [value]


def _listed(value: object) -> str:
    return ", ".join(map(str, _parts(value)))
