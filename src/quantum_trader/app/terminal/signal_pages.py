"""The pages about signals and models, drawn: decisions, learning, shadows, models."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from quantum_trader.app.report import formats as fmt
from quantum_trader.app.terminal.folder_view import Facts
from quantum_trader.app.terminal.parts import line_list, name_grid, number_text, row_table, signed_text, utc_text

_SHORT_ID: Final = 12
_ALLOWED: Final = "ALLOWED"


def decisions_page(facts: Facts, width: int) -> RenderableType:
    """The newest signals with what became of each, and how many of each reason."""
    rows = [
        [utc_text(one["ts_ns"]), one["symbol"], one["action"], number_text(one["confidence"]),
         _verdict(one["decision"]), _reason(one), one["signal_id"]]
        for one in facts["decisions"]
    ]
    columns = (("time", False), ("symbol", False), ("signal", False), ("confidence", True), ("decision", False),
               ("why", False), ("id", False))
    counts = [
        [_verdict(one["decision"]), fmt.words(one["reason"]) if one["reason"] else "", fmt.count(one["signals"]),
         utc_text(one["last_ns"])]
        for one in facts["counts"]
    ]
    count_columns = (("decision", False), ("why", False), ("signals", True), ("the last", False))
    return Group(
        row_table("Signals by what became of them", count_columns, counts, "no signal yet"),
        row_table("The newest signals", columns, rows, "none yet"),
        Text("One of them: quantum-trader why ID --state DIR", style="dim"),
    )


def _verdict(decision: str) -> Text:
    return Text("allowed", style="green") if decision == _ALLOWED else Text("refused", style="yellow")


def _reason(one: Facts) -> str:
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
         fmt.count(one["shadows"]), _bps(one["mean_bps"]), signed_text(fmt.multiple(one["mean_r"])),
         fmt.share(one["won"])]
        for one in facts["by_reason"]
    ]
    columns = (("signals", False), ("why", False), ("ended", True), ("mean, bps", True), ("mean, R", True),
               ("above 0", True))
    newest = [
        [utc_text(one["ts_ns"]), one["symbol"], one["action"] or fmt.UNKNOWN,
         fmt.words(one["reason"]) if one["reason"] else fmt.UNKNOWN, fmt.words(one["exit"]), _bps(one["net_bps"]),
         signed_text(fmt.multiple(one["r"])), one["signal_id"]]
        for one in facts["refused"]
    ]
    newest_columns = (("ended", False), ("symbol", False), ("signal", False), ("refused for", False), ("exit", False),
                      ("bps", True), ("R", True), ("id", False))
    return Group(
        row_table("Shadow trades that have ended", columns, rows, "none yet"),
        Text("After costs and funding; means without intervals: quantum-trader shadows --state DIR judges them.",
             style="dim"),
        row_table("The newest of refused signals", newest_columns, newest, "none yet"),
    )


def _bps(value: float | None) -> Text:
    return signed_text(fmt.UNKNOWN if value is None else f"{value:+.1f}")


def run_learning_page(facts: Facts, width: int) -> RenderableType:
    """The models with what each lacks, since when there has been no signal, the pilot, trainings."""
    models = [
        [one["name"], ", ".join(one["symbols"]),
         Text("warm", style="green") if one["warm"] else Text("lacks bars", style="yellow"), one["lacks"]]
        for one in facts["models"]
    ]
    columns = (("model", False), ("symbols", False), ("state", False), ("what it lacks", False))
    said = [
        ("last signal", utc_text(facts["last_signal_ns"])),
        ("no signal", facts["silence"] or "the newest bars gave one"),
    ]
    if facts["failed_ns"]:
        said.append(("failed since", utc_text(facts["failed_ns"])))
    if facts["too_small"]:
        said.append(("too small", facts["too_small"]))
    trainings = [
        [utc_text(one["ts_ns"]), one["session_id"], fmt.count(one["rows"]), number_text(one["duration_s"], "s"),
         one["reason"] or ""]
        for one in facts["trainings"]
    ]
    training_columns = (("ended", False), ("session", False), ("rows", True), ("took", True), ("why", False))
    return Group(
        row_table("Models of this run", columns, models, "not known yet"),
        name_grid([*(said if facts["models"] else []), ("pilot", facts["pilot"] or "none")]),
        row_table("Trainings that have ended", training_columns, trainings, "none in this run's journal"),
    )


def models_page(facts: Facts, width: int) -> RenderableType:
    """Which models are in force by their ids, and how that changed."""
    found = facts["in_force"]
    head = name_grid([
        ("models", ", ".join(facts["names"]) or "not known yet"),
        ("ids of signals", ", ".join(map(_short, found["signals"])) or "none: models without an id"),
        ("id of the pilot", _short(found["pilot"]) if found["pilot"] else "no pilot"),
    ])
    changes = [
        [utc_text(one["ts_ns"]), one["role"], _listed(one["names"]), ", ".join(map(_short, _parts(one["ids"]))),
         _alias(one), one["actor"] or "", one["reason"] or ""]
        for one in facts["changes"]
    ]
    refused = [
        [utc_text(one["ts_ns"]), one["role"], _short(one["model"]), _alias(one), one["reason"]]
        for one in facts["refused"]
    ]
    registry = [
        [utc_text(one["ts_ns"]), _short(one["model_id"]), one["change"], one["alias"] or "", one["actor"] or "",
         one["reason"] or ""]
        for one in facts["registry"]
    ]
    since = (("from", False), ("role", False), ("models", False), ("ids", False), ("follows", False), ("by", False),
             ("why", False))
    of_refused = (("time", False), ("role", False), ("id", False), ("follows", False), ("why", False))
    of_registry = (("time", False), ("id", False), ("what", False), ("alias", False), ("by", False), ("why", False))
    return Group(
        head, row_table("In force, newest first", since, changes, "no change was recorded"),
        row_table("Refused", of_refused, refused, "none"),
        row_table("Registered, promoted, exported, rolled back", of_registry, registry, "none in this run's journal"),
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
